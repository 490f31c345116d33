"""Writing files so that a reader never sees half of one."""

from pathlib import Path
import os


def write_atomically(path: Path, write) -> None:
    """Call ``write(file)`` on a temporary neighbor of ``path``, then rename: the old or the new file
    is there at any moment, never half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
