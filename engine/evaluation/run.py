"""The evaluation: held-out pictures, six mask families, labelled and not, with baselines.

Not measured yet, and reported as null: Fréchet and kernel distance and the accuracy of class edits,
which need a classifier of the model's domain.
"""

from __future__ import annotations

import importlib.util
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.editor import Editor
from engine.errors import RequestError
from engine.evaluation.families import FAMILIES, make_mask
from engine.evaluation.metrics import (
    Floats,
    Mask,
    diversity,
    edge_gradient,
    interval,
    perceptual,
    psnr,
    ssim,
)
from engine.fill import fill_hole
from engine.frame import Frame
from engine.pixels import RGB, to_tensor
from engine.request import EditOptions, EditRequest
from engine.training.data import Pictures, keyed_generator, open_pictures
from engine.windows import Window

BASELINES = ("telea", "navier_stokes")
DIVERSITY_EVERY, DIVERSITY_SEEDS = 10, 4
SHEET_ROWS = 8  # examples a family on the contact sheet, the first ones, whatever they look like
NEEDS = {"skimage": "scikit-image", "flip_evaluator": "flip-evaluator"}


@dataclass
class Tally:
    """Everything measured for one family, a list a quantity."""

    values: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rows: list[list[RGB]] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        self.values[name].append(value)

    def mean(self, name: str) -> float | None:
        found = self.values.get(name)
        return float(np.mean(found)) if found else None


@dataclass(frozen=True)
class Evaluation:
    """The report as JSON, and the example rows of each family for a contact sheet."""

    report: dict[str, Any]
    rows: dict[str, list[list[RGB]]]


def evaluate(
    editor: Editor,
    data: Path,
    *,
    count: int,
    seed: int,
    options: EditOptions,
    labelled: bool = False,
    families: tuple[str, ...] = FAMILIES,
) -> Iterator[Evaluation | float]:
    """Edit ``count`` held-out pictures under each family of masks.

    Yields the progress as a part of 1, and the evaluation at the end. ``options`` chooses the rule
    and its levers; ``labelled`` edits with the picture's own class instead of no label. Raises
    RequestError if a package or the data is missing.
    """
    missing = [package for module, package in NEEDS.items() if not _installed(module)]
    if missing:
        raise RequestError(f"evaluate needs {' and '.join(missing)}; run: pip install "
                           f"{' '.join(missing)}")  # fmt: skip
    pictures = open_pictures(data, side=editor.side, split="val", seed=seed)
    began = time.perf_counter()
    whole = Tally()
    tallies = {name: Tally() for name in families}
    for index in range(count):
        picture, label = pictures[index]
        known = _reconstruction(editor, picture)
        whole.add("psnr", psnr(known, picture))
        whole.add("ssim", ssim(known, picture.astype(np.float64)))
        for number, name in enumerate(families):
            rng = keyed_generator(seed, 7, index, number)
            mask = make_mask(name, editor.side, rng)
            chosen = _label(editor, pictures, label) if labelled else None
            one = options.model_copy(update={"seed": seed + index, "variations": 1})
            _edit(editor, tallies[name], picture, known, mask, chosen, one, index)
            yield (index + (number + 1) / len(families)) / count
    report = {
        "count": count,
        "seconds": time.perf_counter() - began,
        "rule": options.rule,
        "labelled": labelled,
        "options": options.model_dump(exclude_none=True),
        "reconstruction": {name: whole.mean(name) for name in ("psnr", "ssim")},
        "families": {name: _summary(tally, seed) for name, tally in tallies.items()},
        "baselines": {
            method: {name: {"perceptual": t.mean(method)} for name, t in tallies.items()}
            for method in BASELINES
        },
        "class_edit": {"top1": None},
    }
    yield Evaluation(report, {name: tally.rows for name, tally in tallies.items()})


def _edit(
    editor: Editor,
    tally: Tally,
    picture: RGB,
    known: Floats,
    mask: Mask,
    label: str | int | None,
    options: EditOptions,
    index: int,
) -> None:
    """One edit and everything that is measured of it."""
    request = EditRequest(
        task="inpaint",
        image=Image.fromarray(picture),
        mask=mask,
        label=label,
        options=options.model_copy(update={"context": "whole"}),
    )
    job = editor.prepare(request)
    frame = Frame.cut(picture, mask, Window(0, 0, editor.side), editor.side)
    *_, last = editor.regenerate(job, [frame], 0)
    (raw,) = editor.decode(last.feature_map)
    result = picture.copy()
    frame.composite(result, mask, raw, blend=job.rule.blend, feather=job.rule.feather)
    assert np.array_equal(result[~mask], picture[~mask])
    pasted = np.where(mask[..., None], raw, picture)
    real = max(edge_gradient(picture, mask), 1e-6)
    tally.add("known_psnr", psnr(raw, picture, ~mask))
    tally.add("known_ceiling", psnr(known, picture, ~mask))
    tally.add("perceptual", perceptual(picture, result, mask))
    tally.add("seam_real", real)
    tally.add("seam_raw", edge_gradient(pasted, mask))
    tally.add("seam_blended", edge_gradient(result, mask))
    fills = [fill_hole(picture.astype(np.float32), mask, method) for method in BASELINES]
    for method, filled in zip(BASELINES, fills, strict=True):
        tally.add(method, perceptual(picture, filled, mask))
    if index < SHEET_ROWS:
        holed = np.where(mask[..., None], np.uint8(128), picture)
        tally.rows.append([picture, holed, result, fills[0].astype(np.uint8)])
    if index % DIVERSITY_EVERY == 0:
        seeds = options.model_copy(update={"variations": DIVERSITY_SEEDS})
        several = editor.run(request.model_copy(update={"options": seeds})).images
        tally.add("diversity", diversity([np.asarray(image) for image in several], mask))


def _summary(tally: Tally, seed: int) -> dict[str, Any]:
    """Means of a family; the seam is the gradient across the edge over the real one, minus 1."""
    real = tally.mean("seam_real") or 1.0
    blended, raw = tally.mean("seam_blended") or 0.0, tally.mean("seam_raw") or 0.0
    return {
        "known_psnr": tally.mean("known_psnr"),
        "known_ceiling": tally.mean("known_ceiling"),
        "perceptual": tally.mean("perceptual"),
        "perceptual_interval": interval(tally.values["perceptual"], np.random.default_rng(seed)),
        "frechet": None,
        "kernel": None,
        "seam": blended / real - 1,
        "seam_before_blending": raw / real - 1,
        "diversity": tally.mean("diversity"),
    }


@torch.inference_mode()
def _reconstruction(editor: Editor, picture: RGB) -> Floats:
    """The picture through the VQVAE and back: the ceiling of every edit."""
    pixels = to_tensor(picture[None]).to(editor.device)
    _, feature_map = editor.vqvae.quantize.encode(editor.vqvae.features(pixels).float())
    (picture_again,) = editor.decode(feature_map)
    return picture_again


def _label(editor: Editor, pictures: Pictures, index: int) -> int:
    """The model's id for a class of the data set."""
    name = pictures.classes[index]
    return editor.label_names.find(name)


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
