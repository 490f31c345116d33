"""What pages refer to: the other pages and their labels, the sources in references.bib, the terms of the glossary."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from pybtex.database import parse_string
from pybtex.richtext import Text

import parser
from parser import CodeCell, Directive, Exercise, Markdown, Math, Page, Target

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY, SOURCES = "pages/glossary", "pages/references.bib"


@dataclass(frozen=True)
class Reference:
    """An entry of references.bib: "He et al.", "2015", its title and address."""

    who: str
    year: str
    title: str
    url: str


@dataclass(frozen=True)
class Label:
    """What a label names: on which page (its path without the ending), and what to call it there."""

    page: str
    text: str
    kind: str  # "exercise", "equation", "section", "thing"


class Book:
    """All pages below a folder, parsed when they are asked for."""

    def __init__(self, root: Path = ROOT):
        self.root = Path(root)
        self.config = yaml.safe_load((self.root / "_config.yml").read_text(encoding="utf-8"))

    @property
    def repository(self) -> str:
        """The address of the public repository; "" where none is set (_config.yml, repository.url)."""
        return ((self.config.get("repository") or {}).get("url") or "").rstrip("/")

    @property
    def branch(self) -> str:
        return (self.config.get("repository") or {}).get("branch") or "main"

    @cached_property
    def pages(self) -> dict[str, Page]:
        """Pages by their path without the ending: "pages/intro", "chapters/degradation", …"""
        found = [*(self.root / "pages").glob("*.md"), *(self.root / "chapters").glob("*.md")]
        return {p.relative_to(self.root).with_suffix("").as_posix(): parser.read(p) for p in sorted(found)}

    @property
    def chapters(self) -> list[str]:
        """Pages that become notebooks."""
        return [name for name in self.pages if name.startswith("chapters/")]

    @cached_property
    def labels(self) -> dict[str, Label]:
        """What {ref} and {eq} may name. ValueError for a label that two things have."""
        found = {}
        for name, page in self.pages.items():
            for key, label in _labels(name, page):
                if key in found:
                    raise ValueError(f"{name}.md and {found[key].page}.md both have the label {key}")
                found[key] = label
        return found

    @cached_property
    def references(self) -> dict[str, Reference]:
        """The sources by their keys."""
        data = parse_string((self.root / SOURCES).read_text(encoding="utf-8"), "bibtex")
        return {key: _reference(entry) for key, entry in data.entries.items()}

    @cached_property
    def terms(self) -> dict[str, tuple[str, str]]:
        """The glossary: term in lower case -> (term, definition in MyST)."""
        found = {}
        for part in self.pages[GLOSSARY].walk(Directive) if GLOSSARY in self.pages else ():
            if part.name == "glossary":
                found |= _terms(part.body)
        return found


def _labels(name: str, page: Page):
    exercises = equations = 0
    waiting, things = [], {}
    for part in page.walk():
        if isinstance(part, Exercise):
            exercises += 1
            if part.label:
                yield part.label, Label(name, f"Exercise {exercises}", "exercise")
        elif isinstance(part, Math) and part.label:
            equations += 1
            yield part.label, Label(name, f"({equations})", "equation")
        elif isinstance(part, Target):
            waiting.append(part.name)
        elif isinstance(part, Markdown) and waiting and part.source.strip():
            heading = re.match(r"\s*#+ +(.+)", part.source)
            text = heading[1].strip() if heading else f"this place in {page.title}"
            yield from ((key, Label(name, text, "section")) for key in waiting)
            waiting = []
        elif isinstance(part, Directive) and not isinstance(part, CodeCell):
            key = part.options.get("label") or part.options.get("name")
            if key and part.name == "math":
                equations += 1
                yield key, Label(name, f"({equations})", "equation")
            elif key:
                kind = part.name.removeprefix("prf:")
                things[kind] = things.get(kind, 0) + 1
                yield key, Label(name, f"{kind.capitalize()} {things[kind]}", "thing")


def _reference(entry) -> Reference:
    names = [" ".join(person.prelast_names + person.last_names) for person in entry.persons.get("author", [])]
    names = [str(Text.from_latex(n)).strip("{}") for n in names]
    others = names[-1:] == ["others"] or len(names) > 2
    who = f"{names[0]} et al." if others else " and ".join(names)
    title = str(Text.from_latex(entry.fields.get("title", "")))
    return Reference(who, entry.fields.get("year", ""), title, entry.fields.get("url", ""))


def _terms(body: str) -> dict[str, tuple[str, str]]:
    found, names, lines = {}, [], []

    def close():
        definition = " ".join(" ".join(lines).split())
        found.update({n.lower(): (n, definition) for n in names})

    for line in body.splitlines():
        if line and not line[0].isspace():
            if lines:
                close()
                names, lines = [], []
            names.append(line.strip())
        elif line.strip():
            lines.append(line)
    close()
    return found
