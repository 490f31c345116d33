"""The command line: ``python -m resnet_lib list | run | data | env``."""

from pathlib import Path
import argparse
import os
import shutil
import sys

from . import __version__

FINISHED, FAILED, UNFINISHED = 0, 2, 3


def _numbers(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in text.split(","))
        if min(seeds) < 0:
            raise ValueError
        return seeds
    except ValueError:
        raise argparse.ArgumentTypeError(f"seeds are whole numbers from 0, such as 0,1,2; got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m resnet_lib", description="Experiments on residual networks.")
    parser.add_argument("--version", action="version", version=f"resnet_lib {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="experiments, tiers, variants, and which runs there are")
    commands.add_parser("env", help="versions, device, and which data sets lie here")
    fetch = commands.add_parser("data", help="download MNIST, Fashion-MNIST and CIFAR-10 into data/")
    fetch.add_argument("names", nargs="*", help="mnist, fashion_mnist, cifar10 (default: all)")
    run = commands.add_parser("run", help="train what is missing of an experiment", epilog=(
        f"Exit status: {FINISHED} all runs are there, {UNFINISHED} the budget ended first, {FAILED} an error."))
    run.add_argument("experiment")
    run.add_argument("--tier", default="quick", help="quick, short or paper (default: quick)")
    run.add_argument("--seeds", type=_numbers, help="such as 0,1,2 (default: those the experiment declares)")
    run.add_argument("--variants", help="such as plain-20,plain-56 (default: all)")
    run.add_argument("--device", help="auto, cpu or cuda")
    run.add_argument("--threads", type=int, help="CPU threads for one run")
    run.add_argument("--workers", type=int, help="runs at the same time (CPU only; 0: one per core)")
    run.add_argument("--checkpoint-every", type=float, metavar="SECONDS", help="besides one for each row (default: 60)")
    run.add_argument("--budget", type=float, metavar="SECONDS", help="stop then, with a checkpoint")
    run.add_argument("--resume", nargs="?", const=True, default=False, metavar="CHECKPOINT",
                     help="go on from the checkpoints in _build/runs, or from this file")
    run.add_argument("--record", action="store_true", help="also copy the finished records to data/runs")
    return parser


def _list(_args) -> int:
    from . import experiments, records

    for experiment in experiments.EXPERIMENTS.values():
        print(f"{experiment.name}: {experiment.question}")
        for name, tier in experiment.tiers.items():
            recorded = {p.stem for p in (records.recorded_root() / experiment.name / name).glob("*.json")}
            live = {p.name.rsplit(".", 2)[0] for p in (records.live_root() / experiment.name / name).glob("*.json")}
            print(f"  {name:6} {len(recorded)} recorded, {len(live)} trained here; variants:")
            for variant, v in tier.variants.items():
                seeds = ",".join(map(str, v.seeds or tier.seeds))
                print(f"    {variant:24} seeds {seeds:6} {v.note}".rstrip())
    return FINISHED


def _run(args) -> int:
    from dataclasses import replace

    from . import experiments, records

    _, tier = experiments.get(args.experiment, args.tier)
    variants = args.variants.split(",") if args.variants else None
    given = {"device": args.device, "threads": args.threads, "workers": args.workers,
             "checkpoint_every": args.checkpoint_every}
    execution = replace(tier.execution, **{k: v for k, v in given.items() if v is not None})
    execution.resolve()
    wanted = experiments.jobs(args.experiment, args.tier, args.seeds, variants)
    resume = args.resume if isinstance(args.resume, bool) else Path(args.resume)
    if isinstance(resume, Path) and len(wanted) != 1:
        raise ValueError(f"a checkpoint file goes on one run, but {len(wanted)} were asked for; name it with "
                         f"--variants and --seeds")
    found = experiments.run(args.experiment, args.tier, args.seeds, variants, execution, resume, args.budget)
    for record in found:
        error = record.final.get("train_error")
        numbers = "" if error is None else (f"  train error {100 * error:5.1f} %  test error "
                                            f"{100 * record.final['test_error']:5.1f} %")
        print(f"{record.variant}-s{record.seed}{numbers}  {record.recipe_id[:8]}  {records.duration(record.seconds)}")
        if args.record:
            path = records.recorded_root() / args.experiment / args.tier / f"{record.variant}-s{record.seed}.json"
            records.write(record, path)
            print(f"  recorded in {path}")
    missing = len(wanted) - len(found)
    if missing:
        print(f"{missing} of {len(wanted)} runs unfinished; their checkpoints are in {records.live_root()}. Run the "
              f"same command with --resume")
    return UNFINISHED if missing else FINISHED


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
    from .recipe import environment, Execution

    facts = environment(Execution().resolve())
    print(f"resnet_lib {__version__}; " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()))
    print(f"device: {facts['device']}, {facts['threads']} threads, {os.cpu_count()} cores"
          + ("" if torch.cuda.is_available() else "; no CUDA GPU"))
    for name in data.NAMES:
        print(f"data: {data.TITLES[name]}: {'here' if data.available(name) else 'not here (make data)'}")
    print(f"home: {data.home()}, {shutil.disk_usage(data.home()).free / 2**30:.0f} GiB free")
    return FINISHED


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors of the user or of the machine become one line on stderr."""
    args = _parser().parse_args(argv)
    from .runner import RunError

    try:
        return {"list": _list, "run": _run, "data": _data, "env": _env}[args.command](args)
    except KeyboardInterrupt:
        print("interrupted; go on with the same command and --resume", file=sys.stderr)
        return 130
    except BrokenPipeError:  # list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINISHED
    except (ValueError, OSError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
