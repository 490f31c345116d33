"""The digit lab: logits against PyTorch's, the placing of a drawing against MNIST's rules, and how it behaves."""

import numpy as np
import pytest
import torch

import site_browser
from resnet_book.elements import inline_json
from resnet_lib import data
from digit_oracle import cases, expected, held

from .conftest import element_head, is_accessible_and_fits_a_phone, without_scripts, write

pytestmark = pytest.mark.browser
BODY = f'<digit-lab><script type="application/json">{inline_json(held())}</script><p>Without scripts.</p></digit-lab>'
PAGE = {"body": BODY, "head": element_head("digit-lab")}
SIDE = 56


@pytest.fixture
def page(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html") as watched:
        yield watched.page
        assert watched.errors == []


def place(page, ink):
    """DigitNet.place of an array (side, side) in [0, 1]."""
    return np.array(page.evaluate("([ink, side]) => [...DigitNet.place(Float32Array.from(ink), side)]",
                                  [ink.ravel().tolist(), len(ink)])).reshape(28, 28)


def verdict(page):
    page.wait_for_function("document.querySelector('digit-lab').waiting !== 1")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator(".rn-lab-verdict").inner_text()


def block(page, number):
    return page.get_by_role("button", name=f"block {number},")


def test_logits_in_the_browser_are_those_of_pytorch(page):
    found = page.evaluate("""cases => { const net = document.querySelector("digit-lab").net; return cases.map(
        ([pixels, off]) => DigitNet.logits(net, Float32Array.from(pixels), (k) => off.includes(k))); }""", cases())
    assert (torch.tensor(found) - expected()).abs().max() < 1e-3


def test_probabilities_are_the_softmax_of_the_logits(page):
    found = page.evaluate("DigitNet.softmax([3, -2, 800, 799, 0])")
    assert found == pytest.approx(torch.tensor([3., -2, 800, 799, 0]).double().softmax(0).tolist(), abs=1e-9)


def test_a_drawing_is_placed_as_mnist_was(page):
    """Into 20 × 20 pixels with its proportions, ink kept per area, center of mass in pixel 14 of 0 to 27."""
    rng = np.random.default_rng(0)
    for height, width in ((40, 16), (12, 30), (33, 33), (5, 5), (56, 56), (2, 50)):
        ink = np.zeros((SIDE, SIDE))
        top, left = rng.integers(0, SIDE - height + 1), rng.integers(0, SIDE - width + 1)
        ink[top:top + height, left:left + width] = 0.2 + 0.8 * rng.random((height, width))
        found = place(page, ink)
        rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
        scale = 20 / max(height, width)
        h, w = max(1, round(height * scale)), max(1, round(width * scale))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (h, w)
        assert found.sum() == pytest.approx(ink.sum() * (h / height) * (w / width), rel=1e-4)
        for axis in (0, 1):
            middle = (found.sum(1 - axis) * np.arange(28)).sum() / found.sum()
            assert abs(middle - 14) <= 0.5 + 1e-6


def test_shrinking_is_the_mean_of_what_a_pixel_covers(page):
    ink = np.random.default_rng(1).random((40, 40)) * 0.8 + 0.2
    found = place(page, ink)
    small = ink.reshape(20, 2, 20, 2).mean((1, 3))
    rows = np.flatnonzero(found.any(1))[0], np.flatnonzero(found.any(0))[0]
    assert np.allclose(found[rows[0]:rows[0] + 20, rows[1]:rows[1] + 20], small, atol=1e-6)


@pytest.mark.skipif(not data.available("mnist"), reason="MNIST is not in data/")
def test_mnist_itself_stays_where_it_is(page):
    """Enlarged onto the board and placed again, its pictures come back, and the net names them."""
    images = data.load("mnist")
    before, after = images.test_x[:60, 0].numpy() / 255, []
    for picture in before:
        after.append(place(page, np.kron(picture, np.ones((2, 2)))))
    assert np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(before, after, strict=True)]) > 0.98
    said = page.evaluate("""all => { const net = document.querySelector("digit-lab").net; return all.map((pixels) => {
        const l = DigitNet.logits(net, Float32Array.from(pixels)); return l.indexOf(Math.max(...l)); }); }""",
                         [picture.ravel().tolist() for picture in after])
    assert (np.array(said) == images.test_y[:60].numpy()).sum() >= 57


def test_it_begins_with_a_sample_that_it_names(page):
    assert "The net says 3" in verdict(page) and page.locator("select").input_value() == "3"
    assert page.get_by_text("Without scripts.").count() == 0
    page.locator("summary", has_text="Data table").click()
    rows = [r.split("\t") for r in page.locator("digit-lab tbody tr").all_inner_texts()]
    assert len(rows) == 10 and sum(float(r[1].rstrip(" %")) for r in rows) == pytest.approx(100, abs=0.6)


def test_drawing_with_the_mouse(page):
    page.get_by_role("button", name="Clear").click()
    assert "empty" in verdict(page)
    box = page.locator(".rn-digit-board").bounding_box()
    points = [(0.3, 0.25), (0.65, 0.25), (0.55, 0.5), (0.47, 0.78)]  # a seven
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
    assert "The net says 7" in verdict(page) and page.locator("select").input_value() == ""
    before = page.evaluate("document.querySelector('digit-lab').ink.reduce((a, b) => a + b)")
    page.get_by_role("button", name="Eraser").click()
    page.mouse.move(*at[3])
    page.mouse.down()
    page.mouse.up()
    verdict(page)
    assert page.evaluate("document.querySelector('digit-lab').ink.reduce((a, b) => a + b)") < before - 5
    assert page.get_by_role("button", name="Reset").get_attribute("aria-disabled") == "false"
    page.get_by_role("button", name="Reset").click()
    assert "The net says 3" in verdict(page)


def test_drawing_with_a_finger(chromium, tmp_path):
    write(tmp_path, **PAGE)
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(site_browser.file_address(tmp_path) + "index.html")
    page.get_by_role("button", name="Clear").tap()
    box = page.locator(".rn-digit-board").bounding_box()
    send = context.new_cdp_session(page).send
    for kind, y in [("touchStart", 0.2), *(("touchMove", 0.2 + 0.06 * k) for k in range(1, 11)), ("touchEnd", 0)]:
        points = [] if kind == "touchEnd" else [{"x": box["x"] + box["width"] / 2, "y": box["y"] + y * box["height"]}]
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert "The net says 1" in verdict(page)
    assert page.evaluate("scrollY") == 0  # the page does not move under the finger
    context.close()


def test_a_second_finger_leaves_the_stroke_alone(chromium, tmp_path):
    write(tmp_path, **PAGE)
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(site_browser.file_address(tmp_path) + "index.html")
    box = page.locator(".rn-digit-board").bounding_box()
    send = context.new_cdp_session(page).send

    def drawn(*events):
        """Ink after touches; each finger is (id, x, y) in shares of the board."""
        page.get_by_role("button", name="Clear").tap()
        for kind, *fingers in events:
            send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
                {"id": k, "x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for k, x, y in fingers]})
        verdict(page)
        return page.evaluate("[...document.querySelector('digit-lab').ink]")

    one = drawn(("touchStart", (0, 0.2, 0.2)), ("touchMove", (0, 0.2, 0.5)), ("touchMove", (0, 0.2, 0.8)),
                ("touchEnd",))
    two = drawn(("touchStart", (0, 0.2, 0.2)), ("touchStart", (0, 0.2, 0.2), (1, 0.8, 0.2)),
                ("touchMove", (0, 0.2, 0.5), (1, 0.8, 0.5)), ("touchMove", (0, 0.2, 0.8)), ("touchEnd",))
    assert sum(one) > 50 and two == pytest.approx(one, abs=1e-3)
    context.close()


def test_there_is_no_choosing_an_own_drawing_as_a_sample(page):
    page.get_by_label("Sample").focus()
    page.keyboard.press("Home")
    assert page.locator("select").input_value() == "0" and "digit1=s0" in page.url


def test_drawing_and_switching_with_keys_alone(page):
    page.locator(".rn-digit-board").focus()
    page.keyboard.press("Delete")
    for _ in range(9):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(18):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    assert "The net says 1" in verdict(page)
    page.keyboard.press("e")
    assert page.get_by_role("button", name="Eraser").get_attribute("aria-pressed") == "true"
    block(page, 4).focus()
    page.keyboard.press("Space")
    assert block(page, 4).get_attribute("aria-pressed") == "false" and verdict(page).startswith("Without block 4 ")


def test_the_address_keeps_sample_and_blocks(page):
    page.get_by_label("Sample").select_option("7")
    block(page, 2).click()
    block(page, 9).click()
    said = verdict(page)
    assert said.startswith("Without blocks 2 and 9 ") and "digit1=s7%2C2.9" in page.url
    address = page.url
    page.reload()
    assert verdict(page) == said
    page.get_by_role("button", name="Reset").click()
    assert "#" not in page.url and "The net says 3" in verdict(page)
    for nonsense in ("s7,10", "s12,", "s3,0", "s3,2..5", "x", "s3,1e9"):
        page.goto(address.split("#")[0] + "#digit1=" + nonsense)
        page.reload()
        assert "does not exist here" in page.locator("digit-lab").inner_text(), nonsense
        assert "The net says 3" in verdict(page)


def test_it_is_accessible_and_fits_a_phone(faults):
    is_accessible_and_fits_a_phone(faults, PAGE)


def test_without_scripts_its_content_shows(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with without_scripts(chromium, tmp_path) as page:
        assert page.locator("digit-lab").inner_text() == "Without scripts."
