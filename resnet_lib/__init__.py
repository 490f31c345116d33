"""resnet_lib: the small library behind *Residual Networks by Experiment*.

Modules, each importing only those before it: blocks, skeleton, variants, nets, sources, download, data, probes,
calibration, signals, chains, least_squares, deepen, files, recipe, update, train, records, weights, runner,
parallel, declared, systems, studies, experiments, controls, timing, anatomy, court, estimates, queue, peers,
contenders, children, bench, plots, values, dossier, widgets, predict, explore, quantize, lesions, guard, answers,
watch, checks. Import what a cell needs: ``from resnet_lib import nets, experiments``.
``exercises/`` holds the answers, one module for each chapter; checks imports a chapter's when one of its exercises
is checked.
"""

__version__ = "0.1.0"
