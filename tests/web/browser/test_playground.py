"""The playground in Chromium: it trains in workers, and neither the reader nor a broken worker gets it stuck."""

import math
import re

import pytest

import engine_oracle
import site_browser
import site_checks

from .conftest import element_head, without_scripts, write

pytestmark = pytest.mark.browser
SMALL = "#playground1=batch-norm,blocks:4,width:6"
PLAYGROUND = "document.querySelector('residual-playground')"


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "<residual-playground><p>Without scripts.</p></residual-playground>",
          head=element_head("residual-playground"))
    return tmp_path


@pytest.fixture
def visit(chromium, folder):
    """Open the page as a file, with an address; afterwards nothing was refused and nothing failed."""
    contexts = []

    def go(address=SMALL, **more):
        opening = site_browser.opened(chromium, f"{site_browser.file_address(folder)}index.html{address}", **more)
        watched = opening.__enter__()
        contexts.append((opening, watched))
        wait(watched.page, "e.pair.step() >= e.pair.goal && e.pair.sides.every((s) => !s.waiting && s.statistics)")
        return watched.page

    yield go
    for opening, watched in contexts:
        found = watched.errors + watched.violations()
        opening.__exit__(None, None, None)
        assert found == []


def ask(page, expression):
    return page.evaluate(f"(() => {{ const e = {PLAYGROUND}; return {expression}; }})()")


# A drawing takes four frames at most, and one may have to end before the one asked for begins.
DRAWN = f"""async () => {{ const frame = () => new Promise(requestAnimationFrame);
    await frame();
    for (let k = 0; k < 9 && ({PLAYGROUND}.frame || k < 1); k++) await frame(); }}"""


def wait(page, condition):
    """Until it holds, and all that was asked for has been drawn."""
    for _ in range(600):
        if ask(page, condition):
            page.evaluate(DRAWN)
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never: {condition}; {ask(page, 'e.innerText')[:300]}")


def said(page):
    return page.locator("residual-playground [role=status]").inner_text()


@pytest.mark.parametrize("kind", engine_oracle.TOLERANCE)
def test_the_engine_computes_in_chromium_what_pytorch_computes(visit, kind):
    page = visit()
    # One call for all cases: a call for each would take longer than the mathematics.
    answers = page.evaluate(f"([specs, kind]) => specs.map((spec) => ({engine_oracle.COMPUTE})(spec, kind))",
                            [engine_oracle.cases(), kind])
    left = iter(answers)
    assert engine_oracle.disagreements(lambda *_: next(left), kind) == []


def test_before_any_touch_both_nets_have_trained_and_shown_themselves(visit):
    page = visit()
    assert "step 60 · plain" in page.locator(".rn-play-state").inner_text()
    assert page.locator(".rn-play-bars button").count() == 8
    assert page.locator(".rn-play-layers").inner_text().startswith("10 layers with weights: 4 blocks of two")
    for canvas in page.locator("canvas").all():
        assert "256 points of two classes" in canvas.get_attribute("aria-label")
        assert len(set(canvas.evaluate("""(c) => [...c.getContext("2d").getImageData(0, 0, c.width, 10).data]"""))) > 2
    # The worker's net is the engine's net.
    ours = ask(page, "Array.from(e.pair.sides[1].losses)")
    here = page.evaluate("""() => { const P = PlaygroundPresets, E = ResidualEngine;
        const spec = P.specOf({ ...P.settingOf("batch-norm"), blocks: 4, width: 6 }, 1);
        return new E.Net(spec, globalThis.PlaygroundPoints.makeData(spec.data)).advance(60); }""")
    assert ours == here


def test_step_run_pause_and_reset(visit):
    page = visit()
    page.get_by_role("button", name="Step").press("Enter")
    wait(page, "e.pair.step() === 61")
    page.get_by_role("button", name="Run").press("Enter")
    assert page.get_by_role("button", name="Step").get_attribute("aria-disabled") == "true"
    wait(page, "e.pair.step() > 70")
    page.get_by_role("button", name="Pause").press("Enter")
    wait(page, "e.pair.sides.every((s) => !s.waiting)")
    assert ask(page, "e.pair.sides[0].step === e.pair.sides[1].step")  # both nets kept step
    page.get_by_role("button", name="Reset").press("Enter")
    wait(page, "e.pair.sides.every((s) => !s.waiting)")
    assert ask(page, "e.pair.step()") == 0 and ask(page, "e.pair.sides[0].losses.length") == 1


def test_after_pause_the_picture_is_that_of_the_step_named(visit):
    page = visit()
    ask(page, "e.pair.looked = Infinity")  # no picture is due while they run
    page.get_by_role("button", name="Run").press("Enter")
    wait(page, "e.pair.step() > 70")
    page.get_by_role("button", name="Pause").press("Enter")
    page.wait_for_timeout(300)
    wait(page, "e.pair.sides.every((s) => !s.waiting)")
    step = ask(page, "e.pair.step()")
    assert f"step {step} · plain" in page.locator(".rn-play-state").inner_text()
    for k, canvas in enumerate(page.locator("canvas").all()):
        assert f"after {step} steps" in canvas.get_attribute("aria-label")
        expected = page.evaluate("""([step, side]) => { const P = PlaygroundPresets, points = PlaygroundPoints;
            const spec = P.specOf({ ...P.settingOf("batch-norm"), blocks: 4, width: 6 }, side);
            const net = new ResidualEngine.Net(spec, points.makeData(spec.data));
            net.advance(step);
            return [...net.predict(points.makeGrid(net.data.inputs, points.GRID))]; }""", [step, k])
        assert ask(page, f"[...e.pair.sides[{k}].surface]") == expected


def test_the_bars_are_the_numbers_and_the_table_has_them_all(visit):
    page = visit()
    room = 4.6 * page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    sizes = ask(page, "e.stage.views[1].columns.map((c) => getComputedStyle(c).backgroundSize)")
    heights = [[100 * float(height) / room for height in re.findall(r"76% ([\d.]+)px", size)] for size in sizes]
    values = ask(page, "[0, 1, 2, 3].map((l) => e.pair.sides[1].values(l))")
    low, high = page.evaluate("[PlaygroundDrawing.LOW, PlaygroundDrawing.HIGH]")
    for bars, numbers in zip(heights, values, strict=True):
        for height, number in zip(bars, numbers, strict=True):
            assert height == pytest.approx(100 * (math.log10(number) - low) / (high - low), abs=0.01)
    page.locator("summary", has_text="Data table").press("Enter")
    rows = page.locator("residual-playground table").nth(1).locator("tbody tr").all_inner_texts()
    assert len(rows) == 6 and rows[0].startswith("first layer") and rows[-1].startswith("last layer")
    assert page.locator("residual-playground table").first.locator("tbody tr").last.inner_text().startswith("60\t")


def test_a_block_is_removed_and_put_back_with_the_keyboard(visit):
    page = visit()
    bars = page.locator(".rn-play-bars").nth(1).get_by_role("button")
    bars.first.focus()
    page.keyboard.press("ArrowRight")
    assert "block 2" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    before = ask(page, "e.pair.sides[1].loss")
    page.keyboard.press("Enter")
    wait(page, "e.pair.sides[1].removed[1] === 1 && !e.pair.sides[1].waiting")
    after = ask(page, "e.pair.sides[1].loss")
    assert said(page).startswith("Residual net without block 2: loss") and after != before
    assert bars.nth(1).get_attribute("aria-pressed") == "true" and ask(page, "e.pair.sides[0].removed[1]") == 0
    page.keyboard.press("Enter")
    wait(page, "e.pair.sides[1].removed[1] === 0 && !e.pair.sides[1].waiting")
    assert ask(page, "e.pair.sides[1].loss") == before and "again" in said(page)


def test_a_block_removed_while_the_nets_train_is_marked_at_once(visit):
    page = visit()
    first = page.locator(".rn-play-bars").nth(1).get_by_role("button").first
    assert ask(page, "(e.pair.toggleRun(), e.stage.views[1].columns[0].click(), e.pair.sides[1].waiting)")
    wait(page, "e.pair.sides[1].removed[0] === 1")
    assert first.get_attribute("aria-pressed") == "true" and "block 1: removed" in first.get_attribute("aria-label")
    assert said(page).startswith("Residual net without block 1: loss") and ask(page, "e.pair.running")
    # What waits for an answer is forgotten where the nets begin again.
    assert ask(page, "(e.stage.views[0].columns[1].click(), e.pair.sides[0].then !== null)")
    page.get_by_role("button", name="Reset").press("Enter")
    wait(page, "e.pair.sides.every((s) => !s.waiting)")
    assert not any(ask(page, "Array.from(e.pair.sides[0].removed)")) and ask(page, "e.pair.step()") == 0


def test_settings_go_into_the_address_and_come_back(visit):
    page = visit("")
    page.locator("summary", has_text="More").press("Enter")
    for label, value in (("Blocks L", "3"), ("Width w", "4")):
        page.get_by_label(label).fill(value)
        page.get_by_label(label).press("Enter")
    page.get_by_label("Skip of the right-hand net").select_option("linear")
    assert "playground1=batch-norm%2Cblocks%3A3%2Cwidth%3A4%2Cskip%3Alinear" in page.url
    page.reload()
    wait(page, "e.pair.step() >= 60 && e.pair.sides.every((s) => !s.waiting)")
    assert ask(page, "e.setting.blocks") == 3 and "learned skip" in page.locator(".rn-play-state").inner_text()
    page.locator("summary", has_text="More").press("Enter")
    page.get_by_role("button", name="Back to the experiment").press("Enter")
    assert "#" not in page.url and ask(page, "e.setting.blocks") == 27


def test_an_experiment_that_came_with_the_address_stays_in_it(visit):
    page = visit("#playground1=shallow,blocks:3,width:4")
    page.locator("summary", has_text="More").press("Enter")
    page.get_by_role("button", name="Back to the experiment").press("Enter")
    page.reload()
    wait(page, "e.pair.sides.every((s) => !s.waiting)")
    assert ask(page, "e.preset") == "shallow" and ask(page, "e.setting.blocks") == 2
    page.get_by_label("Experiment").select_option("batch-norm")  # what the page shows without a word in its address
    assert "#" not in page.url


def test_what_changes_no_setting_leaves_the_nets_alone(visit):
    page = visit("#playground1=shallow")
    page.evaluate(f"globalThis.kept = {PLAYGROUND}.pair.sides.map((s) => s.worker)")
    page.evaluate("dispatchEvent(new HashChangeEvent('hashchange'))")
    page.locator("summary", has_text="More").press("Enter")
    page.get_by_role("button", name="Back to the experiment").press("Enter")
    for typed, words in (("", "is not a number"), ("2.2", "2.2 became 2"), ("2", "")):
        page.get_by_label("Blocks L").fill(typed)
        page.get_by_label("Blocks L").press("Tab")
        assert page.get_by_label("Blocks L").input_value() == "2" and words in said(page)
    assert ask(page, "e.pair.sides.every((s, k) => s.worker === kept[k] && s.step === 60)")


def test_impossible_values_are_clamped_with_a_word(visit):
    page = visit("#playground1=batch-norm,width:0,blocks:3,rate:NaN")
    assert "0 became 2" in said(page) and "“NaN” is not a number" in said(page)
    page.locator("summary", has_text="More").press("Enter")
    page.get_by_label("Blocks L").fill("1000000")
    page.get_by_label("Blocks L").press("Enter")
    assert "1000000 became 60" in said(page) and ask(page, "e.stage.views[0].columns.length") == 60


def test_a_loss_that_is_no_number_is_said_and_stops_that_net_only(visit):
    page = visit("#playground1=growing,blocks:12,skip:half,optimizer:sgd,rate:10,init:he")
    page.get_by_role("button", name="Run").press("Enter")
    wait(page, "e.pair.sides.some((s) => s.broken !== null)")
    page.wait_for_timeout(300)
    broken = ask(page, "e.pair.sides.map((s) => s.broken !== null)")
    assert "the loss is no number any more since step" in said(page)
    if broken != [True, True]:
        going = broken.index(False)
        now = ask(page, f"e.pair.sides[{going}].step")
        wait(page, f"e.pair.sides[{going}].step > {now}")


def test_a_net_without_numbers_shows_none_and_both_may_stop(visit):
    page = visit("#playground1=growing,blocks:12,skip:none,activation:linear,optimizer:sgd,rate:10")
    page.locator("summary", has_text="Data table").press("Enter")
    page.get_by_role("button", name="Run").press("Enter")
    wait(page, "e.pair.sides.every((s) => s.broken !== null) && !e.pair.running")
    step = ask(page, "e.pair.sides[0].broken")
    assert step > 0 and f"step {step} · plain" in page.locator(".rn-play-state").inner_text()
    assert said(page).endswith("Both nets are stopped.")
    for canvas in page.locator("canvas").all():
        assert f"computes no numbers any more since step {step}" in canvas.get_attribute("aria-label")
    layers = page.locator("residual-playground table").nth(1)
    assert f"after {step} step" in layers.locator("caption").inner_text()
    assert set("".join(layers.locator("td").all_inner_texts())) == {"–"}
    assert "gradient –, spread –" in page.locator(".rn-play-bars button").first.get_attribute("aria-label")


def test_a_worker_that_throws_is_restarted_with_a_word(visit):
    page = visit()
    ask(page, "e.pair.sides[1].worker.postMessage(null)")
    wait(page, "e.pair.restarts === 1 && e.pair.sides.every((s) => !s.waiting)")
    assert "The worker of the residual net stopped" in said(page) and ask(page, "e.pair.step()") == 0
    page.get_by_role("button", name="Step").press("Enter")
    wait(page, "e.pair.step() === 1")


def test_a_worker_that_falls_silent_is_restarted_with_a_word(visit):
    page = visit()
    ask(page, "(e.pair.sides[0].patience = 200, e.pair.sides[0].worker.terminate())")
    page.get_by_role("button", name="Run").press("Enter")
    wait(page, "e.pair.restarts === 1 && e.pair.sides.every((s) => !s.waiting)")
    assert "The worker of the plain net stopped (no answer)" in said(page)


def test_where_workers_do_not_start_it_says_so(chromium, folder):
    context = chromium.new_context()
    context.add_init_script("globalThis.Worker = class { constructor() { throw new Error('refused'); } };")
    page = context.new_page()
    page.goto(site_browser.file_address(folder) + "index.html")
    assert "The workers do not start in this browser (refused)" in said(page)
    context.close()


def test_an_attribute_chooses_the_preset(chromium, folder):
    write(folder, '<residual-playground preset="shallow"></residual-playground>',
          head=element_head("residual-playground"))
    with site_browser.opened(chromium, site_browser.file_address(folder) + "index.html") as watched:
        assert ask(watched.page, "e.setting.blocks") == 2 and "#" not in watched.page.url


@pytest.mark.parametrize("width, theme", [(1280, "light"), (390, "dark")])
def test_it_is_accessible_and_fits(visit, width, theme):
    page = visit(width=width, theme=theme)
    page.evaluate("(t) => { document.documentElement.dataset.theme = t; }", theme)
    for summary in page.locator("residual-playground summary").all():
        summary.press("Enter")
    assert site_checks.scroll_faults(page) == []
    for skip in ("identity", "half", "linear"):
        page.get_by_label("Skip of the right-hand net").select_option(skip)
        wait(page, "e.pair.sides.every((s) => !s.waiting)")
        assert page.locator(".rn-play-name").count() == 2 and site_checks.word_faults(page) == []
    with_page_policy_off = page.context.browser.new_context(bypass_csp=True, viewport={"width": width, "height": 900},
                                                            reduced_motion="reduce", color_scheme=theme)
    other = with_page_policy_off.new_page()
    other.goto(page.url)
    other.evaluate("(t) => { document.documentElement.dataset.theme = t; }", theme)
    wait(other, "e.pair.step() >= e.pair.goal && e.pair.sides.every((s) => !s.waiting && s.statistics)")
    assert site_checks.axe_faults(other) == []
    with_page_policy_off.close()


def test_without_scripts_its_content_shows(chromium, folder):
    with without_scripts(chromium, folder) as page:
        assert page.locator("residual-playground").inner_text() == "Without scripts."


def test_nothing_is_trained_before_the_reader_comes_near(chromium, tmp_path):
    write(tmp_path, '<div style="height: 4000px"></div><residual-playground></residual-playground>',
          head=element_head("residual-playground"))
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html") as watched:
        watched.page.wait_for_timeout(300)
        assert watched.page.locator("residual-playground canvas").count() == 0
        assert site_checks.axe_faults(watched.page) == []
        watched.page.locator("residual-playground").scroll_into_view_if_needed()
        watched.page.locator("residual-playground canvas").first.wait_for()
        assert watched.errors == []


@pytest.mark.parametrize("touch", [
    "e.runButton.click()", "e.stepButton.click()", "e.resetButton.click()", "e.restoreButton.click()",
    "(e.presetSelect.value = 'shallow', e.presetSelect.dispatchEvent(new Event('change')))",
    "(e.fields.blocks.value = 3, e.fields.blocks.dispatchEvent(new Event('change')))"])
def test_a_control_that_is_touched_from_afar_works(chromium, tmp_path, touch):
    """A keyboard or a screen reader reaches it before it has scrolled into view."""
    write(tmp_path, '<div style="height: 4000px"></div><residual-playground></residual-playground>',
          head=element_head("residual-playground"))
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html") as watched:
        page = watched.page
        ask(page, f"({touch}, null)")
        wait(page, "e.pair.sides.every((s) => s.worker && s.statistics)")
        if "shallow" in touch:
            assert ask(page, "e.preset") == "shallow" and page.locator("select").first.input_value() == "shallow"
        if "blocks" in touch:
            assert ask(page, "e.setting.blocks") == 3
        assert watched.errors == []
