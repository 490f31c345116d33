"""<predict-curve>: drag, keyboard, sliders, reveal, what it says, reset, and without JavaScript."""

import json

import numpy as np
import pytest

import site_checks
from resnet_lib.widgets import predict, table

from .conftest import element_head, without_scripts, write

pytestmark = pytest.mark.browser


def curve(name, mean):
    mean = np.array(mean)
    return {"name": name, "mean": mean.tolist(), "low": (mean - 0.02).tolist(), "high": (mean + 0.02).tolist(),
            "runs": [(mean - 0.02).tolist(), (mean + 0.02).tolist()]}


DATA = {"y": "training error", "steps": [24, 48, 72, 96, 120, 144, 168, 192], "handles": [0, 1, 3, 5, 7], "chance": 0.9,
        "shown": curve("plain-20", [0.88, 0.85, 0.79, 0.78, 0.75, 0.73, 0.72, 0.71]),
        "hidden": curve("plain-56", [0.9, 0.89, 0.87, 0.87, 0.868, 0.86, 0.86, 0.86])}
START = [0.88, 0.85, 0.78, 0.73, 0.71]
BODY = (f'<predict-curve><script type="application/json">{json.dumps(DATA)}</script>'
        '<p class="rn-predict-still">On paper.</p><details class="rn-data"><summary>Measured</summary>'
        + table("Errors", ["step", "plain-56"], [["24", "90 %"]]) + "</details></predict-curve>")


@pytest.fixture
def folder(tmp_path):
    """The element on a page with the book's own style, as a file."""
    write(tmp_path, BODY, head=element_head("predict-curve"))
    return tmp_path


def handles(page):
    return page.locator("predict-curve [role=slider]")


def values(page):
    return [int(h.get_attribute("aria-valuenow")) for h in handles(page).all()]


def said(page):
    return page.locator("[role=status]").inner_text()


def test_before_any_touch_the_bet_lies_on_the_shown_curve_and_the_other_is_hidden(page):
    assert values(page) == [88, 85, 78, 73, 71]
    assert handles(page).nth(2).get_attribute("aria-valuetext") == "step 96: 78 %"
    assert page.locator("path.rn-mean.rn-shown").count() == 1
    assert page.locator("path.rn-mean.rn-hidden").count() == 0 and said(page) == ""
    assert not page.get_by_text("On paper.").is_visible() and not page.locator("table").is_visible()
    assert page.get_by_role("button", name="Try again").get_attribute("aria-disabled") == "true"


def test_a_handle_follows_the_mouse_and_only_that_one(page):
    box = handles(page).nth(2).locator(".rn-dot").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    chart = page.locator("svg.rn-predict-chart").bounding_box()
    grid = [line.bounding_box()["y"] for line in page.locator("line.rn-grid, line.rn-axis").all()[:5]]
    fall = max(grid) - min(grid)  # pixels from 100 % to 0 %
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3, y + 0.2 * fall, steps=4)
    assert "58 %" in page.locator(".rn-bubble").text_content()
    page.mouse.up()
    page.mouse.move(x, y)
    assert values(page) == [88, 85, 58, 73, 71]
    page.mouse.move(x, y + 0.2 * fall)
    page.mouse.down()
    page.mouse.move(x, chart["y"] + chart["height"] + 500)
    page.mouse.up()
    assert values(page)[2] == 0


def test_a_finger_moves_a_handle_without_scrolling_the_page(page):
    assert handles(page).first.evaluate("(h) => getComputedStyle(h).touchAction") == "none"
    size = handles(page).first.locator(".rn-target").bounding_box()
    assert size["width"] >= 40 and size["height"] >= 40


def test_the_keyboard_moves_handles(page):
    handle = handles(page).nth(1)
    for key, value in (("ArrowUp", 86), ("ArrowDown", 85), ("PageDown", 75), ("ArrowRight", 76), ("ArrowLeft", 75),
                       ("End", 100), ("ArrowUp", 100), ("Home", 0), ("PageUp", 10)):
        handle.press(key)
        assert values(page)[1] == value, key
    assert handle.get_attribute("aria-valuetext") == "step 48: 10 %"
    handle.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "guess for plain-56, step 96"


def test_native_sliders_in_a_fold_do_the_same(page):
    page.get_by_text("Set the bet with sliders").click()
    slider = page.get_by_role("slider", name="step 96", exact=True)
    slider.press("Home")
    slider.press("ArrowRight")
    assert values(page) == [88, 85, 1, 73, 71] and slider.get_attribute("aria-valuetext") == "step 96: 1 %"


@pytest.mark.parametrize("bet, fragment", [
    ([0.6, 0.5, 0.4, 0.3, 0.2], "mostly too low: plain-56 made more errors than that"),
    ([1.0, 1.0, 1.0, 1.0, 1.0], "mostly too high: plain-56 made fewer errors than that"),
    ([1.0, 1.0, 0.9, 0.7, 0.7], "too low at some steps and too high at others"),
    ([0.9, 0.89, 0.87, 0.86, 0.86], "within a point"),
    (None, "You left the bet on plain-20: no difference."),
])
def test_the_sentence_is_the_one_that_python_says(page, bet, fragment):
    if bet:
        for k, value in enumerate(bet):
            handle = handles(page).nth(k)
            handle.press("Home")
            for key, times in (("PageUp", int(100 * value + 0.5) // 10), ("ArrowUp", int(100 * value + 0.5) % 10)):
                for _ in range(times):
                    handle.press(key)
    page.get_by_role("button", name="Reveal").press("Enter")
    points, signed = predict.miss(DATA, bet or START)
    assert f"{points:.1f} points" in said(page) and fragment in said(page)
    assert points <= 1 or predict.sentence(points, signed).rstrip(".") in said(page)


def test_reveal_draws_what_was_measured_and_try_again_takes_it_away(page):
    handles(page).nth(4).press("PageDown")
    page.get_by_role("button", name="Reveal").click()
    assert page.locator("path.rn-mean.rn-hidden").count() == 1 and page.locator("path.rn-seed.rn-hidden").count() == 2
    assert page.locator("path.rn-band.rn-hidden").count() == 1 and page.locator(".rn-misses line").count() == 8
    before = said(page)
    handles(page).nth(4).press("PageDown")  # a revealed bet stands
    page.get_by_role("button", name="Reveal").press("Enter")
    assert values(page)[4] == 61 and said(page) == before
    assert handles(page).nth(4).get_attribute("aria-disabled") == "true"
    page.get_by_role("button", name="Try again").click()
    assert values(page) == [88, 85, 78, 73, 71] and said(page) == ""
    assert page.locator("path.rn-mean.rn-hidden").count() == 0 and page.locator(".rn-misses line").count() == 0
    handles(page).nth(4).press("PageDown")
    assert values(page)[4] == 61


def test_the_measured_line_ends_where_the_number_says(page):
    page.get_by_role("button", name="Reveal").click()
    ends = page.evaluate("""() => {
        const d = document.querySelector("path.rn-mean.rn-hidden").getAttribute("d");
        const y = (k) => Number(document.querySelectorAll("line.rn-grid, line.rn-axis")[k].getAttribute("y1"));
        return [Number(d.split("L").pop().split(" ")[1]), y(0), y(4)];
    }""")
    y, zero, one = ends
    assert (zero - y) / (zero - one) == pytest.approx(0.86, abs=0.002)


def test_it_is_accessible_and_fits_before_and_after(page):
    for _ in range(2):
        assert site_checks.axe_faults(page) == [] and site_checks.scroll_faults(page) == []
        page.get_by_role("button", name="Reveal").press("Enter")
        for summary in page.locator("summary").all():
            summary.click()


def test_words_stay_inside_and_apart(page):
    """At the right end: names inside the window, no two on top of each other, whatever the bet."""
    for key in ("Home", "End"):
        handles(page).nth(4).press(key)
        page.get_by_role("button", name="Reveal").click()
        boxes = sorted((t.bounding_box() for t in page.locator("text.rn-label").all()), key=lambda b: b["y"])
        assert all(b["x"] + b["width"] <= page.viewport_size["width"] for b in boxes) and len(boxes) == 4
        assert all(b["y"] - a["y"] >= 14 for a, b in zip(boxes, boxes[1:], strict=False))
        chart = page.locator("text.rn-label").first.evaluate("(t) => t.ownerSVGElement.getBoundingClientRect().top")
        assert boxes[0]["y"] > chart  # none was left at the origin
        page.get_by_role("button", name="Try again").click()


def test_reduced_motion_is_honored(page):
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Reveal").click()
    assert page.locator(".rn-predict-new").evaluate("(g) => getComputedStyle(g).animationName") == "none"


def test_without_javascript_the_outcome_is_folded_and_reachable(chromium, folder):
    with without_scripts(chromium, folder) as page:
        assert page.get_by_text("On paper.").is_visible() and not page.locator("table").is_visible()
        page.get_by_text("Measured").click()
        assert page.locator("table").is_visible()
