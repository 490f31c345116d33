"""The notebooks as one file to take away, in the root of the site; the introduction links to it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write(app, exception):
    if exception is not None or app.builder.format != "html" or Path(app.srcdir).resolve() != ROOT:
        return
    tools = str(ROOT / "tools" / "notebooks")
    if tools not in sys.path:
        sys.path.insert(0, tools)
    import bundle

    Path(app.outdir, bundle.ZIP).write_bytes(bundle.bundle(ROOT))


def setup(app):
    app.connect("build-finished", write)
