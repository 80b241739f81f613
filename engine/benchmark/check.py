"""``python -m engine check``: whether a device computes as it should, on one page.

The authors' numbers in float32; on CUDA xformers against torch's own attention; an edit of each
task against the CPU's; peak memory, and a short table of speed. Under five minutes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from PIL import Image

from engine import DeviceError
from engine.benchmark.measure import held, peak
from engine.benchmark.meter import settle
from engine.benchmark.parity import compare, read
from engine.editor import Editor
from engine.loading import load_editor
from engine.machine.device import choose_device, choose_precision
from engine.model.attention import Attention, choose_attention, sdpa, xformers_attention
from engine.model.spec import HEAD_SIZE, VARSpec
from engine.request import EditRequest
from engine.request.flags import DeviceOpt, JsonOpt, ModelOpt
from engine.request.options import TASKS, EditOptions, Task

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "data" / "parity"
NEAR = 2.0  # levels that an edit may differ from the CPU's in the mean; a wrong kernel's is tens
ROUNDING = 0.02  # of attention in half precision, whose values are about 1
SHAPES = {"d16 at 256 px": VARSpec.official(16), "d36 at 512 px": VARSpec.official(36)}
REPEATS = 3


@dataclass(frozen=True)
class Finding:
    """A line of the page. ``ok`` is None where there is nothing to be right or wrong."""

    about: str
    said: str
    ok: bool | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


def main(
    device: DeviceOpt = "auto",
    model: ModelOpt = "bundled",
    fixtures: Annotated[Path, typer.Option(help="Folder of the authors' numbers.")] = FIXTURES,
    as_json: JsonOpt = False,
) -> None:
    """Check that a device computes as it should: one page, under five minutes."""
    where = choose_device(device)
    found = []
    for each in findings(where, model, fixtures):
        found.append(each)
        if not as_json:
            mark = {True: "ok  ", False: "FAIL", None: "    "}[each.ok]
            print(f"{mark} {each.about:10} {each.said}", flush=True)
    failed = sum(each.ok is False for each in found)
    if as_json:
        lines = [{"about": f.about, "ok": f.ok, "said": f.said, **f.numbers} for f in found]
        print(json.dumps({"device": str(where), "failed": failed, "findings": lines}))
    if failed:
        raise DeviceError(
            f"{failed} of {len(found)} findings are wrong on {where}; use another --device, or "
            f"install torch as constraints-*.txt names it, and check again"
        )


def findings(device: torch.device, model: str, fixtures: Path) -> Iterator[Finding]:
    """The lines of the page, as they are found."""
    began = time.perf_counter()
    yield machine(device)
    yield from parity(device, fixtures)
    yield from attention(device)
    before = held(device)
    yield from edits(device, model)
    used = (peak(device) - before) / 1e6
    yield Finding("memory", f"{used:.0f} MB at most", numbers={"peak_mb": used})
    yield from speed(device, model)
    yield Finding("all", f"{time.perf_counter() - began:.0f} s")


def machine(device: torch.device) -> Finding:
    """Where this runs and on what."""
    name = f"{torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    try:
        xformers = version("xformers")
    except PackageNotFoundError:
        xformers = "none"
    return Finding("machine", f"{device}: {name}; torch {torch.__version__}, xformers {xformers}")


@torch.inference_mode()
def parity(device: torch.device, folder: Path) -> Iterator[Finding]:
    """The authors' numbers, in float32 without any shortened multiplication."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        yield Finding("parity", f"left out: {folder} is not here; it comes with the repository")
    for path in files:
        with torch.backends.cudnn.flags(allow_tf32=False):
            rows = list(compare(read(path, device)))
        wrong = [name for name, difference, allowed in rows if not difference <= allowed]
        most = max(difference for _, difference, allowed in rows if allowed)
        said = f"{path.stem}: {len(rows)} quantities, greatest difference {most:.1e}"
        if wrong:
            said += f"; wrong: {', '.join(wrong[:4])}" + (" ..." if len(wrong) > 4 else "")
        yield Finding("parity", said, not wrong, {"difference": most, "wrong": wrong})


@torch.inference_mode()
def attention(device: torch.device) -> Iterator[Finding]:
    """xformers against torch's own, on the shapes of every scale: difference and time."""
    if device.type != "cuda":
        yield Finding("attention", "torch's own; xformers is for CUDA")
        return
    if choose_attention(device) is sdpa:
        yield Finding("attention", "torch's own; xformers has no kernel here")
        return
    dtype = choose_precision("auto", device)
    for name, spec in SHAPES.items():
        cells, worst = kernels(device, dtype, spec, xformers_attention)
        said = f"{name}, ms of xformers/SDPA by scale: {', '.join(cells)}; difference {worst:.1e}"
        yield Finding("attention", said, worst < ROUNDING, {"difference": worst})


@torch.inference_mode()
def kernels(
    device: torch.device, dtype: torch.dtype, spec: VARSpec, kernel: Attention
) -> tuple[list[str], float]:
    """A kernel beside torch's own at each scale of a model under guidance: "side: ms/ms", and the
    greatest difference."""
    cells, worst = [], 0.0
    for side, (begin, end) in zip(spec.scales, spec.bounds, strict=True):
        generator = torch.Generator(device).manual_seed(side)
        q, k, v = (
            torch.randn(
                2, count, spec.heads, HEAD_SIZE, device=device, generator=generator
            ).to(dtype)
            for count in (end - begin, end, end)
        )
        ways = [partial(each, q, k, v, HEAD_SIZE**-0.5) for each in (kernel, sdpa)]
        ours, theirs = (way() for way in ways)
        worst = max(worst, float((ours - theirs).abs().max()))
        quick, plain = (1e3 * fastest(device, way, 20) for way in ways)
        cells.append(f"{side}: {quick:.2f}/{plain:.2f}")
    return cells, worst


def edits(device: torch.device, model: str) -> Iterator[Finding]:
    """An edit of each task against the CPU's, both in float32; on a CPU against itself."""
    here = load_editor(model, device=str(device), precision="float32")
    other = here
    if device.type != "cpu":
        other = load_editor(model, device="cpu", precision="float32")
    for task in TASKS:
        request = example(here, task)
        with torch.backends.cudnn.flags(allow_tf32=False):
            made = np.asarray(here.run(request).images[0], np.float32)
        here.runner.memory.clear()
        again = np.asarray(other.run(request).images[0], np.float32)
        apart = np.abs(made - again)
        mean, most = float(apart.mean()), float(apart.max())
        than = "the CPU's" if other is not here else "the same edit again"
        said = f"{task}: {mean:.3f} levels from {than} in the mean, {most:.0f} at most"
        right = mean <= NEAR if other is not here else most == 0
        yield Finding("edit", said, right, {"task": task, "mean": mean, "most": most})


def speed(device: torch.device, model: str) -> Iterator[Finding]:
    """Seconds of an edit of each task in the precision that is chosen by itself."""
    editor = load_editor(model, device=str(device))
    dtype = str(choose_precision("auto", device)).removeprefix("torch.")
    for count in (1, 4):
        took = {}
        for task in TASKS:
            request = example(editor, task, count)

            def run(request: EditRequest = request) -> None:
                editor.runner.memory.clear()
                editor.run(request)

            took[task] = fastest(device, run, REPEATS if device.type != "cpu" else 1)
        cells = ", ".join(f"{task} {seconds:.2f}" for task, seconds in took.items())
        said = f"{editor.name}, {dtype}, {count} at once, seconds: {cells}"
        yield Finding("speed", said, numbers={"seconds": took, "variations": count})


def fastest(device: torch.device, work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several runs, after one to warm up."""
    best = float("inf")
    for _ in range(repeats + 1):
        settle(device)
        began = time.perf_counter()
        work()
        settle(device)
        best = min(best, time.perf_counter() - began)
    return best


def example(editor: Editor, task: Task, variations: int = 1) -> EditRequest:
    """An edit of a made-up picture: soft colours with a little grain, a hole in the middle."""
    side, rng = editor.side, np.random.default_rng(0)
    coarse = rng.integers(40, 216, (6, 6, 3)).astype(np.float32)
    soft = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    picture = (soft + rng.normal(0, 4, soft.shape)).round().clip(0, 255).astype(np.uint8)
    mask = np.zeros((side, side), bool)
    mask[side // 3 : -side // 3, side // 3 : -side // 3] = True
    return EditRequest(
        task=task,
        image=None if task == "generate" else Image.fromarray(picture),
        mask=mask if task in ("inpaint", "edit_class") else None,
        label=0 if task in ("edit_class", "generate") else None,
        right="25%" if task == "outpaint" else 0,
        options=EditOptions(seed=1, variations=variations),
    )
