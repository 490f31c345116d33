"""What stands inside a line of MyST Markdown: roles, code, mathematics."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Inline:
    """A piece of text: kind "text", "role", "code", "math" or "comment"; ``content`` is without its marks."""

    kind: str
    source: str
    content: str = ""
    name: str = ""


INLINE = re.compile(
    r"(?P<comment><!--.*?-->)"
    r"|\{(?P<role>[a-zA-Z][\w:+-]*)\}(?P<rt>`+)(?!`)(?P<rc>(?:(?!\n[ \t]*\n).)+?)(?<!`)(?P=rt)(?!`)"
    r"|(?P<ct>(?<![\\`])`+)(?!`)(?P<code>(?:(?!\n[ \t]*\n).)+?)(?<!`)(?P=ct)(?!`)"
    r"|(?<!\\)\$\$(?P<display>(?:(?!\n[ \t]*\n)[^$])+)\$\$"
    r"|(?<![\\$])\$(?![\s$])(?P<math>(?:(?!\n[ \t]*\n)(?:\\.|[^$\\]))+?)(?<!\s)\$(?![\d$])", re.S)


def inlines(text: str) -> Iterator[Inline]:
    """Text taken apart; joining the sources gives it back."""
    done = 0
    for m in INLINE.finditer(text):
        if m.start() > done:
            yield Inline("text", text[done:m.start()])
        if m["comment"]:
            yield Inline("comment", m[0])
        elif m["role"]:
            yield Inline("role", m[0], " ".join(m["rc"].split()).replace("\\|", "|"), m["role"])
        elif m["ct"]:
            yield Inline("code", m[0], m["code"])
        else:
            yield Inline("math", m[0], m["display"] or m["math"])
        done = m.end()
    if done < len(text):
        yield Inline("text", text[done:])


def split_role(content: str) -> tuple[str, str]:
    """Text and target of a role's content: "stages <stage>" -> ("stages", "stage"); both the same without <…>."""
    found = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content, re.S)
    return (found[1], found[2]) if found else (content, content)


def checks_in(code: str) -> list[str]:
    """Labels of the calls of check in Python code, in order."""
    return re.findall(r"""^check\(\s*["']([\w-]+)["']""", code, re.M)
