"""The directive `{interactive} NAME` and the scripts in web/elements/: custom elements, and the parts they share.

A script whose name has a hyphen defines the element of that name; the others are parts. The comment at a script's head
ends with the parts it needs, in order: ``needs: page, engine``. A style sheet of the same name is loaded with it."""

import html
import json
import re
import shutil
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from resnet_lib.files import inline_json

ATTRIBUTE = re.compile(r"[a-z][a-z0-9-]*")
NEEDS = re.compile(r"\A/\*.*?\bneeds: ([a-z, ]+?)\s*\*/", re.DOTALL)


class interactive(nodes.General, nodes.Element):
    """A custom element; its children are what readers without JavaScript, paper and notebooks get."""


class AnyOption(dict):
    """Options of `{interactive}` become attributes, so their names are the element's own business."""

    def __bool__(self):
        return True

    def __contains__(self, name):
        return True

    def __missing__(self, name):
        return directives.unchanged


def scripts(folder):
    """All scripts of web/elements/: name -> path."""
    return {path.stem: path for path in sorted(Path(folder, "web", "elements").glob("*.js"))}


def elements(folder):
    """Those that define an element, which always has a hyphen in its name."""
    return [name for name in scripts(folder) if "-" in name]


def with_parts(name, known):
    """`name` after the parts that it needs, in the order in which they load.  KeyError for an unknown part."""
    found = NEEDS.match(known[name].read_text(encoding="utf-8"))
    needed = [part.strip() for part in found[1].split(",")] if found else []
    return list(dict.fromkeys([*(loaded for part in needed for loaded in with_parts(part, known)), name]))


class Interactive(SphinxDirective):
    """Put an element on the page.

        :::{interactive} curve-explorer
        :data: curves.json
        :label: step

        A sentence or a figure for readers without JavaScript.
        :::
    """

    required_arguments = 1
    has_content = True
    option_spec = AnyOption()

    def run(self):
        name = self.arguments[0]
        known = elements(self.env.srcdir)
        if name not in known:
            raise self.error(f"unknown interactive element {name!r}; known: {', '.join(known) or 'none'}")
        node = interactive(name=name, attributes_={}, data=None)
        for option, value in self.options.items():
            if option == "data":
                node["data"] = self._data(value)
            elif ATTRIBUTE.fullmatch(option) and not option.startswith("on"):
                node["attributes_"][option] = value or ""
            else:
                raise self.error(f"{option!r} cannot be an attribute of <{name}>")
        self.set_source_info(node)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]

    def _data(self, filename):
        relative, path = self.env.relfn2path(filename)
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise self.error(f":data: {filename}: {problem}") from problem
        self.env.note_dependency(relative)
        return inline_json(data)


def visit_html(self, node):
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in node["attributes_"].items())
    self.body.append(f"<{node['name']}{attributes}>\n")


def depart_html(self, node):
    if node["data"] is not None:
        self.body.append(f'<script type="application/json">{node["data"]}</script>\n')
    self.body.append(f"</{node['name']}>\n")


def _pass(self, node):
    """Other formats show the fall-back alone."""


def copy_scripts(app):
    if app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "interactive"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in scripts(app.srcdir).values():
        for file in (path, path.with_suffix(".css")):
            if file.exists():
                shutil.copyfile(file, target / file.name)


def used_elements(body, names):
    """Which of `names` stand as tags in the HTML of a page, from a directive or from a notebook's output."""
    return [name for name in names if re.search(rf"<{re.escape(name)}[\s>]", body)]


def load_scripts(app, pagename, templatename, context, doctree):
    known = scripts(app.srcdir)
    used = used_elements(context.get("body") or "", elements(app.srcdir))
    for name in dict.fromkeys(loaded for element in used for loaded in with_parts(element, known)):
        app.add_js_file(f"interactive/{name}.js", defer="defer")
        if known[name].with_suffix(".css").exists():
            app.add_css_file(f"interactive/{name}.css")


def setup(app):
    app.add_node(interactive, html=(visit_html, depart_html), latex=(_pass, _pass), text=(_pass, _pass))
    app.add_directive("interactive", Interactive)
    app.connect("builder-inited", copy_scripts)
    app.connect("html-page-context", load_scripts)
