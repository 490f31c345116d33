"""Experiments by name: `run` finds or trains their runs, `find` looks up what is recorded.

Declared in reference.py (the reference experiments) and studies.py (those of single chapters).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from .. import nets
from ..files import recorded
from ..identity import run_id
from ..recipe import Execution, Recipe
from ..records import UNFINISHED, Record, RecordError, StaleRecord, live_root, read, recorded_path
from ..wording import TITLES
from . import weights
from .declare import Experiment, Tier, Variant
from .parallel import train_missing
from .reference import SYSTEMS
from .runner import Job, Pictures, find_record, train_again
from .studies import STUDIES

EXPERIMENTS = {e.name: e for e in (*SYSTEMS, *STUDIES)}
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
    return Job(name, tier, variant, seed, net, recipe, pictures, identity, recipe_id, keep=seed in v.keep,
               how=v.how)


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


def find(name: str, tier: str, variant: str | None = None, unfinished: bool = False) -> list[Record]:
    """The records there are of a variant, by seed, or of all variants: live ones for the present data, else
    committed ones.

    Only records made by the present declaration count, and all of a result are of the same data. A
    committed record may be of data that do not lie here (CIFAR-10, where only the digits do). With
    ``unfinished`` a seed that has no result is stood in for by what a stopped run had reached, where
    that is committed: ask `Record.finished`.
    """
    if variant is None:
        return [r for v in EXPERIMENTS[name].tiers[tier].variants for r in find(name, tier, v, unfinished)]
    live, committed, stopped = [], [], []
    for seed in seeds_of(name, tier, variant):
        stem = f"{variant}-s{seed}"
        if any((live_root() / name / tier).glob(f"{stem}.*.json")):  # else the pictures need not be read
            live += filter(None, [find_record(job(name, tier, variant, seed))])
        for suffix, those in ((".json", committed), (UNFINISHED, stopped if unfinished else None)):
            path = recorded("runs", name, tier, stem + suffix)
            if those is not None and path.exists():
                those.append(committed_record(path))
    best = max(live, committed, key=len) or stopped  # max takes the first of equals: live
    same = [r for r in live + committed + stopped if r.data["sha256"] == best[0].data["sha256"]]
    by_seed = {r.seed: r for r in reversed(same)}  # live ones stand first and win
    return [by_seed[seed] for seed in sorted(by_seed)]


def committed_record(path: Path) -> Record:
    """A record of data/runs; StaleRecord, saying what differs, unless the present declaration would make it."""
    record = read(path)
    name = f"{record.experiment} {record.tier} {record.variant}-s{record.seed}"
    if recorded_path(record).parts[-3:] != path.parts[-3:]:
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


def counted(path: Path, tell: Callable[[str], None]) -> Record | None:
    """The record of data/runs at ``path``, if one is there and counts as a result or as an unfinished one.

    ``tell`` gets the reason where what is there does not count: it is damaged or stale, or its data only stood in for
    those of the experiment.
    """
    if not path.exists():
        return None
    try:
        record = committed_record(path)
    except RecordError as error:
        tell(str(error))
        return None
    if record.data["fallback"]:
        tell(f"{path}: its data are {TITLES[record.data['name']]}, which only stand in for "
             f"{TITLES[record.data['fallback']]}")
        return None
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
    return found + [f"{key} of the execution was {segment['execution'].get(key)!r}, is {value!r}"
                    for key, value in variant.how.items() for segment in record.segments
                    if segment["execution"].get(key) != value]


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


def trained(name: str, tier: str, variant: str, seed: int = 0) -> nn.Module:
    """The trained net of a run that keeps its weights (`Variant.keep`), on the CPU in evaluation mode.

    Found as in `find`, so that what is recorded of data that do not lie here is not trained anew on what stands in for
    them; else trained. Where a record is there without its weights, it is trained again. ValueError for a run that
    keeps none.
    """
    wanted = job(name, tier, variant, seed)
    if not wanted.keep:
        kept = [f"{v}-s{s}" for v, declared in get(name, tier)[1].variants.items() for s in declared.keep]
        raise ValueError(f"{variant}-s{seed} keeps no weights; those at tier {tier} of {name} that do: "
                         f"{', '.join(kept) or 'none'}")

    def kept_at(record: Record) -> Path:
        return wanted.live("pt") if record.live else recorded(*weights.recorded_path(record).parts[-4:])

    known = (r for r in find(name, tier, variant) if r.seed == seed and (r.live or kept_at(r).exists()))
    record = next(known, None) or run(name, tier, (seed,), [variant])[0]
    path = kept_at(record)
    if not path.exists():
        train_again(wanted, get(name, tier)[1].execution)
        path = wanted.live("pt")
    return weights.load(record, path)
