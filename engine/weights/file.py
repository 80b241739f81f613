"""Opens a weights file of any kind it may be: safetensors, or a torch pickle of tensors.

What a file is, is decided by its content, never by its ending. Nothing but tensors, and the
settings that trainers put beside them (`argparse.Namespace`), is ever unpickled. A file that cannot
be read is one ``CheckpointError`` line naming it, what was expected and what was found. Knows
nothing of networks but the names under which a trainer nests them.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import safe_globals

from engine.errors import CheckpointError

StrPath = str | os.PathLike[str]

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"  # torch before 1.6 wrote bare pickles
_MADV_DONTNEED = 4


@dataclass(frozen=True)
class WeightsFile:
    """An open file: names and shapes at once, tensors one by one, as views of the mapped file."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Tensor]
    mapped: bool
    metadata: Mapping[str, str] = field(default_factory=dict)

    def release(self, tensor: Tensor) -> None:
        """Give a tensor's pages back: they are the file's, but count as this process's memory.

        The tensor stays valid (the pages would be read again). Only Linux offers this.
        """
        if not (self.mapped and tensor.is_contiguous() and sys.platform.startswith("linux")):
            return
        page = os.sysconf("SC_PAGE_SIZE")
        begin = -(-tensor.data_ptr() // page) * page
        end = (tensor.data_ptr() + tensor.nbytes) // page * page
        if end > begin:
            ctypes.CDLL(None).madvise(
                ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED
            )


@contextmanager
def open_weights(path: StrPath, nested: Sequence[str]) -> Iterator[WeightsFile]:
    """The state dict in a file; where a trainer nested several, the first called as ``nested``."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
            size = file.seek(0, os.SEEK_END)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: expected a weights file, found none") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CheckpointError(f"{path}: expected a weights file, found: {reason}") from None
    if size == 0:
        raise CheckpointError(f"{path}: expected a weights file, found an empty one")
    if head[8:9] == b"{":
        _require_length(path, int.from_bytes(head[:8], "little"), size)
        with _safetensors(path) as weights:
            yield weights
    elif head.startswith((_ZIP, _PICKLE)):
        yield _pickled(path, nested, mapped=head.startswith(_ZIP))
    else:
        raise CheckpointError(
            f"{path}: expected weights (safetensors or a torch .pth), found another kind of file"
        )


def _require_length(path: Path, header: int, size: int) -> None:
    """A safetensors file says in its header how long it is: refuse one that is cut short."""
    expected = 8 + header
    if expected <= size and header <= 100_000_000:
        try:
            with path.open("rb") as file:
                file.seek(8)
                entries = json.loads(file.read(header))
            expected += max(
                (each["data_offsets"][1] for name, each in entries.items() if name[:2] != "__"),
                default=0,
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise CheckpointError(
                f"{path}: expected the header of a safetensors file, found unreadable text"
            ) from None
    if expected > size:
        raise CheckpointError(
            f"{path}: expected {expected} bytes, found {size}; the file is cut short, "
            "fetch it again"
        )


@contextmanager
def _safetensors(path: Path) -> Iterator[WeightsFile]:
    try:
        file = safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: expected a safetensors file, found a damaged one ({_first_line(error)})"
        ) from None
    with file as opened:
        shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        yield WeightsFile(path, shapes, opened.get_tensor, True, opened.metadata() or {})


def _pickled(path: Path, nested: Sequence[str], *, mapped: bool) -> WeightsFile:
    try:
        with warnings.catch_warnings(), safe_globals([Namespace]):
            warnings.simplefilter("ignore")  # remarks on old pickles
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path}: expected a state dict of tensors, found other Python objects or a damaged "
            "pickle; refused, since unpickling can run code"
        ) from None
    except Exception as error:  # torch's readers raise about every type on a damaged file
        raise CheckpointError(
            f"{path}: expected a torch .pth file, found a damaged, cut or foreign one "
            f"({_first_line(error)})"
        ) from None
    state = _state_dict(content, nested)
    if state is None:
        raise CheckpointError(
            f"{path}: expected a state dict of tensors, flat or under 'trainer' as {nested[0]!r}, "
            f"found {_describe(content)}"
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return WeightsFile(path, shapes, state.__getitem__, mapped)


def _state_dict(content: Any, nested: Sequence[str]) -> dict[str, Tensor] | None:
    """The flat dict of tensors in what a ``.pth`` holds, or None."""
    if isinstance(content, Mapping):
        trainer = content.get("trainer", content)
        if isinstance(trainer, Mapping):
            content = next((trainer[key] for key in nested if key in trainer), trainer)
    if not isinstance(content, Mapping) or not content:
        return None
    state = dict(content)
    plain = all(
        isinstance(name, str) and isinstance(tensor, Tensor) and tensor.layout == torch.strided
        for name, tensor in state.items()
    )
    return state if plain else None


def _describe(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a dict of {', '.join(repr(key)[:40] for key in list(content)[:4]) or 'nothing'}"
    return f"a {type(content).__name__}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
