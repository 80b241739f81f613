"""Several regions of one picture, each with a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.handlers import Handlers
from app.moments import Marked
from app.session import Session
from app.views import tints
from engine.errors import MaskError, RequestError
from engine.picture.files import open_image
from engine.request import EditRequest, Region
from engine.request.options import EditOptions
from tests.app.layers import layer
from tests.app.visit import LEFT, RIGHT, begin, last, mask, run
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


def test_regions_are_painted_one_after_the_other_and_edited_together(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    screen = last(handlers.masks.add_region(layer(LEFT), "bird", session))
    assert "bird" in screen["regions"] and screen["session"].picture.mask is None
    session = run(handlers, screen["session"], layer(RIGHT), "edit_class", "boat",
                  seed="7")  # fmt: skip
    saved = last(handlers.saving.picture("PNG", session))["file"]
    regions = (Region(mask=mask(LEFT), label="bird"), Region(mask=mask(RIGHT), label="boat"))
    request = EditRequest(task="edit_class", image=open_image(photo), regions=regions,
                          options=EditOptions(seed=7))  # fmt: skip
    assert Path(saved).read_bytes() == tiny_editor().run(request).png(0)


def test_a_region_needs_a_class_and_some_paint_and_can_be_taken_away(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    with pytest.raises(RequestError, match="choose a class"):
        last(handlers.masks.add_region(layer(LEFT), "", session))
    with pytest.raises(MaskError, match="mask is empty"):
        last(handlers.masks.add_region(layer(), "bird", session))
    session = last(handlers.masks.add_region(layer(LEFT), "bird", session))["session"]
    screen = last(handlers.masks.remove_region(0, layer(RIGHT), session))
    assert screen["regions"] == "" and screen["session"].picture.regions == ()
    assert screen["session"].picture.mask.getbbox() == RIGHT


def test_regions_are_shown_in_their_colours() -> None:
    session = Session().opened(noisy_rgb(60, 40), "a.png")
    vault = session.vault
    marks = [Marked(vault.hold(mask(LEFT)), "bird", 0), Marked(vault.hold(mask(RIGHT)), "cat", 1)]
    shown = np.asarray(tints(marks))
    assert shown[20, 15, 3] and shown[20, 45, 3] and not shown[5, :, 3].any()
    assert (shown[20, 15, :3] != shown[20, 45, :3]).any()
