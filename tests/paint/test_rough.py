"""Rough previews: colours read from the known cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from engine import EditOptions, EditRequest
from engine.events import Event, ScaleDone
from engine.paint.rough import rough_pictures
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


def shown(events: Iterable[Event]) -> Iterator[ScaleDone]:
    """The events that have previews while an edit runs, as they come."""
    return (event for event in events if isinstance(event, ScaleDone))


def test_colours_that_are_linear_in_the_features_come_out() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 6, 8, 8, generator=generator)
    mix = torch.randn(6, 3, generator=generator)
    colours = 128 + 12 * torch.einsum("cyx,cd->yxd", features[0], mix)
    frame = colours.repeat_interleave(4, 0).repeat_interleave(4, 1).numpy().astype(np.float32)
    known = torch.ones(8, 8, dtype=torch.bool)
    known[2:5, 2:5] = False
    hidden = frame.copy()
    hidden[8:20, 8:20] = 0  # what is masked must not matter
    (picture,) = rough_pictures(features, [hidden], known) or []
    cell = picture.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    expected = colours.clamp(0, 255).numpy()
    assert abs(cell - expected)[2:5, 2:5].mean() < 12


def test_with_little_known_there_is_no_rough_picture() -> None:
    known = torch.zeros(8, 8, dtype=torch.bool)
    assert rough_pictures(torch.zeros(1, 6, 8, 8), [np.zeros((32, 32, 3))], known) is None


def test_a_slow_decoder_is_spared_until_the_last_scale() -> None:
    editor = tiny_editor()
    editor.model.vqvae.decoder.extra = torch.nn.Parameter(torch.empty(31_000_000, device="meta"))
    decoded = []
    editor.model.vqvae.decoder.register_forward_hook(lambda *_: decoded.append(1))
    mask = np.zeros((200, 32), bool)
    mask[150:, :3] = True
    request = EditRequest(
        task="inpaint",
        image=noisy_rgb(32, 200),
        mask=mask,
        options=EditOptions(seed=1, variations=2, structure=0, context="whole"),
    )
    for step in shown(editor.steps(request)):
        before = len(decoded)
        assert len(step.previews()) == 2
        assert len(decoded) == before
    assert len(decoded) == 2


def test_previews_of_some_variations_are_those_of_all_of_them() -> None:
    editor = tiny_editor()
    mask = np.zeros((40, 60), bool)
    mask[5:30, 10:40] = True
    options = EditOptions(seed=1, variations=3, candidates=4, structure=0)
    tasks = (
        EditRequest(task="inpaint", image=noisy_rgb(60, 40), mask=mask, options=options),
        EditRequest(task="outpaint", image=noisy_rgb(40, 32), right=100, options=options),
        EditRequest(task="generate", label="bird", options=options),
    )
    for request in tasks:
        for step in shown(editor.steps(request)):
            every = step.previews()
            for count in (1, 2):
                some = step.previews(count)
                assert [each.tobytes() for each in some] == [e.tobytes() for e in every[:count]]


def test_only_what_is_shown_is_decoded() -> None:
    editor = tiny_editor()
    decoded = []
    editor.model.vqvae.decoder.register_forward_hook(lambda *_: decoded.append(1))
    request = EditRequest(task="generate", label="bird", options=EditOptions(variations=4))
    first, *_ = editor.steps(request)
    before = len(decoded)
    assert len(first.previews(1)) == 1
    assert len(decoded) == before + 1
