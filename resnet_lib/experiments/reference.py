"""The six reference experiments: degradation, and the systems whose published results are rebuilt."""

from dataclasses import replace

from .. import nets
from ..recipe import Recipe
from .declare import ONE_THREAD, TIERS, Experiment, Tier, Variant, pairs, plain, residual

# --- degradation ------------------------------------------------------------------------------------

HE15 = Recipe(eval_every=500, probe_steps=(0, 1, 30, 32_000, 64_000))  # §4.2; BN sees all 128 of a batch, not 2 × 64
# a sixteenth of the steps, with the drops where the paper has them: after a half and three quarters
SHORT = replace(HE15, steps=4_000, drops=(2_000, 3_000), eval_every=250, probe_steps=(0, 1, 30, 2_000, 4_000))


# §4.2: ResNet-110 begins at 0.01 until the training error is below 80 %, "about 400 iterations"; here always 400
WARM_110 = {"warmup_steps": 400, "warmup_lr": 0.01}

QUICK = Recipe(steps=192, batch=64, lr=0.05, drops=(), augment="none", eval_every=24,
               probe_steps=(0, 1, 2, 4, 8, 16, 30, 60, 96, 192))
RATES = (0.015, 0.15)  # on both sides of QUICK.lr


def _quick_degradation() -> dict[str, Variant]:
    narrow = plain(56, width=8)
    controls = {f"plain-56-lr{lr:g}": Variant(narrow, {"lr": lr, "probe_steps": ()}, f"learning rate {lr:g}",
                                              seeds=(0,)) for lr in RATES}
    # a tenth of the rate still inflates the first layers' weights tenfold; a thousandth leaves them as they were
    for part, words in ((10, "tenth"), (1000, "thousandth")):
        controls[f"plain-56-warmup-{part}"] = Variant(narrow, {"warmup_steps": 48, "warmup_lr": QUICK.lr / part},
                                                      f"the first 48 steps at a {words} of the rate", seeds=(0,))
    # what a good rate is depends on the norms, so the control with fixed norms has its own sweep, both depths
    for depth in (20, 56):
        for lr in (0.015, QUICK.lr, 0.15):
            controls[f"plain-{depth}-fixed-lr{lr:g}"] = Variant(
                plain(depth, width=8), {"fixed_norm": True, "lr": lr},
                f"convolutions keep the norms they began with, learning rate {lr:g}", seeds=(0, 1, 2))
    kept = {name: replace(v, keep=(0,)) for name, v in pairs((20, 56), width=8).items()}
    return kept | controls


def _tripled(recipe: Recipe) -> Variant:
    """plain-56 with three times the steps: He15 §4.1 reports, for ImageNet, that the degradation stayed."""
    drops = tuple(3 * step for step in recipe.drops)
    changes = {"steps": 3 * recipe.steps, "drops": drops, "eval_every": 3 * recipe.eval_every,
               "probe_steps": (0, 1, 30, drops[0], 3 * recipe.steps)}
    return Variant(plain(56), changes, "three times the steps", seeds=(0,))


def _short_degradation() -> dict[str, Variant]:
    between = {name: replace(v, seeds=(0,)) for name, v in pairs((32, 44)).items()}
    # a seed of its own, so that it can be held against the spread of the others
    float32 = {f"plain-{d}-float32": Variant(plain(d), note="carried out in float32", seeds=(3,),
                                             how={"precision": "float32"}) for d in (20, 56)}
    return pairs((20, 56)) | between | float32 | {"plain-56-3x": _tripled(SHORT)}


def _paper_degradation() -> dict[str, Variant]:
    lesions = {name: replace(v, keep=(0,)) for name, v in pairs((20, 56)).items()}  # nets to cut up in later chapters
    main = lesions | pairs((32, 44))
    deepest = {"plain-110": Variant(plain(110), WARM_110), "residual-110": Variant(residual(110), WARM_110)}
    exempt = {f"residual-{d}-decay-weights": Variant(residual(d), {"decay_all": False},
                                                     "no weight decay on batch norm and biases") for d in (20, 56)}
    return main | deepest | {"plain-56-3x": _tripled(HE15)} | exempt


DEGRADATION = Experiment(
    "degradation", "Does a deeper net train worse, and does the identity shortcut change that?", "cifar10",
    {"quick": Tier(_quick_degradation(), QUICK, size=12, n_train=1500, n_test=500, seeds=(0, 1, 2),
                   execution=ONE_THREAD),
     "short": Tier(_short_degradation(), SHORT, size=32, seeds=(0, 1, 2)),
     "paper": Tier(_paper_degradation(), HE15, size=32, seeds=(0, 1, 2))})

# --- the small residual system on MNIST -------------------------------------------------------------

# All that is known is as published: torch's own initialization, the files' order, a schedule that is never stepped.
MNIST = Recipe(steps=24_388, batch=64, optimizer="adam", lr=1e-3, weight_decay=0.0, drops=(), augment="none",
               normalize="unit", init="torch", shuffle=False, eval_every=938)  # 26 epochs of 938 steps
# rounding shall be no further difference to the published numbers, which bf16 would be
FLOAT32 = {"precision": "float32"}
EVERY_THIRD_EPOCH = tuple(range(3 * 938, 24_388, 3 * 938))


def _mnist(changes: dict, words: str, **rest) -> Variant:
    return Variant({"name": "mnist_simple_relu", **rest.pop("net", {})}, changes, words, how=FLOAT32, **rest)


MNIST_NETS = {
    "published": _mnist({}, "as published: no shuffling, no schedule, no batch norm"),
    "he": _mnist({"init": "he"}, "as published, but He initialization"),
    "stepped": _mnist({"drops": EVERY_THIRD_EPOCH}, "as published, its schedule stepped: a tenth every three epochs"),
    "shuffled": _mnist({"shuffle": True}, "as published, but shuffled every epoch"),
    "repaired": _mnist({"shuffle": True, "drops": (9_380, 18_760)}, "batch norm and ReLU inside the blocks, shuffled, "
                       "rate divided by 10 after epochs 10 and 20", net={"norm": True}),
}


def _shorter_mnist(drop: int, keep: tuple[int, ...] = ()) -> dict[str, Variant]:
    """The nets of a shorter tier, whose one drop of the rate comes after ``drop`` steps."""
    repaired = MNIST_NETS["repaired"]
    return {"published": MNIST_NETS["published"], "shuffled": MNIST_NETS["shuffled"],
            "repaired": replace(repaired, changes={**repaired.changes, "drops": (drop,)}, keep=keep)}


def _repairs_apart(drop: int) -> dict[str, Variant]:
    """The two repairs of "repaired", all shuffled: neither, each alone, both."""
    square = _shorter_mnist(drop)
    return {"shuffled": square["shuffled"],
            "scheduled": _mnist({"shuffle": True, "drops": (drop,)},
                                "no batch norm, the rate divided by 10 after three of the five epochs"),
            "normed": _mnist({"shuffle": True}, "batch norm and ReLU inside the blocks, no schedule",
                             net={"norm": True}),
            "repaired": square["repaired"]}


MNIST_SIMPLE = Experiment(
    "mnist_simple", "How good is a small residual net on digits, and why is its loss so high?", "mnist",
    {"quick": Tier(_shorter_mnist(100, keep=(0,)), replace(MNIST, steps=160, eval_every=40), size=28, n_train=2_560,
                   n_test=1_000, execution=ONE_THREAD),
     "short": Tier(_repairs_apart(2_814), replace(MNIST, steps=4_690), size=28, seeds=(0, 1, 2)),
     "paper": Tier(MNIST_NETS, MNIST, size=28, seeds=(0, 1, 2))})

# --- ResNet-18 on Fashion-MNIST, as in Dive into Deep Learning -------------------------------------

# Xavier for the weights only, as there. There PIL enlarges the pictures and rounds as it likes; here they are enlarged
# in 64 bits and rounded once, at most one of 255 levels away (tests/lib/nets/test_systems.py).
FASHION = Recipe(steps=2_350, batch=256, lr=0.05, momentum=0.0, weight_decay=0.0, drops=(), augment="none",
                 normalize="unit", init="xavier_weights", eval_every=235)
FASHION_NETS = {
    "d2l-resnet-18": Variant({"name": "d2l_resnet18"}, note="biases on all convolutions, bare shortcuts"),
    "resnet-18": Variant({"name": "resnet", "depth": 18, "num_classes": 10, "in_channels": 1},
                         note="torchvision's layout"),
}
FASHION_D2L = Experiment(
    "fashion_d2l", "What does ResNet-18 reach on pictures of clothes, and does the layout matter?", "fashion_mnist",
    {"quick": Tier(FASHION_NETS, replace(FASHION, steps=12, batch=64, lr=0.01, eval_every=4), size=32, n_train=512,
                   n_test=256, execution=ONE_THREAD),
     "short": Tier(FASHION_NETS, replace(FASHION, steps=705), size=96),
     "paper": Tier(FASHION_NETS, FASHION, size=96, seeds=(0, 1, 2))})

# --- ResNet-18 on CIFAR-10 --------------------------------------------------------------------------

# The initialization is that of the published code: fan-out for convolutions, torch's own for the last layer. That code
# tests without eval(), 128 pictures at a time in the order of the files, and prints a loss that is too small by the
# batch size; here a test is a test.
CIFAR18 = Recipe(steps=19_550, lr=1e-3, weight_decay=0.0, drops=(), augment="none", normalize="symmetric",
                 init="he_fan_out", eval_every=391)
CIFAR18_NETS = {
    "pool": Variant({"name": "cifar_resnet18"}, note="3×3 stem, then the ImageNet net's max-pooling"),
    "no-pool": Variant({"name": "cifar_resnet18", "pool": False}, note="without the max-pooling"),
    "he-recipe": Variant({"name": "cifar_resnet18", "pool": False},
                         {"lr": 0.1, "weight_decay": 1e-4, "augment": "crop_flip", "normalize": "pixel_mean",
                          "init": "he", "drops": (9_775, 14_663)}, "the recipe of He15 §4.2, drops at 1/2 and 3/4"),
}


def _he(**changes) -> dict[str, Variant]:
    he = CIFAR18_NETS["he-recipe"]
    return CIFAR18_NETS | {"he-recipe": replace(he, changes={**he.changes, **changes})}


CIFAR_RESNET18 = Experiment(
    "cifar_resnet18", "How far does ResNet-18 get on CIFAR-10, and what do pooling and recipe cost?", "cifar10",
    {"quick": Tier(_he(lr=0.02, drops=(4, 6)), replace(CIFAR18, steps=8, batch=64, eval_every=4), size=16, n_train=512,
                   n_test=256, execution=ONE_THREAD),
     "short": Tier(_he(drops=(1_955, 2_933)), replace(CIFAR18, steps=3_910), size=32),
     "paper": Tier(CIFAR18_NETS, CIFAR18, size=32, seeds=(0, 1, 2))})

# --- the 6n + 2 net with Adam -----------------------------------------------------------------------

# As Keras has it: initialization, ε and padding too. Two things are not in the code: how many epochs were trained (20
# here), and any training with SGD, which it prepares and never does.
KERAS = Recipe(steps=7_040, optimizer="adam", lr=1e-3, adam_eps=1e-7, adam_late_eps=True, weight_decay=0.0, drops=(),
               augment="none", normalize="unit", init="he_truncated", validation=0.1, eval_every=352)
SGD = {"optimizer": "sgd", "adam_late_eps": False}


def _keras(depths) -> dict[str, Variant]:
    nets_ = {d: {"name": "keras_v1", "depth": d, "padding": "keras"} for d in (*depths, 20)}
    return {f"adam-{d}": Variant(nets_[d]) for d in depths} | {
        "sgd-20": Variant(nets_[20], SGD, "SGD 1e-3 with momentum 0.9")}


CIFAR_KERAS_V1 = Experiment(
    "cifar_keras_v1", "What does the same kind of net reach with Adam, and with a held-out tenth?", "cifar10",
    {"quick": Tier(_keras((20,)), replace(KERAS, steps=32, eval_every=8), size=16, n_train=1_024, n_test=512,
                   execution=ONE_THREAD),
     "short": Tier(_keras((20,)), replace(KERAS, steps=1_760), size=32),
     "paper": Tier(_keras((20, 32, 44, 56, 110)), KERAS, size=32, seeds=(0, 1, 2))})

# --- the ImageNet family ------------------------------------------------------------------------------

FAMILY = {f"resnet-{d}": Variant({"name": "resnet", "depth": d}) for d in nets.IMAGENET} | {
    f"resnet-{d}-paper-stride": Variant({"name": "resnet", "depth": d, "stride_in": "1x1"}) for d in (50, 101, 152)}
IMAGENET_FAMILY = Experiment(
    "imagenet_family", "What do the ImageNet nets cost?", None, {tier: Tier(FAMILY, None, size=224) for tier in TIERS})

SYSTEMS = (DEGRADATION, MNIST_SIMPLE, FASHION_D2L, CIFAR_RESNET18, CIFAR_KERAS_V1, IMAGENET_FAMILY)
