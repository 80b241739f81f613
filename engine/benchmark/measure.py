"""One measurement: one model, one implementation, one kind of edit, in a process of its own.

A process each, because peak memory is a process's and a warm allocator flatters the next.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from engine import generation
from engine.architecture import skeleton_var, skeleton_vqvae
from engine.benchmark.plain import plain_edit
from engine.checkpoint import FLOAT32, FLOAT32_ENDS, load_pair
from engine.device import choose_precision
from engine.editor import Editor
from engine.labels import Labels
from engine.masks import finest_keep, regenerate_maps
from engine.model import VAR, VQVAE
from engine.model.attention import choose_attention
from engine.model.autoencoder import channels_last
from engine.model.packed import pack
from engine.pixels import to_tensor
from engine.registry import resolve
from engine.request import EditOptions, EditRequest
from engine.rules import rule_for
from engine.spec import VARSpec, VQVAESpec

FOLDER = Path(__file__).resolve().parent.parent.parent
OURS, PLAIN, AUTOCAST = "ours", "plain", "plain_autocast"
MODELS = ("bundled", "d16-256", "d36-512")


@dataclass(frozen=True)
class Case:
    """What to measure. ``mask`` is the masked share of the picture, a centred square."""

    model: str
    implementation: str
    labelled: bool
    variations: int
    mask: float
    repeats: int
    device: str = "cpu"
    precision: str = "auto"


def networks(case: Case) -> tuple[VQVAE, VAR]:
    """The bundled model, or random weights of an official shape."""
    device = torch.device(case.device)
    dtype = torch.float32
    if case.implementation == OURS:
        dtype = choose_precision(case.precision, device)
    attention = choose_attention(device)
    if case.model == "bundled":
        files = resolve("bundled")
        loaded = load_pair(
            files.vqvae, files.var, device=device, dtype=dtype, attention=attention
        )
        vqvae, var = loaded.vqvae, loaded.var
    else:
        depth = int(case.model[1:].split("-")[0])
        spec = VARSpec.official(depth)
        vqvae = _random(skeleton_vqvae(VQVAESpec.official(spec.scales)), device, dtype)
        var = _random(skeleton_var(spec, attention), device, dtype)
    if case.implementation == OURS:
        channels_last(vqvae)
        pack(var)
    return vqvae, var


Network = TypeVar("Network", VQVAE, VAR)


def _random(net: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """Small random weights, made in their final precision, no copy in between."""
    generator = torch.Generator(device=device).manual_seed(0)
    state = {}
    for name, tensor in net.state_dict().items():
        exact = name.startswith(FLOAT32) or name.endswith(FLOAT32_ENDS)
        wanted = torch.float32 if exact else dtype
        state[name] = torch.empty(tensor.shape, dtype=wanted, device=device)
        state[name].normal_(std=0.02, generator=generator)
        if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "norm_out.weight")):
            state[name].fill_(1)
        elif name == "lvl_1L":
            assert isinstance(net, VAR)
            levels = [torch.full((s * s,), k) for k, s in enumerate(net.spec.scales)]
            state[name] = torch.cat(levels).view(1, -1).to(device)
    net.load_state_dict(state, assign=True)
    return net.requires_grad_(False).eval()


def measure(case: Case) -> dict[str, Any]:
    """Seconds (median and by part), peak memory above an empty process, multiply-adds."""
    before = _resident()
    vqvae, var = networks(case)
    side = vqvae.spec.side
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = _centred(side, case.mask)
    clock = Clock()
    clock.watch(vqvae, "features", "encode")
    clock.watch(vqvae, "decode", "decode")
    if case.implementation == OURS:
        clock.watch(var, "run", "transformer")
        clock.watch(var, "logits", "head")
        clock.watch(generation, "draw", "sampling")
        run = _ours(case, vqvae, var, picture, mask)
    else:
        run = _plain(case, vqvae, var, picture, mask)
    times: list[float] = []
    parts: list[dict[str, float]] = []
    run()  # warm
    for _ in range(case.repeats):
        clock.parts.clear()
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
        parts.append(dict(clock.parts))
    middle = sorted(range(len(times)), key=times.__getitem__)[len(times) // 2]
    return {
        "seconds": times[middle],
        "parts": {name: round(value, 4) for name, value in parts[middle].items()},
        "peak_mb": (_peak() - before) / 1e6,
        "precision": str(var.dtype).removeprefix("torch."),
        "flop": transformer_flop(var.spec, mask, case) if case.implementation == OURS else 0,
    }


def _ours(
    case: Case, vqvae: VQVAE, var: VAR, picture: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]
) -> Callable[[], object]:
    labels = Labels.of_model((), var.spec.num_classes)
    editor = Editor(vqvae, var, labels=labels, name=case.model)
    request = EditRequest(
        task="edit_class" if case.labelled else "inpaint",
        image=Image.fromarray(picture),
        mask=mask,
        label=1 if case.labelled else None,
        options=EditOptions(seed=1, variations=case.variations, context="whole"),
    )
    return lambda: editor.run(request)


def _plain(
    case: Case, vqvae: VQVAE, var: VAR, picture: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]
) -> Callable[[], object]:
    keep = finest_keep(torch.from_numpy(mask).float(), var.spec.scales)
    options = EditOptions(variations=case.variations)
    rule = rule_for("edit_class" if case.labelled else "inpaint", options, var.spec.scales)
    device = torch.device(case.device)
    return lambda: plain_edit(
        vqvae,
        var,
        to_tensor(picture[None]).to(device),
        keep.to(device),
        label=1 if case.labelled else None,
        guidance=rule.guidance,
        top_k=rule.top_k,
        top_p=rule.top_p,
        variations=case.variations,
        generator=torch.Generator(device=device).manual_seed(1),
        autocast=case.implementation == AUTOCAST,
    ).cpu()


class Clock:
    """Adds up the time spent inside watched functions."""

    def __init__(self) -> None:
        self.parts: defaultdict[str, float] = defaultdict(float)

    def watch(self, owner: Any, name: str, part: str) -> None:
        inner = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self.parts[part] += time.perf_counter() - began

        setattr(owner, name, timed)


def transformer_flop(spec: VARSpec, mask: np.ndarray[Any, Any], case: Case) -> float:
    """Floating-point operations of the matrix products that our loop runs, head included."""
    options = EditOptions(variations=case.variations)
    rule = rule_for("edit_class" if case.labelled else "inpaint", options, spec.scales)
    share = torch.from_numpy(mask).float()
    maps = regenerate_maps(share, spec.scales, fine=rule.coverage, structure=rule.structure)
    drawn = [int(m.sum()) for m in maps]
    first = next((k for k, count in enumerate(drawn) if count), len(drawn))
    branches = 2 if case.labelled and rule.guidance else 1
    total, width = 0.0, spec.width
    for k, (begin, end) in enumerate(spec.bounds):
        rows = branches * (case.variations if k > first else 1)
        tokens = end - begin
        block = 2 * tokens * width * width * (4 + 2 * spec.mlp_ratio) + 4 * tokens * end * width
        total += rows * (spec.depth * block + 2 * drawn[k] * width * spec.codebook_size)
    return total


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


def in_own_process(case: Case) -> dict[str, Any]:
    """``measure`` in a fresh interpreter. {"skipped": why} if it did not come through."""
    command = [sys.executable, "-m", "engine.benchmark.measure", json.dumps(asdict(case))]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        why = "killed, most likely for want of memory" if done.returncode < 0 else lines[-1:]
        return {"skipped": str(why or done.returncode)}
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _centred(side: int, share: float) -> np.ndarray[Any, Any]:
    edge = max(round(side * share**0.5), 1)
    begin = (side - edge) // 2
    mask = np.zeros((side, side), bool)
    mask[begin : begin + edge, begin : begin + edge] = True
    return mask


def _resident() -> float:
    """Bytes of memory that this process holds now."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return _peak()


def _peak() -> float:
    """The most bytes that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))
