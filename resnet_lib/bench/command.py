"""python -m resnet_lib bench: ours against its peers and against the device, in one run on one machine.

Every contender lives in its own process (process.py). After its warm-up it is measured in rounds, in turn
with the others: A B C A B C …; what is reported are medians over the rounds, and of ratios the median of
each round's own. The result is one JSON file (bench.schema.json) in data/bench/.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
import json
import re
import sys

import torch

from .. import nets, records
from ..files import all_recorded, home, schema_problem, write_atomically
from ..machine import cores, environment
from ..recipe import Execution
from ..timing import Timing, interleave, ratio
from .cases import CASES, PEERS, ROOFLINE, TITLES, Case
from .process import Child, Failure

SCHEMA_FILE = Path(__file__).with_name("bench.schema.json")
FINISHED, FAILED = 0, 2
ROUNDS = 5


class BenchError(ValueError):
    """A bench record that cannot be read or trusted; the message names the file and the field."""


def root() -> Path:
    """Where bench records lie."""
    return home() / "data" / "bench"


# --- measuring ----------------------------------------------------------------------------------------


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def measure(name: str, case: Case, keys: Sequence[str], device: str, threads: int, steps: int, warmup: int,
            rounds: int) -> dict:
    """Measure the contenders ``keys`` of one case; what a record holds of it. One that fails is recorded so."""
    children: dict[str, Child] = {}
    facts: dict[str, dict] = {}
    failures: dict[str, str] = {}

    def dropped(key: str, error: Exception) -> None:
        if not isinstance(error, Failure):
            raise error
        failures[key] = str(error)
        say(f"{name}: {key} failed: {error}")
        children[key].end()

    def start(key: str) -> None:
        say(f"{name}: setting up {key}")
        children[key] = Child(case, key, device, threads, warmup)
        try:
            facts[key] = children[key].answer()
        except Failure as error:
            dropped(key, error)

    try:
        for key in keys:
            start(key)
        for precision in dict.fromkeys(facts[key]["precision"] for key in keys if key in facts):
            start(ROOFLINE + precision)
        up = {key: lambda child=children[key]: child.ask(steps) for key in facts}
        say(f"{name}: {rounds} rounds of {steps} step{'s' * (steps != 1)}: {', '.join(up)}")
        timings = interleave(up, rounds, dropped)
        memory = {}
        for key in timings:
            try:
                memory[key] = children[key].ask(0)
            except Failure as error:
                dropped(key, error)
    finally:
        for child in children.values():
            child.end()
    timings = {key: timing for key, timing in timings.items() if key not in failures}
    settings = {"warmup": warmup, "steps": steps, "rounds": rounds, "threads": threads}
    return summary(case, keys, device, settings, facts, timings, memory, failures)


def summary(case: Case, keys: Sequence[str], device: str, settings: dict, facts: Mapping[str, dict],
            timings: Mapping[str, Timing], memory: Mapping[str, dict], failures: Mapping[str, str]) -> dict:
    """A case as the record holds it, from what its children said."""
    spec, recipe, size = case.net, case.recipe, case.declared()[1].size
    shape = [spec["in_channels"], size, size]
    lines = {key.removeprefix(ROOFLINE): t for key, t in timings.items() if key.startswith(ROOFLINE)}
    contenders = {}
    for key in keys:
        entry = dict.fromkeys(("precision", "images_per_second", "low", "high", "step_seconds", "share",
                               "setup_seconds", "settings", "peak_memory"))
        entry |= {"title": TITLES[key], "n": 0, "rounds": [], "failed": failures.get(key)}
        if key in timings:
            t, f = timings[key], facts[key]
            line = lines.get(f["precision"])
            entry |= {"precision": f["precision"], "images_per_second": recipe.batch / t.median,
                      "low": recipe.batch / t.high, "high": recipe.batch / t.low, "step_seconds": t.median, "n": t.n,
                      "rounds": list(t.rounds), "settings": f["settings"], "peak_memory": memory[key],
                      "share": line and line.median / t.median,
                      # what it spent beyond its first and its warm-up steps at the speed it has now
                      "setup_seconds": max(0.0, f["begin"] - (1 + settings["warmup"]) * t.median)}
        contenders[key] = entry
    seen = next((facts[key] for key in keys if key in facts), {"data": None, "pictures": None})
    best = ours(contenders, device)
    return {"net": spec, "batch": recipe.batch, "shape": shape, "macs": nets.cost(nets.build(spec), tuple(shape)).macs,
            "settings": settings | {"data": seen["data"], "pictures": seen["pictures"]},
            "roofline": {p: {"seconds": t.median, "low": t.low, "high": t.high, "layout": facts[ROOFLINE + p]["layout"],
                             "flops": facts[ROOFLINE + p]["flops"]} for p, t in lines.items()},
            "contenders": contenders, "ours": best, "ratios": ratios(timings, best)}


def ours(contenders: Mapping[str, dict], device: str) -> str | None:
    """The key that "ours" means in ratios: the fastest of our own; on a CPU, where no peer has bf16, in float32."""
    mine = {k: c for k, c in contenders.items()
            if k not in PEERS and not c["failed"] and (device != "cpu" or c["precision"] == "float32")}
    return min(mine, key=lambda k: mine[k]["step_seconds"]) if mine else None


def ratios(timings: Mapping[str, Timing], best: str | None) -> dict[str, dict]:
    """How many times faster ours is than each peer: the median, lowest and highest of the rounds' own ratios."""
    found = {}
    for peer in PEERS:
        if best and peer in timings:
            r = ratio(timings[best], timings[peer])
            found[f"ours/{peer}"] = {"median": r.median, "low": r.low, "high": r.high}
    return found


def record(cases: Mapping[str, dict], device: torch.device, threads: int) -> dict:
    """The whole record around its cases."""
    commit, dirty = records.commit()
    facts = environment(device)
    try:
        facts["versions"]["d2l"] = metadata.version("d2l")
    except metadata.PackageNotFoundError:
        pass
    return {"schema": 1, "date": datetime.now(UTC).strftime("%Y-%m-%d"), "commit": commit, "dirty": dirty,
            "device": facts["device"], "cores": cores(), "threads": threads, "versions": facts["versions"],
            "cases": dict(cases)}


# --- reading and writing ------------------------------------------------------------------------------


def check(content: object, path: str | Path) -> None:
    """BenchError, naming file and field, unless ``content`` is a valid bench record."""
    if problem := schema_problem(content, SCHEMA_FILE):
        raise BenchError(f"{path}: {problem}. Delete the file and run the bench again")


def read(path: str | Path) -> dict:
    """One bench record, checked."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BenchError(f"{path}: not JSON ({error}). Delete the file and run the bench again") from error
    check(content, path)
    return content


def load() -> list[dict]:
    """The committed bench records, by file name, checked; an empty list where there are none."""
    return [read(path) for path in all_recorded("bench")]


def write(content: dict, path: str | Path) -> None:
    """Write a record atomically, checked."""
    check(content, path)
    text = json.dumps(content, indent=1, allow_nan=False)
    write_atomically(Path(path), lambda file: file.write((text + "\n").encode()))


def table(name: str, case: dict) -> str:
    """A case as lines of text."""
    head = f"{name}: batch {case['batch']} of {'×'.join(map(str, case['shape']))}, {case['settings']['data']}"
    lines = [head, f"  {'contender':32} {'images/s':>9} {'low–high':>15} {'ms/step':>9} {'ratio':>6} {'share':>6} "
                   f"{'host':>9} {'device':>9}"]
    base = next((case["contenders"][k]["images_per_second"] for k in ("loop", "d2l") if k in case["contenders"]), None)
    for c in case["contenders"].values():
        if c["failed"]:
            lines.append(f"  {c['title']:32} failed: {c['failed']}")
            continue
        speed, peak = c["images_per_second"], c["peak_memory"]
        times = f"{speed / base:.2f}×" if base else ""
        share = "" if c["share"] is None else f"{100 * c['share']:.0f} %"
        span = f"{c['low']:,.0f}–{c['high']:,.0f}"
        lines.append(f"  {c['title']:32} {speed:9,.0f} {span:>15} {1000 * c['step_seconds']:9.2f} {times:>6} "
                     f"{share:>6} {_mib(peak['host']):>9} {_mib(peak['device']):>9}")
    for precision, line in case["roofline"].items():
        alone, speed = f"convolutions alone, {precision}", case["batch"] / line["seconds"]
        lines.append(f"  {alone:32} {speed:9,.0f} {'':15} {1000 * line['seconds']:9.2f}")
    for pair, r in case["ratios"].items():
        best = case["contenders"][case["ours"]]["title"].removeprefix("+ ")
        lines.append(f"  {pair}: {r['median']:.2f} ({r['low']:.2f}–{r['high']:.2f}); ours: {best}")
    return "\n".join(lines)


def _mib(value: int | None) -> str:
    return "" if value is None else f"{value / 2**20:,.0f} MiB"


# --- the command --------------------------------------------------------------------------------------


def main_arguments(parser) -> None:
    """Add the options of ``bench`` to an argparse parser."""
    parser.add_argument("--cases", help=f"of {','.join(CASES)} (default: all)")
    parser.add_argument("--contenders", help=f"of {','.join(TITLES)} (default: those of each case)")
    parser.add_argument("--steps", type=int, help="steps a round (default: by case)")
    parser.add_argument("--warmup", type=int, help="steps before the first round (default: by case)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds (default: {ROUNDS})")
    parser.add_argument("--threads", type=int, help="CPU threads of every contender (default: torch's choice)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: data/bench/<device>.json")


def _chosen(text: str | None, valid: Sequence[str], what: str) -> list[str] | None:
    if text is None:
        return None
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in valid:
            raise ValueError(f"unknown {what} {name!r}; there are {', '.join(valid)}")
    return names


def _destination(out: Path | None, device: torch.device, cases: Sequence[str]) -> Path:
    """Where the record goes; ValueError where that would drop what an older one holds."""
    slug = re.sub(r"[^a-z0-9]+", "-", environment(device)["device"].lower()).strip("-")
    path = out or root() / f"{slug}.json"
    if path.exists():
        lost = [name for name in read(path)["cases"] if name not in cases]
        if lost:
            raise ValueError(f"{path} also holds {', '.join(lost)}, which this run would drop; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def main(args) -> int:
    """Carry out ``bench``; 2 where nothing could be measured. ValueError for unknown names, with the valid ones."""
    names = _chosen(args.cases, tuple(CASES), "case") or list(CASES)
    keys = _chosen(args.contenders, tuple(TITLES), "contender")
    for option in ("steps", "warmup", "rounds", "threads"):
        value = getattr(args, option)
        if value is not None and value < (option != "warmup"):
            raise ValueError(f"--{option} must be at least {int(option != 'warmup')}, got {value}")
    if keys and "d2l" in keys and (other := [name for name in names if "d2l" not in CASES[name].peers]):
        raise ValueError(f"d2l trains its own net, so it is no peer in {', '.join(other)}; ask for it with --cases "
                         f"resnet-18-fashion")
    device = Execution(device=args.device).resolve()
    path = _destination(args.out, device, names)
    threads, cases = args.threads or torch.get_num_threads(), {}
    for name in names:
        case, asked = CASES[name], keys or CASES[name].contenders(device.type)
        steps = args.steps or case.steps[device.type]
        warmup = case.warmup[device.type] if args.warmup is None else args.warmup
        cases[name] = measure(name, case, asked, device.type, case.threads or threads, steps, warmup, args.rounds)
        print(table(name, cases[name]), flush=True)
        write(record(cases, device, threads), path)  # after each case: a machine may be gone before the last
    print(f"written to {path}")
    return FINISHED if any(not c["failed"] for case in cases.values() for c in case["contenders"].values()) else FAILED
