"""The students' edition: a copy of the book without answers. python tools/edition.py FOLDER

No solution stands in its chapters, notebooks, pages, search index, zip or wheel, and its library has no answers:
`check` only says what kind of answer it has got. The copy is a whole book; ``make book EDITION=student`` makes and
builds it in _build/student.
"""

from pathlib import Path
import importlib.util
import re
import shutil
import sys

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools" / "notebooks")]

from first_cell import RECORDED  # noqa: E402
from parser import Solution, parse  # noqa: E402

WHOLE = ("_config.yml", "_toc.yml", "pages", "web", "tools", "pyproject.toml", "requirements.txt", "constraints.txt",
         "LICENSE", "LICENSE-TEXT", "CITATION.cff", "Makefile", "README.md", *RECORDED)
EXERCISES = '''"""The answers are not in this edition; these exercises have a check in the instructors'."""

RECORDED = {labels}
'''


def without_solutions(text: str, name: str) -> str:
    """A chapter without its solutions."""
    return "".join(part.source for part in parse(text, name).parts if not isinstance(part, Solution))


def without_address(settings: str) -> str:
    """_config.yml without the repository's address: no button and no first cell may lead to where the solutions are."""
    return re.sub(r"(?m)^(repository:\n  url:).*", r'\1 ""', settings)


def labels(root: Path) -> tuple[str, ...]:
    """The exercises that have a check."""
    found = []
    for path in sorted((root / "resnet_lib" / "exercises").glob("*.py")):
        if path.stem != "__init__":
            spec = importlib.util.find_spec(f"resnet_lib.exercises.{path.stem}")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found += module.CHECKS
    return tuple(found)


def make(target: Path, root: Path = ROOT) -> None:
    """Write the edition into ``target``; what it built and trained there before is kept."""
    ignored = shutil.ignore_patterns("__pycache__", "_build", ".pytest_cache")
    for name in WHOLE:
        source, copy = root / name, target / name
        if source.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy, ignore=ignored)
        elif source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    settings = target / "_config.yml"
    settings.write_text(without_address(settings.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(target / "resnet_lib", ignore_errors=True)
    shutil.copytree(root / "resnet_lib", target / "resnet_lib",
                    ignore=shutil.ignore_patterns("__pycache__", "exercises"))
    (target / "resnet_lib" / "exercises").mkdir()
    text = EXERCISES.format(labels="(\n" + "".join(f'    "{label}",\n' for label in labels(root)) + ")")
    (target / "resnet_lib" / "exercises" / "__init__.py").write_text(text, encoding="utf-8")
    shutil.rmtree(target / "chapters", ignore_errors=True)
    (target / "chapters").mkdir()
    for path in sorted((root / "chapters").glob("*.md")):
        plain = without_solutions(path.read_text(encoding="utf-8"), path.name)
        (target / "chapters" / path.name).write_text(plain, encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
