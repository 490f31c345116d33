"""The room and its judge, with submissions that want more than their points. Whatever they do, they get at most what
their honest answers are worth, change no file here, leave no process, and end in time."""

import json
import shutil
import time
from pathlib import Path

import pytest

from conftest import ROOT, mostly_weekly
from resnet_lib.checks import Function
from resnet_lib.course import grading, sandbox, several
from resnet_lib.course.submission import Chapter

CELL = 5.0  # seconds of the wall clock: short, and long enough for a busy machine
HONEST = ['def intensity(channels, bytes_per_number):\n    return channels / bytes_per_number\n\n'
          'check("fast-2", intensity)', 'pairs_needed = 7\ncheck("fast-5", pairs_needed)']
RIGHT = {"fast-2", "fast-5"}


def has_room() -> bool:
    """Whether bubblewrap or podman is here and may make namespaces."""
    try:
        return bool(sandbox.walls())
    except sandbox.SandboxError:
        return False


needs_room = pytest.mark.skipif(not has_room(), reason="no room can be made here (bubblewrap, podman)")


def cell(source: str) -> dict:
    return {"cell_type": "code", "source": source, "metadata": {}, "id": source[:9]}


def living(library) -> int:
    """Processes in rooms with this library."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += str(library) in (process / "mountinfo").read_text()
        except OSError:  # it has just ended
            continue
    return found


@pytest.fixture(scope="module")
def chapter():
    return Chapter.load(ROOT / "chapters" / "fast.ipynb")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return sandbox.student_library(tmp_path_factory.mktemp("student"))


@pytest.fixture
def judge(chapter, library, monkeypatch, tmp_path):
    """judge(cells) -> decisions; fails where the judge needs more than its time or anything is left behind."""
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "data").mkdir(parents=True)
    guard = tmp_path / "home" / "data" / "guard"
    guard.write_text("untouched")

    def judged(*sources, labels=("fast-1", "fast-2", "fast-5", "fast-6"), whole=90.0, walls=None):
        made = grading.Judge(chapter, list(labels), library, walls or sandbox.walls(), whole, CELL)
        begin = time.monotonic()
        decisions, notes = made.grade([cell(source) for source in sources])
        assert time.monotonic() - begin < whole + 5
        for _ in range(50):
            if not living(library):
                break
            time.sleep(0.1)
        assert living(library) == 0
        assert guard.read_text() == "untouched" and sorted(p.name for p in guard.parent.iterdir()) == ["guard"]
        judged.notes = notes
        return decisions

    return judged


def right(decisions) -> set[str]:
    return {label for label, decision in decisions.items() if decision.state == "right"}


@needs_room
@pytest.mark.slow
def test_honest_answers_get_their_points_and_starters_none(judge, chapter):
    assert right(judge(*HONEST, chapter.starter("fast-1"))) == RIGHT
    decisions = judge(HONEST[0], 'answer = 3\ncheck("fast-6", answer)', chapter.starter("fast-1"))
    assert {k: d.state for k, d in decisions.items()} == {"fast-1": "empty", "fast-2": "right", "fast-5": "missing",
                                                         "fast-6": "wrong"}
    assert "whole training" in decisions["fast-6"].text  # the book's own hint


# what ends the room, or wants to; the answers behind it are judged in the next one
ENDING = {
    "loop": "while True: pass",
    "bare except": "while True:\n    try:\n        while True: pass\n    except: pass",
    "signals": "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except: pass\n"
               "try: signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nexcept: pass\nwhile True: pass",
    "long call into C": "import torch\nx = torch.randn(6000, 6000)\nfor _ in range(99): x = x @ x",
    "memory": "import numpy as np\nhold = []\nwhile True: hold.append(np.ones(10**7))",
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "_exit": "import os\nos._exit(0)",
    "channel": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'x' * 100)\n    except OSError: pass",
    "huge frame": "import os, struct\nfor fd in range(3, 64):\n    try: os.write(fd, struct.pack('<I', 2**32 - 1))\n"
                  "    except OSError: pass",
    "kill all": "import os, signal\nos.kill(-1, signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)",
    "closed": "import os\nos.closerange(3, 64)",
    "recursion in C": "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f([n])\nf(0)",
}


@needs_room
@pytest.mark.slow
@pytest.mark.parametrize("one, other", list(zip(ENDING, list(ENDING)[1:], strict=False))[::2])
def test_what_ends_the_room_costs_its_own_exercise_alone(judge, one, other):
    decisions = judge(f'{ENDING[one]}\ncheck("fast-1", 1)', f'{ENDING[other]}\ncheck("fast-6", 1)', *HONEST)
    assert right(decisions) == RIGHT and {decisions[k].state for k in ("fast-1", "fast-6")} == {"wrong"}


# what goes on in the room; each writes what it got into a name that is asked for below
QUIET = {
    "network": ("import socket\nfound = []\nfor host in ('1.1.1.1', '127.0.0.1', '10.0.0.1'):\n"
                "    for port in (53, 80, 22): found.append(socket.socket().connect_ex((host, port)) == 0)\n"
                "    try: found.append(bool(socket.gethostbyname('example.org')))\n    except OSError: pass", False),
    "answers": ("import os\nfound = [os.path.join(d, f) for top in ('/', '/library', '/proc/1/root', '/home')\n"
                "         for d, _, names in os.walk(top) for f in names\n"
                "         if not d.startswith(('/proc', '/usr', '/dev')) and 'site-packages' not in d\n"
                "         and ('exercises' in d and f != '__init__.py' or f.endswith('.ipynb'))]", []),
    "import": ("try:\n    import resnet_lib.exercises.fast\n    found = True\nexcept ImportError:\n    found = False",
               False),
    "write": ("import os\nfound = []\nfor d in ('/', '/usr', '/home', '/home/data', '/library', '/tmp', '/dev'):\n"
              "    try: open(d + '/planted', 'w').write('x'); found.append(d)\n    except OSError: pass", []),
    "fill": ("def fill(folder):\n    n = 0\n    try:\n        while n < 200:\n"
             "            open(f'{folder}/{n}', 'wb').write(b'x' * 10**6)\n            n += 1\n"
             "    except OSError: pass\n    return n < 100\n"
             "found = [fill('/room'), fill('/dev/shm')]", [True, True]),
    "delete": ("import os\nfound = []\nfor f in ('/home/data/guard', '/library/resnet_lib/__init__.py'):\n"
               "    try: os.remove(f); found.append(f)\n    except OSError: pass", []),
    "mount": ("import ctypes\nlibc = ctypes.CDLL(None)\n"
              "found = [libc.unshare(0x10000000) == 0, libc.unshare(0x20000) == 0,\n"
              "         libc.mount(b'none', b'/home', b'tmpfs', 0, None) == 0, libc.setuid(0) == 0]", [False] * 4),
    "environment": ("import os\nfound = sorted(k for k in os.environ if 'KEY' in k or k == 'SECRET_SEED')", []),
}


@needs_room
@pytest.mark.slow
def test_there_is_no_way_out_of_the_room(library, monkeypatch, tmp_path):
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path))
    monkeypatch.setenv("SECRET_SEED", "7")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "guard").write_text("untouched")
    with grading.Room(sandbox.walls(), library, 60, 20) as room:
        for name, (code, expected) in QUIET.items():
            room.run(code)
            found = room.value("found")
            assert (any(found) if name == "network" else found) == expected, name
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["guard"]


@needs_room
@pytest.mark.slow
def test_tricks_with_values_win_nothing(judge):
    """Comparisons that always agree, a pickle, a patched check, a library in pieces, floods of output, a full disk."""
    agree = ("class Yes:\n    def __eq__(s, o): return True\n    __le__ = __lt__ = __ge__ = __gt__ = __eq__\n"
             "    def __float__(s): return 7.0\n    def __abs__(s): return 0\n    __sub__ = __rsub__ = lambda s, o: 0\n"
             "    def __reduce__(s): return (print, ('pwned',))\n")
    decisions = judge(
        f'{agree}pairs_needed = Yes()\ncheck("fast-5", pairs_needed)',
        'import torch\nclass T(torch.Tensor): pass\nanswer = torch.ones(1).as_subclass(T)\ncheck("fast-6", answer)',
        "import resnet_lib.checks as c, resnet_lib.course.wire as w\nc.check = c.questions.check = lambda *a: True\n"
        "c.Verdict.state = 'right'\n"
        f'{agree}def speedup(shares, factors): return Yes()\ncheck("fast-1", speedup)', HONEST[0])
    assert right(decisions) == {"fast-2"}, decisions
    assert [decisions[f"fast-{k}"].state for k in (1, 2, 5, 6)] == ["hand", "right", "wrong", "wrong"]
    decisions = judge("import os, sys\nfor _ in range(50): print('x' * 10**6)\nos.write(1, b'x' * 10**6)\n"
                      "try:\n    for k in range(999): open(f'/room/{k}', 'wb').write(b'x' * 10**7)\n"
                      "except OSError: pass",
                      "import sys\nsys.modules.clear()\ncheck('fast-1', 1)", *HONEST)
    assert right(decisions) <= RIGHT and decisions["fast-1"].state == "wrong"


@needs_room
@pytest.mark.slow
def test_detached_children_end_with_the_room(judge):
    decisions = judge("import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
                      "        os.closerange(0, 64)\n        time.sleep(300)\n    os._exit(0)", *HONEST)
    assert right(decisions) == RIGHT


@needs_room
@pytest.mark.slow
def test_a_function_that_never_returns_and_one_that_writes_into_its_input(judge):
    decisions = judge("def intensity(c, b):\n    while True: pass\n\ncheck('fast-2', intensity)", HONEST[1],
                      "def speedup(shares, factors):\n    import os\n    os._exit(1)\n\ncheck('fast-1', speedup)")
    assert right(decisions) == {"fast-5"}
    assert "too long" in decisions["fast-2"].text and "ended itself" in decisions["fast-1"].text


@needs_room
@pytest.mark.slow
def test_a_question_whose_own_time_is_over_first_costs_the_next_exercise_nothing(chapter, library):
    """The room has still to answer then: what it says would be taken for the next answer."""
    ending = "import time\ndef f(x):\n    time.sleep(9)\n    return 3.0\n\ncheck('pool-x', f)"
    judge = grading.Judge(chapter, ["pool-x", "fast-5"], library, sandbox.walls(), 90, 20)
    question = Function(lambda f: None if f(1) == 3 else "No.", seconds=0.3)
    decisions, _ = judge.grade([cell(ending), cell(HONEST[1])], {"pool-x": ("check('pool-x', ...)", question)})
    assert right(decisions) == {"fast-5"}
    assert decisions["pool-x"].state == "wrong" and "too long" in decisions["pool-x"].text


@needs_room
@pytest.mark.slow
def test_metadata_order_and_copies_do_not_change_a_grade(judge, chapter):
    whole = [dict(c) for c in chapter.cells]
    made = {"fast-2": HONEST[0], "fast-5": HONEST[1]}
    for c in whole:
        about = c["metadata"].get("resnet", {})
        if about.get("role") == "starter" and about["exercise"] in made:
            c["source"] = made[about["exercise"]]
    plain = [c["source"] for c in whole if c["cell_type"] == "code"]
    assert right(judge(*plain)) == RIGHT  # metadata stripped; the solutions in the notebook count for nobody
    assert right(judge(*plain[::-1])) == RIGHT
    twice = [*plain, "def intensity(c, b):\n    return 1\n\ncheck('fast-2', intensity)"]
    assert right(judge(*twice)) == {"fast-5"} and "more than once" in judge.notes[0]
    assert "fast-2 is missing" in (judge(HONEST[1]), judge.notes)[1][1]


@needs_room
@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_weekly(["residual_block", "build_it", "without_norm"], "residual_block"))
def test_every_solution_is_right_and_no_starter(name, tmp_path, capsys):
    """As `course selftest --all` does for all chapters; what a person has to read is said so."""
    from resnet_lib.__main__ import FINISHED, main

    assert main(["course", "new", str(tmp_path / "c"), "--notebooks", str(ROOT / "chapters")]) == FINISHED
    assert main(["course", "-C", str(tmp_path / "c"), "selftest", name, "--jobs", "1"]) == FINISHED
    assert "all is well" in capsys.readouterr().out


ONLY_WHERE_NOTHING_IS_OPEN = """
import importlib.util, os, socket
ways = [lambda: open("/library/x", "w"), lambda: open("/usr/x", "w"), lambda: os.listdir("/root/.ssh"),
        lambda: socket.create_connection(("127.0.0.1", 22), 1),
        lambda: os.posix_fallocate(os.open("/room/x", os.O_CREAT | os.O_WRONLY), 0, 90 << 20)]
for way in ways:
    try:
        way()
    except OSError:
        continue
    raise SystemExit
assert importlib.util.find_spec("resnet_lib.exercises.fast") is None
""" + HONEST[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fork bomb", "memory", "_exit", "bare except"])
def test_podman_makes_rooms_that_hold_too(judge, name):
    found = shutil.which("podman")
    walls = found and sandbox.Podman(found)
    if not walls or walls.problem():
        pytest.skip("podman cannot make a room here")
    decisions = judge(f'{ENDING[name]}\ncheck("fast-1", 1)', HONEST[0], ONLY_WHERE_NOTHING_IS_OPEN, walls=walls)
    assert right(decisions) == RIGHT and decisions["fast-1"].state == "wrong"


def test_without_a_room_nothing_is_run_and_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(sandbox.SandboxError, match="apt install bubblewrap"):
        sandbox.walls()


@needs_room
@pytest.mark.slow
def test_the_room_can_be_seen_in_the_list_of_processes(library):
    """Else the tests above, which look for what is left behind, could not fail."""
    with grading.Room(sandbox.walls(), library, 60, 20) as room:
        room.run("import os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        time.sleep(60)")
        assert living(library) >= 4 and room.walls.inhabitants(room.process)[0] >= 4


@needs_room
@pytest.mark.slow
def test_the_books_records_are_there_wherever_home_is(library, tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path))
    with grading.Room(sandbox.walls(), library, 60, 20) as room:
        room.run("from resnet_lib import experiments\n"
                 "found = len(experiments.find('degradation', 'short', 'plain-20'))")
        assert room.value("found") == 3


def test_the_students_library_has_no_answers(library):
    assert [p.name for p in (library / "resnet_lib" / "exercises").iterdir()] == ["__init__.py"]
    answers = json.dumps(sorted(p.name for p in library.rglob("*.py")))
    assert "room.py" in answers and "degradation.py" not in answers


@needs_room
@pytest.mark.slow
def test_what_is_judged_beside_its_code_counts_when_a_person_has_read_it(tmp_path, capsys):
    """A net that is right, one that is not, and code that answers in the check's place and gives an answer away."""
    from resnet_lib.__main__ import FINISHED, main
    from resnet_lib.course.folder import Course

    assert main(["course", "new", str(tmp_path / "c"), "--notebooks", str(ROOT / "chapters")]) == FINISHED
    course = Course(tmp_path / "c")
    chapter = course.chapter("residual_block")
    patched = ("import resnet_lib.exercises.residual_block as r\nsecret = open(r.__file__).read()[:300]\n"
               "class Judge:\n    seconds = 8\n    def judge(self, answer): return %s\n"
               "r.CHECKS['residual-block-1'] = Judge()\nimport torch\nclass Repaired(torch.nn.Module): pass\n"
               "check('residual-block-1', Repaired)")
    hand_ins = {"ada": chapter.solution("residual-block-1"), "emmy": chapter.starter("residual-block-1") + "\nmine = 1",
                "liar": patched % "None", "thief": patched % "'\\x1b[31m<b>' + secret"}
    for name, source in hand_ins.items():
        cells = [{**cell(source if name == "emmy" else f"mine = 1\n{source}"), "outputs": [], "execution_count": None}]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4,
                                                            "nbformat_minor": 5}))
    words = ["course", "-C", str(course.root)]
    assert main([*words, "assign", "hw", "residual_block", "--exercises", "1"]) == FINISHED
    assert main([*words, "collect", "hw", *(str(tmp_path / f"{name}.ipynb") for name in hand_ins)]) == FINISHED
    assert main([*words, "grade", "hw", "--jobs", "1"]) == FINISHED

    def points():
        hw = course.assignment("hw")
        return {name: sum(course.grade(hw, name).points(hw).values()) for name in hand_ins}

    def pages():
        assert main([*words, "feedback", "hw"]) == FINISHED
        return {name: (course.root / "feedback" / "hw" / f"{name}.html").read_text() for name in hand_ins}

    assert points() == dict.fromkeys(hand_ins, 0) and "Checks of the chapter" not in "".join(pages().values())
    capsys.readouterr()
    assert main([*words, "read", "hw"]) == FINISHED
    said = capsys.readouterr().out
    assert "ada, residual-block-1: the check says: Right." in said and "r.CHECKS['residual-block-1'] = Judge()" in said
    assert "emmy, residual-block-1: the check says: Not yet." in said and "\x1b" not in said
    assert main([*words, "accept", "hw", "--except", "liar", "thief"]) == FINISHED
    assert points() == {"ada": 2, "emmy": 0, "liar": 0, "thief": 0}
    after = pages()
    assert "Not yet" in after["emmy"] and "Checks of the chapter" not in "".join(after.values())


@needs_room
@pytest.mark.slow
def test_a_check_that_has_to_see_the_code_running_does(library, tmp_path):
    """The answer with a matrix of features × features gives the right numbers, and is not what was asked for."""
    code = ("import torch\n\ndef few(Z, T, penalty):\n"
            "    return torch.linalg.solve(Z.T @ Z + penalty * torch.eye(Z.shape[1], dtype=Z.dtype), Z.T @ T)\n\n"
            'check("using-3", few)')
    judge = grading.Judge(Chapter.load(ROOT / "chapters" / "using.ipynb"), ["using-3"], library, sandbox.walls(),
                          answers=sandbox.library_with_answers(tmp_path))
    decision = judge.grade([cell(code)])[0]["using-3"]
    assert decision.state == "hand" and decision.proposal["state"] == "wrong"
    assert "400 × 400" in decision.proposal["text"]


@needs_room
@pytest.mark.slow
def test_a_strange_hand_in_leaves_the_others_theirs(tmp_path):
    from resnet_lib.__main__ import FINISHED, main
    from resnet_lib.course.folder import Course

    assert main(["course", "new", str(tmp_path / "c"), "--notebooks", str(ROOT / "chapters")]) == FINISHED
    course, words = Course(tmp_path / "c"), ["course", "-C", str(tmp_path / "c")]
    odd = ["raise ValueError('\\ud800')\ncheck('fast-2', 1)", f"x = {'-' * 100_000}1", "x = '\ud800'"]
    for name, sources in (("ada", [*odd, HONEST[1]]), ("bob", HONEST)):
        cells = [{**cell(source), "metadata": {"resnet": "x", "tags": None}} for source in sources]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    assert main([*words, "assign", "hw", "fast", "--exercises", "2,5"]) == FINISHED
    assert main([*words, "collect", "hw", str(tmp_path / "ada.ipynb"), str(tmp_path / "bob.ipynb")]) == FINISHED
    assert main([*words, "grade", "hw", "--jobs", "1"]) == main([*words, "feedback", "hw"]) == FINISHED
    hw = course.assignment("hw")
    assert [course.grade(hw, name).points(hw) for name in ("ada", "bob")] == [{"fast-2": 0, "fast-5": 2},
                                                                             {"fast-2": 2, "fast-5": 2}]


@needs_room
@pytest.mark.slow
def test_each_student_is_judged_by_numbers_of_their_own(tmp_path):
    from resnet_lib.__main__ import FINISHED, main
    from resnet_lib.course.folder import Course

    assert main(["course", "new", str(tmp_path / "c"), "--notebooks", str(ROOT / "chapters")]) == FINISHED
    course = Course(tmp_path / "c")
    course.enroll({"7": "Ada", "8": "Emmy"})
    words = ["course", "-C", str(course.root)]
    assert main([*words, "assign", "hw", "fast", "--exercises", "5", "--pool", "receptive-field,shortcut"]) == FINISHED
    items = [course.item(label) for label in course.assignment("hw").points if label.startswith("pool-")]
    own = [item.solution(item.numbers(course.key, "7")) for item in items]
    for number in ("7", "8", "9"):  # all hand in what is right for 7
        cells = [{**cell(source), "outputs": [], "execution_count": None} for source in (*own, HONEST[1])]
        (tmp_path / f"{number}.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4,
                                                              "nbformat_minor": 5}))
        assert main([*words, "collect", "hw", str(tmp_path / f"{number}.ipynb")]) == FINISHED
    assert main([*words, "grade", "hw", "--jobs", "1"]) == FINISHED
    hw = course.assignment("hw")
    states = {n: [d["state"] for _, d in sorted(course.grade(hw, n).decisions.items())]
              for n in ("Ada-7", "Emmy-8", "9")}
    assert states == {"Ada-7": ["right"] * 3, "Emmy-8": ["right", "wrong", "wrong"], "9": ["right", "open", "open"]}


@needs_room
@pytest.mark.slow
def test_runs_that_a_page_needs_are_trained_once_and_found_in_every_room(library, tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path))
    page = 'from resnet_lib import experiments\nfound = experiments.run("depth_helps", "quick", (0,), ["plain-8"])[0]'
    cells = [{"cell_type": "code", "source": page, "metadata": {}, "id": "p"},
             {"cell_type": "code", "source": "...", "metadata": {"resnet": {"exercise": "x-1", "role": "starter"}},
              "id": "s"},
             {"cell_type": "code", "source": 'check("x-1", found.final)',
              "metadata": {"resnet": {"exercise": "x-1", "role": "solution"}}, "id": "a"}]
    several.train_runs(Chapter(cells), ["x-1"])
    kept = sorted((tmp_path / "_build" / "runs" / "depth_helps" / "quick").glob("*.json"))
    assert len(kept) == 1
    with grading.Room(sandbox.walls(), library, 90, 60) as room:
        room.run(page)
        assert room.value("found.final['train_error']") == json.loads(kept[0].read_text())["rows"][-1]["train_error"]
        room.run(page.replace("(0,)", "(1,)"))  # one that is not there is trained in the room, and kept in it
        assert room.value("found.seed") == 1
    assert sorted((tmp_path / "_build" / "runs" / "depth_helps" / "quick").glob("*.json")) == kept
