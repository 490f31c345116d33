"""The one parser of pages: MyST Markdown to typed parts, with line numbers.

    page = read("chapters/degradation.md")
    for cell in page.walk(CodeCell): ...
    for exercise in page.walk(Exercise): exercise.label, exercise.starter

markdown-it with the plug-ins that the build uses says where blocks begin and end; a part keeps its own text, so that
joining the parts gives the file back, byte for byte.  What stands inside a line is taken apart in inline.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin

from inline import checks_in

NAMED = ("attention", "caution", "danger", "error", "hint", "important", "note", "seealso", "tip", "warning")
RAW = ("raw", "math", "code", "code-block", "sourcecode", "literalinclude", "bibliography", "glossary", "status",
       "nb-exec-table", "image", "tableofcontents", "contents", "list-table", "csv-table", "include", "mermaid")
HEAD = re.compile(r"\{([^}\s]+)\}[ \t]*(.*)")
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)")


class SourceError(ValueError):
    """A page that cannot be parsed; the message begins with file and line."""


@dataclass(frozen=True)
class Part:
    """A piece of a page: the number of its first line, and its text as it stands there."""

    line: int
    source: str


class Markdown(Part):
    """Ordinary text: paragraphs, headings, lists, tables, and the blank lines around them."""


class Comment(Part):
    """A line that begins with % and is not shown."""


class Break(Part):
    """+++, which begins a new cell."""


@dataclass(frozen=True)
class FrontMatter(Part):
    data: dict


@dataclass(frozen=True)
class Target(Part):
    """(name)= before what it names."""

    name: str


@dataclass(frozen=True)
class Math(Part):
    """A displayed formula; ``label`` is "" where it has none."""

    body: str
    label: str = ""


@dataclass(frozen=True)
class Fence(Part):
    """A block of code that is not run."""

    language: str
    code: str
    code_line: int


@dataclass(frozen=True)
class Directive(Part):
    """Name, argument, options and body of a directive; ``parts`` are those of the body, where it is Markdown."""

    name: str
    argument: str
    options: dict
    body: str
    body_line: int
    parts: tuple[Part, ...] = ()


class CodeCell(Directive):
    """Code that the build runs."""

    @property
    def tags(self) -> list[str]:
        return list(self.options.get("tags") or [])

    @property
    def code(self) -> str:
        return self.body

    @property
    def hidden(self) -> bool:
        return bool({"hide-input", "remove-input", "hide-cell", "remove-cell"} & set(self.tags))


class Exercise(Directive):
    """An exercise; its title is the argument."""

    @property
    def label(self) -> str:
        return str(self.options.get("label", ""))

    @property
    def starter(self) -> Fence | None:
        """The block to be completed: Python whose last line is ``check("label", …)``."""
        found = [p for p in self.parts if isinstance(p, Fence) and checks_in(p.code)[-1:] == [self.label]
                 and p.code.rstrip().splitlines()[-1].startswith("check(")]
        return found[-1] if found else None


class Solution(Directive):
    """The solution of the exercise named by the argument; ``parts`` may hold code cells."""

    @property
    def label(self) -> str:
        return self.argument


class Margin(Directive):
    """A note in the margin."""


class Admonition(Directive):
    """A box: note, warning, … or admonition with a title of its own."""

    @property
    def title(self) -> str:
        return self.argument if self.name in ("admonition", "dropdown", "topic") else self.name.capitalize()


class Figure(Directive):
    """A picture from a file, with a caption."""


class Raw(Directive):
    """Markup for one format, passed through by the build."""


class Interactive(Directive):
    """An element of web/elements/; the body is its fall-back."""


KINDS = {"code-cell": CodeCell, "exercise": Exercise, "exercise-start": Exercise, "solution": Solution,
         "solution-start": Solution, "margin": Margin, "sidebar": Margin, "aside": Margin, "admonition": Admonition,
         "dropdown": Admonition, "topic": Admonition, "figure": Figure, "image": Figure, "raw": Raw,
         "interactive": Interactive} | dict.fromkeys(NAMED, Admonition)


@dataclass(frozen=True)
class Page:
    """A parsed file."""

    name: str
    parts: tuple[Part, ...]

    @property
    def source(self) -> str:
        return "".join(p.source for p in self.parts)

    @property
    def title(self) -> str:
        """The text of the first heading; "" where there is none."""
        found = re.search(r"^# +(.+?)\s*$", "\n".join(p.source for p in self.parts if isinstance(p, Markdown)), re.M)
        return found[1] if found else ""

    def walk(self, *kinds: type) -> Iterator[Part]:
        """All parts of these kinds (of any, without), also inside others, in order."""
        yield from _walk(self.parts, kinds or (Part,))


def _walk(parts, kinds):
    for part in parts:
        if isinstance(part, kinds):
            yield part
        yield from _walk(getattr(part, "parts", ()), kinds)


def read(path: str | Path) -> Page:
    """Parse a file. SourceError names file and line of what is not closed or cannot be read."""
    path = Path(path)
    return parse(path.read_bytes().decode("utf-8"), path.name)


def parse(text: str, name: str = "page") -> Page:
    """Parse a page. ``name`` is for messages."""
    return Page(name, _paired(_parts(text, 1, name), name))


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table").use(front_matter_plugin).use(colon_fence_plugin)
    return parser.use(dollarmath_plugin, allow_labels=True, double_inline=True).use(myst_block_plugin)


def _parts(text: str, line: int, name: str) -> tuple[Part, ...]:
    lines = LINE.findall(text)
    parts, done = [], 0
    for token in _markdown().parse(text):
        if token.map and token.level and token.type in ("fence", "colon_fence") and HEAD.match(token.info.strip()):
            raise SourceError(f"{name}:{line + token.map[0]}: a directive cannot stand inside a list or a quotation")
        made = None if token.level or not token.map else _part(token, lines, line, name)
        if made:
            start, end = token.map
            if start > done:
                parts.append(Markdown(line + done, "".join(lines[done:start])))
            parts.append(made)
            done = end
    if done < len(lines):
        parts.append(Markdown(line + done, "".join(lines[done:])))
    return tuple(parts)


def _part(token, lines: list[str], first: int, name: str) -> Part | None:
    start, end = token.map
    at, source = first + start, "".join(lines[start:end])
    if token.type in ("fence", "colon_fence"):
        last = lines[end - 1].strip()
        if end - start < 2 or set(last) != {token.markup[0]} or len(last) < len(token.markup):
            raise SourceError(f"{name}:{at}: this {token.markup} is never closed")
        head, inside = HEAD.fullmatch(token.info.strip()), "".join(lines[start + 1:end - 1])
        if not head:
            return Fence(at, source, token.info.strip(), inside, at + 1)
        return _directive(at, source, head[1], head[2].strip(), inside, name)
    if token.type in ("math_block", "math_block_label"):
        return Math(at, source, token.content, token.info if token.type == "math_block_label" else "")
    if token.type == "front_matter":
        return FrontMatter(at, source, yaml.safe_load(token.content) or {})
    if token.type == "myst_target":
        return Target(at, source, token.content)
    if token.type == "myst_line_comment":
        return Comment(at, source)
    return Break(at, source) if token.type == "myst_block_break" else None


def _directive(line: int, source: str, kind: str, argument: str, inside: str, page: str) -> Directive:
    options, taken = _options(inside, f"{page}:{line}")
    rest = LINE.findall(inside)[taken:]
    body, body_line = "".join(rest), line + 1 + taken
    made = KINDS.get(kind, Directive)(line, source, kind, argument, options, body, body_line)
    if made.name in RAW or isinstance(made, CodeCell):
        return made
    return replace(made, parts=_paired(_parts(body, body_line, page), page))


def _options(inside: str, where: str) -> tuple[dict, int]:
    """Options of a directive, and how many lines of its text they take."""
    lines = LINE.findall(inside)
    found, count = [], 0
    if lines and lines[0].strip() == "---":
        count = next((i + 1 for i, text in enumerate(lines) if i and text.strip() == "---"), 0)
        found = lines[1:count - 1]
    else:
        while count < len(lines) and (option := OPTION.fullmatch(lines[count].rstrip())):
            found.append(f"{option[1]}: {_quoted(option[2])}\n")
            count += 1
    try:
        return yaml.safe_load("".join(found)) or {}, count
    except yaml.YAMLError as problem:
        raise SourceError(f"{where}: options that are no YAML: {problem}") from problem


def _quoted(value: str) -> str:
    """An option's value as YAML reads it: a list as it is, anything else as text."""
    return value if value.startswith(("[", "{")) or not value else "'" + value.replace("'", "''") + "'"


def _paired(parts: tuple[Part, ...], name: str) -> tuple[Part, ...]:
    """Solutions and exercises that are written as -start … -end, as single parts."""
    done, opened = [], None
    for part in parts:
        kind = getattr(part, "name", "")
        if kind in ("solution-start", "exercise-start"):
            if opened:
                raise SourceError(f"{name}:{part.line}: {opened[0].name} of line {opened[0].line} is not ended")
            opened = [part]
        elif kind in ("solution-end", "exercise-end"):
            if not opened or opened[0].name != kind.replace("end", "start"):
                raise SourceError(f"{name}:{part.line}: {kind} without its start")
            head, inside = opened[0], tuple(opened[1:])
            body = "".join(p.source for p in inside)
            done.append(replace(head, source=head.source + body + part.source, body=body, parts=inside,
                                body_line=inside[0].line if inside else part.line))
            opened = None
        else:
            (opened if opened else done).append(part)
    if opened:
        raise SourceError(f"{name}:{opened[0].line}: this {opened[0].name} is never ended")
    return tuple(done)


def blocks(text: str) -> list[tuple[str, str]]:
    """Markdown as (kind, text) of its blocks, such as "paragraph"; each takes the blank lines after it."""
    lines = LINE.findall(text)
    opened = [t for t in _markdown().parse(text) if not t.level and t.map and not t.type.endswith("_close")]
    starts = [t.map[0] for t in opened] + [len(lines)]
    if opened:
        starts[0] = 0
    return [(token.type.removesuffix("_open"), "".join(lines[a:b])) for token, a, b in
            zip(opened, starts, starts[1:], strict=False)] or ([("blank", text)] if text else [])
