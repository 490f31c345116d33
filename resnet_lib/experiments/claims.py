"""The paper's claims about CIFAR-10, one by one, each with a criterion and what our records say about it.

A criterion compares means over seeds of the paper tier of *degradation*, at the last step. The margins are the
project's bar for a reproduction and stood before any run of that tier was finished. Noise is twice the standard
error: of a difference, from both sides' seeds. What fewer than three seeds may say was fixed before the first of
them was finished: they decide nothing; they *point* to or against a claim where the distance to the margin is
larger than the noise, for which single runs are taken to scatter as the three seeds of the short tier do. The short
tier is another schedule: it is judged by the same criteria, for itself, and decides nothing about the paper's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import torch

from .. import nets
from ..lab.intervals import noise_of
from ..records import Record

AGREES, DIFFERS, UNDECIDED, UNTESTED = "agrees", "differs", "undecided", "untested"
FOR, AGAINST = "points to it", "points against it"
WORDS = {"train_error_eval": "training error", "test_error": "test error"}
SEEDS = 3  # fewer decide nothing
Find = Callable[[str], Sequence[Record]]  # a variant's finished records


@dataclass(frozen=True)
class Finding:
    """A verdict and its numbers in words."""

    verdict: str
    words: str


@dataclass(frozen=True)
class Evidence:
    """The finished runs that a claim is held against, and those by which single runs scatter where they are few."""

    find: Find
    scatter: Find = lambda variant: ()

    def values(self, variant: str, field: str) -> list[float]:
        """The last row's value of each seed."""
        return [r.final[field] for r in self.find(variant)]

    def noise(self, variants: Sequence[str], field: str) -> float:
        """Twice the standard error of a mean, or of the difference of two."""
        return noise_of(*((self._spread(v, field), len(self.find(v))) for v in variants))

    def _spread(self, variant: str, field: str) -> float:
        enough = self.find if len(self.find(variant)) >= SEEDS else self.scatter
        return stdev(r.final[field] for r in enough(variant))

    def missing(self, variants: Sequence[str]) -> list[str]:
        """What is needed before anything can be said."""
        few = [v for v in variants if not self.find(v)
               or len(self.find(v)) < SEEDS and len(self.scatter(v)) < SEEDS]
        return [f"{v} ({len(self.find(v))} of {SEEDS} seeds)" for v in few]

    def few(self, variants: Sequence[str]) -> bool:
        """Whether there are too few seeds to decide."""
        return any(len(self.find(v)) < SEEDS for v in variants)


@dataclass(frozen=True)
class Order:
    """``higher``'s error is above ``lower``'s by more than ``margin`` (a fraction)."""

    lower: str
    higher: str
    field: str
    margin: float = 0.0

    @property
    def variants(self) -> tuple[str, ...]:
        return self.lower, self.higher

    @property
    def words(self) -> str:
        error = WORDS[self.field]
        least = f" by more than {100 * self.margin:g} points" if self.margin else ""
        return f"{error} of {self.higher} above that of {self.lower}{least}"

    def judge(self, there: Evidence, published: dict) -> Finding:
        """Agrees or differs where the distance to the margin is larger than the noise, else undecided."""
        low, high = (there.values(v, self.field) for v in self.variants)
        gap = mean(high) - mean(low)
        around = there.noise(self.variants, self.field)
        return Finding(_side(gap - self.margin, around), f"{100 * gap:+.1f} ± {100 * around:.1f} points")


@dataclass(frozen=True)
class Above:
    """A variant's error is above ``level`` (a fraction)."""

    variant: str
    field: str
    level: float

    @property
    def variants(self) -> tuple[str, ...]:
        return (self.variant,)

    @property
    def words(self) -> str:
        return f"{WORDS[self.field]} of {self.variant} above {100 * self.level:g} %"

    def judge(self, there: Evidence, published: dict) -> Finding:
        """Agrees or differs where the distance to the level is larger than the noise, else undecided."""
        values = there.values(self.variant, self.field)
        around = there.noise(self.variants, self.field)
        return Finding(_side(mean(values) - self.level, around), f"{100 * mean(values):.1f} ± {100 * around:.1f} %")


def _side(distance: float, around: float) -> str:
    return UNDECIDED if abs(distance) <= around else AGREES if distance > 0 else DIFFERS


@dataclass(frozen=True)
class Near:
    """The test errors lie within ``margin`` of those published under ``key``."""

    variants: tuple[str, ...]
    key: str
    margin: float

    @property
    def words(self) -> str:
        return f"mean test error within {100 * self.margin:g} points of the published one, at each depth"

    def judge(self, there: Evidence, published: dict) -> Finding:
        """Agrees where all depths are near by more than the noise; differs where one is off by more than both."""
        said, verdicts = [], []
        for v in self.variants:
            off = mean(there.values(v, "test_error")) - published[self.key]["values"][v]["test_error"]
            verdicts.append(_side(self.margin - abs(off), there.noise([v], "test_error")))
            said.append(f"{v} {100 * off:+.2f}")
        worst = next((w for w in (DIFFERS, UNDECIDED) if w in verdicts), AGREES)
        return Finding(worst, ", ".join(said) + " points")


@dataclass(frozen=True)
class Undeclared:
    """A claim that needs runs this book does not declare; ``words`` says which."""

    words: str
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """What the paper says, where, and how it would be decided."""

    said: str
    place: str
    criterion: Order | Above | Near | Undeclared

    def judge(self, there: Evidence, published: dict) -> Finding:
        """The verdict on runs of *degradation*; of fewer than three seeds, only whether they point to it."""
        if isinstance(self.criterion, Undeclared):
            return Finding(UNTESTED, self.criterion.words)
        if missing := there.missing(self.criterion.variants):
            return Finding(UNTESTED, "not recorded: " + ", ".join(missing))
        found = self.criterion.judge(there, published)
        if there.few(self.criterion.variants):
            least = min(len(there.find(v)) for v in self.criterion.variants)
            word = {AGREES: FOR, DIFFERS: AGAINST}.get(found.verdict, found.verdict)
            return Finding(word, f"{found.words}, {least} seed{'s' * (least > 1)}")
        return found


DEPTHS = tuple(f"residual-{d}" for d in (20, 32, 44, 56))
CLAIMS = (
    Claim("Deeper plain nets have a higher training error: 56 layers against 20.", "Figures 1 and 6 (left)",
          Order("plain-20", "plain-56", "train_error_eval")),
    Claim("And a higher test error.", "Figures 1 and 6 (left)", Order("plain-20", "plain-56", "test_error", 0.02)),
    Claim("The plain net of 110 layers has an error above 60 %.", "Figure 6 (left), caption",
          Above("plain-110", "test_error", 0.6)),
    Claim("Residual nets gain from depth: the test error of 56 layers is below that of 20.",
          "Table 6, Figure 6 (middle)", Order("residual-56", "residual-20", "test_error")),
    Claim("Their training error falls with depth as well.", "Figure 6 (middle)",
          Order("residual-56", "residual-20", "train_error_eval")),
    Claim("The addition makes the difference: residual-56 trains better than plain-56.", "Figure 6",
          Order("residual-56", "plain-56", "train_error_eval")),
    Claim("Test errors of 20 to 56 layers.", "Table 6", Near(DEPTHS, "he15-table6", 0.006)),
    Claim("110 layers, begun at a tenth of the rate until the training error is below 80 %, gain again.", "Table 6",
          Order("residual-110", "residual-56", "test_error")),
    Claim("Begun at 0.1, 110 layers start several epochs later and still reach a similar accuracy.", "§4.2, footnote",
          Undeclared("needs residual-110 without warm-up, three seeds")),
    Claim("1202 layers train to below 0.1 % error, and test worse than 110 layers.", "§4.2, Table 6",
          Undeclared("needs residual-1202: about 11 times the cost of residual-110")),
    Claim("Layer responses of residual nets are smaller than those of plain nets, and smaller in deeper ones.",
          "Figure 7", Undeclared("needs the weights of the runs above, kept for seed 0 once they are recorded")),
)


# --- every reference system beside what is published of it ------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A variant of a reference system at tier paper, and where a published number for it stands (key "": nowhere)."""

    experiment: str
    variant: str
    key: str = ""
    name: str = ""
    field: str = "test_error"


def _rows(experiment: str, variants: Sequence[str], key: str = "") -> tuple[Row, ...]:
    return tuple(Row(experiment, v, key, v) for v in variants)


ROWS = (
    *_rows("degradation", [f"plain-{d}" for d in (20, 32, 44, 56)], "he15-figure6"),
    *_rows("degradation", [*DEPTHS, "residual-110"], "he15-table6"),
    Row("mnist_simple", "published", "mnist-simple", "published"),
    Row("mnist_simple", "published", "mnist-simple", "published", "test_loss"),
    Row("fashion_d2l", "d2l-resnet-18", "d2l-fashion", "resnet-18"),
    *_rows("fashion_small", ("narrow-18", "resnet-10-sgd", "resnet-10-sgd-fixed")),
    Row("fashion_small", "resnet-10", "fashion-small", "small"),
    *_rows("cifar_resnet18", ("pool", "no-pool", "he-recipe")),
    *_rows("cifar_keras_v1", ("adam-20", "sgd-20")),
    *(Row("imagenet_family", f"resnet-{d}{'-paper-stride' * (d >= 50)}", "he15-table1", f"residual-{d}", "macs")
      for d in nets.IMAGENET),
)


def _in_words(field: str, value: float, spread: float | None = None) -> str:
    if field == "macs":
        return f"{value / 1e9:.3g} GMAC"
    scale, digits, unit = (100, 2, " %") if field.endswith("error") else (1, 4, "")
    around = "" if spread is None else f" ± {scale * spread:.{digits}f}"
    return f"{scale * value:.{digits}f}{around}{unit}"


def system_row(row: Row, find: Callable[[str, str, str], Sequence[Record]], published: dict,
               declared: Callable[[str, str], dict]) -> tuple[str, str, str, str, str]:
    """System, variant, what, published, ours: the words of one line of the table.

    ``find(experiment, tier, variant)`` gives finished records, ``declared(experiment, variant)`` the net's spec.
    """
    value = published[row.key]["values"][row.name].get(row.field) if row.key else None
    theirs = "none" if value is None else _in_words(row.field, value)
    if row.field == "macs":
        with torch.device("meta"):  # shapes, no numbers
            macs = nets.cost(nets.build(declared(row.experiment, row.variant)), (3, 224, 224)).macs
        ours = _in_words("macs", macs)
    else:
        found = [r.final[row.field] for r in find(row.experiment, "paper", row.variant)]
        spread = stdev(found) if len(found) > 1 else None
        seeds = f", {len(found)} seed{'s' * (len(found) != 1)}"
        ours = _in_words(row.field, mean(found), spread) + seeds if found else "not recorded"
    return row.experiment, row.variant, row.field.replace("_", " ").replace("macs", "cost"), theirs, ours
