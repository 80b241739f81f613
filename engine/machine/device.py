"""Device and precision: picked automatically, or as asked, never silently something else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from engine.errors import DeviceError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def choose_device(name: str = "auto") -> torch.device:
    """A torch device from "auto", "cpu", "cuda", "cuda:1" or "mps"."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            found = f"{count} CUDA device(s)" if count else "no CUDA device"
            raise DeviceError(f"device {name!r}: this machine has {found}; use --device auto")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"device {name!r}: not on this machine; use --device auto")
    elif device.type not in ("cpu", "mps"):
        raise DeviceError(f"device {name!r} is not supported; use auto, cpu, cuda or mps")
    return device


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """A dtype from "auto" or a name: half precision where the hardware is faster with it."""
    if name == "auto":
        if device.type == "cuda":
            return torch.float16
        if device.type == "cpu" and cpu_has_bfloat16():
            return torch.bfloat16
        return torch.float32
    dtype = PRECISIONS.get(_SHORT.get(name, name))
    if dtype is None:
        raise DeviceError(f"unknown precision {name!r}; use auto, {', '.join(PRECISIONS)}")
    if dtype == torch.float16 and device.type == "cpu":
        raise DeviceError("float16 is slower than float32 on a CPU; use auto, float32 or bfloat16")
    return dtype


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: torch's own, MPS's, a CPU allocator's, or
    OpenCV's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    if isinstance(error, RuntimeError) and "out of memory" in said:  # as MPS says it
        return True
    return any(
        words in said
        for words in ("can't allocate memory", "not enough memory", "insufficient memory")
    )


@contextmanager
def in_precision(dtype: torch.dtype, *modules: nn.Module) -> Iterator[None]:
    """Modules in another precision for a while. Their weights wait in a file meanwhile, for this is
    done where memory is short, and come back as they were to the bit."""
    with tempfile.TemporaryFile() as file:
        torch.save([module.state_dict() for module in modules], file)
        before = [next(module.parameters()).dtype for module in modules]
        try:
            for module in modules:
                module.to(dtype)
            yield
        finally:
            file.seek(0)
            states = torch.load(file, weights_only=True)
            for module, each, state in zip(modules, before, states, strict=True):
                module.to(each)
                module.load_state_dict(state)
