"""What an edit tells: values that travel, and that stay right when they are looked at later."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from engine import EditOptions, EditRequest
from engine.events import PREVIEW_SIDE, Event, Finished, Painted, ScaleDone
from engine.request import Region
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

MASK = np.zeros((48, 64), bool)
MASK[10:40, 12:44] = True
SMALL = np.zeros_like(MASK)
SMALL[4:20, 40:60] = True
OPTIONS = EditOptions(seed=3, variations=2, structure=0, detail="model")


def asked() -> dict[str, EditRequest]:
    picture = noisy_rgb(64, 48)
    given = {"image": picture, "options": OPTIONS}
    regions = (Region(mask=MASK, label="hills"), Region(mask=SMALL, label="boat"))
    return {
        "inpaint": EditRequest(task="inpaint", mask=MASK, **given),
        "fast": EditRequest(
            task="inpaint", image=picture, mask=SMALL,
            options=OPTIONS.model_copy(update={"speed": "fast"}),
        ),
        "outpaint": EditRequest(task="outpaint", right=80, **given),
        "thing": EditRequest(task="edit_class", mask=MASK, label="bird", **given),
        "regions": EditRequest(task="edit_class", regions=regions, **given),
        "generate": EditRequest(task="generate", label="bird", options=OPTIONS),
    }  # fmt: skip


def shown(event: ScaleDone | Finished, count: int | None = None) -> list[bytes]:
    return [image.tobytes() for image in event.previews(count)]


def with_previews(events: list[Event]) -> list[ScaleDone | Finished]:
    return [event for event in events if isinstance(event, ScaleDone | Finished)]


@pytest.mark.parametrize("name", asked())
def test_a_preview_asked_for_late_is_the_one_asked_for_at_once(name: str) -> None:
    editor = tiny_editor({"bird": ["boat"]}, foresight=True)
    at_once = [
        shown(event)
        for event in editor.steps(asked()[name])
        if isinstance(event, ScaleDone | Finished)
    ]
    editor = tiny_editor({"bird": ["boat"]}, foresight=True)
    late = with_previews(list(editor.steps(asked()[name])))
    editor.run(asked()["outpaint"])  # whatever comes in between
    assert [shown(event) for event in late] == at_once
    assert [shown(event, 1) for event in reversed(late)] == [each[:1] for each in at_once[::-1]]
    assert len({each[-1] for each in at_once}) > 2, "they do differ"


@pytest.mark.parametrize("name", asked())
def test_events_travel_and_say_the_same(name: str) -> None:
    editor = tiny_editor({"bird": ["boat"]}, foresight=True)
    for event in editor.steps(asked()[name]):
        again = pickle.loads(pickle.dumps(event))
        assert type(again) is type(event)
        if isinstance(event, Finished):
            pairs = zip(again.result.images, event.result.images, strict=True)
            assert all(one.tobytes() == other.tobytes() for one, other in pairs)
            assert again.result.png(1) == event.result.png(1)
        else:
            assert repr(again) == repr(event)
        if isinstance(event, Painted):
            assert all(map(np.array_equal, again.pictures, event.pictures))
            for one, other in zip(again.seen, event.seen, strict=True):
                assert one.window == other.window and np.array_equal(one.pixels, other.pixels)
        elif isinstance(event, ScaleDone | Finished):
            assert shown(again) == shown(event) and shown(again, 1) == shown(event, 1)
            twice = pickle.loads(pickle.dumps(again))
            assert shown(twice) == shown(event)


def test_networks_do_not_travel() -> None:
    editor = tiny_editor()
    event = next(iter(editor.steps(asked()["inpaint"])))
    pictures = sum(len(each) for each in shown(event))  # type: ignore[arg-type]
    assert len(pickle.dumps(event)) < pictures + 5_000


def test_events_count_every_scale_of_every_frame_the_backdrops_too() -> None:
    editor = tiny_editor({"bird": ["boat"]}, foresight=True)
    *events, last = editor.steps(asked()["regions"])
    steps = [event for event in events if isinstance(event, ScaleDone)]
    painted = [event for event in events if isinstance(event, Painted)]
    assert [each.index for each in steps] == list(range(steps[0].of))
    assert [each.role for each in painted] == ["behind", "thing", "thing"]
    assert [each.frame for each in painted] == list(range(painted[0].frames))
    assert {each.frames for each in [*steps, *painted]} == {3}
    assert [len(each.pictures) for each in painted] == [1, 2, 2]
    assert painted[-1].scores == last.result.scores if isinstance(last, Finished) else False


def test_a_finished_edit_shows_its_results_scaled_down() -> None:
    editor = tiny_editor()
    picture = Image.new("L", (1536, 900), 90)
    mask = np.zeros((900, 1536), bool)
    mask[100:200, 200:300] = True
    *_, last = editor.steps(
        EditRequest(task="inpaint", image=picture, mask=mask, options=OPTIONS)
    )
    assert isinstance(last, Finished)
    assert [image.size for image in last.previews()] == [(PREVIEW_SIDE, 450)] * 2
    assert {image.mode for image in last.previews()} == {"RGB"}
    assert shown(last, 1) == shown(last)[:1] and last.previews(0) == []
    small = Image.fromarray(np.asarray(last.result.images[1]))
    assert small.size == (1536, 900) and small.mode == "L", "the result itself is as it was"
