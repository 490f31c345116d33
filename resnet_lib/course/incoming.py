"""Files that come in, from folders, zips and one by one; a zip is read, never unpacked."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
import zipfile

from .submission import MOST

TAKEN = (".ipynb", ".json")  # notebooks, and records of runs


@dataclass(frozen=True)
class Incoming:
    """A file: its path in the folder or zip, its time, whether it can be a hand-in, and how to read it."""

    name: str
    when: datetime
    taken: bool
    read: Callable[[], bytes]


def files(sources: Iterable[Path]) -> Iterator[Incoming]:
    """All files, each to be read before the next one is asked for. What is named by itself is taken as it is; what a
    system or Jupyter leaves beside a student's files is passed over."""
    for source in sources:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                name = path.relative_to(source).as_posix()
                if path.is_file() and not _hidden(name):
                    yield Incoming(name, _time(path), _fits(name, path.stat().st_size), path.read_bytes)
        elif zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir() and not _hidden(entry.filename):
                        yield Incoming(entry.filename, datetime(*entry.date_time),
                                       _fits(entry.filename, entry.file_size),
                                       lambda entry=entry: archive.open(entry).read(MOST + 1))
        else:
            yield Incoming(source.name, _time(source), True, source.read_bytes)


def ignored(sources: Iterable[Path]) -> list[str]:
    """The names of files that are neither notebooks nor records, or too large for either."""
    return [file.name for file in files(sources) if not file.taken]


def _hidden(name: str) -> bool:
    """Whether a path leads through .ipynb_checkpoints, __MACOSX and the like; ".." is none of them."""
    return any(part == "__MACOSX" or part.startswith(".") and part.strip(".") for part in name.split("/"))


def _fits(name: str, size: int) -> bool:
    return name.endswith(TAKEN) and size <= MOST


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime)
