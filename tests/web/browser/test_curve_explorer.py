"""<curve-explorer>: what it reads out against numpy, its axes, keyboard, pointer, address, and without JavaScript."""

import re

import numpy as np
import pytest

import site_browser
import site_checks
from resnet_lib import records
from resnet_lib.records import Record
from resnet_lib.widgets import explore

from .conftest import element_head, without_scripts, write

pytestmark = pytest.mark.browser
STEPS = {"plain-20": range(100, 1300, 100), "plain-56": range(100, 1300, 100), "residual-56": range(60, 1260, 60)}


def run(variant, seed, steps, error, loss, total=None):
    rows = [{"step": s, "train_error": float(e), "test_error": float(e) / 2 + 0.1, "train_loss": m}
            for s, e, m in zip(steps, error, loss, strict=True)]
    segment = {"from_step": 0, "seconds": 1.0, "date": "2026-01-01", "device": "CPU", "threads": 1, "versions":
               {"torch": "2.6"}, "execution": {}}
    data = {"name": "digits", "n_train": 100, "n_test": 50, "shape": [1, 8, 8], "sha256": "0", "fallback": None}
    return Record("made", "quick", variant, seed, "0", {"steps": total or steps[-1]}, {}, data, [segment], rows)


def made():
    """Runs of several lengths, one that diverges, one that was stopped, one that reaches zero."""
    rng = np.random.default_rng(0)
    runs = []
    for variant, steps in STEPS.items():
        for seed in range(3):
            error = np.linspace(0.9, 0.3, len(steps)) + rng.normal(0, 0.02, len(steps))
            loss = [float(3 * e) for e in error]
            if variant == "plain-56" and seed == 2:
                loss = [*loss[:4], *[None] * (len(loss) - 4)]
            if variant == "residual-56":
                error[-1] = 0
            runs.append(run(variant, seed, list(steps), error, loss))
    return [*runs, run("residual-20", 0, [100, 200], [0.8, 0.7], [2.0, 1.9], total=1200)]


RUNS = made()
BODY = explore.curves(RUNS, ("train_error", "test_error", "train_loss"), alt="Errors.", caption="Made for a test.",
                      marks={600: "here"}, mode="frames").html


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, BODY, head=element_head("curve-explorer"))
    return tmp_path


def readout(page):
    """variant -> its cells in the read-out."""
    rows = page.locator(".rn-curves-readout tbody tr").all()
    return {row.locator("th").inner_text(): [td.inner_text() for td in row.locator("td").all()] for row in rows}


def box(page, name):
    return page.get_by_role("checkbox", name=name, exact=True)


def expected(variant, field, step):
    values = np.array([row[field] for r in RUNS if r.variant == variant for row in r.rows if row["step"] == step])
    mean, std = 100 * values.mean(), 100 * values.std(ddof=1)
    digits = 1 if mean >= 9.95 else 2
    return f"{mean:.{digits}f} ± {std:.{digits}f} %"


def test_the_readout_says_what_numpy_finds(page):
    slider = page.get_by_role("slider", name="Read at step")
    stops = sorted({s for steps in STEPS.values() for s in steps})
    assert slider.get_attribute("aria-valuetext").startswith("step 1,200: plain-20 ")
    slider.press("Home")
    for k, step in enumerate(stops[:9]):
        if k:
            slider.press("ArrowRight")
        assert page.locator(".rn-curves-step output").inner_text() == f"{step:,}"
        for variant, steps in STEPS.items():
            at = max([s for s in steps if s <= step], default=None)
            cells = readout(page)[variant]
            for cell, field in zip(cells, ("train_error", "test_error"), strict=False):
                if at is None:
                    assert cell == "–"
                else:
                    late = "" if at == step else f" (step {at})"
                    assert cell == expected(variant, field, at) + late, (variant, step)
            assert cells[2].startswith("3")
    slider.press("End")
    assert readout(page)["residual-20-s0"] == ["70.0 % (step 200)", "45.0 % (step 200)",
                                               "1, stopped at step 200 of 1,200"]
    assert "plain-56 " + expected("plain-56", "train_error", 1200) in slider.get_attribute("aria-valuetext")


def test_every_row_of_the_data_table_too(page):
    box(page, "test error (solid)").uncheck()
    page.locator("summary", has_text="Data table").click()
    head = page.locator(".rn-data thead th").all_inner_texts()
    assert head == ["step", "plain-20", "plain-56", "residual-56", "residual-20-s0"]
    rows = [row.split("\t") for row in page.locator(".rn-data tbody tr").all_inner_texts()]
    assert len(rows) == len({s for steps in STEPS.values() for s in steps})
    for step, *cells in rows:
        for variant, cell in zip(head[1:4], cells, strict=False):
            on_grid = int(step.replace(",", "")) in STEPS[variant]
            assert cell.strip() == (expected(variant, "train_error", int(step.replace(",", ""))) if on_grid else "")


def test_a_diverged_run_is_marked_in_every_measure_and_never_averaged_away(page):
    assert page.locator("g[data-variant='plain-56'] .rn-cross").count() == 2  # on both errors, from step 500
    assert readout(page)["plain-56"][2] == "3; ✕ seed 2 from 500"
    page.locator("summary", has_text="More").click()
    page.get_by_label("Measure").select_option("number")
    assert readout(page)["plain-56"] == ["1 of 3 not finite", "3; ✕ seed 2 from 500"]
    assert page.locator("g[data-variant='plain-56'] .rn-cross").count() == 1
    mean = page.locator("g[data-variant='plain-56'] .rn-mean").get_attribute("d")
    assert mean.count("L") == 3  # the mean ends where the third run does
    assert page.locator("g[data-variant='plain-56'] .rn-seed").count() == 3
    slider = page.get_by_role("slider", name="Read at step")
    slider.press("Home")
    slider.press("ArrowRight")
    values = [r.rows[0]["train_loss"] for r in RUNS if r.variant == "plain-56"]
    assert readout(page)["plain-56"] == [f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}", "3"]


def test_seeds_alone_and_side_by_side(page):
    page.locator("summary", has_text="More").click()
    page.get_by_label("Runs").select_option("1")
    last = next(r for r in RUNS if r.variant == "plain-20" and r.seed == 1).final["train_error"]
    assert readout(page)["plain-20"][0] == f"{100 * last:.1f} %" and readout(page)["residual-20-s0"][0] == "–"
    assert page.locator(".rn-band").count() == 0
    page.get_by_label("Runs").select_option("single")
    lasts = [r.final["train_error"] for r in RUNS if r.variant == "plain-20"]
    assert readout(page)["plain-20"][0] == ", ".join(f"{100 * v:.1f}" for v in lasts) + " %"


def test_the_mean_and_the_band_are_drawn_where_the_numbers_are(page):
    drawn = page.evaluate("""() => {
        const path = document.querySelector("g[data-variant='plain-20'] .rn-mean.rn-train").getAttribute("d");
        const y = [...document.querySelectorAll(".rn-tick-y")].map(t => [t.textContent, t.getAttribute("y") - 4]);
        const band = document.querySelector("g[data-variant='plain-20'] .rn-band").getAttribute("d");
        return [path, y, band]; }""")
    path, ticks, band = drawn
    zero, full = (next(y for word, y in ticks if word == name) for name in ("0 %", "100 %"))
    runs = np.array([[row["train_error"] for row in r.rows] for r in RUNS if r.variant == "plain-20"])

    def heights(d):
        return [(zero - float(p.split(" ")[1])) / (zero - full) for p in re.sub("[MZ]", "", d).split("L")]

    np.testing.assert_allclose(heights(path), runs.mean(0), atol=6e-4)
    spread = runs.std(0, ddof=1)
    np.testing.assert_allclose(heights(band), [*(runs.mean(0) + spread), *(runs.mean(0) - spread)[::-1]], atol=6e-4)


def test_a_logarithmic_axis_has_even_decades_and_says_what_is_zero(page):
    box(page, "logarithmic").check()
    ticks = page.evaluate("""() => [...document.querySelectorAll(".rn-tick-y")].map(t =>
        [parseFloat(t.textContent), Number(t.getAttribute("y"))])""")
    values, places = np.array(ticks).T
    assert len(values) >= 3 and (np.diff(values) > 0).all()
    slope = np.diff(places) / np.diff(np.log10(values))
    np.testing.assert_allclose(slope, slope[0], rtol=1e-6)
    assert page.locator("g[data-variant='residual-56'] path.rn-open").count() >= 1
    assert "zero, which lies below" in page.locator(".rn-curves-signs").inner_text()
    assert readout(page)["residual-56"][0].startswith("0.00 ± 0.00 %")
    assert "NaN" not in page.locator("curve-explorer").inner_html()


def test_variants_and_curves_are_switched_with_the_keyboard(page):
    box(page, "plain-20").focus()
    page.keyboard.press("Space")
    assert "plain-20" not in readout(page) and page.locator("g[data-variant='plain-20']").count() == 0
    page.get_by_role("button", name="None").press("Enter")
    assert readout(page) == {} and "Nothing is shown" in page.locator(".rn-curves-chart").text_content()
    page.get_by_role("button", name="All").press("Enter")
    assert list(readout(page)) == [*STEPS, "residual-20-s0"]
    box(page, "training error (dashed)").press("Space")
    assert page.locator("path.rn-mean.rn-train").count() == 0 and page.locator("path.rn-mean.rn-test").count() == 4
    page.get_by_role("button", name="Reset").press("Enter")
    assert page.locator(".rn-curves-chart path.rn-mean").count() == 8
    assert page.get_by_role("button", name="Reset").get_attribute("aria-disabled") == "true"


def test_a_variant_that_is_pointed_at_stands_out(page):
    box(page, "plain-56").focus()
    assert page.locator("g.rn-cool").count() == 3
    assert page.locator("g[data-variant='plain-56'].rn-cool").count() == 0
    page.get_by_role("slider", name="Read at step").focus()
    assert page.locator("g.rn-cool").count() == 0


def test_the_pointer_reads_the_step_under_it(page):
    chart = page.locator(".rn-curves-chart").bounding_box()
    at = page.evaluate("document.querySelector('.rn-mark').getBoundingClientRect().x")
    page.mouse.move(at + 1, chart["y"] + 120)
    assert page.locator(".rn-curves-step output").inner_text() == "600"
    assert readout(page)["plain-20"][0] == expected("plain-20", "train_error", 600)
    page.mouse.move(at + 1, chart["y"] - 20)
    assert page.evaluate("location.hash").endswith("%2C600")


def test_the_address_keeps_the_setting_and_says_what_it_cannot_give(page):
    box(page, "plain-20").uncheck()
    box(page, "logarithmic").check()
    page.get_by_role("slider", name="Read at step").press("Home")
    address, before = page.url, readout(page)
    page.get_by_role("button", name="Reset").click()
    assert "#" not in page.url
    page.goto(address)
    page.reload()
    assert readout(page) == before and "plain-20" not in before and box(page, "logarithmic").is_checked()
    bare = address.split("#")[0]
    for wanted, word in (("plain-20 nothing,train_error,percent,mean,linear,310", "nothing"),
                         ("plain-20,train_error,percent,seventeen,linear,1e999", "seventeen"), ("%00,,,,", "…")):
        page.goto(f"{bare}#curves1={wanted}")
        page.reload()
        assert word in page.locator(".rn-curves-note").inner_text()
        assert page.locator(".rn-curves-step output").inner_text() in ("300", "1,200")
    box(page, "plain-56").check()
    assert page.locator(".rn-curves-note").inner_text() == ""


def test_a_place_on_the_page_is_no_state(chromium, tmp_path):
    """An address may name a heading or the element itself; neither asks for a setting."""
    html = explore.curves(RUNS, alt="Errors.", name="here", mode="frames").html
    write(tmp_path, html, head=element_head("curve-explorer"))
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html#here") as watched:
        page = watched.page
        assert len(readout(page)) == 4 and page.locator(".rn-curves-note").inner_text() == ""
        box(page, "plain-20").uncheck()
        page.evaluate("location.hash = 'here'")
        page.wait_for_timeout(100)
        assert len(readout(page)) == 3 and page.locator(".rn-curves-note").inner_text() == ""
        assert watched.errors == []


def test_a_mean_and_its_spread_have_the_same_digits(page):
    for value, spread, text in ((0.001527, 0.00024, "0.00153 ± 0.00024"), (0.0527, 0.004, "0.0527 ± 0.0040"),
                                (0.3217, 0.0123, "0.322 ± 0.012"), (1.2345, 0.5, "1.234 ± 0.500"),
                                (12.345, 0.25, "12.35 ± 0.25"), (0.5, 0.0001, "0.500 ± 1.0e-4"),
                                (0.00042, 0.00012, "4.20e-4 ± 1.2e-4"), (0, 0, "0.000 ± 0.000")):
        assert page.evaluate("([v, s]) => BookScales.withSpread(v, s)", [value, spread]) == text


def test_names_stay_inside_and_apart(page):
    boxes = sorted((t.bounding_box() for t in page.locator("text.rn-label").all()), key=lambda b: b["y"])
    assert len(boxes) == 4 and all(b["x"] + b["width"] <= page.viewport_size["width"] for b in boxes)
    assert all(b["y"] - a["y"] >= 13 for a, b in zip(boxes, boxes[1:], strict=False))


def test_it_is_accessible_and_fits(page):
    for _ in range(2):
        assert site_checks.axe_faults(page) == [] and site_checks.scroll_faults(page) == []
        for summary in page.locator("summary").all():
            summary.click()


@pytest.mark.parametrize("name, tier", [("no_batch_norm", "short"), ("shortcut_kinds", "short"),
                                        ("mnist_simple", "paper")])
def test_recorded_runs_all_at_once(chromium, tmp_path, name, tier):
    """Each experiment with all its variants on: drawn without a fault, each line apart from every other by its look."""
    found = records.load(name, tier)
    if not found:
        pytest.skip(f"no records of {name}/{tier}")
    html = explore.curves(found, ("train_error", "test_error", "train_loss"), alt="Errors.", mode="frames").html
    write(tmp_path, html, head=element_head("curve-explorer"))
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html", width=390) as watched:
        page = watched.page
        page.get_by_role("button", name="All").click()
        variants = {r.variant for r in found}
        assert set(readout(page)) == variants and "NaN" not in page.locator("curve-explorer").inner_html()
        looks = page.evaluate("""() => [...document.querySelectorAll(".rn-curves-swatch g")].map(g =>
            g.getAttribute("class") + " " + (g.querySelector(".rn-marker")?.getAttribute("d") || "")) """)
        assert len(set(looks)) == len(variants)
        assert site_checks.scroll_faults(page) == [] and watched.errors == []


def test_without_javascript_figure_and_table_are_there(chromium, folder):
    with without_scripts(chromium, folder) as page:
        assert page.locator("figure.rn-curves-still svg").is_visible()
        page.locator("summary").click()
        values = 100 * np.array([r.final["test_error"] for r in RUNS if r.variant == "plain-20"])
        row = page.locator("tbody tr", has_text="plain-20").first.inner_text().split("\t")
        assert row == ["plain-20", "1,200", "3", row[3], f"{values.mean():.2f} ± {values.std(ddof=1):.2f} %", row[5]]
        assert "RECORDED" in page.locator(".rn-caption").inner_text()


def test_a_published_value_is_an_open_circle_at_its_height(chromium, tmp_path):
    html = explore.curves(RUNS, ("test_error",), alt="Errors.", published="he15-figure6", mode="frames").html
    write(tmp_path, html, head=element_head("curve-explorer"))
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html") as watched:
        assert readout(watched.page)["plain-56"][2] == "13.3 ± 0.1 %" and readout(watched.page)["residual-56"][2] == ""
        ticks = dict(watched.page.evaluate("""() => [...document.querySelectorAll(".rn-tick-y")].map(t =>
            [t.textContent, t.getAttribute("y") - 4])"""))
        heights = watched.page.evaluate("""() => [...document.querySelectorAll("circle.rn-published-value")].map(c =>
            Number(c.getAttribute("cy")))""")
        found = [0.2 * (ticks["0 %"] - y) / (ticks["0 %"] - ticks["20 %"]) for y in heights]
        assert found == pytest.approx([0.097, 0.133], abs=1e-3) and watched.errors == []


def test_it_may_begin_with_one_of_its_curves(chromium, tmp_path):
    write(tmp_path, explore.curves(RUNS, alt="Errors.", drawn=("train_error",), mode="frames").html,
          head=element_head("curve-explorer"))
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html") as watched:
        page = watched.page
        train, test = box(page, "training error (dashed)"), box(page, "test error (solid)")
        assert train.is_checked() and not test.is_checked() and len(readout(page)["plain-20"]) == 2
        test.check()
        assert len(readout(page)["plain-20"]) == 3
        page.get_by_role("button", name="Reset").click()
        assert train.is_checked() and not test.is_checked() and "#" not in page.url
