"""resnet_lib: the small library behind *Residual Networks by Experiment*.

Modules and packages, each importing only those before it: files, wording, recipe, machine, blocks, probes, nets, data,
identity, train, records, timing, lab, experiments, bench, plots, values, widgets, checks. Import what a cell needs:
``from resnet_lib import nets, experiments``; a package's own name gives what chapters use, its modules the rest.
``lab/`` holds measurements of single chapters, ``bench/`` the benchmark, ``exercises/`` the answers, one module for
each chapter; checks imports a chapter's when one of its exercises is checked.
"""

from importlib import import_module

__version__ = "0.1.0"
ROOMS = ("bench", "blocks", "checks", "data", "experiments", "lab", "nets", "plots", "probes", "recipe", "records",
         "timing", "train", "values", "widgets", "wording")


def __getattr__(name: str):
    """``import resnet_lib`` is enough for ``resnet_lib.nets``; only what is asked for is loaded."""
    if name in ROOMS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return [*globals(), *ROOMS]
