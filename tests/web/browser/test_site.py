"""The built site in a browser, and the checker itself on pages with one fault each."""

import re

import pytest

import check_site
import site_browser
import site_checks

from .conftest import ROOT, element_head, skip_or_fail, without_scripts, write

pytestmark = pytest.mark.browser
SITE = ROOT / "_build" / "html"
STATIC = ROOT / "web" / "static"
GOOD = '<p>Text and <a href="#there">a link</a>.</p><h2 id="there">There</h2>'


def test_a_good_page_has_no_fault(faults):
    for check in (site_checks.math_faults, site_checks.scroll_faults, site_checks.player_faults,
                  site_checks.axe_faults):
        assert faults(GOOD, check) == []


def test_a_foreign_picture_is_found(faults):
    body = GOOD + '<img src="http://127.0.0.2:9/picture.png" alt="foreign">'
    assert any("policy violated: img-src" in f for f in faults(body))
    assert any("foreign request: http://127.0.0.2:9/" in f for f in faults(body, policy=""))


def test_a_script_error_is_found(faults):
    assert any("console: " in f and "nothing" in f for f in faults(GOOD + "<script>nothing()</script>"))
    assert faults(GOOD + '<script>console.error("an error")</script>') == ["console: an error"]


def test_a_missing_file_is_found(faults):
    assert any("failed request" in f and "404" in f for f in faults(GOOD + '<img src="lost.png" alt="lost">'))


def test_a_violation_of_the_policy_is_found(faults):
    body = GOOD + '<script>try { eval("1") } catch (e) {}</script>'
    assert any("policy violated: script-src" in f for f in faults(body))


def test_sideways_scroll_is_found(faults):
    found = faults(GOOD + '<div class="wide" style="width: 600px">wide</div>', site_checks.scroll_faults)
    assert found and "div.wide" in found[0]
    inside = '<div style="overflow-x: auto" tabindex="0"><div style="width: 600px">wide</div></div>'
    assert faults(GOOD + inside, site_checks.scroll_faults) == []


def test_broken_mathematics_is_found(faults):
    source = '<span class="math notranslate">\\(x\\)</span>'
    assert faults(source, site_checks.math_faults) == ["mathematics: 0 of 1 formulas rendered"]
    broken = '<span class="math notranslate"><mjx-container><mjx-merror></mjx-merror></mjx-container></span>'
    assert faults(broken, site_checks.math_faults) == ["mathematics: 1 formulas broken"]


def test_an_inaccessible_page_is_found(faults):
    body = '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><input type="text">'
    found = faults(body, site_checks.axe_faults)
    assert any(f.startswith("axe image-alt") for f in found)
    assert any(f.startswith("axe label") for f in found)


def test_faint_text_is_found_unless_colors_are_not_asked_for(faults):
    faint = '<p style="color: #ccc; background: #fff">faint</p>'
    assert [f.split(":")[0] for f in faults(faint, site_checks.axe_faults)] == ["axe color-contrast"]
    assert faults(faint, lambda page: site_checks.axe_faults(page, contrast=False)) == []


def test_a_theme_that_does_not_follow_the_system_is_found(faults):
    found = faults(GOOD, lambda page: site_checks.theme_faults(page, "dark"))
    assert found == ["the theme does not follow the system to dark"]


# --- the frame player

FRAMES = "".join(f'<figure class="rn-frame"{" hidden" if k else ""}>frame {k}</figure>' for k in range(4))
PLAYER = f"""<frame-player label="step" values='["0", "1", "30", "100"]' start="1">{FRAMES}</frame-player>"""


def player():
    return {"body": PLAYER, "head": element_head("frame-player", style=False)}


def test_a_player_works_and_is_accessible(faults):
    assert faults(check=site_checks.player_faults, **player()) == []
    assert faults(check=site_checks.axe_faults, **player()) == []


def test_a_player_that_does_not_move_is_found(faults):
    still = '<frame-player><figure class="rn-frame">0</figure><figure class="rn-frame" hidden>1</figure>' \
            '<input type="range" aria-label="step" max="1"></frame-player>'
    found = faults(still, site_checks.player_faults)
    assert any("frame player 1" in f for f in found)
    assert faults("<frame-player></frame-player>", site_checks.player_faults) == ["frame player 1: no slider"]


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_state_of_a_player_is_in_the_address(chromium, tmp_path, scheme):
    write(tmp_path, **player())
    with site_browser.served(tmp_path) as web:
        base = web if scheme == "http" else site_browser.file_address(tmp_path)
        with site_browser.opened(chromium, base + "index.html#player1=30") as watched:
            page = watched.page
            assert page.locator("figure.rn-frame:visible").inner_text() == "frame 2"
            assert page.locator("input").get_attribute("aria-valuetext") == "step 30"
            page.get_by_role("button", name="Next, step").click()
            assert page.url.endswith("#player1=100")
            page.get_by_role("button", name="Next, step").press("Enter")
            assert page.locator("figure.rn-frame:visible").inner_text() == "frame 3"
            page.get_by_role("button", name="Reset, step").click()
            assert page.locator("figure.rn-frame:visible").inner_text() == "frame 1"
            assert "#" not in page.url
            assert watched.errors == []


def test_a_player_without_scripts_shows_its_first_picture(chromium, tmp_path):
    write(tmp_path, **player())
    with without_scripts(chromium, tmp_path) as page:
        assert page.locator("figure.rn-frame:visible").all_inner_texts() == ["frame 0"]


@pytest.mark.parametrize("theme", site_checks.THEMES)
@pytest.mark.parametrize("name", sorted(p.name for p in STATIC.glob("*.html")))
def test_words_of_a_drawing_can_be_read(faults, name, theme):
    style = f"<style>{(STATIC / 'book.css').read_text(encoding='utf-8')}</style>"
    script = f"<script>document.documentElement.dataset.theme = '{theme}'</script>"
    body = (STATIC / name).read_text(encoding="utf-8")
    assert faults(body, site_checks.word_faults, head=style + script) == []


def test_a_faint_word_of_a_drawing_is_found(faults):
    svg = '<svg viewBox="0 0 99 20"><text y="12" fill="{}">plain</text></svg>'
    assert faults(svg.format("#d55e00"), site_checks.word_faults) == ["faint word in a drawing: plain, 3.9:1"]
    assert faults(svg.format("color-mix(in srgb, #d55e00 50%, #000)"), site_checks.word_faults) == []


def test_paper_shows_the_colors_of_the_light_theme(chromium, tmp_path):
    """All of them: what is bright enough on a dark screen is faint on paper."""
    css = (STATIC / "book.css").read_text(encoding="utf-8")
    write(tmp_path, "", head=f"<style>{css}</style>")
    names = sorted(set(re.findall(r"(--rn-[a-z-]+):", css)))
    with site_browser.opened(chromium, site_browser.file_address(tmp_path) + "index.html") as watched:
        watched.page.emulate_media(media="print")
        light, dark = (watched.page.evaluate("""([names, theme]) => {
            document.documentElement.dataset.theme = theme;
            const style = getComputedStyle(document.documentElement);
            return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(name)])); }""", [names, theme])
            for theme in site_checks.THEMES)
    assert dark == light and light["--rn-green"]


# --- the checks that need no browser


def test_static_checks_find_each_fault(tmp_path):
    write(tmp_path, '<a href="lost.html">x</a><a href="other.html#lost">x</a>'
                    '<a href="https://example.org/">fine</a><img src="https://example.org/a.png" alt="">'
                    '<img src="lost.png" alt="">')
    write(tmp_path, '<p id="here" style="background: url(https://example.org/b.png)">x</p>'
                    '<a href="#here">x</a><a href="index.html#player1=30">x</a>', "other.html", policy="")
    (tmp_path / "style.css").write_text('@import "https://example.org/c.css";')
    assert check_site.static_faults(tmp_path) == [
        "index.html: loads https://example.org/a.png from another host",
        "index.html: lost.png does not exist",
        "index.html: lost.html does not exist",
        "index.html: other.html#lost has no such anchor",
        "other.html: no Content-Security-Policy",
        "other.html: a style loads from another host",
        "style.css: loads from another host",
    ]


def test_an_id_that_stands_twice_is_found(tmp_path):
    exercise = '<section id="exercise-content"></section>'  # sphinx-exercise gives all of a page the same one
    write(tmp_path, f'<p id="here">x</p><frame-player id="here"></frame-player>{exercise}{exercise}')
    assert check_site.static_faults(tmp_path) == ["index.html: the id here stands twice"]


def test_markup_that_reached_the_reader_is_found_outside_of_code(tmp_path):
    write(tmp_path, "<p>Read <code>{val}`a:b`</code> and <pre>```{note}</pre>.</p>")
    assert check_site.static_faults(tmp_path) == []
    write(tmp_path, "<table><tr><td>{val}`degradation/quick/plain-20:train_error</td><td>std`</td></tr></table>")
    assert check_site.static_faults(tmp_path) == [
        "index.html: markup reached the reader: {val}`degradation/quick/plain-20:train_error"]
    write(tmp_path, r"<p>5 $ or $ 5, <span class='math'>\(x_i\)</span>, $F_i(x_i) = x_{i+1}</p><ul><li>x_i$</li></ul>")
    assert check_site.static_faults(tmp_path) == ["index.html: markup reached the reader: $F_i(x_i) = x_{i+1}"]


def test_a_solution_that_is_not_judged_right_is_found(tmp_path):
    write(tmp_path, "".join(f'<div class="rn-verdict rn-{state}">said</div>' for state in ("right", "wrong", "open")))
    assert check_site.static_faults(tmp_path) == ["index.html: a solution is judged wrong",
                                                  "index.html: a solution is judged open"]


def test_a_page_with_heavy_elements_is_found_and_weights_of_nets_do_not_count(tmp_path):
    data = '<script type="application/json">{{"{}": "{}"}}</script>'
    write(tmp_path, data.format("weights", "x" * 200_000) + data.format("curves", "x" * 100_000))
    assert check_site.static_faults(tmp_path) == []
    script = tmp_path / "_static" / "interactive" / "element.js"
    script.parent.mkdir(parents=True)
    script.write_text("/" * 60_000)
    write(tmp_path, data.format("curves", "x" * 100_000) + '<script src="_static/interactive/element.js"></script>')
    assert check_site.static_faults(tmp_path) == [
        "index.html: interactive elements add 160 kB, at most 150 are allowed"]


def test_the_command_fails_with_a_line_for_each_fault(tmp_path, capsys):
    write(tmp_path, '<a href="lost.html">x</a>')
    assert check_site.main(["--static", "--site", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "index.html: lost.html does not exist\n"
    write(tmp_path, GOOD)
    assert check_site.main(["--static", "--site", str(tmp_path)]) == 0
    assert check_site.main(["--static", "--site", str(tmp_path / "none")]) == 2


# --- the book


def test_the_built_site_without_a_browser():
    if not (SITE / "index.html").is_file():
        skip_or_fail("the book is not built: make book")
    assert check_site.static_faults(SITE) == []


@pytest.mark.parametrize("name", check_site.pages_of(SITE) or ["index.html"])
def test_a_built_page_in_the_browser(chromium, name):
    if not (SITE / name).is_file():
        skip_or_fail("the book is not built: make book")
    found, log = site_checks.browser_faults(chromium, SITE, [name])
    assert found == []
    assert {visit["base"] for visit in log} == {"http", "file"}


def test_resnet_on_one_page_is_printed_on_one_sheet(chromium):
    page = "pages/one_page.html"
    if not (SITE / page).is_file():
        skip_or_fail("the book is not built; run make book")
    with site_browser.served(SITE) as base, site_browser.opened(chromium, base + page) as watched:
        pdf = watched.page.pdf(prefer_css_page_size=True)
    assert pdf.count(b"/Type /Page\n") == 1
