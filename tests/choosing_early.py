"""Whether the best of many candidates shows before it is done (after TTS-VAR, Chen et al. 2025).

    python tests/choosing_early.py --count 60 [--candidates 16] [--jsonl FILE]

Draws all candidates of an edit and keeps, after each scale, what ranks them by then: how likely
the drawn tokens are, what they say for the label, and the seam of the picture decoded from the
feature map so far. Printed are, by kind of edit and scale, Spearman's correlation with the final
score, how often the final best is among the first few, and what drawing so far has cost.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import EditOptions, EditRequest, load_editor  # noqa: E402
from engine.editor import Editor  # noqa: E402
from engine.evaluation.families import FAMILIES, make_mask  # noqa: E402
from engine.events import Painted, ScaleDone  # noqa: E402
from engine.frames.frame import TOUCHED  # noqa: E402
from engine.paint.ranking import score, seam  # noqa: E402
from engine.runner import for_each  # noqa: E402
from engine.runner.edit import carry_out  # noqa: E402
from engine.training.data import open_pictures  # noqa: E402
from engine.training.pieces import keyed_generator  # noqa: E402

KINDS = ("inpaint", "edit_class", "generate")
SURVIVORS = (1, 2, 3, 4, 6, 8)


def edit(editor: Editor, pictures: Any, kind: str, index: int, count: int) -> dict[str, Any]:
    """One edit: after each scale the marks of all candidates, and the seconds it took."""
    picture, label = pictures[index]
    options = EditOptions(seed=1000 * index, candidates=count, context="whole", detail="model")
    family = FAMILIES[index % len(FAMILIES)]
    request = EditRequest(
        task=kind,
        image=None if kind == "generate" else Image.fromarray(picture),
        mask=None if kind == "generate" else make_mask(
            family, editor.side, keyed_generator(0, 7, index, index % len(FAMILIES))
        ),
        label=None if kind == "inpaint" else pictures.classes[label],
        options=options,
    )  # fmt: skip
    decided = editor.plan(request)
    everyone = replace(decided, passes=[replace(one, survivors=None) for one in decided.passes])
    editor.runner.memory.clear()
    guided = request.label is not None
    marks: list[dict[str, Any]] = []
    began, final = time.perf_counter(), ()
    for event in carry_out(everyone, editor.runner):
        spent = time.perf_counter() - began
        if isinstance(event, ScaleDone) and event.sketch.one.role != "behind":
            step = event.sketch.scale
            frames = [] if event.sketch.one.role == "new" else event.sketch.seen
            tokens = max(step.drawn, 1)
            likely = (step.log_likelihood / tokens).tolist()
            spoken = (step.evidence / tokens).tolist()
            seams = [1.0] * count
            if frames and not frames[0].studio:
                drawn = for_each(editor.runner.decode(step.feature_map), count)
                mask = frames[0].mask > TOUCHED
                seams = [seam(frames[0].pixels, each, mask) for each in drawn]
            marks.append({
                "scale": event.scale, "drawn": step.drawn, "seconds": spent, "likely": likely,
                "spoken": spoken, "seams": seams,
            })  # fmt: skip
        elif isinstance(event, Painted) and event.role != "behind":
            final, painted = event.scores, spent
            break
        began = time.perf_counter()
    had = bool(frames) and not frames[0].studio
    for mark in marks:
        rows = zip(mark["likely"], mark["spoken"], mark["seams"], strict=True)
        mark["score"] = [
            score(a, [s] if had else [], b if guided else None) for a, b, s in rows
        ]
    return {
        "kind": kind, "index": index, "family": family, "studio": bool(frames) and not had,
        "marks": marks, "final": list(final), "decoding": painted,
    }  # fmt: skip


def tell(lines: list[dict[str, Any]]) -> None:
    """The tables."""
    for kind in KINDS:
        some = [line for line in lines if line["kind"] == kind]
        if not some:
            continue
        scales = [mark["scale"] for mark in some[0]["marks"]]
        total = np.mean([sum(m["seconds"] for m in e["marks"]) + e["decoding"] for e in some])
        print(f"{kind}: {len(some)} edits; {total:.2f} s for all candidates")
        for k, side in enumerate(scales):
            spent = np.mean([sum(m["seconds"] for m in e["marks"][: k + 1]) for e in some])
            for by in ("score", "tokens", "seam"):
                if by == "seam" and all(np.ptp(e["marks"][k]["seams"]) == 0 for e in some):
                    continue
                found, among = [], {m: [] for m in SURVIVORS}
                for line in some:
                    mark, final = line["marks"][k], np.array(line["final"])
                    early = {
                        "score": mark["score"],
                        "tokens": mark["likely" if kind == "inpaint" else "spoken"],
                        "seam": -np.array(mark["seams"]),
                    }[by]
                    if np.ptp(early) == 0:
                        found.append(0.0)
                        order = np.random.default_rng(line["index"]).permutation(len(final))
                    else:
                        found.append(float(spearmanr(early, final).statistic))
                        order = np.argsort(-np.array(early), kind="stable")
                    for m in SURVIVORS:
                        among[m].append(int(final.argmax()) in order[:m])
                shares = ", ".join(f"{m}: {np.mean(among[m]):.0%}" for m in SURVIVORS)
                error = np.std(found) / len(found) ** 0.5
                print(
                    f"  scale {side:2} by {by:6} rho {np.mean(found):+.2f} ± {error:.2f}  "
                    f"final best among the first {shares}; spent {spent / total:.0%}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "stickers")
    parser.add_argument("--jsonl", type=Path)
    given = parser.parse_args()
    editor = load_editor("bundled")
    pictures = open_pictures(given.data, side=editor.side, split="val", seed=0)
    lines = []
    for index in range(given.count):
        for kind in KINDS:
            lines.append(edit(editor, pictures, kind, index, given.candidates))
            if given.jsonl:
                with given.jsonl.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    tell(lines)


if __name__ == "__main__":
    main()
