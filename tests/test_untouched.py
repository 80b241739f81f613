"""What is not to be edited stays as it is, whatever the picture."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import EditOptions, EditRequest, RequestError
from engine.editor import Editor
from engine.events import ScaleDone, result_of
from engine.picture.files import open_image
from tests import untouched_cases
from tests.house import ROOT
from tests.pictures import MODES, assert_untouched, box_mask, masks, noisy_rgb, picture, raw
from tests.tiny import tiny_editor

EDITOR = tiny_editor()
FORESEEING = tiny_editor(foresight=True)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mode=st.sampled_from(MODES), seed=st.integers(0, 2**53 - 1))
def test_pixels_outside_the_mask_are_the_source_bytes(
    data: st.DataObject, mode: str, seed: int
) -> None:
    width, height = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    mask = data.draw(masks(width, height))
    options = EditOptions(
        seed=seed,
        feather=data.draw(st.sampled_from([None, 0, 1, 5, 200])),
        context=data.draw(st.sampled_from(["auto", "whole", 0, 3, 500])),
        rule=data.draw(st.sampled_from(["default", "paper"])),
        blend=data.draw(st.sampled_from([None, "none", "membrane"])),
        detail=data.draw(st.sampled_from([None, "picture", "model"])),
        grow=data.draw(st.sampled_from([None, 0, 3, 64])),
        soft_scales=data.draw(st.sampled_from([None, 0, 1, 16])),
        fill=data.draw(st.sampled_from([None, "none", "push_pull", "sideways"])),
        structure=data.draw(st.sampled_from([None, 0, 2])),
    )
    source = picture(mode, width, height, seed=seed % 7)
    before = source.tobytes()
    editor = data.draw(st.sampled_from([EDITOR, FORESEEING]))
    result = editor.inpaint(source, mask, options=options)
    assert_untouched(source, result.images[0], mask)
    assert source.tobytes() == before, "the caller's picture was written to"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_extending_keeps_every_byte_of_the_source(data: st.DataObject, mode: str) -> None:
    width, height = data.draw(st.integers(1, 50)), data.draw(st.integers(1, 50))
    sides = [data.draw(st.sampled_from([0, 0, 1, 9, 35, "33%"])) for _ in range(4)]
    left, right, top, bottom = sides
    source = picture(mode, width, height)
    request = EditRequest(
        task="outpaint", image=source, left=left, right=right, top=top, bottom=bottom,
        options=EditOptions(detail=data.draw(st.sampled_from(["model", "picture"]))),
    )  # fmt: skip
    amounts = request.margins(width, height)
    if not any(amounts):
        with pytest.raises(RequestError, match="needs an amount"):
            EDITOR.run(request)
        return
    (wide,) = EDITOR.run(request).images
    assert wide.size == (width + amounts[0] + amounts[1], height + amounts[2] + amounts[3])
    assert wide.mode == source.mode
    x, y = amounts[0], amounts[2]
    assert np.array_equal(raw(wide)[y : y + height, x : x + width], raw(source))


DAMAGED = """
import sys
import numpy as np
from engine import DamageError
from engine.picture.source import Source
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

patch = Source.patch
def damaging(self, box, rgb, mask):
    image = patch(self, box, rgb, mask)
    image.putpixel((63, 0), (1, 2, 3))
    return image
mask = np.zeros((48, 64), bool)
mask[10:30, 10:30] = True
editor = tiny_editor()
editor.inpaint(noisy_rgb(64, 48), mask)
Source.patch = damaging
try:
    editor.inpaint(noisy_rgb(64, 48), mask)
except DamageError as error:
    print(sys.flags.optimize, "refused:", error)
"""


def test_a_damaged_picture_is_not_handed_over() -> None:
    """Not even where ``python -O`` switches assertions off."""
    done = subprocess.run(
        [sys.executable, "-O", "-c", DAMAGED], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 refused: a pixel outside the mask")
    assert done.stdout.count("\n") == 1


def test_a_rotated_photo_comes_out_upright_with_its_pixels_untouched(
    editor: Editor, tmp_path: object
) -> None:
    source = noisy_rgb(60, 40)
    exif = source.getexif()
    exif[0x0112] = 6
    source.info["exif"] = exif.tobytes()
    upright = source.transpose(Image.Transpose.ROTATE_270)
    mask = box_mask(40, 60, (0, 0, 10, 10))
    (image,) = editor.inpaint(source, mask).images
    assert image.size == (40, 60)
    assert np.array_equal(raw(image)[~mask], raw(upright)[~mask])
    assert 0x0112 not in image.getexif()


def test_a_large_picture_is_edited_at_full_resolution(editor: Editor) -> None:
    source = Image.new("RGB", (5000, 3000), (10, 200, 30))
    mask = box_mask(5000, 3000, (4000, 10, 4900, 800))
    (image,) = editor.inpaint(source, mask).images
    assert_untouched(source, image, mask)


@pytest.mark.parametrize("place", [(0, 0), (20, 20)], ids=["outside", "under the mask"])
def test_a_picture_with_values_that_are_no_numbers_can_be_edited(
    editor: Editor, place: tuple[int, int]
) -> None:
    values = np.array(picture("F", 60, 40))
    values[place] = np.nan
    values[place[0], place[1] + 1 : place[1] + 3] = np.inf, -np.inf
    source, mask = Image.fromarray(values), box_mask(60, 40, (15, 15, 40, 30))
    request = EditRequest(task="inpaint", image=source, mask=mask, options=EditOptions(seed=1))
    *events, last = editor.steps(request)
    steps = [each for each in events if isinstance(each, ScaleDone)]
    assert steps and all(len(step.previews()) == 1 for step in [*steps, last])
    found = np.asarray(result_of([last]).images[0])
    assert found.tobytes() != source.tobytes() and np.isfinite(found[mask]).all()
    assert found[~mask].tobytes() == values[~mask].tobytes()
    assert open_image(result_of([last]).png()).size == source.size
    wide = editor.outpaint(source, right=8, options=EditOptions(seed=1))
    assert np.asarray(wide.images[0])[:, :60].tobytes() == values.tobytes()


def test_random_edits_by_all_doors_leave_what_is_outside_the_mask_as_it_was() -> None:
    """120 of those that `tests/untouched_cases.py` makes."""
    assert untouched_cases.run(120, seed=1) == (120, [])
