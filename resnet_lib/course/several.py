"""Several hand-ins at once: a check uses what belongs to a whole process, so each judge has a process of its own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
import os
import subprocess
import sys
import tempfile

from .. import checks
from ..files import home
from . import sandbox
from .grade import MISSING, Grade
from .pool import PREFIX, Item
from .submission import Chapter, Submission, SubmissionError, needs, read

STRANGER = {**MISSING, "state": "open", "text": "Not in the roster, so it cannot be told which numbers were given."}
_kept: dict = {}  # a worker's judge, and its items of the pool


@dataclass(frozen=True)
class Work:
    """A hand-in to be judged; ``numbers``: label -> this student's numbers for an item of the pool, None for a
    stranger."""

    grade: Grade
    path: Path
    numbers: dict[str, dict | None] = field(default_factory=dict)


def judged(chapter: Path, labels: list[str], work: Sequence[Work], jobs: int, items: Sequence[Path] = (),
           patience: float = 1.0) -> Iterator[Grade]:
    """The grades with their decisions, as they come. ``items``: the files of the pool that ``labels`` need;
    ``patience``: a factor of all time limits, for a slow or busy machine."""
    for label in labels:
        if not label.startswith(PREFIX):
            checks.find(label)  # ValueError here where the answers are missing
    walls = sandbox.walls()
    if not work:
        return
    train_runs(Chapter.load(chapter), [label for label in labels if not label.startswith(PREFIX)])
    with tempfile.TemporaryDirectory() as folder:
        libraries = sandbox.student_library(Path(folder)), sandbox.library_with_answers(Path(folder))
        with ProcessPoolExecutor(min(max(jobs, 1), len(work)), get_context("spawn"), initializer=_begin,
                                 initargs=(chapter, labels, *libraries, walls, items, patience)) as pool:
            yield from pool.map(_one, work)


def train_runs(chapter: Chapter, labels: list[str]) -> None:
    """Train the runs of the page that its solutions need, once and here, or each hand-in would train them in its room.

    The page's cells are the instructor's copy, so they need no room. Where they fail, the rooms say so.
    """
    answers = Submission(steps=[chapter.solution(label) or chapter.starter(label) for label in labels])
    cells = needs(chapter, answers)
    if any("experiments." in code for code in cells):
        program = "\n\n".join(["def display(*things, **options): pass", *cells])
        environment = {**os.environ, "RESNET_LIB_HOME": str(home()), "MPLBACKEND": "agg",
                       "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)


def _begin(chapter: Path, labels: list[str], library: Path, answers: Path, walls, items: Sequence[Path],
           patience: float) -> None:
    import torch

    from .grading import Judge

    torch.set_num_threads(1)
    _kept["judge"] = Judge(Chapter.load(chapter), labels, library, walls, answers=answers, patience=patience)
    _kept["items"] = {item.label: item for item in map(Item.load, items)}


def _one(work: Work) -> Grade:
    grade, judge = work.grade, _kept["judge"]
    items = {label: _kept["items"][label] for label, numbers in work.numbers.items() if numbers is not None}
    pool = {label: (item.starter(work.numbers[label]), item.question(work.numbers[label]))
            for label, item in items.items()}
    strangers, otherwise = [label for label in work.numbers if label not in pool], MISSING
    try:
        decisions, grade.notes = judge.grade(read(work.path), pool, strangers)
    except sandbox.SandboxError:  # no hand-in can be judged then
        raise
    except Exception as error:  # no hand-in stops those of others
        said = str(error) if isinstance(error, SubmissionError) else f"The judge raised {type(error).__name__}"
        decisions, grade.notes, otherwise = {}, [said], {**MISSING, "state": "open", "text": f"{said}."}
    grade.decisions = {label: asdict(decision) for label, decision in decisions.items()}
    for label in judge.labels:
        grade.decisions.setdefault(label, dict(STRANGER if label in strangers else otherwise))
    grade.accept_again()
    return grade
