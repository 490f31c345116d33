"""What the browser tests share: Chromium, small pages, and the scripts of an element with the parts it needs."""

import contextlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
REQUIRED = os.environ.get("RESNET_LIB_REQUIRE_BROWSER") == "1"

if not REQUIRED:
    pytest.importorskip("playwright")
    pytest.importorskip("axe_playwright_python")

import site_browser  # noqa: E402
import site_checks  # noqa: E402
from resnet_book.page import POLICY  # noqa: E402


def skip_or_fail(reason):
    if REQUIRED:
        pytest.fail(f"{reason} (RESNET_LIB_REQUIRE_BROWSER=1)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    try:
        with site_browser.browser() as started:
            yield started
    except site_browser.NoBrowser as problem:
        skip_or_fail(str(problem))


def write(folder, body, name="index.html", head="", policy=POLICY):
    """A page that passes all checks, with `body` in it."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    (folder / name).write_text(
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">{meta}'
        f'<title>A page</title><link rel="icon" href="data:,">{head}</head>'
        f'<body><main class="bd-article"><h1>A page</h1>{body}</main></body></html>',
        encoding="utf-8")


def element_head(name, style=True):
    """Head of a page for one element: the book's style, and its scripts in the order in which the book loads them."""
    from resnet_book import elements

    known = elements.scripts(ROOT)
    parts = [known[part] for part in elements.with_parts(name, known)]
    look = "figure[hidden] { display: none }"
    if style:
        look = (ROOT / "web" / "static" / "book.css").read_text(encoding="utf-8")
    own = [sheet.read_text(encoding="utf-8") for part in parts if (sheet := part.with_suffix(".css")).exists()]
    return "".join([*(f"<style>{text}</style>" for text in (look, *own)),
                    *(f"<script>{part.read_text(encoding='utf-8')}</script>" for part in parts)])


@pytest.fixture
def faults(chromium, tmp_path):
    """Faults of one small page at 390 px: faults(body, check=…), over http."""

    def look(body, check=None, **more):
        write(tmp_path, body, **more)
        with site_browser.served(tmp_path) as base, \
                site_browser.opened(chromium, base + "index.html", width=390) as watched:
            found = check(watched.page) if check else []
            return found + site_checks.network_faults(watched, base)

    return look


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide", "phone"])
def page(request, chromium, folder):
    """The page in a test file's `folder`, opened from there, wide and light or narrow and dark."""
    width, theme = request.param
    with site_browser.opened(chromium, site_browser.file_address(folder) + "index.html", width=width,
                             theme=theme) as watched:
        watched.page.evaluate("(t) => { document.documentElement.dataset.theme = t; }", theme)
        yield watched.page
        assert watched.errors == [] and watched.violations() == []


@contextlib.contextmanager
def without_scripts(chromium, folder):
    """The page of a folder as a browser without JavaScript shows it."""
    context = chromium.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(site_browser.file_address(folder) + "index.html")
        yield page
    finally:
        context.close()


def is_accessible_and_fits_a_phone(faults, page):
    """Asserts it of what `faults` takes: light, not scrolling sideways, and dark."""
    assert faults(check=site_checks.axe_faults, **page) == []
    assert faults(check=site_checks.scroll_faults, **page) == []
    dark = {**page, "head": page["head"] + "<script>document.documentElement.dataset.theme = 'dark'</script>"}
    assert faults(check=site_checks.axe_faults, **dark) == []
