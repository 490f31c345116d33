"""Where files lie, writing them so that a reader never sees half of one, checking what is read, data inside a page."""

from functools import cache
from pathlib import Path
import json
import os


def home() -> Path:
    """The folder that holds data/ and _build/: $RESNET_LIB_HOME, else the book's root, else here."""
    if chosen := os.environ.get("RESNET_LIB_HOME"):
        return Path(chosen)
    book = Path(__file__).resolve().parent.parent
    return book if (book / "_config.yml").exists() else Path.cwd()


def write_atomically(path: Path, write) -> None:
    """Call ``write(file)`` on a temporary neighbor of ``path``, then rename: the old or the new file
    is there at any moment, never half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@cache
def _validator(schema: Path):
    # not jsonschema: importing it compiles grammars for formats that no schema here uses, 1.5 seconds a process
    import fastjsonschema

    return fastjsonschema.compile(json.loads(schema.read_text(encoding="utf-8")))


def schema_problem(content: object, schema: Path) -> str | None:
    """What is wrong with ``content``, as "field NAME: …"; None if it is valid. ImportError without fastjsonschema."""
    import fastjsonschema

    try:
        _validator(schema)(content)
    except fastjsonschema.JsonSchemaValueException as error:
        said = error.message.removeprefix(error.name).strip()
        if error.rule == "propertyNames":  # whose message does not say which
            said += f", got {', '.join(error.value)}"
        return f"field {error.name.removeprefix('data').lstrip('.') or '(top level)'}: {said[:160]}"
    return None


def inline_json(content: object) -> str:
    """JSON that may stand inside a script tag: no '<', so it can neither end the tag nor open a comment. ValueError for
    numbers that are not finite."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")
