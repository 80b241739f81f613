"""Time by part and operations by scale, taken while the real functions run."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine.model.hmar.transformer import HMAR
from engine.model.spec import VARSpec
from engine.model.var.transformer import VAR


def settle(device: torch.device) -> None:
    """Wait until a device has done all it was given: a GPU's calls return before that."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Clock:
    """Adds up the time spent inside watched functions, and what they are said to cost.

    On a GPU the work of a function counts with it: the device settles before and after.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.parts: defaultdict[str, float] = defaultdict(float)
        self.flop: defaultdict[str, float] = defaultdict(float)

    def now(self) -> float:
        """Seconds, once the device has settled."""
        settle(self.device)
        return time.perf_counter()

    def clear(self) -> None:
        self.parts.clear()
        self.flop.clear()

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.parts.values())

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of what is done inside to a part."""
        began = self.now()
        try:
            yield
        finally:
            self.parts[name] += self.now() - began

    def watch(
        self,
        owner: Any,
        name: str,
        part: str | Callable[..., str],
        flop: Callable[..., float] | None = None,
    ) -> None:
        """Time ``owner.name`` under ``part``; both callables get the arguments of the call."""
        inner = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            key = part if isinstance(part, str) else part(*args, **kwargs)
            if flop is not None:
                self.flop[key] += flop(*args, **kwargs)
            with self.part(key):
                return inner(*args, **kwargs)

        setattr(owner, name, timed)

    def watch_transformer(self, var: VAR | HMAR) -> None:
        """Each call of the transformer under the last scale that it runs, such as "scale 16"."""
        spec = var.spec
        if isinstance(var, HMAR):
            self.watch(
                var,
                "logits",
                lambda k, *_: f"scale {spec.scales[k]}",
                lambda k, inputs, _, rows: scale_flop(spec, inputs.shape[0], k, len(rows)),
            )
            return

        def named(*args: Any, last: int, **kwargs: Any) -> str:
            return f"scale {spec.scales[last]}"

        def cost(inputs: Any, condition: Any, **kwargs: Any) -> float:
            return run_flop(spec, condition.start.shape[0], **kwargs)

        self.watch(var, "run", named, cost)
        head = 2.0 * spec.width * spec.codebook_size
        self.watch(var, "logits", "head", lambda hidden, _: head * hidden.shape[:2].numel())

    @property
    def transformer(self) -> float:
        """Seconds in the transformer, its head included."""
        parts = self.parts.items()
        return sum(value for key, value in parts if key == "head" or key.startswith("scale "))


def run_flop(
    spec: VARSpec,
    batch: int,
    *,
    first: int,
    last: int,
    rows: Tensor | None = None,
    computed: list[Tensor] | None = None,
    **_: Any,
) -> float:
    """Floating-point operations of the matrix products of one `VAR.run`."""
    bounds = spec.bounds[first : last + 1]
    counts = [end - begin for begin, end in bounds]
    if computed is not None:
        counts = [positions.numel() for positions in computed]
    width, tokens = spec.width, sum(counts)
    seen = sum(count * end for count, (_, end) in zip(counts, bounds, strict=True))
    asked = tokens if rows is None else rows.numel()
    seen_last = seen if rows is None else asked * bounds[-1][1]

    def block(full: int, queries: int, pairs: int) -> float:
        keys = 4.0 * full * width**2
        return keys + 2.0 * queries * width**2 * (2 + 2 * spec.mlp_ratio) + 4.0 * pairs * width

    whole = (spec.depth - 1) * block(tokens, tokens, seen)
    return batch * (whole + block(tokens, asked, seen_last))


def scale_flop(spec: VARSpec, batch: int, k: int, asked: int) -> float:
    """The same of one scale that sees itself only, its head included."""
    alone = replace(spec, scales=(spec.scales[k],))
    rows = torch.empty(asked, device="meta")
    head = 2.0 * spec.width * spec.codebook_size * asked
    return run_flop(alone, batch, first=0, last=0, rows=rows) + batch * head


def weight_bytes(var: VAR | HMAR) -> int:
    """Bytes of the matrices that every call of the transformer reads."""
    spec = var.spec
    each = spec.width**2 * (4 + 2 * spec.mlp_ratio)
    return spec.depth * each * var.dtype.itemsize


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """The machine's best rate on a large square matrix product, in FLOP/s."""
    size = 2048
    a = torch.randn(size, size, device=device).to(dtype)
    b = torch.randn(size, size, device=device).to(dtype)
    best = 0.0
    for _ in range(12):
        began = time.perf_counter()
        (a @ b)[0, 0].item()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def read_rate(device: str) -> float:
    """The best rate at which a large array is read, in bytes/s."""
    array = torch.ones(64 << 20, device=device)  # 256 MB, beyond any cache
    best = 0.0
    for _ in range(6):
        began = time.perf_counter()
        array.sum().item()
        best = max(best, array.nbytes / (time.perf_counter() - began))
    return best
