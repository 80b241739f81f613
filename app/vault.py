"""Pictures of all windows: the newest in memory, the others in files that go with the process.

A history may be as long as its disk. What nobody holds any more is let go of, file and all.
"""

from __future__ import annotations

import copy
import math
import shutil
import tempfile
import weakref
from collections import OrderedDict
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from PIL import Image

from app.limits import USUAL, require_room
from engine.errors import ImageError, RequestError
from engine.picture.depth import DEEP, Deep

GONE = "this picture of the history is gone from the disk; choose another"


class Vault:
    """Holds pictures, within ``limit`` bytes of memory; those unused longest go to disk."""

    def __init__(self, limit: int = USUAL.history) -> None:
        self.limit = limit
        self._lock = RLock()
        self._numbers = count()
        self._loaded: OrderedDict[int, tuple[Image.Image, int]] = OrderedDict()
        self._used = 0
        self._home: Path | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Vault:
        """Gradio copies the first value of a state for each window; the vault is one for all."""
        return self

    @property
    def used(self) -> int:
        """Bytes of pictures in memory now."""
        return self._used

    def hold(self, image: Image.Image) -> Held:
        """Take a picture in. It must not be changed from now on."""
        with self._lock:
            held = Held(self, next(self._numbers), image)
            weakref.finalize(held, self._forget, held.number).atexit = False
            self._keep(held.number, image)
        return held

    def hold_bytes(self, data: bytes) -> HeldBytes:
        """Take the bytes of a file in; they go to disk at once."""
        with self._lock:
            held = HeldBytes(self._path(next(self._numbers)))
        _write(held.path, data)
        weakref.finalize(held, held.path.unlink, missing_ok=True).atexit = False
        return held

    def load(self, held: Held) -> Image.Image:
        """The picture, from memory or else from its file."""
        with self._lock:
            found = self._loaded.get(held.number)
            if found is not None:
                self._loaded.move_to_end(held.number)
                return found[0]
            image = held.shell.read(self._path(held.number))
            self._keep(held.number, image)
            return image

    def _keep(self, number: int, image: Image.Image) -> None:
        size = memory_of(image)
        self._loaded[number] = (image, size)
        self._used += size
        while self._used > self.limit and len(self._loaded) > 1:
            spare, (old, freed) = next(iter(self._loaded.items()))
            path = self._path(spare)
            if not path.exists():
                _write(path, _bytes_of(old))
            if self._loaded.pop(spare, None):  # else let go of meanwhile, by the collector
                self._used -= freed

    def _forget(self, number: int) -> None:
        with self._lock:
            found = self._loaded.pop(number, None)
            if found is not None:
                self._used -= found[1]
            if self._home is not None:
                self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.home / str(number)

    @property
    def home(self) -> Path:
        """The folder of what is on disk."""
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="varpaint-history-"))
            weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
        return self._home


class Held:
    """A picture that the vault keeps; ``image`` may read it from disk."""

    def __init__(self, vault: Vault, number: int, image: Image.Image) -> None:
        self.vault = vault
        self.number = number
        self.shell = _Shell(image)

    @property
    def image(self) -> Image.Image:
        return self.vault.load(self)

    @property
    def size(self) -> tuple[int, int]:
        return self.shell.size


class HeldBytes:
    """The bytes of a file that was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError:
            raise ImageError(GONE) from None


class _Shell:
    """All of a picture but its pixels: enough to build it anew from them."""

    def __init__(self, image: Image.Image) -> None:
        self.mode, self.size = image.mode, image.size
        self.info = {key: value for key, value in image.info.items() if key != DEEP}
        whole = image.info.get(DEEP)
        self.whole = (whole.values.shape, whole.peak) if isinstance(whole, Deep) else None
        with suppress(Exception):  # EXIF that is damaged says nothing
            if "exif" not in self.info and (exif := image.getexif()):
                self.info["exif"] = exif.tobytes()
        self.palette = copy.copy(image.palette)

    def read(self, path: Path) -> Image.Image:
        try:
            data, values = path.read_bytes(), None
            if self.whole is not None:
                shape, peak = self.whole
                size = 2 * math.prod(shape)
                data, values = data[:-size], np.frombuffer(data[-size:], np.uint16).reshape(shape)
            image = Image.frombytes(self.mode, self.size, data)
        except (OSError, ValueError):
            raise ImageError(GONE) from None
        image.info = dict(self.info)
        if values is not None:
            image.info[DEEP] = Deep(values, peak)
        if self.palette is not None:
            mode, data = self.palette.mode, self.palette.tobytes()
            image.putpalette(data, mode)
        return image


def _bytes_of(image: Image.Image) -> bytes:
    """What `_Shell.read` builds a picture from: its pixels, and the whole ones beside them."""
    whole = image.info.get(DEEP)
    return image.tobytes() + (whole.values.tobytes() if isinstance(whole, Deep) else b"")


def memory_of(image: Image.Image) -> int:
    """Bytes that a picture's pixels take in memory, as Pillow stores them, and the whole ones of 16
    bits a channel beside them."""
    width, height = image.size
    bands = len(image.getbands())
    size = 4 if bands > 1 or image.mode in ("I", "F") else 2 if image.mode[:2] == "I;" else 1
    whole = image.info.get(DEEP)
    return width * height * size + (whole.values.nbytes if isinstance(whole, Deep) else 0)


def _write(path: Path, data: bytes) -> None:
    try:
        require_room(path.parent, len(data))
        path.write_bytes(data)
    except RequestError as error:
        raise ImageError(str(error)) from None
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ImageError(
            f"the history cannot be kept on disk ({error.strerror}); free some space there"
        ) from None
