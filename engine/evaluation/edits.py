"""One edit of the evaluation: the model's own output, and what the editor makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from engine.arrays import RGB
from engine.draw.keeping import tokens
from engine.draw.loop import ScaleStep
from engine.editor import Editor, Tally, backdrop_options
from engine.evaluation.levers import tokens_of
from engine.evaluation.metrics import Floats, Mask
from engine.machine.tensors import to_tensor
from engine.options import EditOptions
from engine.paint.ranking import best_first
from engine.picture.frame import Frame
from engine.request import EditRequest
from engine.runner import Job


@dataclass(frozen=True)
class Edited:
    """``raw`` is the model's picture (S, S, 3) in 0..255, ``seen`` what it was shown, with which
    ``hole`` (S, S); ``result`` is the composited one, uint8."""

    raw: Floats
    seen: Floats
    hole: Mask
    result: RGB


@dataclass
class Case:
    """A picture of the model's own size with a mask; edits that share their tokens share work.

    ``context`` "whole" lets the model see the whole picture, None leaves that to the options.
    ``raw`` pictures are those of the frame.
    """

    editor: Editor
    picture: RGB
    mask: Mask
    label: str | None
    task: Literal["inpaint", "edit_class"]
    context: Literal["whole"] | None = "whole"
    made: dict[Any, Floats] = field(default_factory=dict, repr=False)

    def job(self, options: EditOptions) -> Job:
        """The checked request."""
        if self.context is not None:
            options = options.model_copy(update={"context": self.context})
        return self.editor.prepare(
            EditRequest(
                task=self.task,
                image=Image.fromarray(self.picture),
                mask=self.mask,
                label=self.label,
                options=options,
            )
        )

    def edit(self, options: EditOptions) -> Edited:
        """The edit with these options: the best candidate, if there are several."""
        job = self.job(options)
        frame = self._frame(job)
        shown = (frame.window, frame.studio)
        key = (tokens_of(job.rule), job.sampling, job.seeds, options.speed, *shown)
        if key not in self.made:
            self.made[key] = self._best(job, frame)
        raw = self.made[key]
        return Edited(raw, frame.pixels, frame.hole, self._composited(job, frame, raw))

    def several(self, options: EditOptions, count: int) -> list[RGB]:
        """``count`` results of seeds that follow one another."""
        job = self.job(options.model_copy(update={"variations": count, "candidates": None}))
        frame = self._frame(job)
        return [self._composited(job, frame, raw) for raw in self._drawn(job, frame)[1]]

    def behind(self, job: Job) -> RGB:
        """What the editor takes as the backdrop of a class edit."""
        options = backdrop_options(job.request.options)
        key = ("behind", options)
        if key not in self.made:
            image = Image.fromarray(self.picture)
            (inpainted,) = self.editor.inpaint(image, self.mask, options=options).images
            self.made[key] = np.asarray(inpainted)
        return self.made[key]

    def _frame(self, job: Job) -> Frame:
        (window,) = self.editor.views(job.request)
        frame = Frame.cut(self.picture, self.mask, window, self.editor.side)
        (seen,) = self.editor.staged(job, [frame]) if job.rule.backdrop else [frame]
        return seen

    def _drawn(self, job: Job, frame: Frame) -> tuple[ScaleStep, list[Floats]]:
        """The model's last step and its pictures, one a seed."""
        run = self.editor.runner.run(job, [frame])
        *_, last = run.steps()
        return last, run.decode(last.feature_map, len(job.seeds))

    def _best(self, job: Job, frame: Frame) -> Floats:
        last, pictures = self._drawn(job, frame)
        tally = Tally(job)
        tally.add(last, [frame], pictures)
        return pictures[best_first(tally.scores())[0]]

    def _composited(self, job: Job, frame: Frame, raw: Floats) -> RGB:
        result = self.picture.copy()
        frame.composite(
            result,
            self.mask,
            raw,
            blend=job.rule.blend,
            match_colour=job.rule.match_colour,
            grain=job.rule.grain,
            grow=job.rule.rim(frame.hole),
            feather=job.rule.feather,
            behind=self.behind(job) if job.rule.backdrop else None,
        )
        assert np.array_equal(result[~self.mask], self.picture[~self.mask])
        return result


@torch.inference_mode()
def reconstruction(editor: Editor, picture: RGB) -> tuple[Floats, np.ndarray[Any, Any]]:
    """The picture through the VQVAE and back, the ceiling of every edit; and its token ids."""
    pixels = to_tensor(picture[None]).to(editor.device)
    maps, feature_map = tokens(editor.model.scheme, editor.model.codec.features(pixels).float())
    (again,) = editor.runner.decode(feature_map)
    return again, torch.cat([ids.flatten() for ids in maps]).cpu().numpy()
