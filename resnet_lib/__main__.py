"""The command line: ``python -m resnet_lib list | run | queue | control | bench | gpu | data | env``."""

from pathlib import Path
import argparse
from importlib.util import find_spec
import os
import shutil
import sys

from . import __version__, options
from .wording import COMMAND, TITLES, duration

FINISHED, FAILED, UNFINISHED = 0, 2, 3
INTERRUPTED = {"run": "go on with the same command and --resume", "queue": "go on with the same command",
               "control": "the same command goes on", "data": "the same command fetches what is missing"}


def _numbers(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in text.split(","))
        if min(seeds) < 0:
            raise ValueError
        return seeds
    except ValueError:
        raise argparse.ArgumentTypeError(f"seeds are whole numbers from 0, such as 0,1,2; got {text!r}") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m resnet_lib", description="Experiments on residual networks.")
    parser.add_argument("--version", action="version", version=f"resnet_lib {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="experiments, tiers, variants, and which runs there are")
    listed.add_argument("--missing", action="store_true", help="what is not recorded of the tiers short and paper, in "
                        "the order of the queue, with commands and the time they would take here")
    options.add_only(listed)
    options.add_execution(listed)
    commands.add_parser("env", help="versions, device, and which data sets lie here")
    fetch = commands.add_parser("data", help="download MNIST, Fashion-MNIST and CIFAR-10 into data/")
    fetch.add_argument("names", nargs="*", help="mnist, fashion_mnist, cifar10 (default: all)")
    run = commands.add_parser("run", help="train what is missing of an experiment", epilog=(
        f"Exit status: {FINISHED} all runs are there, {UNFINISHED} the budget ended first, {FAILED} an error."))
    run.add_argument("experiment")
    run.add_argument("--tier", default="quick", help="quick, short or paper (default: quick)")
    run.add_argument("--seeds", type=_numbers, help="such as 0,1,2 (default: those the experiment declares)")
    run.add_argument("--variants", help="such as plain-20,plain-56 (default: all)")
    run.add_argument("--budget", type=float, metavar="SECONDS", help="stop then, with a checkpoint")
    run.add_argument("--resume", nargs="?", const=True, default=False, metavar="CHECKPOINT",
                     help="go on from the checkpoints in _build/runs, or from this file")
    run.add_argument("--record", action="store_true", help="also copy the finished records to data/runs")
    run.add_argument("--record-unfinished", action="store_true", help="and what the others have reached so far")
    run.add_argument("--hand-over", action="store_true",
                     help="and their checkpoints, from which the queue of another machine goes on")
    options.add_execution(run)
    queue = commands.add_parser("queue", help="train and record what is missing of the tiers short and paper, in order",
                                epilog=f"Goes on from checkpoints. Exit status: {FINISHED} all is recorded, "
                                       f"{UNFINISHED} something is left to do, {FAILED} an error.")
    one = queue.add_mutually_exclusive_group()
    one.add_argument("--background", action="store_true", help="begin it in the background, at the lowest priority")
    for word, does in (("state", "one line: run, step, rate, time left"), ("pause", "hold it between two steps"),
                       ("go-on", "let it go on"), ("stop", "end it, with checkpoints")):
        one.add_argument(f"--{word}", dest="ask", action="store_const", const=word.replace("-", "_"), help=does)
    queue.add_argument("--budget", type=float, metavar="SECONDS", help="for all together; stop then, with checkpoints")
    options.add_only(queue)
    options.add_execution(queue)
    control = commands.add_parser("control", help="run what could change a conclusion of the book, and judge it")
    control.add_argument("name", nargs="?", help="without a name: all of them, and what is known here")
    options.add_execution(control)
    commands.add_parser("gpu", help="does everything work on this GPU? Four minutes; without one the checks are tried")
    measure = commands.add_parser("bench", help="measure the speed of training against its peers")
    if words[:1] == ["bench"]:  # else torch need not be loaded to print a line of help
        from . import bench
        bench.main_arguments(measure)
    teach = commands.add_parser("course", help="for those who teach: assignments, hand-ins, grades")
    if words[:1] == ["course"]:
        from .course import command
        command.main_arguments(teach)
    return parser


def _list(args) -> int:
    from . import experiments, records

    if args.missing:
        return _list_missing(args)
    for experiment in experiments.EXPERIMENTS.values():
        print(f"{experiment.name}: {experiment.question}")
        for name, tier in experiment.tiers.items():
            live = {p.name.rsplit(".", 2)[0] for p in (records.live_root() / experiment.name / name).glob("*.json")}
            print(f"  {name:6} {_recorded(experiment.name, name)}, {len(live)} trained here; variants:")
            for variant, v in tier.variants.items():
                seeds = ",".join(map(str, v.seeds or tier.seeds))
                print(f"    {variant:24} seeds {seeds:6} {v.note}".rstrip())
    return FINISHED


def _recorded(name: str, tier: str) -> str:
    """How many committed records there are; the reason for each that does not count goes to stderr."""
    from . import experiments
    from .files import all_recorded

    counts = {"recorded": 0, "unfinished": 0, "refused": 0}
    for path in all_recorded("runs", name, tier):
        record = experiments.counted(path, lambda line: _say(f"refused: {line}"))
        counts["refused" if record is None else "recorded" if record.finished else "unfinished"] += 1
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n or word == "recorded")


def _list_missing(args) -> int:
    from .experiments import estimates, queue

    groups = queue.missing(queue.select(queue.order(), args.only), lambda line: _say(f"refused: {line}"))
    executions = queue.executions(lambda usual: options.execution(args, usual))
    trained = [left for group in groups for left in group if left.job and left.job.recipe]
    if not all(estimates.known(left.job, executions[left.item.experiment, left.item.tier]) for left in trained):
        _say("timing a few steps of each net here, once; this takes a minute or two …")
    total = 0.0
    for k, group in enumerate(groups, 1):
        seconds = sum(estimates.seconds_left(left.job, left.at, executions[left.item.experiment, left.item.tier])
                      for left in group if left.job)
        total += seconds
        job = group[0].job
        takes = (group[0].state if job is None else f"about {duration(seconds)}" if job.recipe else
                 "counted, not trained")
        first = group[0].item
        print(f"{k:2}. {first.experiment}, {first.tier}: {len(group)} run{'s' * (len(group) > 1)}, {takes}")
        for left in group:
            if left.at:
                print(f"    {left.item.variant}-s{left.item.seed}: {left.state}")
        for command in queue.commands(group, options.flags(args)):
            print(f"    {command}")
    if not groups:
        print(f"nothing is missing: all {'these runs' if args.only else 'runs of the two tiers'} are recorded")
    elif trained:
        print(f"About {duration(total)} in all, one run at a time: seconds per step of each net, batch and "
              f"execution as measured here, not compiled, times the steps that are left; {estimates.cache()} keeps "
              f"them. python -m resnet_lib queue does it all")
    return FINISHED


def _run(args) -> int:
    from . import experiments, records
    from .experiments import queue

    _, tier = experiments.get(args.experiment, args.tier)
    variants = args.variants.split(",") if args.variants else None
    execution = options.execution(args, tier.execution)
    wanted = experiments.jobs(args.experiment, args.tier, args.seeds, variants)
    resume = args.resume if isinstance(args.resume, bool) else Path(args.resume)
    if isinstance(resume, Path) and len(wanted) != 1:
        raise ValueError(f"a checkpoint file goes on one run, but {len(wanted)} were asked for; name it with "
                         f"--variants and --seeds")
    if args.record or args.record_unfinished or args.hand_over:
        for name in {job.identity["fallback"] for job in wanted} - {None}:
            raise ValueError(f"{TITLES[name]} is not in data/, and runs on the digits that stand in for it are not "
                             f"recorded: make data, or run this without recording")
    for job in wanted:
        experiments.counted(job.recorded(), lambda line: _say(f"refused: {line}"))
    found = experiments.run(args.experiment, args.tier, args.seeds, variants, execution, resume, args.budget)
    by_id = {record.recipe_id: record for record in found}
    for job in wanted:
        record = by_id.get(job.recipe_id)
        if record is None:
            if (args.record_unfinished or args.hand_over) and job.recipe is not None:
                _record_unfinished(job)
                if args.hand_over and (path := queue.hand_over(job)):
                    print(f"  handed over in {path}")
            continue
        error = record.final.get("train_error")
        numbers = "" if error is None else (f"  train error {100 * error:5.1f} %  test error "
                                            f"{100 * record.final['test_error']:5.1f} %")
        print(f"{record.variant}-s{record.seed}{numbers}  {record.recipe_id[:8]}  {duration(record.seconds)}")
        if args.record or args.record_unfinished or args.hand_over:
            queue.record(job)
            print(f"  recorded in {job.recorded()}")
    missing = len(wanted) - len(found)
    if missing:
        print(f"{missing} of {len(wanted)} runs unfinished; their checkpoints are in {records.live_root()}. Run the "
              f"same command with --resume")
    return UNFINISHED if missing else FINISHED


def _record_unfinished(job) -> None:
    from . import records
    from .experiments import queue

    record = queue.unfinished_record(job)
    if record is None:
        print(f"{job.name}  nothing to record: its first row comes at step "
              f"{min(job.recipe.eval_every, job.recipe.steps):,}, and the budget ended before it")
        return
    print(f"{job.name}  {record.progress}, test error {100 * record.final['test_error']:.1f} %\n"
          f"  recorded as unfinished in {records.store(record)}")


def _queue(args) -> int:
    from .experiments import queue, recorder

    if args.ask:
        print(getattr(recorder, args.ask)())
        return FINISHED
    if args.background:
        words = [*options.flags(args), *(["--only", args.only] if args.only else []),
                 *(["--budget", str(args.budget)] if args.budget is not None else [])]
        print(recorder.start(words))
        return FINISHED
    executions = queue.executions(lambda usual: options.execution(args, usual))
    groups = queue.missing(queue.select(queue.order(), args.only), lambda line: _say(f"refused: {line}"))
    lefts = [left for group in groups for left in group]
    try:
        with recorder.alone(lefts) as progress:
            well = queue.work(groups, executions, args.budget, lambda line: _say(f"error: {line}"), progress.follow())
    finally:  # also after Ctrl-C
        after = {left.item: left for group in queue.missing([[left.item for left in group] for group in groups], str)
                 for left in group}
        for left in lefts:
            state = after[left.item].state if left.item in after else "finished"
            print(f"{left.item!s:44} {state}")
    if not after:
        print("all of it is recorded" if groups else "nothing is missing: all of it is recorded")
    elif well:
        print(f"{len(after)} of {sum(map(len, groups))} runs are left; run the same command again")
    return FAILED if not well else UNFINISHED if after else FINISHED


def _control(args) -> int:
    from . import experiments
    from .experiments import controls

    if args.name is None:
        for control in controls.CONTROLS:
            records = controls.find(control)
            known = f"\n    {controls.judge(control, records)}" if records else ""
            print(f"{control.name:18} {control.conclusion}\n    falls if: {control.falls}{known}\n"
                  f"    {control.command}")
        return FINISHED
    control = controls.get(args.name)
    _, tier = experiments.get(control.experiment, control.tier)
    print(f"{control.conclusion}\nfalls if: {control.falls}", flush=True)
    print(controls.judge(control, controls.run(control, options.execution(args, tier.execution))))
    return FINISHED


def _bench(args) -> int:
    from . import bench

    return bench.main(args)


def _gpu(_args) -> int:
    from .bench import gpu

    return FINISHED if gpu.check(lambda line: print(line, flush=True)) else FAILED


def _data(args) -> int:
    from . import data

    names = args.names or [n for n in data.NAMES if n != "digits"]
    for name in names:
        data.available(name)  # an unknown name is refused before anything is fetched
    failed = False
    for name in names:
        try:
            wrote = data.download_all([name])[name]
            print(f"{data.TITLES[name]}: {'downloaded and checked' if wrote else 'here already, checked'}")
        except (ValueError, OSError) as error:  # one set's host may be down and another's not
            failed = True
            print(f"error: {error}", file=sys.stderr)
    return FAILED if failed else FINISHED


def _env(_args) -> int:
    import torch

    from . import data
    from .files import home
    from .machine import environment
    from .recipe import Execution

    facts = environment(Execution().resolve())
    print(f"resnet_lib {__version__}; " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()))
    print(f"device: {facts['device']}, {facts['threads']} threads, {os.cpu_count()} cores"
          + ("" if torch.cuda.is_available() else "; no CUDA GPU"))
    for name in data.NAMES:
        print(f"data: {data.TITLES[name]}: {'here' if data.available(name) else 'not here (make data)'}")
    there = next(folder for folder in (home().absolute(), *home().absolute().parents) if folder.exists())
    print(f"home: {home()}{'' if home().exists() else ' (not there yet)'}, "
          f"{shutil.disk_usage(there).free / 2**30:.0f} GiB free")
    return FINISHED


def _course(args) -> int:
    from .course import command

    return command.main(args)


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors of the user or of the machine become one line on stderr."""
    if find_spec("torch") is None:
        print(f"error: {sys.executable} has no PyTorch. In a copy of the repository `make setup` makes an environment "
              "that has all it takes: say .venv/bin/python -m resnet_lib, or activate it first", file=sys.stderr)
        return FAILED
    words = sys.argv[1:] if argv is None else argv
    args = _parser(words).parse_args(words)
    from .experiments.failures import RunError
    from .surroundings import SurroundingsError

    commands = {"list": _list, "run": _run, "queue": _queue, "control": _control, "bench": _bench, "gpu": _gpu,
                 "data": _data, "env": _env, "course": _course}
    _never_fail_to_print()
    os.environ[COMMAND] = args.command
    try:
        return commands[args.command](args)
    except KeyboardInterrupt:
        _say(f"interrupted; {INTERRUPTED.get(args.command, 'run the same command again')}")
        return 130
    except BrokenPipeError:  # list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINISHED
    except (ValueError, OSError, RunError, SurroundingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    finally:
        del os.environ[COMMAND]


def _never_fail_to_print() -> None:
    """What the console or a redirected file cannot hold becomes a question mark; Windows writes cp1252 into files."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has none, and needs none
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
