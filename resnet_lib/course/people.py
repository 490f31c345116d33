"""Who handed in: names as Canvas and Moodle give them to files, and the roster."""

from pathlib import Path, PurePosixPath
import csv
import re

CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_\d+_.+")
MOODLE = re.compile(r"(?P<name>[^_]+(_(?!\d+_)[^_]+)*)_(?P<id>\d+)_assignsubmission_file.*")


class RosterError(ValueError):
    """A table that is no roster; the message says what it needs."""


def key_of(name: str, number: str) -> str:
    """What a student's files are called."""
    return re.sub(r"[^\w.-]+", "-", f"{name}-{number}" if number else name).strip("-.") or "unnamed"


def student_of(inside: str) -> tuple[str, str, bool]:
    """Name and number of a student, from the path of a hand-in, and whether Canvas says that it came late.

    Folders come before the file in them, whose name is the student's own. Where neither Canvas nor Moodle gave a name,
    the whole path is one, so that "ada/fast.ipynb" and "bob/fast.ipynb" are of two students.
    """
    for pattern in (MOODLE, CANVAS):
        for part in inside.split("/"):
            if found := pattern.fullmatch(part):
                return found["name"], found["id"], bool(found.groupdict().get("late"))
    return str(PurePosixPath(inside).with_suffix("")), "", False


def enrolled(name: str, number: str, roster: dict[str, str]) -> tuple[str, str] | None:
    """Name and number in the roster; None for whoever is not in it.

    By the number of Canvas or Moodle, else by a number in the file's name, as in "2001-hw1" or the handout's own
    "Ada-Lovelace-2001", else by the whole name of file or folder; never by what fits two students.
    """
    if not roster:
        return None
    written = {key_of(n, ""): n for n in sorted(roster, key=len, reverse=True)}  # as in the names of files
    any_of = "|".join(map(re.escape, written))
    numbers = [number] if number in roster else [
        written[found] for found in re.findall(rf"(?<![^\W_])(?:{any_of})(?![^\W_])", key_of(name, ""))]
    if not numbers:
        numbers = [n for n, known in roster.items() if known.casefold() in name.casefold().split("/")]
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
