"""Which cells of a notebook are the student's, which the solution's, and which of the page's own these need.

Stands in ``metadata.resnet`` of a cell: ``exercise`` (label), ``role`` ("text", "starter" or "solution"), and for a
starter ``answer``, the expression that is checked, and ``needs``, the ids of the page's cells that its answer may use.
"""

import ast
import re
import symtable


# what parsing and unparsing raise: for no Python, for characters that are none, for what is nested too deeply
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def names_of(code: str) -> tuple[set[str], set[str], set[str]]:
    """The names that a cell sets anew, those it only changes, and those of other cells that it uses; nothing for code
    that is no plain Python."""
    try:
        tree = ast.parse(code)
        table = symtable.symtable(code, "cell", "exec")
    except UNREADABLE:
        return set(), set(), set()
    top = {symbol.get_name(): symbol for symbol in table.get_symbols()}
    anew, changed = set(), set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            anew.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            anew |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                anew |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            while isinstance(node, ast.Subscript | ast.Attribute):
                node = node.value
            if isinstance(node, ast.Name) and node.id in top:  # d[k] = … and o.a = … change what stands behind the name
                changed.add(node.id)
    changed |= {name for name, symbol in top.items() if symbol.is_assigned() or symbol.is_imported()} - anew
    # what a function uses it finds when it is called, so whatever the cell itself has set by then
    return anew, changed, {name for name, symbol in top.items() if symbol.is_referenced()} | _global_in(table) - anew


def _global_in(table: symtable.SymbolTable) -> set[str]:
    """The names that functions, classes and comprehensions in a cell take from outside of them all."""
    found = set()
    for inner in table.get_children():
        found |= {s.get_name() for s in inner.get_symbols() if s.is_global() and s.is_referenced()} | _global_in(inner)
    return found


def needed(codes: list[tuple[str, str]], wanted: set[str]) -> list[str]:
    """The ids of the cells (id, code), in order, that set the names ``wanted``, and what these need in turn."""
    named = [names_of(code) for _, code in codes]
    found, seen, todo = set(), set(), [(name, len(codes)) for name in wanted]
    while todo:
        name, before = todo.pop()
        if (name, before) in seen:
            continue
        seen.add((name, before))
        for k in _setting(named, name, before):
            found.add(k)
            todo += [(used, k) for used in named[k][2]]
    return [key for k, (key, _) in enumerate(codes) if k in found]


def _setting(named: list[tuple[set, set, set]], name: str, before: int) -> list[int]:
    """The cells that a name has its value from in cell ``before``: the last that sets it anew, and those that change it
    since; where none comes earlier, the first that comes later, since a function looks when it is called."""
    found = []
    for k in reversed(range(before)):
        anew, changed, _ = named[k]
        if name in anew | changed:
            found.append(k)
        if name in anew:
            return found
    return found or [k for k in range(before + 1, len(named)) if name in named[k][0]][:1]


def answer_of(code: str, label: str) -> str | None:
    """The expression that a cell hands to ``check(label, …)``; None where there is no such call."""
    try:
        tree = ast.parse(code)
    except UNREADABLE:
        return None
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
             and node.func.id == "check" and len(node.args) == 2 and isinstance(node.args[0], ast.Constant)
             and node.args[0].value == label]
    try:
        return ast.unparse(calls[-1].args[1]) if calls else None
    except RecursionError:
        return None


def broken(code: str, label: str) -> str | None:
    """Why a cell that names ``check("label", …)`` cannot be read; None where it can, or names it nowhere."""
    if not re.search(rf"""check\(\s*["']{re.escape(label)}["']""", code):
        return None
    try:
        ast.unparse(ast.parse(code))
    except SyntaxError as error:
        return f"The cell does not run: {error.msg} (line {error.lineno})."
    except UNREADABLE as error:
        return f"The cell cannot be read ({type(error).__name__}): is something nested too deeply?"
    return None


def complete(cells: list[dict]) -> None:
    """Write ``answer`` and ``needs`` into the starters of a notebook whose cells have their ids."""
    page = [(cell["id"], cell["source"]) for cell in cells
            if cell["cell_type"] == "code" and "resnet" not in cell["metadata"] and "setup" not in
            cell["metadata"].get("tags", ())]
    place = {cell["id"]: k for k, cell in enumerate(cells)}
    for k, cell in enumerate(cells):
        about = cell["metadata"].get("resnet", {})
        if about.get("role") != "starter":
            continue
        about["answer"] = answer_of(cell["source"], about["exercise"])
        own = [other["source"] for other in cells if other["cell_type"] == "code"
               and other["metadata"].get("resnet", {}).get("exercise") == about["exercise"]]
        named = [names_of(code) for code in own]
        used = set().union(*(used for *_, used in named)) - set().union(*(anew | changed for anew, changed, _ in named))
        about["needs"] = needed([(key, code) for key, code in page if place[key] < k], used)
