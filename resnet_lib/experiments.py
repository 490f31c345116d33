"""The six experiments, declared: nets, data and recipes at three tiers. `run` finds or trains them.

`quick` runs live when the book is built (seconds on a CPU), `short` is a shortened schedule for a free
GPU, `paper` is the published recipe. A variant is a net and what it changes in the tier's recipe.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from . import nets
from .recipe import Execution, Recipe
from .records import UNFINISHED, Record, StaleRecord, live_root, read, recorded_path, recorded_root
from .parallel import train_missing
from .runner import Job, Pictures, find_record
from .train import run_id

TIERS = ("quick", "short", "paper")


@dataclass(frozen=True)
class Variant:
    """One line of an experiment: a net's spec, and its changes to the tier's recipe."""

    net: dict
    changes: dict = field(default_factory=dict)
    note: str = ""
    seeds: tuple[int, ...] = ()  # where it differs from the tier's
    keep: tuple[int, ...] = ()  # seeds whose trained weights are kept


@dataclass(frozen=True)
class Tier:
    """An experiment at one cost. ``size`` is the side of the pictures, n_* the subset (None: all)."""

    variants: dict[str, Variant]
    recipe: Recipe | None  # None: nothing is trained, the net is only counted
    size: int
    n_train: int | None = None
    n_test: int | None = None
    seeds: tuple[int, ...] = (0,)
    execution: Execution = Execution()


@dataclass(frozen=True)
class Experiment:
    """A question, a data set, and its tiers."""

    name: str
    question: str
    data: str | None
    tiers: dict[str, Tier]


# --- degradation ------------------------------------------------------------------------------------

HE15 = Recipe(eval_every=500, probe_steps=(0, 1, 30, 32_000, 64_000))  # §4.2; BN sees all 128 of a batch, not 2 × 64


def _plain(depth: int, **net) -> dict:
    return {"name": "cifar_resnet", "depth": depth, "residual": False, **net}


def _residual(depth: int, **net) -> dict:
    return {"name": "cifar_resnet", "depth": depth, "residual": True, **net}


def _pairs(depths, **net) -> dict[str, Variant]:
    plain = {f"plain-{d}": Variant(_plain(d, **net)) for d in depths}
    return plain | {f"residual-{d}": Variant(_residual(d, **net)) for d in depths}


# §4.2: ResNet-110 begins at 0.01 until the training error is below 80 %, "about 400 iterations"; here always 400
WARM_110 = {"warmup_steps": 400, "warmup_lr": 0.01}

QUICK = Recipe(steps=192, batch=64, lr=0.05, drops=(), augment="none", eval_every=24,
               probe_steps=(0, 1, 2, 4, 8, 16, 30, 60, 96, 192))
RATES = (0.005, 0.015, 0.15)  # the sweep around QUICK.lr


def _quick_degradation() -> dict[str, Variant]:
    narrow = _plain(56, width=8)
    controls = {
        "plain-56-3x": Variant(narrow, {"steps": 3 * QUICK.steps, "eval_every": 48}, "three times the steps",
                               seeds=(0,)),
    }
    # a tenth of the rate still inflates the first layers' weights tenfold; a thousandth leaves them as they were
    for part, words in ((10, "tenth"), (1000, "thousandth")):
        controls[f"plain-56-warmup-{part}"] = Variant(narrow, {"warmup_steps": 48, "warmup_lr": QUICK.lr / part},
                                                      f"the first 48 steps at a {words} of the rate", seeds=(0,))
    for lr in RATES:
        controls[f"plain-56-lr{lr:g}"] = Variant(narrow, {"lr": lr}, f"learning rate {lr:g}", seeds=(0,))
    return _pairs((20, 56), width=8) | controls


def _paper_degradation() -> dict[str, Variant]:
    lesions = {name: replace(v, keep=(0,)) for name, v in _pairs((20, 56)).items()}  # nets to cut up in later chapters
    main = lesions | _pairs((32, 44))
    deepest = {"plain-110": Variant(_plain(110), WARM_110), "residual-110": Variant(_residual(110), WARM_110)}
    # He15 §4.1 reports, for ImageNet, that three times the steps left the degradation as it was
    tripled = {"steps": 192_000, "drops": (96_000, 144_000), "probe_steps": (0, 1, 30, 96_000, 192_000)}
    longer = Variant(_plain(56), tripled, "three times the steps", seeds=(0,))
    exempt = {f"residual-{d}-decay-weights": Variant(_residual(d), {"decay_all": False},
                                                     "no weight decay on batch norm and biases") for d in (20, 56)}
    return main | deepest | {"plain-56-3x": longer} | exempt


DEGRADATION = Experiment(
    "degradation", "Does a deeper net train worse, and does the identity shortcut change that?", "cifar10",
    {"quick": Tier(_quick_degradation(), QUICK, size=12, n_train=1500, n_test=500, seeds=(0, 1, 2),
                   execution=Execution(device="cpu", threads=1, workers=0)),
     "short": Tier(_pairs((20, 56)), replace(HE15, steps=4_000, drops=(2_000, 3_000), eval_every=250,
                                             probe_steps=(0, 1, 30, 2_000, 4_000)), size=32),
     "paper": Tier(_paper_degradation(), HE15, size=32, seeds=(0, 1, 2))})

# --- the small residual system on MNIST -------------------------------------------------------------

# One thing is not as published: the weights begin as in He et al. (2015b), the published code leaves torch's default
MNIST = Recipe(steps=24_388, batch=64, optimizer="adam", lr=1e-3, weight_decay=0.0, drops=(), augment="none",
               normalize="unit", shuffle=False, eval_every=938)  # 26 epochs of 938 steps, in the files' order
MNIST_NETS = {
    "published": Variant({"name": "mnist_simple"},
                         note="as published (no shuffling, no schedule, no batch norm), but He initialization"),
    "shuffled": Variant({"name": "mnist_simple"}, {"shuffle": True}, "the same, shuffled every epoch"),
    "repaired": Variant({"name": "mnist_simple", "norm": True}, {"shuffle": True, "drops": (9_380, 18_760)},
                        "batch norm and ReLU inside the blocks, rate divided by 10 after epochs 10 and 20"),
}


def _repaired_at(*drops: int) -> dict[str, Variant]:
    repaired = MNIST_NETS["repaired"]
    return MNIST_NETS | {"repaired": replace(repaired, changes={**repaired.changes, "drops": drops})}


MNIST_SIMPLE = Experiment(
    "mnist_simple", "How good is a small residual net on digits, and why is its loss so high?", "mnist",
    {"quick": Tier(_repaired_at(100), replace(MNIST, steps=160, eval_every=40), size=28, n_train=2_560, n_test=1_000),
     "short": Tier(_repaired_at(2_814), replace(MNIST, steps=4_690), size=28),
     "paper": Tier(MNIST_NETS, MNIST, size=28, seeds=(0, 1, 2))})

# --- ResNet-18 on Fashion-MNIST, as in Dive into Deep Learning -------------------------------------

FASHION = Recipe(steps=2_350, batch=256, lr=0.05, momentum=0.0, weight_decay=0.0, drops=(), augment="none",
                 normalize="unit", init="xavier", eval_every=235)
FASHION_NETS = {
    "d2l-resnet-18": Variant({"name": "d2l_resnet18"}, note="biases on all convolutions, bare shortcuts"),
    "resnet-18": Variant({"name": "resnet", "depth": 18, "num_classes": 10, "in_channels": 1},
                         note="torchvision's layout"),
}
FASHION_D2L = Experiment(
    "fashion_d2l", "What does ResNet-18 reach on pictures of clothes, and does the layout matter?", "fashion_mnist",
    {"quick": Tier(FASHION_NETS, replace(FASHION, steps=12, batch=64, lr=0.01, eval_every=4), size=32, n_train=512,
                   n_test=256),
     "short": Tier(FASHION_NETS, replace(FASHION, steps=705), size=96),
     "paper": Tier(FASHION_NETS, FASHION, size=96, seeds=(0, 1, 2))})

# --- ResNet-18 on CIFAR-10 --------------------------------------------------------------------------

CIFAR18 = Recipe(steps=19_550, lr=1e-3, weight_decay=0.0, drops=(), augment="none", normalize="symmetric",
                 eval_every=391)
CIFAR18_NETS = {
    "pool": Variant({"name": "cifar_resnet18"}, note="3×3 stem, then the ImageNet net's max-pooling"),
    "no-pool": Variant({"name": "cifar_resnet18", "pool": False}, note="without the max-pooling"),
    "he-recipe": Variant({"name": "cifar_resnet18", "pool": False},
                         {"lr": 0.1, "weight_decay": 1e-4, "augment": "crop_flip", "normalize": "pixel_mean",
                          "drops": (9_775, 14_663)}, "the recipe of He15 §4.2, drops at 1/2 and 3/4"),
}


def _he(**changes) -> dict[str, Variant]:
    he = CIFAR18_NETS["he-recipe"]
    return CIFAR18_NETS | {"he-recipe": replace(he, changes={**he.changes, **changes})}


CIFAR_RESNET18 = Experiment(
    "cifar_resnet18", "How far does ResNet-18 get on CIFAR-10, and what do pooling and recipe cost?", "cifar10",
    {"quick": Tier(_he(lr=0.02, drops=(4, 6)), replace(CIFAR18, steps=8, batch=64, eval_every=4), size=16, n_train=512,
                   n_test=256),
     "short": Tier(_he(drops=(1_955, 2_933)), replace(CIFAR18, steps=3_910), size=32),
     "paper": Tier(CIFAR18_NETS, CIFAR18, size=32, seeds=(0, 1, 2))})

# --- the 6n + 2 net with Adam -----------------------------------------------------------------------

KERAS = Recipe(steps=7_040, optimizer="adam", lr=1e-3, adam_eps=1e-7, weight_decay=0.0, drops=(), augment="none",
               normalize="unit", validation=0.1, eval_every=352)
SGD = {"optimizer": "sgd"}


def _keras(depths) -> dict[str, Variant]:
    adam = {f"adam-{d}": Variant({"name": "keras_v1", "depth": d}) for d in depths}
    return adam | {"sgd-20": Variant({"name": "keras_v1", "depth": 20}, SGD, "SGD 1e-3 with momentum 0.9")}


CIFAR_KERAS_V1 = Experiment(
    "cifar_keras_v1", "What does the same kind of net reach with Adam, and with a held-out tenth?", "cifar10",
    {"quick": Tier(_keras((20,)), replace(KERAS, steps=32, eval_every=8), size=16, n_train=1_024, n_test=512),
     "short": Tier(_keras((20,)), replace(KERAS, steps=1_760), size=32),
     "paper": Tier(_keras((20, 32, 44, 56, 110)), KERAS, size=32, seeds=(0, 1, 2))})

# --- the ImageNet family ------------------------------------------------------------------------------

FAMILY = {f"resnet-{d}": Variant({"name": "resnet", "depth": d}) for d in nets.IMAGENET} | {
    f"resnet-{d}-paper-stride": Variant({"name": "resnet", "depth": d, "stride_in": "1x1"}) for d in (50, 101, 152)}
IMAGENET_FAMILY = Experiment(
    "imagenet_family", "What do the ImageNet nets cost?", None, {tier: Tier(FAMILY, None, size=224) for tier in TIERS})

EXPERIMENTS = {e.name: e for e in (DEGRADATION, MNIST_SIMPLE, FASHION_D2L, CIFAR_RESNET18, CIFAR_KERAS_V1,
                                   IMAGENET_FAMILY)}
NO_DATA = {"name": "none", "n_train": 0, "n_test": 0, "sha256": "", "fallback": None}


def get(name: str, tier: str) -> tuple[Experiment, Tier]:
    """Experiment and tier by name; ValueError names the valid ones."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    experiment = EXPERIMENTS[name]
    if tier not in experiment.tiers:
        raise ValueError(f"unknown tier {tier!r}; {name} has {', '.join(experiment.tiers)}")
    return experiment, experiment.tiers[tier]


def _variant(name: str, tier: str, variant: str) -> Variant:
    _, declared = get(name, tier)
    if variant not in declared.variants:
        raise ValueError(f"unknown variant {variant!r}; {name} at tier {tier} has {', '.join(declared.variants)}")
    return declared.variants[variant]


def job(name: str, tier: str, variant: str, seed: int = 0) -> Job:
    """The run that a name stands for on the data that lie here; ValueError names the valid variants."""
    experiment, declared = get(name, tier)
    v, recipe, pictures, identity = _variant(name, tier, variant), None, None, NO_DATA
    net = nets.complete(v.net)
    if declared.recipe is not None:
        pictures = Pictures(experiment.data, declared.n_train, declared.n_test, declared.size)
        originals = pictures.originals()
        identity = originals.resized_identity(declared.size)
        recipe = replace(declared.recipe, **{**v.changes, "seed": seed})
        if "in_channels" in net:  # the digits that stand in for color pictures have one channel
            net["in_channels"] = originals.train_x.shape[1]
    recipe_id = run_id(net, recipe and recipe.to_json(), identity)
    return Job(name, tier, variant, seed, net, recipe, pictures, identity, recipe_id, keep=seed in v.keep)


def seeds_of(name: str, tier: str, variant: str) -> tuple[int, ...]:
    """The seeds that are declared for a variant."""
    _, declared = get(name, tier)
    return (0,) if declared.recipe is None else _variant(name, tier, variant).seeds or declared.seeds


def jobs(name: str, tier: str, seeds=None, variants=None) -> list[Job]:
    """All runs asked for. By default each variant of the tier with its own seeds."""
    _, declared = get(name, tier)
    chosen = list(declared.variants) if variants is None else list(dict.fromkeys(variants))
    if declared.recipe is None:
        seeds = (0,)
    found = []
    for variant in chosen:
        own = _variant(name, tier, variant).seeds or declared.seeds
        found += [job(name, tier, variant, seed) for seed in (own if seeds is None else dict.fromkeys(seeds))]
    return found


def find(name: str, tier: str, variant: str, unfinished: bool = False) -> list[Record]:
    """The records there are of a variant, by seed: live ones for the present data, else committed ones.

    Only records made by the present declaration count, and all of a result are of the same data. A
    committed record may be of data that do not lie here (CIFAR-10, where only the digits do). With
    ``unfinished`` a seed that has no result is stood in for by what a stopped run had reached, where
    that is committed: ask `Record.finished`.
    """
    live, committed, stopped = [], [], []
    folder = recorded_root() / name / tier
    for seed in seeds_of(name, tier, variant):
        stem = f"{variant}-s{seed}"
        if any((live_root() / name / tier).glob(f"{stem}.*.json")):  # else the pictures need not be read
            live += filter(None, [find_record(job(name, tier, variant, seed))])
        if (folder / f"{stem}.json").exists():
            committed.append(committed_record(folder / f"{stem}.json"))
        if unfinished and (folder / f"{stem}{UNFINISHED}").exists():
            stopped.append(committed_record(folder / f"{stem}{UNFINISHED}"))
    best = max(live, committed, key=len) or stopped  # max takes the first of equals: live
    same = [r for r in live + committed + stopped if r.data["sha256"] == best[0].data["sha256"]]
    by_seed = {r.seed: r for r in reversed(same)}  # live ones stand first and win
    return [by_seed[seed] for seed in sorted(by_seed)]


def committed_record(path: Path) -> Record:
    """A record of data/runs; StaleRecord, saying what differs, unless the present declaration would make it."""
    record = read(path)
    name = f"{record.experiment} {record.tier} {record.variant}-s{record.seed}"
    if recorded_path(record) != path:
        raise StaleRecord(f"{path}: by its content this is {name}, which belongs in {recorded_path(record)}. Move it "
                          f"there, or delete it")
    try:
        changes = _changes(record)
    except (ValueError, TypeError) as error:  # the variant is no longer there, or no net of today has such a spec
        changes = [str(error)]
    if changes:
        raise StaleRecord(f"{path}: stale: the declaration of {name} has changed since: {'; '.join(changes)}. Record "
                          f"it again: python -m resnet_lib run {record.experiment} --tier {record.tier} --variants "
                          f"{record.variant} --seeds {record.seed} --record")
    return record


def _changes(record: Record) -> list[str]:
    """What differs between a record and its declaration of today, taken on the record's own data."""
    _, declared = get(record.experiment, record.tier)
    variant = _variant(record.experiment, record.tier, record.variant)
    net, theirs = nets.complete(variant.net), {"net": nets.complete(record.net)}
    if "in_channels" in net:
        net["in_channels"] = record.net.get("in_channels")
    ours = {"net": net}
    if record.recipe is not None:
        theirs |= {"recipe": Recipe(**record.recipe).to_json(), "data": {"size": record.data["shape"][-1]}}
    if declared.recipe is not None:
        recipe = replace(declared.recipe, **{**variant.changes, "seed": record.seed})
        ours |= {"recipe": recipe.to_json(), "data": {"size": declared.size}}
    found = []
    for part in dict.fromkeys((*theirs, *ours)):
        a, b = theirs.get(part, {}), ours.get(part, {})
        found += [f"{key} of the {part} was {a.get(key)!r}, is {b.get(key)!r}" for key in dict.fromkeys((*a, *b))
                  if a.get(key) != b.get(key)]
    return found


def run(name: str, tier: str = "quick", seeds=(0,), variants=None, execution: Execution | None = None,
        resume: bool = True, budget: float | None = None) -> list[Record]:
    """Find or train the runs asked for, and return their records in the order of variants and seeds.

    ``variants=None`` is all of the tier, ``seeds=None`` each variant's declared seeds. A run whose id
    is already recorded (data/runs) or trained here (_build/runs) is not trained again. ``budget``:
    seconds after which unfinished runs are saved and left out of the result; ``resume`` goes on from
    such a checkpoint. ValueError for unknown names, with the valid ones.
    """
    _, declared = get(name, tier)
    wanted = jobs(name, tier, seeds, variants)
    records = {j.recipe_id: find_record(j) for j in wanted}
    missing = [j for j in wanted if records[j.recipe_id] is None]
    if missing:
        records |= train_missing(missing, execution or declared.execution, resume=resume, budget=budget)
    return [records[j.recipe_id] for j in wanted if records[j.recipe_id] is not None]
