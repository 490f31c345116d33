"""resnet_lib: the small library behind *Residual Networks by Experiment*.

Modules and packages, each importing only those before it: files, wording, recipe, machine, blocks, probes, nets, data,
identity, train, records, timing, lab, experiments, bench, plots, values, widgets, checks. Import what a cell needs:
``from resnet_lib import nets, experiments``; a package's own name gives what chapters use, its modules the rest.
``lab/`` holds measurements of single chapters, ``bench/`` the benchmark, ``exercises/`` the answers, one module for
each chapter; checks imports a chapter's when one of its exercises is checked.
"""

__version__ = "0.1.0"
