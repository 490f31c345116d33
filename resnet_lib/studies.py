"""The small experiments of single chapters, each one question and its controls."""

from dataclasses import replace

from .declared import Experiment, Tier, Variant, residual
from .recipe import Execution, Recipe
from .systems import QUICK

# --- bottlenecks ------------------------------------------------------------------------------------


def _bottleneck(width: int, expansion: int, **net) -> dict:
    return {"name": "cifar_bottleneck", "depth": 29, "width": width, "expansion": expansion, **net}


# three blocks a stage in each net, and widths at which all cost about what residual-20 of width 8 does: parameters
# within 4 %, MACs within 4 %. "straight" has three layers a block and no narrow place: the control for the squeeze
_SQUEEZED = {
    "straight-29": Variant(_bottleneck(10, 1), note="1×1, 3×3, 1×1, all as wide as the block"),
    "bottleneck-29": Variant(_bottleneck(8, 4), note="1×1, 3×3, 1×1, the 3×3 a quarter as wide", keep=(0,)),
}
BOTTLENECKS = Experiment(
    "bottlenecks", "At equal cost, does it matter that a bottleneck's 3×3 sees a quarter of the channels?", "cifar10",
    {"quick": Tier(_SQUEEZED, replace(QUICK, probe_steps=()), size=12, n_train=1500, n_test=500, seeds=(0, 1),
                   execution=Execution(device="cpu", threads=1, workers=0)),
     "short": Tier({"basic-20": Variant(residual(20, width=8), note="two 3×3")} | _SQUEEZED
                   | {"bottleneck-29-1x1": Variant(_bottleneck(8, 4, stride_in="1x1"),
                                                   note="the same, stride on the 1×1 as in the paper")},
                   Recipe(steps=1500, drops=(750, 1125), augment="none", eval_every=250), size=16, seeds=(0, 1, 2),
                   execution=Execution(device="cpu", threads=1, workers=0))})

STUDIES = (BOTTLENECKS,)
