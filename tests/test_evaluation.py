"""The evaluation measures what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import RequestError
from engine.evaluation.families import FAMILIES, make_mask
from engine.evaluation.metrics import edge_gradient, interval, perceptual, psnr, ssim
from engine.evaluation.run import Evaluation, evaluate
from engine.evaluation.table import contact_sheet, markdown
from engine.request import EditOptions
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, tiny_editor


def test_families_have_their_sizes_and_follow_the_seed() -> None:
    shares = {}
    for name in FAMILIES:
        masks = [make_mask(name, 64, np.random.default_rng(seed)) for seed in range(40)]
        again = make_mask(name, 64, np.random.default_rng(0))
        assert np.array_equal(masks[0], again) and masks[0].shape == (64, 64)
        shares[name] = np.mean([mask.mean() for mask in masks])
    assert shares["box"] == 0.25 and shares["half"] == 0.5 and shares["expand"] == 0.75
    assert 0.02 < shares["thin"] < shares["thick"] < 0.5


def test_distances_are_zero_for_the_same_and_grow_with_the_difference() -> None:
    picture = np.asarray(noisy_rgb(64, 64)).astype(np.float64)
    everywhere = np.ones((64, 64), bool)
    assert perceptual(picture, picture, everywhere) == 0
    near, far = np.clip(picture + 10, 0, 255), np.clip(picture + 60, 0, 255)
    assert 0 < perceptual(picture, near, everywhere) < perceptual(picture, far, everywhere) <= 1
    assert psnr(picture, picture + 10) == pytest.approx(20 * np.log10(25.5))
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, picture + np.random.default_rng(0).normal(0, 50, picture.shape)) < 0.8


def test_only_what_is_inside_counts() -> None:
    picture = np.full((32, 32, 3), 100.0)
    wrong = picture.copy()
    wrong[:, :8] = 200
    right = np.zeros((32, 32), bool)
    right[:, 24:] = True
    assert psnr(picture, wrong, right) == pytest.approx(psnr(picture, picture, right))
    assert perceptual(picture, wrong, right) < 0.01


def test_the_seam_is_the_step_across_the_masks_edge() -> None:
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    picture = np.zeros((16, 16, 3))
    picture[mask] = 30
    assert edge_gradient(picture, mask) == 30
    assert edge_gradient(picture, ~mask) == 30


def test_an_interval_holds_the_mean_and_narrows_with_the_count() -> None:
    rng = np.random.default_rng(0)
    few, many = (interval(list(rng.normal(5, 1, n)), rng) for n in (20, 2000))
    assert few[0] < 5 < few[1] and many[1] - many[0] < few[1] - few[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures by class; the class names are the tiny model's."""
    for number, name in enumerate(LABELS[:2]):
        (tmp_path / name).mkdir()
        for index in range(10):
            noisy_rgb(40, 40, seed=10 * number + index).save(tmp_path / name / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize("labelled", [False, True])
def test_an_evaluation_reports_every_family_and_baseline(folder: Path, labelled: bool) -> None:
    outcome, progress = None, []
    for update in evaluate(
        tiny_editor(), folder, count=2, seed=3, options=EditOptions(), labelled=labelled
    ):
        if isinstance(update, Evaluation):
            outcome = update
        else:
            progress.append(update)
    assert progress == sorted(progress) and progress[-1] == 1
    assert outcome is not None
    report = outcome.report
    assert set(report["families"]) == set(FAMILIES) == set(report["baselines"]["telea"])
    for found in report["families"].values():
        low, high = found["perceptual_interval"]
        assert 0 <= low <= found["perceptual"] <= high <= 1
        assert found["diversity"] >= 0 and np.isfinite(found["seam"])
    table = markdown(report)
    assert all(f"| {name} |" in table for name in FAMILIES)
    assert contact_sheet(outcome.rows["box"]).size == (4 * 36, 2 * 36)


def test_missing_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such data folder"):
        list(evaluate(tiny_editor(), tmp_path / "no", count=1, seed=0, options=EditOptions()))
