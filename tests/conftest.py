"""What several test files share."""

from pathlib import Path
import os
import subprocess
import sys

import pytest
import torch

from resnet_lib.data import ImageSet

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _threads():
    """A run may set torch's thread count for its process; tests do not inherit it from each other."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home: no data sets, no runs."""
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path))
    return tmp_path


def toy_images(n: int = 150, size: int = 8, channels: int = 3, seed: int = 0, classes: int = 10) -> ImageSet:
    """Random pictures with random labels; n is no multiple of the usual batch."""
    g = torch.Generator().manual_seed(seed)

    def pictures(k):
        return torch.randint(0, 256, (k, channels, size, size), generator=g, dtype=torch.uint8)

    def labels(k):
        return torch.randint(0, classes, (k,), generator=g)

    return ImageSet("cifar10", pictures(n), labels(n), pictures(50), labels(50), tuple("0123456789"))


def cli(*words: str, home: Path, timeout: float = 300, **options) -> subprocess.CompletedProcess:
    """python -m resnet_lib in a process of its own."""
    env = {**os.environ, "RESNET_LIB_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "resnet_lib", *words], env=env, capture_output=True, text=True,
                          timeout=timeout, **options)
