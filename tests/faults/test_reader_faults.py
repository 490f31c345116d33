"""What readers meet: consoles, interrupts, folders of others, a moved home, data elsewhere, strange answers."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest
import torch

from conftest import ROOT, cli
from resnet_lib import data, experiments, records, wording
from resnet_lib.checks import Function, Number, check, kinds
from resnet_lib.checks import limit as guard
from resnet_lib.data import sources
from resnet_lib.data.sources import DataError, File, Source
from resnet_lib.experiments import controls
from resnet_lib.experiments.failures import RunError
from resnet_lib.recipe import Execution

needs_others = pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")


# --- consoles


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_our_letters_gets_the_whole_list(encoding, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    for words, lines in ((["list"], 100), (["control"], 30)):
        done = cli(*words, home=tmp_path, encoding=encoding)
        assert done.returncode == 0 and done.stdout.count("\n") > lines, done.stderr


class Console(io.TextIOWrapper):
    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding)


def test_a_verdict_can_be_printed_on_any_console(ask, monkeypatch):
    right, no = ask(Number(7), 7), ask(Number(7), 8)
    console = Console("cp1252")
    monkeypatch.setattr(sys, "stdout", console)
    print(right, no)
    console.flush()
    assert console.buffer.getvalue().startswith(b"+ Right. - Not yet.")


def test_a_right_answer_may_print_what_the_console_lacks(ask, monkeypatch):
    console = Console("cp1252")
    monkeypatch.setattr(sys, "stdout", console)
    assert ask(Function(lambda f: f() and None), lambda: print("✓ ‖W‖") or 1)
    console.flush()
    assert console.buffer.getvalue() == b"? ?W?\n"


def test_stdout_inside_a_check_is_a_stdout(ask, monkeypatch):
    console = Console("utf-8")
    monkeypatch.setattr(sys, "stdout", console)

    def uses(f):
        out = sys.stdout
        assert (out.encoding, out.errors, out.isatty(), out.writable()) == ("utf-8", "strict", False, True)
        out.buffer.write(b"raw ")
        out.reconfigure(line_buffering=True)
        out.writelines(["two ", "words"])
        with pytest.raises(io.UnsupportedOperation):
            out.fileno()  # as the console itself says; a file's is passed on

    assert ask(Function(uses), len)
    console.flush()
    assert console.buffer.getvalue() == b"raw two words"
    monkeypatch.undo()
    with guard._Sieve(sys.__stdout__) as sieve:
        assert sieve.fileno() == sys.__stdout__.fileno()


def test_who_kept_the_output_of_a_check_goes_on_with_it(ask, capsys):
    kept = []
    assert ask(Function(lambda f: kept.append(sys.stdout)), len)
    kept[0].write("x" * 5_000)
    assert capsys.readouterr().out == "x" * 5_000


# --- words that fit the command and the caller


@pytest.mark.parametrize("command, words", [
    ("run", "go on with the same command and --resume"), ("queue", "go on with the same command"),
    ("data", "the same command fetches what is missing"), ("list", "run the same command again"),
    ("env", "run the same command again"), ("control", "the same command goes on")])
def test_ctrl_c_is_answered_with_what_this_command_takes(command, words, monkeypatch, capsys):
    from resnet_lib import __main__ as command_line

    def interrupted(_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, f"_{command}", interrupted)
    assert command_line.main([command, *(["degradation"] if command == "run" else [])]) == 130
    said = capsys.readouterr().err
    assert said == f"interrupted; {words}\n"
    if "--resume" not in said:
        assert wording.COMMAND not in os.environ


@pytest.mark.slow
def test_functions_do_not_speak_of_flags(tiny):
    with pytest.raises(ValueError) as problem:
        experiments.run("degradation", execution=Execution(device="cuda"))
    assert "--" not in str(problem.value) and "use device 'cpu'" in str(problem.value)
    done = cli("run", "degradation", "--device", "cuda", home=tiny)
    assert "use --device cpu or auto" in done.stderr


# --- records and homes


@pytest.mark.slow
def test_recorded_runs_are_found_wherever_home_is(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path / "not there yet"))
    found = experiments.find("degradation", "short", "plain-56")
    assert [r.seed for r in found] == [0, 1, 2] and not found[0].live
    assert records.load("degradation", "short")
    done = cli("env", home=tmp_path / "not there yet")
    assert done.returncode == 0 and "(not there yet)" in done.stdout


def test_a_check_without_its_records_says_so(home):
    for label in ("mnist-5", "fashion-mnist-4", "cifar10-4"):
        verdict = check(label, 7.0)
        assert verdict.state in ("wrong", "open") and "Traceback" not in str(verdict)
    assert check("mnist-5", 7).state == "open" and "could not be computed" in str(check("mnist-5", 7))


def test_a_live_record_that_was_edited_or_damaged_is_not_taken(tiny):
    first = experiments.run("degradation", variants=["plain-8"])[0]
    path = experiments.job("degradation", "quick", "plain-8").live()
    whole = path.read_text()
    for change in (lambda c: c["rows"][-1].update(test_error=0.01), lambda c: c["rows"].pop(0),
                   lambda c: c.pop("digest"),
                   lambda c: c.update(digest="0" * 64)):
        content = json.loads(whole)
        change(content)
        path.write_text(json.dumps(content))
        assert experiments.find("degradation", "quick", "plain-8") == []
        again = experiments.run("degradation", variants=["plain-8"])[0]
        assert again.rows == first.rows and again.live
    assert json.loads(path.read_text())["digest"] == first.measured()


def test_a_committed_record_that_was_edited_is_refused(tmp_path):
    path = next((ROOT / "data" / "runs" / "degradation" / "short").glob("plain-20-s0.json"))
    content = records.read(path).to_json()
    content["rows"][-1]["test_error"] = 0.01
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(records.RecordError, match="damaged or was edited"):
        records.read(tmp_path / "r.json")


@needs_others
def test_a_folder_of_another_user_is_named_with_the_way_out(tiny):
    experiments.run("degradation", variants=["plain-8"])
    folder = tiny / "_build" / "runs" / "degradation" / "quick"
    folder.chmod(0o555)
    try:
        with pytest.raises(RunError, match="belongs to another user.*RESNET_LIB_HOME"):
            experiments.run("degradation", variants=["residual-8"])
    finally:
        folder.chmod(0o755)


def test_a_lock_can_be_taken_by_others(tiny):
    if os.name == "nt":
        pytest.skip("no modes on Windows")
    before = os.umask(0o022)
    try:
        experiments.run("degradation", variants=["plain-8"])
    finally:
        os.umask(before)
    locks = list((tiny / "_build").rglob("*.lock"))
    assert locks and all(lock.stat().st_mode & 0o666 == 0o666 for lock in locks)


def test_somebody_elses_lock_is_said_in_one_line(tiny, monkeypatch):
    def refused(self, **_):
        raise PermissionError(13, "Permission denied", "the.lock")

    monkeypatch.setattr("resnet_lib.experiments.runner.FileLock.acquire", refused)
    with pytest.raises(RunError, match="the.lock belongs to another user") as problem:
        experiments.run("degradation", variants=["plain-8"])
    assert "\n" not in str(problem.value)


# --- data that are there and not recognised


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    """A data set of two files and an archive, as CIFAR-10's are; where it belongs, and its content."""
    import hashlib

    def described(name, content):
        return File(name, len(content), hashlib.md5(content).hexdigest())

    content = {"data_batch_1": b"one" * 100, "test_batch": b"two" * 100}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, value in content.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(value)
            archive.addfile(info, io.BytesIO(value))
    source = Source("cifar10", "cifar-10-batches-py", tuple(described(*item) for item in content.items()),
                    (described("cifar-10-python.tar.gz", packed.getvalue()),), ())
    monkeypatch.setitem(sources.OFFICIAL, "cifar10", source)
    return tmp_path, content, packed.getvalue()


def test_a_nested_folder_a_packed_archive_and_a_dead_link_are_named(small_set):
    root, content, packed = small_set
    assert data.load_or_digits("cifar10", root).fallback == "cifar10"
    nested = root / "cifar-10-batches-py" / "cifar-10-batches-py"
    nested.mkdir(parents=True)
    (nested / "test_batch").write_bytes(content["test_batch"])
    with pytest.raises(DataError, match=r"digits shall not stand in.*belongs in .*cifar-10-batches-py: move it"):
        data.load_or_digits("cifar10", root)
    (nested / "test_batch").write_bytes(b"another file of that name")
    assert data.load_or_digits("cifar10", root).fallback == "cifar10"
    (root / "cifar-10-python.tar.gz").write_bytes(packed)
    with pytest.raises(DataError, match="not unpacked: python -m resnet_lib data cifar10 unpacks it"):
        data.load_or_digits("cifar10", root)
    assert data.download_all(["cifar10"], root, progress=False)["cifar10"]  # so it does, without a network
    (root / "cifar-10-python.tar.gz").unlink()
    for name in content:
        (root / "cifar-10-batches-py" / name).unlink()
    try:
        (root / "cifar-10-batches-py" / "test_batch").symlink_to(root / "moved away")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(DataError, match="is a link to .*moved away, which is not there"):
        data.load_or_digits("cifar10", root)


def test_the_files_of_fashion_mnist_are_not_taken_for_mnists(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(gzip.decompress(gzip.compress(bytes(10_008))))
    assert data.load_or_digits("mnist", tmp_path).fallback == "mnist"


# --- strange answers


def test_an_answer_whose_attributes_raise_gets_a_word(ask):
    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError("no")

    class Worse:
        def __getattribute__(self, name):
            raise ZeroDivisionError("no")

    for question in (Number(1), Function(lambda f: f(1)), kinds.Tensor(torch.ones(2)),
                     kinds.Class(lambda c: None), kinds.Module(lambda m: None)):
        for answer in (Hostile(), Worse()):
            verdict = ask(question, answer)
            assert not verdict and verdict.state in ("wrong", "open") and str(verdict)


# --- controls that cannot judge


def test_a_control_whose_reference_has_not_learned_says_so():
    control = controls.get("larger-rate")

    def record(variant, error):
        return records.Record("initialization", "quick", variant, 0, "", None, {}, {}, [], [{"step": 0,
                                                                                              "train_error": error}])

    outcome = controls.judge(control, [record("xavier-20", 0.9), record("xavier-20-lr0.2", 0.9), record("he-20", 0.9)])
    assert outcome.stands is None and "cannot judge" in str(outcome) and "falls" not in str(outcome)
    outcome = controls.judge(control, [record("xavier-20", 0.9), record("xavier-20-lr0.2", 0.9), record("he-20", 0.3)])
    assert outcome.stands is True


# --- a Python and a matplotlib that are set up in another way


@pytest.mark.parametrize("words", [[str(ROOT / "tools" / "setup.py"), "help"], ["-m", "resnet_lib", "env"]])
@pytest.mark.slow
def test_without_docstrings_everything_still_works(words, tmp_path):
    """PYTHONOPTIMIZE=2 takes docstrings and assertions away; some machines set it for everybody."""
    env = {**os.environ, "PYTHONOPTIMIZE": "2", "RESNET_LIB_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count("\n") >= 5, done.stderr


@pytest.mark.slow
def test_the_library_alone_leads_to_its_modules():
    code = "import resnet_lib; resnet_lib.nets.cifar_resnet(20); assert 'plots' in dir(resnet_lib); resnet_lib.net"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, timeout=120)
    assert done.stderr.strip().splitlines()[-1].startswith("AttributeError: module 'resnet_lib' has no attribute 'net'")


def test_figures_do_not_take_on_the_readers_style():
    """A dark style and LaTeX for all text, as a matplotlibrc may have it: the page's colors, and no TeX is run."""
    import matplotlib.pyplot as plt

    from resnet_lib import plots

    with plt.style.context(["dark_background", {"text.usetex": True, "font.size": 30}]):
        figure, (ax,) = plots.axes()
        ax.plot([1, 2])
        ax.annotate("50 % of x_y", (0, 1.5))
        ax.set(xlabel="step 50 % of x_y")
        drawn = plots.show(figure, kind="live", source="here", alt="A line.", caption="A line.").html
    assert "50 % of x_y" in drawn and "white" not in drawn and "#ffffff" not in drawn
