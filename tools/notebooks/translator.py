"""A parsed chapter to the cells of a notebook that Jupyter and Colab show without help from anything.

What only the builder of the book knows is said in plain Markdown: notes become quotations, exercises headings, a
starter a cell of the student's, a solution a folded part, an equation's label its number.
"""

from contextlib import contextmanager
import ast
import hashlib
import html
import re

from book import Book
from parser import (Admonition, Break, CodeCell, Comment, Directive, Exercise, Fence, Figure, FrontMatter, Interactive,
                    Margin, Markdown, Math, Raw, Solution, Target, blocks)
from words import TranslationError, Words, embedded

CONTAINERS = ("grid", "grid-item", "grid-item-card", "card", "tab-set", "tab-item", "div", "container", "epigraph",
              "pull-quote", "details")
DROPPED = ("bibliography", "contents", "tableofcontents", "index")
ON_THE_PAGE = "*(Here the page of the book has {}.)*"
PAGE_ONLY = "<!-- page only -->"  # in raw HTML that only serves what stands beside it: a notebook leaves it out
COLLAPSED = {"jp-MarkdownHeadingCollapsed": True, "heading_collapsed": True}


def imported(code: str) -> dict[str, str]:
    """The names that a cell imports at its top level, each with a line that does it; none of code with %magic."""
    try:
        nodes = ast.parse(code).body
    except SyntaxError:
        return {}
    found = {}
    for node in nodes:
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            name = ast.unparse(alias)
            line = f"import {name}" if isinstance(node, ast.Import) else f"from {node.module} import {name}"
            found[alias.asname or alias.name.partition(".")[0]] = line
    return found


def names_in(code: str) -> set[str]:
    """All names that a piece of Python mentions."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def not_the_readers(code: str) -> str:
    """A solution's cell whose verdict says so: whoever runs a whole notebook has not answered anything."""
    try:
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)
                 and isinstance(node.func, ast.Name) and node.func.id == "check"]
    except SyntaxError:
        return code
    lines = code.splitlines(keepends=True)
    for call in sorted(calls, key=lambda node: (node.end_lineno, node.end_col_offset), reverse=True):
        line = lines[call.end_lineno - 1].encode()
        lines[call.end_lineno - 1] = (line[:call.end_col_offset - 1] + b", solution=True"
                                      + line[call.end_col_offset - 1:]).decode()
    return "".join(lines)


class Cells:
    """The cells of one chapter, in order, made by `add` and `finish`."""

    def __init__(self, book: Book, name: str, fixed, note: str = ""):
        self.book, self.name, self.page = book, name, book.pages[name]
        self.words = Words(book, name, fixed)
        self.note = note
        self.done: list[dict] = []
        self.text: list[str] = []
        self.exercises = {e.label: i for i, e in enumerate(self.page.walk(Exercise), 1)}
        self.imports: set[str] = set()
        self.mark: dict = {}  # what the cells being written are a part of: see resnet_lib/course/cells.py
        self.late: list[Solution] = []

    # --- cells

    def markdown(self, text: str, **metadata) -> None:
        """Text, joined with what stands before it up to the last heading or code."""
        self.text.append(text.strip("\n"))
        if metadata:
            self.flush(**metadata)

    def flush(self, **metadata) -> None:
        """End the cell of text that is being written."""
        text = re.sub(r"\n{3,}", "\n\n", "\n\n".join(t for t in self.text if t.strip()))
        self.text = []
        if text:
            self.done.append({"cell_type": "markdown", "metadata": metadata | self._marked(), "source": text})

    def _marked(self) -> dict:
        return {"resnet": dict(self.mark)} if self.mark else {}

    @contextmanager
    def part_of(self, exercise: str, role: str):
        """The cells written inside belong to an exercise."""
        self.flush()
        self.mark, before = {"exercise": exercise, "role": role}, self.mark
        try:
            yield
            self.flush()
        finally:
            self.mark = before

    def code(self, code: str, tags=(), hidden: bool = False) -> None:
        """A cell of code; ``hidden`` folds its source in Jupyter and in Colab."""
        self.flush()
        metadata = {"tags": list(tags)} if tags else {}
        if hidden:
            metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
        if {"hide-output", "remove-output", "hide-cell", "remove-cell"} & set(tags):
            metadata |= {"collapsed": True, "jupyter": {**metadata.get("jupyter", {}), "outputs_hidden": True}}
        self.done.append({"cell_type": "code", "execution_count": None, "metadata": metadata | self._marked(),
                          "outputs": [], "source": code.rstrip("\n")})

    def tell(self, hidden: bool = False) -> None:
        """A cell that prints the live values of the text before it."""
        expressions = self.words.take_live()
        if not expressions:
            return
        if any(re.search(r"^(tell|fill)\b *=|^def (tell|fill)\b", c.code, re.M) for c in self.page.walk(CodeCell)):
            raise TranslationError(f"{self.name}.md: code cells must leave the names tell and fill alone")
        self.code(self._import("tell") + "tell(" + ",\n     ".join(f'"{e}"' for e in expressions) + ")", hidden=hidden)

    def _import(self, name: str) -> str:
        if name in self.imports:
            return ""
        self.imports.add(name)
        return f"from resnet_lib.values import {name}\n\n"

    # --- parts of a page

    def add(self, part, hidden: bool = False) -> None:
        """Append what a part becomes; ``hidden`` folds the code inside (solutions)."""
        if isinstance(part, Markdown):
            self._blocks(part, hidden)
        elif isinstance(part, CodeCell):
            code = not_the_readers(part.code) if self.mark.get("role") == "solution" else part.code
            self.code(code, part.tags, part.hidden or hidden)
        elif isinstance(part, Exercise):
            self._exercise(part)
        elif isinstance(part, Solution):
            self._solution(part)
        elif isinstance(part, Break):
            self.flush()
        else:
            self.markdown(self.render(part))
            self.tell(hidden)

    def _blocks(self, part: Markdown, hidden: bool) -> None:
        for kind, text in blocks(part.source):
            table = kind == "table"
            plain = self.words.markdown(text, table)
            if table and self.words.take_live():
                self.code(self._import("fill") + f'fill(r"""\n{plain.strip()}\n""")')
                continue
            if kind == "heading":
                self._heading(plain, hidden)
            else:
                self.markdown(plain)
            self.tell(hidden)

    def _heading(self, text: str, hidden: bool) -> None:
        if self.note and text.startswith("## "):
            self.markdown(self.note)
            self.note = ""
        if not hidden:  # inside a solution a cell of its own would end the fold
            self.flush()
        self.markdown(text)

    def _exercise(self, part: Exercise) -> None:
        title = f" ({self.words.markdown(part.argument)})" if part.argument else ""
        number = self.exercises[part.label]
        with self.part_of(part.label, "text"):
            self.markdown(f'### Exercise {number}{title}\n\n<a id="{part.label}"></a>')
            for inner in part.parts:
                if inner is part.starter:
                    with self.part_of(part.label, "starter"):
                        self.code(self._with_imports(inner.code), ["exercise"])
                else:
                    self.add(inner)

    def _with_imports(self, code: str) -> str:
        """A starter brings what it needs of the page's imports, and check: it runs where earlier cells did not."""
        used = names_in(code)
        lines = ["from resnet_lib.checks import check"] * ("check" not in imported(code))
        for cell in self.done:
            if cell["cell_type"] == "code":
                known = imported(cell["source"])
                lines += [known[name] for name in known if name in used - imported(code).keys()]
        return "\n".join([*dict.fromkeys(lines), "", code] if lines else [code])

    def _solution(self, part: Solution, again: bool = False) -> None:
        if part.label not in self.exercises:
            raise TranslationError(f"{self.name}.md:{part.line}: a solution of {part.label}, which is no exercise here")
        title = f"Solution of exercise {self.exercises[part.label]}"
        if not any(isinstance(p, CodeCell) for p in part.parts):
            inside = self.inside(part.parts)
            if not self.words.live:
                with self.part_of(part.label, "solution"):
                    self.markdown(f"<details>\n<summary>{title}</summary>\n\n{inside}\n\n</details>")
                return
            self.words.live = []
        if not again and not self._closed_by_a_heading(part):
            self.late.append(part)
            return
        with self.part_of(part.label, "solution"):
            self.markdown(f"#### {title}", **COLLAPSED)
            for inner in part.parts:
                self.add(inner, hidden=True)

    def _closed_by_a_heading(self, part: Solution) -> bool:
        """Whether what follows ends the fold: else the rest of the page would be folded away with the solution."""
        after = [p for p in self.page.parts[self.page.parts.index(part) + 1:] if p.source.strip()]
        first = after[0].source.lstrip() if after else "# end"
        return not after or isinstance(after[0], Exercise) or first.startswith(("# ", "## ", "### "))

    # --- parts as Markdown

    def inside(self, parts) -> str:
        """Several parts as one text."""
        return "\n\n".join(filter(None, (self.render(p).strip("\n") for p in parts)))

    def render(self, part) -> str:
        """A part without code cells, as Markdown."""
        if isinstance(part, Markdown):
            return self.words.markdown(part.source)
        if isinstance(part, Math):
            return self._math(part.body, part.label)
        if isinstance(part, Fence):
            ticks = "`" * (4 if "```" in part.code else 3)
            return f"{ticks}{part.language}\n{part.code.rstrip()}\n{ticks}"
        if isinstance(part, Target):
            return f'<a id="{part.name}"></a>'
        if isinstance(part, Comment | Break | FrontMatter):
            return ""
        if isinstance(part, Directive):
            return self._directive(part)
        raise TranslationError(f"{self.name}.md:{part.line}: no notebook knows a {type(part).__name__}")

    def _math(self, body: str, label: str) -> str:
        number = f" \\tag{{{self.book.labels[label].text.strip('()')}}}" if label else ""
        return f"$${body.rstrip()}{number}\n$$" if "\n" in body.strip("\n") else f"$$ {body.strip()}{number} $$"

    def _directive(self, part: Directive) -> str:
        name, title = part.name, self.words.markdown(part.argument)
        if isinstance(part, Margin):
            return quoted(f"**{title or 'Aside'}.** {self.inside(part.parts)}")
        if isinstance(part, Admonition):
            named = name not in ("admonition", "dropdown", "topic")
            head = name.capitalize() if named else title
            return quoted(f"**{head}**\n\n" + (f"{title}\n\n" if named and title else "") + self.inside(part.parts))
        if isinstance(part, Figure):
            picture = self.words.image(part.argument, str(part.options.get("alt", "")))
            return f"{picture}\n\n{self.inside(part.parts)}"
        if isinstance(part, Interactive):
            said = ON_THE_PAGE.format("an interactive figure")
            return quoted(f"{self.inside(part.parts)}\n\n{said}" if part.parts else said)
        if isinstance(part, Raw):
            return self._raw(part)
        if name == "math":
            label = part.options.get("label") or part.options.get("name") or ""
            return self._math(f"{part.argument}\n{part.body}".strip(), label)
        if name in ("code", "code-block", "sourcecode"):
            return f"```{part.argument}\n{part.body.strip(chr(10))}\n```"
        if name.startswith("prf:"):
            label = self.book.labels.get(str(part.options.get("label", "")))
            head = label.text if label else name.removeprefix("prf:").capitalize()
            return quoted(f"**{head}{f' ({title})' if title else ''}.** {self.inside(part.parts)}")
        if name in CONTAINERS:
            return (f"**{title}**\n\n" if title and "grid" not in name else "") + self.inside(part.parts)
        if name in DROPPED:
            return ""
        raise TranslationError(f"{self.name}.md:{part.line}: no notebook knows the directive {{{name}}}; see "
                               f"tools/notebooks/translator.py")

    def _raw(self, part: Raw) -> str:
        if part.argument.strip() != "html":
            return ""
        file = part.options.get("file")
        text = (self.book.root / self.name).parent.joinpath(file).read_text(encoding="utf-8") if file else part.body
        if PAGE_ONLY in text:
            return ""
        drawing = re.search(r"<svg\b.*</svg>", text, re.S)
        if not drawing:
            return ON_THE_PAGE.format("a part that a notebook cannot show")
        caption = re.search(r"<figcaption[^>]*>(.*?)</figcaption>", text, re.S)
        said = html.unescape(re.sub(r"<[^>]+>", "", caption[1])).strip() if caption else ""
        return f"{svg_picture(drawing[0])}\n\n" + (f"*{said}*" if said else "")

    def finish(self) -> list[dict]:
        """What stands behind the chapter: solutions that found no place before, and the words."""
        if self.late:
            self.flush()
            self.markdown("## Solutions")
            for part in self.late:
                self._solution(part, again=True)
        self.flush()
        if self.words.used:
            # a definition may use other terms: said plainly, since they have entries of their own or need none
            entries, known = [], dict(self.words.used)
            for key, anchor in sorted(known.items()):
                term, definition = self.book.terms[key]
                self.words.used = dict.fromkeys(self.book.terms, "")
                entries.append(f'<a id="{anchor}"></a>**{term}** · {self.words.markdown(definition)}')
            self.markdown("## Words\n\n" + "\n\n".join(entries))
            self.flush()
        return self.done


def quoted(text: str) -> str:
    """A quotation in Markdown."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def svg_picture(svg: str) -> str:
    """A drawing of the page as a picture on white: outside the page there are no theme colors to follow."""
    head, rest = svg.split(">", 1)
    alt = re.search(r'aria-label="([^"]*)"', head)
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', head)
    if box and " width=" not in head:
        head += f' width="{box[1]}" height="{box[2]}"'
    if "xmlns=" not in head:
        head += ' xmlns="http://www.w3.org/2000/svg"'
    head += ' style="background:#fff;color:#111112;font-family:Helvetica,Arial,sans-serif"'
    return embedded(f"{head}>{rest}".encode(), "image/svg+xml", html.unescape(alt[1]) if alt else "")


def identified(cells: list[dict], slug: str) -> list[dict]:
    """Cells with ids that stay as long as their content does; Colab's own id too, where it folds a heading."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha256(f"{slug}\0{cell['cell_type']}\0{cell['source']}".encode()).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if "heading_collapsed" in cell["metadata"]:
            cell["metadata"]["id"] = cell["id"]
    return cells
