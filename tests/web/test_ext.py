"""The Sphinx extension in web/resnet_book: what {val} shows, the elements, the status tables and the execution key."""

import io
import json
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sphinx_application = pytest.importorskip("sphinx.application")

from resnet_book import bibliography, cache, elements, glue, mathjax, page, status  # noqa: E402
from resnet_lib import values, wording  # noqa: E402


@dataclass
class FakeRecord:
    variant: str
    seed: int
    rows: list
    live: bool = True
    recipe: dict = field(default_factory=lambda: {"steps": 176, "lr": 0.05})
    data: dict = field(default_factory=lambda: {"name": "digits", "n_train": 1437, "n_test": 360})
    segments: list = field(default_factory=lambda: [{"seconds": 9.0, "date": "2026-01-31", "device": "CPU"}])
    recipe_id: str = "0123456789abcdef"

    @property
    def final(self):
        return self.rows[-1]

    @property
    def step(self):
        return self.final["step"]

    @property
    def steps(self):
        return self.recipe["steps"]

    @property
    def finished(self):
        return self.step >= self.steps

    @property
    def progress(self):
        return "finished" if self.finished else f"stopped at step {self.step} of {self.steps}"


def rows(train_error, **more):
    return [{"step": 0, "train_error": 0.9}, {"step": 176, "train_error": train_error, **more}]


PUBLISHED = {"paper": {"source": "A paper, Table 6", "values": {"residual-20": {"test_error": 0.0875}}}}


def experiments(records):
    tier = types.SimpleNamespace(variants={"plain-20": None, "plain-56": None, "plain-110": None})
    declared = {"degradation": types.SimpleNamespace(tiers={"quick": tier})}

    def find(name, tier, variant, unfinished=False):
        return [r for r in records if r.variant == variant and (r.finished or unfinished)]

    return types.SimpleNamespace(EXPERIMENTS=declared, find=find)


@pytest.fixture
def three_seeds():
    return experiments(
        [FakeRecord("plain-56", s, rows(e, loss=123.4)) for s, e in enumerate((0.53, 0.50, 0.45))]
        + [FakeRecord("plain-20", s, rows(e)) for s, e in enumerate((0.057, 0.057, 0.017))]
    )


@pytest.mark.parametrize(
    "expression, text",
    [
        ("degradation/quick/plain-56:train_error", "49.3 %"),
        ("degradation/quick/plain-56:train_error|std", "± 4.0"),
        ("degradation/quick/plain-56:train_error|seeds", "3"),
        ("degradation/quick/plain-56:train_error - plain-20:train_error", "45.0"),
        ("degradation/quick/plain-20:train_error - degradation/quick/plain-56:train_error", "−45.0"),
        ("degradation/quick/plain-56:train_error - published/paper/residual-20:test_error", "40.6"),
        ("degradation/quick/plain-56:step", "176"),
        ("degradation/quick/plain-56:steps", "176"),
        ("degradation/quick/plain-56:lr", "0.05"),
        ("degradation/quick/plain-56:loss", "123"),
        ("degradation/quick/plain-56:seconds", "27 s"),
        ("degradation/quick:seconds", "54 s"),
        ("degradation/quick:data", "scikit-learn’s digits"),
        ("degradation/quick:n_train", "1,437"),
        ("degradation/quick:date", "2026-01-31"),
        ("published/paper/residual-20:test_error", "8.75 %"),
    ],
)
def test_what_an_expression_shows(three_seeds, expression, text):
    assert values.resolve(expression, three_seeds, PUBLISHED).text.replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    "expression, names",
    [
        ("nonsense/quick/plain-56:train_error", ["unknown experiment", "degradation"]),
        ("degradation/slow/plain-56:train_error", ["unknown tier", "quick"]),
        ("degradation/quick/plain-21:train_error", ["unknown variant", "plain-20, plain-56"]),
        ("degradation/quick/plain-56:accuracy", ["unknown field", "train_error", "seconds"]),
        ("degradation/quick/plain-110:train_error", ["no valid record", "resnet_lib run degradation"]),
        ("degradation/quick/plain-56:train_error|max", ["unknown modifier", "std"]),
        ("degradation/quick:train_error", ["mixes variants"]),
        ("degradation/quick/plain-56", ["no :field"]),
        ("degradation/quick/plain-56:train_error - plain-20:step", ["different units"]),
        ("published/other/residual-20:test_error", ["unknown published source", "paper"]),
        ("published/paper/residual-21:test_error", ["unknown variant", "residual-20"]),
    ],
)
def test_what_cannot_be_shown_names_what_can(three_seeds, expression, names):
    with pytest.raises(values.ValueProblem) as problem:
        values.resolve(expression, three_seeds, PUBLISHED)
    for name in names:
        assert name in str(problem.value)


def test_a_live_record_stands_before_a_recorded_one_of_the_same_seed():
    found = experiments([FakeRecord("plain-20", 0, rows(0.1), live=True),
                         FakeRecord("plain-20", 0, rows(0.9), live=False)])
    shown = values.resolve("degradation/quick/plain-20:train_error", found, {})
    assert shown.text == "10.0\u00a0%"
    assert shown.origin.endswith("seed 0, live")


def test_values_that_are_no_numbers_are_refused():
    found = experiments([FakeRecord("plain-20", 0, rows(float("nan")))])
    with pytest.raises(values.ValueProblem, match="not a finite number"):
        values.resolve("degradation/quick/plain-20:train_error", found, {})
    with pytest.raises(values.ValueProblem, match="at least two seeds"):
        values.resolve("degradation/quick/plain-20:step|std", found, {})


def test_a_problem_of_the_store_becomes_a_problem_of_the_value():
    def find(*names, unfinished):
        raise ValueError("plain-20-s0.json: field 'rows' is missing")

    broken = types.SimpleNamespace(EXPERIMENTS=experiments([]).EXPERIMENTS, find=find)
    with pytest.raises(values.ValueProblem, match="'rows' is missing"):
        values.resolve("degradation/quick/plain-20:train_error", broken, {})


@pytest.fixture
def stopped():
    whole = FakeRecord("plain-20", 0, rows(0.05), live=False)
    part = FakeRecord("plain-56", 0, [{"step": 120, "train_error": 0.7}], live=False)
    return experiments([whole, part])


@pytest.mark.parametrize("field, text", [("step", "120"), ("steps", "176"), ("lr", "0.05"), ("seconds", "9 s"),
                                         ("data", "scikit-learn’s digits")])
def test_how_far_a_stopped_run_came_may_be_shown(stopped, field, text):
    shown = values.resolve(f"degradation/quick/plain-56:{field}", stopped, {})
    assert shown.text.replace("\u00a0", " ") == text
    assert shown.origin.endswith("seed 0, unfinished")


@pytest.mark.parametrize("expression", [
    "degradation/quick/plain-56:train_error", "degradation/quick/plain-56:train_error|std",
    "degradation/quick/plain-56:step|seeds", "degradation/quick/plain-56:seeds",
    "degradation/quick/plain-56:train_error - plain-20:train_error",
    "degradation/quick/plain-20:train_error - plain-56:train_error"])
def test_a_stopped_run_has_no_result(stopped, expression):
    with pytest.raises(values.ValueProblem, match="plain-56 has no finished run.*stopped at step 120 of 176.*--resume"):
        values.resolve(expression, stopped, {})


def test_a_stopped_run_stands_for_nothing_beside_finished_ones(stopped):
    both = experiments([FakeRecord("plain-56", 0, rows(0.5)),
                        FakeRecord("plain-56", 1, [{"step": 120, "train_error": 0.7}], live=False)])
    assert values.resolve("degradation/quick/plain-56:train_error", both, {}).text == "50.0\u00a0%"
    assert values.resolve("degradation/quick/plain-56:train_error|seeds", both, {}).text == "1"
    kinds = {row[0]: row[5] for row in status.record_rows(stopped)}
    assert kinds == {"degradation/quick/plain-20-s0": "recorded",
                     "degradation/quick/plain-56-s0": "unfinished, step 120 of 176"}


@pytest.mark.parametrize("seconds, text", [(53.6, "54 s"), (60, "1 min"), (174, "2 min 54 s"), (700, "12 min"),
                                           (3599, "1 h"), (4800, "1 h 20 min"), (7200, "2 h"), (12_240, "3 h 24 min")])
def test_durations(seconds, text):
    assert wording.duration(seconds).replace("\u00a0", " ") == text


@pytest.mark.parametrize("field", ["test_error", "train_error_eval", "validation_error", "test_error_mirrored"])
def test_every_kind_of_error_is_in_per_cent(field):
    assert wording.number(field, 0.667).replace("\u00a0", " ") == "66.7 %"
    assert wording.spread(field, 0.012).replace("\u00a0", " ") == "± 1.2"


@pytest.mark.parametrize("value, text", [(0.5, "0.5"), (64000, "64,000"), (-3.14159, "−3.14"),
                                         (1.5e-5, "1.5·10⁻⁵")])
def test_numbers(value, text):
    assert wording.number("loss", value) == text


def test_status_rows(three_seeds):
    found = status.record_rows(three_seeds)
    assert len(found) == 6
    assert found[0] == ("degradation/quick/plain-20-s0", "scikit-learn’s digits", "CPU", "2026-01-31",
                        "9\u00a0s", "live", "01234567")
    assert [name for name, _ in status.version_rows()][:2] == ["Python", "torch"]


def test_memory_is_the_most_of_an_experiment_by_device():
    def segments(device, host, gpu):
        return [{"seconds": 1.0, "date": "2026-01-31", "device": device, "peak_memory": {"host": host, "device": gpu}}]
    found = status.memory_rows(experiments([
        FakeRecord("plain-20", 0, rows(0.1), segments=segments("CPU", 10**9, None)),
        FakeRecord("plain-20", 1, rows(0.1), segments=segments("CPU", 3 * 10**9, None)),
        FakeRecord("plain-56", 0, rows(0.1), segments=segments("H200", 2 * 10**9, 10**8)),
        FakeRecord("plain-56", 1, rows(0.1))]))  # an older record, without it
    assert found == [("degradation", "quick", "CPU", "3.00 GB", "–"),
                     ("degradation", "quick", "H200", "2.00 GB", "0.10 GB")]


# --- the execution key


@pytest.fixture
def tree(tmp_path):
    for name in ("lib/__init__.py", "home/data/runs/a/quick/plain-20-s0.json", "home/data/MNIST/images"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    return tmp_path


@pytest.mark.parametrize(
    "name, matters",
    [
        ("lib/__init__.py", True),
        ("lib/new.mplstyle", True),
        ("home/data/runs/a/quick/plain-20-s0.json", True),
        ("home/data/MNIST/images", True),
        ("home/data/cifar/new", True),
        ("lib/__pycache__/x.pyc", False),
        ("home/data/README.md", False),
        ("home/data/MNIST/images.lock", False),
        ("home/_build/runs/a/quick/plain-20-s0.json", False),
    ],
)
def test_what_the_execution_key_sees(tree, name, matters):
    before = cache.execution_key(tree / "lib", tree / "home")
    assert cache.execution_key(tree / "lib", tree / "home") == before
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("another content")
    assert (cache.execution_key(tree / "lib", tree / "home") != before) is matters


@pytest.mark.parametrize("name, matters", [
    ("data/runs/a/quick/plain-20-s1.json", True),
    ("_build/runs/a/quick/plain-20-s0.json", True),
    ("_build/runs/queue.json", False),  # written all the time; that made all pages be written again
])
def test_which_files_count_as_runs(tree, name, matters):
    home = tree / "home"
    before = cache.run_files(home)
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text("{}")
    assert (cache.run_files(home) != before) is matters


# --- elements, MathJax, policy


def test_pages_with_full_size_runs_are_made_anew_and_without_a_time_limit(tree, monkeypatch):
    limits = []
    for tier in ("quick", "short"):
        monkeypatch.setenv("RESNET_LIB_TIER", tier)
        config = types.SimpleNamespace(nb_execution_timeout=600)
        cache.no_limit(None, config)
        limits.append((config.nb_execution_timeout, cache.execution_key(tree / "lib", tree / "home")))
    assert [limit for limit, _ in limits] == [600, -1] and limits[0][1] != limits[1][1]


def test_inline_json_cannot_end_its_tag():
    text = elements.inline_json({"a": "</script><!--"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--"}


def test_every_element_loads_the_shared_part_first():
    known = elements.scripts(ROOT)
    for name in elements.elements(ROOT):
        loaded = elements.with_parts(name, known)
        assert loaded[-1] == name and loaded[0] == "page" and len(set(loaded)) == len(loaded)
    assert "page" not in elements.elements(ROOT)


def test_parts_of_parts_come_first_and_an_unknown_part_is_an_error(tmp_path):
    for name, needs in (("a", ""), ("b", "needs: a"), ("an-element", "Words.\n   needs: b, a")):
        (tmp_path / f"{name}.js").write_text(f"/* {name}: {needs} */")
    known = {path.stem: path for path in tmp_path.glob("*.js")}
    assert elements.with_parts("an-element", known) == ["a", "b", "an-element"]
    (tmp_path / "a.js").write_text("/* needs: c */")
    with pytest.raises(KeyError):
        elements.with_parts("an-element", known)


def test_elements_are_found_as_tags_only():
    body = "<p>frame-player</p><curve-explorer data=1></curve-explorer><frame-players>"
    assert elements.used_elements(body, ["frame-player", "curve-explorer"]) == ["curve-explorer"]


def test_mathjax_is_the_part_that_pages_need():
    source = mathjax.source_folder()
    names = [n.as_posix() for n in mathjax.needed_files(source)]
    assert "tex-chtml.js" in names
    assert not [n for n in names if "sre" in n or "a11y" in n]
    assert sum((source / n).stat().st_size for n in names) < 3_000_000


def test_the_policy_names_no_host():
    assert "://" not in page.POLICY
    assert "default-src 'self'" in page.POLICY


# --- a small book, through Sphinx

CONFIG = """
import sys
sys.path.insert(0, {ext!r})
extensions = ["myst_parser", "sphinx_book_theme", "resnet_book"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_theme = "sphinx_book_theme"
html_title = "A book"
templates_path = []
"""
PAGE = """# Title

An error of {val}`degradation/quick/plain-56:train_error` and $x$.

:::{interactive} frame-player
:label: step
:data: curve.json

The *fall-back*.
:::
"""


class Book:
    """A folder with one page, built by Sphinx with a stand-in for the experiments."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        (folder / "web" / "elements").mkdir(parents=True)
        (folder / "web" / "elements" / "page.js").write_text("// part")
        (folder / "web" / "elements" / "frame-player.css").write_text("frame-player { color: red }")
        (folder / "web" / "elements" / "frame-player.js").write_text("/* player. needs: page */")
        (folder / "conf.py").write_text(CONFIG.format(ext=str(ROOT / "web")))
        (folder / "curve.json").write_text('{"y": [1, 2]}')
        (folder / "index.md").write_text(PAGE)
        monkeypatch.setenv("RESNET_LIB_HOME", str(folder / "home"))
        monkeypatch.setenv("RESNET_LIB_BOOK", "")

    def write(self, text):
        (self.folder / "index.md").write_text(text)

    def build(self, found):
        from sphinx.util.docutils import docutils_namespace

        self.monkeypatch.setitem(sys.modules, "resnet_lib.experiments", found)
        warnings = io.StringIO()
        with docutils_namespace():
            app = sphinx_application.Sphinx(
                self.folder, self.folder, self.folder / "_build/html", self.folder / "_build/.doctrees",
                "html", confoverrides={}, status=None, warning=warnings)
            app.build()
        return (self.folder / "_build/html/index.html").read_text(encoding="utf-8"), warnings.getvalue()


@pytest.fixture
def book(tmp_path, monkeypatch):
    return Book(tmp_path, monkeypatch)


def test_a_page_shows_value_element_data_and_policy(book, three_seeds):
    html, warnings = book.build(three_seeds)
    assert warnings == ""
    assert '>49.3\u00a0%</span>' in html
    assert "seeds 0, 1, 2, live" in html
    assert '<frame-player label="step">' in html
    assert "<em>fall-back</em>" in html
    assert '<script type="application/json">{"y":[1,2]}</script>' in html
    assert 'defer="defer" src="_static/interactive/frame-player.js' in html
    assert 'href="_static/interactive/frame-player.css' in html
    assert html.index("_static/interactive/page.js") < html.index("_static/interactive/frame-player.js")
    assert html.index("Content-Security-Policy") < html.index("<script")
    assert 'src="_static/mathjax/tex-chtml.js' in html
    assert "interactive/frame-player" not in (book.folder / "_build/html/search.html").read_text()


def test_an_unknown_value_warns_with_file_and_line_and_again_in_the_next_build(book, three_seeds):
    book.write("# Title\n\nText.\n\nAn error of {val}`degradation/quick/plain-57:train_error`.\n")
    for _ in range(2):
        html, warnings = book.build(three_seeds)
        assert "index.md:5: WARNING" in warnings
        assert "known: plain-20, plain-56" in warnings
        assert "??" in html


def test_a_page_is_written_again_when_a_run_has_changed(book, three_seeds):
    run = book.folder / "home/_build/runs/degradation/quick/plain-56-s0.json"
    run.parent.mkdir(parents=True)
    run.write_text("{}")
    book.build(three_seeds)
    other = experiments([FakeRecord("plain-56", 0, rows(0.111))])
    html, _ = book.build(other)
    assert "49.3" in html, "nothing on disk has changed, so the page stays"
    run.write_text('{"changed": true}')
    html, _ = book.build(other)
    assert "11.1" in html


def test_a_changed_script_reaches_the_site_though_no_page_has_changed(book, three_seeds):
    before, _ = book.build(three_seeds)
    (book.folder / "web" / "elements" / "frame-player.js").write_text("// another player")
    after, _ = book.build(three_seeds)
    copied = book.folder / "_build/html/_static/interactive/frame-player.js"
    assert copied.read_text() == "// another player"
    assert before != after, "the address of the script carries its checksum"


def test_an_unknown_element_names_those_there_are(book, three_seeds):
    book.write("# Title\n\n:::{interactive} no-such-thing\n:::\n")
    _, warnings = book.build(three_seeds)
    assert "no-such-thing" in warnings and "known: frame-player" in warnings


def test_an_attribute_that_runs_code_is_refused(book, three_seeds):
    book.write("# Title\n\n:::{interactive} frame-player\n:onclick: alert(1)\n:::\n")
    html, warnings = book.build(three_seeds)
    assert "cannot be an attribute" in warnings
    assert "alert" not in html.split("system-message")[0]


# --- formulas and what touches them; the bibliography


@pytest.mark.parametrize("before, behind, text", [
    ("of ", ", and", "of |x,| and"), ("(", ") is", "|(x)| is"), ("a (see ", ").", "a (see |x).|"), ("", "’s", "|x’s|"),
    ("of ", " and", "of x and"), ("so ", "-th one", "so |x-|th one"), (None, None, "x")])
def test_punctuation_stays_with_its_formula(before, behind, text):
    from docutils import nodes

    math = nodes.math("x", "x")
    paragraph = nodes.paragraph("", "", *([nodes.Text(before)] if before else []), math,
                                *([nodes.Text(behind)] if behind else []))
    glue.glue(math)
    said = "".join(f"|{child.astext()}|" if "rn-glue" in getattr(child, "attributes", {}).get("classes", ()) else
                   child.astext() for child in paragraph.children)
    assert said == text and paragraph.astext() == f"{before or ''}x{behind or ''}"


@pytest.mark.slow
def test_the_bibliography_has_the_labels_of_the_chapters_and_titles_as_written():
    from pybtex.database import parse_file
    from pybtex.plugin import find_plugin

    bibliography.setup(None)
    entries = parse_file(ROOT / "pages" / "references.bib").entries.values()
    found = list(find_plugin("pybtex.style.formatting", "resnet")().format_entries(entries))
    labels = [entry.label for entry in found]
    assert len(set(labels)) == len(labels)  # else give the years letters
    assert {"He et al., 2015a", "He et al., 2015b", "De and Smith, 2020", "Krizhevsky, 2009"} <= set(labels)
    texts = " ".join(entry.text.render(find_plugin("pybtex.backends", "text")()) for entry in found)
    assert "Deep Residual Learning for Image Recognition" in texts and "\\" not in texts


def repaired(name, body):
    from resnet_book.page import repair_body

    context = {"body": body}
    repair_body(None, name, "", context, None)
    return context["body"]


def test_apostrophes_of_what_cells_give_out_are_printed_ones():
    kept = "<pre>d2l's</pre><code>a['b']</code><p title=\"d2l's\">"
    found = repaired("chapters/mnist", kept + "d2l's, he&#x27;s &#39;quoted&#39;")
    assert found == kept + "d2l’s, he’s &#39;quoted&#39;"


def test_no_line_ends_between_a_number_and_its_unit_or_within_a_name():
    kept = ('<pre>80 %\n± 3</pre><script type="application/json">"5 % · plain-6"</script><code>plain-20 · 3 s</code>'
            '<svg><text>plain-20, 3 %</text></svg><span class="math notranslate">\\(ab-1 = 3 %\\)</span>'
            '<div class="math notranslate" id="e"><span>(1)</span>\\[ab-1\\]</div>')
    body = '<p title="80 % of ResNet-18 · 4">below 80\n%, 6.61 ± 0.16 % · seed 1 (k = 12, a and b) of ResNet-18, 3 sets'
    assert repaired("chapters/mnist", body + kept) == (
        '<p title="80 % of ResNet-18 · 4">below 80\xa0%, 6.61 ±\xa00.16\xa0%\xa0· seed\xa01 (k\xa0=\xa012, a and b) of '
        '<span class="rn-whole">ResNet-18</span>, 3 sets') + kept


def test_chinese_terms_of_the_glossary_name_their_language():
    text = '<dt id="块"><a title="块">block</a></dt><dd>块. Of 混合精度 and x &lt; 块</dd>'
    assert repaired("chapters/mnist", text) == text
    assert repaired("pages/glossary", text) == (
        '<dt id="块"><a title="块">block</a></dt><dd><span lang="zh-Hans">块</span>. Of <span lang="zh-Hans">混合精度'
        '</span> and x &lt; <span lang="zh-Hans">块</span></dd>')
