"""What a page must do in a browser; each check takes an open page and returns faults, one line each."""

from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from site_browser import file_address, opened, served

PHONE = 390
HEAD_SHOWN_ON = "pages/intro.html"
THEMES = ("light", "dark")
# Faults of the theme that cannot be mended from outside: (rule, beginning of the selector).  Keep it short.
ALLOWED = ()
MATH_STATE = """() => ({
    sources: document.querySelectorAll(".math.notranslate").length,
    rendered: document.querySelectorAll("mjx-container").length,
    broken: document.querySelectorAll("mjx-merror, [data-mjx-error]").length,
})"""
# Words of drawings that have less contrast than 4.5 with the page behind them; axe looks at HTML only.
FAINT_WORDS = """() => {
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const behind = (node) => {
        for (let p = node; p; p = p.parentElement) {
            const color = getComputedStyle(p).backgroundColor;
            if (color !== "rgba(0, 0, 0, 0)") return color;
        }
        return "white";
    };
    const luminance = (...colors) => {
        for (context.fillStyle of colors) context.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
            .map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return [...document.querySelectorAll("svg text")].flatMap((text) => {
        if (!text.checkVisibility({ checkOpacity: true }) || !text.textContent.trim()) return [];
        const paper = behind(text), page = luminance("white", paper);
        const word = luminance("white", paper, getComputedStyle(text).fill);
        const contrast = (Math.max(page, word) + 0.05) / (Math.min(page, word) + 0.05);
        return contrast < 4.5 ? [`${text.textContent.trim()}, ${contrast.toFixed(1)}:1`] : [];
    });
}"""
# Elements that end right of the window and are not inside a box that scrolls or hides by itself.
TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const contained = (e) => {
        for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
            if (getComputedStyle(p).overflowX !== "visible") return true;
        return false;
    };
    const wide = [...document.body.querySelectorAll("*")]
        .filter((e) => e.getBoundingClientRect().right > width + 1 && !contained(e))
        .map((e) => e.tagName.toLowerCase() + (e.className && e.className.baseVal === undefined
            ? "." + [...e.classList].join(".") : ""));
    return [`${document.documentElement.scrollWidth} px wide`, ...wide.slice(0, 3)];
}"""


def network_faults(watched, base):
    """Requests to others, requests that failed, violations of the policy, errors in the console."""
    own = urlsplit(base)
    faults = []
    for address in watched.requests:
        parts = urlsplit(address)
        if parts.scheme not in ("data", "blob") and (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
            faults.append(f"foreign request: {address}")
    faults += [f"failed request: {failure}" for failure in watched.failures]
    faults += [f"policy violated: {violation}" for violation in watched.violations()]
    faults += [f"console: {error}" for error in watched.errors]
    return faults


def math_faults(page):
    state = page.evaluate(MATH_STATE)
    if state["broken"]:
        return [f"mathematics: {state['broken']} formulas broken"]
    if state["rendered"] < state["sources"]:
        return [f"mathematics: {state['rendered']} of {state['sources']} formulas rendered"]
    return []


def scroll_faults(page):
    found = page.evaluate(TOO_WIDE)
    return [f"scrolls sideways: {', '.join(found)}"] if found else []


def word_faults(page):
    return [f"faint word in a drawing: {found}" for found in page.evaluate(FAINT_WORDS)]


def player_faults(page):
    """Every frame player moves to its last frame with End and back by one with the left arrow."""
    faults = []
    for number, player in enumerate(page.query_selector_all("frame-player"), 1):
        frames = player.query_selector_all("figure.rn-frame")
        slider = player.query_selector("input[type=range]")
        if slider is None:
            faults.append(f"frame player {number}: no slider")
            continue
        seen = []
        for key in ("Home", "ArrowRight", "End", "ArrowLeft"):
            slider.press(key)
            seen.append([i for i, frame in enumerate(frames) if frame.is_visible()])
        last = len(frames) - 1
        if seen != [[0], [min(1, last)], [last], [max(last - 1, 0)]]:
            faults.append(f"frame player {number}: Home, right, End, left show frames {seen}")
        if not (slider.get_attribute("aria-valuetext") or "").strip():
            faults.append(f"frame player {number}: no aria-valuetext")
    return faults


def axe_faults(page, rules=(), contrast=True):
    """Violations that axe finds, less those listed in ALLOWED; of all its rules, of some, or of all but contrast."""
    faults = []
    # Without preload: axe would fetch imported style sheets again, from wrong addresses. With resultTypes it does not
    # work out a selector for every element that passed.
    options = {"preload": False, "resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    if not contrast:
        options["rules"] = {"color-contrast": {"enabled": False}}
    for violation in Axe().run(page, options=options).response["violations"]:
        for node in violation["nodes"]:
            selector = " ".join(map(str, node["target"]))
            if not any(violation["id"] == rule and selector.startswith(s) for rule, s in ALLOWED):
                faults.append(f"axe {violation['id']}: {selector}")
    return faults


def theme_faults(page, theme, contrast=True):
    """The page follows the system's light or dark setting, and axe finds nothing in it.

    Without ``contrast`` colors are not compared: on a phone they are those of the wide page, which has been looked at.
    """
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    try:
        page.wait_for_function("(t) => document.documentElement.dataset.theme === t", arg=theme, timeout=3000)
    except PlaywrightTimeout:
        return [f"the theme does not follow the system to {theme}"]
    # colors are all that a theme changes; what else axe looks for has been looked for in the light
    words = word_faults(page) if contrast else []
    if theme == THEMES[0]:
        return words + axe_faults(page, contrast=contrast)
    return words + axe_faults(page, rules=("color-contrast",)) if contrast else []


def search_faults(chromium, base):
    """The search page finds the word of the book."""
    with opened(chromium, base + "search.html?q=residual") as watched:
        watched.page.wait_for_timeout(1500)
        hits = watched.page.locator("#search-results li").count()
        faults = [] if hits else ["search for 'residual' finds nothing"]
        return faults + network_faults(watched, base)


def browser_faults(chromium, site, names):
    """All checks on all pages; returns (faults, log of visits)."""
    faults, log = [], []

    def note(label, found):
        faults.extend(f"{label}: {fault}" for fault in dict.fromkeys(found))

    def visit(base, name, width, checks, themes=(), contrast=True):
        label = f"{name} ({urlsplit(base).scheme}, {width} px)"
        with opened(chromium, base + name, width=width) as watched:
            note(label, [fault for check in checks for fault in check(watched.page)])
            for theme in themes:
                note(f"{label}, {theme}", theme_faults(watched.page, theme, contrast))
            note(label, network_faults(watched, base))
            log.append({"page": name, "base": urlsplit(base).scheme, "width": width,
                        "requests": watched.requests})

    with served(site) as web:
        for name in names:
            visit(web, name, 1280, (math_faults, scroll_faults, player_faults), THEMES)
            # opened as a file; what only a phone shows, the head of the page, is the same on all
            visit(file_address(site), name, PHONE, (math_faults, scroll_faults, player_faults), THEMES,
                  contrast=name == HEAD_SHOWN_ON)
        if "search.html" in names:
            for base in (web, file_address(site)):
                note(f"search.html ({urlsplit(base).scheme})", search_faults(chromium, base))
    return faults, log
