"""What readers take away: a wheel of resnet_lib, and a zip of it with all notebooks.

Both are written by hand, from the files as they are: a wheel of pure Python is a zip with three text files more, and so
neither needs a network, a build folder or a particular setuptools, and both are the same bytes each time.
"""

import base64
import hashlib
import io
import tomllib
import zipfile
from pathlib import Path

from book import ROOT, Book

ZIP = "resnet-by-experiment-notebooks.zip"
RECORDED = "recorded"  # the folder of the package, beside files.py
PACKAGE_FILES = (".py", ".json", ".mplstyle")
README = """{title}: notebooks

Each .ipynb is a chapter. Open one in Jupyter or Colab and run its first cell: it keeps the torch that is there, adds
what is missing, and installs resnet_lib from the wheel in this folder, the recorded runs that some figures show with
it. In Colab, upload the wheel into the folder that the panel "Files" shows; nothing else is needed.

The experiments run on the digits that come with scikit-learn. For the real pictures:

    python -m resnet_lib data        (MNIST, Fashion-MNIST and CIFAR-10, into data/ in this folder)

What you train goes to _build/runs, so that nothing is trained twice. On a GPU, python -m resnet_lib gpu tells in four
minutes whether everything works there.

Code: MIT license. Text, figures and recorded runs: CC BY 4.0.
"""


def packed(files: dict[str, bytes]) -> bytes:
    """A zip of these files that depends on nothing but their names and bytes: sorted, undated, not compressed.

    Compressed sizes would depend on the zlib at hand."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def project(root: Path = ROOT) -> dict:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def recorded(root: Path = ROOT) -> dict[str, bytes]:
    """Recorded runs, weights and measurements by their path below data/: what `resnet_lib.files.recorded` finds."""
    data = root / "data"
    folders = ("runs", "bench", "weights", "lesions", "accounts")
    return {path.relative_to(data).as_posix(): path.read_bytes() for folder in folders
            for path in sorted((data / folder).rglob("*.*")) if path.suffix in (".json", ".pt")}


def wheel_name(root: Path = ROOT) -> str:
    """resnet_lib-<version>-py3-none-any.whl"""
    about = project(root)
    return f"{about['name']}-{about['version']}-py3-none-any.whl"


def wheel(root: Path = ROOT) -> bytes:
    """resnet_lib as a wheel that pip installs."""
    about = project(root)
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted((root / "resnet_lib").rglob("*"))
             if path.is_file() and path.suffix in PACKAGE_FILES and "__pycache__" not in path.parts}
    files |= {f"resnet_lib/{RECORDED}/{name}": content for name, content in recorded(root).items()}
    info = f"{about['name']}-{about['version']}.dist-info"
    files[f"{info}/METADATA"] = _metadata(about).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: resnet_lib\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files |= {f"{info}/licenses/{name}": (root / name).read_bytes() for name in about["license-files"]}
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in sorted(files.items())]
    files[record] = ("\n".join([*lines, f"{record},,"]) + "\n").encode()
    return packed(files)


def _metadata(about: dict) -> str:
    lines = ["Metadata-Version: 2.4", f"Name: {about['name']}", f"Version: {about['version']}",
             f"Summary: {about['description']}", f"License-Expression: {about['license']}",
             f"Requires-Python: {about['requires-python']}"]
    lines += [f"License-File: {name}" for name in about["license-files"]]
    lines += [f"Requires-Dist: {need}" for need in about["dependencies"]]
    for extra, needs in about.get("optional-dependencies", {}).items():
        lines += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {need}; extra == "{extra}"' for need in needs)]
    return "\n".join(lines) + "\n"


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def bundle(root: Path = ROOT) -> bytes:
    """All notebooks of the book, the wheel, the recorded runs and a README, as a zip."""
    title = Book(root).config["title"]
    files = {path.name: path.read_bytes() for path in sorted((root / "chapters").glob("*.ipynb"))}
    files |= {wheel_name(root): wheel(root), "README.txt": README.format(title=title).encode()}
    folder = ZIP.removesuffix(".zip")
    return packed({f"{folder}/{name}": content for name, content in files.items()})
