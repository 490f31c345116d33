"""Inside the room: run the student's cells and hand out, by name, what they made. There are no answers in here, unless
the judge chose the library that has them, to hear what the book's check says of a net or a class.

Run by path as a program of its own (sandbox.py), with the student's library on the way in ``sys.argv``. What arrives on
standard input are frames of wire.py, and each gets one back; prints go nowhere.
"""

import os
import resource
import sys


def main(limits: dict[str, int], library: str, *packages: str) -> None:
    frames_in, frames_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nowhere, standard)
    sys.path[:0] = [library]
    sys.path += packages
    link_runs("/runs", os.path.join(os.environ["RESNET_LIB_HOME"], "_build", "runs"))
    import torch

    from resnet_lib import checks
    from resnet_lib.course import wire

    torch.set_num_threads(1)
    room = Room()
    checks.check = checks.questions.check = lambda label, answer=None, solution=False: None  # in here nothing is judged
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, name), (most, most))
    os.dup2(nowhere, 2)  # from here on nothing is said but in frames
    wire.send(frames_out, {"ready": True})
    while True:
        try:
            message, blobs = wire.receive(frames_in)
        except EOFError:
            return
        out: list[bytes] = []
        try:
            reply = room.answer(message, blobs, out)
        except BaseException as error:  # whatever the student's code raises, SystemExit too
            reply, out = {"error": [type(error).__name__, said(error)]}, []
        wire.send(frames_out, reply, out)


def link_runs(there: str, here: str) -> None:
    """The runs of the judge's machine, which cannot be written, as links in a folder that can."""
    for folder, _, names in os.walk(there):
        kept = [name for name in names if name.endswith((".json", ".pt"))]  # a lock has to be written
        target = os.path.join(here, os.path.relpath(folder, there))
        if kept:
            os.makedirs(target, exist_ok=True)
        for name in kept:
            os.symlink(os.path.join(folder, name), os.path.join(target, name))


def said(error: BaseException) -> str:
    """An exception's own words, which may fail as well."""
    try:
        return str(error)[:300]
    except BaseException:
        return ""


class Room:
    """The student's names, and the objects that the judge holds a number of."""

    def __init__(self):
        self.names = {"__name__": "__main__", "display": lambda *things, **options: None}
        self.kept: list[object] = []

    def keep(self, thing: object) -> dict:
        """A reference to a thing that stays in here."""
        from resnet_lib.checks.questions import _unwritten

        self.kept.append(thing)
        return {"k": "far", "id": len(self.kept) - 1, "callable": callable(thing), "unwritten": bool(_unwritten(thing)),
                "name": str(getattr(thing, "__name__", type(thing).__name__))[:80]}

    def answer(self, message: dict, blobs, out: list[bytes]) -> dict:
        """Do what the judge asks for: run a cell, give a name's value, say what the check says, call a kept thing."""
        import random

        import numpy as np
        import torch

        from resnet_lib import checks
        from resnet_lib.course import wire

        if message["do"] == "cell":
            exec(compile(message["code"], "<cell>", "exec"), self.names)
            return {}
        if message["do"] == "value":
            torch.manual_seed(0), np.random.seed(0), random.seed(0)
            return {"value": wire.pack(eval(message["code"], self.names), out, self.keep)}
        if message["do"] == "check":
            question, answer = checks.find(message["label"]), eval(message["code"], self.names)
            verdict = checks.hold(question, answer, patience=message["patience"])
            return {"state": verdict.state, "text": verdict.text}
        args = [wire.unpack(part, blobs, lambda far: self.kept[far["id"]]) for part in message["args"]]
        words = {k: wire.unpack(part, blobs, lambda far: self.kept[far["id"]]) for k, part in message["words"].items()}
        value = self.kept[message["id"]](*args, **words)
        return {"value": wire.pack(value, out, self.keep), "after": [wire.pack(part, out, self.keep) for part in args]}


if __name__ == "__main__":
    import json

    main(json.loads(sys.argv[1]), *sys.argv[2:])
