"""The small experiments of single chapters, each one question and its controls."""

from dataclasses import replace

from .declared import Experiment, Tier, Variant, plain, residual
from .recipe import Execution
from .systems import QUICK

ONE_THREAD = Execution(device="cpu", threads=1, workers=0)

# --- the residual block --------------------------------------------------------------------------------

SHORT = replace(QUICK, probe_steps=())  # on a processor in minutes: small pictures, more of them, one drop of the rate


def _tampered(depth: int) -> dict[str, Variant]:
    """The rows of He16 Table 1 after the first two, narrow. A name ends in the bias that its gate begins with, b_g."""
    def variant(note: str, **net) -> Variant:
        return Variant({"name": "tampered_resnet", "depth": depth, "width": 8, **net}, note=note)

    return {
        "scaled": variant("F + x/2", kind="scaled"),
        "scaled-both": variant("F/2 + x/2", kind="scaled-both"),
        "exclusive-0": variant("g·F + (1 − g)·x, gate bias 0", kind="exclusive"),
        "exclusive-6": variant("g·F + (1 − g)·x, gate bias −6", kind="exclusive", gate_bias=-6.0),
        "gated-0": variant("F + (1 − g)·x, gate bias 0", kind="gated"),
        "gated-6": variant("F + (1 − g)·x, gate bias −6", kind="gated", gate_bias=-6.0),
        "conv": variant("F + 1×1 convolution of x", kind="conv"),
        "dropout": variant("F + dropout of x, one half", kind="dropout"),
    }


UNTAMPERED = {"identity": Variant(residual(56, width=8), note="F + x, the original"),
              "plain": Variant(plain(56, width=8), note="F alone, the plain net")}
# at quick the two are residual-20 and plain-20 of `degradation`: the same recipe and pictures
SHORTCUT_KINDS = Experiment(
    "shortcut_kinds", "What does it cost to put something on the shortcut?", "cifar10",
    {"quick": Tier(_tampered(20), QUICK, size=12, n_train=1500, n_test=500, execution=ONE_THREAD),
     "short": Tier(UNTAMPERED | _tampered(56), replace(SHORT, steps=800, drops=(600,), eval_every=100), size=12,
                   n_train=10_000, n_test=2_000, seeds=(0, 1, 2), execution=ONE_THREAD)})


def _unnormalized(rates) -> dict[str, Variant]:
    """A residual net of 56 layers without batch norm under each remedy, and its two controls, at each rate."""
    notes = {"none": "no remedy", "zero": "last convolution of a branch begins at zero",
             "skipinit": "a learned factor that begins at zero", "sqrt": "branch times 1/√L", "fixup": "Fixup"}
    nets = {remedy: ({"name": "unnormalized_resnet", "depth": 56, "remedy": remedy, "width": 8}, note)
            for remedy, note in notes.items()}
    nets |= {"plain": (plain(56, width=8, norm=False), "no batch norm, no addition"),
             "norm": (residual(56, width=8, block="pre"), "with batch norm")}
    return {f"{name}-lr{lr:g}": Variant(net, {"lr": lr}, note) for lr in rates for name, (net, note) in nets.items()}


RATES_WITHOUT_NORM = (0.05, 0.005)
NO_BATCH_NORM = Experiment(
    "no_batch_norm", "Can a deep residual net do without batch norm, and what has to replace it?", "cifar10",
    {"quick": Tier(_unnormalized(RATES_WITHOUT_NORM), replace(SHORT, steps=96, eval_every=12), size=12, n_train=1500,
                   n_test=500, execution=ONE_THREAD),
     "short": Tier(_unnormalized(RATES_WITHOUT_NORM), replace(SHORT, steps=600, drops=(450,), eval_every=100), size=12,
                   n_train=10_000, n_test=2_000, seeds=(0, 1, 2), execution=ONE_THREAD)})


def _in_place(depth: int) -> dict[str, Variant]:
    """Blocks whose first operation is a ReLU, as written and with inplace=True."""
    relu_first = {"name": "relu_first_resnet", "depth": depth, "width": 8}
    free = {"name": "unnormalized_resnet", "depth": depth, "remedy": "sqrt", "width": 8}
    return {"relu-first": Variant(relu_first, note="with batch norm, ReLU first"),
            "relu-first-inplace": Variant({**relu_first, "inplace": True}, note="the same, inplace=True"),
            "sqrt": Variant(free, {"lr": 0.02}, "without batch norm, branch times 1/√L, ReLU first"),
            "sqrt-inplace": Variant({**free, "inplace": True}, {"lr": 0.02}, "the same, inplace=True")}


IN_PLACE = Experiment(
    "in_place", "How much does a ReLU that overwrites the shortcut cost?", "cifar10",
    {"quick": Tier(_in_place(20), replace(SHORT, steps=96, eval_every=12), size=12, n_train=1500, n_test=500,
                   execution=ONE_THREAD),
     "short": Tier(_in_place(56), replace(SHORT, steps=600, drops=(450,), eval_every=100), size=12, n_train=10_000,
                   n_test=2_000, seeds=(0, 1, 2), execution=ONE_THREAD)})

RESIDUAL_BLOCK = (SHORTCUT_KINDS, NO_BATCH_NORM, IN_PLACE)

# ---------------------------------------------------------------------------------------------------------

STUDIES = (*RESIDUAL_BLOCK,)
