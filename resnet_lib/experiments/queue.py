"""The paper tier as a queue: what is not recorded, in which order, and working it off within a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import time
import re

from .. import data, experiments, records
from ..recipe import Execution
from ..train import read_checkpoint
from . import weights
from .parallel import train_missing
from .runner import Job, RunError, find_record

TIER = "paper"
# Experiment, its variants (a pattern), and whether their first seeds or the other ones. What stands nowhere here comes
# last, so that a variant that is declared later is in the queue without a word.
PLAN = (
    ("degradation", "(plain|residual)-(20|56)", True),
    ("degradation", "(plain|residual)-(20|56)", False),
    ("mnist_simple", ".*", True), ("fashion_d2l", ".*", True), ("cifar_resnet18", ".*", True),
    ("cifar_keras_v1", ".*", True),
    ("mnist_simple", ".*", False), ("fashion_d2l", ".*", False), ("cifar_resnet18", ".*", False),
    ("cifar_keras_v1", ".*", False),
    ("degradation", "(plain|residual)-(32|44)", True), ("degradation", "(plain|residual)-(32|44)", False),
    ("degradation", "(plain|residual)-110", True), ("degradation", "(plain|residual)-110", False),
)


@dataclass(frozen=True)
class Item:
    """One declared run, by name: that needs no data."""

    experiment: str
    variant: str
    seed: int

    def __str__(self) -> str:
        return f"{self.experiment}/{self.variant}-s{self.seed}"


@dataclass(frozen=True)
class Left:
    """A run that is not recorded. ``job`` is None where its data set does not lie here; ``at``: finished steps."""

    item: Item
    job: Job | None = None
    at: int = 0

    @property
    def state(self) -> str:
        """How far the run is, in words."""
        if self.job is None:
            return f"needs {data.TITLES[experiments.EXPERIMENTS[self.item.experiment].data]}: make data"
        steps = 0 if self.job.recipe is None else self.job.recipe.steps
        if self.at >= steps > 0:
            return "trained here, not recorded yet"
        return f"step {self.at:,} of {steps:,}" if self.at else "not begun"


def order() -> list[list[Item]]:
    """Every run of the paper tier once, in groups of one experiment, in the order in which they are worth having."""
    declared = {name: {v: experiments.seeds_of(name, TIER, v) for v in experiment.tiers[TIER].variants}
                for name, experiment in experiments.EXPERIMENTS.items() if TIER in experiment.tiers}
    groups: list[list[Item]] = []
    taken: set[Item] = set()
    for name, pattern, first in (*PLAN, *((name, ".*", first) for name in declared for first in (True, False))):
        group = [Item(name, variant, seed) for variant, seeds in declared.get(name, {}).items()
                 if re.fullmatch(pattern, variant) for seed in (seeds[:1] if first else seeds[1:])]
        groups.append([item for item in group if item not in taken])
        taken.update(group)
    return [group for group in groups if group]


def select(groups: Sequence[Sequence[Item]], pattern: str | None) -> list[list[Item]]:
    """The items whose name, such as "degradation/plain-20-s0", contains the shell pattern; ValueError if none does."""
    chosen = [[i for i in group if pattern is None or fnmatchcase(str(i), f"*{pattern}*")] for group in groups]
    if not any(chosen):
        raise ValueError(f"no run of the {TIER} tier matches {pattern!r}; their names are such as "
                         f"{', '.join(str(group[0]) for group in groups[:3])}")
    return [group for group in chosen if group]


def missing(groups: Sequence[Sequence[Item]], tell: Callable[[str], None]) -> list[list[Left]]:
    """What is not recorded, group by group. ``tell`` gets the reason where a record there does not count.

    The digits never stand in here: a run whose data set does not lie in data/ has no job.
    """
    found = [[left for left in (_left(item, tell) for item in group) if left] for group in groups]
    return [group for group in found if group]


def _left(item: Item, tell) -> Left | None:
    path = records.recorded_root() / item.experiment / TIER / f"{item.variant}-s{item.seed}.json"
    if path.exists():
        try:
            found = experiments.committed_record(path)
            if not found.data["fallback"]:
                return None
            tell(f"{path}: its data are {data.TITLES[found.data['name']]}, which only stand in for "
                 f"{data.TITLES[found.data['fallback']]}")
        except records.StaleRecord as error:
            tell(str(error))
    name = experiments.EXPERIMENTS[item.experiment].data
    if name is not None and not data.available(name):
        return Left(item)
    job = experiments.job(item.experiment, TIER, item.variant, item.seed)
    live = find_record(job)
    if live is not None:
        return Left(item, job, live.steps)
    state = checkpoint(job)
    return Left(item, job, state["at"] if state else 0)


def checkpoint(job: Job) -> dict | None:
    """The state in which a run was left here; None where there is none. ValueError for a damaged file."""
    path = job.live("ckpt")
    return read_checkpoint(path) if path.exists() else None


def unfinished_record(job: Job) -> records.Record | None:
    """What a stopped run has reached, up to its last row, as a record; None before the first row.

    Its seconds are those of all that was trained, so a little more than the rows took.
    """
    state = checkpoint(job)
    if state is None or not state["rows"]:
        return None
    last = state["rows"][-1]["step"]
    segments = [s for s in state["segments"] if s["from_step"] < last]
    return records.Record(job.experiment, job.tier, job.variant, job.seed, job.recipe_id, job.recipe.to_json(),
                          job.net, job.identity, segments, state["rows"],
                          [p for p in state["probes"] if p["step"] <= last], *records.commit())


def record(job: Job) -> records.Record | None:
    """Commit a run that is finished here: its weights, where they are kept, and its record. None if it is not."""
    found = find_record(job)
    if found is not None and found.live:
        weights.store(found, job.live("pt"))
        records.store(found)
    return found


def executions(choose: Callable[[Execution], Execution]) -> dict[str, Execution]:
    """What ``choose`` makes of the way in which each experiment's paper tier is declared to be carried out."""
    return {name: choose(e.tiers[TIER].execution) for name, e in experiments.EXPERIMENTS.items() if TIER in e.tiers}


def work(groups: Sequence[Sequence[Left]], how: dict[str, Execution], budget: float | None,
         tell: Callable[[str], None]) -> bool:
    """Train and record the groups in turn, all within ``budget`` seconds; whether all went without an error.

    ``how`` is what `executions` gave. An error stops its group (``tell`` gets the
    reason), not the queue. What is finished is recorded in any case, also after Ctrl-C; what is not has
    its checkpoint.
    """
    deadline = None if budget is None else time() + budget
    begun, well = False, True
    for group in groups:
        jobs = [left.job for left in group if left.job]
        rest = None if deadline is None else deadline - time()
        try:
            to_train = [job for job in jobs if find_record(job) is None]
            if to_train and not (begun and rest is not None and rest <= 0):
                begun = True
                train_missing(to_train, how[jobs[0].experiment], resume=True, budget=rest)
        except (RunError, ValueError) as error:  # ValueError: a damaged record or checkpoint
            tell(str(error))
            well = False
        finally:
            for job in jobs:
                try:
                    record(job)
                except ValueError as error:
                    tell(str(error))
                    well = False
    return well


def commands(group: Sequence[Left], flags: Sequence[str] = ()) -> list[str]:
    """What to type for a group: one line where its variants lack the same seeds."""
    seeds: dict[str, list[str]] = {}
    for left in group:
        seeds.setdefault(left.item.variant, []).append(str(left.item.seed))
    lines: dict[str, list[str]] = {}
    for variant, some in seeds.items():
        lines.setdefault(",".join(some), []).append(variant)
    return [" ".join(["python -m resnet_lib run", group[0].item.experiment, "--tier", TIER, "--variants",
                      ",".join(variants), "--seeds", some, *flags, "--resume --record"])
            for some, variants in lines.items()]
