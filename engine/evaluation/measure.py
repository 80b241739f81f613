"""Everything that is measured on one held-out picture, as a line of the records.

whole        the VQVAE alone: psnr, ssim, codes
families     family -> real seam, ceiling, features, baselines
edits        mode -> family -> row -> perceptual, seams, known area, features
class_edit   row -> the asked class's rank; and of real stickers in its place
removal      row -> whether the removed class is still found; and in the unedited picture
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.arrays import RGB, Floats, Mask
from engine.editor import Editor
from engine.evaluation.classifier import Judge, crop_around
from engine.evaluation.edits import Case, reconstruction
from engine.evaluation.families import make_mask
from engine.evaluation.flip import Seen, see
from engine.evaluation.levers import PAPER, TASKS, Changes, Mode
from engine.evaluation.lpips import Features, Lpips
from engine.evaluation.metrics import (
    diversity,
    edge_gradient,
    perceptual_seen,
    psnr,
    ssim,
)
from engine.evaluation.records import Line, packed
from engine.evaluation.scenes import Scenes
from engine.frames.fill import fill_hole
from engine.request.options import EditOptions
from engine.training.pieces import Pictures, keyed_generator

BASELINES = ("telea", "navier_stokes")
DIVERSITY_EVERY, DIVERSITY_SEEDS = 10, 4

Rows = Mapping[Mode, Mapping[str, Changes]]


@dataclass(frozen=True)
class Survey:
    """What to measure: rows of options a mode, and families.

    ``thorough`` adds diversity and class edits by finer names.
    """

    options: EditOptions
    rows: Rows
    families: tuple[str, ...]
    seed: int
    thorough: bool

    def row(self, changes: Changes, index: int) -> EditOptions:
        """The options of a row for picture ``index``; every row has the same seed there."""
        given = self.options.model_dump(exclude_none=True, exclude_unset=True)
        return EditOptions(**{**given, "seed": self.seed + index, "variations": 1, **changes})


@dataclass(frozen=True)
class Reference:
    """The true picture, ready to be compared with many."""

    seen: Seen
    looked: Features | None


@dataclass(frozen=True)
class Measure:
    """Measures pictures with one model; ``judge`` and ``scenes`` are there for known domains,
    ``lpips`` where its weights are."""

    editor: Editor
    pictures: Pictures
    survey: Survey
    judge: Judge | None
    scenes: Scenes | None
    lpips: Lpips | None = None

    def line(self, index: int) -> Line:
        """Picture number ``index`` of the validation split, and the scenes of that number."""
        picture, label = self.pictures[index]
        name = self.pictures.classes[label]
        known, ids = reconstruction(self.editor, picture)
        true = Reference(see(picture), self.lpips.look(picture) if self.lpips else None)
        line: Line = {
            "index": index,
            "whole": {
                "psnr": psnr(known, picture),
                "ssim": ssim(known, picture.astype(np.float64)),
                "codes": packed(ids, "uint16"),
            },
            "families": {},
            "edits": {mode: {} for mode in self.survey.rows},
        }
        for number, family in enumerate(self.survey.families):
            rng = keyed_generator(self.survey.seed, 7, index, number)
            mask = make_mask(family, self.editor.side, rng)
            line["families"][family] = self._family(picture, true, known, mask)
            for mode, rows in self.survey.rows.items():
                case = Case(
                    self.editor, picture, mask, name if mode == "labelled" else None, TASKS[mode]
                )
                line["edits"][mode][family] = {
                    row: self._edit(case, true, self.survey.row(changes, index), index)
                    for row, changes in rows.items()
                }
        if self.scenes is not None and self.judge is not None:
            line["class_edit"] = self._class_edit(self.scenes, self.judge, index)
            line["removal"] = self._removal(self.scenes, self.judge, index)
        return line

    def _distances(self, true: Reference, picture: Floats, mask: Mask) -> Line:
        """How far a picture is from the true one in the mask."""
        learned = None
        if self.lpips is not None and true.looked is not None:
            looked = self.lpips.look(picture)
            learned = float(self.lpips.between(true.looked, looked, mask.shape)[mask].mean())
        return {"perceptual": perceptual_seen(true.seen, see(picture), mask), "lpips": learned}

    def _family(self, picture: RGB, true: Reference, known: Floats, mask: Mask) -> Line:
        """What does not depend on the edit: the ceiling and the baselines."""
        found: Line = {
            "seam": max(edge_gradient(picture, mask), 1e-6),
            "ceiling": psnr(known, picture, ~mask),
            "features": self._features(picture, mask),
            "baselines": {},
        }
        others = {name: fill_hole(picture.astype(np.float32), mask, name) for name in BASELINES}
        others["reconstruction"] = np.where(mask[..., None], known, picture)
        for name, other in others.items():
            found["baselines"][name] = {
                **self._distances(true, other, mask),
                "features": self._features(other.round().clip(0, 255).astype(np.uint8), mask),
            }
        return found

    def _edit(self, case: Case, true: Reference, options: EditOptions, index: int) -> Line:
        """One edit of one row."""
        edited = case.edit(options)
        pasted = np.where(edited.hole[..., None], edited.raw, edited.seen)
        found: Line = {
            **self._distances(true, edited.result, case.mask),
            "known_psnr": psnr(edited.raw, edited.seen, ~edited.hole),
            "seam_raw": edge_gradient(pasted, edited.hole),
            "seam": edge_gradient(edited.result, case.mask),
            "features": self._features(edited.result, case.mask),
        }
        if self.survey.thorough and index % DIVERSITY_EVERY == 0:
            several = case.several(options, DIVERSITY_SEEDS)
            found["diversity"] = diversity([see(each) for each in several], case.mask)
        return found

    def _features(self, picture: RGB, mask: Mask) -> str | None:
        if self.judge is None:
            return None
        return packed(self.judge.look([crop_around(picture, mask)])[1][0])

    def _class_edit(self, scenes: Scenes, judge: Judge, index: int) -> Line:
        """Ranks of the asked class (0 is first), by row of labelled edits."""
        scene = scenes.class_edit(index)
        made = {"held-out sticker": scene.with_sticker, "trained sticker": scene.with_known_sticker}
        case = Case(self.editor, scene.picture, scene.mask, scene.label, "edit_class", None)
        for row, changes in self._rows("labelled").items():
            made[row] = case.edit(self.survey.row(changes, index)).result
        if self.survey.thorough and scene.finer in self.editor.card.labels.names:
            finer = replace(case, label=scene.finer)
            made["finer name"] = finer.edit(self.survey.row({}, index)).result
        ranks = _ranks(judge, list(made.values()), scene.mask, scene.label)
        return {"label": scene.label, "ranks": dict(zip(made, ranks, strict=True))}

    def _removal(self, scenes: Scenes, judge: Judge, index: int) -> Line:
        """The rank of the removed class by row of unlabelled edits, and if any object is found."""
        scene = scenes.removal(index)
        made: dict[str, RGB] = {"unedited": scene.picture}
        case = Case(self.editor, scene.picture, scene.mask, None, "inpaint", None)
        rows = {**self._rows("unlabelled"), PAPER: {"rule": "paper"}}
        for row, changes in rows.items():
            made[row] = case.edit(self.survey.row(changes, index)).result
        pixels = scene.picture.astype(np.float32)
        made["telea"] = fill_hole(pixels, scene.mask, "telea").astype(np.uint8)
        ranks = _ranks(judge, list(made.values()), scene.mask, scene.label)
        logits, _ = judge.look([crop_around(each, scene.mask) for each in made.values()])
        objects = [judge.classes.index(name) for name in scenes.objects]
        anything = np.isin(logits.argmax(1), objects).tolist()
        return {
            "label": scene.label,
            "ranks": dict(zip(made, ranks, strict=True)),
            "anything": dict(zip(made, anything, strict=True)),
        }

    def _rows(self, mode: Mode) -> Mapping[str, Changes]:
        """The rows of a mode; those of the other one where it is not measured."""
        return self.survey.rows.get(mode) or next(iter(self.survey.rows.values()))


def _ranks(judge: Judge, pictures: list[RGB], mask: Mask, label: str) -> list[int]:
    """How many classes the judge finds likelier than ``label`` in the masked region."""
    logits, _ = judge.look([crop_around(picture, mask) for picture in pictures])
    own = logits[:, judge.classes.index(label)]
    counts: list[int] = (logits > own[:, None]).sum(1).tolist()
    return counts
