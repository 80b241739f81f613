"""From a mask to what is regenerated at each scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.arrays import Floats
from engine.draw.maps import coverage, finest_keep, paper_maps, regenerate_maps
from engine.model.spec import SCALES_256
from engine.plan.shapes import hides_middle, holds_thing, surrounds

DOUBLING = (1, 2, 4, 8, 16)


def centred_box(side: int, share: float) -> Tensor:
    """A centred square that covers ``share`` of the picture."""
    mask = torch.zeros(side, side)
    half = round(side * share**0.5 / 2)
    middle = side // 2
    mask[middle - half : middle + half, middle - half : middle + half] = 1
    return mask


def counts(maps: list[Tensor]) -> list[int]:
    return [int(m.sum()) for m in maps]


def test_coverage_is_the_masked_share_of_each_cell() -> None:
    mask = torch.zeros(8, 8)
    mask[:4, :2] = 1
    assert coverage(mask, 2).tolist() == [[0.5, 0], [0, 0]]
    assert coverage(mask, 1).item() == 8 / 64


def test_the_paper_rule_skips_a_scale_on_the_way_down_as_known() -> None:
    """Counts from the facts about VAR: a centred 6 % box at 256 px."""
    mask = centred_box(256, 0.0625)
    maps = paper_maps(finest_keep(mask, SCALES_256), SCALES_256)
    assert counts(maps) == [0, 0, 1, 0, 1, 4, 4, 4, 9, 16]


def test_no_scale_is_skipped_once_something_is_regenerated() -> None:
    for share in (0.01, 0.0625, 0.2, 0.5, 0.9):
        for scales in (SCALES_256, DOUBLING):
            regenerated = [c > 0 for c in counts(regenerate_maps(centred_box(256, share), scales))]
            first = regenerated.index(True)
            assert all(regenerated[first:]), (share, scales)


def test_everything_masked_regenerates_everything_and_nothing_nothing() -> None:
    full = regenerate_maps(torch.ones(64, 64), DOUBLING)
    assert counts(full) == [side * side for side in DOUBLING]
    assert counts(regenerate_maps(torch.zeros(64, 64), DOUBLING)) == [0] * 5


def test_structure_keeps_the_first_scales_but_never_the_last() -> None:
    maps = regenerate_maps(torch.ones(64, 64), DOUBLING, structure=3)
    assert counts(maps) == [0, 0, 0, 64, 256]
    assert counts(regenerate_maps(torch.ones(64, 64), DOUBLING, structure=99))[-1] == 256


def test_a_single_masked_pixel_regenerates_one_fine_token() -> None:
    mask = torch.zeros(256, 256)
    mask[100, 37] = 1
    maps = regenerate_maps(mask, DOUBLING)
    assert counts(maps) == [0, 0, 0, 0, 1]
    assert maps[-1].view(16, 16)[100 // 16, 37 // 16]


def test_the_finest_map_covers_the_mask() -> None:
    mask = centred_box(256, 0.3)
    finest = regenerate_maps(mask, DOUBLING)[-1].view(16, 16)
    assert bool((finest | (coverage(mask, 16) <= 0.02)).all())


def test_a_mask_hides_the_middle_or_does_not() -> None:
    mask = torch.zeros(16, 16)
    mask[:, :8] = 1
    assert not hides_middle(mask)
    mask[:, :10] = 1
    assert hides_middle(mask)


def test_a_hole_surrounds_the_known_area_or_does_not() -> None:
    hole = np.zeros((16, 16), bool)
    hole[4:, :] = True  # three sides, and the corners of the fourth
    assert not surrounds(hole)
    hole[:4, 2:14] = hole[:4, 14:] = True
    assert surrounds(hole)
    hole[:] = False
    hole[:, 1:-1] = True  # all of it but two sides
    assert not surrounds(hole)


def test_a_thing_is_wanted_in_a_mask_in_one_piece_around_the_middle() -> None:
    def mask(*boxes: tuple[int, int, int, int]) -> Floats:
        found = np.zeros((64, 64), np.float32)
        for top, left, bottom, right in boxes:
            found[top:bottom, left:right] = 1
        return found

    band = mask((26, 2, 38, 62))
    assert holds_thing(band) and holds_thing(band.T) and not hides_middle(band)
    assert holds_thing(mask((10, 10, 54, 54)))
    assert not holds_thing(mask()), "nothing"
    assert not holds_thing(mask((27, 2, 37, 62), (2, 27, 62, 37))), "strokes that cross"
    assert not holds_thing(mask((0, 30, 64, 64))), "half of the frame"
    assert not holds_thing(1 - mask((16, 16, 48, 48))), "a known middle"
    assert not holds_thing(mask((28, 28, 36, 36))), "too small to be told"
