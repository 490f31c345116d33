"""The small experiments of single chapters, each one question and its controls."""

from dataclasses import replace

from .declared import Experiment, Tier, Variant, pairs, plain, residual
from .recipe import Execution
from .systems import QUICK

CPU = Execution(device="cpu", threads=1, workers=0)

# --- function_classes: the same class of nets, entered at another point -------------------------------

# Recipe and pictures are those of the quick tier of `degradation`: its nets of 20 and 56 layers are the controls
GROW = replace(QUICK, probe_steps=())
GROW_SHORT = replace(QUICK, steps=1_200, drops=(1_000,), eval_every=100, probe_steps=())


def _trained(kind, steps: int, **options) -> Variant:
    """A net of 20 layers that grows to 56 in the middle of its run."""
    return Variant(kind(20, width=8), {"deepen_to": 56, "deepen_at": steps // 2},
                   "20 layers, deepened to 56 after half of the steps", **options)


def _untrained(kind, **options) -> Variant:
    """A net of 56 layers of which all but 8 begin as the identity."""
    return Variant(kind(8, width=8), {"deepen_to": 56}, "56 layers, all but 8 of them begun as identity", **options)


FUNCTION_CLASSES = Experiment(
    "function_classes", "If a deeper net begins with the function of a shallower one, does training keep the gain?",
    "cifar10",
    {"quick": Tier({"plain-20-to-56": _trained(plain, GROW.steps),
                    "residual-20-to-56": _trained(residual, GROW.steps, seeds=(0,)),
                    "plain-8-to-56": _untrained(plain)},
                   GROW, size=12, n_train=1500, n_test=500, seeds=(0, 1), execution=CPU),
     "short": Tier(pairs((20, 56), width=8) | {
                       f"{name}-{start}-to-56": make for name, kind in (("plain", plain), ("residual", residual))
                       for start, make in ((20, _trained(kind, GROW_SHORT.steps)), (8, _untrained(kind)))},
                   GROW_SHORT, size=12, n_train=5_000, n_test=1_000, seeds=(0, 1, 2), execution=CPU)})

STUDIES = (FUNCTION_CLASSES,)
