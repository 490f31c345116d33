"""Data sets that are missing, damaged or hostile, and downloads that go wrong: one clear line, nothing lost.

The host is a small server on 127.0.0.1 that serves small fake sets, which have checksums of their own.
"""

import gzip
import hashlib
import io
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import warnings
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from resnet_lib import data
from resnet_lib.data.sources import OFFICIAL, DataError, File

# --- fake sets -----------------------------------------------------------------------------------


def file(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.md5(content).hexdigest())


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def batch_pickle(pictures: np.ndarray, labels: list[int]) -> bytes:
    """A CIFAR-10 batch in the opcodes that Python 2's cPickle wrote."""
    def text(s: bytes) -> bytes:
        return b"U" + bytes([len(s)]) + s

    def number(n: int) -> bytes:
        return b"J" + struct.pack("<i", n)

    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR"
    array += b"(" + number(1) + b"(" + b"".join(map(number, pictures.shape)) + b"t" + dtype + b"I00\n"
    array += b"T" + struct.pack("<i", pictures.size) + pictures.tobytes() + b"tb"
    labels = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"labels") + labels + text(b"data") + array + b"u."


def tar_gz(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


class Fake:
    """A small set with its own checksums, put in the place of the official table's entry."""

    def __init__(self, name: str, files: dict[str, bytes], archives: dict[str, bytes]):
        self.name, self.files, self.archives = name, files, archives
        self.source = replace(OFFICIAL[name], files=tuple(file(*f) for f in files.items()),
                              archives=tuple(file(*a) for a in archives.items()), mirrors=())  # fmt: skip

    def folder(self, root: Path) -> Path:
        return root / self.source.folder

    def lay(self, root: Path) -> Path:
        self.folder(root).mkdir(parents=True)
        for name, content in self.files.items():
            (self.folder(root) / name).write_bytes(content)
        return self.folder(root)

    def is_whole(self, root: Path) -> bool:
        return all((self.folder(root) / n).read_bytes() == content for n, content in self.files.items())

    def leftovers(self, root: Path) -> set[str]:
        return {p.name for p in root.rglob("*") if p.is_file()} - set(self.files) - {".lock"}


@pytest.fixture
def mnist(monkeypatch) -> Fake:
    random = np.random.default_rng(0)  # noise does not compress, so that archives are long enough to cut
    files = {}
    for part, n in (("train", 200), ("t10k", 50)):
        files[f"{part}-images-idx3-ubyte"] = idx(random.integers(0, 256, (n, 28, 28), np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx(random.integers(0, 10, n, np.uint8))
    fake = Fake("mnist", files, {n + ".gz": gzip.compress(content) for n, content in files.items()})
    monkeypatch.setitem(OFFICIAL, "mnist", fake.source)
    return fake


@pytest.fixture
def cifar(monkeypatch) -> Fake:
    random = np.random.default_rng(0)
    files = {name: batch_pickle(random.integers(0, 256, (20, 3072), np.uint8), random.integers(0, 10, 20).tolist())
             for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")}  # fmt: skip
    files["batches.meta"] = b"not read"
    members = {f"cifar-10-batches-py/{name}": content for name, content in files.items()}
    hostile = {"../outside": b"x", "/tmp/outside": b"x", "cifar-10-batches-py/../../outside": b"x"}
    fake = Fake("cifar10", files, {"cifar-10-python.tar.gz": tar_gz(hostile | members)})
    monkeypatch.setitem(OFFICIAL, "cifar10", fake.source)
    return fake


# --- a host that answers as told -----------------------------------------------------------------


class Host(ThreadingHTTPServer):
    """Serves ``content`` by file name; ``script`` holds the next answers, each used once, then the right one."""

    daemon_threads = True

    def __init__(self, content: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.script = content, []
        self.asked: list[tuple[str, str | None]] = []  # (file, Range)
        self.over = threading.Event()  # lets answers end that wait for ever
        self.half_sent = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked.append((name, self.headers["Range"]))
        (self.server.script.pop(0) if self.server.script else right)(self, self.server.content[name])

    def send(self, status: int, body: bytes, length: int | None = None, **headers: str):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Quiet."""


def right(answer: Answer, content: bytes) -> None:
    if wanted := answer.headers["Range"]:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        answer.send(206, content[start:], **{"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"})
    else:
        answer.send(200, content)


def without_range(answer: Answer, content: bytes) -> None:
    answer.send(200, content)


def altered(answer: Answer, content: bytes) -> None:
    answer.send(200, content[:-1] + bytes([content[-1] ^ 1]))


def shorter(answer: Answer, content: bytes) -> None:
    answer.send(200, content[:-10])


def endless(answer: Answer, content: bytes) -> None:
    answer.send(200, content + bytes(1 << 20), length=1 << 40)
    answer.server.over.wait()


def web_page(answer: Answer, content: bytes) -> None:
    answer.send(200, b"\n<!DOCTYPE html><title>Log in to this network</title>")


def not_found(answer: Answer, content: bytes) -> None:
    answer.send(404, b"no such file")


def redirect(answer: Answer, content: bytes) -> None:
    answer.send(302, b"", Location="/elsewhere" + answer.path)


def redirect_to_disk(answer: Answer, content: bytes) -> None:
    answer.send(302, b"", Location="file:///etc/hostname")


def hang_up(answer: Answer, content: bytes) -> None:
    answer.close_connection = True


def never(answer: Answer, content: bytes) -> None:
    answer.server.over.wait()


def half_then_never(answer: Answer, content: bytes) -> None:
    answer.send(200, content[: len(content) // 2], length=len(content))
    answer.server.half_sent.set()
    answer.server.over.wait()


def cut_after(n: int):
    def cut(answer: Answer, content: bytes) -> None:
        answer.send(200, content[:n], length=len(content))

    return cut


@pytest.fixture
def serve(monkeypatch):
    """serve(fake) -> Host with the fake's archives, stopped after the test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hosts = []

    def start(fake: Fake) -> Host:
        hosts.append(Host(fake.archives))
        threading.Thread(target=hosts[-1].serve_forever, args=(0.01,), daemon=True).start()
        return hosts[-1]

    yield start
    for host in hosts:
        host.over.set()
        host.shutdown()
        host.server_close()


def fetch(fake: Fake, root: Path, *urls: str, timeout: float = 20.0) -> bool:
    return data.download_all([fake.name], root, {fake.name: urls}, timeout, progress=False)[fake.name]


def refused(call, *args, **kwargs) -> str:
    """The DataError's message, which must be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- names and files -----------------------------------------------------------------------------


@pytest.mark.parametrize("call", [data.load, data.available, data.load_or_digits, lambda n: data.download_all([n])])
def test_unknown_name(call):
    message = refused(call, "imagenet")
    assert "'imagenet'" in message
    assert "mnist, fashion_mnist, cifar10, digits" in message


def test_impossible_sizes():
    digits = data.load("digits")
    assert "got 0" in refused(digits.subset, 0)
    assert "got -3" in refused(digits.subset, None, -3)
    assert "got 0" in refused(digits.resize, 0)


def test_nothing_there(tmp_path):
    message = refused(data.load, "cifar10", tmp_path)
    assert "CIFAR-10 lacks data_batch_1" in message
    assert "python -m resnet_lib data cifar10" in message


def test_fakes_load_as_the_real_ones_do(tmp_path, mnist, cifar):
    """The faults below start from sets that are right."""
    mnist.lay(tmp_path)
    cifar.lay(tmp_path)
    for fake, shape in ((mnist, (200, 1, 28, 28)), (cifar, (100, 3, 32, 32))):
        images = data.load_or_digits(fake.name, tmp_path)
        assert (images.name, images.fallback, images.train_x.shape) == (fake.name, None, shape)
        assert data.available(fake.name, tmp_path)
    assert images.train_x[20:40].numpy().tobytes() in cifar.files["data_batch_2"]
    assert images.test_x.numpy().tobytes() in cifar.files["test_batch"]


def test_packed_idx_files_are_read(tmp_path, mnist):
    mnist.lay(tmp_path / "plain")
    folder = mnist.lay(tmp_path / "packed")
    for name in mnist.files:
        (folder / name).unlink()
        (folder / (name + ".gz")).write_bytes(mnist.archives[name + ".gz"])
    plain, packed = (data.load("mnist", tmp_path / kind) for kind in ("plain", "packed"))
    assert data.available("mnist", tmp_path / "packed")
    assert torch.equal(plain.train_x, packed.train_x)
    assert torch.equal(plain.test_y, packed.test_y)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    assert "train-labels-idx1-ubyte.gz is " in refused(data.load, "mnist", tmp_path / "packed")


@pytest.mark.parametrize("reader", [data.load, data.load_or_digits])
def test_half_a_set_is_an_error(tmp_path, mnist, reader):
    (mnist.lay(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    message = refused(reader, "mnist", tmp_path)
    assert "MNIST lacks t10k-labels-idx1-ubyte in" in message
    assert "make data" in message
    assert not data.available("mnist", tmp_path)


@pytest.mark.parametrize("reader", [data.load, data.load_or_digits])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(("damage", "said"), [
    (lambda b: b[:-1], "is truncated"), (lambda b: b"", "is truncated"), (lambda b: b + b"0", "is too long"),
    (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "is altered"),
])  # fmt: skip
def test_damaged_file(tmp_path, mnist, reader, name, damage, said):
    path = mnist.lay(tmp_path) / name
    path.write_bytes(damage(mnist.files[name]))
    message = refused(reader, "mnist", tmp_path)
    assert f"{path} {said}" in message
    assert "make data" in message
    assert "delete it" in message


def test_altered_batch(tmp_path, cifar):
    path = cifar.lay(tmp_path) / "data_batch_3"
    path.write_bytes(path.read_bytes().replace(b"ndarray", b"ndarraz"))
    assert "data_batch_3 is altered" in refused(data.load, "cifar10", tmp_path)


def test_a_folder_where_a_file_should_be(tmp_path, mnist):
    path = mnist.lay(tmp_path) / "train-images-idx3-ubyte"
    path.unlink()
    path.mkdir()
    assert f"cannot read {path}" in refused(data.load, "mnist", tmp_path)
    assert not data.available("mnist", tmp_path)


class Touch:
    """Unpickled in the ordinary way, this makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_cannot_run_code(tmp_path, cifar, monkeypatch):
    """Even one that has the right MD5."""
    trap = pickle.dumps({"data": Touch(tmp_path / "ran"), "labels": []}, protocol=2)
    hostile = Fake("cifar10", cifar.files | {"data_batch_1": trap}, {})
    monkeypatch.setitem(OFFICIAL, "cifar10", hostile.source)
    hostile.lay(tmp_path)
    message = refused(data.load, "cifar10", tmp_path)
    assert ".mkdir, which no data file needs" in message
    assert not (tmp_path / "ran").exists()
    pickle.loads(trap)  # the trap is one
    assert (tmp_path / "ran").exists()


# --- downloads that work in the end --------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "cifar"])
def test_download(tmp_path, serve, request, name):
    fake = request.getfixturevalue(name)
    host = serve(fake)
    root = tmp_path / "new" / "data"
    assert fetch(fake, root, host.url) is True
    assert fake.is_whole(root)
    assert fake.leftovers(root) == set()
    assert not (tmp_path / "outside").exists()  # names in an archive lead nowhere
    assert len(host.asked) == len(fake.archives)
    assert fetch(fake, root, host.url) is False  # all there: the host is not asked again
    assert len(host.asked) == len(fake.archives)


def test_load_can_download(tmp_path, mnist, serve, monkeypatch):
    monkeypatch.setitem(OFFICIAL, "mnist", replace(mnist.source, mirrors=(serve(mnist).url,)))
    assert len(data.load("mnist", tmp_path, download=True).train_x) == 200
    assert data.download_all(["digits"], tmp_path) == {"digits": False}


@pytest.mark.parametrize("first", [not_found, altered, shorter, endless, web_page, hang_up, without_range, redirect])
def test_one_bad_answer_is_survived(tmp_path, cifar, serve, first):
    host = serve(cifar)
    host.script = [first]
    assert fetch(cifar, tmp_path, host.url)
    assert cifar.is_whole(tmp_path)
    assert cifar.leftovers(tmp_path) == set()
    # a redirect is followed and a plain 200 taken; every other answer costs the one retry, from the start
    assert [r for _, r in host.asked] == ([None] if first is without_range else [None, None])


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 1.0])
def test_broken_connection_is_resumed(tmp_path, cifar, serve, part):
    host = serve(cifar)
    size = cifar.source.archives[0].size
    n = min(round(part * size), size - 1)
    host.script = [cut_after(n)]
    assert fetch(cifar, tmp_path, host.url)
    assert cifar.is_whole(tmp_path)
    assert [r for _, r in host.asked] == [None, f"bytes={n}-" if n else None]


def test_resumes_in_the_next_run_and_without_range(tmp_path, cifar, serve):
    host = serve(cifar)
    host.script = [cut_after(1000), not_found]
    refused(fetch, cifar, tmp_path, host.url)
    assert (tmp_path / "cifar-10-python.tar.gz.part").stat().st_size == 1000
    host.script = [without_range]  # asked for the rest, it sends everything
    assert fetch(cifar, tmp_path, host.url)
    assert cifar.is_whole(tmp_path)
    assert host.asked[-1][1] == "bytes=1000-"


@pytest.mark.parametrize("extra", [-100, 0, 100])
def test_a_foreign_part_file_is_dropped(tmp_path, cifar, serve, extra):
    host = serve(cifar)
    part = tmp_path / "cifar-10-python.tar.gz.part"
    have = cifar.source.archives[0].size + extra
    part.write_bytes(bytes(have))
    assert fetch(cifar, tmp_path, host.url)
    assert [r for _, r in host.asked] == ([f"bytes={have}-", None] if extra < 0 else [None])
    assert cifar.is_whole(tmp_path)
    assert cifar.leftovers(tmp_path) == set()


def test_a_whole_part_file_needs_no_host(tmp_path, cifar):
    (tmp_path / "cifar-10-python.tar.gz.part").write_bytes(*cifar.archives.values())
    assert fetch(cifar, tmp_path, "http://127.0.0.1:1/")
    assert cifar.is_whole(tmp_path)


def test_an_archive_that_lies_there_is_used_and_kept(tmp_path, cifar):
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(*cifar.archives.values())
    assert fetch(cifar, tmp_path, "http://127.0.0.1:1/")
    assert cifar.is_whole(tmp_path)
    assert archive.exists()


def test_damage_is_repaired_and_the_rest_left_alone(tmp_path, mnist, serve):
    host, folder = serve(mnist), mnist.lay(tmp_path)
    (folder / "train-labels-idx1-ubyte").write_bytes(b"damaged")
    before = (folder / "train-images-idx3-ubyte").stat()
    assert fetch(mnist, tmp_path, host.url)
    assert mnist.is_whole(tmp_path)
    assert [name for name, _ in host.asked] == ["train-labels-idx1-ubyte.gz"]
    assert (folder / "train-images-idx3-ubyte").stat() == before


def test_second_mirror(tmp_path, mnist, serve):
    first, second = serve(mnist), serve(mnist)
    first.script = [not_found] * 8
    assert fetch(mnist, tmp_path, first.url, second.url)
    assert mnist.is_whole(tmp_path)
    assert len(first.asked) == 8


@pytest.mark.slow
def test_killed_in_the_middle(tmp_path, cifar, serve):
    """SIGKILL while half the archive is sent: no file under its final name; the next run completes the set."""
    host = serve(cifar)
    host.script = [half_then_never]
    archive = cifar.source.archives[0]
    child = subprocess.Popen([sys.executable, "-c", (
        "import pathlib; from resnet_lib.data.sources import OFFICIAL, File;"
        "from resnet_lib.data.download import fetch_set;"
        "from dataclasses import replace;"
        f"source = replace(OFFICIAL['cifar10'], archives=({archive!r},));"
        f"fetch_set(source, pathlib.Path({str(tmp_path)!r}), [{host.url!r}], progress=False)")])  # fmt: skip
    assert host.half_sent.wait(120)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not any((cifar.folder(tmp_path) / name).exists() for name in cifar.files)
    assert "CIFAR-10 lacks" in refused(data.load, "cifar10", tmp_path)
    assert fetch(cifar, tmp_path, host.url)
    assert cifar.is_whole(tmp_path)
    assert cifar.leftovers(tmp_path) == set()


# --- downloads that cannot work ------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "said"), [
    (altered, "wrong checksum"), (shorter, "wrong checksum"), (endless, "wrong checksum"),
    (web_page, "wrong checksum: the server sent a web page"), (not_found, "404"), (hang_up, "closed"),
    (cut_after(5), "the connection ended after 5 of"), (redirect_to_disk, "302"),
])  # fmt: skip
def test_host_that_stays_wrong(tmp_path, cifar, serve, answer, said):
    host = serve(cifar)
    host.script = [answer] * 2
    message = refused(fetch, cifar, tmp_path, host.url)
    assert f"cannot fetch cifar-10-python.tar.gz ({host.url}cifar-10-python.tar.gz: " in message
    assert said in message
    assert "run the command again" in message
    assert len(host.asked) == 2  # one retry
    assert cifar.leftovers(tmp_path) <= {"cifar-10-python.tar.gz.part"}
    assert not any((cifar.folder(tmp_path) / name).exists() for name in cifar.files)
    assert data.load_or_digits("cifar10", tmp_path).fallback == "cifar10"
    assert fetch(cifar, tmp_path, host.url)  # the next run, with the host mended, succeeds
    assert cifar.is_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [never, half_then_never])
def test_silent_host_times_out(tmp_path, cifar, serve, answer):
    host = serve(cifar)
    host.script = [answer] * 2
    assert "timed out" in refused(fetch, cifar, tmp_path, host.url, timeout=0.5)
    assert 1 <= len(host.asked) <= 2  # on a busy machine a request may time out before it is heard


def test_no_network(tmp_path, cifar):
    with socket.socket() as free:  # bound and not listening: connections are refused
        free.bind(("127.0.0.1", 0))
        message = refused(fetch, cifar, tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}/")
    assert "refused" in message
    assert "when the network is there" in message


def test_archive_without_a_wanted_file(tmp_path, cifar, serve, monkeypatch):
    packed = {"cifar-10-python.tar.gz": tar_gz({"cifar-10-batches-py/data_batch_1": b"wrong"})}
    poor = Fake("cifar10", cifar.files, packed)
    monkeypatch.setitem(OFFICIAL, "cifar10", poor.source)
    message = refused(fetch, poor, tmp_path, serve(poor).url)
    assert "data_batch_1 as unpacked is not the official file" in message
    assert not (poor.folder(tmp_path) / "data_batch_1").exists()


# --- a file system that refuses ------------------------------------------------------------------


def as_nobody(call) -> str:
    """What ``call`` raises for a user without rights; root drops its own in a child."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the child only makes system calls
        child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            call()
            os.write(write, b"nothing raised")
        except (DataError, OSError) as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_path(tmp_path):
    """tmp_path with its parents made passable for other users."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("made", ["", "cifar-10-batches-py"])
def test_unwritable_data_folder(open_path, cifar, serve, made):
    host, root = serve(cifar), open_path / "data"
    (root / made).mkdir(parents=True)
    for folder in (root / made, root):
        folder.chmod(0o555)
    said = as_nobody(lambda: fetch(cifar, root, host.url))
    for folder in (root, root / made):
        folder.chmod(0o755)
    assert said.startswith(f"DataError: cannot read or write {root / 'cifar-10-batches-py'}")
    assert "Permission denied; make the folder writable or set RESNET_LIB_HOME" in said
    assert host.asked == []


def test_a_folder_that_others_may_not_enter(open_path, mnist):
    path = mnist.lay(open_path / "data") / "train-images-idx3-ubyte"
    path.parent.chmod(0)
    try:
        said = as_nobody(lambda: data.load("mnist", open_path / "data"))
    finally:
        path.parent.chmod(0o755)
    assert said == f"DataError: cannot read {path}: Permission denied"


def test_unreadable_file(open_path, mnist):
    path = mnist.lay(open_path / "data") / "train-labels-idx1-ubyte"
    path.chmod(0)
    assert as_nobody(lambda: data.load("mnist", open_path / "data")) == (
        f"DataError: cannot read {path}: Permission denied")  # fmt: skip


def test_data_folder_below_a_file(tmp_path, cifar):
    (tmp_path / "data").write_text("a file, not a folder")
    message = refused(fetch, cifar, tmp_path / "data", "http://127.0.0.1:1/")
    assert f"cannot read or write {tmp_path / 'data'}" in message
    assert (tmp_path / "data").read_text() == "a file, not a folder"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("full", ["cifar-10-python.tar.gz.part", "cifar-10-batches-py/data_batch_2.part"])
def test_full_disk(tmp_path, cifar, serve, full):
    """The disk fills up during the download, or during unpacking; with room again, the next run completes."""
    host = serve(cifar)
    cifar.folder(tmp_path).mkdir()
    (tmp_path / full).symlink_to("/dev/full")
    message = refused(fetch, cifar, tmp_path, host.url)
    assert f"the disk is full, writing {tmp_path / full}; free some room and run the command again" in message
    assert not (cifar.folder(tmp_path) / "data_batch_2").exists()
    (tmp_path / full).unlink()
    assert fetch(cifar, tmp_path, host.url)
    assert cifar.is_whole(tmp_path)


def test_two_downloads_at_once(tmp_path, cifar, serve):
    host = serve(cifar)
    cifar.folder(tmp_path).mkdir()
    with FileLock(cifar.folder(tmp_path) / ".lock"):
        assert "another download into" in refused(fetch, cifar, tmp_path, host.url)
    assert host.asked == []
    assert fetch(cifar, tmp_path, host.url)
