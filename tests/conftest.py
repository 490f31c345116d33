"""What several test files share.

What loads torch is imported where it is used: the process that only hands out the tests (pytest-xdist) needs none.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

# Before torch is loaded, and for all child processes: two threads that wait for each other are slow on a busy machine,
# many times slower in small nets, and the cores are needed for other tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from filelock import FileLock
import pytest

if TYPE_CHECKING:
    import torch
    from resnet_lib.data import ImageSet

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _threads():
    """A run may set torch's thread count for its process; tests do not inherit it from each other."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home: no data sets, no runs, and none that come with the library."""
    from resnet_lib import files

    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path))
    monkeypatch.setattr(files, "shipped", lambda: tmp_path / "nothing")
    return tmp_path


@pytest.fixture(scope="session")
def digits_home(tmp_path_factory, request):
    """One home for all tests that train declared runs on the digits: the recorded runs, no data sets; each run once,
    also where several processes test (pytest-xdist): a run's lock makes the second one wait for the first one's.

    What the book has trained here with exactly this code is not trained again."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "digits"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            for path in made_by_this_code():
                there = folder / path.relative_to(ROOT)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, there)
            shutil.copytree(ROOT / "data" / "runs", folder / "data" / "runs")
    return folder


def made_by_this_code() -> list[Path]:
    """The live runs below ROOT, and their weights, of the commit that is checked out, if nothing in it is changed."""
    import torch
    from resnet_lib import records

    commit, dirty = records.commit()
    if dirty:
        return []
    found = []
    for path in (ROOT / "_build" / "runs").glob("*/*/*.json"):  # beside them lies what the queue is doing
        record = json.loads(path.read_text(encoding="utf-8"))
        versions = {s["versions"]["torch"] for s in record["segments"]}
        if (record["commit"], record["dirty"], versions) == (commit, False, {torch.__version__}):
            found += [path, *path.parent.glob(f"{path.stem}.pt")]
    return found


def nothing_here() -> bool:
    """Whether no data set lies here, so that the digits stand in for all of them."""
    from resnet_lib import data

    return not any(map(data.available, ("mnist", "fashion_mnist", "cifar10")))


def both_data() -> list:
    """The cases of a test of live runs: the data sets that lie here, and the digits that stand in where none do.

    Where some lie the digits are weekly: the runs of the first case are the book's, those on the digits would all be
    trained for the test."""
    nothing = nothing_here()
    return [pytest.param("data that lie here", marks=pytest.mark.skipif(
                nothing, reason="no data set lies here: that would be the digits once more")),
            pytest.param("digits", marks=[] if nothing else pytest.mark.weekly)]


@pytest.fixture(scope="module", params=both_data())
def both_homes(request, digits_home):
    """A test of live runs that asks for it is run twice: with the runs that lie here, and with those on the digits."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "digits":
            patch.setenv("RESNET_LIB_HOME", str(digits_home))
        yield


@pytest.fixture
def live_home(digits_home, monkeypatch):
    """Where the book's quick runs lie: here, or where no data set lies, with those on the digits."""
    if nothing_here():
        monkeypatch.setenv("RESNET_LIB_HOME", str(digits_home))


@pytest.fixture
def ask(monkeypatch):
    """ask(question, answer): the verdict, through `check`."""
    from resnet_lib.checks import check, questions

    def ask(question, answer):
        monkeypatch.setattr(questions, "find", lambda _label: question)
        return check("sample-1", answer)

    return ask


@pytest.fixture
def tiny(home, monkeypatch):
    """The degradation experiment with tiers of a second: other sizes, the same code."""
    from resnet_lib import experiments
    from resnet_lib.experiments.declare import Tier, Variant
    from resnet_lib.experiments.reference import DEGRADATION
    from resnet_lib.recipe import Execution, Recipe

    variants = {name: Variant({"name": "cifar_resnet", "depth": 8, "residual": residual, "width": 4})
                for name, residual in (("plain-8", False), ("residual-8", True))}
    recipe = Recipe(steps=6, batch=32, lr=0.05, drops=(), augment="none", eval_every=2)
    tier = Tier(variants, recipe, size=8, n_train=100, n_test=50, seeds=(0, 1),
                            execution=Execution(device="cpu", threads=1))
    declared = replace(DEGRADATION, tiers={"quick": tier, "paper": tier})
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", declared)
    return home


@cache
def the_book():
    """The book's pages, parsed once for all tests of a process."""
    from book import Book  # here: processes that tests start may know tests/ alone

    return Book()


def randomize_batch_norm(net: torch.nn.Module, seed: int = 0, affine: bool = False) -> None:
    """Give every batch norm statistics, and with ``affine`` scales and shifts, that it does not begin with."""
    import torch

    g = torch.Generator().manual_seed(seed)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(generator=g)
            m.running_var.uniform_(0.5, 2, generator=g)
            if affine:
                torch.nn.init.uniform_(m.weight, 0.5, 1.5, generator=g)
                torch.nn.init.normal_(m.bias, generator=g)


def toy_images(n: int = 150, size: int = 8, channels: int = 3, seed: int = 0, classes: int = 10) -> ImageSet:
    """Random pictures with random labels; n is no multiple of the usual batch."""
    import torch
    from resnet_lib.data import ImageSet

    g = torch.Generator().manual_seed(seed)

    def pictures(k):
        return torch.randint(0, 256, (k, channels, size, size), generator=g, dtype=torch.uint8)

    def labels(k):
        return torch.randint(0, classes, (k,), generator=g)

    return ImageSet("cifar10", pictures(n), labels(n), pictures(50), labels(50), tuple("0123456789"))


def mostly_slow(cases, *quick):
    """The cases of a test of which a few stand for all while one works; the others are for `make test`."""
    return _mostly(pytest.mark.slow, cases, quick)


def mostly_weekly(cases, *always):
    """The cases of a test of which a few stand for all in `make test`; the others are tried once a week."""
    return _mostly(pytest.mark.weekly, cases, always)


def _mostly(mark, cases, others):
    assert set(others) <= set(cases), others
    return [case if case in others else pytest.param(case, marks=mark) for case in cases]


def cli(*words: str, home: Path, timeout: float = 300, **options) -> subprocess.CompletedProcess:
    """python -m resnet_lib in a process of its own."""
    env = {**os.environ, "RESNET_LIB_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "resnet_lib", *words], env=env, capture_output=True, text=True,
                          timeout=timeout, **options)
