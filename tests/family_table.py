"""Models side by side on photos whose truth is known: what each reconstructs, draws and keeps.

    python tests/family_table.py PHOTOS bundled runs/var/model ... [--count 12] [--seed 1]

Photos are the middle squares of a folder's pictures at the models' side, each with a hole of every
family (`engine.evaluation.photos`). Edits draw with ``detail="model"``, so that what is measured is
the model's. LPIPS and FLIP are those inside the hole; the tokenizer alone knows what was there.
"Known" is by how many dB the known area, before it is put back, is below the tokenizer's own
reconstruction, with the default rule and with "paper". Seconds are those of the processor, of a
whole edit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import EditOptions, load_editor  # noqa: E402
from engine.editor import Editor  # noqa: E402
from engine.evaluation.edits import Case, reconstruction  # noqa: E402
from engine.evaluation.families import FAMILIES  # noqa: E402
from engine.evaluation.flip import see  # noqa: E402
from engine.evaluation.lpips import FILE, Lpips  # noqa: E402
from engine.evaluation.metrics import perceptual_seen, psnr  # noqa: E402
from engine.evaluation.photos import Photos  # noqa: E402

PAPER = ("thick", "box")  # families that are drawn by the rule "paper" too


def measured(
    editor: Editor, photos: Photos, lpips: Lpips, count: int, seed: int
) -> dict[str, list[float]]:
    """What was measured, by what it is."""
    found = defaultdict(list)
    for index in range(count):
        picture = photos.picture(index)
        again, _ = reconstruction(editor, picture)
        seen, looked = see(picture), lpips.look(picture)
        found["reconstruction"].append(psnr(again, picture))
        for family in FAMILIES:
            mask = photos.mask(index, family, seed)
            case = Case(editor, picture, mask, None, "inpaint")
            editor.runner.memory.clear()
            began = time.process_time()
            edited = case.edit(EditOptions(seed=seed, detail="model"))
            found["seconds"].append(time.process_time() - began)
            alone = np.where(mask[..., None], again, picture)
            for name, answer in ((family, edited.result), (f"alone {family}", alone)):
                apart = lpips.between(looked, lpips.look(answer), mask.shape)
                found[f"lpips {name}"].append(float(apart[mask].mean()))
                found[f"flip {name}"].append(float(perceptual_seen(seen, see(answer), mask)))
            rules = {"default": edited}
            if family in PAPER:
                rules["paper"] = case.edit(EditOptions(seed=seed, rule="paper"))
            for rule, each in rules.items():
                ceiling = psnr(again, picture, ~each.hole)
                found[f"known {rule}"].append(ceiling - psnr(each.raw, picture, ~each.hole))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lpips = Lpips.open(ROOT / "data" / FILE)
    assert lpips is not None, "data/ has no LPIPS; run make data"
    heads = ["model", "dB", *FAMILIES, "all", "known", "known, paper", "seconds"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for model in given.models:
        editor = load_editor(model, device="cpu")
        photos = Photos.of(given.photos, editor.side)
        found = measured(editor, photos, lpips, given.count, given.seed)
        for prefix, title in (("", model), ("alone ", f"{model}, tokenizer alone")):
            pairs = [
                [np.mean(found[f"{by} {prefix}{family}"]) for by in ("lpips", "flip")]
                for family in FAMILIES
            ]
            cells = [f"{lpips:.3f} / {flip:.3f}" for lpips, flip in [*pairs, np.mean(pairs, 0)]]
            rest = [f"{np.mean(found[k]):.2f}" for k in ("known default", "known paper", "seconds")]
            decibels = f"{np.mean(found['reconstruction']):.1f}"
            print(f"| {' | '.join([title, decibels, *cells, *(rest if not prefix else '   ')])} |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
