"""Notebooks made from chapters, their first cell, the wheel and the zip; a slow test runs every notebook."""

import ast
import builtins
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, mostly_weekly, the_book

import bundle
import generate
from book import Book
from first_cell import first_cell, modules
from translator import Cells, TranslationError, identified, imported, names_in
from parser import CodeCell, Exercise, Solution

from resnet_lib import values
from resnet_lib.widgets import live

BOOK = the_book()
CHAPTERS = BOOK.chapters
RAW = re.compile(
    r"\{[a-zA-Z:_+-]+\}`"  # a role
    r"|^:{3,}|^[`~]{3,}\{"  # a directive
    r"|^\([\w-]+\)=\s*$|^\+\+\+|^%(?!\w* *=)"  # a target, a break, a comment
    r"|\]\([^)]*\.md[)#]"  # a link to a page of the source
    r"|^:[a-z-]+:|\{[.#][\w-]+\}",
    re.M,
)  # options, attributes


def text_of(cell: dict) -> str:
    return "".join(cell["source"])


def committed(name: str) -> dict:
    return json.loads((ROOT / f"{name}.ipynb").read_text(encoding="utf-8"))


# --- the committed notebooks


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_notebook_is_what_its_chapter_makes(name):
    wanted = generate.text_of(generate.notebook(BOOK, name))
    there = (ROOT / f"{name}.ipynb").read_bytes() if (ROOT / f"{name}.ipynb").exists() else b""
    assert there == wanted.encode(), "python tools/setup.py notebooks"
    assert wanted.endswith("}\n") and not wanted.endswith("\n\n") and "\r" not in wanted


def test_no_notebook_is_left_of_a_chapter_that_is_gone():
    assert {p.stem for p in (ROOT / "chapters").glob("*.ipynb")} == {p.stem for p in (ROOT / "chapters").glob("*.md")}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_notebook_is_valid_and_holds_no_output(name):
    nbformat = pytest.importorskip("nbformat")  # here: its import takes two seconds
    content = committed(name)
    nbformat.validate(content)
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", CHAPTERS)
def test_nothing_is_left_that_only_the_builder_of_the_book_understands(name):
    left = []
    for cell in committed(name)["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"^(`{3,})\w*$.*?^\1$", "", text_of(cell), flags=re.S | re.M)
            left += [m[0] for m in RAW.finditer(re.sub(r"data:[^)]+", "", text))]
    assert left == []


@pytest.mark.parametrize(
    "text",
    [
        "a {val}`x`",
        ":::{note}\nx\n:::",
        "```{margin}\nx\n```",
        "(target)=\n",
        "+++",
        "% a comment",
        "[a](b.md)",
        "[a](b.md#c)",
        "{cite:t}`x`",
        ":label: x-1",
        "[a](b){.c}",
        "{#name}",
    ],
)
def test_what_counts_as_left_over(text):
    assert RAW.search(text)


@pytest.mark.parametrize("name", CHAPTERS)
def test_all_code_of_the_chapter_is_there_and_in_order(name):
    page = BOOK.pages[name]
    codes = [text_of(c).strip().replace(", solution=True)", ")") for c in committed(name)["cells"]
             if c["cell_type"] == "code"]
    wanted = [c.code.strip() for c in page.walk(CodeCell)]
    assert [c for c in codes if c in set(wanted)] == wanted
    starters = [e.starter.code.strip() for e in page.walk(Exercise) if e.starter]
    assert [s for s in starters if not any(c.endswith(s) for c in codes)] == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_are_folded(name):
    content, page = committed(name), BOOK.pages[name]
    cells = content["cells"]
    for k, exercise in enumerate(page.walk(Exercise), 1):
        solution = next(s for s in page.walk(Solution) if s.label == exercise.label)
        title = f"Solution of exercise {k}"
        at = [i for i, c in enumerate(cells) if c["cell_type"] == "markdown" and title in text_of(c)[:80]]
        assert len(at) == 1, title
        if text_of(cells[at[0]]).startswith("<details>"):
            assert not any(isinstance(p, CodeCell) for p in solution.parts)
            continue
        assert cells[at[0]]["metadata"]["jp-MarkdownHeadingCollapsed"] is True
        assert cells[at[0]]["id"] in content["metadata"]["colab"]["collapsed_sections"]
        for cell in cells[at[0] + 1 :]:
            if cell["cell_type"] == "markdown" and re.match(r"#{1,4} ", text_of(cell)):
                break  # the fold ends here
            if cell["cell_type"] == "code":
                assert cell["metadata"]["jupyter"]["source_hidden"] and cell["metadata"]["cellView"] == "form"


# --- what becomes of each kind of part

GLOSSARY = """# Glossary

:::{glossary}
net
  网络. Made of {term}`layers <layer>` {cite}`a2020`.

layer
  层. One of several.
:::
"""
BIB = """@article{a2020, author = {Ab, C. and D{\\"e}f, G. and Hi, J.}, title = {A "T" of {X}}, year = {2020},
  url = {https://example.org/a}}
@misc{b2021, author = {Klm, N. and Opq, R.}, title = {B}, year = {2021}}
"""


@pytest.fixture
def made(tmp_path):
    """Makes the cells of a chapter; values of the experiment "known" are known, others need a run."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "pages").mkdir()
    (tmp_path / "_config.yml").write_text("title: T\nrepository:\n  url: ''\n")
    (tmp_path / "pages" / "references.bib").write_text(BIB)
    (tmp_path / "pages" / "glossary.md").write_text(GLOSSARY)
    (tmp_path / "chapters" / "other.md").write_text("# Other page\n\n(far)=\n## Far away\n\n$$ z $$ (eq-z)\n")

    def make(text, **options):
        (tmp_path / "chapters" / "one.md").write_text(text)
        book = Book(tmp_path)
        if "repository" in options:
            book.config["repository"]["url"] = options["repository"]
        cells = Cells(book, "chapters/one", lambda e: "5.0 %" if e.startswith("known") else None)
        for part in book.pages["chapters/one"].parts:
            cells.add(part)
        return identified(cells.finish(), "one")

    make.folder = tmp_path
    return make


def sources(cells):
    return [c["source"] for c in cells]


@pytest.mark.parametrize(
    "myst, markdown",
    [
        ("{cite:t}`a2020` say", "[Ab et al. (2020)](https://example.org/a \"A 'T' of X\") say"),
        ("so {cite}`a2020,b2021`", "so ([Ab et al. 2020](https://example.org/a \"A 'T' of X\"); Klm and Opq 2021)"),
        ("see {eq}`eq-z`", "see (1) of [*Other page*](other.ipynb)"),
        ("see {ref}`far`", "see Far away of [*Other page*](other.ipynb)"),
        ("{doc}`other` and {doc}`it </chapters/other>`", "[*Other page*](other.ipynb) and [it](other.ipynb)"),
        ("[it](other.md) and {doc}`/pages/glossary`, [words](../pages/glossary.md)",
         "[it](other.ipynb) and *Glossary*, words"),
        ("`{val}` stays, {math}`x^2`, {sub}`2`, {given}`7 %`", "`{val}` stays, $x^2$, <sub>2</sub>, 7 %"),
        ("a {val}`known/paper/x:y` b", "a 5.0 % b"),
        ("a <!-- {val}`x` --> b", "a  b"),
        ("[text]{.red} *it*{#a .b}", "text *it*"),
        ("$$ a $$ (eq-a)\n\n{eq}`eq-a`", "$$ a \\tag{1} $$\n\n(1)"),
        ("$$\na\n= b\n$$", "$$\na\n= b\n$$"),
        ("```{math}\n:label: m-1\na = b\n```\n\n{eq}`m-1`", "$$ a = b \\tag{1} $$\n\n(1)"),
        ("```{margin}\nAn *aside*\nof two.\n```", "> **Aside.** An *aside*\n> of two."),
        (":::{warning} Do\nnot.\n:::", "> **Warning**\n>\n> Do\n>\n> not."),
        (
            "::::{admonition} Why {eq}`eq-z`\n:class: tip\n```python\nx\n```\n::::",
            "> **Why (1) of [*Other page*](other.ipynb)**\n>\n> ```python\n> x\n> ```",
        ),
        ("% nothing\n\ntext", "text"),
        ("(here)=\n\n{ref}`here`", '<a id="here"></a>\n\n[this place in ](#here)'),
        ("```python\nx = {val}`no`\n```", "```python\nx = {val}`no`\n```"),
        (
            "```{interactive} frame-player\n:label: x\n\nA *fall-back*.\n```",
            "> A *fall-back*.\n>\n> *(Here the page of the book has an interactive figure.)*",
        ),
        ("```{raw} latex\n\\x\n```\n\nt", "t"),
        ("```{raw} html\n<b>x</b>\n```", "*(Here the page of the book has a part that a notebook cannot show.)*"),
        ("```{raw} html\n<!-- page only -->\n<b>x</b>\n```\n\nt", "t"),
        ("```{bibliography}\n```\n\nt", "t"),
        ("```{code-block} sh\nmake\n```", "```sh\nmake\n```"),
        (
            "```{prf:theorem} Name\n:label: th-1\nTrue.\n```\n\n{prf:ref}`th-1`",
            "> **Theorem 1 (Name).** True.\n\n[Theorem 1](#th-1)",
        ),
        ("::::{grid} 2\n:::{grid-item}\nA\n:::\n::::", "A"),
    ],
)
def test_markup_of_the_page_becomes_plain_markdown(made, myst, markdown):
    assert sources(made(myst + "\n")) == [markdown]


def test_a_term_is_italic_at_first_and_defined_at_the_end(made):
    cells = made("# One\n\nA {term}`net` and {term}`nets <net>`.\n")
    assert cells[0]["source"] == "# One\n\nA [*net*](#term-net) and nets."
    assert cells[-1]["source"] == (
        '## Words\n\n<a id="term-net"></a>**net** · 网络. Made of layers '
        "([Ab et al. 2020](https://example.org/a \"A 'T' of X\"))."
    )


def test_with_a_repository_links_lead_to_colab_and_to_the_source(made):
    cells = made("[it](other.md), {doc}`/pages/glossary`\n", repository="https://github.com/who/what")
    assert cells[0]["source"] == (
        "[it](https://colab.research.google.com/github/who/what/blob/main/chapters/other.ipynb), "
        "[*Glossary*](https://github.com/who/what/blob/main/pages/glossary.md)"
    )


def test_values_of_live_runs_are_named_in_the_text_and_told_below(made):
    cells = made(
        "# One\n\nFirst {val}`e/quick/plain-56:train_error`, {val}`known/quick/x:y`, again\n"
        "{val}`e/quick/plain-56:train_error`.\n\nThen {val}`e/quick/plain-56:train_error - plain-20:train_error`.\n"
    )
    assert sources(cells) == [
        "# One\n\nFirst **⟨plain-56: training error⟩**, 5.0 %, again\n**⟨plain-56: training error⟩**.",
        'from resnet_lib.values import tell\n\ntell("e/quick/plain-56:train_error")',
        "Then **⟨plain-56 − plain-20: training error⟩**.",
        'tell("e/quick/plain-56:train_error - plain-20:train_error")',
    ]


def test_a_table_with_live_values_is_filled_by_a_cell(made):
    cells = made("| a | b |\n|:--|--:|\n| *x* | {val}`e/quick/x:y\\|std` |\n\nText.\n")
    assert cells[0]["cell_type"] == "code"
    assert cells[0]["source"] == (
        'from resnet_lib.values import fill\n\nfill(r"""\n| a | b |\n|:--|--:|\n| *x* | ⟨e/quick/x:y|std⟩ |\n""")'
    )
    assert cells[1]["source"] == "Text."


EXERCISES = """# One

## Exercises

````{exercise} Named
:label: one-1
Compute {val}`known/a/b:c`.

```python
answer = ...
check("one-1", answer)
```
````

```{solution-start} one-1
:class: dropdown
```
It is one.

```{code-cell}
answer = 1
check("one-1", answer)
```

```{solution-end}
```

```{exercise}
:label: one-2
Why? See {ref}`one-1`.
```

```{solution} one-2
:class: dropdown
Because *so*.
```
"""


def test_exercises_become_headings_starters_cells_and_solutions_folds(made):
    cells = made(EXERCISES)
    assert [(c["cell_type"], c["source"]) for c in cells[2:]] == [
        ("markdown", '### Exercise 1 (Named)\n\n<a id="one-1"></a>\n\nCompute 5.0 %.'),
        ("code", 'from resnet_lib.checks import check\n\nanswer = ...\ncheck("one-1", answer)'),
        ("markdown", "#### Solution of exercise 1"),
        ("markdown", "It is one."),
        ("code", 'answer = 1\ncheck("one-1", answer, solution=True)'),
        ("markdown", '### Exercise 2\n\n<a id="one-2"></a>\n\nWhy? See [Exercise 1](#one-1).'),
        ("markdown", "<details>\n<summary>Solution of exercise 2</summary>\n\nBecause *so*.\n\n</details>"),
    ]
    of = [{"resnet": {"exercise": "one-1", "role": role}} for role in ("text", "starter", "solution", "solution")]
    assert cells[2]["metadata"] == of[0] and cells[3]["metadata"] == {"tags": ["exercise"], **of[1]}
    assert cells[4]["metadata"] == {"heading_collapsed": True, "jp-MarkdownHeadingCollapsed": True,
                                    "id": cells[4]["id"], **of[2]}
    assert cells[6]["metadata"] == {"cellView": "form", "jupyter": {"source_hidden": True}, **of[3]}
    assert cells[8]["metadata"] == {"resnet": {"exercise": "one-2", "role": "solution"}}


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_starter_runs_though_earlier_cells_did_not(name):
    """It takes no name from them: what it needs it makes or imports itself."""
    starters = [text_of(cell) for cell in committed(name)["cells"] if "exercise" in cell["metadata"].get("tags", [])]
    assert starters
    for code in starters:
        tree = ast.parse(code)
        made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        made |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        made |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        assert not names_in(code) - made - imported(code).keys() - set(dir(builtins)), code
        assert "check" in imported(code)


def test_a_solution_that_would_fold_away_the_text_behind_it_stands_at_the_end(made):
    text = EXERCISES.replace("```{exercise}\n:label: one-2", "Ordinary text.\n\n```{exercise}\n:label: one-2")
    found = sources(made(text))
    assert (
        found.index("#### Solution of exercise 1")
        > found.index("## Solutions")
        > next(i for i, s in enumerate(found) if "Ordinary text." in s)
    )


def test_hidden_cells_of_the_page_are_folded_and_keep_their_tags(made):
    cells = made(
        "```{code-cell} ipython3\n:tags: [hide-input]\nx = 1\n```\n\n```{code-cell} ipython3\ny = 2\n```\n\n"
        "```{code-cell}\n:tags: [remove-output]\nz\n```\n"
    )
    assert [c["metadata"] for c in cells] == [
        {"tags": ["hide-input"], "cellView": "form", "jupyter": {"source_hidden": True}},
        {},
        {"tags": ["remove-output"], "collapsed": True, "jupyter": {"outputs_hidden": True}},
    ]


def test_a_drawing_becomes_a_picture_with_its_caption(made):
    (made.folder / "a.html").write_text(
        '<figure><svg viewBox="0 0 4 2" aria-label="A &amp; B"><path/></svg>'
        "<figcaption>Drawn <b>so</b>.</figcaption></figure>"
    )
    text = sources(made("```{raw} html\n:file: ../a.html\n```\n"))[0]
    assert re.fullmatch(r"!\[A & B\]\(data:image/svg\+xml;base64,[\w+/=]+\)\n\n\*Drawn so\.\*", text)


@pytest.mark.parametrize(
    "myst, said",
    [
        ("{strange}`x`", "the role {strange}"),
        (":::{strange}\nx\n:::", "the directive {strange}"),
        ("{term}`width`", "is not in the glossary"),
        ("{cite}`z`", "is not in references.bib"),
        ("{ref}`z`", "has the label z"),
        ("```{solution} one-9\nx\n```", "which is no exercise here"),
        ("```{code-cell}\ntell = 1\n```\n\n{val}`a/quick/b:c`", "leave the names tell and fill alone"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(made, myst, said):
    with pytest.raises(TranslationError, match=re.escape(said)):
        made(myst + "\n")


def test_the_id_of_a_cell_changes_with_its_content_alone(made):
    first, second = made("A\n\n+++\n\nB\n\n+++\n\nB\n"), made("New\n\n+++\n\nB\n\n+++\n\nB\n")
    assert [c["id"] for c in first[1:]] == [c["id"] for c in second[1:]]
    assert first[0]["id"] != second[0]["id"] and first[1]["id"] + "-2" == first[2]["id"]


# --- values


class Declared:
    """Stands for resnet_lib.experiments where nothing has run."""

    def __init__(self):
        recipe = types.SimpleNamespace(steps=192, lr=0.05)
        variants = {"a": types.SimpleNamespace(changes={}), "b": types.SimpleNamespace(changes={"steps": 576})}
        self.EXPERIMENTS = {
            "e": types.SimpleNamespace(tiers={"quick": types.SimpleNamespace(variants=variants, recipe=recipe)})
        }

    def job(self, name, tier, variant):
        return types.SimpleNamespace(identity={"name": "digits", "n_train": 1437, "n_test": 360})


@pytest.mark.parametrize(
    "expression, text",
    [
        ("e/quick/a:step", "192"),
        ("e/quick/b:steps", "576"),
        ("e/quick/a:lr", "0.05"),
        ("e/quick:lr", "0.05"),
        ("e/quick:steps", None),  # not the same for all
        ("e/quick:n_train", "1,437"),
        ("e/quick/a:data", "scikit-learn’s digits"),
        ("e/quick/a:train_error", None),
        ("published/x/y:z", None),
    ],
)
def test_what_is_declared_needs_no_run(expression, text):
    shown = values.declared(expression, Declared())
    assert (shown and shown.text) == text
    if expression.endswith(("n_train", "data")):
        assert values.declared(expression, Declared(), data=False) is None  # another machine may have other data


def test_fixed_values_do_not_depend_on_what_this_machine_has_trained(home):
    fixed = generate.Fixed(ROOT)
    assert fixed("published/he15-table6/residual-56:test_error") == "6.97\u00a0%"
    assert fixed("degradation/quick/plain-56:train_error") is None
    assert fixed("degradation/quick:data") is None
    assert fixed("degradation/quick/plain-56:steps") == "192"
    before = fixed("degradation/short/residual-20:test_error")
    assert re.fullmatch(r"\d+\.\d\u00a0%", before)
    assert os.environ["RESNET_LIB_HOME"] == str(home)


def test_tell_trains_what_is_missing_and_prints_by_name(tiny, capsys):
    values.tell(
        "degradation/quick/plain-8:train_error",
        "degradation/quick/plain-8:train_error - residual-8:train_error",
        "degradation/quick:data",
        "published/he15-table6/residual-56:test_error",
    )
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"plain-8: training error +\d+\.\d\u00a0%   seeds 0, 1, live", lines[0])
    assert re.fullmatch(r"plain-8 − residual-8: training error +−?\d+\.\d points   seeds 0, 1, live", lines[1])
    assert lines[2].split() == ["name", "of", "the", "data", "scikit-learn’s", "digits", "as", "they", "lie", "here"]
    assert "He et al. 2015" in lines[3]
    shown = values.fill("| ⟨degradation/quick/plain-8:train_error|std⟩ |")
    assert re.fullmatch(r"\| ±\u00a0\d+\.\d \|", shown.data)
    with pytest.raises(values.ValueProblem, match="known: plain-8, residual-8"):
        values.tell("degradation/quick/plain-9:train_error")


# --- the first cell


def run_first_cell(folder: Path, monkeypatch, absent=(), repository="", codes=(), fails=""):
    """Execute the cell in ``folder`` as if ``absent`` were not installed: (what pip was asked for, new paths)."""
    asked = []

    def find_spec(module):
        return None if module in absent else True

    def run(command, **_):
        asked.append(command[4 + 1:] if "-q" in command else command[2:])
        return types.SimpleNamespace(returncode=bool(fails), stdout=fails)

    monkeypatch.chdir(folder)
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(subprocess, "run", run)
    path = list(sys.path)
    try:
        exec(compile(first_cell(list(codes), "0.1.0", repository), "cell", "exec"), {"__name__": "cell"})
        return asked, [p for p in sys.path if p not in path]
    finally:
        sys.path[:] = path


def test_where_everything_is_the_first_cell_does_nothing(tmp_path, monkeypatch):
    assert run_first_cell(tmp_path, monkeypatch) == ([], [])


def test_the_switch_for_full_size_runs_stands_in_the_first_cell_where_a_chapter_has_such_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LIB_TIER", "left over")
    run_first_cell(tmp_path, monkeypatch, codes=["import torch"])
    assert os.environ["RESNET_LIB_TIER"] == "left over"
    code = 'from resnet_lib.widgets.live import beside\nbeside("degradation", ["plain-20"])'
    assert run_first_cell(tmp_path, monkeypatch, codes=[code]) == ([], [])
    assert os.environ["RESNET_LIB_TIER"] == "quick"
    monkeypatch.setenv("RESNET_LIB_TIER", "quick")
    exec(first_cell([code], "0.1.0", "").split("importlib.invalidate_caches()")[1].replace('"quick"', '"short"'),
         {"os": os})
    assert live.wanted()


def test_a_chapter_that_needs_more_than_the_one_before_gets_it(tmp_path, monkeypatch):
    """The library is there, installed by another chapter's first cell."""
    asked, _ = run_first_cell(tmp_path, monkeypatch, absent=["scipy"], codes=["import scipy"])
    assert asked == [["scipy"]]


def test_the_first_cell_installs_what_is_missing_then_the_wheel_without_dependencies(tmp_path, monkeypatch):
    (tmp_path / "resnet_lib-0.1.0-py3-none-any.whl").touch()
    asked, _ = run_first_cell(tmp_path, monkeypatch, absent=["resnet_lib", "sklearn", "tqdm"])
    assert asked == [["scikit-learn", "tqdm"], ["--no-deps", "resnet_lib-0.1.0-py3-none-any.whl"]]


def test_torchvision_is_the_one_that_belongs_to_the_torch_that_is_there(tmp_path, monkeypatch):
    import importlib.metadata

    (tmp_path / "resnet_lib-0.1.0-py3-none-any.whl").touch()
    asked, _ = run_first_cell(
        tmp_path, monkeypatch, absent=["resnet_lib", "torchvision"], codes=["from torchvision import transforms"]
    )
    assert asked[0] == ["torchvision", "torch==" + importlib.metadata.version("torch").partition("+")[0]]


def test_without_a_wheel_the_first_cell_says_in_one_line_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as problem:
        run_first_cell(tmp_path, monkeypatch, absent=["resnet_lib"])
    assert "put resnet_lib-0.1.0-py3-none-any.whl" in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize("said, shown", [
    ("a line\nERROR: no such thing\n", "ERROR: no such thing"),
    ("ERROR: Could not build wheels for tqdm\n\n[notice] A new release of pip\n", "Could not build wheels"),
    ("killed", "killed"), ("", "pip said nothing"),
    ("ERROR: Ignored the following versions that require a different python version: 1.0\nERROR: none for tqdm",
     "none for tqdm"),
    ("error: externally-managed-environment\n\n× This environment is externally managed\n"
     "hint: See PEP 668 for the detailed specification.\n", "Make an environment, python3 -m venv env"),
    ("WARNING: Retrying after connection broken by 'NewConnectionError('<urllib3…>: Failed to establish')'\n"
     "ERROR: Could not find a version\nERROR: No matching distribution found for tqdm\n", "there is no network"),
])
def test_when_pip_fails_its_reason_and_a_way_out_are_shown(tmp_path, monkeypatch, said, shown):
    (tmp_path / "resnet_lib-0.1.0-py3-none-any.whl").touch()
    with pytest.raises(SystemExit, match="pip could not install tqdm: ") as problem:
        run_first_cell(tmp_path, monkeypatch, absent=["resnet_lib", "tqdm"], fails=said or " ")
    assert shown in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize("version, too_old", [("2.2.2", True), ("2.6.0+cpu", True), ("2.7.1", False),
                                              ("2.11.0", False)])
def test_an_old_torch_is_named_before_anything_is_installed(tmp_path, monkeypatch, version, too_old):
    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    (tmp_path / "resnet_lib-0.1.0-py3-none-any.whl").touch()
    if too_old:
        with pytest.raises(SystemExit, match=f"needs PyTorch 2.7 or newer, and here is {re.escape(version)}"):
            run_first_cell(tmp_path, monkeypatch, absent=["resnet_lib"])
    else:
        assert len(run_first_cell(tmp_path, monkeypatch, absent=["resnet_lib"])[0]) == 1


def test_what_a_chapter_can_do_without_is_not_installed(tmp_path, monkeypatch):
    codes = ["import onnxruntime, d2l"]
    assert run_first_cell(tmp_path, monkeypatch, absent=["onnxruntime", "d2l"], codes=codes) == ([], [])


def test_an_environment_without_pip_gets_one(tmp_path, monkeypatch):
    """uv's have none."""
    (tmp_path / "resnet_lib-0.1.0-py3-none-any.whl").touch()
    asked, _ = run_first_cell(tmp_path, monkeypatch, absent=["resnet_lib", "pip"])
    assert asked == [["ensurepip"], ["--no-deps", "resnet_lib-0.1.0-py3-none-any.whl"]]


def test_an_old_python_is_named_before_anything_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    with pytest.raises(SystemExit, match="needs Python 3.11 or newer"):
        run_first_cell(tmp_path, monkeypatch, absent=["resnet_lib", "tqdm"])


@pytest.mark.parametrize("where", ["", "chapters", "chapters/deeper"])
def test_in_a_copy_of_the_repository_the_library_is_found_and_what_it_needs_is_installed(tmp_path, monkeypatch, where):
    (tmp_path / "chapters" / "deeper").mkdir(parents=True)
    (tmp_path / "resnet_lib").mkdir()
    (tmp_path / "resnet_lib" / "__init__.py").touch()
    asked, paths = run_first_cell(tmp_path / where, monkeypatch, absent=["resnet_lib", "filelock"])
    assert asked == [["filelock"]] and paths == [str(tmp_path)]
    assert run_first_cell(tmp_path / where, monkeypatch, absent=["resnet_lib"]) == ([], [str(tmp_path)])


def test_with_a_repository_the_release_is_fetched_and_its_records_laid_beside(tmp_path, monkeypatch):
    release = tmp_path / "web" / "archive" / "refs" / "tags" / "v0.1.0.zip"
    release.parent.mkdir(parents=True)
    with zipfile.ZipFile(release, "w") as archive:
        archive.writestr("what-0.1.0/data/runs/e/paper/a-s0.json", "{}")
        archive.writestr("what-0.1.0/data/lesions/seeds.json", "{}")
        archive.writestr("what-0.1.0/README.md", "no record")
    here = tmp_path / "here"
    here.mkdir()
    asked, _ = run_first_cell(here, monkeypatch, absent=["resnet_lib"], repository=(tmp_path / "web").as_uri())
    assert asked == [["--no-deps", "release.zip"]]
    for name in ("runs/e/paper/a-s0.json", "lesions/seeds.json"):
        assert (here / "data" / name).read_text() == "{}"
    assert not (here / "README.md").exists()
    (here / "release.zip").unlink()
    release.unlink()
    with pytest.raises(SystemExit, match="resnet_lib cannot be fetched from file:"):
        run_first_cell(here, monkeypatch, absent=["resnet_lib"], repository=(tmp_path / "web").as_uri())


def test_imports_are_read_from_the_code():
    assert modules(
        ["import a.b, c", "def f():\n    from d.e import g\n    from . import h", "this is no python"]
    ) == {"a", "c", "d"}
    cell = first_cell(
        ["from scipy.stats import t", "import torch, json, IPython", "from PIL import Image"], "0.1.0", ""
    )
    assert '"scipy": "scipy"' in cell and '"PIL": "pillow"' in cell and "IPython" not in cell and 'json"' not in cell


# --- the wheel and the zip


def test_wheel_and_zip_are_the_same_bytes_each_time_and_hold_what_they_should(tmp_path):
    assert bundle.wheel() == bundle.wheel() and bundle.bundle() == bundle.bundle()
    (tmp_path / "all.zip").write_bytes(bundle.bundle())
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        names = {n.partition("/")[2] for n in archive.namelist()}
        assert all(n.startswith("resnet-by-experiment-notebooks/") for n in archive.namelist())
        archive.extractall(tmp_path)
    assert {f"{c.rpartition('/')[2]}.ipynb" for c in CHAPTERS} | {"README.txt", bundle.wheel_name()} <= names
    with zipfile.ZipFile(tmp_path / "resnet-by-experiment-notebooks" / bundle.wheel_name()) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    for line in files[f"resnet_lib-{generate.version()}.dist-info/RECORD"].decode().splitlines():
        name, digest, size = line.split(",")
        if digest:
            assert digest == "sha256=" + bundle._digest(files[name]) and int(size) == len(files[name])
    assert {n for n in files if not n.startswith("resnet_lib-")} == {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "resnet_lib").rglob("*")
        if p.suffix in (".py", ".json", ".mplstyle") and "__pycache__" not in p.parts
    } | {f"resnet_lib/recorded/{name}" for name in bundle.recorded()}
    assert {p.relative_to(ROOT / "data").as_posix() for p in (ROOT / "data/runs").rglob("*.json")} <= set(
        bundle.recorded())


@pytest.mark.slow
def test_the_wheel_is_the_one_that_setuptools_makes(tmp_path):
    """The same files and the same needs; and pip installs it."""
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "resnet_lib", tmp_path / "resnet_lib", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs, ours = tmp_path / done.stdout.split()[-1], tmp_path / "ours" / bundle.wheel_name()
    ours.parent.mkdir()
    ours.write_bytes(bundle.wheel())
    assert theirs.name == ours.name
    names, needs = [], []
    for path in (theirs, ours):
        with zipfile.ZipFile(path) as archive:
            names.append({n for n in archive.namelist()  # recorded runs lie outside of the package, which pip cannot
                          if not n.endswith("/") and "top_level" not in n and "/recorded/" not in n})
            metadata = archive.read(f"resnet_lib-{generate.version()}.dist-info/METADATA").decode()
            needs.append(sorted(re.findall(r"^(?:Requires|Name|Version|License|Provides).*", metadata, re.M)))
    assert names[0] == names[1]
    assert [n.replace("'", '"') for n in needs[0]] == [n.replace("'", '"') for n in needs[1]]
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, ours]
    subprocess.run(command, check=True)
    code = ("import resnet_lib, resnet_lib.plots; print(resnet_lib.__file__); resnet_lib.plots.axes(); "
            "from resnet_lib import experiments; "
            "assert len(experiments.find('degradation', 'short', 'plain-56')) == 3")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "ours",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    assert done.stdout.startswith(str(target))


# --- every notebook, from beginning to end


# One of each kind: live runs with a bet and full-size ones beside them, Dive into Deep Learning's code, figures to
# turn, values told below the text. The code of the others has run in the book (`test_the_built_page_has_judged…`).
SAMPLE = [f"chapters/{name}"
          for name in ("degradation", "residual_block", "function_classes", "mnist", "fashion_mnist")]


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_weekly(CHAPTERS, *SAMPLE))
def test_a_notebook_runs_and_its_solutions_are_right(name, digits_home, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("RESNET_LIB_HOME", str(digits_home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("RESNET_LIB_BOOK", raising=False)
    content = nbformat.reads((ROOT / f"{name}.ipynb").read_text(encoding="utf-8"), as_version=4)
    client = nbclient.NotebookClient(
        content, timeout=900, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # raises on the first cell that fails
    solving, right, wrong = False, [], []
    for cell in content.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            solving = cell.source.startswith("#### Solution")
        if cell.cell_type != "code":
            continue
        said = json.dumps(cell.outputs, ensure_ascii=False)
        if "✓" in said:
            right += re.findall(r"""^check\(\s*["']([\w-]+)["']""", cell.source, re.M)
            assert "This is the solution" in said, "an untouched notebook claims that its reader is right"
        if solving and ("✗" in said or "· " in said and "check(" in cell.source):
            wrong.append(cell.source)
        assert "⟨" not in said, f"a value was not filled in: {cell.source}"
    checked = [e.label for e in BOOK.pages[name].walk(Exercise) if e.starter]
    assert not wrong, wrong
    assert sorted(set(right)) == sorted(checked)
    assert not list(tmp_path.iterdir()), "a notebook left files beside itself"


def test_hashes_of_committed_notebooks_differ():
    """Each chapter has a notebook of its own."""
    digests = [hashlib.sha256((ROOT / f"{c}.ipynb").read_bytes()).hexdigest() for c in CHAPTERS]
    assert len(set(digests)) == len(digests)
