"""Trainer of the domain's classifier, which judges edits (`engine.evaluation.classifier`).

Crops are made fresh from the sticker set, a pure function of (seed, index): an object of a class,
well or partly inside the crop, on scenery or a plain backdrop; or scenery alone. They are blurred
and noisy at random, since a decoder's pictures are soft. Objects and photos of the validation split
(by concept, by photo) are never trained on.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from engine import RequestError
from engine.evaluation.classifier import CLASSIFIER, PLAIN, SIDE, DomainClassifier, Judge
from engine.model.var.autoencoder import channels_last
from engine.picture.saving import write_whole
from engine.training.batches import to_pixels
from engine.training.data import SPLITS, StickerSet, open_pictures
from engine.training.photos import Split
from engine.training.pieces import (
    Picture,
    choice,
    gradient,
    keyed_generator,
    random_colour,
    random_crop,
    resized,
)
from engine.training.prepare import Icon
from engine.training.run import Budget, Ema, cosine_rate, half_precision

OBJECTS = 0.75  # share of crops with an object
ON_PHOTO = 0.6  # share of objects on a photo
EXTENT = (0.45, 1.15)  # longer side of an object, of the crop's
CUT = 0.12  # an object may stick out of the crop by so much of its own side
TILT = 8.0  # standard deviation, degrees
SMALLEST = 0.2  # side of a photo's crop, of the photo's shorter side
PHOTO_SIDE = 256  # shorter side that photos are kept at
LIGHT = 0.15  # contrast and each channel are multiplied by 1 +- LIGHT
BLUR, NOISE = 1.4, 6.0  # largest standard deviations, pixels and levels
SMOOTHING = 0.05  # of the labels
EXAMINED = 1500  # crops a measured split


class Crops:
    """An endless stream of crops (SIDE, SIDE, 3) with class ids, of the sticker set.

    ``objects`` and ``scenes`` choose the split of the drawings and of the photos.
    """

    def __init__(self, folder: Path, *, objects: Split, scenes: Split, seed: int = 0):
        drawings, photos = (
            open_pictures(folder, side=SIDE, split=split, seed=seed) for split in (objects, scenes)
        )
        if not isinstance(drawings, StickerSet) or not isinstance(photos, StickerSet):
            raise RequestError(f"{folder} is not a sticker set; `make data` makes one")
        self.classes = (*drawings.classes, PLAIN)
        self.seed, self.key = seed, (11, SPLITS[objects], SPLITS[scenes])
        self.icons = drawings.icons
        self.bitmaps = {
            icon.row: _small(drawings, icon)
            for concepts in self.icons.values()
            for some in concepts.values()
            for icon in some
        }
        self.photos = {photo.file: _shrunk(photos._read_photo(photo.file))
                       for photo in photos.backgrounds}  # fmt: skip
        self.scenery = {
            label: [photo.file for photo in some] for label, some in photos.scenery.items()
        }

    def __getitem__(self, index: int) -> tuple[Picture, int]:
        rng = keyed_generator(self.seed, *self.key, index)
        if rng.random() < OBJECTS:
            label = choice(list(self.icons), rng)
            concept = choice(list(self.icons[label]), rng)
            icon = choice(self.icons[label][concept], rng)
            crop = self._paste(self._backdrop(rng), self.bitmaps[icon.row], rng)
        else:
            label = choice([*self.scenery, PLAIN], rng)
            if label == PLAIN:
                crop = _plain(rng)
            else:
                photo = self.photos[choice(self.scenery[label], rng)]
                crop = random_crop(photo, SIDE, rng, smallest=SMALLEST)
        return _degraded(crop, rng), self.classes.index(label)

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Pixels (size, 3, SIDE, SIDE) in [-1, 1] and class ids (size,) of a step."""
        items = [self[step * size + place] for place in range(size)]
        return (
            torch.stack([to_pixels(crop) for crop, _ in items]),
            torch.tensor([label for _, label in items]),
        )

    def _backdrop(self, rng: np.random.Generator) -> Picture:
        if rng.random() < ON_PHOTO:
            photo = self.photos[choice(list(self.photos), rng)]
            return random_crop(photo, SIDE, rng, smallest=SMALLEST)
        return _plain(rng)

    def _paste(self, backdrop: Picture, bitmap: Picture, rng: np.random.Generator) -> Picture:
        """The drawing at a random size, place and tilt, at random mirrored."""
        height, width = bitmap.shape[:2]
        scale = SIDE * rng.uniform(*EXTENT) / max(height, width)
        if rng.random() < 0.5:
            bitmap = bitmap[:, ::-1]
        tilt = float(np.clip(rng.normal(0, TILT), -2 * TILT, 2 * TILT))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, scale)
        for axis, length in enumerate((width * scale, height * scale)):
            room = abs(SIDE - length) / 2 + CUT * length
            away = rng.uniform(-room, room)
            matrix[axis, 2] += SIDE / 2 + away - (width, height)[axis] / 2
        placed = cv2.warpAffine(np.ascontiguousarray(bitmap), matrix, (SIDE, SIDE))
        covered = placed[..., 3:].astype(np.float32) / 255
        mixed = backdrop * (1 - covered) + placed[..., :3]  # colour is premultiplied
        return mixed.round().clip(0, 255).astype(np.uint8)


def _small(drawings: StickerSet, icon: Icon) -> Picture:
    """A drawing at about the size it will have in a crop."""
    left, top, right, bottom = icon.box
    bitmap = np.asarray(drawings.bitmaps[icon.row, top:bottom, left:right])
    scale = SIDE / max(bitmap.shape[:2])
    height, width = (max(round(length * scale), 1) for length in bitmap.shape[:2])
    return resized(bitmap, width, height)


def _shrunk(photo: Picture) -> Picture:
    height, width = photo.shape[:2]
    scale = PHOTO_SIDE / min(height, width)
    if scale >= 1:
        return photo
    return resized(photo, round(width * scale), round(height * scale))


def _plain(rng: np.random.Generator) -> Picture:
    """A gradient or one colour."""
    first = random_colour(rng)
    if rng.random() < 0.6:
        return gradient(first, random_colour(rng), SIDE, rng.uniform(0, 2 * np.pi))
    return np.full((SIDE, SIDE, 3), first.round(), np.uint8)


def _degraded(crop: Picture, rng: np.random.Generator) -> Picture:
    """Other light, softer and noisier, as pictures out of a decoder are."""
    tint = rng.uniform(1 - LIGHT, 1 + LIGHT) * rng.uniform(1 - LIGHT / 2, 1 + LIGHT / 2, 3)
    middle = crop.mean()
    pixels = (crop.astype(np.float32) - middle) * np.float32(tint) + middle * np.float32(
        rng.uniform(1 - LIGHT, 1 + LIGHT)
    )
    if rng.random() < 0.6:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, BLUR))
    if rng.random() < 0.4:
        pixels += rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, NOISE))
    done: Picture = pixels.round().clip(0, 255).astype(np.uint8)
    return done


@torch.inference_mode()
def examine(net: DomainClassifier, crops: Crops, count: int = EXAMINED) -> dict[str, float]:
    """Top-1 and top-5 of crops with an object, and top-1 of scenery (plain included)."""
    net.eval()
    hits: dict[str, list[float]] = {"object_top1": [], "object_top5": [], "scenery_top1": []}
    objects = len(crops.icons)
    for step in range(count // 50):
        pixels, labels = crops.batch(step, 50)
        ranked = net(pixels)[0].argsort(1, descending=True)
        for order, label in zip(ranked, labels, strict=True):
            if int(label) < objects:
                hits["object_top1"].append(float(order[0] == label))
                hits["object_top5"].append(float((order[:5] == label).any()))
            else:
                hits["scenery_top1"].append(float(order[0] == label))
    return {name: float(np.mean(values)) for name, values in hits.items()}


def train(
    folder: Path,
    *,
    budget: Budget,
    batch: int = 48,
    rate: float = 2e-3,
    seed: int = 0,
    start: Path | None = None,
    quiet: bool = False,
) -> tuple[DomainClassifier, tuple[str, ...]]:
    """Cross entropy with AdamW, cosine rate and averaged weights; returns the net and its classes.

    ``start`` is a classifier to go on from (give another ``seed``, for other crops). Raises
    RequestError if ``folder`` is no sticker set.
    """
    torch.manual_seed(seed)
    crops = Crops(folder, objects="train", scenes="train", seed=seed)
    net = DomainClassifier(len(crops.classes)).train()
    if start is not None:
        net.load_state_dict(Judge.load(start).net.state_dict())
    channels_last(net)
    half = half_precision(torch.device("cpu"))
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.05)
    ema = Ema(net, 0.998)
    began, step, shown = time.perf_counter(), 0, 0.0
    with tqdm(unit="step", disable=None if not quiet else True) as bar:
        while (progress := budget.progress(step, time.perf_counter() - began)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = rate * cosine_rate(progress, step, warmup=100)
            pixels, labels = crops.batch(step, batch)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits, _ = net(pixels.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=SMOOTHING)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            ema.update(step)
            step += 1
            shown += 0.02 * (float(loss.detach()) - shown) if step > 1 else float(loss.detach())
            bar.update()
            bar.set_postfix(loss=f"{shown:.3f}", crops=step * batch)
    ema.keep()
    return net.eval(), crops.classes


def main(
    data: Annotated[Path, typer.Argument(help="The sticker set.")] = Path("data/stickers"),
    out: Annotated[Path, typer.Option(help="Where to write the weights.")] = CLASSIFIER,
    minutes: Annotated[float | None, typer.Option(help="Wall-clock budget.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in steps, repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed and steps, same crops.")] = 0,
    start: Annotated[Path | None, typer.Option(help="Weights to go on from.")] = None,
    count: Annotated[int, typer.Option(help="Crops a split to measure it with.")] = EXAMINED,
) -> None:
    """Train the classifier that `evaluate` judges edits with."""
    if steps is None and minutes is None:
        minutes = 20.0
    net, classes = train(data, budget=Budget(steps=steps, minutes=minutes), seed=seed, start=start)
    out.parent.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in net.state_dict().items()
    }
    write_whole(out, save(weights, metadata={"classes": json.dumps(classes)}))
    for objects, scenes in (("train", "val"), ("val", "val")):
        found = examine(net, Crops(data, objects=objects, scenes=scenes, seed=seed), count)
        figures = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        print(f"drawings of the {objects} split on held-out scenes: {figures}")
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
