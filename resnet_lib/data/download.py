"""Fetching the official files: resumed, checked, unpacked, each under its final name only when whole.

Downloads and unpacked files grow as ``NAME.part``, are checked by MD5 and renamed last. Every failure
is a DataError of one line that names the file, the fault and the way out.
"""

import contextlib
import errno
import gzip
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from resnet_lib.data.sources import DataError, File, Source

CHUNK = 1 << 16


class _Failed(Exception):
    """One attempt at one address failed; another may do better."""


@contextlib.contextmanager
def _files(path: Path):
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DataError(f"the disk is full, writing {path}; free some room and run the command again: "
                            "it resumes") from error  # fmt: skip
        raise DataError(f"cannot read or write {path}: {error.strerror}; make the folder writable "
                        "or set RESNET_LIB_HOME to another one") from error  # fmt: skip


def _is(path: Path, want: File) -> bool:
    """Whether the file is there, whole and unaltered."""
    with _files(path):
        if not path.is_file() or path.stat().st_size != want.size:
            return False
        with open(path, "rb") as f:
            return hashlib.file_digest(f, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == want.md5


def fetch_set(source: Source, root: Path, mirrors: Sequence[str] | None = None, timeout: float = 20.0,
              progress: bool = True) -> bool:  # fmt: skip
    """Bring every file of the set below ``root``; True where anything had to be written.

    Files that are right stay as they are, damaged ones are replaced, a right archive lying there is
    unpacked without asking the network, a partial download is resumed. ``mirrors``: base addresses to
    use instead of the official ones; ``timeout``: seconds without an answer or a byte, once per attempt.
    Raises DataError.
    """
    folder = root / source.folder
    if all(_is(folder / f.name, f) for f in source.files):
        return False
    with _files(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        for archive in source.archives:
            single = archive.name.endswith(".tar.gz")
            wanted = [f for f in source.files if single or f.name + ".gz" == archive.name]
            wanted = [f for f in wanted if not _is(folder / f.name, f)]
            path = (root if single else folder) / archive.name
            if not wanted:
                continue
            found = _is(path, archive)
            if not found:
                _download(path, archive, mirrors or source.mirrors, timeout, progress)
            _unpack(path, wanted, folder)
            if not found:  # an archive that lay there before is the reader's, not ours to delete
                _discard(path)
    return True


@contextlib.contextmanager
def _alone(folder: Path):
    """Hold the folder's lock: two downloads into the same .part file would spoil each other."""
    lock = FileLock(folder / ".lock", mode=0o666)  # whoever may write in the folder may take it, too
    with _files(folder / ".lock"):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"another download into {folder} is running; wait for it to end") from None
    try:
        yield
    finally:
        lock.release()


def _download(path: Path, want: File, mirrors: Sequence[str], timeout: float, progress: bool) -> None:
    """Fetch ``want`` to ``path``: every mirror, each with one retry, resuming what is already there."""
    part, faults = path.with_name(path.name + ".part"), []
    for base in mirrors:
        url = base.rstrip("/") + "/" + want.name
        for _ in range(2):
            try:
                _stream(url, part, want, timeout, progress)
                with _files(path):
                    part.replace(path)
                return
            except _Failed as fault:
                if f"{url}: {fault}" not in faults:
                    faults.append(f"{url}: {fault}")
    raise DataError(f"cannot fetch {want.name} ({'; '.join(faults)}); when the network is there, "
                    "run the command again: it resumes")  # fmt: skip


@contextlib.contextmanager
def _asking():
    """Turn what the network refuses into a failed attempt."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise _Failed(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(str(getattr(error, "reason", error)) or type(error).__name__) from error


def _stream(url: str, part: Path, want: File, timeout: float, progress: bool) -> None:
    """One attempt: ask for what ``part`` lacks, append it, check the whole."""
    if _is(part, want):  # stopped just before it was renamed
        return
    have = part.stat().st_size if part.exists() else 0
    if have >= want.size:
        have = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with _asking():
        response = urllib.request.urlopen(request, timeout=timeout)
    if response.status != 206:  # no Range here: the whole file, from the start
        have = 0
    bar = tqdm(total=want.size, initial=have, unit="B", unit_scale=True, desc=want.name, disable=not progress)
    with response, bar, _files(part), open(part, "ab" if have else "wb") as out:
        while have <= want.size:
            with _asking():
                chunk = response.read(CHUNK)
            if not chunk:
                break
            out.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
    if response.length and have < want.size:  # bytes promised and not sent: what came is kept, to be resumed
        raise _Failed(f"the connection ended after {have:,} of {want.size:,} bytes")
    if not _is(part, want):
        with _files(part), open(part, "rb") as f:
            page = f.read(512).lstrip()[:1] == b"<"  # no archive of ours begins like that
        _discard(part)
        sent = "a web page" if page else f"{have:,} bytes that are not the official file's {want.size:,}"
        raise _Failed(f"wrong checksum: the server sent {sent}")


def _discard(part: Path) -> None:
    with _files(part):
        part.unlink(missing_ok=True)


def _unpack(archive: Path, wanted: Sequence[File], folder: Path) -> None:
    """Write the wanted files from a checked archive.

    Member names only select; the paths written are ours, so that no name in an archive can lead
    outside the folder.
    """
    if archive.name.endswith(".tar.gz"):
        names = {f"{folder.name}/{f.name}": f for f in wanted}
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:  # in the archive's order: going back would mean to decompress it again
                if member.isfile() and (want := names.pop(member.name, None)):
                    _store(tar.extractfile(member), folder / want.name, want)
        if names:
            raise DataError(f"{archive} lacks {', '.join(names)}")
    else:
        with gzip.open(archive) as stream:
            _store(stream, folder / wanted[0].name, wanted[0])


def _store(stream, path: Path, want: File) -> None:
    part = path.with_name(path.name + ".part")
    with _files(part), open(part, "wb") as out:
        shutil.copyfileobj(stream, out, CHUNK)
    if not _is(part, want):
        _discard(part)
        raise DataError(f"{path.name} as unpacked is not the official file (MD5 {want.md5})")
    with _files(path):
        part.replace(path)
