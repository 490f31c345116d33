"""A hand-in: which of its cells are the student's, and what they answer.

A notebook goes through Colab, VS Code and Canvas, which drop metadata, and through students' hands, which copy, move
and delete cells. So the label in ``check("…", answer)`` is what counts, and the page's own cells are known by their
text.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
import ast
import json

from . import cells

MOST = 20 << 20  # bytes of a notebook


class SubmissionError(ValueError):
    """A file that is no notebook, or no chapter's; the message names it."""


def read(path: Path) -> list[dict]:
    """The cells of a notebook, sources as one text each. SubmissionError for anything else."""
    try:
        if path.stat().st_size > MOST:
            raise SubmissionError(f"{path.name} has more than {MOST >> 20} MB: clear its outputs")
        content = json.loads(path.read_text(encoding="utf-8"))
        return [{"cell_type": str(c["cell_type"]), "source": _whole("".join(c["source"])), "id": str(c.get("id", k)),
                 "metadata": _known(c.get("metadata"))} for k, c in enumerate(content["cells"])]
    except SubmissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SubmissionError(f"{path.name} is no notebook ({type(error).__name__})") from error


def _whole(text: str) -> str:
    """Text that can be written: JSON may hold halves of characters."""
    return text.encode(errors="replace").decode()


def _known(metadata: object) -> dict:
    """What is used of a cell's metadata, where it is of the kind that is used."""
    kinds = {"resnet": dict, "tags": list}
    return {name: part for name, part in metadata.items() if name in kinds and isinstance(part, kinds[name])} \
        if isinstance(metadata, dict) else {}


def role(cell: dict) -> str:
    """The role of a cell of a chapter's notebook: "text", "starter", "solution", "setup" or "page"."""
    about = cell["metadata"].get("resnet", {})
    return about.get("role") or ("setup" if "setup" in cell["metadata"].get("tags", ()) else "page")


@dataclass(frozen=True)
class Chapter:
    """A chapter's notebook as it is handed out, with solutions or without."""

    cells: list[dict]

    @classmethod
    def load(cls, path: Path) -> "Chapter":
        """From a notebook of this book. SubmissionError where it has no exercises with a check."""
        chapter = cls(read(path))
        if not chapter.exercises:
            raise SubmissionError(f"{path.name} has no exercises with a check; take the chapter's notebook as it comes")
        return chapter

    def _codes(self, *roles: str) -> list[dict]:
        return [c for c in self.cells if c["cell_type"] == "code" and role(c) in roles]

    @property
    def exercises(self) -> list[str]:
        """The labels of its exercises that have a check, in order."""
        return [c["metadata"]["resnet"]["exercise"] for c in self._codes("starter")]

    @property
    def page(self) -> list[tuple[str, str]]:
        """The page's own cells of code: (id, source)."""
        return [(c["id"], c["source"]) for c in self._codes("page")]

    def task(self, label: str) -> str:
        """What the exercise asks, in Markdown."""
        return "\n\n".join(c["source"] for c in self.cells if c["cell_type"] == "markdown" and role(c) == "text"
                           and c["metadata"]["resnet"]["exercise"] == label)

    def starter(self, label: str) -> str:
        """The code that the student is given."""
        return next(c["source"] for c in self._codes("starter") if c["metadata"]["resnet"]["exercise"] == label)

    def solution(self, label: str) -> str:
        """The cells of the solution up to the one that checks; "" in an edition without solutions."""
        found: list[str] = []
        for cell in self._codes("solution"):
            if cell["metadata"]["resnet"]["exercise"] == label:
                found.append(cell["source"])
                if cells.answer_of(cell["source"], label):
                    return "\n\n".join(found)
        return ""

    @property
    def known(self) -> set[str]:
        """The texts of all its cells but the starters: whatever has one of these is not the student's work."""
        return {_plain(c["source"]) for c in self._codes("page", "setup", "solution")}


@dataclass
class Submission:
    """What a student handed in: cells to run, in order, and which of them answer what."""

    steps: list[str] = field(default_factory=list)  # code, magics left out
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)  # label: (number of the step, expression)
    notes: list[str] = field(default_factory=list)  # what the instructor and the student should know
    copied: set[str] = field(default_factory=set)  # labels that only the book's own solution answers, word for word
    broken: dict[str, str] = field(default_factory=dict)  # labels whose cell is no Python, with what is wrong with it


def own(chapter: Chapter, notebook: list[dict], pool: Mapping[str, str] | None = None) -> Submission:
    """The student's part of a hand-in: the cells that are not the page's, with the starters filled in. ``pool``: the
    starters of exercises that are not the chapter's, by label."""
    found, known = Submission(), chapter.known
    starters = {label: _plain(chapter.starter(label)) for label in chapter.exercises}
    starters |= {label: _plain(code) for label, code in (pool or {}).items()}
    for cell in notebook:
        source = _without_magics(cell["source"])
        if cell["cell_type"] != "code" or not source.strip():
            continue
        if _plain(cell["source"]) in known or role(cell) in ("solution", "setup"):  # these of another edition, say
            found.copied |= {label for label in chapter.exercises if cells.answer_of(source, label)}
            continue
        labels = [label for label in starters if cells.answer_of(source, label)]
        found.broken |= {label: why for label in starters if (why := cells.broken(source, label))}
        untouched = [label for label in labels if _plain(source) == starters[label]]
        if untouched:
            found.answers.setdefault(untouched[0], (-1, ""))  # handed in as it was given
            continue
        for label in labels:
            if found.answers.get(label, (-1, ""))[0] >= 0:
                found.notes.append(f"{label} is answered more than once; the last answer counts")
            found.answers[label] = (len(found.steps), cells.answer_of(source, label))
        found.steps.append(source)
    found.copied -= set(found.answers)
    found.broken = {label: why for label, why in found.broken.items() if label not in found.answers}
    found.notes += [f"{label} is missing: no cell of yours says check(\"{label}\", …)" for label in starters
                    if label not in found.answers and label not in found.broken]
    return found


def answering(notebook: list[dict], label: str) -> str:
    """The cell that answers an exercise, the last one where there are several; "" where there is none."""
    return next((c["source"] for c in reversed(notebook) if c["cell_type"] == "code"
                 and (cells.answer_of(code := _without_magics(c["source"]), label) or cells.broken(code, label))), "")


def needs(chapter: Chapter, submission: Submission) -> list[str]:
    """The page's cells, in order, that the student's code takes names from."""
    made, used = set(), set()
    for code in submission.steps:
        anew, changed, uses = cells.names_of(code)
        used |= uses - made
        made |= anew | changed
    wanted = set(cells.needed(chapter.page, used))
    return [code for key, code in chapter.page if key in wanted]


def _without_magics(code: str) -> str:
    """Code without IPython's own lines (%run, !pip, ?), which a plain Python does not know. In plain Python a line that
    begins so goes on with an expression."""
    with suppress(*cells.UNREADABLE):
        ast.parse(code)
        return code
    return "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!", "?")))


def _plain(code: str) -> str:
    """Code without what editors change: comments, blank lines, spaces at the ends of lines."""
    try:
        return ast.unparse(ast.parse(_without_magics(code)))
    except cells.UNREADABLE:
        return "\n".join(line.rstrip() for line in code.splitlines() if line.strip())
