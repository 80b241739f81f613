"""Painting the original back: its very bytes, wherever an extension has moved it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from app import original
from app.moments import Moment
from app.session import Session
from engine.errors import ImageError, MaskError
from engine.picture.depth import Deep, deep_of
from engine.picture.source import Source
from engine.request import EditRequest
from tests.pictures import MODES, picture


def noise(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode)


class FakeResult:
    """What the session asks of a result."""

    def __init__(self, images: list[Image.Image]) -> None:
        self.images = images
        self.seeds = list(range(len(images)))
        self.seconds = 1.0
        self.scores: list[float] = []
        self.notes: list[str] = []
        self.request = EditRequest(task="inpaint")

    def request_of(self, index: int) -> EditRequest:
        return self.request


def edited(session: Session, image: Image.Image, request: EditRequest) -> Session:
    return session._push(session.at, Moment(session.vault.hold(image), "Edit", request=request))


def test_only_the_stroke_becomes_the_originals_bytes() -> None:
    source, after = noise("RGB", (40, 30), 1), noise("RGB", (40, 30), 2)
    mask = np.zeros((30, 40), bool)
    mask[5:12, 8:20] = True
    back = np.asarray(original.painted_back(after, source, (0, 0), mask))
    assert np.array_equal(back[mask], np.asarray(source)[mask])
    assert np.array_equal(back[~mask], np.asarray(after)[~mask])


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_keeps_its_mode_and_bytes(mode: str) -> None:
    source = picture(mode, 24, 17)
    changed = source.copy()
    changed.paste(source.crop((0, 0, 9, 9)), (10, 5))
    back = original.painted_back(changed, source, (0, 0), np.ones((17, 24), bool))
    assert (back.mode, back.tobytes()) == (source.mode, source.tobytes())


def test_an_extension_moves_the_original_by_its_margins() -> None:
    session = Session().opened(noise("RGB", (40, 30), 1), "a.png")
    session = edited(session, noise("RGB", (70, 45), 2),
                     EditRequest(task="outpaint", left=10, right="50%", top="50%"))  # fmt: skip
    session = edited(session, noise("RGB", (70, 45), 3), EditRequest(task="inpaint"))
    source, corner = original.original_of(session)
    assert source is session.moments[0] and corner == (10, 15)

    mask = np.zeros((45, 70), bool)
    mask[10:20, 5:15] = True  # half of it over what was added
    back = np.asarray(original.painted_back(session.picture.image, source.image, corner, mask))
    assert np.array_equal(back[15:20, 10:15], np.asarray(source.image)[0:5, 0:5])
    assert np.array_equal(back[10:15, 5:15], np.asarray(session.picture.image)[10:15, 5:15])


def test_an_extension_of_an_earlier_picture_is_counted_from_that_one() -> None:
    """Another variation on top of what was done since the first was used."""
    extend = EditRequest(task="outpaint", left=10, top="50%")
    session = Session().opened(noise("RGB", (40, 30), 1), "a.png")
    session = edited(session, noise("RGB", (50, 45), 2), extend)
    session = session.edited(noise("RGB", (50, 45), 3), original.CAPTION)
    session = edited(session, noise("RGB", (50, 45), 4), extend)
    moment, corner = original.original_of(session)
    assert (moment.image.size, corner) == ((40, 30), (10, 15))


def test_the_original_stays_the_same_after_it_was_painted_back() -> None:
    session = Session().opened(noise("RGB", (40, 30), 1), "a.png")
    session = edited(session, noise("RGB", (40, 30), 2), EditRequest(task="inpaint"))
    session = session.edited(noise("RGB", (40, 30), 3), original.CAPTION)
    assert original.original_of(session)[0] is session.moments[0]


def test_a_variation_with_the_original_painted_back_is_what_is_saved() -> None:
    from app.saving import to_save

    session = Session().opened(noise("RGB", (40, 30), 1), "a.png")
    result = FakeResult([noise("RGB", (40, 30), seed) for seed in (2, 3)])
    session = session.ran(result)
    assert to_save(session, session.looking) is session.results[0]
    session = session.used().edited(noise("RGB", (40, 30), 4), original.CAPTION)
    assert to_save(session, session.looking) is session.current
    assert to_save(session.chose(1), True) is session.results[1], "another one can still be saved"


def test_without_an_edit_there_is_nothing_to_paint_back() -> None:
    session = Session().opened(noise("RGB", (40, 30), 1), "a.png")
    with pytest.raises(ImageError, match="nothing to paint back"):
        original.original_of(session)
    session = edited(session, noise("RGB", (32, 32), 2), EditRequest(task="generate", label="boat"))
    with pytest.raises(ImageError, match="nothing to paint back"):
        original.original_of(session)


def test_a_stroke_beside_the_original_is_told_in_words() -> None:
    source, after = noise("RGB", (40, 30), 1), noise("RGB", (60, 30), 2)
    mask = np.zeros((30, 60), bool)
    mask[:, 45:] = True
    with pytest.raises(MaskError, match="this part was added"):
        original.painted_back(after, source, (0, 0), mask)


def test_a_stroke_is_as_wide_as_its_brush() -> None:
    mask = original.stroke([(0.25, 0.5), (0.75, 0.5)], 5, (200, 100))
    assert mask.shape == (100, 200)
    assert 9 <= mask[:, 100].sum() <= 12 and mask[50, 46:154].all() and not mask[:, :40].any()
    dot = original.stroke([(0.5, 0.5)], 5, (200, 100))
    assert 60 <= dot.sum() <= 110


def test_painting_back_keeps_sixteen_bits():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    before = Deep.of(values).picture("RGB", {})
    mask = np.zeros((20, 30), bool)
    mask[4:16, 5:25] = True
    edited = Source(before).patch((0, 0, 30, 20), np.zeros((20, 30, 3), np.uint8), mask)
    half = mask.copy()
    half[:, 15:] = False
    back = deep_of(original.painted_back(edited, before, (0, 0), half))
    assert back is not None
    assert np.array_equal(back.values[half], values[half])
    assert not back.values[mask & ~half].any()
