"""The exemplar fill: planted answers, what it leaves alone, and that it repeats itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.paint.exemplar.areas import areas
from engine.paint.exemplar.evenness import unevenness
from engine.paint.exemplar.filling import Piece, fill, filling
from engine.paint.exemplar.grid import Grid
from engine.paint.exemplar.matching import Field
from engine.paint.exemplar.patches import SIZE, vectors
from engine.paint.exemplar.pyramid import Level
from engine.paint.exemplar.settings import Settings

RGB = NDArray[np.uint8]


def stripes(height: int = 96, width: int = 128, period: int = 16) -> RGB:
    """Vertical bars with soft edges."""
    wave = 128 + 90 * np.sin(np.arange(width) * 2 * np.pi / period)
    return np.broadcast_to(wave[None, :, None], (height, width, 3)).astype(np.uint8).copy()


def middle(picture: RGB, size: int = 32) -> NDArray[np.bool_]:
    hole = np.zeros(picture.shape[:2], bool)
    top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
    hole[top : top + size, left : left + size] = True
    return hole


def filled(picture: RGB, hole: NDArray[np.bool_], pieces: list[Piece]) -> RGB:
    canvas = np.where(hole[..., None], 0, picture).astype(np.uint8)
    for piece in pieces:
        piece.paste(canvas)
    return canvas


def noise(seed: int = 0, height: int = 120, width: int = 150) -> RGB:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_distance_of_vectors_is_that_of_smooth_patches() -> None:
    y, x = np.mgrid[:32, :32].astype(np.float32)
    picture = np.stack([100 + 2 * x, 80 + y, 90 + x + y], 2).astype(np.float32)
    found = vectors(picture)
    one, other = (10, 12), (20, 15)
    half = SIZE // 2
    cut = [picture[r - half : r + half + 1, c - half : c + half + 1] for r, c in (one, other)]
    wanted = float(((cut[0] - cut[1]) ** 2).sum(2).mean())
    assert float(((found[one] - found[other]) ** 2).sum()) == pytest.approx(wanted, rel=0.01)


def test_a_pattern_goes_on_through_the_hole() -> None:
    picture = stripes()
    hole = middle(picture)
    done = filled(picture, hole, fill(picture, hole, seed=1))
    assert np.abs(done.astype(int) - picture)[hole].mean() < 6


def test_the_more_what_was_drawn_counts_the_more_it_says_what_is_where() -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:, :80], picture[:, 80:] = (200, 60, 40), (40, 70, 190)
    hole = np.zeros(picture.shape[:2], bool)
    hole[40:80, 50:110] = True
    red, blue = picture.copy(), picture.copy()
    red[hole], blue[hole] = (190, 70, 50), (50, 80, 180)

    def share_of_red(drawn: RGB, guide: float) -> float:
        pieces = fill(picture, hole, drawn, seed=1, settings=Settings(guide=guide))
        return float((filled(picture, hole, pieces)[hole][:, 0] > 120).mean())

    apart = [share_of_red(red, guide) - share_of_red(blue, guide) for guide in (0.0, 0.3, 2.0)]
    assert apart[0] == 0 < apart[1] < apart[2]
    assert apart[2] > 0.8


def test_only_the_hole_is_written_and_nothing_given_is_changed() -> None:
    picture = noise()
    hole = middle(picture, 40)
    before, mask = picture.copy(), hole.copy()
    done = filled(picture, hole, fill(picture, hole, picture, seed=3))
    assert (done[~hole] == picture[~hole]).all()
    assert (picture == before).all()
    assert (hole == mask).all()


@pytest.mark.parametrize("size", [(120, 150), (700, 640)])
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(
    size: tuple[int, int],
) -> None:
    picture = noise(1, *size)
    hole = middle(picture, min(size) // 2)
    count = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(filled(picture, hole, fill(picture, hole, picture, seed=5)))
    finally:
        torch.set_num_threads(count)
    assert (found[0] == found[1]).all()


def test_another_seed_gives_another_answer() -> None:
    picture = noise(2)
    hole = middle(picture, 50)
    one, other = (filled(picture, hole, fill(picture, hole, seed=seed)) for seed in (1, 2))
    assert (one != other).any()


def test_what_the_hole_hid_does_not_matter() -> None:
    picture = noise(3)
    hole = middle(picture, 40)
    hidden = np.where(hole[..., None], 255, picture).astype(np.uint8)
    one, other = (filled(p, hole, fill(p, hole, seed=1)) for p in (picture, hidden))
    assert (one == other).all()


def test_a_flat_picture_stays_flat_over_any_length() -> None:
    known = np.random.default_rng(0).normal(128, 2, (96, 96, 3)).round()
    picture = np.zeros((96, 480, 3), np.uint8)
    picture[:, :96] = known
    hole = np.ones(picture.shape[:2], bool)
    hole[:, :96] = False
    done = filled(picture, hole, fill(picture, hole, seed=1)).astype(float)
    assert np.abs(done.mean(axis=(0, 2)) - 128).max() < 3
    assert done[:, -100:].std() > 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 3), (5, 20), (8, 8)])
def test_a_picture_too_small_to_say_anything_has_no_pieces(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 90, np.uint8)
    hole = np.zeros(shape, bool)
    hole[-1, -1] = True
    assert fill(picture, hole, picture) == []


def test_nothing_known_or_nothing_to_fill_has_no_pieces() -> None:
    picture = noise()
    assert fill(picture, np.ones(picture.shape[:2], bool)) == []
    assert fill(picture, np.zeros(picture.shape[:2], bool)) == []


def test_holes_far_apart_are_filled_one_by_one_and_all_of_them() -> None:
    picture = noise(4, 400, 500)
    hole = np.zeros(picture.shape[:2], bool)
    hole[10:40, 20:50] = hole[350:390, 430:470] = True
    found = areas(hole)
    assert len(found) == 2
    assert sum(int(area.wanted.sum()) for area in found) == hole.sum()
    pieces = fill(picture, hole, seed=1)
    covered = np.zeros_like(hole)
    for piece in pieces:
        left, top, right, bottom = piece.box
        covered[top:bottom, left:right] |= piece.wanted
    assert (covered == hole).all()


def test_the_surroundings_of_a_hole_go_by_its_size_not_its_length() -> None:
    """A wire across a large photo needs no more to be filled from than a spot."""
    hole = np.zeros((2000, 3000), bool)
    hole[1000:1300, 1000:1300] = True
    (square,) = areas(hole)
    wire = np.zeros_like(hole)
    wire[1000:1016, 200:2800] = True
    (long,) = areas(wire)
    assert square.box == (1000 - 182, 1000 - 182, 1304 + 182, 1304 + 182)  # in cells of 8
    left, top, right, bottom = long.box
    assert left == 200 - (1000 - top) and right - 2800 == bottom - 1016 > 96
    assert bottom - top < 300


def test_a_level_of_too_many_pixels_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.paint.exemplar.filling.LARGEST_SEEN", 5000)
    picture = stripes(120, 160)
    hole = middle(picture, 40)
    searched = set[int]()
    vote = Grid.vote

    def noting(grid: Grid) -> None:
        searched.add(grid.level.hole.size)
        vote(grid)

    monkeypatch.setattr(Grid, "vote", noting)
    done = filled(picture, hole, fill(picture, hole, seed=1))
    assert searched and max(searched) <= 5000
    assert np.abs(done.astype(int) - picture)[hole].mean() < 6


def test_patches_are_the_same_in_tiles_as_in_one_piece() -> None:
    picture = noise(8, 300, 340).astype(np.float32)
    hole = np.zeros(picture.shape[:2], bool)
    hole[5:290, 120:140] = hole[250:260, 0:340] = True  # over tiles' edges, and at the border
    grid = Grid(Level(picture, hole, picture, 1.0), Settings(), unit=340, starts=2)
    grid.pictures[:] = picture
    whole = vectors(picture)[grid.level.target]
    for start in grid.wanted().view(2, len(whole), -1).numpy():
        assert np.allclose(start[:, : whole.shape[1]], whole, atol=1e-3)
        assert (start[:, whole.shape[1] :] == grid.fixed[grid.level.target]).all()


def test_it_can_be_stopped_between_any_two_rounds() -> None:
    picture = noise(5)
    hole = middle(picture, 60)
    work = filling(picture, hole, picture, seed=1)
    done = [next(work) for _ in range(5)]
    assert done == sorted(done)
    assert all(0 <= share < 1 for share in done)
    work.close()


@pytest.mark.parametrize("starts", [1, 3])
def test_matches_are_sources_and_a_copied_patch_is_found(starts: int) -> None:
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (80, 80, 3)).astype(np.float32)
    picture[30:50, 10:30] = picture[30:50, 50:70]
    target, source = np.zeros((80, 80), bool), np.zeros((80, 80), bool)
    target[34:46, 14:26] = True
    source[20:60, 40:70] = True
    field = Field.build(target, source, starts)
    field.settle(torch.full_like(field.places, -1), generator)
    all_of_it = torch.from_numpy(vectors(picture)).reshape(6400, -1)
    wanted = all_of_it[field.targets].repeat(starts, 1)
    field.measure(wanted, all_of_it)
    for _ in range(12):
        field.sweep(wanted, all_of_it, generator, (0, 20, 7, 2), 0.35)
        assert source.reshape(-1)[field.match[field.places].numpy()].all()
    for start in range(starts):
        alone = field.only(start)
        assert (alone.match[alone.targets] == alone.targets + 40).float().mean() > 0.95
        assert (field.match.view(starts, -1)[start] == alone.match).all()


def test_searches_side_by_side_know_nothing_of_each_other() -> None:
    """What one of them has found is offered to its own neighbours only."""
    target, source = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    target[20:40, 20:30] = True
    source[20:40, 32:44] = True
    field = Field.build(target, source, 2)
    places = field.targets + 12
    field.match[field.places] = torch.cat([places, torch.full_like(places, 20 * 60 + 43)])
    flat = torch.zeros(3600, 3)
    flat[20 * 60 + 43] = 1000.0  # where the second one's matches are, which nobody would take
    wanted = flat[field.targets].repeat(2, 1)
    field.measure(wanted, flat)
    assert field.distance.view(2, -1).mean(1).tolist() == [0.0, 3e6]
    field.sweep(wanted, flat, np.random.default_rng(0), (), 0.35)
    assert (field.only(0).match[field.targets] == places).all()
    assert field.only(1).distance.mean() > 0  # nothing better was near


def test_the_most_even_of_the_starts_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(6)
    hole = middle(picture, 60)
    told, kept = [], []
    only = Grid.only

    def asked(seen: NDArray[np.float32], within: NDArray[np.bool_]) -> float:
        told.append(unevenness(seen, within))
        return told[-1]

    def noting(grid: Grid, start: int) -> None:
        kept.append(start)
        only(grid, start)

    monkeypatch.setattr("engine.paint.exemplar.filling.unevenness", asked)
    monkeypatch.setattr(Grid, "only", noting)
    fill(picture, hole, seed=1, settings=Settings(starts=5))
    assert len(told) == 5 == len(set(told))
    assert kept == [int(np.argmin(told))]
    told.clear()
    fill(picture, hole, seed=1, settings=Settings(starts=1))
    assert not told


def test_texture_that_goes_on_is_more_even_than_texture_that_ends() -> None:
    hole = np.zeros((96, 96), bool)
    hole[24:72, 24:72] = True
    rough = noise(7, 96, 96).astype(np.float32)
    calm = np.full_like(rough, 128)
    half = rough.copy()
    half[:, 48:] = 128
    darker = rough * 0.5 + np.where(np.arange(96) < 48, 0, 90)[None, :, None]  # another light only
    ends, goes_on = unevenness(half, hole), unevenness(rough, hole)
    assert unevenness(calm, hole) == 0
    assert ends > 1.5 * goes_on
    assert unevenness(darker.astype(np.float32), hole) < ends


def test_a_strip_lower_than_a_patch_is_filled_from_its_length() -> None:
    picture = np.full((5, 200, 3), 90, np.uint8)
    hole = np.zeros(picture.shape[:2], bool)
    hole[:, 150:160] = True
    assert (filled(picture, hole, fill(picture, hole, seed=1)) == 90).all()


def test_it_is_filled_in_one_thread_and_the_others_are_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where others want the cores, several threads wait for each other at every small operator."""
    before, seen = torch.get_num_threads(), set[int]()
    vote = Grid.vote

    def noting(grid: Grid) -> None:
        seen.add(torch.get_num_threads())
        vote(grid)

    monkeypatch.setattr(Grid, "vote", noting)
    picture = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    hole = np.zeros((60, 60), bool)
    hole[25:35, 25:35] = True
    try:
        torch.set_num_threads(2)
        fill(picture, hole)
        assert seen == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
