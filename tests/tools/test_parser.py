"""parser.py and inline.py of tools/notebooks: parts, line numbers, and the file back byte for byte."""

import random

import pytest
from conftest import ROOT
from markdown_it import MarkdownIt

from inline import checks_in, inlines, split_role
from parser import (
    Admonition, Break, CodeCell, Comment, Directive, Exercise, Fence, Figure, FrontMatter, Interactive, Margin,
    Markdown, Math, Raw, Solution, SourceError, Target, blocks, parse, read)

PAGES = sorted(path for folder in (".", "pages", "chapters") for path in (ROOT / folder).glob("*.md"))
FRAGMENTS = (
    "A paragraph with {val}`a/b/c:d` and `code`, $x_{1}$ and \\$5.\nIts second line.\n",
    "## A heading\n", "- one\n- two\n\n  more of two\n", "| a | b |\n|:--|--:|\n| 1 | {val}`a/b:c\\|std` |\n",
    "    indented code, ```{note} is no directive here\n", "> a quotation\n> of two lines\n", "\n\n", "\n",
    "(a-target)=\n", "% a comment\n", "+++\n", "***\n", "<div>\nhtml\n</div>\n\n",
    "$$ a = b $$\n", "$$ a = b $$ (eq-one)\n", "$$\na\n= b\n$$ (eq-two)\n",
    "```python\nprint(1)\n```\n", "~~~\n```\n~~~\n", "````\n```{note}\n```\n````\n",
    "```{code-cell} ipython3\n:tags: [hide-input]\n\nx = 1\n```\n",
    "```{code-cell} ipython3\n---\ntags: [a]\n---\nx = 2\n```\n",
    "```{code-cell} ipython3\n```\n", ":::{note}\nA note with `code`.\n:::\n",
    "::::{admonition} A title\n:class: tip\n\n:::{margin}\nInner.\n:::\n::::\n",
    "````{exercise} Title\n:label: page-1\n\nDo.\n\n```python\nanswer = ...\ncheck(\"page-1\", answer)\n```\n````\n",
    "```{solution-start} page-1\n:class: dropdown\n```\nText.\n\n```{code-cell}\n1 + 1\n```\n\n$$ x $$\n\n"
    "```{solution-end}\n```\n",
    "```{raw} html\n:file: a.html\n```\n", "```{interactive} frame-player\n:label: step\n\nFall-back.\n```\n",
    "Ünïcödé \u2028 and \x0c and 退化.\n", "A lone ` and a lone $ here.\n", "```{margin}\nAside.\n```\n",
)


def faults(page, text: str) -> list[str]:
    """What is wrong with a parse, as far as text and line numbers go."""
    found = [] if page.source == text else ["the parts do not make the file"]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for part in page.walk():
        first = part.source.replace("\r\n", "\n").replace("\r", "\n").split("\n")[0]
        if lines[part.line - 1] != first:
            found.append(f"line {part.line} is not {first!r}")
        inner = getattr(part, "parts", ())
        if inner and "".join(p.source for p in inner) != part.body:
            found.append(f"the parts of line {part.line} do not make its body")
        if isinstance(part, Markdown):
            if "".join(i.source for i in inlines(part.source)) != part.source:
                found.append(f"the inlines of line {part.line} do not make its text")
            if "".join(text for _, text in blocks(part.source)) != part.source:
                found.append(f"the blocks of line {part.line} do not make its text")
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_a_file_comes_back_byte_for_byte(path):
    page = read(path)
    assert page.source.encode() == path.read_bytes()
    assert faults(page, path.read_bytes().decode()) == []


@pytest.mark.parametrize("seed", range(40))
def test_any_mixture_of_fragments_comes_back(seed):
    draw = random.Random(seed)
    text = "".join(draw.choice(FRAGMENTS) for _ in range(draw.randrange(1, 25)))
    if seed % 2:
        text = "---\nkernelspec:\n  name: python3\n---\n" + text
    if seed % 3 == 1:
        text = text.rstrip("\n")  # no line end at the end of the file
    if seed % 5 == 2:
        text = text.replace("\n", "\r\n")
    assert faults(parse(text), text) == []


@pytest.mark.slow
def test_every_fence_of_a_page_is_seen_as_the_build_sees_it():
    """As many code cells as plain markdown-it finds fences that begin {code-cell}, wherever they stand."""
    for path in PAGES:
        tokens = MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8"))
        cells = [t for t in tokens if t.type == "fence" and t.info.strip().startswith("{code-cell}")]
        assert len(list(read(path).walk(CodeCell))) == len(cells), path


def only(text: str, kind: type):
    found = list(parse(text).walk(kind))
    assert len(found) == 1, found
    return found[0]


def test_kinds_and_their_fields():
    cell = only("Text.\n\n```{code-cell} ipython3\n:tags: [hide-input, x]\nx = 1\n\ny = 2\n```\n", CodeCell)
    assert (cell.line, cell.body_line, cell.tags, cell.hidden) == (3, 5, ["hide-input", "x"], True)
    assert cell.code == "x = 1\n\ny = 2\n"
    assert only("---\na: 1\n---\n# T\n", FrontMatter).data == {"a": 1}
    assert only("(here)=\n## H\n", Target).name == "here"
    assert [(m.body.strip(), m.label) for m in parse("$$ a $$ (l)\n\n$$ b $$\n").walk(Math)] == [("a", "l"), ("b", "")]
    note = only(":::{tip} Do\nthis.\n:::\n", Admonition)
    assert (note.name, note.argument, note.title) == ("tip", "Do", "Tip")
    assert only("```{admonition} Why: *this*\nx\n```\n", Admonition).title == "Why: *this*"
    assert only("```{raw} html\n:file: ../a.html\n```\n", Raw).options == {"file": "../a.html"}
    assert only("```{figure} a.png\n:alt: It is: a colon, and 'quotes'\n\nC\n```\n", Figure).options["alt"] == \
        "It is: a colon, and 'quotes'"
    assert only("```{interactive} x\nF\n```\n", Interactive).parts[0].source == "F\n"
    assert isinstance(only("```{margin}\nA\n```\n", Directive), Margin)
    fence = only("```python\nx\n```\n", Fence)
    assert (fence.language, fence.code, fence.code_line) == ("python", "x\n", 2)
    assert only("% no\n", Comment) and only("+++\n", Break)
    assert parse("---\na: 1\n---\n\n# The *title*\n").title == "The *title*"


def test_a_solution_holds_what_stands_between_its_start_and_its_end():
    text = ("```{solution-start} page-1\n:class: dropdown\n```\nText.\n\n```{code-cell}\ncheck('page-1', 2)\n```\n"
            "\n```{solution-end}\n```\n")
    solution = only(text, Solution)
    assert (solution.label, solution.options) == ("page-1", {"class": "dropdown"})
    assert [type(p) for p in solution.parts if p.source.strip()] == [Markdown, CodeCell]
    assert checks_in(only(text, CodeCell).code) == ["page-1"]


STARTER = "````{{exercise}}\n:label: page-1\n\nSay.\n\n```python\n{}\n```\n````\n"


@pytest.mark.parametrize("code, is_starter", [
    ('answer = ...\ncheck("page-1", answer)', True),
    ("def f(x):\n    ...\n\ncheck('page-1', f)", True),
    ('answer = ...\ncheck("page-2", answer)', False),  # another exercise's
    ('check("page-1", 1)\nprint("more")', False),
    ("shorter = 1", False),
])
def test_a_starter_ends_in_the_check_of_its_exercise(code, is_starter):
    exercise = only(STARTER.format(code), Exercise)
    assert (exercise.starter is not None) == is_starter
    assert exercise.label == "page-1"


@pytest.mark.parametrize("text, said", [
    ("a\n\n```{note}\nnever closed\n", "page:3: this ``` is never closed"),
    ("```python\n", "page:1: this ``` is never closed"),
    ("```{solution-start} x-1\n```\n", "page:1: this solution-start is never ended"),
    ("```{solution-end}\n```\n", "page:1: solution-end without its start"),
    ("```{solution-start} x-1\n```\n```{exercise-end}\n```\n", "page:3: exercise-end without its start"),
    ("- a\n\n  ```{note}\n  x\n  ```\n", "page:3: a directive cannot stand inside a list"),
    ("```{note}\n---\na: [\n---\n```\n", "page:1: options that are no YAML"),
])
def test_what_cannot_be_parsed_is_named_with_its_line(text, said):
    with pytest.raises(SourceError, match=said.replace("(", r"\(")):
        parse(text)


def test_inlines_tell_roles_code_and_mathematics_apart():
    text = ("A {term}`stages <stage>` of {cite:t}`a`, `{val}` and ``{ref}`x` ``, $a\\$b$, $5 and $6, {val}`a/b/c:d\n"
            "- e:d`, \\{term}, <!-- {ref}`no` --> {term}`` a`b ``.")
    found = [(i.kind, i.name, i.content) for i in inlines(text) if i.kind != "text"]
    assert found == [("role", "term", "stages <stage>"), ("role", "cite:t", "a"), ("code", "", "{val}"),
                     ("code", "", "{ref}`x` "), ("math", "", "a\\$b"), ("role", "val", "a/b/c:d - e:d"),
                     ("comment", "", ""), ("role", "term", "a`b")]
    assert split_role("stages <stage>") == ("stages", "stage") and split_role("stage") == ("stage", "stage")


def test_a_mark_alone_does_not_swallow_the_next_paragraph():
    assert [i.kind for i in inlines("a ` b\n\nc ` d, 5 $ x\n\ny $ z")] == ["text"]
