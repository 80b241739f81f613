"""One edit of the evaluation: the editor's own, watched by its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from engine.arrays import RGB, Floats, Mask
from engine.editor import Editor
from engine.events import Painted, result_of
from engine.machine.tensors import to_tensor
from engine.paint.ranking import best_first
from engine.request import EditRequest
from engine.request.options import EditOptions


@dataclass(frozen=True)
class Edited:
    """``raw`` is the model's picture (S, S, 3) in 0..255, ``seen`` what it was shown, with which
    ``hole`` (S, S); ``result`` is the composited one, uint8, and ``seconds`` what it took."""

    raw: Floats
    seen: Floats
    hole: Mask
    result: RGB
    seconds: float


@dataclass(frozen=True)
class Case:
    """A picture with a mask, to be edited with this or that option.

    Edits whose tokens are the same share work: the editor remembers begun runs. ``context``
    "whole" lets the model see the whole picture, None leaves that to the options.
    """

    editor: Editor
    picture: RGB
    mask: Mask
    label: str | None
    task: Literal["inpaint", "edit_class"]
    context: Literal["whole"] | None = "whole"

    def edit(self, options: EditOptions) -> Edited:
        """The edit with these options: the best candidate, if there are several."""
        events = list(self.editor.steps(self._request(options)))
        result = result_of(events)
        painted = [e for e in events if isinstance(e, Painted) and e.role != "behind"]
        last = painted[-1]
        best = best_first(list(last.scores))[0] if options.candidates else 0
        (seen,) = last.seen
        return Edited(
            raw=last.pictures[best],
            seen=seen.pixels,
            hole=seen.hole,
            result=np.asarray(result.images[0]),
            seconds=result.seconds,
        )

    def several(self, options: EditOptions, count: int) -> list[RGB]:
        """``count`` results of seeds that follow one another."""
        asked = options.model_copy(update={"variations": count, "candidates": None})
        return [np.asarray(image) for image in self.editor.run(self._request(asked)).images]

    def _request(self, options: EditOptions) -> EditRequest:
        if self.context is not None:
            options = options.model_copy(update={"context": self.context})
        return EditRequest(
            task=self.task,
            image=Image.fromarray(self.picture),
            mask=self.mask,
            label=self.label,
            options=options,
        )


@torch.inference_mode()
def reconstruction(editor: Editor, picture: RGB) -> tuple[Floats, np.ndarray[Any, Any]]:
    """The picture through the VQVAE and back, the ceiling of every edit; and its token ids."""
    pixels = to_tensor(picture[None]).to(editor.device)
    maps, feature_map = editor.runner.tokens(editor.model.codec.features(pixels))
    (again,) = editor.runner.decode(feature_map)
    return again, torch.cat([ids.flatten() for ids in maps]).cpu().numpy()
