"""What a course adds to the book: items with each student's own numbers, handouts, and a result of the whole class."""

from dataclasses import replace
import json

import pytest
import torch

from conftest import ROOT
from resnet_lib import checks, experiments, records
from resnet_lib.__main__ import FAILED, FINISHED, main
from resnet_lib.course import handout, people, pool, runs, submission
from resnet_lib.course.folder import Course, CourseError
from resnet_lib.course.grade import Assignment, Grade

STUDENTS = [str(number) for number in range(4000, 4200)]


@pytest.fixture
def course(tmp_path):
    found = Course.begin(tmp_path / "course", ROOT / "chapters", "Nets")
    found.assign(Assignment("hw1", "fast", {"fast-2": 2.0, "pool-receptive-field": 1.0, "pool-shortcut": 3.0},
                            runs="degradation/quick/plain-20,residual-20"))
    found.enroll({"4242": "Ada Lovelace", "17": "Emmy Noether"})
    return found


def test_the_samples_work_and_give_each_of_two_hundred_students_other_numbers():
    for path in pool.samples():
        item = pool.Item.load(path)
        assert item.problems("key", STUDENTS[:8]) == []
        assert item.distinct("key", STUDENTS) > 195, item.label


def test_numbers_are_the_students_the_keys_and_the_items_alone():
    item, other = map(pool.Item.load, pool.samples())
    assert item.numbers("key", "7") == item.numbers("key", "7")
    assert item.numbers("key", "7") != item.numbers("key", "8") and item.numbers("key", "7") != item.numbers("yek", "7")
    assert replace(other, module=item.module).numbers("key", "7") != item.numbers("key", "7")


def test_the_receptive_field_is_what_gradients_reach():
    item = pool.Item.load(pool.samples()[0])
    for student in STUDENTS[:5]:
        numbers = item.numbers("key", student)
        x = torch.zeros(1, 1, 9000, requires_grad=True)
        y = x
        for kernel, stride in zip(numbers["kernels"], numbers["strides"], strict=True):
            y = torch.nn.functional.conv1d(y, torch.ones(1, 1, kernel), stride=stride)
        y[..., y.shape[-1] // 2].sum().backward()
        assert checks.hold(item.question(numbers), int((x.grad != 0).sum()))


def test_an_item_that_does_not_work_is_named(capsys, course):
    path = course.root / "pool" / "bad.py"
    path.write_text(pool.samples()[0].read_text().replace("(kernel - 1) * jump, jump * stride", "kernel, jump"))
    assert main(["course", "-C", str(course.root), "pool"]) == FAILED
    assert "pool-bad: 40" not in (out := capsys.readouterr().out) and "the solution for 4242 is wrong" in out
    same = path.with_name("same.py")
    same.write_text(pool.samples()[1].read_text().replace("dice.randint(1, 60), dice.randint(1, 60)", "1, 1")
                    .replace("dice.choice((2, 3, 4))", "2"))
    assert "a neighbor's solution is right for" in pool.Item.load(same).problems("key", STUDENTS[:20])[-1]
    same.unlink()
    good = pool.samples()[0].read_text()
    for was, now, told in (('ANSWER = "pixels"', 'ANSWER = "pixel"', "raised NameError: name 'pixel'"),
                           ("are {kernels} pixels", "are {kernel} pixels", "TEXT has {kernel}, and"),
                           ("return Number(right", "return Numbers(right", "raised NameError")):
        path.write_text(good.replace(was, now))
        assert told in pool.Item.load(path).problems("key", STUDENTS[:3])[0]
    for text, said in (("TEXT = 1", "lacks STARTER"), ("1 / 0", "ZeroDivisionError")):
        path.write_text(text)
        with pytest.raises(pool.PoolError, match=said):
            pool.Item.load(path)
    with pytest.raises(CourseError, match="no pool-x; it has pool-bad"):
        course.item("pool-x")


def test_a_handout_has_the_students_numbers_and_nothing_of_the_solutions(course):
    hw1 = course.assignment("hw1")
    ada, emmy = ("\n\n".join("".join(c["source"]) for c in json.loads(handout.notebook(course, hw1, number))["cells"])
                 for number in ("4242", "17"))
    chapter = course.chapter("fast")
    for label in chapter.exercises:
        assert chapter.starter(label) in ada
        own = [line for line in chapter.solution(label).splitlines() if len(line) > 25 and line not in
               chapter.starter(label) and not any(line in code for _, code in chapter.page)]
        assert own and not [line for line in own if line in ada], label
    item = course.item("pool-shortcut")
    for number, mine, others in (("4242", ada, emmy), ("17", emmy, ada)):
        text = item.text(item.numbers(course.key, number))
        assert text in mine and text not in others
        assert item.module.SOLUTION.splitlines()[-1][:20] not in mine
    assert course.key not in ada and "SOLUTION" not in ada
    assert (course.root / ".gitignore").read_text() == "*\n"


def test_a_handout_handed_in_as_it_is_answers_nothing(course, tmp_path):
    hw1 = course.assignment("hw1")
    (tmp_path / "x.ipynb").write_bytes(handout.notebook(course, hw1, "17"))
    starters = {label: course.item(label).starter(course.item(label).numbers(course.key, "17"))
                for label in hw1.points if label.startswith("pool-")}
    found = submission.own(course.chapter("fast"), submission.read(tmp_path / "x.ipynb"), starters)
    assert {found.answers[label] for label in hw1.points} == {(-1, "")} and not found.notes
    assert len(found.steps) == 1 and "experiments.run" in found.steps[0]  # the class's runs


def test_who_handed_in_is_found_in_the_roster(course):
    def who(name, number=""):
        return course.enrolled(course.assignment("hw1"), Grade("key", name, number, "", "", False))

    assert [who("adalovelace", "4242"), who("17"), who("17-hw1"), who("emmy noether"), who("kurt", "5")] == \
        ["4242", "17", "17", "17", None]
    assert [who("Ada-Lovelace-4242"), who("4242_ada"), who("17 and 4242"), who("hw17")] == ["4242", "4242", None, None]
    course.enroll({"20-01": "Kurt Gödel", "01": "Alan Turing", "B 7/3": "Grace Hopper"})
    for number, name in course.roster.items():  # as the handout names its files
        assert who(people.key_of(name, number)) == who(f"{people.key_of(name, number)}_hw1") == number
    assert [who("hw1/20-01"), who("01/fast"), who("Emmy Noether/fast"), who("120-01"), who("01 and 20-01")] == \
        ["20-01", "01", "17", "01", None]
    (course.root / "roster.json").unlink()
    assert who("kurt", "5") == ""


@pytest.mark.parametrize("text, said", [("", "first line"), ("name\nAda", "first line"),
                                        ("number,name\n1,A\n1,B", "twice")])
def test_a_roster_that_cannot_be_used_is_refused(tmp_path, text, said):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(people.RosterError, match=said):
        people.read_roster(tmp_path / "r.csv")
    with pytest.raises(people.RosterError, match="can be read"):
        people.read_roster(tmp_path / "none.csv")


def test_a_roster_that_comes_later_changes_no_numbers_that_were_handed_out(course, tmp_path, capsys):
    words, roster = ["course", "-C", str(course.root)], course.root / "roster.json"
    later = roster.rename(tmp_path / "later.json")
    grade = Grade("key", "Ada", "4242", "", "", False)
    assert main([*words, "handout", "hw1"]) == FINISHED and course.enrolled(course.assignment("hw1"), grade) == ""
    later.rename(roster)
    assert course.enrolled(course.assignment("hw1"), grade) == ""
    again = ["assign", "hw1", "fast", "--exercises", "none", "--pool", "shortcut", "--replace"]
    assert main([*words, *again]) == main([*words, "handout", "hw1"]) == FINISHED
    assert course.enrolled(course.assignment("hw1"), grade) == "" and "stays so" in capsys.readouterr().out
    assert [path.stem for path in (course.root / "handouts" / "hw1").iterdir()] == ["everybody"]
    again[1] = "hw2"
    assert main([*words, *again]) == main([*words, "handout", "hw2"]) == FINISHED
    assert course.enrolled(course.assignment("hw2"), grade) == "4242"


def test_a_student_is_one_whatever_the_file_is_called(course, tmp_path):
    for name in ("adalovelace_4242_98_x.ipynb", "Ada-Lovelace-4242.ipynb", "4242 hw1.ipynb"):
        (tmp_path / name).write_bytes(b"{}" + name.encode())
        course.collect("hw1", [tmp_path / name])
    assert course.students("hw1") == ["Ada-Lovelace-4242"]
    about = json.loads((course.root / "collected" / "hw1" / "Ada-Lovelace-4242" / "student.json").read_text())
    assert about == {"name": "Ada Lovelace", "number": "4242"}


def test_a_handout_says_first_what_counts(course):
    first = json.loads(handout.notebook(course, course.assignment("hw1"), "17"))["cells"]
    assert "Nets: hw1" in first[0]["source"] and "- pool-shortcut: 3 points" in first[0]["source"]
    ends = [k for k, c in enumerate(first) if "".join(c["source"]).startswith("## Where this comes from")]
    assert ends and max(k for k, c in enumerate(first) if "pool-shortcut" in "".join(c["source"])) < ends[0]


def test_in_a_students_notebook_an_item_is_only_recorded():
    assert str(checks.check("pool-anything", 3)).endswith("Recorded: a value of type int.")
    assert checks.check("pool-anything", ...).state == "empty"


# --- the class's result


def made(seed: int, variant: str, error: float, experiment="degradation") -> records.Record:
    job = experiments.job(experiment, "quick", variant, seed)
    segment = {"from_step": 0, "seconds": 1.0, "date": "2027-01-01", "device": "CPU\x1b[31m", "threads": 1,
               "versions": {"torch": "2.6"}, "execution": {"precision": "float32"}}
    row = {"step": job.recipe.steps, "train_error": error, "test_error": error}
    return records.Record(job.experiment, job.tier, job.variant, job.seed, job.recipe_id, job.recipe.to_json(), job.net,
                          job.identity, [segment], [row], [], "resnet_lib", True, live=True)


@pytest.fixture
def class_runs(course, tmp_path, monkeypatch):
    """Three students with a pair each, one of them twice, one edited file and one of another experiment."""
    monkeypatch.setattr(records, "check", lambda *a: None)  # the schema wants more of a segment than is needed here
    folder = tmp_path / "in"
    for k, (student, plain, residual) in enumerate((("ada", 0.30, 0.20), ("emmy", 0.40, 0.25), ("kurt", 0.35, 0.30))):
        for variant, error in (("plain-20", plain), ("residual-20", residual)):
            records.write(made(k, variant, error), folder / f"{student}_{k}_{k}_{variant}.json")
    records.write(made(0, "plain-20", 0.3), folder / "twice_8_8_plain-20.json")
    edited = folder / "edited_9_9_plain-20.json"
    edited.write_text((folder / "ada_0_0_plain-20.json").read_text().replace("0.3", "0.9"))
    (folder / "x_7_7_y.json").write_text("{}")
    course.collect("hw1", [folder])
    return course


def test_a_class_pools_its_runs_by_seed(class_runs):
    found = runs.result(class_runs.runs("hw1"), "degradation", "quick", ("plain-20", "residual-20"), "train_error")
    assert found.differences == pytest.approx([-10, -15, -5])
    middle, low, high = found.interval()
    assert middle == pytest.approx(-10) and high - middle == pytest.approx(4.302653 * 5 / 3 ** 0.5, rel=1e-6)
    assert len(found.left_out) == 3 and sum("there already" in line for line in found.left_out) == 1
    assert sum("was edited" in line for line in found.left_out) == 1


def test_the_class_result_is_drawn_and_told(class_runs, capsys, monkeypatch):
    assert main(["course", "-C", str(class_runs.root), "plot", "hw1", "--format", "png"]) == FINISHED
    out = capsys.readouterr().out
    assert "CPU�[31m" in out and "\x1b" not in out  # a student's words
    assert "mean -10.00 points" in out and "3 students" in out and out.count("left out") == 3
    assert (class_runs.root / "hw1-class.png").stat().st_size > 5000
    found = runs.result(class_runs.runs("hw1"), "degradation", "quick", ("plain-20", "residual-20"), "train_error")
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **how: drawn.append(figure))
    runs.draw(found, class_runs.root / "x.svg")
    left, right = drawn[0].axes
    assert 0 <= left.get_ylim()[0] < left.get_ylim()[1] < 1 and right.get_ylim()[0] < -14  # fractions, points
    assert right.get_title(loc="left").startswith("mean -10.0")
    assert class_runs.open_grades(class_runs.assignment("hw1")) == []  # records alone are no hand-in to be graded


def test_a_class_of_one_has_no_interval(course, capsys):
    assert main(["course", "-C", str(course.root), "plot", "hw1"]) == FAILED
    assert "an interval takes two" in capsys.readouterr().err
    words = ["course", "-C", str(course.root), "assign", "x", "fast", "--runs", "degradation/quick/plain-20"]
    assert main(words) == FAILED
    assert "two variants" in capsys.readouterr().err


def test_the_seed_of_the_class_run_is_the_students_own_and_its_cell_runs(course, tmp_path, monkeypatch, capsys):
    hw1 = course.assignment("hw1")
    codes = []
    for number in ("4242", "17"):
        cells = json.loads(handout.notebook(course, hw1, number))["cells"]
        codes.append(next(c["source"] for c in cells if "experiments.run" in c["source"] and c["id"] == "hw1-runs"))
    assert codes[0] != codes[1]
    names = {}
    monkeypatch.setattr(experiments, "run", lambda *a, **b: names.update(asked=(a, b)))
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path))
    exec(codes[0], names)
    assert names["asked"] == (("degradation", "quick"), {"seeds": [names["seed"]],
                                                         "variants": ["plain-20", "residual-20"]})
    job = experiments.job("degradation", "quick", "plain-20", names["seed"])
    job.live().parent.mkdir(parents=True)
    job.live().write_text("{}")
    exec(codes[0], names)
    assert str(job.live()) in capsys.readouterr().out  # the cell names the very file
