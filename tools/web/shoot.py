"""Pictures of built pages, to look at: python tools/web/shoot.py chapters/degradation.html [...] --out FOLDER"""

import argparse
import sys
from pathlib import Path

from site_browser import NoBrowser, browser, opened, served

ROOT = Path(__file__).resolve().parents[2]


def shoot(chromium, base, page, out, widths=(1280, 390), themes=("light", "dark"), whole=True):
    """Save one PNG for each width and theme; returns the paths."""
    paths = []
    for width in widths:
        for theme in themes:
            with opened(chromium, base + page, width=width, theme=theme) as watched:
                path = Path(out) / f"{page.removesuffix('.html').replace('/', '-')}-{width}-{theme}.png"
                watched.page.screenshot(path=path, full_page=whole)
                paths.append(path)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", help="pages of the site, e.g. pages/intro.html")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "shots")
    parser.add_argument("--widths", type=int, nargs="+", default=[1280, 390])
    parser.add_argument("--themes", nargs="+", choices=["light", "dark"], default=["light", "dark"])
    parser.add_argument("--screen", action="store_true", help="one screenful instead of the whole page")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with browser() as chromium, served(options.site) as base:
            for page in options.pages:
                found = shoot(chromium, base, page, options.out, options.widths, options.themes,
                              not options.screen)
                print(*found, sep="\n")
    except NoBrowser as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
