"""Published numbers: each stands once, in published.json, with its source, and nowhere in a chapter's own text."""

from collections import defaultdict
from pathlib import Path
import json
import re

import pytest

from resnet_lib import plots

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.md"))


def test_numbers_have_sources():
    for key, entry in plots.published().items():
        assert entry["source"] and entry["note"] and entry["values"], key
        if "arXiv" in entry["source"]:
            assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}", entry["url"]), key
            assert entry["url"].rpartition("/")[2] in entry["source"], key
        else:  # a book, or code that no paper describes
            assert entry["url"] == "" or entry["url"].startswith("https://"), key


def test_a_key_stands_once():
    """JSON keeps the last of two equal keys and says nothing."""
    def once(pairs):
        names = [k for k, _ in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    json.loads((ROOT / "resnet_lib" / "published.json").read_text(encoding="utf-8"), object_pairs_hook=once)


def test_no_number_of_one_paper_is_kept_twice():
    seen = defaultdict(list)
    for key, entry in plots.published().items():
        for variant, values in entry["values"].items():
            for field, value in values.items():
                seen[entry["source"], variant, field].append((key, value))
    # the best of five runs, and the mean of these five, are two numbers of one table
    twice = {k: v for k, v in seen.items() if len(v) > 1 and len({x for _, x in v}) != len(v)}
    assert not twice


def as_written(value: float) -> list[str]:
    """How an error from a paper would be typed by hand: 6.97 %, 0.0697 or an accuracy of 93.03 %."""
    return [f"{100 * value:.2f}".rstrip("0"), f"{100 * (1 - value):.2f}".rstrip("0")]


def typed_in(number: str, text: str) -> bool:
    return re.search(rf"(?<![\d.]){re.escape(number)}\s?(%|±|per cent)", text) is not None


def test_a_typed_number_would_be_found():
    assert typed_in("6.61", "their mean was 6.61 ± 0.16 %") and typed_in("6.97", "ends at 6.97 %.")
    assert not typed_in("6.97", "16.97 %") and not typed_in("6.97", "6.975 %")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapters_take_published_errors_from_the_file(path):
    """No error of two decimals that is published is typed into a chapter, neither as text nor into a cell.

    Errors with fewer digits would match by chance.
    """
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\{given\}`[^`]*`", "", text)
    typed = []
    for key, entry in plots.published().items():
        for variant, values in entry["values"].items():
            for field, value in values.items():
                if not field.endswith("error") or len(f"{100 * value:.4g}".partition(".")[2]) < 2:
                    continue
                typed += [(key, variant, w) for w in as_written(value) if typed_in(w, text)]
    assert not typed
