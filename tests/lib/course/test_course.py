"""A course on disk: cells and what they need, frames, hand-ins of all kinds, points, tables. Without a room."""

from collections import OrderedDict, namedtuple
from dataclasses import replace
from datetime import datetime
import io
import html
import json
import os
import zipfile

import numpy as np
import pytest
import torch

from conftest import ROOT
from resnet_lib import checks
from resnet_lib.__main__ import FAILED, FINISHED, main
from resnet_lib.course import cells, grading, handout, host, report, room, several, submission, wire
from resnet_lib.course.folder import Course, CourseError
from resnet_lib.course.grade import Assignment, Grade
from resnet_lib.course.submission import Chapter, SubmissionError


@pytest.fixture(scope="module")
def chapter():
    return Chapter.load(ROOT / "chapters" / "residual_block.ipynb")


@pytest.fixture
def course(tmp_path):
    found = Course.begin(tmp_path / "course", ROOT / "chapters", "Nets & more")
    found.assign(Assignment("hw1", "fast", {"fast-2": 2.0, "fast-5": 3.0}, "2026-12-01T23:59"))
    return found


# --- cells


@pytest.mark.parametrize("code, anew, changed, used", [
    ("import torch.nn as nn, os.path", {"nn", "os"}, set(), set()),
    ("a = b + 1\nd[k] = a", {"a"}, {"d"}, {"a", "b", "d", "k"}),
    ("def f(x, y=z):\n    t = x + outer\n    return t", {"f"}, set(), {"z", "outer"}),
    ("rows = [r for r in table if r]", {"rows"}, set(), {"table"}),
    ("if on:\n    a = 1\nfor i in a: pass", set(), {"a", "i"}, {"on", "a"}),
    ("net.training = False", set(), {"net"}, {"net"}),
    ("class C(Base):\n    n = size\n    def f(self): return g(self)", {"C"}, set(), {"Base", "size", "g"}),
    ("import math\ndef f(n): return math.log(n) + k", {"math", "f"}, set(), {"k"}),
    ("%run x", set(), set(), set()),
])
def test_names_of_a_cell(code, anew, changed, used):
    assert cells.names_of(code) == (anew, changed, used)


def test_only_the_cells_that_a_name_needs():
    page = [("1", "x = 1"), ("2", "y = x"), ("3", "x = 2"), ("4", "d = {}"), ("5", "d['x'] = y"), ("6", "z = x + 1")]
    assert cells.needed(page, {"z"}) == ["3", "6"]
    assert cells.needed(page, {"d"}) == ["1", "2", "4", "5"]
    assert cells.needed(page, {"nothing"}) == []
    later = [("1", "def f():\n    return g()"), ("2", "def g():\n    return h"), ("3", "h = 1"), ("4", "k = 2")]
    assert cells.needed(later, {"f"}) == ["1", "2", "3"]  # a function finds at its call what later cells have set


@pytest.mark.slow
def test_what_each_starter_needs_is_enough():
    """The page's cells that the metadata of a notebook name, then the solution: no name is missing."""
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        chapter = Chapter.load(path)
        for cell in chapter.cells:
            about = cell["metadata"].get("resnet", {})
            if about.get("role") != "starter":
                continue
            assert about["answer"] == cells.answer_of(cell["source"], about["exercise"])
            made = set(dir(__builtins__) if not isinstance(__builtins__, dict) else __builtins__)
            codes = [c["source"] for c in chapter.cells if c["id"] in about["needs"]]
            for code in codes:  # what a function uses may be set after it
                made |= cells.names_of(code)[0] | cells.names_of(code)[1]
            for code in [*codes, chapter.starter(about["exercise"]), chapter.solution(about["exercise"])]:
                anew, changed, used = cells.names_of(code)
                assert used - anew - changed <= made | {"display"}, (about["exercise"], used - made)
                made |= anew | changed


# --- frames


def test_values_arrive_as_they_were():
    values = [None, True, 3, -2.5, float("inf"), "é", ..., 2 + 1j, [1, (2, [3])], {"a": [1], 2: None}, np.float32(1.5),
              np.arange(6).reshape(2, 3), torch.arange(4.0), torch.ones(2, 3, dtype=torch.bfloat16), torch.empty(0, 4),
              torch.tensor(True), torch.tensor(1 + 2j), torch.eye(3).t()[1:], torch.empty(2, device="meta")]
    for value in values:
        blobs: list[bytes] = []
        stream = io.BytesIO()
        wire.send(stream, {"v": wire.pack(value, blobs, lambda thing: {"k": "far", "id": 1})}, blobs)
        stream.seek(0)
        message, found = wire.receive(stream)
        got = wire.unpack(message["v"], found, lambda far: far)
        assert type(got) is type(value)
        if isinstance(value, torch.Tensor):
            assert got.shape == value.shape and got.dtype == value.dtype and got.device == value.device
            assert value.is_meta or torch.equal(got, value)
        elif isinstance(value, np.ndarray):
            assert np.array_equal(got, value) and got.dtype == value.dtype
        else:
            assert got == value


@pytest.mark.parametrize("value, as_it_arrives", [
    ([torch.Size((2, 3))], [(2, 3)]), ((namedtuple("Pair", "a b")(1, 2.5),), ((1, 2.5),)),
    ([OrderedDict(a=1)], [{"a": 1}]), ([type("Mine", (int,), {})(3), type("Text", (str,), {})("x")], [3, "x"])])
def test_kinds_of_lists_and_numbers_travel_as_what_they_are_kinds_of(value, as_it_arrives):
    packed = json.loads(json.dumps(wire.pack(value, [], lambda thing: {"k": "far", "id": 1})))
    assert wire.unpack(packed, [], lambda far: far) == as_it_arrives


def test_what_does_not_travel_stays_and_deep_lists_are_refused():
    deep = []
    for _ in range(wire.MOST_DEPTH + 2):
        deep = [deep]
    with pytest.raises(wire.CannotCross, match="nested"):
        wire.pack(deep, [], lambda thing: {})
    with pytest.raises(wire.CannotCross, match="integer"):
        wire.pack(1 << 5000, [], lambda thing: {})

    class Odd(torch.Tensor):
        pass

    for thing in (object(), torch.nn.Linear(1, 1), np.array([object()]), torch.ones(1).as_subclass(Odd), {1}, print):
        assert wire.pack(thing, [], lambda thing: {"k": "far", "id": 5}) == {"k": "far", "id": 5}


@pytest.mark.parametrize("packed", [
    {"k": "pickle"}, {}, None, 3, {"k": "plain", "v": [1]},
    {"k": "tensor", "dtype": "float32", "shape": [2], "blob": 0},
    {"k": "tensor", "dtype": "float32", "shape": [-1, 4], "blob": 0}, {"k": "tensor", "dtype": "object", "shape": [1],
    "blob": 0}, {"k": "tensor", "dtype": "float32", "shape": [1], "blob": 9}, {"k": "list", "v": [{"k": "x"}]},
    {"k": "dict", "v": [[{"k": "list", "v": []}, {"k": "plain", "v": 1}]]}, {"k": "array", "dtype": "float32",
    "shape": [10**9, 10**9, 10**9], "blob": 0}, {"k": "meta", "shape": [10**30], "dtype": "float32"}])
def test_a_frame_that_lies_is_refused(packed):
    with pytest.raises(wire.WireError):
        wire.unpack(packed, [b"1234"], lambda far: far)


def test_numbers_that_were_not_sent_are_refused_and_those_that_were_come_once():
    """Else the room would get the judge's own memory, or a copy of the same megabytes as often as it likes."""
    one = {"k": "tensor", "dtype": "float32", "shape": [1], "blob": 0}
    for packed, blob in (({**one, "shape": [1000]}, b""), ({"k": "list", "v": [one, one]}, b"1234"),
                         ({"k": "scalar", "v": {**one, "shape": []}}, b"")):
        with pytest.raises(wire.WireError):
            wire.unpack(packed, [blob], lambda far: far)
    assert wire.unpack({**one, "shape": [0, 4]}, [b""], lambda far: far).shape == (0, 4)


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\x02\x00\x00\x00{}", b"\x03\x00\x00\x00abc",
                                 b"\x10\x00\x00\x00" + b'{"sizes": [-1]} ',
                                 b"\x12\x00\x00\x00" + b'{"sizes": ["a"]}  '])
def test_a_stream_of_something_else_is_refused(raw):
    with pytest.raises(wire.WireError):
        wire.receive(io.BytesIO(raw + b" " * 100))
    with pytest.raises(EOFError):
        wire.receive(io.BytesIO(raw[:2]))


# --- the judge, with a room in this process


class Near(host.Room):
    """A room without walls."""

    def __init__(self):
        self.there, self.crossed, self.waiting = room.Room(), "", False

    def ask(self, message, blobs=(), seconds=None):
        out: list[bytes] = []
        return json.loads(json.dumps(self.there.answer(message, list(blobs), out))), out


def judged(code: str, question: checks.Question) -> grading.Decision:
    """What becomes of ``answer`` in some code."""
    judge, near = grading.Judge(Chapter([]), [], None, None), Near()
    judge.pool = {"pool-x": question}
    near.run(code)
    return judge._judge(near, "pool-x", submission.Submission([code], {"pool-x": (0, "answer")}), None)


def test_shapes_in_a_list_are_right_and_what_stays_in_the_room_is_read_by_a_person():
    question = checks.Function(lambda f: None if f(torch.ones(2, 3)) == [(2, 3), (6,)] else "Not the shapes.")
    code = "def answer(x): return [x.shape, %s]"
    assert judged(code % "x.reshape(-1).shape", question).state == "right"
    assert judged(code % "(7,)", question).state == "wrong"
    assert judged(code % "{6}", question).state == "hand"
    assert judged("answer = [{6}]", checks.Number(6)).state == "hand"
    assert judged("answer = {6}", checks.Number(6)).state == "wrong"


def test_a_function_that_has_to_be_seen_running_is_judged_beside_its_code():
    chapter = Chapter.load(ROOT / "chapters" / "using.ipynb")
    forbidden = ("import torch\ndef few(Z, T, penalty):\n"
                 "    return torch.linalg.solve(Z.T @ Z + penalty * torch.eye(Z.shape[1], dtype=Z.dtype), Z.T @ T)\n"
                 'check("using-3", few)')
    cell = {"cell_type": "code", "source": forbidden, "metadata": {}, "id": "1"}
    decisions, _ = grading.Judge(chapter, ["using-3"], None, None).grade([cell])
    assert decisions["using-3"].state == "hand" and decisions["using-3"].answer == forbidden


# --- hand-ins


def hand_in(*sources) -> bytes:
    return json.dumps({"cells": [{"cell_type": "code", "source": s, "metadata": {}, "outputs": []} for s in sources],
                       "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def test_a_notebook_handed_in_as_it_was_given_answers_nothing(chapter):
    """Its solutions stand in for nobody, with the metadata and without."""
    for stripped in (False, True):
        handed = [{**c, "metadata": {}} if stripped else c for c in chapter.cells]
        found = submission.own(chapter, handed)
        assert set(found.answers.values()) == {(-1, "")} and not found.steps and not found.notes


def test_solutions_of_an_older_edition_are_nobodys_answers(chapter):
    handed = [{**c, "source": c["source"] + "\nolder = True"} if submission.role(c) == "solution" else c
              for c in chapter.cells]
    assert set(submission.own(chapter, handed).answers.values()) == {(-1, "")}


def test_the_students_cells_and_what_they_take_from_the_page(chapter):
    source = "%matplotlib inline\ndef backward(x, w1, w2, g):\n    return blocks\n\ncheck('residual-block-2', backward)"
    found = submission.own(chapter, [{"cell_type": "code", "source": source, "metadata": {}, "id": "1"}])
    assert found.answers == {"residual-block-2": (0, "backward")} and found.steps == [source.split("\n", 1)[1]]
    assert len(found.notes) == 2 and "is missing" in found.notes[0]
    assert any("import blocks" in code for code in submission.needs(chapter, found))


def test_a_line_of_an_expression_is_no_magic(chapter):
    source = "n = (123456789\n     % 1000)\ncheck('residual-block-2', n)"
    found = submission.own(chapter, [{"cell_type": "code", "source": source, "metadata": {}, "id": "1"}])
    assert found.steps == [source]


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"cells": [1]}', b'{"cells": [{"cell_type": "code"}]}',
                                 b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_notebook_is_named(tmp_path, raw):
    (tmp_path / "x.ipynb").write_bytes(raw)
    with pytest.raises(SubmissionError, match=r"x\.ipynb is no notebook"):
        submission.read(tmp_path / "x.ipynb")


STRANGE = {"half a character": "x = '\ud800'", "signs": f"x = {'-' * 100_000}1", "a sum": f"x = 1{'+1' * 100_000}",
           "a long answer": f"check('fast-2', 1{'+1' * 2000})", "nothing": "x = '\0'"}


@pytest.mark.parametrize("metadata", [{}, {"resnet": "x"}, {"tags": None}, {"resnet": {"role": []}, "tags": [{}]}])
@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_cell_is_in_nobodys_way(course, what, metadata):
    """Neither in that of the other cells nor, when pages of feedback are written, in that of the other students."""
    source = f"{STRANGE[what]}\ncheck('fast-2', 1)"
    given = [{"cell_type": "code", "source": s, "metadata": metadata} for s in (source, "check('fast-5', 1)")]
    (course.root / "ada.ipynb").write_text(json.dumps({"cells": given}))
    course.collect("hw1", [course.root / "ada.ipynb"])
    grade, = course.open_grades(course.assignment("hw1"))
    chapter = course.chapter("fast")
    found = submission.own(chapter, course.notebook(grade))
    assert found.answers["fast-5"][1] == "1" and "fast-2" in found.answers | found.broken
    submission.needs(chapter, found)
    grade.decisions = {"fast-2": decided("wrong", "The cell raised ValueError: \ud800")}
    course.keep(course.assignment("hw1"), grade)
    assert main(["course", "-C", str(course.root), "feedback", "hw1"]) == FINISHED


def test_what_the_judge_cannot_do_stands_in_that_students_grade_alone(course, monkeypatch):
    class Judge:
        labels = ["fast-2"]

        def grade(self, notebook, pool, without):
            raise error

    handed(course, "1")
    grade, = course.open_grades(course.assignment("hw1"))
    monkeypatch.setitem(several._kept, "judge", Judge())
    error = RecursionError()
    assert several._one(several.Work(grade, course.root / grade.file)).decisions["fast-2"] == {
        "state": "open", "text": "The judge raised RecursionError.", "answer": "", "proposal": None}
    error = several.sandbox.SandboxError("no room")
    with pytest.raises(several.sandbox.SandboxError):  # which is no student's
        several._one(several.Work(grade, course.root / grade.file))


def test_a_collection_that_is_ended_midway_goes_on_where_it_was(course, monkeypatch):
    from resnet_lib.course import folder

    write, written = folder.write_atomically, []

    def ended(path, work):
        written.append(path)
        if path.suffix == ".ipynb":
            raise KeyboardInterrupt
        write(path, work)

    monkeypatch.setattr(folder, "write_atomically", ended)
    with pytest.raises(KeyboardInterrupt):
        handed(course, "1")
    monkeypatch.undo()
    assert handed(course, "1") == ["Ada-4242"] and len(course.open_grades(course.assignment("hw1"))) == 1


def test_hand_ins_as_canvas_and_moodle_name_them(course, tmp_path):
    canvas = tmp_path / "submissions.zip"
    with zipfile.ZipFile(canvas, "w") as archive:
        for name, when in (("lovelaceada_LATE_4242_99_fast.ipynb", (2026, 12, 2, 8, 0, 0)),
                           ("lovelaceada_4242_98_fast-1.ipynb", (2026, 11, 30, 8, 0, 0)),
                           ("noetheremmy_17_97_my_fast.ipynb", (2026, 12, 1, 8, 0, 0)),
                           ("readme.txt", (2026, 1, 1, 0, 0, 0))):
            archive.writestr(zipfile.ZipInfo(name, when), hand_in(name))
    moodle = tmp_path / "moodle.zip"
    with zipfile.ZipFile(moodle, "w") as archive:
        for name, day in (("Kurt Gödel_305_assignsubmission_file_/fast.ipynb", 3),
                          ("../../evil_1_assignsubmission_file_/x.ipynb", 1)):
            archive.writestr(zipfile.ZipInfo(name, (2026, 12, day, 8, 0, 0)), hand_in(name))
    alone = tmp_path / "turing.ipynb"
    alone.write_bytes(hand_in("t"))
    os.utime(alone, (0, datetime(2026, 11, 1).timestamp()))
    assert len(course.collect("hw1", [canvas, moodle, alone])) == 6
    assert course.collect("hw1", [canvas, moodle, alone]) == []  # a second time there is nothing new
    students = course.students("hw1")
    assert students == ["Kurt-Gödel-305", "evil-1", "lovelaceada-4242", "noetheremmy-17", "turing"]
    assert not (tmp_path / "evil-1").exists()
    hw1 = course.assignment("hw1")
    assert [course.counted(hw1, s)[1] for s in students] == [True, False, False, False, False]
    assert list((course.root / "collected" / "hw1" / "lovelaceada-4242").glob("*-late.ipynb"))  # Canvas says so
    counts = submission.read(course.counted(hw1, "lovelaceada-4242")[0])
    assert counts[0]["source"] == "lovelaceada_4242_98_fast-1.ipynb"  # the last that was on time; the other is kept
    with pytest.raises(CourseError, match="there is no"):
        course.collect("hw1", [tmp_path / "nothing"])


def test_who_hands_in_is_said_by_the_folder_before_the_students_own_file(course, tmp_path):
    folder = tmp_path / "in"
    for name in ("hw/Ada Lovelace_4242_assignsubmission_file/bob_77_1_fast.ipynb",
                 "Emmy_Noether_17_assignsubmission_file_/fast.ipynb",
                 "kurt_5_99_bob_77_assignsubmission_file_x.ipynb",
                 "ada/fast.ipynb", "bob/fast.ipynb", "turing.ipynb",
                 "ada/.ipynb_checkpoints/fast-checkpoint.ipynb", "__MACOSX/ada/._fast.ipynb", "ada/._fast.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(hand_in(name))
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.ipynb"):
            file.write(path, path.relative_to(folder))
    expected = ["Ada-Lovelace-4242", "Emmy_Noether-17", "ada-fast", "bob-fast", "kurt-5", "turing"]
    assert sorted(course.collect("hw1", [folder])) == course.students("hw1") == expected
    course.assign(Assignment("hw2", "fast", {"fast-2": 2.0}))
    assert sorted(course.collect("hw2", [archive])) == expected


# --- grades and tables


def decided(state: str, text: str = "") -> dict:
    return {"state": state, "text": text, "answer": "def f(): ..." if state == "hand" else ""}


def test_grading_goes_on_where_it_was_and_points_given_by_hand_stay(course, tmp_path, capsys):
    for name in ("ada", "emmy"):
        (tmp_path / f"{name}.ipynb").write_bytes(hand_in(name))
    course.collect("hw1", [tmp_path / "ada.ipynb", tmp_path / "emmy.ipynb"])
    hw1 = course.assignment("hw1")
    ada, emmy = course.open_grades(hw1)
    ada.decisions = {"fast-2": decided("hand", "A class."), "fast-5": decided("right", "Right.")}
    course.keep(hw1, ada)
    assert [g.student for g in course.open_grades(hw1)] == ["emmy"]
    assert [g.student for g in course.open_grades(hw1, again=True)] == ["ada", "emmy"]
    assert ada.waiting(hw1) == ["fast-2"] and ada.points(hw1) == {"fast-2": 0.0, "fast-5": 3.0}
    folder = ["course", "-C", str(course.root)]
    assert main([*folder, "grade", "hw1", "--set", "ada", "fast-2", "1.5"]) == FINISHED
    assert main([*folder, "grade", "hw1", "--why", "ada"]) == FINISHED
    said = capsys.readouterr().out
    assert "fast-2: 1.5 of 2 (given by hand)" in said and "def f(): ..." in said and "fast-5: 3 of 3, right" in said
    assert course.open_grades(hw1, again=True)[0].by_hand == {"fast-2": 1.5}
    (tmp_path / "ada.ipynb").write_bytes(hand_in("ada, again"))
    os.utime(tmp_path / "ada.ipynb", (0, datetime(2026, 12, 1, 9).timestamp()))
    course.collect("hw1", [tmp_path / "ada.ipynb"])
    if datetime.now() < datetime(2026, 12, 1, 9):  # else the first version is late
        assert [(g.student, g.by_hand) for g in course.open_grades(hw1)] == [("ada", {}), ("emmy", {})]
        ada = course.open_grades(hw1)[0]  # a person has to say again what this one gets, unless the check says right
        ada.decisions = {"fast-2": decided("wrong", "No."), "fast-5": decided("right", "Right.")}
        assert ada.fallen == {"fast-2": 1.5} and ada.waiting(hw1) == ["fast-2"] and ada.points(hw1)["fast-2"] == 0
        course.keep(hw1, ada)
        assert course.open_grades(hw1, again=True)[0].fallen == {"fast-2": 1.5}
        capsys.readouterr()
        assert main([*folder, "grade", "hw1", "--why", "ada"]) == FINISHED
        assert "(by hand, for the version before: 1.5)" in capsys.readouterr().out
        ada.by_hand["fast-2"] = 0.0
        assert ada.waiting(hw1) == []
    assert main([*folder, "feedback", "hw1"]) == main([*folder, "export", "hw1", "--lms", "moodle"]) == FINISHED
    assert main([*folder, "grade", "hw1", "--why", "nobody"]) == FAILED
    assert main([*folder, "assign", "hw2", "fast", "--exercises", "9"]) == FAILED
    assert "with a check there are fast-1" in capsys.readouterr().err


def test_nothing_is_overwritten_without_a_word(course, capsys):
    folder = ["course", "-C", str(course.root)]
    key = course.key
    assert main(["course", "new", str(course.root), "--notebooks", str(ROOT / "chapters")]) == FAILED
    assert "is a course already" in capsys.readouterr().err and course.key == key
    assert main([*folder, "assign", "hw1", "fast", "--exercises", "1"]) == FAILED
    assert "say --replace" in capsys.readouterr().err and course.assignment("hw1").most == 5
    assert main([*folder, "assign", "hw1", "fast", "--exercises", "1", "--replace", "--due", "2026-12-01"]) == FINISHED
    hw1 = course.assignment("hw1")
    assert not hw1.late(datetime(2026, 12, 1, 23, 59)) and hw1.late(datetime(2026, 12, 2))


def test_points_by_hand_have_bounds_and_what_was_accepted_stays(course, tmp_path, capsys):
    (tmp_path / "ada.ipynb").write_bytes(hand_in("ada"))
    course.collect("hw1", [tmp_path / "ada.ipynb"])
    hw1, proposal = course.assignment("hw1"), {"state": "right", "text": "Right."}

    def judged():
        grade, = course.open_grades(hw1, again=True)
        grade.decisions = {"fast-2": decided("hand") | {"proposal": dict(proposal)}, "fast-5": decided("empty")}
        grade.accept_again()
        course.keep(hw1, grade)
        return course.grade(hw1, "ada").points(hw1)

    folder = ["course", "-C", str(course.root)]
    assert judged() == {"fast-2": 0, "fast-5": 0}
    table = report.table(course, hw1, [course.grade(hw1, "ada")], "canvas")
    assert table.splitlines()[-1] == "ada,,,,,"  # no total while something waits
    assert main([*folder, "accept", "hw1"]) == FINISHED and judged() == {"fast-2": 2, "fast-5": 0}
    proposal["state"] = "wrong"  # another word of the check waits for a person again
    assert judged() == {"fast-2": 0, "fast-5": 0} and course.grade(hw1, "ada").waiting(hw1) == ["fast-2"]
    for points, expected in (("7", FAILED), ("-1", FAILED), ("x", FAILED), ("1", FINISHED)):
        assert main([*folder, "grade", "hw1", "--set", "ad", "fast-5", points]) == expected
    assert course.grade(hw1, "ada").points(hw1)["fast-5"] == 1
    assert "given by your teacher" in report.feedback(course, hw1, course.grade(hw1, "ada"))
    assert main([*folder, "grade", "hw1", "--set", "ada", "fast-5", "-"]) == FINISHED
    assert course.grade(hw1, "ada").points(hw1)["fast-5"] == 0


def test_the_books_own_solution_handed_in_is_named(chapter):
    answering = next(c["source"] for c in chapter.cells if submission.role(c) == "solution"
                     and cells.answer_of(c["source"], "residual-block-3"))
    copied = submission.own(chapter, [{"cell_type": "code", "metadata": {}, "id": "1",
                                       "source": "# mine!\n" + answering}])
    whole = submission.own(chapter, [{**c, "metadata": {}} for c in chapter.cells])
    assert copied.copied == {"residual-block-3"} and not copied.answers and not whole.copied


def test_the_commands_of_the_guide_are_taken(tmp_path, monkeypatch, capsys):
    import re
    import shlex

    page = (ROOT / "pages" / "teaching.md").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split("#")[0] for line in re.findall(r"^course (.*)$", page, re.MULTILINE)]
    assert len(lines) > 15
    monkeypatch.chdir(tmp_path)
    new, *rest = [shlex.split(line) for line in lines]
    assert main(["course", *new[:2], "--notebooks", str(ROOT / "chapters"), *new[4:]]) == FINISHED
    (tmp_path / new[1] / "roster.csv").write_text("number,name\n4242,Ada\n17,Bob\n")
    monkeypatch.chdir(tmp_path / new[1])
    for words in rest:  # what needs hand-ins or a room is tried elsewhere
        if words[0] in ("assign", "handout", "pool"):
            assert main(["course", *words]) == FINISHED, words
    jobs = {words[0] for words in rest}
    assert jobs == {"selftest", "assign", "handout", "collect", "grade", "read", "accept", "feedback", "export", "pool",
                    "plot"}


def test_a_page_of_feedback_is_whole_and_harmless(course):
    hw1 = course.assignment("hw1")
    grade = Grade("a", '<script>alert("x")</script>', "7", "", "", True,
                  {"fast-2": decided("wrong", "Not yet. <b>hint</b>"), "fast-5": decided("hand")}, ["fast-2 & more"])
    page = report.feedback(course, hw1, grade)
    assert "<script" not in page and "&lt;b&gt;hint" in page and "handed in late" in page and "0 of 5 points" in page
    assert "http" not in page and "def f" not in page and "1 still to be read" in page


def test_a_page_of_feedback_shows_the_exercise_and_the_students_own_cell(course, tmp_path):
    mine = 'pairs = "<b>six</b>"\ncheck("fast-5", pairs)'
    path = course.root / "handed.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": s, "metadata": {}} for s in (
        'check("fast-5", 1)', mine)]}))
    page = report.feedback(course, course.assignment("hw1"), Grade("a", "Ada", "7", "handed.ipynb", "", False))
    asked = course.chapter("fast").task("fast-5").rpartition("</a>")[2].strip()
    assert "Design a control" in asked and html.escape(asked) in page and html.escape(mine) in page
    assert "#fast" not in page and "&lt;a id" not in page
    assert course.chapter("fast").solution("fast-5") not in html.unescape(page)
    assert page.count("your cell</summary>") == 1  # the other was not answered


def test_tables_for_canvas_moodle_and_spreadsheets(course):
    hw1 = course.assignment("hw1")
    grade = Grade("a", "=cmd|'/c calc'!A0", "7", "", "", False,
                  {"fast-2": decided("right"), "fast-5": decided("empty")})
    canvas, moodle, plain = (report.table(course, hw1, [grade], form).splitlines() for form in report.FORMATS)
    assert canvas == ["Student,ID,SIS User ID,SIS Login ID,Section,hw1", "    Points Possible,,,,,5",
                      "'=cmd|'/c calc'!A0,7,,,,2"]
    assert moodle[1] == "Participant 7,'=cmd|'/c calc'!A0,2,5,fast-2: right; fast-5: empty"
    assert plain[1] == "'=cmd|'/c calc'!A0,7,2,0,2,5,,"


@pytest.mark.parametrize("words, said", [
    (["-C", "{}", "grade", "hw9"], "there are: hw1"), (["-C", "{}/nowhere", "grade", "hw1"], "is no course"),
    (["-C", "{}", "assign", "x", "fasts"], "unknown chapter 'fasts'"),
    (["new", "{}/n", "--notebooks", "{}/no"], "no chapters"),
    (["-C", "{}", "assign", "../x", "fast"], "letters, digits"),
    (["-C", "{}", "assign", "x", "fast", "--due", "soon"], "such as"),
    (["-C", "{}", "assign", "x", "fast", "--points", "1,2"], "one number of points")])
def test_what_cannot_be_is_said_in_one_line(course, capsys, words, said):
    assert main(["course", *(w.format(course.root) for w in words)]) == FAILED
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_the_answers_must_be_here_before_anything_is_run(monkeypatch, course):
    def unknown(label):
        raise ValueError(f"unknown exercise {label!r}")

    monkeypatch.setattr(several.checks, "find", unknown)
    with pytest.raises(ValueError, match="unknown exercise"):
        list(several.judged(course.root / "chapters" / "fast.ipynb", ["fast-2"], [], 1))


def handed(course, *sources, name="Ada_4242_1_hw1.ipynb"):
    """A notebook with these cells, as Canvas names it, collected."""
    folder = course.root / "in"
    folder.mkdir(exist_ok=True)
    cells = [{"cell_type": "code", "source": s, "metadata": {}} for s in sources]
    (folder / name).write_text(json.dumps({"cells": cells}))
    return course.collect("hw1", [folder])


def test_a_cell_that_is_no_python_is_not_called_missing(chapter):
    label = chapter.exercises[0]
    source = f'x = (1\ncheck("{label}", x)'
    found = submission.own(chapter, [{"cell_type": "code", "source": source, "metadata": {}, "id": "a"}])
    assert "never closed (line 1)" in found.broken[label] and not any(label in note for note in found.notes)
    assert submission.answering([{"cell_type": "code", "source": source}], label) == source
    mended = [{"cell_type": "code", "source": s, "metadata": {}, "id": s[:5]} for s in (source, f'check("{label}", 1)')]
    assert label in submission.own(chapter, mended).answers and not submission.own(chapter, mended).broken


def test_a_student_has_one_number_also_when_the_roster_comes_later(course):
    assert handed(course, "1", name="adalovelace_4242_1_hw1.ipynb") == ["adalovelace-4242"]
    course.enroll({"4242": "Ada Lovelace", "17": "Bob"})
    assert handed(course, "2", name="adalovelace_4242_2_hw1.ipynb") == ["adalovelace-4242"]
    assert course.students("hw1") == ["adalovelace-4242"] and course.absent("hw1") == ["Bob"]
    course.enroll({"5": "Sam"})  # a late joiner: the others stay
    assert course.roster == {"4242": "Ada Lovelace", "17": "Bob", "5": "Sam"}


def test_what_is_no_notebook_is_left_and_said(course, capsys):
    (course.root / "in").mkdir()
    (course.root / "in" / "Ada_4242_1_hw1.pdf").write_text("x")
    course.enroll({"17": "Bob"})
    assert main(["course", "-C", str(course.root), "collect", "hw1", str(course.root / "in")]) == FINISHED
    said = capsys.readouterr().out
    assert "Ada_4242_1_hw1.pdf" in said and "nothing from Bob" in said


def test_words_with_points_given_by_hand_reach_the_student_and_the_export(course, capsys):
    handed(course, "1")
    hw1 = course.assignment("hw1")
    grade, = course.open_grades(hw1)
    grade.decisions = {"fast-2": decided("wrong", "Not yet.")}
    course.keep(hw1, grade)
    words = ["course", "-C", str(course.root), "grade", "hw1", "--set", "4242", "fast-2", "1"]
    assert main([*words, "--say", "The idea is <right>."]) == FINISHED
    grade = course.grade(hw1, grade.student)
    assert "The idea is &lt;right&gt;." in report.feedback(course, hw1, grade)
    assert "fast-2: given by your teacher" in report.table(course, hw1, [grade], "moodle")
    assert main([*words[:-1], "-"]) == FINISHED and course.grade(hw1, grade.student).comments == {}


def test_an_assignment_may_be_of_the_pool_alone(course, capsys):
    words = ["assign", "hw2", "fast", "--exercises", "none", "--pool", "receptive-field"]
    assert main(["course", "-C", str(course.root), *words]) == FINISHED
    assert list(course.assignment("hw2").points) == ["pool-receptive-field"]


def test_an_assignment_may_ask_for_runs_alone_and_for_nothing_not_at_all(course, capsys):
    words = ["course", "-C", str(course.root), "assign", "hw2", "degradation", "--exercises", "none"]
    assert main(words) == FAILED and "nothing is asked for" in capsys.readouterr().err
    assert main([*words, "--runs", "degradation/quick/plain-56, residual-56"]) == FINISHED
    cells = json.loads(handout.notebook(course, course.assignment("hw2"), ""))["cells"]
    code, = (cell["source"] for cell in cells if cell.get("id") == "hw2-runs")
    assert "['plain-56', 'residual-56']" in code


def test_what_is_late_follows_the_assignment_and_nothing_is_run_for_it(course):
    handed(course, "1")
    grade, = course.open_grades(hw1 := course.assignment("hw1"))
    grade.decisions = {label: decided("right") for label in hw1.points}
    course.keep(hw1, grade)
    for due, late in (("2020-01-01", True), (None, False)):
        course.assign(hw1 := replace(hw1, due=due), again=True)
        assert course.open_grades(hw1) == [] and course.grade(hw1, grade.student) == replace(grade, late=late)


def test_what_could_not_be_judged_is_judged_again(course):
    handed(course, "1")
    hw1 = course.assignment("hw1")
    grade, = course.open_grades(hw1)
    grade.decisions = {"fast-2": decided("open"), "fast-5": decided("right")}
    course.keep(hw1, grade)
    assert [g.student for g in course.open_grades(hw1)] == [grade.student]
    grade.decisions["fast-2"] = decided("wrong")
    course.keep(hw1, grade)
    assert course.open_grades(hw1) == []
