"""Every page: the content security policy, theme options, and what the theme loads but nobody needs."""

import hashlib
import re
import shutil
from pathlib import Path

# Nothing from another host, enforced by the browser.  Inline scripts are the theme's and MathJax's settings.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "worker-src blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
HEAD = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
# The theme learns only at the end of the page that the system is dark, which flashes white.
EARLY_THEME = """<script>
try {
  if ((localStorage.getItem("mode") || "auto") === "auto") {
    localStorage.setItem("mode", "auto");
    localStorage.setItem("theme", matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  }
} catch (error) { /* storage is blocked: the theme decides */ }
</script>
"""
REDIRECT = """<!DOCTYPE html>
<html lang="{lang}">
<head><meta charset="utf-8">
{head}<meta http-equiv="refresh" content="0; url={first}.html">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title></head>
<body><main><h1>{title}</h1><p><a href="{first}.html">{title}</a></p></main></body>
</html>
"""
UNUSED = ("_static/scripts/fontawesome.js", "_static/scripts/fontawesome.js.LICENSE.txt")
CHINESE = re.compile(r"[\u4e00-\u9fff]+(?![^<>]*>)")  # outside of tags
PROSE = re.compile(  # what is not in the first group
    r"(<(script|style|pre|svg|code|select|textarea)\b.*?</\2>|<(span|div) class=\"math\b.*?</\3>|<[^>]*>)|[^<]+",
    re.DOTALL)
APOSTROPHE = re.compile(r"(?<=\w)(?:'|&#x27;|&#39;)(?=\w)")
# number and unit, a deviation and its sign, a table and its number, a separator and what stands before it
TOGETHER = re.compile(
    r"(?<=\d)\s(?=(?:%|(?:points?|pixels?|bits?|threads?|rounds?|layers?|blocks?|channels?|steps?|epochs?|seeds?|ms|min|s|h"
    r"|[kMG]B|[MG]MAC|[TP]FLOP)\b))|(?<=±)\s(?=\d)|\s(?=· )|(?<=\b\w)\s(?== \d)|(?<=\b\w =)\s(?=\d)"
    r"|(?<=\bseed)\s(?=\d)|(?<=\b(?:Table|block|seeds))\s(?=\d)|(?<=\b(?:Figure|stride))\s(?=\d)|(?<=\bExercise)\s(?=\d)")
WHOLE = re.compile(r"\b[A-Za-z]{2,}\d*-\d[\w-]*|\b\d{4}-\d\d-\d\d\b")  # a net's name, a date
HERE = Path(__file__).parent


def configure(app, config):
    """Theme options; here because `html_theme_options` in _config.yml would wipe what Jupyter Book sets."""
    config.templates_path = [*config.templates_path, str(HERE / "templates")]
    options = config.html_theme_options = dict(config.html_theme_options)
    options.update(
        navbar_persistent=[],
        show_toc_level=2,
        footer_content_items=["copyright.html", "extra-footer.html"],
        use_fullscreen_button=False,
        use_download_button=False,
        pygments_light_style="a11y-high-contrast-light",
        pygments_dark_style="a11y-high-contrast-dark",
    )
    has_address = bool(options.get("repository_url"))
    options.update(use_repository_button=has_address, use_issues_button=has_address)
    if not has_address:
        options["launch_buttons"] = {}
    config.resnet_book_code = _hash(HERE.rglob("*.*"))
    web = Path(app.srcdir) / "web"
    config.resnet_book_assets = _hash([*(web / "static").rglob("*"), *(web / "elements").glob("*")])


def _hash(paths):
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.suffix != ".pyc" and path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def add_policy(app, pagename, templatename, context, doctree):
    context["metatags"] = HEAD + EARLY_THEME + context.get("metatags", "")


def launch_only_notebooks(app, pagename, templatename, context, doctree):
    """No launch button where there is no .ipynb beside the page: it would link to the .md, which Colab cannot open."""
    if not Path(app.srcdir, f"{pagename}.ipynb").is_file():
        buttons = context.get("header_buttons") or []
        buttons[:] = [b for b in buttons if b.get("label") != "launch-buttons"]


def repair_body(app, pagename, templatename, context, doctree):
    """Roles that docutils gives the list of cited papers: one is deprecated, the other lacks its items.

    And the language of Chinese terms, which a screen reader would else spell with an English voice, and spaces at which
    no line may end.
    """
    body = context.get("body") or ""
    if "citation-list" in body:
        body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        body = body.replace(' role="doc-biblioentry"', "")
    if pagename.endswith("glossary"):
        body = CHINESE.sub(r'<span lang="zh-Hans">\g<0></span>', body)
    if body:
        context["body"] = PROSE.sub(lambda found: found[0] if found[1] else _set(found[0]), body)


def _set(text):
    """Text of a page in which no line ends within a name, or between a number and its unit; with printed apostrophes,
    which MyST sees to in the source but not in what cells give out."""
    text = APOSTROPHE.sub("’", text)
    return WHOLE.sub(r'<span class="rn-whole">\g<0></span>', TOGETHER.sub("\xa0", text))


def finish(app, exception):
    """The way in, and away with files that no page asks for."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    first = app.config.root_doc
    if first != "index":
        text = REDIRECT.format(head=HEAD, first=first, title=app.config.html_title, lang=app.config.language)
        (out / "index.html").write_text(text, encoding="utf-8")
    # The theme copies executed notebooks there for launch buttons, solutions and all; no page links to them.
    shutil.rmtree(out / "_sources", ignore_errors=True)
    for path in [*(out / "_static").rglob("*.map"), *(out / name for name in UNUSED)]:
        path.unlink(missing_ok=True)


def setup(app):
    # A change of this extension reads all pages again; one of a style or script writes them again, which
    # Sphinx would put off, with the copying of the file itself, until some page changes.
    app.add_config_value("resnet_book_code", "", "env", str)
    app.add_config_value("resnet_book_assets", "", "html", str)
    # Jupyter Book sets this even where its extension for comments is not loaded.
    app.add_config_value("comments_config", {}, "", dict)
    app.connect("config-inited", configure)
    app.connect("html-page-context", repair_body)
    app.connect("html-page-context", launch_only_notebooks, priority=600)  # after the theme has made the buttons
    # Late, so that nothing is put before the policy.
    app.connect("html-page-context", add_policy, priority=900)
    # Last: the table of contents writes a redirection of its own, without policy and title.
    app.connect("build-finished", finish, priority=900)
