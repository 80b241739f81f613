"""Files are written whole or not at all.

The bytes go to a file beside the target, onto the disk, and only then take the target's name: at
whatever moment the disk is full or the process ends, the old file is whole. On Linux the new file
has no name until then, so that not even SIGKILL leaves a part of it behind. To replace a file it
needs a name for a moment; what a SIGKILL in that moment leaves goes with the next one to write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engine.errors import RequestError

FORSAKEN = 5.0  # seconds after which nobody is about to replace a file with one of our names
NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)
ENDING = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file, whole or not at all. RequestError, in one line, if it cannot be written."""
    try:
        with whole(path) as file:
            file.write(data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RequestError(
            f"{path}: cannot be written ({reason}); nothing was changed: make room or name "
            "another place"
        ) from None


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of ``path`` once the block ends without an error.

    Raises OSError. A link stays one: what it points to is replaced. An old file's permissions are
    kept.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    file, name = _beside(folder, target.name)
    try:
        with file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), _permissions(target))
            os.fsync(file.fileno())
            with _undisturbed():
                if name is not None or not _named(file.fileno(), target):  # there is an old one
                    name = name or _beside_named(file.fileno(), target)
                    os.replace(name, target)
                    name = None
                    _sweep(folder, target.name)
    finally:
        if name is not None:
            name.unlink(missing_ok=True)
    _onto_disk(folder)


def _beside(folder: Path, name: str) -> tuple[BinaryIO, Path | None]:
    """A new file in a folder, and its name if it must have one already."""
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is not None and os.path.isdir("/proc/self/fd"):
        try:
            return os.fdopen(os.open(folder, os.O_RDWR | nameless, 0o600), "w+b"), None
        except OSError as error:
            if error.errno not in NO_NAMELESS or not folder.is_dir():
                raise
    number, held = tempfile.mkstemp(prefix=f".{name[:60]}.", suffix=".part", dir=folder)
    return os.fdopen(number, "w+b"), Path(held)


def _named(number: int, path: Path) -> bool:
    """Give a nameless file a name; False if there is a file of that name."""
    root = os.open("/", os.O_RDONLY)
    try:  # a folder's number makes Python follow the link that /proc shows
        os.link(f"/proc/self/fd/{number}", path, src_dir_fd=root, follow_symlinks=True)
    except FileExistsError:
        return False
    finally:
        os.close(root)
    return True


def _beside_named(number: int, target: Path) -> Path:
    """Give a nameless file a name beside its target, since a rename needs one."""
    beside = target.with_name(f".{target.name[:60]}.{secrets.token_hex(8)}.part")
    _named(number, beside)
    return beside


def _sweep(folder: Path, name: str) -> None:
    """Remove what others who were killed while they replaced this file left beside it."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for each in found:
            if each.name.startswith(f".{name[:60]}.") and each.name.endswith(".part"):
                with contextlib.suppress(OSError):
                    if time.time() - each.stat(follow_symlinks=False).st_ctime > FORSAKEN:
                        os.unlink(each.path)


def _permissions(target: Path) -> int:
    """Those of the file that is there, or else what a new one gets."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that end the process wait until the block is done."""
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _onto_disk(folder: Path) -> None:
    """The folder's own entry, too; not every file system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
