"""Numbers in words, and tables as a Markdown parser reads them."""

from statistics import mean, stdev
import subprocess
import sys

from IPython.core.formatters import DisplayFormatter
from markdown_it import MarkdownIt
import pytest

from resnet_lib.wording import (NBSP, Text, above_or_below, mean_range, mean_spread, number, percent,
                                points, power, table)


def parsed(text):
    """(rows of cells as text, alignment of the columns, paragraphs outside the table)."""
    rows, styles, paragraphs, inside = [], [], [], False
    for token in MarkdownIt("commonmark").enable("table").parse(str(text)):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "th_open":
            styles.append((token.attrs or {}).get("style", "").removeprefix("text-align:"))
        elif token.type == "inline":
            words = "".join(child.content for child in token.children)
            rows[-1].append(words) if inside else paragraphs.append(words)
    return rows, styles, paragraphs


def test_a_table_parses_to_its_cells():
    made = table(["net", "errors", "parameters"], [["plain-20", "52.9 %", 272_474], ["*residual*", "", -4800]],
                 note="Means over three seeds.\n\nLast step.")
    assert parsed(made) == (
        [["net", "errors", "parameters"], ["plain-20", "52.9 %", "272,474"], ["residual", "", "−4,800"]],
        ["left", "right", "right"], ["Means over three seeds.", "Last step."])


def test_pipes_and_line_breaks_stay_inside_their_cell():
    made = table(["a | b", "|x|"], [["`p|q`", r"already \| so"], ["two\nlines", "‖W‖"]])
    assert parsed(made)[0] == [["a | b", "|x|"], ["p|q", "already | so"], ["two lines", "‖W‖"]]


@pytest.mark.parametrize("align, styles", [("lr", ["left", "right", "right", "right"]), ("r", ["right"] * 4),
                                           ("lcrl", ["left", "center", "right", "left"])])
def test_the_last_letter_of_align_holds_for_the_rest(align, styles):
    assert parsed(table("abcd", [range(4)], align))[1] == styles


def test_numbers_in_cells_have_a_true_minus_and_names_and_dates_keep_their_hyphens():
    row = table(["a"], [["-8.9 (-0.5 to 3), plain-20, 2026-11-29, 1e-5, `x[-1]`"], ["-8.9, plain-20, 2026-11-29"]])
    assert row.splitlines()[2:] == ["| -8.9 (-0.5 to 3), plain-20, 2026-11-29, 1e-5, `x[-1]` |",
                                    "| −8.9, plain-20, 2026-11-29 |"]


def test_a_cell_shows_a_table_as_markdown_also_with_text_around_it():
    for shown in (table(["a"], [[1]]), "Before:\n\n" + table(["a"], [[1]]) + "\n\nAfter."):
        assert type(shown) is Text
        assert DisplayFormatter().format(shown)[0]["text/markdown"] == str(shown)
    assert parsed("Before:\n\n" + table(["a"], [[1]]) + "\n\nAfter.")[2] == ["Before:", "After."]


@pytest.mark.parametrize("head, rows, align, said", [
    ([], [], "lr", "needs a head"), (["net", " "], [], "lr", "a title for each column"),
    (["a", "b"], [["1", "2"], ["1"]], "lr", "row 2 of the table has 1 cells and its head 2"),
    (["a"], [["1", "2"]], "lr", "row 1 of the table has 2 cells"), (["a"], [], "x", "l, c, r, got 'x'"),
    (["a"], [], "", "l, c, r, got ''")])
def test_what_is_no_table_is_refused(head, rows, align, said):
    with pytest.raises(ValueError, match=said):
        table(head, rows, align)


def test_fractions_in_words():
    assert percent(0.529) == number("test_error", 0.529) == f"52.9{NBSP}%"
    assert percent(0.5, 0) == f"50{NBSP}%" and percent(-0.5) == f"−50.0{NBSP}%"
    assert number("test_error", 0.087, digits=2) == f"8.7{NBSP}%" and percent(0.087, 2) == f"8.70{NBSP}%"
    assert (points(0.0314), points(-0.0314, 2)) == ("+3.1 points", "−3.14 points")
    assert (above_or_below(0.0314), above_or_below(-0.0314, 0)) == ("3.1 points above", "3 points below")
    assert above_or_below(-0.01, words=("more", "less")) == "1.0 points less"


def test_powers_of_ten():
    assert [power(3.2e-15), power(-1e12, 1), power(1.02, 1)] == ["3·10⁻¹⁵", "−1.0·10¹²", "1.0"]


def test_means_over_seeds():
    errors = [0.52, 0.50, 0.57]
    assert mean_spread(errors) == f"{100 * mean(errors):.1f} ±{NBSP}{100 * stdev(errors):.1f}{NBSP}%"
    assert mean_spread([0.5], 2) == f"50.00{NBSP}%"
    assert mean_range(errors, 0) == f"53{NBSP}% (50 to 57)"
    for words in (mean_spread, mean_range):
        with pytest.raises(ValueError, match="at least one value"):
            words([])


def test_nothing_heavy_is_imported():
    code = "import sys, resnet_lib.wording; print({'torch', 'matplotlib', 'numpy', 'IPython'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
