"""What would change a conclusion: controls that one command runs and judges.

    python -m resnet_lib control                 # all of them, and what is known
    python -m resnet_lib control fixed-norms     # run one, and say whether the conclusion stands

A control names nets that could refute a conclusion of a chapter. The conclusion stands as long as even the best of
them ends at least ``margin`` above the reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from . import experiments
from .records import Record
from .recipe import Execution


@dataclass(frozen=True)
class Control:
    """One way in which a conclusion could fall."""

    name: str
    chapter: str  # its slug
    conclusion: str
    falls: str  # the outcome that would change it, in words
    experiment: str
    tried: tuple[str, ...]  # variants, each of which could refute
    against: str  # the variant they are compared with
    margin: float  # a fraction, as errors are: 0.02 is two points
    field: str = "train_error"
    tier: str = "quick"
    seeds: tuple[int, ...] = (0,)

    @property
    def command(self) -> str:
        return f"python -m resnet_lib control {self.name}"


@dataclass(frozen=True)
class Outcome:
    """Means over seeds, and whether the conclusion stands. ``best`` is the variant that came closest."""

    best: str
    error: float
    reference: float
    stands: bool

    def __str__(self) -> str:
        gap = 100 * (self.error - self.reference)
        return (f"{self.best} ends at {100 * self.error:.1f} %, {abs(gap):.1f} points "
                f"{'above' if gap >= 0 else 'below'} the reference: the conclusion "
                f"{'stands' if self.stands else 'falls'}")


_GAP = "plain-56 comes within 2 points of plain-20's training error"
CONTROLS = (
    Control("rates", "degradation", "An unlucky learning rate is not what holds plain-56 back.",
            f"At some rate {_GAP}.", "degradation",
            ("plain-56-lr0.005", "plain-56-lr0.015", "plain-56-lr0.15"), "plain-20", 0.02),
    Control("warm-up", "degradation", "A gentle start does not help plain-56.", f"After a warm-up {_GAP}.",
            "degradation", ("plain-56-warmup-10", "plain-56-warmup-1000"), "plain-20", 0.02),
    Control("longer", "degradation", "Three times these few steps do not let plain-56 catch up.",
            f"With three times the steps {_GAP} after one third of them.", "degradation", ("plain-56-3x",), "plain-20",
            0.02),
    Control("fixed-norms", "degradation",
            "Inflated weights of the first layers are not all that holds plain-56 back.",
            "With the norms of all convolutions held fixed, at some rate, " + _GAP + ", norms held fixed as well.",
            "degradation", tuple(f"plain-56-fixed-lr{lr}" for lr in ("0.015", "0.05", "0.15")), "plain-20-fixed-lr0.05",
            0.02, seeds=(0, 1, 2)),
    Control("addition", "degradation", "The addition, and nothing else, makes the 56-layer net train.",
            "residual-56 ends less than 10 points below plain-56.", "degradation", ("plain-56",), "residual-56", 0.10,
            seeds=(0, 1, 2)),
    Control("paper-longer", "degradation", "At the paper's scale, too, three times the steps leave the gap.",
            f"After 192,000 steps {_GAP} after 64,000. Needs a GPU.", "degradation", ("plain-56-3x",), "plain-20",
            0.01, tier="paper"),
)


def get(name: str) -> Control:
    """A control by name; ValueError names the valid ones."""
    for control in CONTROLS:
        if control.name == name:
            return control
    raise ValueError(f"unknown control {name!r}; there are {', '.join(c.name for c in CONTROLS)}")


def run(control: Control, execution: Execution | None = None) -> list[Record]:
    """Find or train what a control needs."""
    return experiments.run(control.experiment, control.tier, control.seeds, [*control.tried, control.against],
                           execution)


def find(control: Control) -> list[Record]:
    """What there is of a control's runs, live or recorded, without training anything; all or nothing."""
    found = []
    for variant in (*control.tried, control.against):
        some = [r for r in experiments.find(control.experiment, control.tier, variant) if r.seed in control.seeds]
        if {r.seed for r in some} != set(control.seeds):
            return []
        found += some
    return found if len({r.data["sha256"] for r in found}) == 1 else []


def judge(control: Control, records: Sequence[Record]) -> Outcome:
    """Whether the conclusion stands, by the means over seeds of the control's field."""
    means = {v: fmean(r.final[control.field] for r in records if r.variant == v)
             for v in (*control.tried, control.against)}
    best = min(control.tried, key=means.__getitem__)
    error, reference = means[best], means[control.against]
    return Outcome(best, error, reference, error - reference >= control.margin)
