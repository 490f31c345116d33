"""The `{val}` role: a placeholder while pages are read, a number when they are written.

Live runs come into being while the notebooks of the same build execute, so nothing is looked up earlier.
"""

import functools
import importlib
import json

from docutils import nodes
from docutils.parsers.rst import roles
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from resnet_lib import values

from .cache import library_folder

LOGGER = logging.getLogger(__name__)


class pending_value(nodes.Inline, nodes.TextElement):
    """Stands for a number until the page is written."""


class shown_value(nodes.Inline, nodes.TextElement):
    """A number with its origin, shown when a pointer rests on it."""


class LatePages:
    """Pages whose text depends on records, and the records as this build sees them.

    The names of the pages live in the environment, so that an incremental build knows them."""

    def __init__(self):
        self._experiments = None

    def names(self, env):
        if not hasattr(env, "resnet_late_pages"):
            env.resnet_late_pages = set()
        return env.resnet_late_pages

    def forget(self, app, env, docname):
        self.names(env).discard(docname)

    def experiments(self):
        """resnet_lib.experiments with a remembered find: pages ask for the same records many times."""
        if self._experiments is None:
            self._experiments = Remembered(importlib.import_module("resnet_lib.experiments"))
        return self._experiments


class Remembered:
    """EXPERIMENTS and find of a module; each record is looked for once."""

    def __init__(self, module):
        self.EXPERIMENTS = module.EXPERIMENTS
        self.find = functools.cache(module.find)


@functools.cache
def published():
    """The numbers taken from papers: {key: {"source": ..., "values": {variant: {field: number}}}}."""
    path = library_folder() / "published.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


class ValueRole(SphinxRole):
    def __init__(self, pages):
        self.pages = pages

    def run(self):
        node = pending_value(self.rawtext, "…", expression=" ".join(self.text.split()))
        self.set_source_info(node)
        self.pages.names(self.env).add(self.env.docname)
        return [node], []


def resolve_values(pages, app, doctree, docname):
    for node in list(doctree.findall(pending_value)):
        try:
            shown = values.resolve(node["expression"], pages.experiments(), published())
        except values.ValueProblem as problem:
            LOGGER.warning("{val}`%s`: %s", node["expression"], problem, location=node, type="resnet_book")
            node.replace_self(nodes.inline("", "??", classes=["rn-missing"]))
        else:
            node.replace_self(shown_value("", shown.text, origin=shown.origin))


def visit_shown_html(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="rn-val", title=node["origin"]))


def depart_shown_html(self, node):
    self.body.append("</span>")


def _pass(self, node):
    """Nothing around the text: other formats, and the placeholder in tables of contents."""


def setup(app, pages):
    app.add_node(pending_value, html=(_pass, _pass), latex=(_pass, _pass), text=(_pass, _pass))
    app.add_node(shown_value, html=(visit_shown_html, depart_shown_html), latex=(_pass, _pass),
                 text=(_pass, _pass))
    app.add_role("val", ValueRole(pages))
    # A number that is quoted, assumed or given by definition: shown as it is; the lint of bare results passes it.
    app.add_role("given", roles.GenericRole("given", nodes.inline))
    app.connect("env-purge-doc", pages.forget)
    app.connect("doctree-resolved", functools.partial(resolve_values, pages))
