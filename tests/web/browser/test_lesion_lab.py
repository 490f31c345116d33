"""The lesion lab: every combination is looked up where tools/lesions.py put it, and how the element behaves."""

from itertools import combinations
import json

import pytest

import site_browser
from resnet_book.elements import inline_json
from resnet_lib.lab import lesions

from .conftest import ROOT, element_head, is_accessible_and_fits_a_phone, without_scripts, write

pytestmark = pytest.mark.browser


def held() -> dict:
    return json.loads((ROOT / "data" / "lesions" / "clothes.json").read_text(encoding="utf-8"))


BODY = f'<lesion-lab><script type="application/json">{inline_json(held())}</script><p>Without scripts.</p></lesion-lab>'
PAGE = {"body": BODY, "head": element_head("lesion-lab")}
ALL = [gone for n in range(10) for gone in combinations(range(1, 10), n)]


@pytest.fixture
def page(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html") as watched:
        yield watched.page
        assert watched.errors == []


def block(page, number):
    return page.get_by_role("button", name=f"block {number},")


def verdict(page):
    return page.locator(".rn-lab-verdict").inner_text()


def shown(number):
    """One decimal place, ties up."""
    return f"{number + 1e-9:.1f}"


def points(kind, *gone):
    """What the verdict must say that a lesion costs."""
    lab = held()
    lost = 100 * (lesions.right(lab, kind) - lesions.right(lab, kind, gone))
    if abs(lost) < 0.05:
        return "loses nothing"
    return f"{'gains' if lost < 0 else 'loses'} {shown(abs(lost))} points"


def test_every_combination_is_found_where_it_was_put(page):
    found = page.evaluate("""all => { const { nets } = document.querySelector("lesion-lab").data;
        return Object.fromEntries(Object.entries(nets).map(([kind, net]) => [kind, all.map((gone) => {
            const r = LesionLab.result(net, { off: new Set(gone.map((n) => n - 1)) });
            return r && [r.total, r.again, r.answers]; })])); }""", ALL)
    lab = held()
    assert len(ALL) == 512 and [k for k, v in found.items() if None not in v] == ["residual"]
    for kind, net in lab["nets"].items():
        possible = [gone for gone in ALL if all(n - 1 in net["free"] for n in gone)]
        assert len(possible) == {"residual": 512, "plain": 128}[kind]
        for gone, ours in zip(ALL, found[kind], strict=True):
            if gone not in possible:
                assert ours is None
                continue
            at = sum(2 ** net["free"].index(n - 1) for n in gone)
            assert ours == [round(lab["n"] * lesions.right(lab, kind, gone)), net["again"][at],
                            net["answers"][10 * at:10 * at + 10]]
            assert ours[1] == round(lab["n"] * lesions.right(lab, kind, gone, again=True))


def test_the_chart_draws_every_combination_once(page):
    drawn = page.evaluate("""() => ["residual", "plain"].map((kind) =>
        document.querySelector(`path.rn-lesion-dots.rn-lesion-${kind}`).getAttribute("d").match(/M/g).length)""")
    assert drawn == [512, 128]
    inside = page.evaluate("""() => { const svg = document.querySelector("path.rn-lesion-dots").ownerSVGElement;
        const width = svg.viewBox.baseVal.width;
        return [...svg.querySelectorAll("path.rn-lesion-dots")].flatMap((path) =>
            path.getAttribute("d").match(/M[-0-9.]+/g).map((m) => Number(m.slice(1))))
            .every((x) => x >= 0 && x + 7 <= width); }""")
    assert inside
    counts = page.evaluate("""() => { const { nets } = document.querySelector("lesion-lab").data;
        return ["residual", "plain"].map((kind) => LesionLab.byCount(nets[kind]).map((g) => g.length)); }""")
    assert counts == [[1, 9, 36, 84, 126, 126, 84, 36, 9, 1], [1, 7, 21, 35, 35, 21, 7, 1]]


def test_it_begins_whole(page):
    lab = held()
    assert "Both nets are whole" in verdict(page) and page.get_by_text("Without scripts.").count() == 0
    for kind in ("residual", "plain"):
        assert f"{shown(100 * lesions.right(lab, kind))} %" in verdict(page)
    assert page.locator("canvas.rn-lesion-picture").count() == 10
    assert page.get_by_role("button", name="Reset").get_attribute("aria-disabled") == "true"


def test_taking_blocks_out_by_click_and_by_key(page):
    block(page, 2).click()
    assert verdict(page) == (f"Without block 2 the residual net {points('residual', 2)}, the plain net "
                             f"{points('plain', 2)}.")
    block(page, 9).focus()
    page.keyboard.press("Enter")
    assert block(page, 9).get_attribute("aria-pressed") == "false"
    assert verdict(page) == (f"Without blocks 2 and 9 the residual net {points('residual', 2, 9)}, the plain net "
                             f"{points('plain', 2, 9)}.")
    block(page, 2).click()
    block(page, 9).click()
    assert "Both nets are whole" in verdict(page) and "#" not in page.url


def test_a_block_that_changes_the_shape_stays_in_the_plain_net(page):
    block(page, 7).click()
    assert verdict(page) == (f"Without block 7 the residual net {points('residual', 7)}. The plain net cannot be run: "
                             "block 7 changes the shape of the signal, and nothing leads around.")
    assert "no such net" in page.locator(".rn-lesion-rows").inner_text()
    assert page.locator("circle.rn-lesion-plain").count() == 0


def test_pictures_and_classes_follow(page):
    lab = held()
    block(page, 1).click()
    page.locator("summary", has_text="Data table").click()
    at, net = 1, lab["nets"]["residual"]
    row = page.locator("lesion-lab tbody tr").first.inner_text().split("\t")
    now, whole = (100 * net["correct"][10 * k] / lab["of_class"][0] for k in (at, 0))
    assert row[:2] == ["T-shirt/top", f"{shown(now)} ({shown(whole)})"]
    said = page.locator(".rn-lesion-class").first.locator(".rn-lesion-said").first.inner_text()
    answer = int(net["answers"][10 * at])
    assert said == ("✓" if answer == 0 else f"✗ {lab['classes'][answer]}")


def test_blocks_change_places(page):
    lab = held()
    page.locator("summary", has_text="More").click()
    page.get_by_label("Exchange").select_option(label="blocks 8 and 9")
    assert verdict(page).startswith("With blocks 8 and 9 exchanged the residual net ") and "lesion1=swap8.9" in page.url
    for kind in ("residual", "plain"):
        assert f"{shown(100 * lesions.exchanged(lab, kind, (8, 9)))} %" in page.locator(".rn-lesion-rows").inner_text()
    page.reload()
    assert verdict(page).startswith("With blocks 8 and 9 exchanged")
    block(page, 3).click()  # a lesion is one of the nets as they were
    assert verdict(page).startswith("Without block 3 ")


def test_the_address_keeps_the_lesion(page):
    for number in (5, 2):
        block(page, number).click()
    address, said = page.url, verdict(page)
    assert "lesion1=2.5" in address
    page.reload()
    assert verdict(page) == said
    page.get_by_role("button", name="Reset").click()
    assert "#" not in page.url and "whole" in verdict(page)
    for nonsense in ("10", "0", "2.5.x", "swap1.9", "-1", "1e9"):
        page.goto(address.split("#")[0] + "#lesion1=" + nonsense)
        page.reload()
        assert "does not exist here" in page.locator("lesion-lab").inner_text(), nonsense
        assert "whole" in verdict(page)


def test_it_is_accessible_and_fits_a_phone(faults):
    is_accessible_and_fits_a_phone(faults, PAGE)


def test_without_scripts_its_content_shows(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with without_scripts(chromium, tmp_path) as page:
        assert page.locator("lesion-lab").inner_text() == "Without scripts."
