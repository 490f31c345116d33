"""A comma behind a formula stays with it: browsers break lines between inline mathematics and punctuation."""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

BEHIND = re.compile(r"[-,.;:!?)\]’”]+(?:s\b)?")
BEFORE = re.compile(r"[(\[“‘]+$")


class Glue(SphinxPostTransform):
    default_priority = 900
    formats = ("html",)

    def run(self, **_):
        for math in list(self.document.findall(nodes.math)):
            glue(math)


def glue(math):
    """Wrap a formula and the punctuation that touches it into one element that is not broken."""
    parent = math.parent
    place = parent.index(math)
    before, behind = "", ""
    after = parent[place + 1] if place + 1 < len(parent) else None
    if isinstance(after, nodes.Text) and (found := BEHIND.match(after)):
        behind = found[0]
    if place and isinstance(parent[place - 1], nodes.Text) and (found := BEFORE.search(parent[place - 1])):
        before = found[0]
    if not before and not behind:
        return
    whole = nodes.inline("", classes=["rn-glue"])
    if behind:
        parent.replace(after, nodes.Text(after[len(behind):]))
    parent.replace(math, whole)
    if before:
        parent.replace(parent[place - 1], nodes.Text(parent[place - 1][:-len(before)]))
    whole.extend([nodes.Text(before)] * bool(before) + [math] + [nodes.Text(behind)] * bool(behind))


def setup(app):
    app.add_post_transform(Glue)
