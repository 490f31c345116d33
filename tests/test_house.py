"""The tree itself: linted, spelled, no heavy file."""

import re
import subprocess
import sys

import pytest

from conftest import ROOT


def tracked(*patterns: str) -> list:
    """Files that git tracks; where there is no git, all but what is built or fetched."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", *patterns], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


@pytest.mark.parametrize("tool", [["ruff", "check"], ["codespell_lib"]], ids=["ruff", "codespell"])
def test_lint_and_spelling(tool):
    done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_heavy_file_is_committed():
    # trained weights of 853,018 parameters; the same with momentum, handed over until the run is finished
    room = {".pt": 4_000_000, ".ckpt": 8_000_000}
    heavy = [str(p.relative_to(ROOT)) for p in tracked() if p.stat().st_size > room.get(p.suffix, 2_000_000)]
    assert not heavy, heavy


def test_every_code_module_has_a_docstring_that_says_what_it_is():
    for path in tracked("resnet_lib/*.py", "web/*.py", "tools/*.py"):
        text = path.read_text(encoding="utf-8").removeprefix("#!/usr/bin/env python3\n")
        assert text.startswith('"""'), path


def test_every_program_that_a_text_names_is_there():
    """Also in what a cell prints. Tables are left out: one lists what files were called before."""
    there = [f"/{path.relative_to(ROOT)}" for path in tracked("*.py")]
    for page in tracked("*.md"):
        lines = page.read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if not line.startswith("|"))
        gone = [name for name in re.findall(r"[\w/-]+\.py\b", text)
                if not any(path.endswith(f"/{name.lstrip('/')}") for path in there)]
        assert not gone, (page, gone)
