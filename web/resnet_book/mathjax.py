"""Mathematics without a network: the few MathJax files that pages need, out of the 24 MB of the wheel."""

import importlib.util
import shutil
from pathlib import Path

from sphinx.errors import ExtensionError

SCRIPT = "tex-chtml.js"
# Loaded on demand by the script: macros of less common packages.  The rest (speech, other inputs and
# outputs, bundles of everything) is not reachable from it, or names a foreign host.
EXTENSIONS = "input/tex/extensions"
BUNDLES = ("all-packages.js", "physics.js", "mhchem.js")
FONTS = "output/chtml/fonts/woff-v2"


def source_folder():
    """MathJax inside the wheel sphinx-mathjax-offline (its name is no identifier, so it is not imported)."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None:
        raise ExtensionError("sphinx-mathjax-offline is missing: pip install -r requirements.txt")
    return Path(spec.origin).parent / "static" / "mathjax"


def needed_files(source):
    """Paths below `source`, relative, that go into the site."""
    parts = [source / SCRIPT, *(source / EXTENSIONS).glob("*.js"), *(source / FONTS).glob("*.woff")]
    return sorted(p.relative_to(source) for p in parts if p.name not in BUNDLES)


def copy_files(app):
    """Before pages are written, so that the address of the script can carry its checksum."""
    if app.builder.format != "html":
        return
    source, target = source_folder(), Path(app.outdir) / "_static" / "mathjax"
    for name in needed_files(source):
        if not (target / name).is_file() or (target / name).stat().st_size != (source / name).stat().st_size:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def configure(app, config):
    config.mathjax_path = f"mathjax/{SCRIPT}"
    options = config.mathjax3_config or {}
    # The menu would load the speech engine, which names a foreign host; hidden MathML serves screen readers.
    options.setdefault("options", {}).update(enableMenu=False, enableAssistiveMml=True)
    config.mathjax3_config = options


def setup(app):
    app.setup_extension("sphinx.ext.mathjax")
    app.connect("config-inited", configure)
    app.connect("builder-inited", copy_files)
