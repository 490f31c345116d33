"""The judge: lets a hand-in run in a room, asks for what it answers, and holds that against the book's questions.

Values come out of the room; functions stay in there and are called from here. What is neither, a net or a class, cannot
be judged so, nor can a function that the check has to see running. It is run in a second room, where the book's checks
are, and what the check says there is a proposal: the code beside it could have answered in its place, so it counts, and
its hint is given to the student, when a person has read the code and accepts it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
import time

from .. import checks
from ..checks.kinds import Class, Function, Module, Question
from .host import CELL, WHOLE, FarError, FarThing, Gone, Room
from .submission import Chapter, Submission, needs, own


@dataclass(frozen=True)
class Decision:
    """What became of one exercise: "right", "wrong", "empty", "missing", "open" (could not be judged) or "hand"."""

    state: str
    text: str
    answer: str = ""  # the student's code, where eyes have to judge
    proposal: dict | None = None  # {state, text}: what the check said beside that code


class Judge:
    """Grades hand-ins of one chapter; one for each thread. ``labels``: the exercises of the assignment; ``patience``: a
    factor of all time limits."""

    def __init__(self, chapter: Chapter, labels: list[str], library: Path, walls, whole: float = WHOLE,
                 cell: float = CELL, answers: Path | None = None, patience: float = 1.0):
        self.chapter, self.labels, self.library, self.walls = chapter, labels, library, walls
        self.whole, self.cell, self.patience = patience * whole, patience * cell, patience
        self.pool: dict[str, Question] = {}
        self.answers = answers  # the library for the second room; without it nothing is proposed

    def grade(self, notebook: list[dict], pool: Mapping[str, tuple[str, Question]] | None = None,
              without: Sequence[str] = ()) -> tuple[dict[str, Decision], list[str]]:
        """A decision for each exercise, and notes for instructor and student. ``pool``: this student's starter and
        question for each exercise that is not the book's; ``without``: exercises that are not judged."""
        pool = pool or {}
        submission = own(self.chapter, notebook, {label: starter for label, (starter, _) in pool.items()})
        self.pool = {label: question for label, (_, question) in pool.items()}
        decisions = {label: self._without_running(label, submission) for label in self.labels if label not in without}
        begin = time.monotonic()
        skipped: set[int] = set()
        while open_ones := [label for label, decision in decisions.items() if decision is None]:
            left = self.whole - (time.monotonic() - begin)
            if left <= 0:
                late = Decision("wrong", "Not reached: the whole hand-in took too long.")
                decisions |= dict.fromkeys(open_ones, late)
                break
            self._one_room(submission, open_ones, decisions, skipped, left)
        by_eye = [label for label, decision in decisions.items() if decision.state == "hand" and label not in pool]
        if by_eye and self.answers:
            self._second_room(submission, by_eye, decisions, skipped)
        return decisions, [note for note in submission.notes if note.split(" ")[0] in self.labels]

    def _without_running(self, label: str, submission: Submission) -> Decision | None:
        if label in submission.broken:
            return Decision("wrong", submission.broken[label])
        if label not in submission.answers:
            return Decision("missing", "The only answer is the book's own solution, word for word."
                            if label in submission.copied else f"No cell says check(\"{label}\", …).")
        step, _ = submission.answers[label]
        if step < 0:
            return Decision("empty", "Handed in as it was given.")
        question = self._question(label)
        if isinstance(question, Module | Class) or isinstance(question, Function) and question.beside:
            return Decision("hand", "Judged beside its code: to be read by the instructor.", submission.steps[step])
        return None

    def _question(self, label: str) -> Question:
        return self.pool.get(label) or checks.find(label)

    def _one_room(self, submission: Submission, labels: list[str], decisions: dict, skipped: set[int],
                  left: float) -> None:
        """Run the cells in a new room and judge what is open; returns early where the room ends, with one more cell to
        be skipped or one more decision, so that the next room gets further."""
        step, label = -1, None
        wrong: dict[int, str] = {}
        try:
            with Room(self.walls, self.library, left, self.cell) as room:
                for code in needs(self.chapter, submission):
                    room.run(code, seconds=left)
                for step, code in enumerate(submission.steps):
                    if step in skipped:
                        continue
                    try:
                        room.run(code)
                    except FarError as error:
                        wrong[step] = _said(error)
                    for label in [label for label in labels if submission.answers[label][0] == step]:
                        decisions[label] = self._judge(room, label, submission, wrong.get(step))
                    label = None
        except Gone as error:
            why = f"Ended: {error}."
            if label is not None:
                decisions[label] = Decision("wrong", why)
            elif step >= 0:
                skipped.add(step)
                for other in labels:
                    if submission.answers[other][0] == step:
                        decisions[other] = Decision("wrong", why)
            else:
                decisions |= dict.fromkeys(labels, Decision("open", f"The page's own cells could not be run. {why}"))
        except FarError as error:
            said = f"The page's own cells could not be run: {_said(error)}."
            decisions |= dict.fromkeys(labels, Decision("open", said))

    def _second_room(self, submission: Submission, labels: list[str], decisions: dict, skipped: set[int]) -> None:
        """Ask the book's check about each of ``labels`` beside the student's code; what is said is a proposal."""
        try:
            with Room(self.walls, self.answers, self.whole, self.cell) as room:
                for code in needs(self.chapter, submission):
                    room.run(code, seconds=self.whole)
                for step, code in enumerate(submission.steps):
                    if step in skipped:
                        continue
                    with suppress(FarError):
                        room.run(code)
                    for label in [label for label in labels if submission.answers[label][0] == step]:
                        try:
                            said = room.check(label, submission.answers[label][1], self.patience)
                        except FarError as error:
                            said = {"state": "wrong", "text": f"Not yet. The cell raised {_said(error)}."}
                        decisions[label] = replace(decisions[label], proposal=said)
        except (Gone, FarError):  # then there is no proposal, and the person has the code alone
            return

    def _judge(self, room: Room, label: str, submission: Submission, raised: str | None) -> Decision:
        """Hold the value of an answer against its question. Gone passes through, also where the question's own time was
        over while the room had still to answer: the answer would be read as the next one's."""
        step, expression = submission.answers[label]
        room.crossed = ""
        try:
            answer = room.value(expression)
        except FarError as error:
            return Decision("wrong", f"Not yet. The cell raised {raised or error}.")
        if isinstance(answer, FarThing):
            want = "a function" if isinstance(self._question(label), Function) else "a number or a tensor"
            return Decision("wrong", f"Not yet. Expected {want}, got a {answer.__name__}.")
        if getattr(answer, "unwritten", False):
            return Decision("empty", "Nothing here yet.")
        gone: list[Gone] = []

        def watched(*args, **words):
            try:
                return answer(*args, **words)
            except Gone as error:
                gone.append(error)
                raise

        given = answer
        if callable(answer):
            watched.far, watched.__name__, given = answer.far, answer.__name__, watched
            room.crossed = ""  # a function may stay there
        verdict = checks.hold(self._question(label), given, patience=self.patience)
        if gone:
            raise gone[0]
        if room.waiting:
            raise room.end_of("it took too long")
        if room.crossed and not verdict:
            return Decision("hand", f"Takes or gives a {room.crossed}: to be read by the instructor.",
                            submission.steps[step])
        return Decision(verdict.state, verdict.text)


def _said(error: FarError) -> str:
    """What was raised in the room, with its name there."""
    return f"{type(error).__name__}: {error}"
