"""What can go wrong outside a recipe, in one line that says what is kept and how to go on."""

from contextlib import contextmanager
from pathlib import Path

from .. import records
from ..machine import is_out_of_memory
from ..train import Run
from ..wording import advice


class RunError(RuntimeError):
    """Training stopped for a reason outside the recipe; what was reached is kept."""


@contextmanager
def own(job):
    """One line where somebody else's files are in the way."""
    try:
        yield
    except PermissionError as error:
        raise RunError(f"{job.name}: {error.filename or job.live('lock')} belongs to another user and cannot be "
                       f"written; set RESNET_LIB_HOME to a folder of your own, or let its owner share the folder: "
                       f"chmod -R a+rwX {records.live_root()}") from error


@contextmanager
def plainly(job, checkpoint: Path):
    """Failures of the machine in one line, with what is kept and the way out."""
    kept = f"the checkpoint {checkpoint} is kept" if checkpoint.exists() else "it had no checkpoint yet"
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = (str(error) or type(error).__name__).strip().splitlines()[0]
        if is_out_of_memory(error):
            fewer = advice("--interleave 1 --workers 1", "execution=Execution(interleave=1, workers=1)")
            raise RunError(f"{job.name}: out of memory ({said[:120]}); {kept}. Train fewer runs at the same time "
                           f"({fewer}), or use a larger machine, and {_go_on()}") from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise RunError(f"{job.name}: torch.compile failed ({said[:160]}); {kept}. Install a C++ compiler "
                           f"(g++ or clang), or run {advice('without --compile', 'with compile=False')}, and {_go_on()}"
                           ) from error
        raise


def save(run: Run, checkpoint: Path, job) -> None:
    try:
        run.save(checkpoint)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        kept = "the checkpoint before it is kept" if checkpoint.exists() else "no earlier one exists"
        raise RunError(f"{job.name}: the checkpoint at step {run.at:,} cannot be written to {checkpoint} "
                       f"({getattr(error, 'strerror', None) or str(error).splitlines()[0]}); {kept}. Make room, then "
                       f"{_go_on()}") from error


def _go_on() -> str:
    return advice("run the same command with --resume", "call the same again: it goes on from there")
