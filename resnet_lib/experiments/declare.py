"""How an experiment is declared: a question, and at each tier nets, data and a recipe.

`quick` runs live when the book is built (seconds on a CPU). The others are recorded: `short` is a shortened
schedule (up to an hour or so for a run on a core), `paper` the published recipe. A variant is a net and what it
changes in the tier's recipe.
"""

from dataclasses import dataclass, field

from ..recipe import Execution, Recipe

TIERS = ("quick", "short", "paper")


@dataclass(frozen=True)
class Variant:
    """One line of an experiment: a net's spec, and its changes to the tier's recipe."""

    net: dict
    changes: dict = field(default_factory=dict)
    note: str = ""
    seeds: tuple[int, ...] = ()  # where it differs from the tier's
    keep: tuple[int, ...] = ()  # seeds whose trained weights are kept
    how: dict = field(default_factory=dict)  # fields of `Execution` that its runs need, on whatever machine


# Small nets: a run a core is fastest, and the sums of one thread are the same on every number of cores.
ONE_THREAD = Execution(device="cpu", threads=1, workers=0)


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


def plain(depth: int, **net) -> dict:
    """Spec of a plain 6n + 2 net."""
    return {"name": "cifar_resnet", "depth": depth, "residual": False, **net}


def residual(depth: int, **net) -> dict:
    """Spec of a residual 6n + 2 net."""
    return {"name": "cifar_resnet", "depth": depth, "residual": True, **net}


def pairs(depths, **net) -> dict[str, Variant]:
    """Plain and residual nets of each depth, as variants."""
    plains = {f"plain-{d}": Variant(plain(d, **net)) for d in depths}
    return plains | {f"residual-{d}": Variant(residual(d, **net)) for d in depths}
