"""Chromium for the site checks and the screenshots: start it, serve the site, open a page and watch it."""

import contextlib
import functools
import http.server
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run")
# Runs before the page's own scripts, so that no violation is missed.
WATCH = """
globalThis.__violations = [];
document.addEventListener("securitypolicyviolation",
  (e) => __violations.push(`${e.violatedDirective}: ${e.blockedURI}`));
"""


class NoBrowser(OSError):
    """No Chromium on this machine."""


def find_browser():
    """Path of the system's Chromium.  Raises NoBrowser."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise NoBrowser(f"no browser found, looked for {', '.join(NAMES)}; apt-get install -y chromium")


@contextlib.contextmanager
def browser():
    """A headless Chromium of the system, through Playwright."""
    from playwright.sync_api import sync_playwright

    path = find_browser()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield chromium
        finally:
            chromium.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """The network log is kept by the browser."""


@contextlib.contextmanager
def served(folder):
    """`folder` over http on a free port of 127.0.0.1; yields the address, ending in '/'."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def file_address(folder):
    """Address of `folder` as a reader gets it by opening a file; ends in '/'."""
    return Path(folder).resolve().as_uri() + "/"


@dataclass
class Watched:
    """A page and what it asked for and complained about."""

    page: object
    requests: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    errors: list = field(default_factory=list)

    def violations(self):
        return self.page.evaluate("globalThis.__violations || []")


@contextlib.contextmanager
def opened(chromium, address, width=1280, height=900, theme="light"):
    """Open an address in a fresh context and wait until it is quiet and its mathematics is set."""
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme,
                                   reduced_motion="reduce")
    page = context.new_page()
    watched = Watched(page)
    page.add_init_script(WATCH)
    page.on("request", lambda r: watched.requests.append(r.url))
    page.on("requestfailed", lambda r: watched.failures.append(f"{r.url}: {r.failure}"))
    page.on("response", lambda r: r.status >= 400 and watched.failures.append(f"{r.url}: {r.status}"))
    page.on("console", lambda m: m.type == "error" and watched.errors.append(m.text))
    page.on("pageerror", lambda e: watched.errors.append(str(e)))
    try:
        page.goto(address, wait_until="load")
        settle(page)
        yield watched
    finally:
        context.close()


def settle(page):
    """Wait for MathJax, fonts and two frames of drawing; a redirection on the way is followed."""
    page.wait_for_load_state("networkidle")
    page.evaluate("""async () => {
        if (globalThis.MathJax?.startup?.promise) await MathJax.startup.promise;
        await document.fonts.ready;
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    }""")
