"""Networks without memory for their weights, on torch's meta device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _WithoutWork(TorchFunctionMode):
    """On the meta device, leaves out what a constructor does to weights that are not there.

    Initialisation works in place: nothing, without memory, but torch would first load hundreds of
    modules to do it (2.5 s). What is computed with (ticks, levels) is small and real.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__"):
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, Tensor) and target.is_meta:
                return target
        if func in (torch.linspace, torch.full, torch.randn):
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


@contextmanager
def without_memory() -> Iterator[None]:
    with torch.device("meta"), _WithoutWork():
        yield
