"""The form and the request: what one spells, the other says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from app.canvas import painted
from app.forms import OPTIONS, fields_of, kept_fields, parsed, recalled_mask, request_of
from app.moments import Moment
from app.session import Session
from engine.errors import RequestError
from engine.request import EditRequest
from engine.request.options import EditOptions
from tests.app.layers import data_url
from tests.pictures import noisy_rgb

FULL = EditOptions(
    seed=7, variations=3, guidance=2.5, guidance_schedule="falling", top_k=0, top_p=0.9,
    temperature=1.5, temperature_schedule="falling", context=64, feather=0, blend="none",
    structure=2, composition=1, soft_scales=0, candidates=5,
    coarse_seeds=(3, 3, 9),
    speed="fast", rule="paper", fill="none", grow=0,
    backdrop=True, studio=True, detail="model", around="keep", square=512, steps=9,
)  # fmt: skip


def moment(regions: int = 0, mask: bool = True) -> Moment:
    session = Session().opened(noisy_rgb(60, 40), "a.png")
    half = Image.new("L", (60, 40), 0)
    half.paste(255, (0, 0, 30, 40))
    for index in range(regions):
        session = session.marked(half, ("bird", "boat")[index])
    return (session.masked(half) if mask else session).picture


@pytest.mark.parametrize(
    "options",
    [FULL, EditOptions(), EditOptions(studio=False, backdrop=False),
     EditOptions(fill="push_pull", grow=64),
     EditOptions(temperature=1e-7, guidance=1 / 3)],
)  # fmt: skip
@pytest.mark.parametrize("task", ["inpaint", "outpaint"])
def test_a_request_survives_the_way_through_the_form(task: str, options: EditOptions) -> None:
    sides = {"left": "25%", "top": 9} if task == "outpaint" else {}
    request = EditRequest(task=task, label="bird", options=options, **sides)
    fields = fields_of(request)
    label = fields.pop("label")
    again = request_of(moment(), fields.pop("task"), label, None, fields)
    assert again.to_json() == request.to_json()


def test_every_option_goes_both_ways_and_is_automatic_when_it_is_left_alone() -> None:
    """FULL leaves no option at its default, so the round trip above covers each."""
    default = EditOptions()
    for name in EditOptions.model_fields:
        assert getattr(FULL, name) != getattr(default, name), name
        assert name.replace("_", "-") in OPTIONS
    fields = fields_of(EditRequest(task="inpaint"))
    for name in ("fill", "structure", "blend", "backdrop", "studio", "detail"):
        assert fields[name] == "auto"
    for name in ("grow", "top-k", "guidance"):
        assert fields[name] == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("top-p", "2"), ("grow", "-1"), ("detail", "much"), ("studio", "perhaps"), ("fill", "paint")],
)  # fmt: skip
def test_a_wrong_value_of_an_expert_is_told_by_its_name(name: str, value: str) -> None:
    with pytest.raises(RequestError, match=name.replace("-", "_")):
        request_of(moment(), "inpaint", None, None, {name: value})


def test_coarse_seeds_are_told_in_words_when_they_are_none() -> None:
    with pytest.raises(RequestError, match="coarse_seeds"):
        request_of(moment(), "inpaint", None, None, {"coarse-seeds": "7, many"})


def test_regions_become_one_request_and_what_is_painted_is_the_last() -> None:
    request = request_of(moment(regions=2), "edit_class", "cat", None, {})
    assert [region.label for region in request.regions] == ["bird", "boat", "cat"]
    assert request.mask is None and request.label is None
    assert all(region.mask.size == (60, 40) for region in request.regions)
    request = request_of(moment(regions=2, mask=False), "edit_class", "cat", None, {})
    assert [region.label for region in request.regions] == ["bird", "boat"]
    with pytest.raises(RequestError, match="label: choose one for what is painted"):
        request_of(moment(regions=1), "edit_class", "", None, {})


def test_regions_are_for_their_task_only() -> None:
    request = request_of(moment(regions=2), "inpaint", None, None, {})
    assert request.regions == () and request.mask is not None


@pytest.mark.parametrize(
    "given",
    [None, 7, [1], "text", {"task": "delete"}, {"unknown": "1"}, {"seed": ["x"]},
     {"variations": 99}, {"speed": "warp"}, {"structure": "none"}, {"task": {"a": 1}}],
)  # fmt: skip
def test_a_page_cannot_recall_what_the_form_does_not_offer(given: Any) -> None:
    assert kept_fields(given) == {}


def test_a_page_recalls_half_written_texts_and_right_choices() -> None:
    given = {"seed": "12x", "variations": 4, "speed": "fast", "task": "outpaint", "blend": "auto"}
    assert kept_fields(given) == given


def test_a_request_of_another_version_is_left_alone() -> None:
    for text in ('{"task": "inpaint", "options": {"unheard": 1}}', "{", "[" * 100_000, "7"):
        assert parsed(text) == (None, ())
    request = EditRequest(task="inpaint", options=FULL)
    again, notes = parsed(request.to_json())
    assert again is not None and not notes
    assert json.loads(again.to_json()) == json.loads(request.to_json())


def test_what_a_page_had_painted_comes_back() -> None:
    session = Session().opened(noisy_rgb(60, 40), "a.png")
    mask = Image.new("L", (60, 40), 0)
    mask.paste(255, (10, 5, 20, 15))
    back = recalled_mask(session, data_url(painted(mask)), session.version)
    assert back.picture.mask is not None and back.picture.mask.getbbox() == (10, 5, 20, 15)
    erased = recalled_mask(back, data_url(Image.new("RGBA", (60, 40))), session.version)
    assert erased.picture.mask is None


@pytest.mark.parametrize(
    "data", [None, 7, "", "data:image/png;base64,????", "data:image/png;base64,AAAA",
             "data:text/html;base64,AAAA", data_url(Image.new("RGBA", (61, 40), "red"))],
)  # fmt: skip
def test_what_is_no_mask_of_this_picture_changes_nothing(data: Any) -> None:
    session = Session().opened(noisy_rgb(60, 40), "a.png")
    assert recalled_mask(session, data, session.version) is session


def test_a_mask_of_an_earlier_picture_does_not_come_back() -> None:
    session = Session().opened(noisy_rgb(60, 40), "a.png")
    layer = data_url(Image.new("RGBA", (60, 40), "red"))
    assert recalled_mask(session, layer, session.version - 1) is session
    assert recalled_mask(Session(), layer, 0).current is None
