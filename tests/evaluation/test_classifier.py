"""The classifier learns, and judges edits whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.errors import CheckpointError, RequestError
from engine.evaluation.classifier import (
    SIDE,
    DomainClassifier,
    Judge,
    crop_around,
    frechet_distance,
    kernel_distance,
)
from engine.evaluation.judge_training import Crops, main, train
from engine.evaluation.run import Evaluation, evaluate
from engine.evaluation.scenes import Scenes
from engine.evaluation.table import markdown
from engine.plan.labels import Labels
from engine.request.options import EditOptions
from engine.training.data import StickerSet
from engine.training.run import Budget
from tests.tiny import editor_of, tiny_var, tiny_vqvae


@pytest.fixture(scope="module")
def weights(sticker_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that a command trained for a few steps."""
    out = tmp_path_factory.mktemp("classifier") / "weights" / "tiny.safetensors"
    main(sticker_set, out=out, steps=2, count=50)
    return out


def test_a_crop_is_a_function_of_its_index(sticker_set: Path) -> None:
    first, again = (Crops(sticker_set, objects="train", scenes="val") for _ in range(2))
    other = Crops(sticker_set, objects="train", scenes="val", seed=1)
    labels = set()
    for index in range(40):
        crop, label = first[index]
        assert crop.shape == (SIDE, SIDE, 3) and crop.dtype == np.uint8
        assert np.array_equal(crop, again[index][0]) and label == again[index][1]
        labels.add(first.classes[label])
    assert not np.array_equal(first[0][0], other[0][0])
    assert labels == {"ball", "disc", "hills", "plain"}


def test_held_out_drawings_are_not_trained_on(sticker_set: Path) -> None:
    trained = Crops(sticker_set, objects="train", scenes="train")
    unseen = Crops(sticker_set, objects="val", scenes="val")
    assert not set(trained.bitmaps) & set(unseen.bitmaps)
    assert not set(trained.photos) & set(unseen.photos)


def test_a_folder_without_stickers_is_refused(picture_folder: Path) -> None:
    with pytest.raises(RequestError, match="not a sticker set"):
        Crops(picture_folder, objects="train", scenes="train")


def test_training_is_repeatable_and_learns(sticker_set: Path) -> None:
    runs = [train(sticker_set, budget=Budget(steps=3), batch=4, quiet=True)[0] for _ in range(2)]
    for one, other in zip(runs[0].parameters(), runs[1].parameters(), strict=True):
        assert torch.equal(one, other)
    crops = Crops(sticker_set, objects="train", scenes="train", seed=9)
    pixels, labels = crops.batch(0, 64)
    net, _ = train(sticker_set, budget=Budget(steps=40), batch=12, quiet=True)
    with torch.no_grad():
        losses = [
            float(torch.nn.functional.cross_entropy(each(pixels)[0], labels))
            for each in (runs[0], net)
        ]
    assert losses[1] < 0.9 * losses[0]


def test_weights_come_back_and_others_are_refused(weights: Path, tmp_path: Path) -> None:
    judge = Judge.load(weights)
    assert judge.classes == ("ball", "disc", "hills", "plain")
    assert Judge.for_classes(["ball"], weights) is not None
    assert Judge.for_classes(["unicorn"], weights) is None
    assert Judge.for_classes(["ball"], tmp_path / "none.safetensors") is None
    logits, features = judge.look([np.zeros((SIDE, SIDE, 3), np.uint8)] * 70)
    assert logits.shape == (70, 4) and np.isfinite(features).all()
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a classifier's weights"):
        Judge.load(broken)
    save_file(DomainClassifier(4).state_dict(), broken)
    with pytest.raises(CheckpointError, match="no class names"):
        Judge.load(broken)


def test_a_crop_holds_the_region_and_stays_inside() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    mask = np.zeros((100, 200), bool)
    mask[60:95, 170:195] = True
    picture[mask] = 255
    crop = crop_around(picture, mask)
    assert crop.shape == (SIDE, SIDE, 3)
    share = mask.sum() / round(35 * 1.15) ** 2
    assert crop.mean() / 255 == pytest.approx(share, rel=0.08)


def test_distances_of_sets_are_those_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (1500, 3)), rng.normal(0, 1, (1500, 3))
    far = rng.normal(0, 1, (1500, 3)) * 2 + 3
    assert frechet_distance(a, b) < 0.02
    assert frechet_distance(a, far) == pytest.approx(3 * 9 + 3 * (2 - 1) ** 2, rel=0.08)
    assert abs(kernel_distance(a, b)) < 0.05 < 1 < kernel_distance(a, far)
    few = [kernel_distance(a[i : i + 10], b[i : i + 10]) for i in range(0, 1500, 10)]
    error = np.std(few) / len(few) ** 0.5
    assert abs(np.mean(few)) < 3 * error < 1  # unbiased at any size


def test_scenes_have_what_they_say(sticker_set: Path) -> None:
    unseen, known = (StickerSet(sticker_set, side=64, split=s) for s in ("val", "train"))
    scenes = Scenes(unseen, known, seed=0)
    for index in range(6):
        removal, edit = scenes.removal(index), scenes.class_edit(index)
        again = scenes.removal(index)
        assert np.array_equal(removal.picture, again.picture) and removal.label == again.label
        outside = removal.picture[~removal.mask]
        assert (outside == outside[0]).all(), "a part of the sticker is not covered"
        assert 0.03 < removal.mask.mean() < 0.5
        changed = (edit.with_sticker != edit.picture).any(-1)
        assert changed.any() and not (changed & ~edit.mask).any()
        assert edit.label in ("ball", "disc") and edit.finer.startswith("concept")


def test_an_evaluation_judges_class_edits_and_removals(sticker_set: Path, weights: Path) -> None:
    names = ["ball", "disc", "hills", "concept 0", "concept 1"]
    editor = editor_of(tiny_vqvae(), tiny_var(), Labels(names))
    *_, last = evaluate(
        editor, sticker_set, count=3, seed=0, options=EditOptions(), families=("box", "thin"),
        classifier=weights,
    )  # fmt: skip
    assert isinstance(last, Evaluation) and last.report is not None
    report = last.report
    for found in report["families"].values():
        assert np.isfinite(found["frechet"]) and np.isfinite(found["kernel"])
    assert np.isfinite(report["baselines"]["telea"]["box"]["kernel"])
    assert 0 <= report["class_edit"]["top1"] <= report["class_edit"]["top5"] <= 1
    assert 0 <= report["removal"]["found"] <= 1
    assert set(report["removal"]) == {"found", "default", "paper", "telea", "unedited"}
    assert "Removals: the removed class is still seen in" in markdown(report)


def test_a_model_of_other_classes_is_not_judged(sticker_set: Path, weights: Path) -> None:
    editor = editor_of(tiny_vqvae(), tiny_var(), Labels(list("abcde")))
    *_, last = evaluate(
        editor, sticker_set, count=1, seed=0, options=EditOptions(), families=("box",),
        classifier=weights,
    )  # fmt: skip
    assert isinstance(last, Evaluation) and last.report is not None
    assert last.report["class_edit"] == {"top1": None}
