"""MyST inside a paragraph to Markdown that every notebook viewer knows: roles, links, images, values."""

import base64
import mimetypes
import os
import posixpath
import re
from pathlib import Path

from book import Book
from inline import inlines, split_role
from resnet_lib import values

LINK = re.compile(r"(?<!!)\[((?:[^\[\]`]|`[^`]*`|\[[^\]]*\])*)\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)(?:\{[^}]*\})?")
ATTRIBUTES = re.compile(r"(?:(?<=[\])*_])|^)\{[.#][\w .#=\"'%-]*\}", re.M)
SPAN = re.compile(r"(?<![!\]])\[([^\[\]\n]*)\]\{[.#][^}\n]*\}")  # [text]{.class}
LARGEST = 200_000  # bytes of a picture that goes into the notebook
HTML = {"sub": "sub", "superscript": "sup", "sup": "sup", "subscript": "sub", "kbd": "kbd"}
PLAIN = ("given", "guilabel", "samp", "index", "dfn")


class TranslationError(ValueError):
    """Something that has no counterpart in a notebook; the message says what and where."""


class Words:
    """Translates the text of one page. ``live`` collects the values that only a run can tell, ``used`` the terms."""

    def __init__(self, book: Book, name: str, fixed):
        self.book, self.name, self.fixed = book, name, fixed
        self.live: list[str] = []
        self.used: dict[str, str] = {}  # term -> anchor, in the order of first use

    def take_live(self) -> list[str]:
        """The expressions met since the last call, each once."""
        found, self.live = list(dict.fromkeys(self.live)), []
        return found

    def markdown(self, text: str, table: bool = False) -> str:
        """The text without roles. In a ``table`` live values become ⟨expression⟩, else ⟨name⟩ in bold."""
        text = re.sub(r"^\{[.#][^}\n]*\}[ \t]*\n", "", text, flags=re.M)
        text = IMAGE.sub(lambda m: self.image(m[2], m[1]), text)
        text = LINK.sub(lambda m: self._link(m[1], m[2]), text)
        done = []
        for piece in inlines(text):
            if piece.kind == "role":
                done.append(self._role(piece.name, piece.content, table))
            elif piece.kind == "text":
                done.append(ATTRIBUTES.sub("", SPAN.sub(r"\1", piece.source)))
            elif piece.kind != "comment":
                done.append(piece.source)
        return "".join(done)

    def _role(self, role: str, content: str, table: bool) -> str:
        text, target = split_role(content)
        if role == "val":
            return self._value(content, table)
        if role == "term":
            return self._term(text, target)
        if role in ("cite", "cite:p", "cite:t", "cite:ps", "cite:ts"):
            return self._cite(content, role.startswith("cite:t"))
        if role in ("ref", "numref", "eq", "prf:ref", "math:numref"):
            return self._reference(target, text if text != target else "")
        if role == "doc":
            return self.page_link(self._page(target), text if text != target else "")
        if role == "math":
            return f"${content}$"
        if role in ("code", "file", "py", "literal"):
            return f"`{content}`"
        if role in HTML:
            return f"<{HTML[role]}>{content}</{HTML[role]}>"
        if role == "abbr":
            return re.sub(r"\s*\(.*\)$", "", content)
        if role in PLAIN:
            return content
        raise TranslationError(f"{self.name}.md: no notebook knows the role {{{role}}}; see tools/notebooks/words.py")

    def _value(self, expression: str, table: bool) -> str:
        shown = self.fixed(expression)
        if shown is not None:
            return shown
        self.live.append(expression)
        return f"⟨{expression}⟩" if table else f"**⟨{values.name_of(expression)}⟩**"

    def _term(self, text: str, target: str) -> str:
        key = target.lower()
        if key not in self.book.terms:
            raise TranslationError(f"{self.name}.md: {{term}}`{target}` is not in the glossary")
        if key in self.used:
            return text
        self.used[key] = "term-" + re.sub(r"[^a-z0-9]+", "-", key).strip("-")
        return f"[*{text}*](#{self.used[key]})"

    def _cite(self, keys: str, textual: bool) -> str:
        found = []
        for key in keys.split(","):
            if key.strip() not in self.book.references:
                raise TranslationError(f"{self.name}.md: {{cite}}`{key.strip()}` is not in references.bib")
            r = self.book.references[key.strip()]
            label = f"{r.who} ({r.year})" if textual else f"{r.who} {r.year}"
            found.append(f'[{label}]({r.url} "{r.title.replace(chr(34), chr(39))}")' if r.url else label)
        return " and ".join(found) if textual else f"({'; '.join(found)})"

    def _reference(self, label: str, text: str) -> str:
        there = self.book.labels.get(label)
        if there is None:
            raise TranslationError(f"{self.name}.md: nothing has the label {label}")
        text = text or there.text
        if there.page != self.name:
            page = self.book.pages[there.page]
            return f"{text} of {self.page_link(there.page)}" if page.title else text
        return text if there.kind == "equation" else f"[{text}](#{label})"

    def _page(self, target: str) -> str:
        """The name of the page that a path means, seen from this page; "" where it is none."""
        path = target.removesuffix(".md")
        folder = posixpath.dirname(self.name)
        name = path.lstrip("/") if path.startswith("/") else posixpath.normpath(posixpath.join(folder, path))
        return name if name in self.book.pages else ""

    def page_link(self, name: str, text: str = "") -> str:
        """A link to another page: to its notebook, or, with a repository, to its source; else its name alone."""
        if not name:
            return text
        title = text or f"*{self.book.pages[name].title}*"
        if name in self.book.chapters:
            address = f"{posixpath.basename(name)}.ipynb"
            return f"[{title}]({colab(self.book, name) if self.book.repository else address})"
        if self.book.repository:
            return f"[{title}]({self.book.repository}/blob/{self.book.branch}/{name}.md)"
        return title

    def _link(self, text: str, target: str) -> str:
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        if target.startswith("#"):
            return self._reference(target[1:], text) if target[1:] in self.book.labels else f"[{text}]({target})"
        return self.page_link(self._page(target.partition("#")[0]), text) or text

    def image(self, target: str, alt: str) -> str:
        """A picture that is part of the notebook itself, or its description where it is too heavy."""
        if re.match(r"[a-z]+:", target):
            return f"![{alt}]({target})"
        base = self.book.root if target.startswith("/") else self.book.root / os.path.dirname(self.name)
        path = Path(base, target.lstrip("/"))
        data = path.read_bytes()
        if len(data) > LARGEST:
            return f"*({alt or 'A picture'}: on the page of the book.)*"
        return embedded(data, mimetypes.guess_type(path.name)[0] or "image/png", alt)


def embedded(data: bytes, kind: str, alt: str) -> str:
    """Markdown for a picture that carries its own bytes."""
    alt = re.sub(r"[\[\]\n]", " ", alt)
    return f"![{alt}](data:{kind};base64,{base64.b64encode(data).decode()})"


def colab(book: Book, name: str) -> str:
    """Where Colab opens a chapter's notebook."""
    path = re.sub(r"^https?://github\.com/", "", book.repository)
    return f"https://colab.research.google.com/github/{path}/blob/{book.branch}/{name}.ipynb"
