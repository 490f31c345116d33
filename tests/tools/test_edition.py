"""The students' edition: nothing of a solution or an answer is in it, and the rest is there."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from conftest import ROOT
import edition
from parser import CodeCell, Exercise, Solution, read
from resnet_lib import exercises
from resnet_lib.checks import check, questions


def marks() -> list[str]:
    """Lines of solutions that stand nowhere else in the book: long enough to be no accident."""
    parts = [part for path in sorted((ROOT / "chapters").glob("*.md")) for part in read(path).parts]
    rest = "".join(part.source for part in parts if not isinstance(part, Solution))
    return [line.strip() for part in parts if isinstance(part, Solution) for line in part.body.splitlines()
            if len(line.strip()) > 40 and line.strip() not in rest]


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edition") / "student"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(ROOT / "tools" / "edition.py"), str(folder)], check=True, env=env)
    env = {**os.environ, "PYTHONPATH": str(folder), "RESNET_LIB_HOME": str(ROOT)}
    subprocess.run([sys.executable, str(folder / "tools" / "notebooks" / "generate.py")], check=True, env=env)
    return folder


@pytest.mark.slow
def test_nothing_of_a_solution_is_in_it(student):
    lines = marks()
    assert len(lines) > 300
    code = "import bundle, sys; sys.stdout.buffer.write(bundle.bundle())"
    env = {**os.environ, "PYTHONPATH": f"{student}:{student / 'tools' / 'notebooks'}"}
    packed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=env, cwd=student).stdout
    with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
        [wheel] = [bundle.read(name) for name in bundle.namelist() if name.endswith(".whl")]
        texts = {name: bundle.read(name) for name in bundle.namelist() if not name.endswith(".whl")}
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        texts |= {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    assert [name for name in texts if "/exercises/" in name] == ["resnet_lib/exercises/__init__.py"]
    # what an exercise asks for may be what the library does as well: identity blocks in nets/deepen.py
    texts = {name: text for name, text in texts.items() if not name.startswith("resnet_lib/") or "/exercises/" in name}
    texts |= {path.name: path.read_bytes() for path in (student / "chapters").iterdir()}
    for name, text in texts.items():
        content = text.decode()
        if name.endswith(".ipynb"):
            content = "\n".join("".join(cell["source"]) for cell in json.loads(content)["cells"])
            assert "Solution" not in content and "folded" not in content, name
        assert not [line for line in lines if line in content], name


def test_it_has_no_address_of_the_repository():
    import yaml

    settings = (ROOT / "_config.yml").read_text(encoding="utf-8")
    published = re.sub(r"(?m)^  url:.*", "  url: https://example.org/book", settings, count=1)
    assert yaml.safe_load(published)["repository"]["url"]
    wanted = yaml.safe_load(published)
    wanted["repository"]["url"] = ""
    assert yaml.safe_load(edition.without_address(published)) == wanted


@pytest.mark.slow
def test_all_the_rest_is_there(student):
    for path in sorted((ROOT / "chapters").glob("*.md")):
        ours, theirs = read(path), read(student / "chapters" / path.name)
        assert [e.source for e in theirs.walk(Exercise)] == [e.source for e in ours.walk(Exercise)]
        inside = {c.source for part in ours.parts if isinstance(part, Solution) for c in part.parts}
        assert [c.source for c in theirs.walk(CodeCell)] == [c.source for c in ours.walk(CodeCell)
                                                             if c.source not in inside]


@pytest.mark.slow
def test_its_check_records(student):
    code = ("from resnet_lib.checks import check\nprint(check('fast-5', 7)); print(check('fast-5', ...))\n"
            "print(check('fast-2', lambda c, b: 1), bool(check('fast-5', 7)))\ncheck('fast-9', 1)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=student,
                          env={**os.environ, "PYTHONPATH": str(student), "PYTHONIOENCODING": "utf-8"})
    assert done.stdout.splitlines() == ["→ Recorded: a value of type int.", "· Nothing here yet.",
                                        "→ Recorded: a function. False"]
    assert "unknown exercise 'fast-9'; those with a check are" in done.stderr and "fast-6" in done.stderr


def test_an_answer_is_recorded_and_not_judged(monkeypatch):
    monkeypatch.setattr(exercises, "RECORDED", ("fast-5",))
    assert check("fast-5", 3).state == check("fast-5", 7).state == "recorded"
    with pytest.raises(ValueError, match="those with a check are fast-5"):
        questions.find("fast-6")
