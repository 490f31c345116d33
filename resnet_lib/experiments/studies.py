"""The small experiments of single chapters, each one question and its controls."""

from dataclasses import replace

from ..recipe import Recipe
from .declare import ONE_THREAD, Experiment, Tier, Variant, pairs, plain, residual
from .reference import QUICK

# --- why_depth: how far does depth help a plain net, at equal arithmetic? ------------------------------

# Widths that make the multiply-adds equal, to a few per cent (tests/chapters/test_why_depth.py): a net of 6n + 2 layers
# has about n times w² of them. The conventional net has as many.
EQUAL = {8: 15, 14: 10, 20: 8}
CONVENTIONAL = {"name": "small_cnn", "size": 12, "width": 44, "hidden": 40}

DEPTH_HELPS = Experiment(
    "depth_helps", "How far does depth help a plain net, at equal arithmetic?", "cifar10",
    {"quick": Tier({"cnn-4": Variant(CONVENTIONAL, note="two convolutions, two fully connected layers")}
                   | {f"plain-{d}": Variant(plain(d, width=w), note=f"{d} layers of {w}, {2 * w} and {4 * w} channels")
                      for d, w in EQUAL.items()},
                   replace(QUICK, steps=96, probe_steps=()), size=12, n_train=1500, n_test=500, seeds=(0, 1, 2),
                   execution=ONE_THREAD)})

# --- signals: does the constant of the initialization decide whether a plain net trains? ----------------------------

# degradation's quick recipe at a rate that nets without batch norm bear: at 0.1 plain-20 no longer trains
WITHOUT_NORM = replace(QUICK, lr=0.02, steps=168, eval_every=42, probe_steps=(0, 168))
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
    {"quick": Tier(_init_pairs((8, 20), (0, 1)) | _init_rates(0.2) | _init_norm(), WITHOUT_NORM, size=12,
                   n_train=1500, n_test=500, execution=ONE_THREAD),
     "short": Tier(_init_pairs((8, 14, 20, 32)) | _init_rates(0.1, 0.5) | _init_norm(), LONGER, size=16, n_train=5000,
                   n_test=1000, seeds=(0, 1, 2), execution=ONE_THREAD)})

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
                   GROW, size=12, n_train=1500, n_test=500, seeds=(0, 1), execution=ONE_THREAD),
     "short": Tier(pairs((20, 56), width=8) | {
                       f"{name}-{start}-to-56": make for name, kind in (("plain", plain), ("residual", residual))
                       for start, make in ((20, _trained(kind, GROW_SHORT.steps)), (8, _untrained(kind)))},
                   GROW_SHORT, size=12, n_train=5_000, n_test=1_000, seeds=(0, 1, 2), execution=ONE_THREAD)})

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
        "dropout": variant("F + dropout of x, one half", kind="dropout-0.5"),
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
             "zero-live": "the same, except in the two blocks that append channels",
             "skipinit": "a learned factor that begins at zero", "sqrt": "branch times 1/√L", "fixup": "Fixup"}
    nets = {remedy: ({"name": "unnormalized_resnet", "depth": 56, "remedy": remedy, "width": 8}, note)
            for remedy, note in notes.items()}
    nets |= {"plain": (plain(56, width=8, norm=False), "no batch norm, no addition"),
             "norm": (residual(56, width=8, block="pre"), "with batch norm")}
    return {f"{name}-lr{lr:g}": Variant(net, {"lr": lr}, note) for lr in rates for name, (net, note) in nets.items()}


RATES_WITHOUT_NORM = (0.05, 0.005)
NO_BATCH_NORM = Experiment(
    "no_batch_norm", "Can a deep residual net do without batch norm, and what has to replace it?", "cifar10",
    {"quick": Tier(_unnormalized(RATES_WITHOUT_NORM), replace(SHORT, steps=84, eval_every=28), size=12, n_train=1500,
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
                   execution=ONE_THREAD),
     "short": Tier({"basic-20": Variant(residual(20, width=8), note="two 3×3")} | _SQUEEZED
                   | {"bottleneck-29-1x1": Variant(_bottleneck(8, 4, stride_in="1x1"),
                                                   note="the same, stride on the 1×1 as in the paper")},
                   Recipe(steps=1500, drops=(750, 1125), augment="none", eval_every=250), size=16, seeds=(0, 1, 2),
                   execution=ONE_THREAD)})

# --- before and after: one change to the block at a time ------------------------------------------------

# multiply-adds equal to those of residual-14 within a tenth (tests/chapters/test_after.py)
RELATIVES = Experiment(
    "relatives", "At equal arithmetic, which change to the block matters more than the seed in a short run?", "cifar10",
    {"quick": Tier({"residual-14": Variant(residual(14, width=10), note="relu(F + x), the reference"),
                    "plain-14": Variant(plain(14, width=10), note="relu(F)"),
                    "highway-14": Variant({"name": "highway_net", "depth": 14, "width": 10}, note="a gate"),
                    "pre-14": Variant(residual(14, width=10, block="pre"), note="pre-activation"),
                    "wide-8": Variant(residual(8, width=15), note="fewer blocks, wider ones"),
                    "se-14": Variant({"name": "se_resnet", "depth": 14, "ratio": 4, "width": 10},
                                     note="a factor for each channel"),
                    "dense": Variant({"name": "dense_net", "layers": 2, "growth": 9}, note="appended, not added")},
                   replace(QUICK, steps=48, eval_every=48, probe_steps=()), size=12, n_train=1500, n_test=500,
                   seeds=(0, 1, 2), execution=ONE_THREAD)})

# --- Fashion-MNIST: five epochs of a small net ---------------------------------------------------------------

def _narrow(width: int) -> dict:
    return {"name": "cifar_resnet18", "width": width, "pool": False}


# the rate is the step's size against the kernels' norms, which stay what they were
_RESNET10 = Variant({"name": "cifar_resnet18", "width": 32, "blocks": 1},
                    {"optimizer": "muon", "lr": 0.07, "momentum": 0.6, "fixed_norm": True, "mirrored": True},
                    note="1.23 million parameters, one block a stage, max-pooling, Muon")


# 938 batches an epoch, the first one for the rise of the rate; chosen on the last sixth of the training pictures
FIVE_EPOCHS = Recipe(steps=4_690, batch=64, lr=0.05, schedule="linear", warmup_steps=938, drops=(), augment="flip",
                     eval_every=938)
FASHION_SMALL = Experiment(
    "fashion_small", "How far does a small residual net come on pictures of clothes in five epochs?", "fashion_mnist",
    {"quick": Tier({"narrow-18": Variant(_narrow(8), note="width 8, 14×14", keep=(0,))},
                   replace(FIVE_EPOCHS, steps=235, warmup_steps=47, eval_every=47),
                   size=14, n_train=3_000, n_test=1_000, execution=ONE_THREAD),
     "paper": Tier({"narrow-18": Variant(_narrow(16), note="701 thousand parameters, pictures of 28×28"),
                    "resnet-10": _RESNET10,
                    "resnet-10-sgd": replace(_RESNET10, changes={"lr": 0.1, "mirrored": True},
                                             note="the same, SGD as for narrow-18 but at twice the rate"),
                    "resnet-10-sgd-fixed": replace(_RESNET10, changes={"lr": 0.1, "mirrored": True, "fixed_norm": True},
                                                   note="the same, SGD, but kernels of fixed norm")},
                   FIVE_EPOCHS, size=28, seeds=(0, 1, 2), execution=ONE_THREAD)})

# --- the lesion lab: nets whose weights are kept, to be taken apart on a page ---------------------------------

# three epochs of 469 batches, no augmentation: it costs little here, and mirrored digits are other signs
THREE_EPOCHS = Recipe(steps=1_407, drops=(938, 1_266), warmup_steps=100, augment="none", eval_every=469)
ALL_SEEDS = (0, 1, 2)
LESIONS = Experiment(
    "lesions", "Which blocks of a trained net can be removed, and does the addition decide it?", "fashion_mnist",
    {"quick": Tier(pairs((20,), width=8), replace(QUICK, probe_steps=()), size=14, n_train=1_500, n_test=500,
                   execution=ONE_THREAD),
     "short": Tier({name: replace(v, keep=ALL_SEEDS) for name, v in pairs((20,), width=8).items()}, THREE_EPOCHS,
                   size=28, seeds=ALL_SEEDS, execution=ONE_THREAD)})
# in [0, 1], so that the page need not carry the mean picture
DIGIT_NET = Experiment(
    "digit_net", "How good is a residual net on digits that is small enough to stand in a page?", "mnist",
    {"quick": Tier({"residual-20": Variant(residual(20, width=8))}, replace(QUICK, probe_steps=(), normalize="unit"),
                   size=14, n_train=1_500, n_test=500, execution=ONE_THREAD),
     "short": Tier({"residual-20": Variant(residual(20, width=8), keep=(0,))},
                   replace(THREE_EPOCHS, normalize="unit"), size=28, execution=ONE_THREAD)})

STUDIES = (DEPTH_HELPS, INITIALIZATION, FUNCTION_CLASSES, SHORTCUT_KINDS, NO_BATCH_NORM, IN_PLACE, BOTTLENECKS,
           RELATIVES, FASHION_SMALL, LESIONS, DIGIT_NET)
