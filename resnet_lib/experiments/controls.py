"""What would change a conclusion: controls that one command runs and judges.

    python -m resnet_lib control                 # all of them, and what is known
    python -m resnet_lib control fixed-norms     # run one, and say whether the conclusion stands

A control names nets that could refute a conclusion of a chapter. The conclusion stands as long as even the best of
them ends at least ``margin`` above the reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .. import experiments
from ..recipe import Execution
from ..records import Record


@dataclass(frozen=True)
class Control:
    """One way in which a conclusion could fall."""

    name: str
    chapter: str  # its slug
    conclusion: str
    falls: str  # the outcome that would change it, in words
    experiment: str
    tried: tuple[str, ...]  # variants, each of which could refute; "experiment/variant" for another experiment's
    against: str  # the one they are compared with
    margin: float  # a fraction, as errors are: 0.02 is two points
    field: str = "train_error"
    tier: str = "quick"
    seeds: tuple[int, ...] = (0,)

    @property
    def command(self) -> str:
        return f"python -m resnet_lib control {self.name}"


UNLEARNED = 0.8  # an error above this is no result of training: of ten classes guessing has 0.9


@dataclass(frozen=True)
class Outcome:
    """Means over seeds, and whether the conclusion stands. ``best`` is the variant that came closest."""

    best: str
    error: float
    reference: float
    stands: bool | None  # None: the reference has not learned either, so that nothing can come close to it or stay away

    def __str__(self) -> str:
        if self.stands is None:
            return (f"The reference ends at {100 * self.reference:.1f} %, which is hardly better than guessing: "
                    f"this control cannot judge here")
        gap = 100 * (self.error - self.reference)
        return (f"{self.best} ends at {100 * self.error:.1f} %, {abs(gap):.1f} points "
                f"{'above' if gap >= 0 else 'below'} the reference: the conclusion "
                f"{'stands' if self.stands else 'falls'}")


_GAP = "plain-56 comes within 2 points of plain-20's training error"
CONTROLS = (
    Control("rates", "degradation", "An unlucky learning rate is not what holds plain-56 back.",
            f"At some rate {_GAP}.", "degradation", ("plain-56-lr0.015", "plain-56-lr0.15"), "plain-20", 0.02),
    Control("warm-up", "degradation", "A gentle start does not close plain-56's gap.", f"After a warm-up {_GAP}.",
            "degradation", ("plain-56-warmup-10", "plain-56-warmup-1000"), "plain-20", 0.02),
    Control("fixed-norms", "degradation",
            "Inflated weights of the first layers are not all that holds plain-56 back.",
            "With the norms of all convolutions held fixed, at some rate, " + _GAP + ", norms held fixed as well.",
            "degradation", tuple(f"plain-56-fixed-lr{lr}" for lr in ("0.015", "0.05", "0.15")), "plain-20-fixed-lr0.05",
            0.02, seeds=(0, 1, 2)),
    Control("addition", "degradation", "The addition, and nothing else, makes the 56-layer net train.",
            "residual-56 ends less than 10 points below plain-56.", "degradation", ("plain-56",), "residual-56", 0.10,
            seeds=(0, 1, 2)),
    Control("larger-rate", "signals",
            "Without batch norm, a larger rate does not make up for the factor of two that Xavier's constant loses.",
            "At ten times the rate, a 20-layer net begun with Xavier comes within 3 points of one begun with He.",
            "initialization", ("xavier-20", "xavier-20-lr0.2"), "he-20", 0.03),
    Control("batch-norm", "signals", "Batch norm makes up for Xavier's constant.",
            "Without batch norm the net begun with Xavier comes within 3 points of the same net with batch norm.",
            "initialization", ("xavier-20",), "xavier-20-norm", 0.03),
    Control("other-start", "function_classes",
            "Within one class of plain nets, the starting point decides how well 56 layers train.",
            "Begun as usual, plain-56 comes within 2 points of the same net begun at the identity.",
            "function_classes", ("degradation/plain-56",), "plain-8-to-56", 0.02, seeds=(0, 1)),
    Control("silent-branches", "without_norm",
            "Without batch norm, a residual net of 56 layers needs branches that begin small.",
            "At one of two rates, the net without a remedy comes within 2 points of the one with branches times 1/√L.",
            "no_batch_norm", ("none-lr0.05", "none-lr0.005"), "sqrt-lr0.05", 0.02),
    Control("weaker-shortcut", "residual_block", "Weakening or replacing the shortcut makes 20 layers train worse.",
            "A gate, a factor of one half or a 1×1 convolution on the shortcut ends within a point of the identity.",
            "shortcut_kinds", ("conv", "scaled-both", "gated-0"), "degradation/residual-20", 0.01),
    Control("longer", "degradation",
            "At full width on all of CIFAR-10, three times the steps of the shortened schedule leave the gap.",
            f"After 12,000 steps {_GAP} after 4,000. About two hours on a processor core with bf16.", "degradation",
            ("plain-56-3x",), "plain-20", 0.02, tier="short"),
    Control("paper-longer", "degradation", "In the paper's own schedule, too, three times the steps leave the gap.",
            f"After 192,000 steps {_GAP} after 64,000. More than a day on a processor core with bf16.", "degradation",
            ("plain-56-3x",), "plain-20", 0.01, tier="paper"),
)


def get(name: str) -> Control:
    """A control by name; ValueError names the valid ones."""
    for control in CONTROLS:
        if control.name == name:
            return control
    raise ValueError(f"unknown control {name!r}; there are {', '.join(c.name for c in CONTROLS)}")


def parts(control: Control) -> list[tuple[str, str]]:
    """Experiment and variant of each net of a control, the reference last."""
    return [tuple(name.rsplit("/", 1)) if "/" in name else (control.experiment, name)
            for name in (*control.tried, control.against)]


def run(control: Control, execution: Execution | None = None) -> list[Record]:
    """Find or train what a control needs."""
    together: dict[str, list[str]] = {}  # runs of one call train at the same time
    for experiment, variant in parts(control):
        together.setdefault(experiment, []).append(variant)
    return [record for experiment, variants in together.items()
            for record in experiments.run(experiment, control.tier, control.seeds, variants, execution)]


def find(control: Control) -> list[Record]:
    """What there is of a control's runs, live or recorded, without training anything; all or nothing."""
    found = []
    for experiment, variant in parts(control):
        some = [r for r in experiments.find(experiment, control.tier, variant) if r.seed in control.seeds]
        if {r.seed for r in some} != set(control.seeds):
            return []
        found += some
    return found if len({r.data["sha256"] for r in found}) == 1 else []


def judge(control: Control, records: Sequence[Record]) -> Outcome:
    """Whether the conclusion stands, by the means over seeds of the control's field."""
    means = [fmean(r.final[control.field] for r in records if (r.experiment, r.variant) == part)
             for part in parts(control)]
    *errors, reference = means
    error = min(errors)
    best = parts(control)[errors.index(error)][1]
    stands = None if reference > UNLEARNED else error - reference >= control.margin
    return Outcome(best, error, reference, stands)
