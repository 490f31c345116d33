"""The judge: lets a hand-in run in a room, asks for what it answers, and holds that against the book's questions.

Values come out of the room; functions stay in there and are called from here. What is neither, a net or a class, cannot
be judged so: its exercise is left to the instructor's eyes, with the student's code beside it. To run it where answers
are would give them away.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
import threading
import time

import numpy as np
import torch

from .. import checks
from ..checks.kinds import Class, Function, Module
from . import sandbox, wire
from .submission import Chapter, Submission, needs, own

CELL = 30.0  # seconds of the wall clock for one cell of the student's, or one call of what it made
WHOLE = 120.0  # seconds for a hand-in
LOOK = 0.25  # seconds between two looks at the room's processes


@dataclass(frozen=True)
class Decision:
    """What became of one exercise: "right", "wrong", "empty", "missing", "open" (could not be judged) or "hand"."""

    state: str
    text: str
    answer: str = ""  # the student's code, where eyes have to judge


NONSENSE = "it sent something that is no answer"


class Gone(Exception):
    """The room has ended: by its limits, by the judge's patience, or by what runs in it."""


class FarError(Exception):
    """What the student's code raised, in the room."""


class Room:
    """A running room, and how long it may go on."""

    def __init__(self, bwrap: str, library: Path, whole: float = WHOLE, cell: float = CELL):
        self.process = sandbox.start(bwrap, library)
        self.cell = cell
        self.why, self.crossed = "", ""  # why it ended; what could not cross
        self.end = time.monotonic() + whole
        self.limit = self.end
        threading.Thread(target=self._watch, daemon=True).start()
        self._read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close("")

    def close(self, why: str) -> None:
        """End the room and everything in it."""
        self.why = self.why or why
        self.process.kill()
        self.process.wait()

    def _watch(self) -> None:
        while self.process.poll() is None:
            processes, memory = sandbox.inhabitants(self.process)
            now = time.monotonic()
            for over, why in (
                    (processes > sandbox.MOST_PROCESSES, f"it started more than {sandbox.MOST_PROCESSES} processes"),
                    (memory > sandbox.MOST_MEMORY, f"it took more than {sandbox.MOST_MEMORY >> 30} GB of memory"),
                    (now > self.end, "the whole hand-in took too long"), (now > self.limit, "it took too long")):
                if over:
                    self.why = self.why or why
                    self.process.kill()
                    return
            time.sleep(LOOK)

    def _read(self) -> tuple[dict, list[bytes]]:
        try:
            message, blobs = wire.receive(self.process.stdout)
        except (EOFError, OSError, ValueError) as error:
            raise self._nonsense(NONSENSE if isinstance(error, wire.WireError) else "it ended itself") from error
        if not isinstance(message.get("error", []), list):
            raise self._nonsense()
        return message, blobs

    def _nonsense(self, why: str = NONSENSE) -> Gone:
        """End a room that is not to be trusted any more; what to raise."""
        self.close(why)
        return Gone(self.why)

    def ask(self, message: dict, blobs: list[bytes] = (), seconds: float | None = None) -> tuple[dict, list[bytes]]:
        """Send a message and wait for what comes back. FarError for an exception of the student's, Gone at the end."""
        self.limit = min(time.monotonic() + (seconds or self.cell), self.end)
        try:
            wire.send(self.process.stdin, message, blobs)
        except OSError as error:
            raise self._nonsense("it ended itself") from error
        reply, found = self._read()
        self.limit = self.end
        if "error" in reply:
            kind, text = ([str(part) for part in reply["error"]] + ["", ""])[:2]
            raise FarError(f"{kind[:60]}: {text[:300]}")
        return reply, found

    def run(self, code: str, seconds: float | None = None) -> None:
        """Run a cell in the room."""
        self.ask({"do": "cell", "code": code}, seconds=seconds)

    def value(self, expression: str) -> object:
        """The value of an expression there, or a stand-in for a function."""
        reply, blobs = self.ask({"do": "value", "code": expression})
        return self._unpack(reply, "value", blobs)

    def _unpack(self, reply: dict, name: str, blobs: list[bytes]) -> object:
        try:
            return wire.unpack(reply.get(name), blobs, self._far)
        except wire.WireError as error:
            raise self._nonsense() from error

    def _far(self, far: dict) -> object:
        """A stand-in for what stays in the room: a function that calls there, or something with a name and no more."""
        number, name = int(far["id"]), str(far.get("name"))[:80]
        if not far.get("callable"):
            return FarThing(number, name)

        def stand_in(*args, **words):
            return self._call(number, args, words)

        stand_in.far, stand_in.__name__ = number, name if name.isidentifier() else "function"
        stand_in.unwritten = bool(far.get("unwritten"))
        return stand_in

    def _call(self, number: int, args: tuple, words: Mapping) -> object:
        blobs: list[bytes] = []

        def refuse(thing):
            far = getattr(thing, "far", None)
            if isinstance(far, int):
                return {"k": "far", "id": far}
            self.crossed = type(thing).__name__
            raise wire.CannotCross(f"a {type(thing).__name__} does not go into the room")

        message = {"do": "call", "id": number, "args": [wire.pack(part, blobs, refuse) for part in args],
                   "words": {k: wire.pack(part, blobs, refuse) for k, part in words.items()}}
        if any(isinstance(part, torch.Tensor) and part.requires_grad for part in args):
            self.crossed = "gradient"
        reply, found = self.ask(message, blobs)
        after = reply.get("after")
        if not isinstance(after, list) or len(after) != len(args):
            raise self._nonsense()
        for part, packed in zip(args, after, strict=True):
            _written_to(part, lambda packed=packed: self._unpack({"part": packed}, "part", found))
        value = self._unpack(reply, "value", found)
        if isinstance(getattr(value, "far", None), int):
            self.crossed = value.__name__
        return value


class FarThing:
    """Something in the room that is neither a value nor a function."""

    def __init__(self, far: int, name: str):
        self.far, self.__name__ = far, name


def _written_to(part: object, after: Callable[[], object]) -> None:
    """Bring back what the student's code wrote into a tensor or an array, so that the check sees it."""
    if isinstance(part, torch.Tensor) and not part.is_meta:
        now = after()
        if isinstance(now, torch.Tensor) and now.shape == part.shape and not torch.equal(now, part.detach()):
            part.data.copy_(now)
    elif isinstance(part, np.ndarray):
        now = after()
        if isinstance(now, np.ndarray) and now.shape == part.shape and not np.array_equal(now, part):
            part[...] = now


class Judge:
    """Grades hand-ins of one chapter; one for each thread. ``labels``: the exercises of the assignment."""

    def __init__(self, chapter: Chapter, labels: list[str], library: Path, bwrap: str, whole: float = WHOLE,
                 cell: float = CELL):
        self.chapter, self.labels, self.library, self.bwrap = chapter, labels, library, bwrap
        self.whole, self.cell = whole, cell

    def grade(self, notebook: list[dict]) -> tuple[dict[str, Decision], list[str]]:
        """A decision for each exercise, and notes for instructor and student."""
        submission = own(self.chapter, notebook)
        decisions = {label: self._without_running(label, submission) for label in self.labels}
        begin = time.monotonic()
        skipped: set[int] = set()
        while open_ones := [label for label, decision in decisions.items() if decision is None]:
            left = self.whole - (time.monotonic() - begin)
            if left <= 0:
                late = Decision("wrong", "Not reached: the whole hand-in took too long.")
                decisions |= dict.fromkeys(open_ones, late)
                break
            self._one_room(submission, open_ones, decisions, skipped, left)
        return decisions, [note for note in submission.notes if note.split(" ")[0] in self.labels]

    def _without_running(self, label: str, submission: Submission) -> Decision | None:
        if label not in submission.answers:
            return Decision("missing", f"No cell says check(\"{label}\", …).")
        step, _ = submission.answers[label]
        if step < 0:
            return Decision("empty", "Handed in as it was given.")
        if isinstance(checks.find(label), Module | Class):
            return Decision("hand", "A class: to be read by the instructor.", submission.steps[step])
        return None

    def _one_room(self, submission: Submission, labels: list[str], decisions: dict, skipped: set[int],
                  left: float) -> None:
        """Run the cells in a new room and judge what is open; returns early where the room ends, with one more cell to
        be skipped or one more decision, so that the next room gets further."""
        step, label = -1, None
        wrong: dict[int, str] = {}
        try:
            with Room(self.bwrap, self.library, left, self.cell) as room:
                for code in needs(self.chapter, submission):
                    room.run(code, seconds=left)
                for step, code in enumerate(submission.steps):
                    if step in skipped:
                        continue
                    try:
                        room.run(code)
                    except FarError as error:
                        wrong[step] = str(error)
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
            decisions |= dict.fromkeys(labels, Decision("open", f"The page's own cells could not be run: {error}."))

    def _judge(self, room: Room, label: str, submission: Submission, raised: str | None) -> Decision:
        """Hold the value of an answer against its question. Gone passes through."""
        step, expression = submission.answers[label]
        room.crossed = ""
        try:
            answer = room.value(expression)
        except FarError as error:
            return Decision("wrong", f"Not yet. The cell raised {raised or error}.")
        if isinstance(answer, FarThing):
            want = "a function" if isinstance(checks.find(label), Function) else "a number or a tensor"
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
        verdict = checks.check(label, given)
        if gone:
            raise gone[0]
        if room.crossed and not verdict:
            return Decision("hand", f"Takes or gives a {room.crossed}: to be read by the instructor.",
                            submission.steps[step])
        return Decision(verdict.state, verdict.text)
