"""The small experiments of single chapters, each one question and its controls."""

from dataclasses import replace

from .declared import Experiment, Tier, Variant, plain
from .recipe import Execution
from .systems import QUICK

ONE_THREAD = Execution(device="cpu", threads=1, workers=0)

# --- signals: does the constant of the initialization decide whether a plain net trains? ----------------------------

# degradation's quick recipe at a rate that nets without batch norm bear: at 0.1 plain-20 no longer trains
WITHOUT_NORM = replace(QUICK, lr=0.02, probe_steps=(0, 192))
LONGER = replace(WITHOUT_NORM, steps=1_500, lr=0.01, eval_every=150, probe_steps=(0, 1_500))
INIT_WORDS = {"he": "Var[w] = 2 / fan-in", "xavier": "Var[w] = 2 / (fan-in + fan-out)"}


def _init_pairs(depths, deepest_seeds=()) -> dict[str, Variant]:
    """He and Xavier nets without batch norm; the deepest of the depths with seeds of its own."""
    return {f"{init}-{d}": Variant(plain(d, width=8, norm=False), {"init": init}, words,
                                   seeds=deepest_seeds if d == max(depths) else ())
            for d in depths for init, words in INIT_WORDS.items()}


def _init_rates(*rates: float) -> dict[str, Variant]:
    return {f"xavier-20-lr{lr:g}": Variant(plain(20, width=8, norm=False), {"init": "xavier", "lr": lr},
                                           f"Xavier at learning rate {lr:g}") for lr in rates}


def _init_norm(**changes) -> dict[str, Variant]:
    return {f"{init}-20-norm": Variant(plain(20, width=8), {"init": init, **changes}, f"{init}, with batch norm")
            for init in INIT_WORDS}


INITIALIZATION = Experiment(
    "initialization", "Does a factor of two in the variance of the weights decide whether a plain net trains?",
    "cifar10",
    {"quick": Tier(_init_pairs((8, 20), (0, 1, 2)) | _init_rates(0.2) | _init_norm(), WITHOUT_NORM, size=12,
                   n_train=1500, n_test=500, execution=ONE_THREAD),
     "short": Tier(_init_pairs((8, 14, 20, 32)) | _init_rates(0.1, 0.5) | _init_norm(), LONGER, size=16, n_train=5000,
                   n_test=1000, seeds=(0, 1, 2), execution=ONE_THREAD)})

STUDIES = (INITIALIZATION,)
