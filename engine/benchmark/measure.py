"""One measurement: one model, one implementation, one kind of edit, in a process of its own.

A process each, because peak memory is a process's and a warm allocator flatters the next.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import nn

from engine.benchmark.meter import Clock, weight_bytes
from engine.benchmark.plain import plain_edit
from engine.benchmark.watched import WatchedRunner, watched
from engine.draw.maps import finest_keep
from engine.editor import Editor
from engine.loading import lay_out
from engine.machine.allocator import keep_freed_memory, keep_weights_apart
from engine.machine.device import choose_precision
from engine.machine.packed import PackedLinear
from engine.machine.tensors import to_tensor
from engine.model.attention import Attention, choose_attention
from engine.model.family import Model
from engine.model.hmar.transformer import HMAR
from engine.model.relay import Relayed
from engine.model.spec import VARSpec, VQVAESpec
from engine.model.var.pair import VARPair
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.rules import decide
from engine.request import EditRequest
from engine.request.options import EditOptions, Situation, Task
from engine.weights.checkpoint import load_pair
from engine.weights.places import ModelFiles
from engine.weights.published import BY_NAME
from engine.weights.registry import resolve
from engine.weights.saving import FLOAT32, FLOAT32_ENDS
from engine.weights.var import skeleton_var, skeleton_vqvae

PROFILED = 8  # operators that a profile lists

FOLDER = Path(__file__).resolve().parent.parent.parent
OURS, PLAIN, AUTOCAST = "ours", "plain", "plain_autocast"
EXACT, FAST, REROLL = "exact", "fast", "reroll"
ALONE = ("bundled", "d16-256", "d30-256", "d36-512")  # those that the plain algorithm knows
MODELS = (*ALONE, "d30+d16@8", "d30+d16@6", "d20+d16@8", "hmar-d16", "flexvar-d16")


@dataclass(frozen=True)
class Case:
    """What to measure. ``mask`` is the masked share of the picture, a centred square.

    Every timed edit begins with nothing remembered, but in mode "fast" the picture was studied
    before, and in mode "reroll" an edit was made whose first half of the scales is kept.
    """

    model: str
    implementation: str
    labelled: bool
    variations: int
    mask: float
    repeats: int
    device: str = "cpu"
    precision: str = "auto"
    mode: str = EXACT
    profile: bool = False


def model_of(case: Case) -> Model:
    """The bundled model, or random weights of a published shape."""
    device = torch.device(case.device)
    dtype = torch.float32
    if case.implementation == OURS:
        dtype = choose_precision(case.precision, device)
        if device.type == "cpu":
            keep_weights_apart()
    attention = choose_attention(device)
    if case.model == "bundled":
        files = resolve("bundled")
        assert isinstance(files, ModelFiles)
        model = load_pair(
            files.vqvae, files.var, device=device, dtype=dtype, attention=attention
        ).model
    else:
        model = _random_model(case.model, attention, device, dtype)
    if case.implementation == OURS:
        lay_out(model)
        if device.type == "cpu":
            keep_freed_memory()
    return model


def _random_model(
    shape: str, attention: Attention, device: torch.device, dtype: torch.dtype
) -> Model:
    """Of a shape such as "d16-256", a published name such as "hmar-d16", or "d30+d16@8" for two in
    turn."""
    known = BY_NAME.get(shape)
    if known is not None:
        own = known.family.layout
        codec = own.tokenizer.skeleton(known.tokenizer_spec)
        network = own.transformer.skeleton(known.spec, attention)
        return own.model(*(_random(each, device, dtype) for each in (codec, network)))
    parts, _, switch = shape.partition("@")
    specs = [VARSpec.official(int(part[1:].split("-")[0])) for part in parts.split("+")]
    vqvae = _random(skeleton_vqvae(VQVAESpec.official(specs[0].scales)), device, dtype)
    models = [
        VARPair(vqvae, _random(skeleton_var(spec, attention), device, dtype)) for spec in specs
    ]
    return Relayed(models[0], models[1], int(switch)) if switch else models[0]


Network = TypeVar("Network", bound=nn.Module)


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
            own: Any = net
            levels = [torch.full((s * s,), k) for k, s in enumerate(own.spec.scales)]
            state[name] = torch.cat(levels).view(1, -1).to(device)
    net.load_state_dict(state, assign=True)
    return net.requires_grad_(False).eval()


def measure(case: Case) -> dict[str, Any]:
    """Seconds of the fastest run, whole and by part; peak memory above an empty process; operations
    by part.

    On CUDA the memory is that of torch's tensors on the GPU, without its context and spare blocks.
    """
    device = torch.device(case.device)
    before = held(device)
    model = model_of(case)
    side, transformers = model.codec.side, transformers_of(model)
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = _centred(side, case.mask)
    clock = Clock(device)
    if case.implementation != OURS:
        assert isinstance(model, VARPair)
        best = _fastest(clock, _plain(case, *model.networks, picture, mask), case.repeats)
        return {"seconds": best["seconds"], "peak_mb": (peak(device) - before) / 1e6}
    for each in transformers:
        clock.watch_transformer(each)
    spec = transformers[-1].spec
    card = Card(
        name=case.model, side=side, scales=spec.scales, foresight=spec.foresight,
        labels=Labels.of_model((), spec.num_classes),
    )  # fmt: skip
    editor = Editor(model, card)
    editor.runner = WatchedRunner(model, clock)
    asked = _ours(case, editor, picture, mask, clock)
    best = _fastest(clock, asked, case.repeats)
    more: dict[str, Any] = {"peak_mb": (peak(device) - before) / 1e6}
    exact = _ours(replace(case, mode=EXACT), editor, picture, mask, clock)
    if case.mode != EXACT:  # afterwards, for the memory is to be that of what was asked for
        whole = _fastest(clock, exact, case.repeats)
        more |= {"exact_seconds": whole["seconds"], "exact_transformer": whole["transformer"]}
    if case.variations > 1 and case.mode == EXACT:
        more["alone"] = _alone(clock, exact, case.repeats, transformers)
    if case.profile:
        more["profile"] = _profile(exact)
    return {
        **best,
        **more,
        "precision": str(transformers[-1].dtype).removeprefix("torch."),
        "weight_bytes": sum(map(weight_bytes, transformers)),
    }


def _alone(
    clock: Clock, prepare: Prepared, repeats: int, transformers: list[VAR | HMAR]
) -> dict[str, Any]:
    """What it costs that a variation is the same at any batch size: how many of the packed layers
    take row by row here, and the seconds if none did and if all did."""
    layers = [
        layer for each in transformers for layer in each.modules()
        if isinstance(layer, PackedLinear)
    ]  # fmt: skip
    here = [layer.by_row for layer in layers]
    found: dict[str, Any] = {"layers": len(layers), "by_row": sum(here)}
    for name, all_by_row in (("together", False), ("row_by_row", True)):
        for layer in layers:
            layer.by_row = all_by_row
        found[name] = _fastest(clock, prepare, repeats)["seconds"]
    for layer, by_row in zip(layers, here, strict=True):
        layer.by_row = by_row
    return found


def transformers_of(model: Model) -> list[VAR | HMAR]:
    """The networks that predict."""
    return [each for each in model.networks if isinstance(each, VAR | HMAR)]


Prepared = Callable[[], Callable[[], object]]
"""Sets the stage, not timed, and gives back the work that is."""


def _fastest(clock: Clock, prepare: Prepared, repeats: int) -> dict[str, Any]:
    """The fastest of several runs, after one to warm up: what else a machine does only adds."""
    found: list[dict[str, Any]] = []
    for _ in range(repeats + 1):
        work = prepare()
        clock.clear()
        began = clock.now()
        work()
        found.append(
            {
                "seconds": clock.now() - began,
                "parts": {name: round(value, 4) for name, value in clock.parts.items()},
                "flop": dict(clock.flop),
                "transformer": clock.transformer,
            }
        )
    return min(found[1:], key=lambda one: float(one["seconds"]))


def _profile(prepare: Prepared) -> list[tuple[str, float]]:
    """The operators that take longest, each with its share of the time."""
    from torch.profiler import ProfilerActivity, profile

    work = prepare()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    spent = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    total = sum(spent.values())
    longest = sorted(spent, key=lambda name: -spent[name])[:PROFILED]
    return [(name, spent[name] / total) for name in longest]


def _ours(
    case: Case,
    editor: Editor,
    picture: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any],
    clock: Clock,
) -> Prepared:
    options = EditOptions(
        seed=1,
        variations=case.variations,
        context="whole",
        speed="fast" if case.mode == FAST else "exact",
    )
    request = EditRequest(
        task="edit_class" if case.labelled else "inpaint",
        image=Image.fromarray(picture),
        mask=mask,
        label=1 if case.labelled else None,
        options=options,
    )

    def prepare() -> Callable[[], object]:
        editor.runner.memory.clear()
        again = request
        if case.mode == FAST:
            editor.warm(request)
        elif case.mode == REROLL:
            alone = options.model_copy(update={"variations": 1})
            editor.run(request.model_copy(update={"options": alone}))
            coarse = (1,) * (len(editor.scales) // 2)
            other = options.model_copy(update={"seed": 2, "coarse_seeds": coarse})
            again = request.model_copy(update={"options": other})
        return lambda: watched(editor, again, clock)

    return prepare


def _plain(
    case: Case, vqvae: VQVAE, var: VAR, picture: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]
) -> Prepared:
    keep = finest_keep(torch.from_numpy(mask).float(), var.spec.scales)
    task: Task = "edit_class" if case.labelled else "inpaint"
    _, usual, _, _ = decide(EditOptions(), Situation(task=task, scales=var.spec.scales))
    device = torch.device(case.device)
    work = partial(
        plain_edit,
        vqvae,
        var,
        to_tensor(picture[None]).to(device),
        keep.to(device),
        label=1 if case.labelled else None,
        guidance=usual.guidance,
        top_k=usual.top_k,
        top_p=usual.top_p,
        variations=case.variations,
        generator=torch.Generator(device=device).manual_seed(1),
        autocast=case.implementation == AUTOCAST,
    )
    return lambda: lambda: work().cpu()


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


def held(device: torch.device) -> float:
    """Bytes of memory that this process holds now, on a GPU where it computes there."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return peak(device)


def peak(device: torch.device) -> float:
    """The most bytes that this process ever held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` tells begins at what the parent held
        high = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(high.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))
