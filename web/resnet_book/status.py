"""The status page: `{status} versions` and `{status} records`, filled in when the page is written."""

import functools
import importlib.metadata
import os
import platform

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from resnet_lib.wording import TITLES, duration

LOGGER = logging.getLogger(__name__)
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib", "scikit-learn", "jupyter-book")
RECORD_HEADS = ("Run", "Data", "Device", "Date", "Wall time", "Kind", "Id")
MEMORY_HEADS = ("Experiment", "Tier", "Device", "Host memory", "GPU memory")
KINDS = ("versions", "records", "memory")


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
    from resnet_lib.machine import cpu_name  # torch comes with it, which by now the notebooks have paid for

    return f"{cpu_name()}, {os.cpu_count()} cores, {platform.system()}"


def version_rows():
    rows = [("Python", platform.python_version())]
    rows += [(name, importlib.metadata.version(name)) for name in PACKAGES]
    return [*rows, ("Machine", machine())]


def _records(experiments):
    """(experiment, tier, variant, record) of each record that is valid for the present code and data."""
    for name, experiment in experiments.EXPERIMENTS.items():
        for tier_name, tier in experiment.tiers.items():
            for variant in tier.variants:
                try:
                    found = experiments.find(name, tier_name, variant, unfinished=True)
                except ValueError as problem:
                    LOGGER.warning("{status} records: %s", problem, type="resnet_book")
                    continue
                for record in sorted(found, key=lambda r: (r.seed, not r.live)):
                    yield name, tier_name, variant, record


def record_rows(experiments):
    """One row for each record."""
    return [_record_row(*found) for found in _records(experiments)]


def memory_rows(experiments):
    """One row for each experiment, tier and device: the most memory that a process training it held."""
    most = {}
    for name, tier, _, record in _records(experiments):
        for segment in record.segments:
            held = most.setdefault((name, tier, segment["device"]), {"host": 0, "device": 0})
            for where, count in segment.get("peak_memory", {}).items():
                held[where] = max(held[where], count or 0)
    return [(*key, size(held["host"]), size(held["device"])) for key, held in most.items() if any(held.values())]


def size(count):
    """Bytes in words; a dash for none."""
    return f"{count / 1e9:.2f} GB" if count else "–"


def _record_row(name, tier, variant, record):
    devices = " + ".join(dict.fromkeys(s["device"] for s in record.segments))
    return (
        f"{name}/{tier}/{variant}-s{record.seed}",
        TITLES.get(record.data["name"], record.data["name"] or "none"),
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
        text = text.replace("/", "/\u200b")  # where a long name may be broken
        row += nodes.entry("", nodes.paragraph("", "", nodes.literal("", text) if last else nodes.Text(text)))
    return row


def fill(pages, app, doctree, docname):
    makers = {"versions": (("What", "Version"), lambda _: version_rows()), "records": (RECORD_HEADS, record_rows),
              "memory": (MEMORY_HEADS, memory_rows)}
    for node in list(doctree.findall(pending_status)):
        heads, rows_of = makers[node["kind"]]
        rows = rows_of(pages.experiments())
        if rows:
            node.replace_self(table(heads, rows, [f"rn-{node['kind']}"]))
        else:
            node.replace_self(nodes.paragraph("", "No records yet."))


def setup(app, pages):
    app.add_node(pending_status)
    app.add_directive("status", type("StatusOfBook", (Status,), {"pages": pages}))
    app.connect("doctree-resolved", functools.partial(fill, pages))
