"""Records: what a run gave, with where it came from; and the two stores they lie in.

`data/runs/` holds recorded runs (committed), `_build/runs/` what this machine has trained. A record is
``<experiment>/<tier>/<variant>-s<seed>.json``; in the second store the first eight digits of the id
are part of the name, so that runs on different data do not replace each other. What a run reached before
it was stopped may be committed too, as ``<variant>-s<seed>.unfinished.json``: another name, and nothing
here or above takes it for a result unless asked to.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
import hashlib
import json
import math
import subprocess

from . import __version__, identity
from .files import all_recorded, home, schema_problem, write_atomically
from .recipe import Recipe
from .wording import TITLES, advice, duration

SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
SCHEMA_VERSION = 1
UNFINISHED = ".unfinished.json"


class RecordError(ValueError):
    """A record that cannot be read, trusted or written; the message names the file and the way out."""


class StaleRecord(RecordError):
    """A record that the present code would not make; the message says which part differs."""


def recorded_root() -> Path:
    """Where records are committed to; `files.recorded` also finds those that come with the library."""
    return home() / "data" / "runs"


def live_root() -> Path:
    """Where runs of this machine lie, with their checkpoints."""
    return home() / "_build" / "runs"


@dataclass
class Record:
    """One run. Rows and probes hold deterministic values only; times stand in the segments."""

    experiment: str
    tier: str
    variant: str
    seed: int
    recipe_id: str
    recipe: dict
    net: dict
    data: dict
    segments: list[dict]
    rows: list[dict]
    probes: list[dict] = field(default_factory=list)
    commit: str = "unknown"
    dirty: bool = True
    schema: int = SCHEMA_VERSION
    semantics: int | None = field(default_factory=lambda: identity.SEMANTICS)  # so that a stale record can say why
    digest: str | None = field(default=None, compare=False)  # the first records have none
    live: bool = field(default=False, compare=False)  # by which store it was read from; not written

    @property
    def final(self) -> dict:
        """The last row."""
        return self.rows[-1]

    @property
    def step(self) -> int:
        """The step of the last row."""
        return self.final["step"]

    @property
    def steps(self) -> int:
        """The steps of the whole recipe; 0 where nothing is trained."""
        return 0 if self.recipe is None else self.recipe.get("steps", Recipe.steps)

    @property
    def finished(self) -> bool:
        """Whether the rows reach the end of the recipe."""
        return self.step >= self.steps

    @property
    def progress(self) -> str:
        """"finished", or where the run was stopped: "stopped at step 1,200 of 64,000"."""
        return "finished" if self.finished else f"stopped at step {self.step:,} of {self.steps:,}"

    @property
    def seconds(self) -> float:
        """Wall time of the run, summed over its segments."""
        return sum(segment["seconds"] for segment in self.segments)

    def column(self, name: str) -> list[float]:
        """One value of every row that has it; KeyError names the columns there are."""
        values = [row[name] for row in self.rows if name in row]
        if not values:
            raise KeyError(f"no row has {name!r}; the rows have {', '.join(self.rows[-1])}")
        return values

    def provenance(self) -> str:
        """One line: data, seed, device, date, versions, wall time, live or recorded."""
        return provenance([self])

    def to_json(self) -> dict:
        """The content of the record's file."""
        content = asdict(self)
        del content["live"]
        return content | {"digest": self.measured()}

    def measured(self) -> str:
        """SHA-256 of rows and probes: what a damaged or edited file no longer holds."""
        text = json.dumps([self.rows, self.probes], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def provenance(records: Sequence[Record]) -> str:
    """One line of plain text that says where these records come from."""
    if not records:
        raise RecordError("a figure needs at least one record to say where its data come from")
    segments = [s for r in records for s in r.segments]
    seeds = sorted({r.seed for r in records})
    data = "; ".join(dict.fromkeys(describe_data(r.data) for r in records))
    devices = dict.fromkeys(f"{s['device']}, {s['threads']} thread{'s' * (s['threads'] != 1)}" if
                            s["device"].startswith("CPU") else s["device"] for s in segments)
    torches = dict.fromkeys(f"torch {s['versions']['torch']}" for s in segments)
    dates = sorted({s["date"] for s in segments})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    parts = [data, f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}", " and ".join(devices),
             " and ".join(torches), when, f"{duration(sum(r.seconds for r in records))} of training"]
    precisions = dict.fromkeys(_precision(s) for s in segments)
    if list(precisions) != ["float32"]:
        parts.insert(3, f"in {' and '.join(precisions)}")
    most = max(len(r.segments) for r in records)
    if most > 1:
        parts.append(f"up to {most} segments a run")
    for r in records:
        parts += _changes_on_the_way(r)
        if not r.finished:
            parts.append(r.progress if len(records) == 1 else f"{r.variant}, seed {r.seed}: {r.progress}")
    return " · ".join(parts)


def _precision(segment: dict) -> str:
    """What a segment was computed in; the first records were of float32 and do not say so."""
    return segment["execution"].get("precision", "float32")


def _changes_on_the_way(record: Record) -> list[str]:
    """Where a run went on with another processor or another precision."""
    ways = [(s["from_step"], s["device"], _precision(s)) for s in record.segments]
    return [f"{record.variant}, seed {record.seed}: from step {step:,} on {device} in {precision}"
            for (_, *before), (step, device, precision) in zip(ways, ways[1:], strict=False)
            if before != [device, precision]]


def describe_data(identity: dict) -> str:
    """The data of a record in words, from its identity."""
    if not identity["n_train"]:
        return "no data: shapes and counts only"
    _, height, width = identity["shape"]
    text = f"{TITLES[identity['name']]}, {identity['n_train']:,} training pictures at {height}×{width}"
    if identity["fallback"]:
        text += f" (standing in for {TITLES[identity['fallback']]})"
    return text


@lru_cache(maxsize=1)
def commit() -> tuple[str, bool]:
    """(commit of the code, whether it had uncommitted changes); the version where git does not hold the code."""
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True,
                              timeout=20, check=True).stdout.strip()
    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # a copy inside another project is not its code
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return f"resnet_lib {__version__}", True


def check(content: object, path: Path) -> None:
    """RecordError, naming the file and the field, unless ``content`` is a valid record."""
    try:
        problem = schema_problem(content, SCHEMA_FILE)
    except ImportError:  # a bare training machine; Record(...) still refuses unknown keys, the id other values
        return
    if problem:
        raise RecordError(f"{path}: {problem}. Delete the file and run the experiment again")


def read(path: str | Path, live: bool = False) -> Record:
    """A record from its file, checked against the schema and against its own id."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_int=_finite, parse_float=_finite,
                             parse_constant=_finite)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON ({error}). Delete the file and run the experiment again") from error
    check(content, path)
    try:
        record = Record(**{"semantics": None} | content, live=live)
        if record.recipe is not None:
            Recipe(**record.recipe)  # only valid values
    except (TypeError, ValueError) as error:
        raise RecordError(f"{path}: {error}. Delete the file and run the experiment again") from error
    if record.recipe_id != identity.run_id(record.net, record.recipe, record.data):
        raise StaleRecord(f"{path}: stale: {_why_stale(record)}. Run the experiment again")
    if record.digest != (record.measured() if live or record.digest else None):
        raise StaleRecord(f"{path}: its rows are not those that were measured: the file is damaged or was edited. Run "
                          f"the experiment again")
    record.semantics = identity.SEMANTICS  # the id says so, also where the field is older than the record
    if record.finished == path.name.endswith(UNFINISHED):
        raise RecordError(f"{path}: the run {'is' if record.finished else 'was'} {record.progress}, so its name must "
                          f"{'not ' * record.finished}end in {UNFINISHED}")
    return record


def _finite(text: str) -> int | float:
    """A number of JSON; ValueError for NaN and for what no float can hold, with which nothing can be computed."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return int(text) if text.removeprefix("-").isdigit() else number


def _why_stale(record: Record) -> str:
    now = identity.SEMANTICS
    if record.semantics is None:
        return (f"its id is not that of its net, recipe and data under the present mathematics (SEMANTICS {now} in "
                f"resnet_lib/identity.py), or the file was edited")
    if record.semantics != now:
        return f"it was made under SEMANTICS {record.semantics}, and resnet_lib/identity.py now has {now}"
    return (f"its id is not that of its net, recipe and data, though SEMANTICS is {now} as it was then: the file was "
            f"edited, or a default changed")


def write(record: Record, path: str | Path) -> None:
    """Write a record atomically; RecordError, with the old file untouched, where that fails."""
    path = Path(path)
    content = record.to_json()
    try:
        check(content, path)
    except RecordError as error:
        raise RecordError(f"the record is not valid and was not written: {error}") from error
    # one row a line: differences that can be read, and files half the size of indented ones
    lists = {name: content[name] for name in ("rows", "probes", "segments")}
    text = json.dumps(content | {name: f"@{name}" for name in lists}, allow_nan=False, indent=1)
    for name, items in lists.items():
        lines = ",\n  ".join(json.dumps(item, allow_nan=False) for item in items)
        text = text.replace(f'"@{name}"', f"[\n  {lines}\n ]" if lines else "[]")
    try:
        write_atomically(path, lambda file: file.write((text + "\n").encode()))
    except OSError as error:
        again = advice("run the same command with --resume", "call the same again, with resume=True")
        raise RecordError(f"{path}: cannot be written ({error.strerror}). What the run reached is kept in "
                          f"{live_root()}: make room, then {again}") from error


def recorded_path(record: Record) -> Path:
    """Where a record is committed; an unfinished one under another name than a result."""
    suffix = ".json" if record.finished else UNFINISHED
    return recorded_root() / record.experiment / record.tier / f"{record.variant}-s{record.seed}{suffix}"


def store(record: Record) -> Path:
    """Write a record to the committed store. A finished one takes the place of the unfinished one of its run."""
    path = recorded_path(record)
    write(record, path)
    if record.finished:
        path.with_name(path.name.removesuffix(".json") + UNFINISHED).unlink(missing_ok=True)
    return path


def load(name: str, tier: str = "paper", unfinished: bool = False) -> list[Record]:
    """The committed records of an experiment at a tier, each checked against its own id; none is an empty list.

    With ``unfinished`` those of runs that were stopped come along. `experiments.find` also checks that
    the declaration is still the same.
    """
    return [read(path) for path in all_recorded("runs", name, tier) if unfinished or not path.name.endswith(UNFINISHED)]
