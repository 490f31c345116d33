"""The chapters themselves: what they refer to exists, exercises are whole, no result is typed in. And the lints."""

import importlib.util
import pkgutil
import re

import pytest

from book import Book
from lints import exercise_faults, reference_faults
from prose import SILENT, bare_in, bare_numbers
from parser import CodeCell, Exercise, parse
import check_site
from conftest import ROOT, the_book
from resnet_lib import checks
from resnet_lib.course import wire

BOOK = the_book()
PAGES = list(BOOK.pages)


def known_checks() -> dict | None:
    """The checks of all modules of resnet_lib.exercises; None where there is no such package."""
    if importlib.util.find_spec("resnet_lib.exercises") is None:
        return None
    package = importlib.import_module("resnet_lib.exercises")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        found |= getattr(importlib.import_module(f"resnet_lib.exercises.{module.name}"), "CHECKS", {})
    return found


# --- the pages


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_refers_to_exists(name):
    assert reference_faults(BOOK, name) == []


@pytest.mark.parametrize("name", BOOK.chapters)
def test_exercises_are_numbered_solved_and_checked(name):
    assert exercise_faults(name, BOOK.pages[name], known_checks()) == []


def judged_beside_its_code(question) -> bool:
    """Whether the judge of a course leaves a function to a person: the question says so, or the function is called
    with what cannot get into its room."""
    stays = question.beside

    def refuse(thing):
        nonlocal stays
        stays = True
        raise wire.CannotCross

    def asked(*args, **words):
        for part in (*args, *words.values()):
            wire.pack(part, [], refuse)

    checks.hold(question, asked)
    return stays


def test_the_page_for_instructors_lists_every_exercise_and_how_it_is_judged():
    words = {"Number": "number", "Function": "function", "Tensor": "tensor", "Module": "net, beside its code",
             "Class": "class, beside its code"}
    listed = re.findall(r"^\| \{ref\}`([\w-]+)` \| (\w+) \| ([^|]+) \| (\d+) \|$",
                        (ROOT / "pages" / "exercises.md").read_text(encoding="utf-8"), re.MULTILINE)
    order = re.findall(r"file: (chapters/\w+\.md)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    labels = [label for name in order for label in re.findall(
        r"\{exercise\}[^\n]*\n:label: (\S+)", (ROOT / name).read_text(encoding="utf-8"))]
    assert [label for label, *_ in listed] == labels
    known, by = known_checks(), dict.fromkeys(labels, "you")
    for label, question in known.items():
        beside = isinstance(question, checks.Function) and judged_beside_its_code(question)
        by[label] = words[type(question).__name__] + ", beside its code" * beside
    assert {label: by for label, _, by, _ in listed} == by
    assert {task for _, task, *_ in listed} <= set(
        "compute control derive estimate explore judge predict read repair write".split())


@pytest.mark.parametrize("name", BOOK.chapters)
def test_the_built_page_has_judged_the_solution_of_each_checked_exercise(name):
    """`check_site` refuses any other verdict than "right"."""
    page = ROOT / "_build" / "html" / f"{name}.html"
    if not page.is_file():
        pytest.skip("the book is not built: make book")
    said = check_site.Page(page.read_text(encoding="utf-8")).verdicts
    assert said == ["right"] * sum(e.starter is not None for e in BOOK.pages[name].walk(Exercise))


def test_every_check_belongs_to_a_starter():
    """A check that no exercise asks for is dead code, or its exercise has lost its starter."""
    from parser import Exercise

    starters = {e.label for page in BOOK.pages.values() for e in page.walk(Exercise) if e.starter}
    chapters = {name.rpartition("/")[2].replace("_", "-") for name in BOOK.chapters}
    idle = [label for label in known_checks() or {} if label.rpartition("-")[0] in chapters and label not in starters]
    assert idle == []


@pytest.mark.parametrize("name", [n for n in PAGES if n not in SILENT])
def test_no_result_is_typed_into_prose(name):
    assert bare_numbers(BOOK.pages[name]) == []


@pytest.mark.parametrize("name", BOOK.chapters)
def test_a_chapter_asks_one_question(name):
    """One that needs more prose than this before its exercises asks two, or answers one twice."""
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8").split("\n---\n", 1)[1].split("\n## Exercises\n")[0]
    prose = re.sub(r"^```\{code-cell\}.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert len([word for word in prose.split() if any(map(str.isalnum, word))]) <= 2_500


def test_code_cells_are_short_enough_to_read():
    """A line of a visible cell fits the page at 1280 px; hidden ones may be longer.

    A cell has twelve lines at most, and two dozen in the chapter that exists to write block, net and loop."""
    faults = []
    for name, page in BOOK.pages.items():
        for cell in page.walk(CodeCell):
            lines = cell.code.splitlines()
            if cell.hidden:
                continue
            faults += [f"{name}.md:{cell.body_line + i}: {line}" for i, line in enumerate(lines) if len(line) > 76]
            if len([line for line in lines if line.strip()]) > (24 if name == "chapters/build_it" else 12):
                faults.append(f"{name}.md:{cell.line}: a cell of {len(lines)} lines: {lines[0]}")
    assert not faults, faults


# --- the lint of bare results


@pytest.mark.parametrize("text", [
    "The error ends at 12.3 % here.", "It ends at 12.3%.", "A gap of 2.5 points.",
    "a gap of two to 3 percentage points", "This is 3.1 times faster.", "It trains 2× faster.", "a 10-fold gain",
    "It took 54 s on this machine.", "about 9.5 ms", "in 20 minutes",
    "It reaches 1,200 images/s.", "340 pictures a second", "5.7 ± 0.3", "53 per cent of it",
    "a rate of 95 GFLOP/s", "an accuracy of 0.93", "The test error is only 0.071.", "the loss falls to 0.02",
    "| net | error |\n|:--|--:|\n| plain | 5.7 % |\n", "- one\n- a list with 7 % in it\n", "*12.3 %*", "**5 points**",
    "the 95 % of it", "a link to [12 % of all](https://example.org)", "broken over\n12.3\nper cent, two lines",
    "{val}`a/b/c:d` against 12 %",
])
def test_a_typed_result_is_found(text):
    assert len(bare_in(text)) == 1, bare_in(text)


@pytest.mark.parametrize("text", [
    "{val}`a/b/c:d` against {val}`a/b/e:d`, a gap of {val}`a/b/c:d - e:d` points.",
    "about {given}`90 %` of the pictures", "`12.3 %` in code", "$p = 12.3\\,\\%$", "$$ 3 \\text{ s} $$\n",
    "3×3 convolutions with 64 channels on 32×32 pictures", "a 3 × 3 kernel", "6n + 2 = 56 layers",
    "in 2015, section 4.2",
    "64,000 steps of 128 pictures at a rate of 0.1, divided by ten after 32,000", "momentum 0.9, weight decay 0.0001",
    "a tenth of the rate, three times the steps", "the mean and its 95 % confidence interval", "the 99 % band",
    "ResNet-50, plain-56 and residual-20", "He et al. (2015), Table 6", "1,797 handwritten digits", "180 MB as bytes",
    "I = 1/12 and $P/B$", "[a link](https://example.org/12%20points)", "seeds 0, 1, 2", "2 cores", "exercise 3 asks",
    "a loss of ten classes", "an error of 16 bits", "<!-- 12 % -->", "`a` 5 and\n\n% is a comment\n",
])
def test_what_is_no_result_passes(text):
    assert bare_in(text) == []


def test_a_bare_result_is_named_with_its_line_and_what_an_exercise_states_passes():
    text = ("# T\n\nFine.\n\nTwo lines, and here\nit ends at 12 %.\n\n"
            "```{exercise}\n:label: x-1\nA colleague finds 7 %.\n```\n\n"
            "```{solution} x-1\nNot 9 %.\n```\n\n:::{admonition} After 3 minutes\nYes.\n:::\n")
    assert [f.partition(" in ")[0] for f in bare_numbers(parse(text))] == ["6: '12 %'", "14: '9 %'", "17: '3 minutes'"]


# --- the lints of references and exercises


@pytest.fixture
def book(tmp_path):
    """A small book whose chapter can be written by the test."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "pages").mkdir()
    (tmp_path / "_config.yml").write_text("title: T\nrepository:\n  url: ''\n")
    (tmp_path / "pages" / "references.bib").write_text("@misc{a2020, author={A, B}, title={T}, year={2020}}\n")
    (tmp_path / "pages" / "glossary.md").write_text(
        "# G\n\n:::{glossary}\nnet\n  网络. A {term}`layer`.\nlayer\n  层. L.\n:::\n")
    (tmp_path / "chapters" / "other_one.md").write_text("# Other\n\n(there)=\n## There\n\n$$ x $$ (eq-x)\n")

    def written(text):
        (tmp_path / "chapters" / "one.md").write_text(text)
        return Book(tmp_path)

    return written


def test_references_that_lead_somewhere_pass(book):
    text = ("# One\n\n{cite:t}`a2020`, {cite}`a2020, a2020`, {term}`Nets <net>`, {ref}`there`, {eq}`eq-x`, "
            "{ref}`x <one-1>`, {doc}`/pages/glossary`, {doc}`o <other_one>`, [o](other_one.md), "
            "[g](../pages/glossary.md#terms), [h](https://x.y), "
            "[t](#there)\n\n```{exercise}\n:label: one-1\n{term}`Layer`\n```\n")
    assert reference_faults(book(text), "chapters/one") == []


@pytest.mark.parametrize("text, lost", [
    ("{cite:t}`b2020`", "b2020"), ("{cite}`a2020, c2020`", "c2020"), ("{term}`width`", "width"), ("{eq}`eq-y`", "eq-y"),
    ("{ref}`nowhere`", "nowhere"), ("{ref}`t <nowhere>`", "nowhere"), ("{doc}`/nothing`", "/nothing"),
    ("[o](others.md)", "others.md"), ("[x](#nowhere)", "nowhere"), (":::{admonition} {term}`width`\nx\n:::", "width"),
    ("```{margin}\n{ref}`far`\n```", "far"),
])
def test_a_reference_that_leads_nowhere_is_found(book, text, lost):
    faults = reference_faults(book(f"# One\n\n{text}\n"), "chapters/one")
    assert len(faults) == 1 and lost in faults[0] and faults[0].startswith("chapters/one.md:"), faults


EXERCISE = "````{{exercise}}\n:label: {0}\n\nDo.\n{1}\n````\n\n"
STARTER = "\n```python\nanswer = ...\ncheck(\"{0}\", answer)\n```"
SOLUTION = "```{{solution-start}} {0}\n```\n```{{code-cell}}\n{1}\n```\n```{{solution-end}}\n```\n"


def exercise(label, starter=None, solution=None, checks="1 + 1"):
    block = STARTER.format(starter) if starter else ""
    return EXERCISE.format(label, block) + (SOLUTION.format(solution or label, checks))


@pytest.mark.parametrize("text, said", [
    (exercise("a-b-1") + exercise("a-b-2", "a-b-2", checks='check("a-b-2", 1)'), None),
    (exercise("a-b-2"), "must have the label a-b-1"),
    (exercise("a-b-1", solution="a-b-9"), "a-b-1 has 0 solutions"),
    (exercise("a-b-1") + SOLUTION.format("a-b-1", "1"), "a-b-1 has 2 solutions"),
    (exercise("a-b-1") + SOLUTION.format("a-b-3", "1"), "a-b-3, which is no exercise"),
    (exercise("a-b-1", "a-b-1"), "has a starter, but its solution has no check"),
    (exercise("a-b-1", checks='check("a-b-1", 1)'), "the exercise has no starter"),
    (exercise("a-b-1", "a-b-1", checks='check("a-b-1", 1)\ncheck("a-b-2", 1)'), "checks a-b-2"),
    (exercise("a-b-1") + exercise("a-b-2") + exercise("a-b-3", "a-b-3", checks='check("a-b-3", 1)'), "no check called"),
])
def test_what_is_missing_of_an_exercise_is_found(text, said):
    faults = exercise_faults("chapters/a_b", parse(text), {"a-b-1": 1, "a-b-2": 1})
    assert (faults == []) if said is None else any(said in fault for fault in faults), faults
