"""What is wrong with a request is told in one line, by the name of what is wrong."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from engine import EditRequest, EngineError, MaskError, RequestError
from engine.editor import Editor
from engine.request import Region
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


def bad_requests() -> list[tuple[str, dict[str, object]]]:
    source, mask = noisy_rgb(20, 10), np.ones((10, 20), bool)
    return [
        ("mask is 10x20, the picture 20x10", {"image": source, "mask": mask.T}),
        ("mask is empty", {"image": source, "mask": np.zeros((10, 20), bool)}),
        ("0x10 pixels is empty", {"image": Image.new("RGB", (0, 10)), "mask": mask}),
        ("needs a mask", {"image": source}),
        ("needs a picture", {"mask": mask}),
        ("needs a label", {"task": "edit_class", "image": source, "mask": mask}),
        ("near ones: 'bird'", {"image": source, "mask": mask, "label": "brid"}),
        ("'crane [(]3[)]' or 'crane [(]4[)]'", {"image": source, "mask": mask, "label": "crane"}),
        ("needs an amount", {"task": "outpaint", "image": source}),
        ("beyond the limit", {"task": "outpaint", "image": source, "right": 16384, "top": 16384}),
        ("'var-d16', but 'tiny'", {"image": source, "mask": mask, "model": "var-d16"}),
        ("one channel", {"image": source, "mask": np.ones((10, 20, 3))}),
    ]


@pytest.mark.parametrize(("message", "fields"), bad_requests(), ids=lambda v: str(v)[:24])
def test_a_mistake_is_told_in_one_line(
    editor: Editor, message: str, fields: dict[str, object]
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        editor.run(EditRequest(**{"task": "inpaint", **fields}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "paint"}, "task: input should be 'inpaint'"),
        ({"left": -3}, "left: must not be negative"),
        ({"right": "abc"}, "right: expected pixels"),
        ({"right": 10**9}, "right: must be at most 16384"),
        ({"right": "1e9%"}, "right: must be at most 400%"),
        ({"top": True}, "top: expected a number"),
        ({"options": {"seed": "x"}}, "seed: input should be a valid integer"),
        ({"options": {"variations": 99}}, "variations: input should be less"),
        ({"options": {"guidance": float("nan")}}, "guidance: "),
        ({"options": {"sed": 1}}, "unknown option 'sed'; known: seed"),
        ({"options": {"context": "much"}}, 'expected "auto"'),
        ({"image": "photo.jpg"}, "image: input should be an instance of Image"),
        ({"label": True}, "label: expected a number"),
    ],
)
def test_a_malformed_request_names_the_field(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        EditRequest(**{"task": "inpaint", **fields})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_empty_mask_picture_is_a_mask_error(editor: Editor) -> None:
    with pytest.raises(MaskError):
        editor.inpaint(noisy_rgb(9, 9), Image.new("L", (9, 9)))


def bad_regions() -> list[tuple[str, dict[str, object]]]:
    mask = np.ones((10, 20), bool)
    bird = Region(mask=mask, label="bird")
    return [
        ("belong to edit_class", {"task": "inpaint", "regions": (bird,)}),
        ("not both", {"regions": (bird,), "mask": mask}),
        ("not both", {"regions": (bird,), "label": "bird"}),
        ("region 2 needs a mask", {"regions": (bird, Region(label="boat"))}),
        ("near ones: 'bird'", {"regions": (Region(mask=mask, label="brid"),)}),
        ("mask of region 2 is 10x20", {"regions": (bird, Region(mask=mask.T, label="boat"))}),
        ("mask is empty", {"regions": (Region(mask=~mask, label="boat"),)}),
        ("region 1 lies wholly under", {"regions": (bird, Region(mask=mask, label="boat"))}),
    ]


@pytest.mark.parametrize(("message", "fields"), bad_regions(), ids=lambda v: str(v)[:24])
def test_a_mistake_in_a_region_is_told_in_one_line(
    editor: Editor, message: str, fields: dict[str, object]
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        editor.run(EditRequest(**{"task": "edit_class", "image": noisy_rgb(20, 10), **fields}))
    assert "\n" not in str(caught.value)
