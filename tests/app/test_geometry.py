"""Crops and turns move bytes and change none; straightening shows what the frame showed; what is
painted goes along."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.geometry import Framing, framed, framed_mask, in_words
from engine.errors import ImageError
from engine.picture.depth import Deep, deep_of
from tests.pictures import MODES, noisy_rgb, picture


@pytest.mark.parametrize("mode", MODES)
def test_turns_and_crops_move_pixels_and_change_none(mode: str) -> None:
    source = picture(mode, 40, 30)
    source.info["icc_profile"] = b"kept as it is"
    turned = framed(source, Framing(turns=1))
    assert turned.mode == source.mode and turned.info["icc_profile"] == b"kept as it is"
    assert turned.tobytes() == source.transpose(Image.Transpose.ROTATE_270).tobytes()
    for _ in range(3):
        turned = framed(turned, Framing(turns=1))
    assert turned.tobytes() == source.tobytes()
    cropped = framed(source, Framing(box=(0.25, 0.1, 0.75, 0.9)))
    assert cropped.tobytes() == source.crop((10, 3, 30, 27)).tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_straightened_and_resized(mode: str) -> None:
    source = picture(mode, 60, 60)
    made = framed(source, Framing(angle=10, box=(0.2, 0.2, 0.8, 0.8), width=72))
    assert made.size == (72, 72)
    colours = ("RGB", "RGBA") if source.mode in ("P", "PA") else ("L",)
    assert made.mode == source.mode or (source.mode in ("1", "P", "PA") and made.mode in colours)


def scene() -> Image.Image:
    """A smooth picture with a white disc right of and above its middle."""
    y, x = np.mgrid[:200, :300]
    values = np.stack([x * 0.6, y * 0.9, 90 + 0 * x], 2).astype(np.uint8)
    image = Image.fromarray(values)
    ImageDraw.Draw(image).ellipse((204, 54, 225, 75), fill="white")
    return image


def middle_of(mask: np.ndarray) -> tuple[float, float]:
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean())


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("angle", [0.0, 8.0, -30.0])
def test_what_is_painted_stays_on_what_it_was_painted_on(turns: int, angle: float) -> None:
    image, painted = scene(), Image.new("L", (150, 100))
    ImageDraw.Draw(painted).ellipse((102, 27, 112, 37), fill=255)  # the disc, at half the size
    half = 0.5 / (math.cos(math.radians(angle)) + 1.5 * abs(math.sin(math.radians(angle))))
    framing = Framing(turns, angle, (0.5 - half, 0.5 - half, 0.5 + half, 0.5 + half), 240)
    moved = framed(image, framing)
    white = np.asarray(moved).min(axis=2) > 200
    mask = framed_mask(painted, framing, image.size, (moved.width // 2, moved.height // 2))
    assert white.any() and mask is not None
    seen = middle_of(np.asarray(mask) > 0)
    assert [2 * place + 0.5 for place in seen] == pytest.approx(middle_of(white), abs=1.2)


def test_a_picture_is_straightened_clockwise_about_its_middle() -> None:
    image = scene()
    framing = Framing(angle=20, box=(0.2, 0.2, 0.8, 0.8))
    ours = np.asarray(framed(image, framing)).astype(int)
    matrix = cv2.getRotationMatrix2D((149.5, 99.5), -20, 1)  # OpenCV counts the other way round
    whole = cv2.warpAffine(np.asarray(image), matrix, (300, 200), flags=cv2.INTER_CUBIC)
    assert np.abs(ours - whole[40:160, 60:240]).max() <= 2


def test_what_lies_outside_of_a_crop_is_gone() -> None:
    painted = Image.new("L", (40, 30))
    painted.paste(255, (0, 0, 6, 6))
    framing = Framing(box=(0.4, 0.4, 1, 1))
    assert framed_mask(painted, framing, (40, 30), framing.size((40, 30))) is None


def test_sixteen_bits_a_channel_stay() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 65536, (40, 60, 3), np.uint16)
    image = Deep(values, 65535).picture("RGB", {})
    turned = deep_of(framed(image, Framing(turns=3, box=(0, 0, 1, 0.5))))
    assert turned is not None and np.array_equal(turned.values, np.rot90(values)[:30])
    less = deep_of(framed(image, Framing(angle=5, box=(0.2, 0.2, 0.8, 0.8), width=24)))
    assert less is not None and less.values.shape[1] == 24 and len(np.unique(less.values)) > 256


def test_no_frame_shows_what_is_not_there() -> None:
    image = noisy_rgb(60, 40)
    for bad in (
        Framing(box=(-0.1, 0, 1, 1)), Framing(angle=10), Framing(box=(0.4, 0.4, 0.41, 0.41)),
        Framing(width=50_000),
    ):  # fmt: skip
        with pytest.raises(ImageError):
            framed(image, bad)


def test_clear_pixels_give_no_colour_to_their_neighbours() -> None:
    image = Image.new("RGBA", (60, 60), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (20, 20, 40, 40))
    made = np.asarray(framed(image, Framing(angle=20, box=(0.2, 0.2, 0.8, 0.8), width=90)))
    assert made[made[..., 3] > 0][:, 0].max() <= 1


def test_what_was_done_is_said() -> None:
    assert in_words((60, 40), (40, 60), Framing(turns=1)) == "Turned"
    assert in_words((60, 40), (30, 20), Framing(box=(0, 0, 0.5, 0.5))) == "Cropped"
    both = Framing(turns=1, angle=3, box=(0.2, 0.2, 0.8, 0.8), width=12)
    assert in_words((60, 40), (12, 18), both) == "Turned, straightened and resized"
