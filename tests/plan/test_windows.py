"""Where the model looks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MaskError
from engine.plan.windows import MAX_FRAMES, box_of, march, place_window, windows_for


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    width, height = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    return (width, height), (x0, y0, x1, y1)


@given(
    boxes(), st.sampled_from(["auto", "whole", 0, 10, 5000]), st.sampled_from([32, 256]),
    st.booleans(),
)  # fmt: skip
def test_the_window_holds_the_box_and_leaves_the_canvas_only_where_it_must(
    canvas_and_box: tuple[tuple[int, int], tuple[int, int, int, int]],
    context: str | int,
    side: int,
    filling: bool,
) -> None:
    (width, height), box = canvas_and_box
    window = place_window(box, width, height, side=side, context=context, filling=filling)
    left, top, right, bottom = window.within(width, height)
    assert left <= box[0] and top <= box[1] and right >= box[2] and bottom >= box[3]
    if filling and context == "auto":  # where models draw objects, whatever the canvas
        middle = (window.left + window.side / 2, window.top + window.side / 2)
        wanted = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        assert middle == pytest.approx(wanted, abs=0.5)
        return
    assert window.side <= max(width, height)
    if window.side <= width:
        assert window.left >= 0 and window.left + window.side <= width
    if window.side <= height:
        assert window.top >= 0 and window.top + window.side <= height


def test_auto_gives_context_and_whole_the_whole_picture() -> None:
    box = (500, 500, 600, 560)
    assert place_window(box, 2000, 1000, side=256).side == 256
    assert place_window((400, 300, 700, 500), 2000, 1000, side=256).side == 600
    assert place_window(box, 2000, 1000, side=256, context="whole").side == 2000
    assert place_window(box, 2000, 1000, side=256, context=30).side == 160


@pytest.mark.parametrize("longest", [60, 100, 180, 300, 700])
@pytest.mark.parametrize(("aspect", "share"), [(1, 0.8), (1.25, 0.8), (1.5, 0.9), (3, 1)])
def test_an_object_drawn_anew_has_room_in_the_middle_of_its_frame(
    longest: int, aspect: float, share: float
) -> None:
    box = (1000 - longest // 2, 700, 1000 + longest // 2, 700 + round(longest / aspect))
    window = place_window(box, 2000, 1600, side=256, filling=True)
    assert longest / window.side == pytest.approx(share, abs=0.02) or window.side == 64
    middle = (window.left + window.side / 2, window.top + window.side / 2)
    assert middle == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=1)


def test_a_speck_is_not_enlarged_without_end() -> None:
    assert place_window((100, 100, 103, 103), 900, 900, side=256, filling=True).side == 64


@given(boxes(), st.sampled_from([16, 64, 256]))
def test_marching_paints_all_that_is_new_and_always_sees_something_known(
    canvas_and_box: tuple[tuple[int, int], tuple[int, int, int, int]], side: int
) -> None:
    (width, height), known = canvas_and_box
    done = np.zeros((height, width), bool)
    done[known[1] : known[3], known[0] : known[2]] = True
    for window in march(known, (width, height), side=side):
        left, top, right, bottom = window.within(width, height)
        part = done[top:bottom, left:right]
        assert part.size and not part.all(), "a window with nothing to do"
        assert part.any(), "a window that sees nothing known"
        done[top:bottom, left:right] = True
    assert done.all()


def test_a_small_extension_of_a_square_takes_one_frame_and_a_long_one_several() -> None:
    assert len(march((0, 0, 256, 256), (384, 256), side=256)) == 1
    assert len(march((64, 64, 256, 256), (320, 320), side=256)) == 1
    assert len(march((0, 0, 256, 256), (1024, 256), side=256)) == 6


@given(st.data(), st.sampled_from(["auto", "whole", 0, 20]))
def test_the_windows_of_a_mask_hold_all_of_it(data: st.DataObject, context: str | int) -> None:
    width, height = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 400))
    mask = np.zeros((height, width), bool)
    for _ in range(data.draw(st.integers(1, 6))):
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        mask[y : y + data.draw(st.integers(1, 90)), x : x + data.draw(st.integers(1, 90))] = True
    windows = windows_for(mask, side=32, context=context)
    assert 1 <= len(windows) <= MAX_FRAMES
    for window in windows:
        left, top, right, bottom = window.within(width, height)
        assert mask[top:bottom, left:right].any(), "a window with nothing to do"
        mask[top:bottom, left:right] = False
    assert not mask.any()


def test_far_parts_get_a_frame_each_and_near_ones_share() -> None:
    mask = np.zeros((3000, 4000), bool)
    mask[100:200, 100:200] = mask[2700:2800, 3700:3900] = True
    assert [w.side for w in windows_for(mask, side=256)] == [256, 400]
    assert len(windows_for(mask, side=256, context="whole")) == 1
    near = np.zeros((3000, 4000), bool)
    near[100:200, 100:200] = near[100:200, 210:300] = True
    assert len(windows_for(near, side=256)) == 1


def test_a_part_that_a_square_would_cut_shares_it() -> None:
    """Two parts, 52 pixels apart: the square of the left one reaches 12 pixels into the other."""
    mask = np.zeros((2000, 2000), bool)
    mask[800:928, 800:928] = mask[800:928, 980:1108] = True
    assert [w.side for w in windows_for(mask, side=256)] == [616]
    mask[800:928, 980:1108] = False
    mask[800:928, 1100:1228] = True  # beyond the square of the left one
    assert [w.side for w in windows_for(mask, side=256)] == [256, 256]


def test_a_square_may_reach_into_what_is_painted_by_then() -> None:
    """It sees that as it was painted, and leaves it as it is."""
    mask = np.zeros((3000, 3000), bool)
    mask[100:300, 100:300] = mask[100:400, 420:720] = True  # the second square, not the first
    assert [w.side for w in windows_for(mask, side=256)] == [400, 600]
    other = np.zeros((3000, 3000), bool)
    other[100:400, 200:500] = other[100:300, 620:820] = True  # the first one would cut the second
    assert [w.side for w in windows_for(other, side=256)] == [1240]


@given(st.data(), st.sampled_from(["auto", 0, 20]), st.booleans())
def test_every_part_is_painted_whole_by_one_window(
    data: st.DataObject, context: str | int, filling: bool
) -> None:
    width, height = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 400))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(data.draw(st.integers(1, 6))):
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        mask[y : y + data.draw(st.integers(1, 90)), x : x + data.draw(st.integers(1, 90))] = 1
    count, parts = cv2.connectedComponents(mask, connectivity=8)
    left_to_paint = set(range(1, count))
    for window in windows_for(mask > 0, side=32, context=context, filling=filling):
        left, top, right, bottom = window.within(width, height)
        for part in left_to_paint & set(np.unique(parts[top:bottom, left:right])):
            assert (parts[top:bottom, left:right] == part).sum() == (parts == part).sum(), "cut"
            left_to_paint.discard(part)
    assert not left_to_paint


def test_an_empty_mask_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(MaskError, match="empty; paint over"):
        box_of(np.zeros((4, 4), bool))
