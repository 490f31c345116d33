"""Checks of the built site: python tools/web/check_site.py [--static] [--site _build/html]

--static    links, anchors, resources, policy and weights; a second, nothing but Python
without     these, and every page in headless Chromium, over http and from file://

One line for each fault on stderr, exit status 1 if there is any; 2 if a check could not run.
"""

import argparse
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
           "embed": "src", "object": "data", "image": "href", "use": "href"}
LOADING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch",
                 "manifest"}
CSS_URL = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(https?:|//)""", re.IGNORECASE)


RAW_ROLE = re.compile(r"\{[a-z:-]+\}`[^`]{0,60}|^:::|^```|\$[A-Za-z\\][^$]{0,60}")
VERDICT = re.compile(r"^rn-verdict rn-(\w+)$")
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
CODE = {"script", "style", "pre", "code", "title"}
REPEATED = {"exercise-content", "solution-content"}  # sphinx-exercise gives all exercises of a page the same ids
ELEMENTS = "_static/interactive/"
ELEMENTS_LIMIT = 150_000  # bytes that the interactive elements add to a page, apart from weights of nets


class Page(HTMLParser):
    """What one page links to, loads and offers as targets."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.ids = [], [], {"", "top"}
        self.repeated = []  # ids that stand twice: a link leads to the first, whatever the second is
        self.policy, self.foreign_style = False, False
        self.verdicts = []  # "right", "wrong", …: what the checks of exercises say on the page
        self.raw = ""  # markup that was meant for the builder and reached the reader
        self.data, self._is_data = 0, False  # bytes of data for interactive elements, without weights of nets
        self._inside = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if values.get("id", "") in self.ids - REPEATED - {"", "top"}:
            self.repeated.append(values["id"])
        self.ids.add(values.get("id", ""))
        if tag == "a" and values.get("href") is not None:
            self.links.append(values["href"])
            self.ids.add(values.get("name", ""))
        if values.get(LOADING.get(tag)):
            self.loads.append(values[LOADING[tag]])
        for candidate in (values.get("srcset") or "").split(","):
            self.loads += candidate.split()[:1]
        if tag == "link" and LOADING_LINKS & set((values.get("rel") or "").lower().split()):
            self.loads.append(values.get("href") or "")
        if tag == "meta" and (values.get("http-equiv") or "").lower() == "content-security-policy":
            self.policy = "default-src 'self'" in (values.get("content") or "")
        self.verdicts += VERDICT.findall(values.get("class") or "")
        self._is_data = tag == "script" and values.get("type") == "application/json"
        if tag not in VOID:
            self._inside.append(tag)
        self._look_at_css(values.get("style") or "")

    def handle_endtag(self, tag):
        self._is_data = False
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self._inside[-1:] == ["style"]:
            self._look_at_css(data)
        elif self._is_data:
            self.data += len(data) - len(json.loads(data).get("weights", ""))
        elif not CODE & set(self._inside) and (found := RAW_ROLE.search(data)):
            self.raw = self.raw or found[0]

    def _look_at_css(self, css):
        self.foreign_style |= bool(CSS_URL.search(css))


def pages_of(site):
    """Addresses of all pages, relative to the site, with '/' between folders."""
    return sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html")
                  if "_static" not in p.relative_to(site).parts)


def static_faults(site):
    """Faults that can be seen without a browser, one line each."""
    site = Path(site).resolve()
    parsed = {name: Page((site / name).read_text(encoding="utf-8")) for name in pages_of(site)}
    faults = [] if parsed else [f"{site}: no pages"]
    for name, page in parsed.items():
        if not page.policy:
            faults.append(f"{name}: no Content-Security-Policy")
        if page.foreign_style:
            faults.append(f"{name}: a style loads from another host")
        faults += [f"{name}: the id {i} stands twice" for i in page.repeated]
        if page.raw:
            faults.append(f"{name}: markup reached the reader: {page.raw}")
        faults += [f"{name}: a solution is judged {v}" for v in page.verdicts if v != "right"]
        if (added := page.data + _bytes_loaded(site, name, page, ELEMENTS)) > ELEMENTS_LIMIT:
            faults.append(f"{name}: interactive elements add {added / 1000:.0f} kB, at most "
                          f"{ELEMENTS_LIMIT / 1000:.0f} are allowed")
        for address in page.loads:
            faults += _address_faults(site, name, address, parsed, loads=True)
        for address in page.links:
            faults += _address_faults(site, name, address, parsed, loads=False)
    for path in sorted(site.rglob("*.css")):
        if CSS_URL.search(path.read_text(encoding="utf-8", errors="replace")):
            faults.append(f"{path.relative_to(site).as_posix()}: loads from another host")
    return faults


def _address_faults(site, name, address, parsed, loads):
    parts = urlsplit(address)
    if parts.scheme in ("data", "blob", "mailto", "javascript"):
        return []
    if parts.scheme or parts.netloc:
        return [f"{name}: loads {address} from another host"] if loads else []
    target = (site / name).parent / unquote(parts.path) if parts.path else site / name
    target = target.resolve()
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file() or not target.is_relative_to(site):
        return [f"{name}: {address} does not exist"]
    page = parsed.get(target.relative_to(site).as_posix())
    fragment = unquote(parts.fragment)
    # '=' marks the state of an interactive element, which is no anchor.
    if page and fragment and "=" not in fragment and fragment not in page.ids:
        return [f"{name}: {address} has no such anchor"]
    return []


def _bytes_loaded(site, name, page, part=""):
    """Bytes of the files of the site that a page loads, each counted once; with `part` in their addresses."""
    files = {((site / name).parent / unquote(urlsplit(a).path)).resolve()
             for a in page.loads if part in a and not urlsplit(a).scheme}
    return sum(f.stat().st_size for f in files if f.is_file())


def weights(site):
    """Kilobytes of each page with all it loads from the site: {page: (html, everything)}."""
    site = Path(site).resolve()
    result = {}
    for name in pages_of(site):
        file = site / name
        html = file.stat().st_size
        rest = _bytes_loaded(site, name, Page(file.read_text(encoding="utf-8")))
        result[name] = (html / 1000, (html + rest) / 1000)
    return result


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--static", action="store_true", help="only what needs no browser")
    parser.add_argument("--log", type=Path, help="network log, default: site-check.json beside the site")
    options = parser.parse_args(argv)
    if not options.site.is_dir():
        print(f"error: {options.site} is not built; make book", file=sys.stderr)
        return 2
    faults = static_faults(options.site)
    for name, (html, everything) in weights(options.site).items():
        print(f"{everything:8.0f} kB, html {html:5.0f} kB  {name}")
    if not options.static:
        import site_browser
        import site_checks

        try:
            with site_browser.browser() as chromium:
                found, log = site_checks.browser_faults(chromium, options.site, pages_of(options.site))
        except site_browser.NoBrowser as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 2
        faults += found
        path = options.log or options.site.parent / "site-check.json"
        path.write_text(json.dumps({"faults": faults, "pages": log}, indent=1), encoding="utf-8")
        print(f"{len(log)} page visits, network log in {path}")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
