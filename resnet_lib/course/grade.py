"""What an assignment asks for, and what a student has got."""

from dataclasses import dataclass, field
from datetime import datetime

MISSING = {"state": "missing", "text": "", "answer": "", "proposal": None}  # what is not decided


@dataclass(frozen=True)
class Assignment:
    """Some of a chapter's exercises, with points; ``due``: local time, as 2026-12-01T23:59, or None; ``runs``: what
    each student trains for the class's result, as degradation/quick/plain-56,residual-56, or None; ``personal``:
    whether each student was given numbers of their own, None where nothing is handed out yet."""

    name: str
    chapter: str
    points: dict[str, float]
    due: str | None = None
    runs: str | None = None
    personal: bool | None = None

    @property
    def most(self) -> float:
        """All points together."""
        return sum(self.points.values())

    def late(self, when: datetime) -> bool:
        """Whether a hand-in of this time comes too late."""
        end = "T23:59:59" if self.due and len(self.due) == 10 else ""  # a day, which ends at its end
        return self.due is not None and when > datetime.fromisoformat(self.due + end)


@dataclass
class Grade:
    """What a student has got. ``decisions``: label -> {state, text, answer}; ``by_hand``: points that a person gave;
    ``fallen``: those that a person gave to the version before."""

    student: str
    name: str
    number: str
    file: str
    digest: str
    late: bool
    decisions: dict[str, dict] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_hand: dict[str, float] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)  # label: what that person says to the student
    accepted: dict[str, dict] = field(default_factory=dict)  # label: the proposal that a person has accepted
    fallen: dict[str, float] = field(default_factory=dict)

    def follow(self, before: "Grade") -> None:
        """Take what a person decided: of the same version all, of another one only that it has to be looked at again.
        """
        if before.digest == self.digest:
            self.by_hand, self.comments, self.accepted = before.by_hand, before.comments, before.accepted
            self.fallen = before.fallen
        else:
            self.fallen = before.fallen | before.by_hand

    def decision(self, label: str) -> dict:
        """What is decided about an exercise."""
        return self.decisions.get(label, MISSING)

    def accept(self, label: str) -> dict:
        """Count what the check proposed for an exercise; the proposal."""
        said = self.decisions[label]["proposal"]
        self.decisions[label] |= said
        self.accepted[label] = said
        self.fallen.pop(label, None)
        return said

    def accept_again(self) -> None:
        """After the same hand-in was judged again: what a person has accepted, where the check says the same."""
        for label, said in self.accepted.items():
            decision = self.decision(label)
            if decision["state"] == "hand" and decision.get("proposal") == said:
                decision |= said

    def points(self, assignment: Assignment) -> dict[str, float]:
        """Points of each exercise; what a person gave comes before what the judge says."""
        right = {label for label, decision in self.decisions.items() if decision["state"] == "right"}
        return {label: self.by_hand.get(label, most if label in right else 0.0)
                for label, most in assignment.points.items()}

    def waiting(self, assignment: Assignment) -> list[str]:
        """The exercises that a person still has to look at."""
        return [label for label in assignment.points if label not in self.by_hand
                and (self.decision(label)["state"] in ("hand", "open")
                     or label in self.fallen and self.decision(label)["state"] != "right")]
