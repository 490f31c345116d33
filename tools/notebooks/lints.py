"""What must hold between a page and what it refers to; each function returns faults, one line each."""

import posixpath
import re

from book import Book
from inline import checks_in, inlines, split_role
from parser import CodeCell, Directive, Exercise, Markdown, Page, Solution
from words import LINK

CITING = ("cite", "cite:p", "cite:t", "cite:ps", "cite:ts")
NAMING = ("ref", "numref", "eq", "prf:ref")


def roles(page: Page):
    """All roles of a page, as (line, name, content); also those in the titles of directives."""
    for part in page.walk(Markdown, Directive):
        if isinstance(part, CodeCell):
            continue
        line, text = part.line, part.source if isinstance(part, Markdown) else part.argument
        if isinstance(part, Directive) and part.name == "glossary":
            line, text = part.body_line, part.body
        for piece in inlines(text):
            if piece.kind == "role":
                yield line, piece.name, piece.content
            line += piece.source.count("\n")


def reference_faults(book: Book, name: str) -> list[str]:
    """Links, citations, terms and cross-references of a page that lead nowhere."""
    found = []
    for line, role, content in roles(book.pages[name]):
        text, target = split_role(content)
        if role in CITING:
            lost = [key for key in content.split(",") if key.strip() not in book.references]
        elif role == "term":
            lost = [target] if target.lower() not in book.terms else []
        elif role in NAMING:
            lost = [target] if target not in book.labels else []
        elif role == "doc":
            lost = [target] if not _is_page(book, name, target) else []
        else:
            continue
        found += [f"{name}.md:{line}: {{{role}}}`{content}`: there is no {key.strip()}" for key in lost]
    return found + _link_faults(book, name)


def _link_faults(book: Book, name: str) -> list[str]:
    found = []
    for part in book.pages[name].walk(Markdown):
        for m in LINK.finditer("".join(i.source if i.kind == "text" else "\0" for i in inlines(part.source))):
            target = m[2]
            if re.match(r"[a-z]+:", target):
                continue
            path, _, label = target.partition("#")
            if path and not _is_page(book, name, path):
                found.append(f"{name}.md:{part.line}: a link to {target}, which is no page")
            elif not path and label not in book.labels:
                found.append(f"{name}.md:{part.line}: a link to #{label}, which nothing is called")
    return found


def _is_page(book: Book, name: str, target: str) -> bool:
    target = target.removesuffix(".md")
    joined = target.lstrip("/") if target.startswith("/") else posixpath.join(posixpath.dirname(name), target)
    return posixpath.normpath(joined) in book.pages


def exercise_faults(name: str, page: Page, known_checks: dict | None = None) -> list[str]:
    """Labels, solutions and checks of a page's exercises.

    ``known_checks``: the labels that resnet_lib.exercises has checks for; None as long as there is no such module."""
    slug = name.rpartition("/")[2].replace("_", "-")
    exercises, solutions = list(page.walk(Exercise)), list(page.walk(Solution))
    found = []
    for k, exercise in enumerate(exercises, 1):
        if exercise.label != f"{slug}-{k}":
            found.append(f"{name}.md:{exercise.line}: exercise {k} must have the label {slug}-{k}, not "
                         f"{exercise.label or 'none'}")
        own = [s for s in solutions if s.label == exercise.label]
        if len(own) != 1:
            found.append(f"{name}.md:{exercise.line}: {exercise.label} has {len(own)} solutions")
        else:
            found += _check_faults(name, exercise, own[0], known_checks)
    for solution in solutions:
        if solution.label not in [e.label for e in exercises]:
            found.append(f"{name}.md:{solution.line}: a solution of {solution.label}, which is no exercise here")
    return found


def _check_faults(name: str, exercise: Exercise, solution: Solution, known_checks: dict | None) -> list[str]:
    label = exercise.label
    checked = [c for cell in _cells(solution) for c in checks_in(cell.code)]
    found = [f"{name}.md:{solution.line}: the solution of {label} checks {c}" for c in checked if c != label]
    if exercise.starter and label not in checked:
        found.append(f"{name}.md:{exercise.line}: {label} has a starter, but its solution has no check(\"{label}\", …)")
    if checked and not exercise.starter:
        found.append(f"{name}.md:{solution.line}: the solution of {label} checks, but the exercise has no starter, a "
                     f"```python block whose last line is check(\"{label}\", …)")
    if known_checks is not None and (checked or exercise.starter) and label not in known_checks:
        found.append(f"{name}.md:{exercise.line}: resnet_lib.exercises has no check called {label}")
    return found


def _cells(solution: Solution) -> list[CodeCell]:
    return [p for p in solution.parts if isinstance(p, CodeCell)]
