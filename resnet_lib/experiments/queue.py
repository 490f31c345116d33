"""The recorded tiers as a queue: what is not recorded, in which order, and working it off within a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
import re

from .. import data, experiments, records
from ..files import recorded, write_atomically
from ..recipe import Execution
from ..train import read_checkpoint
from . import weights
from .parallel import Follow, train_all
from .runner import Job, find_record

TIERS = ("short", "paper")
CENTRAL = "(plain|residual)-(20|56)"
FIRST, LATER, ALL = slice(0, 1), slice(1, None), slice(None)
# Experiment, tier, its variants (a pattern), and which of their seeds. What stands nowhere here comes last, so that
# a variant that is declared later is in the queue without a word.
PLAN = (
    ("degradation", "short", CENTRAL, ALL), ("initialization", "short", ".*", ALL), ("bottlenecks", "short", ".*", ALL),
    ("degradation", "short", "plain-(20|56)-float32", ALL),
    ("degradation", "short", "(plain|residual)-(32|44)", ALL),
    ("degradation", "paper", "(plain|residual)-20", FIRST), ("degradation", "short", "plain-56-3x", ALL),
    ("degradation", "paper", "(plain|residual)-56", FIRST),
    ("mnist_simple", "paper", ".*", ALL), ("mnist_simple", "short", ".*", ALL),
    ("cifar_keras_v1", "paper", "(adam|sgd)-20", FIRST),
    ("fashion_d2l", "paper", "d2l-resnet-18", FIRST), ("cifar_resnet18", "short", "pool", ALL),
    ("degradation", "paper", "(plain|residual)-20", LATER), ("degradation", "paper", CENTRAL, LATER),
    *((name, "paper", ".*", seeds) for seeds in (FIRST, LATER)
      for name in ("fashion_d2l", "cifar_resnet18", "cifar_keras_v1")),
    *(("degradation", "paper", f"(plain|residual)-{depths}", seeds) for depths in ("(32|44)", "110")
      for seeds in (FIRST, LATER)),
)


@dataclass(frozen=True)
class Item:
    """One declared run, by name: that needs no data."""

    experiment: str
    tier: str
    variant: str
    seed: int

    def __str__(self) -> str:
        return f"{self.experiment}/{self.tier}/{self.variant}-s{self.seed}"


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
    """Every run of the two tiers once, in groups of one tier, in the order in which they are worth having."""
    declared = {(name, tier): {v: experiments.seeds_of(name, tier, v) for v in experiment.tiers[tier].variants}
                for tier in reversed(TIERS) for name, experiment in experiments.EXPERIMENTS.items()
                if tier in experiment.tiers and (experiment.data is not None or tier == "paper")}
    groups: list[list[Item]] = []
    taken: set[Item] = set()
    for name, tier, pattern, which in (*PLAN, *((*key, ".*", which) for key in declared for which in (FIRST, LATER))):
        group = [Item(name, tier, variant, seed) for variant, seeds in declared.get((name, tier), {}).items()
                 if re.fullmatch(pattern, variant) for seed in seeds[which]]
        groups.append([item for item in group if item not in taken])
        taken.update(group)
    return [group for group in groups if group]


def select(groups: Sequence[Sequence[Item]], pattern: str | None) -> list[list[Item]]:
    """The items whose name, such as "degradation/paper/plain-20-s0", contains the shell pattern.

    ValueError if none does.
    """
    chosen = [[i for i in group if pattern is None or fnmatchcase(str(i), f"*{pattern}*")] for group in groups]
    if not any(chosen):
        raise ValueError(f"no run of the tiers {' and '.join(TIERS)} matches {pattern!r}; their names are such as "
                         f"{', '.join(str(group[0]) for group in groups[:3])}")
    return [group for group in chosen if group]


def missing(groups: Sequence[Sequence[Item]], tell: Callable[[str], None]) -> list[list[Left]]:
    """What is not recorded, group by group. ``tell`` gets the reason where a record there does not count.

    The digits never stand in here: a run whose data set does not lie in data/ has no job.
    """
    found = [[left for left in (_left(item, tell) for item in group) if left] for group in groups]
    return [group for group in found if group]


def _left(item: Item, tell) -> Left | None:
    path = recorded("runs", item.experiment, item.tier, f"{item.variant}-s{item.seed}.json")
    if experiments.counted(path, tell):
        return None
    name = experiments.EXPERIMENTS[item.experiment].data
    if name is not None and not data.available(name):
        return Left(item)
    job = experiments.job(item.experiment, item.tier, item.variant, item.seed)
    live = find_record(job)
    if live is not None:
        return Left(item, job, live.steps)
    state = checkpoint(job)
    return Left(item, job, state["at"] if state else 0)


def checkpoint(job: Job) -> dict | None:
    """The state in which a run was left, here or handed over; None where there is none. ValueError for a damaged
    file."""
    path = job.checkpoint()
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
        job.handed_over().unlink(missing_ok=True)
    return found


def hand_over(job: Job) -> Path | None:
    """Copy the checkpoint of a stopped run to data/runs, from where any machine's queue goes on; None without one."""
    if not job.live("ckpt").exists():
        return None
    content = job.live("ckpt").read_bytes()
    write_atomically(job.handed_over(), lambda file: file.write(content))
    return job.handed_over()


def executions(choose: Callable[[Execution], Execution]) -> dict[tuple[str, str], Execution]:
    """What ``choose`` makes of the way in which each experiment's tiers are declared to be carried out."""
    return {(name, tier): choose(e.tiers[tier].execution) for name, e in experiments.EXPERIMENTS.items()
            for tier in TIERS if tier in e.tiers}


def work(groups: Sequence[Sequence[Left]], how: dict[tuple[str, str], Execution], budget: float | None,
         tell: Callable[[str], None], follow: Follow | None = None) -> bool:
    """Train and record the runs in turn, all within ``budget`` seconds; whether all went without an error.

    ``how`` is what `executions` gave. An error stops its run (``tell`` gets the reason), not the queue. A run
    is recorded as soon as it is finished; one that is not has its checkpoint.
    """
    well, follow = True, follow or Follow()

    def failed(job: Job, error: Exception) -> None:
        nonlocal well
        tell(str(error))
        well = False
        if follow.failed is not None:
            follow.failed(job, error)

    def ended(job: Job) -> None:
        try:
            record(job)
        except ValueError as error:  # what was trained is damaged, or cannot be written
            failed(job, error)
        else:
            follow.ended(job)

    to_train = []
    for job in (left.job for group in groups for left in group if left.job):
        try:
            if record(job) is None:
                to_train.append((job, how[job.experiment, job.tier]))
        except ValueError as error:
            failed(job, error)
    if to_train:
        train_all(to_train, resume=True, budget=budget, follow=replace(follow, ended=ended, failed=failed))
    return well


def commands(group: Sequence[Left], flags: Sequence[str] = ()) -> list[str]:
    """What to type for a group: one line where its variants lack the same seeds."""
    seeds: dict[str, list[str]] = {}
    for left in group:
        seeds.setdefault(left.item.variant, []).append(str(left.item.seed))
    lines: dict[str, list[str]] = {}
    for variant, some in seeds.items():
        lines.setdefault(",".join(some), []).append(variant)
    return [" ".join(["python -m resnet_lib run", group[0].item.experiment, "--tier", group[0].item.tier, "--variants",
                      ",".join(variants), "--seeds", some, *flags, "--resume --record"])
            for some, variants in lines.items()]
