"""Weights that are no numbers are told as that, whichever they are; never a picture of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import CheckpointError
from engine.request import EditRequest
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

MASK = Image.new("L", (40, 32))
MASK.paste(255, (10, 8, 30, 24))
REQUESTS = (
    EditRequest(task="generate", label="bird", options={"seed": 1}),
    EditRequest(task="inpaint", image=noisy_rgb(40, 32), mask=MASK, options={"seed": 1}),
)
NAMES = [
    (network, name)
    for network in (0, 1)
    for name, value in tiny_editor().model.networks[network].state_dict().items()
    if value.is_floating_point() and value.numel()
]


@pytest.mark.parametrize(("value", "names"), [(math.nan, NAMES[::4]), (math.inf, NAMES[2::4])])
def test_a_weight_that_is_no_number_is_told(value: float, names: list[tuple[int, str]]) -> None:
    """Each tensor in its turn: an edit that it touches says so, one that it does not is as ever."""
    told = 0
    for network, name in names:
        editor = tiny_editor()
        with torch.no_grad():
            weights = editor.model.networks[network].state_dict()[name]
            weights.view(-1)[:] = value
        for request in REQUESTS:
            try:
                result = editor.run(request)
            except CheckpointError as error:
                assert "models verify" in str(error) and "\n" not in str(error)
                told += 1
            else:
                assert np.isfinite(result.scores).all(), name
    assert told > len(names)
