"""Whether FlexVAR draws as well in frames that are not square: photos extended to 2:1.

    python tests/oblong_frames.py MODEL PHOTOS

MODEL is a file or folder of FlexVAR's family, PHOTOS a folder of photos; those that are less wide
than 2:1 are left out. Of the others, scaled to a height of 256, the middle 512 pixels are the
truth, and the middle square of them is known. The rest is drawn in two squares side by side, as the
editor does it, or at once in a frame of the same shape, as the transformer's grid of positions
allows. LPIPS in what is drawn, less is better.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from engine import load_editor  # noqa: E402
from engine.evaluation.lpips import FILE, Lpips  # noqa: E402
from engine.evaluation.metrics import interval  # noqa: E402
from engine.model.flexvar.pair import FlexVARPair  # noqa: E402

KEPT = 3  # coarse scales, as in edits without a label
SQUARE = [(s, s) for s in (1, 2, 4, 8, 16)]
FRAMES = {
    "11 x 22 tokens at once": [(1, 1), (1, 3), (3, 6), (6, 11), (11, 22)],
    "16 x 32 tokens at once": [(1, 1), (2, 4), (4, 8), (8, 16), (16, 32)],
}
TOP, TEMPERATURE = 8, 0.7

Sides = list[tuple[int, int]]


class Oblong:
    """A model's networks for scales of any height and width."""

    def __init__(self, model: FlexVARPair) -> None:
        self.vae, self.var = model.networks
        self.codes = model.scheme.codebook
        self.condition = self.var.condition(torch.tensor([self.var.spec.num_classes]))

    def transformer(self, sides: Sides) -> Any:
        """The transformer that counts its positions by these sides."""
        ends = np.cumsum([h * w for h, w in sides]).tolist()
        bounds = tuple(zip([0, *ends], ends, strict=False))
        var = copy.copy(self.var)
        spec = {**vars(self.var.spec), "bounds": bounds, "num_tokens": ends[-1]}
        var.spec = SimpleNamespace(**spec)  # type: ignore[assignment]
        grid = self.var.pos_1LC.float()
        pooled = [F.adaptive_avg_pool2d(grid, side).flatten(2) for side in sides]
        var.__dict__["place"] = lambda first, last: torch.cat(
            pooled[first : last + 1], 2
        ).transpose(1, 2)
        return var

    @torch.inference_mode()
    def draw(self, picture: Any, known: Any, sides: Sides, seed: int) -> Any:
        """A picture (h, w, 3) of 16 pixels a token, drawn where it is not ``known`` (h, w)."""
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
        features = self.vae.features(pixels / 127.5 - 1).float()
        kept = torch.from_numpy(known).float()[None, None]
        var, maps = self.transformer(sides), list[Tensor]()
        for k, side in enumerate(sides):
            vectors = F.adaptive_avg_pool2d(features, side).flatten(2).transpose(1, 2)
            ids = (F.normalize(vectors, dim=2) @ self.codes.T).argmax(2)[0]
            drawn = F.adaptive_avg_pool2d(kept, side).flatten() < 0.999
            if k >= KEPT and drawn.any():
                logits = self.logits(var, maps, sides)[-len(ids) :] / TEMPERATURE
                best, where = logits.topk(TOP, dim=1)
                choice = torch.multinomial(best.softmax(1), 1, generator=generator)
                ids = torch.where(drawn, where.gather(1, choice)[:, 0], ids)
            vectors = F.normalize(F.embedding(ids, self.codes), dim=1)
            maps.append(vectors.T.unflatten(1, side)[None])
        out = self.vae.picture(maps[-1]).float().clamp(-1, 1)[0].permute(1, 2, 0)
        return ((out + 1) * 127.5).round().byte().numpy()

    def logits(self, var: Any, maps: list[Tensor], sides: Sides) -> Tensor:
        """Of all positions of the next scale and those before it, (n, V)."""
        larger = [
            F.interpolate(m, size=side, mode="bicubic").flatten(2).transpose(1, 2)
            for m, side in zip(maps, sides[1:], strict=False)
        ]
        inputs = torch.cat(larger, 1) if larger else None
        hidden = var.run(inputs, self.condition, first=0, last=len(maps))
        found: Tensor = var.logits(hidden, self.condition)[0].float()
        return found


def truths(folder: Path) -> list[Any]:
    """The middle 512 x 256 pixels of each photo, scaled down to a height of 256."""
    found = []
    for path in sorted(folder.iterdir()):
        photo = Image.open(path).convert("RGB")
        width = round(photo.width * 256 / photo.height)
        if width < 512:
            continue
        photo, left = photo.resize((width, 256), Image.Resampling.LANCZOS), (width - 512) // 2
        found.append(np.asarray(photo.crop((left, 0, left + 512, 256))))
    return found


def main(model: str, folder: Path) -> None:
    torch.set_num_threads(1)
    editor = load_editor(model, device="cpu", precision="float32")
    oblong = Oblong(editor.runner.model)  # type: ignore[arg-type]
    lpips = Lpips.open(ROOT / "data" / FILE)
    assert lpips is not None, "LPIPS's weights come with make data"
    known = np.zeros((256, 512), bool)
    known[:, 128:384] = True
    scores: dict[str, list[float]] = {}
    for truth in truths(folder):
        filled = truth.copy()
        filled[:, :128], filled[:, 384:] = truth[:, 128:129], truth[:, 383:384]
        halves = [slice(0, 256), slice(256, 512)]
        drawn = {"two squares": np.concatenate(
            [oblong.draw(filled[:, at], known[:, at], SQUARE, 1) for at in halves], 1
        )}  # fmt: skip
        for name, sides in FRAMES.items():
            size = (16 * sides[-1][1], 16 * sides[-1][0])
            small = cv2.resize(filled, size, interpolation=cv2.INTER_AREA)
            kept = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
            drawn[name] = cv2.resize(
                oblong.draw(small, kept, sides, 1), (512, 256), interpolation=cv2.INTER_CUBIC
            )
        looked = lpips.look(truth)
        for name, picture in drawn.items():
            result = np.where(known[..., None], truth, picture)
            apart = lpips.between(lpips.look(result), looked, known.shape)
            scores.setdefault(name, []).append(float(apart[~known].mean()))
    squares = np.array(scores["two squares"])
    for name, values in scores.items():
        apart = np.array(values) - squares
        low, high = interval(apart.tolist(), np.random.default_rng(0))
        print(f"{name}: {np.mean(values):.3f}, minus squares {apart.mean():+.4f} "
              f"({low:+.4f}, {high:+.4f})")  # fmt: skip
    print(f"{len(squares)} photos")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
