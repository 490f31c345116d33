"""Where files lie, writing them so that a reader never sees half of one, checking what is read, data inside a page."""

from functools import cache
from pathlib import Path
import json
import os


PACKAGE = Path(__file__).resolve().parent
BOOK = PACKAGE.parent if (PACKAGE.parent / "_config.yml").exists() else None  # None: installed without the book


def home() -> Path:
    """The folder that holds data/ and _build/: $RESNET_LIB_HOME, else the book's root, else here."""
    if chosen := os.environ.get("RESNET_LIB_HOME"):
        return Path(chosen).expanduser()
    return BOOK or Path.cwd()


def shipped() -> Path:
    """The recorded runs, weights and measurements that come with the library: the book's data/, or in a wheel a folder
    of the package."""
    return BOOK / "data" if BOOK else PACKAGE / "recorded"


def recorded(*parts: str) -> Path:
    """A recorded file to read: that of home()/data, else the one that comes with the library, wherever home is."""
    own, ours = home().joinpath("data", *parts), shipped().joinpath(*parts)
    return ours if ours.exists() and not own.exists() else own


def all_recorded(*parts: str) -> list[Path]:
    """The JSON files of a recorded folder, by name; those of home()/data stand before those that come along."""
    folders = [shipped().joinpath(*parts), home().joinpath("data", *parts)]
    found = {path.name: path for folder in folders for path in folder.glob("*.json")}
    return [found[name] for name in sorted(found)]


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
