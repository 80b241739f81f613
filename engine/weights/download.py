"""One file from the hub into a folder: resumable, checked, whole or not at all.

huggingface_hub knows the hub, its addresses, answers and errors. Its ``hf_hub_download`` (2.4.0)
throws a partial file away when it gives up, and writes 10 MB at a time, which is hard on 9 GB files
and slow lines; so the bytes are received here. The files are public: no token is ever sent.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.errors import DownloadError
from engine.picture.saving import write_whole

SUM_SUFFIX = ".sha256"  # beside a file, in the format of sha256sum
RETRIES = 5  # in a row, without a byte received
CHUNK = 1 << 18
GLANCE = 0.25  # seconds between two words to whoever watches, while nothing comes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT)

Told = Callable[[str, int, int], None]
"""Whoever watches a download: is told a file's name, how many bytes of it are here, and of how
many. What it raises ends the download; what has arrived stays, to go on with another time."""


@dataclass(frozen=True)
class _Remote:
    """A file as the hub declares it."""

    url: str
    sha256: str
    size: int


def fetch(
    repository: str,
    filename: str,
    folder: Path,
    *,
    endpoint: str | None = None,
    told: Told | None = None,
) -> Path:
    """Download ``filename`` of a hub repository into ``folder`` and record its SHA-256 beside it.

    What an earlier call left unfinished is continued. ``endpoint`` is another hub than
    huggingface_hub's own default (which ``HF_ENDPOINT`` sets too). Raises DownloadError.
    """
    with _translated(repository, filename, folder):
        folder.mkdir(parents=True, exist_ok=True)
        remote = _declared(repository, filename, endpoint)
        with _only_one(folder, filename):
            part = folder / f"{filename}.{remote.sha256[:12]}.part"
            for stale in set(unfinished(folder, filename)) - {part}:
                stale.unlink()  # what is left of another version of the file
            with part.open("ab") as file:
                if file.tell() > remote.size:
                    _empty(file)
                _require_space(folder, filename, remote.size - file.tell())
                _receive(remote, filename, file, told)
            found = sha256(part)
            if found != remote.sha256:
                part.unlink()
                raise DownloadError(
                    f"{filename}: expected SHA-256 {remote.sha256} as the hub declares, found "
                    f"{found}; the file was thrown away, try again"
                )
            with part.open("rb") as file:
                os.fsync(file.fileno())  # the name is to promise the bytes
            record(folder / filename, found)
            part.replace(folder / filename)
    return folder / filename


def unfinished(folder: Path, filename: str) -> list[Path]:
    """What earlier downloads of a file left of it."""
    return sorted(folder.glob(f"{filename}.*.part"))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(path: Path, digest: str) -> None:
    """Write a file's SHA-256 beside it."""
    write_whole(path.with_name(path.name + SUM_SUFFIX), f"{digest}  {path.name}\n".encode())


def recorded(path: Path) -> str | None:
    """The SHA-256 recorded beside a file, or None."""
    try:
        text = path.with_name(path.name + SUM_SUFFIX).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    match = _SHA256.match(text.strip().lower())
    return match.group() if match else None


def _declared(repository: str, filename: str, endpoint: str | None) -> _Remote:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    found = get_hf_file_metadata(hf_hub_url(repository, filename, endpoint=endpoint), token=False)
    if not found.etag or not _SHA256.fullmatch(found.etag) or not found.size:
        raise DownloadError(
            f"{filename}: expected the hub to declare a SHA-256 and a size, "
            f"found {found.etag!r} and {found.size!r}; a proxy may be in the way"
        )
    # The commit in the address: a repository that changes meanwhile cannot mix two versions.
    url = hf_hub_url(repository, filename, revision=found.commit_hash, endpoint=endpoint)
    return _Remote(url, found.etag, found.size)


def _receive(remote: _Remote, filename: str, file: BinaryIO, told: Told | None) -> None:
    """Append what is missing, going on after every cut that at least some bytes came before."""
    import httpx2
    from tqdm import tqdm

    idle = 0
    with tqdm(
        total=remote.size,
        initial=file.tell(),
        desc=filename,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=None,  # where nobody looks at a terminal
    ) as bar:

        def advance(count: int) -> None:
            bar.update(count)
            if told is not None:
                told(filename, file.tell(), remote.size)

        advance(0)
        while (begin := file.tell()) < remote.size:
            problem: Exception = httpx2.ReadError("the answer ended early")
            try:
                _append(remote, file, advance)
            except httpx2.TransportError as error:
                problem = error
            if file.tell() > begin:
                idle = 0
            elif (idle := idle + 1) > RETRIES:
                raise problem
            else:
                for _ in range(round(min(2**idle, 16) / GLANCE)):
                    time.sleep(GLANCE)
                    advance(0)


def _append(remote: _Remote, file: BinaryIO, advance: Callable[[int], object]) -> None:
    """One request for the rest of a file; it may end early."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import hf_raise_for_status

    begin = file.tell()
    headers = {"user-agent": "varpaint", "accept-encoding": "identity"}
    if begin:
        headers["range"] = f"bytes={begin}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", remote.url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        if begin and response.status_code != 206:  # the whole file again
            _empty(file)
            advance(-begin)
        for chunk in response.iter_bytes(CHUNK):
            file.write(chunk)
            advance(len(chunk))
            if file.tell() > remote.size:
                return  # the checksum will tell


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


@contextmanager
def _only_one(folder: Path, filename: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    locks = folder / ".cache"
    locks.mkdir(exist_ok=True)
    try:
        with FileLock(locks / f"{filename}.lock", timeout=0):
            yield
    except Timeout:
        raise DownloadError(
            f"{filename}: is being downloaded by another process; wait for it"
        ) from None


def _require_space(folder: Path, filename: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise _no_space(folder, filename, f"{needed} bytes are needed in {folder}, {free} are free")


def _no_space(folder: Path, filename: str, what: str) -> DownloadError:
    return DownloadError(
        f"{filename}: the disk is full: {what}; make room and try again, "
        "it goes on where it stopped"
    )


@contextmanager
def _translated(repository: str, filename: str, folder: Path) -> Iterator[None]:
    """Whatever goes wrong on the way, as one line that says what to do."""
    import httpx2
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    by_hand = f"to install it by hand, put {filename} into {folder}"
    try:
        yield
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError):
        raise DownloadError(
            f"{filename}: not found in {repository} on the hub; {by_hand}"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise DownloadError(
            f"{filename}: the hub answered with status {status}; try again later, or {by_hand}"
        ) from None
    except (httpx2.HTTPError, OfflineModeIsEnabled) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"{filename}: no connection to the hub ({reason}); try again to go on "
            f"where it stopped, or {by_hand}"
        ) from None
    except OSError as error:
        if error.errno in _FULL:
            there = next(each for each in (folder, *folder.parents) if each.exists())
            free = shutil.disk_usage(there).free
            raise _no_space(folder, filename, f"writing failed, {free} bytes are free") from None
        raise DownloadError(
            f"{filename}: cannot be written to {folder}: {error.strerror}"
        ) from None
