"""The status page: `{status} versions` and `{status} records`, filled in when the page is written."""

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from .values import DATA_NAMES, duration

LOGGER = logging.getLogger(__name__)
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib", "scikit-learn", "jupyter-book")
RECORD_HEADS = ("Run", "Data", "Device", "Date", "Wall time", "Kind", "Id")
KINDS = ("versions", "records")


class pending_status(nodes.General, nodes.Element):
    """Stands for a table until all notebooks have run."""


class Status(SphinxDirective):
    required_arguments = 1

    def run(self):
        if self.arguments[0] not in KINDS:
            raise self.error(f"unknown status table {self.arguments[0]!r}; known: {', '.join(KINDS)}")
        self.pages.names(self.env).add(self.env.docname)
        return [pending_status(kind=self.arguments[0])]


def machine():
    """Processor and cores of this machine, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def version_rows():
    rows = [("Python", platform.python_version())]
    rows += [(name, importlib.metadata.version(name)) for name in PACKAGES]
    return [*rows, ("Machine", machine())]


def record_rows(experiments):
    """One row for each record that is valid for the present code and data."""
    rows = []
    for name, experiment in experiments.EXPERIMENTS.items():
        for tier_name, tier in experiment.tiers.items():
            for variant in tier.variants:
                try:
                    found = experiments.find(name, tier_name, variant, unfinished=True)
                except ValueError as problem:
                    LOGGER.warning("{status} records: %s", problem, type="resnet_book")
                    continue
                for record in sorted(found, key=lambda r: (r.seed, not r.live)):
                    rows.append(_record_row(name, tier_name, variant, record))
    return rows


def _record_row(name, tier, variant, record):
    devices = " + ".join(dict.fromkeys(s["device"] for s in record.segments))
    return (
        f"{name}/{tier}/{variant}-s{record.seed}",
        DATA_NAMES.get(record.data["name"], record.data["name"] or "none"),
        devices,
        max(s["date"] for s in record.segments)[:10],
        duration(sum(s["seconds"] for s in record.segments)),
        "live" if record.live else "recorded" if record.finished else
        f"unfinished, step {record.step:,} of {record.steps:,}",
        record.recipe_id[:8],
    )


def table(heads, rows, classes):
    """A docutils table; the last column is set in code type when its head is 'Id'."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in heads), cols=len(heads))
    group += nodes.thead("", _row(heads, False))
    group += nodes.tbody("", *(_row(row, heads[-1] == "Id") for row in rows))
    return nodes.table("", group, classes=["colwidths-auto", *classes])


def _row(cells, code_last):
    row = nodes.row()
    for index, text in enumerate(cells):
        last = code_last and index == len(cells) - 1
        row += nodes.entry("", nodes.paragraph("", "", nodes.literal("", text) if last else nodes.Text(text)))
    return row


def fill(pages, app, doctree, docname):
    for node in list(doctree.findall(pending_status)):
        if node["kind"] == "versions":
            node.replace_self(table(("What", "Version"), version_rows(), ["rn-versions"]))
            continue
        rows = record_rows(pages.experiments())
        if rows:
            node.replace_self(table(RECORD_HEADS, rows, ["rn-records"]))
        else:
            node.replace_self(nodes.paragraph("", "No records yet."))


def setup(app, pages):
    app.add_node(pending_status)
    app.add_directive("status", type("StatusOfBook", (Status,), {"pages": pages}))
    app.connect("doctree-resolved", functools.partial(fill, pages))
