"""Options that several commands of ``python -m resnet_lib`` share."""

from typing import TYPE_CHECKING
import argparse

if TYPE_CHECKING:  # torch need not be loaded to print a line of help
    from .recipe import Execution


def add_only(parser: argparse.ArgumentParser) -> None:
    """``--only``: a choice among the runs of the queue."""
    parser.add_argument("--only", metavar="PATTERN", help="runs with this in their names, which are such as "
                        "degradation/paper/plain-20-s0; * stands for anything")


def add_execution(parser: argparse.ArgumentParser) -> None:
    """The fields of `recipe.Execution`; what is not given stays as the experiment declares it."""
    how = parser.add_argument_group("how the runs are carried out")
    switch = argparse.BooleanOptionalAction
    how.add_argument("--fast", action="store_true", help="in the fastest way there is here for long runs: on a CPU a "
                     "run per core, bf16 where the processor has it, compiled where there is a compiler; on a GPU "
                     "bf16, graphs and four runs in turn (with --budget one at a time). The options below change it")
    how.add_argument("--device", help="auto, cpu or cuda")
    how.add_argument("--precision", help="float32, tf32 (CUDA) or bf16")
    how.add_argument("--channels-last", action=switch, help="memory layout of pictures and weights")
    how.add_argument("--fused", action=switch, help="one optimizer kernel for all weights")
    how.add_argument("--compile", action=switch, help="torch.compile; needs a C++ compiler")
    how.add_argument("--graphs", action=switch, help="the step as a CUDA graph")
    how.add_argument("--autotune", action=switch, help="let cuDNN time its algorithms (CUDA)")
    how.add_argument("--interleave", type=int, metavar="RUNS", help="trained in turn by one process")
    how.add_argument("--workers", type=int, metavar="RUNS", help="at the same time (CPU only; 0: one per core)")
    how.add_argument("--threads", type=int, help="CPU threads for one run")
    how.add_argument("--checkpoint-every", type=float, metavar="SECONDS",
                     help="besides one for each row (default: 60)")


def given(args: argparse.Namespace) -> dict:
    """The fields of `recipe.Execution` that were given on the command line."""
    from dataclasses import fields

    from .recipe import Execution

    return {f.name: getattr(args, f.name) for f in fields(Execution) if getattr(args, f.name) is not None}


def execution(args: argparse.Namespace, usual: "Execution") -> "Execution":
    """``usual``, or with ``--fast`` the fastest of the device, changed as the command line says; ValueError where
    that cannot be here."""
    from dataclasses import replace

    from .recipe import Execution

    chosen = Execution.fastest(args.device or "auto") if args.fast else usual
    if getattr(args, "budget", None) is not None:  # finished runs, rather than beginnings of several
        chosen = replace(chosen, interleave=1)
    chosen = replace(chosen, **given(args))
    chosen.resolve()
    return chosen


def flags(args: argparse.Namespace) -> list[str]:
    """The words that give these options again."""
    found = ["--fast"] if args.fast else []
    for name, value in given(args).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{option}" if value else f"--no-{option}")
        else:
            found += [f"--{option}", str(value)]
    return found
