"""Who handed in: names as Canvas and Moodle give them to files, and the roster."""

from pathlib import Path
import csv
import re

CANVAS = re.compile(r"(?P<name>[^_/]+)_(?P<late>LATE_)?(?P<id>\d+)_\d+_(?P<file>.+)")
MOODLE = re.compile(r"(?P<name>[^_/]+)_(?P<id>\d+)_assignsubmission_file_?/?(?P<file>.*)")


class RosterError(ValueError):
    """A table that is no roster; the message says what it needs."""


def key_of(name: str, number: str) -> str:
    """What a student's files are called."""
    return re.sub(r"[^\w.-]+", "-", f"{name}-{number}" if number else name).strip("-.") or "unnamed"


def student_of(inside: str) -> tuple[str, str, bool]:
    """Name and number of a student, from the path of a hand-in, and whether Canvas says that it came late."""
    for part in (inside, inside.rpartition("/")[2]):
        for pattern in (MOODLE, CANVAS):
            if found := pattern.fullmatch(part):
                return found["name"], found["id"], bool(found.groupdict().get("late"))
    if found := MOODLE.search(inside):
        return found["name"], found["id"], False
    return Path(inside).stem, "", False


def enrolled(name: str, number: str, roster: dict[str, str]) -> tuple[str, str] | None:
    """Name and number in the roster; None for whoever is not in it.

    By the number of Canvas or Moodle, else by a number in the file's name, as in "2001-hw1" or the handout's own
    "Ada-Lovelace-2001", else by the whole name; never by what fits two students.
    """
    numbers = [number] if number in roster else [part for part in re.split(r"[\W_]+", name) if part in roster]
    if not numbers:
        numbers = [n for n, known in roster.items() if known.casefold() == name.casefold()]
    found = dict.fromkeys(numbers)
    return (roster[numbers[0]] or name, numbers[0]) if len(found) == 1 else None


def read_roster(path: Path) -> dict[str, str]:
    """Number -> name of each student, from a table with the columns "number" and "name": the number by which Canvas or
    Moodle name the hand-ins, else any that the student puts in front of the file's name."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [{str(k).strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(v, str | None)}
                    for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RosterError(f"{path} is no table that can be read ({type(error).__name__})") from error
    found = {row["number"]: row.get("name", "") for row in rows if row.get("number")}
    if not found:
        raise RosterError(f"{path} needs a first line  number,name  and a line for each student")
    if len(found) < sum(bool(row.get("number")) for row in rows):
        raise RosterError(f"{path} has a number twice")
    return found
