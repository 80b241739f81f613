"""The editor: inpaint, outpaint, edit_class, generate.

What is decided of an edit is in its plan (`engine.plan.plan`), which is carried out pass by pass
(`engine.runner.edit`): the networks draw what a frame shows (`engine.runner.networks`), and a
canvas takes it (`engine.paint.canvas`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from PIL import Image

from engine.events import Event, Finished, Result
from engine.model.family import Model
from engine.plan.card import Card
from engine.plan.plan import Plan, plan
from engine.request import EditRequest, MaskLike
from engine.request.options import EditOptions
from engine.runner import Runner
from engine.runner.edit import carry_out, study


class Editor:
    """Edits pictures with one model. Calls may run side by side; what is kept from one to the
    next (`engine.runner`) saves work and changes no result."""

    def __init__(self, model: Model, card: Card) -> None:
        self.model = model
        self.card = card
        self.runner = Runner(model)

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def side(self) -> int:
        """Side of the model's square in pixels."""
        return self.card.side

    @property
    def scales(self) -> tuple[int, ...]:
        return self.card.scales

    @property
    def labels(self) -> list[str]:
        """Class names, one per id; names that repeat carry their id."""
        return self.card.labels.choices()

    @property
    def device(self) -> torch.device:
        return self.runner.device

    def inpaint(
        self,
        image: Image.Image,
        mask: MaskLike,
        label: str | int | None = None,
        options: EditOptions | None = None,
    ) -> Result:
        """Regenerate what ``mask`` covers: white (True) is regenerated, all else stays as it is."""
        options = options or EditOptions()
        return self.run(
            EditRequest(task="inpaint", image=image, mask=mask, label=label, options=options)
        )

    def outpaint(
        self,
        image: Image.Image,
        *,
        left: int | str = 0,
        right: int | str = 0,
        top: int | str = 0,
        bottom: int | str = 0,
        label: str | int | None = None,
        options: EditOptions | None = None,
    ) -> Result:
        """Extend the picture by pixels (256) or parts of its side ("25%")."""
        return self.run(
            EditRequest(
                task="outpaint", image=image, left=left, right=right, top=top, bottom=bottom,
                label=label, options=options or EditOptions(),
            )
        )  # fmt: skip

    def edit_class(
        self,
        image: Image.Image,
        mask: MaskLike,
        label: str | int,
        options: EditOptions | None = None,
    ) -> Result:
        """Turn what ``mask`` covers into something of class ``label``."""
        options = options or EditOptions()
        return self.run(
            EditRequest(task="edit_class", image=image, mask=mask, label=label, options=options)
        )

    def generate(
        self, label: str | int | None = None, options: EditOptions | None = None
    ) -> Result:
        """A new picture of the model's own size."""
        return self.run(
            EditRequest(task="generate", label=label, options=options or EditOptions())
        )

    def run(self, request: EditRequest) -> Result:
        """Carry out a request to its end."""
        *_, last = self.steps(request)
        assert isinstance(last, Finished)
        return last.result

    def plan(self, request: EditRequest) -> Plan:
        """What an edit will do, all checks made; a seed is drawn if there is none."""
        options = request.options.with_seed()
        return plan(request.model_copy(update={"options": options}), self.card)

    def steps(
        self, request: EditRequest, *, work: int | None = None, memory: int | None = None
    ) -> Iterator[Event]:
        """Carry out a request scale by scale. Closing the iterator cancels before the next scale.

        The request is checked here, before the first event is asked for. ``work`` and ``memory``
        are the most that it may take (`engine.plan.plan.Plan`): RequestError if it takes more.
        """
        decided = self.plan(request)
        decided.require(work, memory)
        return carry_out(decided, self.runner)

    def warm(self, request: EditRequest) -> None:
        """Do ahead of an edit what its fast mode (``speed="fast"``) needs; safe in the background.

        Without a mask: for an edit that sees the whole picture. What was done is done once; what
        no fast mode serves, such as "generate", "outpaint" or a studio, costs nothing.
        """
        if request.image is None or request.task not in ("inpaint", "edit_class"):
            return
        any_mask = request.mask is None and not request.regions
        decided = plan(request, self.card, any_mask=any_mask)
        study(decided, self.runner)
