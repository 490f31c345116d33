"""The judge's end of a room: what is asked, what comes back, and when the room's time is over."""

from collections.abc import Callable, Mapping
from pathlib import Path
import tempfile
import threading
import time

import numpy as np
import torch

from . import sandbox, wire

VERDICTS = ("right", "wrong", "empty", "open")
CELL = 30.0  # seconds of the wall clock for one cell of the student's, or one call of what it made
WHOLE = 120.0  # seconds for a hand-in
LOOK = 0.25  # seconds between two looks at the room's processes
NONSENSE = "it sent something that is no answer"


class Gone(Exception):
    """The room has ended: by its limits, by the judge's patience, or by what runs in it."""


class RoomError(sandbox.SandboxError):
    """A room that did not even begin, for a reason that is not the student's."""


class FarError(Exception):
    """What the student's code raised, in the room."""


class Room:
    """A running room, and how long it may go on."""

    def __init__(self, walls: "sandbox.Bubblewrap | sandbox.Podman", library: Path, whole: float = WHOLE,
                 cell: float = CELL):
        self.errors = tempfile.TemporaryFile()
        self.walls = walls
        self.process = walls.start(library, self.errors)
        self.cell = cell
        self.why, self.crossed = "", ""  # why it ended; what could not cross
        self.waiting = False  # whether it has still to answer
        self.end = time.monotonic() + whole
        self.limit = self.end
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            self._read()
        except Gone as gone:
            self.errors.seek(0)
            said = self.errors.read(1 << 16).decode(errors="replace").strip().splitlines()
            if said:
                raise RoomError(f"a room could not begin: {said[-1][:300]}") from gone
            raise  # the hand-in's time was over

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close("")

    def close(self, why: str) -> None:
        """End the room and everything in it."""
        self.why = self.why or why
        self.walls.end(self.process)

    def _watch(self) -> None:
        while self.process.poll() is None:
            processes, memory = self.walls.inhabitants(self.process)
            now = time.monotonic()
            for over, why in (
                    (processes > sandbox.MOST_PROCESSES, f"it started more than {sandbox.MOST_PROCESSES} processes"),
                    (memory > sandbox.MOST_MEMORY, f"it took more than {sandbox.MOST_MEMORY >> 30} GB of memory"),
                    (now > self.end, "the whole hand-in took too long"), (now > self.limit, "it took too long")):
                if over:
                    self.close(why)
                    return
            time.sleep(LOOK)

    def _read(self) -> tuple[dict, list[bytes]]:
        try:
            message, blobs = wire.receive(self.process.stdout)
        except (EOFError, OSError, ValueError) as error:
            raise self.end_of(NONSENSE if isinstance(error, wire.WireError) else "it ended itself") from error
        if not isinstance(message.get("error", []), list):
            raise self.end_of()
        return message, blobs

    def end_of(self, why: str = NONSENSE) -> Gone:
        """End a room that is not to be trusted any more; what to raise."""
        self.close(why)
        return Gone(self.why)

    def ask(self, message: dict, blobs: list[bytes] = (), seconds: float | None = None) -> tuple[dict, list[bytes]]:
        """Send a message and wait for what comes back. FarError for an exception of the student's, Gone at the end."""
        self.limit, self.waiting = min(time.monotonic() + (seconds or self.cell), self.end), True
        try:
            wire.send(self.process.stdin, message, blobs)
        except wire.WireError:  # nothing was sent
            self.waiting = False
            raise
        except OSError as error:
            raise self.end_of("it ended itself") from error
        reply, found = self._read()
        self.limit, self.waiting = self.end, False
        if "error" in reply:
            kind, text = ([str(part) for part in reply["error"]] + ["", ""])[:2]
            name = kind[:60] if kind.isidentifier() else "Error"
            raise type(name, (FarError,), {})(text[:300])
        return reply, found

    def check(self, label: str, expression: str, patience: float) -> dict:
        """What the book's check says in the room, as {state, text}; whoever is in there may have said it instead."""
        reply, _ = self.ask({"do": "check", "label": label, "code": expression, "patience": patience})
        if reply.get("state") not in VERDICTS or not isinstance(reply.get("text"), str):
            raise self.end_of()
        return {"state": reply["state"], "text": reply["text"][:600]}

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
            raise self.end_of() from error

    def _far(self, far: dict) -> object:
        """A stand-in for what stays in the room: a function that calls there, or something with a name and no more."""
        number, name = int(far["id"]), str(far.get("name"))[:80]
        if not far.get("callable"):
            self.crossed = name
            return FarThing(number, name)

        def stand_in(*args, **words):
            return self._call(number, args, words)

        stand_in.far, stand_in.__name__ = number, name if name.isidentifier() else "function"
        self.crossed = stand_in.__name__
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
            raise self.end_of()
        for part, packed in zip(args, after, strict=True):
            _written_to(part, lambda packed=packed: self._unpack({"part": packed}, "part", found))
        return self._unpack(reply, "value", found)


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
