"""When pages must run again.

The notebook cache knows a chapter's code cells but neither resnet_lib/ nor data/, so a changed library
would leave old output on the page.  A key over both stands beside the environment; when it changes, the
cache is thrown away.  Training is not repeated: the run store knows its runs by their own ids.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.util import logging

from resnet_lib import files

LOGGER = logging.getLogger(__name__)
STATE_FILE = "resnet_book.json"
LIBRARY_FILES = (".py", ".json", ".mplstyle")
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib", "scikit-learn")


def library_folder():
    """The folder of the resnet_lib that notebooks will import.  Raises ExtensionError if there is none."""
    spec = importlib.util.find_spec("resnet_lib")
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError("resnet_lib is not installed in this environment: pip install -e .")
    return Path(list(spec.submodule_search_locations)[0])


def run_files(home):
    """Recorded and live runs: path -> [size, time of change], for comparison with an earlier build."""
    found = {}
    for folder in (home / "data" / "runs", home / "_build" / "runs"):
        for path in sorted(folder.glob("*/*/*.json")):  # beside them lies what the queue is doing
            stat = path.stat()
            found[path.relative_to(home).as_posix()] = [stat.st_size, stat.st_mtime_ns]
    return found


def execution_key(library, home):
    """SHA-256 over all that the output of a notebook depends on besides its own cells."""
    digest = hashlib.sha256()
    for path in sorted(library.rglob("*")):
        if path.suffix in LIBRARY_FILES and path.is_file():
            _add(digest, path.relative_to(library).as_posix(), path.read_bytes())
    for path in sorted((home / "data" / "runs").rglob("*.json")):
        _add(digest, path.relative_to(home).as_posix(), path.read_bytes())
    for path in _data_files(home / "data"):
        stat = path.stat()
        _add(digest, path.relative_to(home).as_posix(), f"{stat.st_size} {stat.st_mtime_ns}".encode())
    _add(digest, "tier", os.environ.get("RESNET_LIB_TIER", "").encode())  # what widgets.live trains
    _add(digest, "python", platform.python_version().encode())
    for package in PACKAGES:
        _add(digest, package, _version(package).encode())
    return digest.hexdigest()


def _data_files(data):
    """The data sets, hundreds of megabytes: known by name, size and time, not read."""
    for path in sorted(data.rglob("*")):
        inside = path.relative_to(data).parts
        hidden = any(part.startswith(".") for part in inside) or path.suffix in (".lock", ".part", ".tmp")
        if path.is_file() and len(inside) > 1 and inside[0] != "runs" and not hidden:
            yield path


def _add(digest, name, content):
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


class ExecutionCache:
    """Compares this build with the one before and says which pages to read or write again."""

    def __init__(self, pages):
        self.pages = pages

    def start(self, app):
        # Kernels inherit this: widgets then make frames that need no kernel.
        os.environ["RESNET_LIB_BOOK"] = "1"
        self.home = files.home()
        self.file = Path(app.doctreedir) / STATE_FILE
        self.before = _read_state(self.file)
        self.key = execution_key(library_folder(), self.home)
        runs = run_files(self.home)
        lost = [name for name in self.before.get("runs", {}) if name not in runs]
        self.stale = bool(lost) or self.before.get("key") != self.key
        chosen = getattr(app.config, "nb_execution_cache_path", "")
        cache = Path(chosen or Path(app.outdir).parent / ".jupyter_cache")
        if self.stale and cache.is_dir():
            LOGGER.info("resnet_lib/, data/ or recorded runs have changed: notebooks run again")
            shutil.rmtree(cache)

    def outdated(self, app, env, added, changed, removed):
        """Notebooks to read again: all when something under them has changed."""
        executed = {name: meta["exec_data"] for name, meta in getattr(env, "nb_metadata", {}).items()
                    if meta.get("exec_data")}
        return [name for name in executed if self.stale]

    def updated(self, app, env):
        """Pages to write again: their numbers come from runs that were made or replaced."""
        if self.stale or run_files(self.home) != self.before.get("runs"):
            return sorted(self.pages.names(env) & env.found_docs)
        return []

    def finish(self, app, exception):
        if exception is not None:
            return
        state = {"key": self.key, "runs": run_files(self.home)}
        self.file.write_text(json.dumps(state), encoding="utf-8")
        if app._warncount:
            # Otherwise the next build would find all pages up to date and say nothing of these warnings.
            (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def _read_state(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def no_limit(app, config):
    """Cells that train full-size runs may take as long as they need."""
    if os.environ.get("RESNET_LIB_TIER", "quick") != "quick":
        config.nb_execution_timeout = -1


def setup(app, pages):
    app.connect("config-inited", no_limit)
    cache = ExecutionCache(pages)
    app.connect("builder-inited", cache.start)
    app.connect("env-get-outdated", cache.outdated)
    app.connect("env-updated", cache.updated)
    app.connect("build-finished", cache.finish)
