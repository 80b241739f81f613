"""The evaluation measures what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import flip_evaluator
import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

from engine.editor import Editor
from engine.errors import RequestError
from engine.evaluation.edits import Case
from engine.evaluation.families import FAMILIES, make_mask
from engine.evaluation.flip import flip, see
from engine.evaluation.levers import DEFAULT, PAPER, rows_for
from engine.evaluation.metrics import edge_gradient, interval, perceptual, psnr, ssim
from engine.evaluation.records import Records, packed, unpacked
from engine.evaluation.run import Evaluation, Share, ablate, evaluate
from engine.evaluation.sheets import make_sheets
from engine.evaluation.table import ablation_markdown, markdown
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.request.options import LEVERS, EditOptions
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, tiny_editor

QUICK = EditOptions(detail="model")


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


@pytest.mark.parametrize("blurred", [False, True])
def test_flip_is_the_authors_own(blurred: bool) -> None:
    first = np.asarray(noisy_rgb(96, 80)).astype(np.float32)
    other = np.asarray(noisy_rgb(96, 80, seed=5)).astype(np.float32)[:, ::-1]
    if blurred:
        other = (first + np.roll(first, 1, 0) + np.roll(first, 1, 1)) / 3
    theirs, _, _ = flip_evaluator.evaluate(
        np.ascontiguousarray(first / 255), np.ascontiguousarray(other / 255), "LDR",
        applyMagma=False, computeMeanError=False,
    )  # fmt: skip
    ours = flip(see(first), see(other))
    assert np.abs(ours - np.asarray(theirs)[..., 0]).max() < 1e-3
    assert abs(float(ours.mean() - np.asarray(theirs).mean())) < 1e-5


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
    assert interval([3.0, 3.0], rng) == [3, 3] and interval([2.0], rng) == [2, 2]


def test_an_interval_of_skewed_values_leans_their_way() -> None:
    """A percentile interval of these is too low: it holds the mean in 90 % of samples of 20."""
    sample = np.random.default_rng(0).exponential(size=60)
    low, high = interval(sample.tolist(), np.random.default_rng(0))
    assert high - sample.mean() > 1.1 * (sample.mean() - low)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures by class; the class names are the tiny model's."""
    for number, name in enumerate(LABELS[:2]):
        (tmp_path / name).mkdir()
        for index in range(10):
            noisy_rgb(40, 40, seed=10 * number + index).save(tmp_path / name / f"{index}.png")
    return tmp_path


def report_of(updates) -> dict | None:
    """The report that a run of the evaluation ends with, its progress checked."""
    *progress, last = updates
    assert progress == sorted(progress) and progress[-1] == 1
    assert isinstance(last, Evaluation)
    return last.report


@pytest.mark.parametrize("labelled", [False, True])
def test_an_evaluation_reports_every_family_and_baseline(folder: Path, labelled: bool) -> None:
    report = report_of(
        evaluate(tiny_editor(), folder, count=2, seed=3, options=QUICK, labelled=labelled)
    )
    assert report is not None
    assert set(report["families"]) == set(FAMILIES) == set(report["baselines"]["telea"])
    for found in report["families"].values():
        low, high = found["perceptual_interval"]
        assert 0 <= low <= found["perceptual"] <= high <= 1
        assert found["diversity"] >= 0 and np.isfinite(found["seam"])
    assert 0 < report["reconstruction"]["codes_used"] <= 1
    assert report["class_edit"] == {"top1": None} and report["removal"] == {"found": None}
    table = markdown(report)
    assert all(f"| {name} |" in table for name in FAMILIES)
    assert json.loads(json.dumps(report))["families"] == report["families"]


def test_parts_in_any_order_make_the_same_report_as_one_run(folder: Path, tmp_path: Path) -> None:
    def run(share: Share, count: int = 3) -> dict | None:
        return report_of(
            ablate(
                tiny_editor(), folder, count=count, seed=3, options=QUICK,
                only=(PAPER, "blend none", DEFAULT), families=("box", "thin"), share=share,
            )
        )  # fmt: skip

    work = tmp_path / "work"
    assert run(Share(work, 2, 2)) is None
    shared = run(Share(work, 1, 2))
    alone = run(Share())
    assert shared is not None and alone is not None
    shared.pop("seconds"), alone.pop("seconds")
    assert shared == alone
    measured = [path.stat().st_mtime_ns for path in sorted(work.glob("*.jsonl"))]
    assert run(Share(work), count=2) is not None
    assert measured == [path.stat().st_mtime_ns for path in sorted(work.glob("*.jsonl"))]


class Packed(nn.Module):
    """A layer that shows an empty weight, as a packed one does; this one works anywhere."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.layer = layer.weight.detach().new_empty(0), layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.parametrize("part", ["word_embed.weight", "pos_1LC"])
def test_another_packed_model_does_not_go_on_with_the_first_ones_lines(
    part: str, folder: Path, tmp_path: Path
) -> None:
    def run(editor: Editor) -> None:
        editor.model.var.head = Packed(editor.model.var.head)  # type: ignore[assignment]
        settings = {"count": 1, "seed": 0, "options": QUICK, "families": ("box",)}
        list(evaluate(editor, folder, share=Share(tmp_path / "work"), **settings))

    run(tiny_editor())
    run(tiny_editor())
    other = tiny_editor()
    other.model.var.get_parameter(part).data.mul_(1.1)
    with pytest.raises(RequestError, match="other settings"):
        run(other)


def test_a_part_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    records = Records(tmp_path, {"seed": 1})
    records.add({"index": 0})
    with (tmp_path / "part-1-of-1.jsonl").open("a") as stream:
        stream.write('{"index": 1, "who')
    again = Records(tmp_path, {"seed": 1})
    assert list(again.mine(3)) == [1, 2]
    again.add({"index": 1})
    again.add({"index": 2})
    assert Records(tmp_path, {"seed": 1}).complete(3)
    with pytest.raises(RequestError, match="other settings"):
        Records(tmp_path, {"seed": 2})


def test_packed_arrays_come_back() -> None:
    assert np.array_equal(unpacked(packed(np.array([1.5, -2.0]))), [1.5, -2.0])
    assert np.array_equal(unpacked(packed(np.array([4095, 0]), "uint16"), "uint16"), [4095, 0])


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "a/b"])
def test_a_part_that_cannot_be_is_refused(part: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="such as 1/2"):
        Share.parse(tmp_path, part)
    with pytest.raises(RequestError, match="give --work"):
        Share.parse(None, "1/2")


def test_an_ablation_has_paper_first_the_default_last_and_a_row_a_lever(folder: Path) -> None:
    card = tiny_editor().card
    rows = rows_for("labelled", card)
    assert next(iter(rows)) == PAPER and list(rows)[-1] == DEFAULT
    assert rows["fill none"] == {"fill": "none"} and "fill push pull" not in rows, "the default"
    assert "guidance schedule falling" in rows
    assert "guidance schedule falling" not in rows_for("unlabelled", card), "nothing pulls"
    assert "studio off" not in rows, "there is none without a backdrop"
    assert "studio off" in rows_for("labelled", studio_card())
    report = report_of(
        ablate(
            tiny_editor(), folder, count=1, seed=0, options=QUICK, families=("box", "half")
        )
    )
    assert report is not None
    for mode in ("unlabelled", "labelled"):
        found = report["modes"][mode]
        assert list(found) == list(rows_for(mode, card))
        paper, default = found[PAPER]["all"], found[DEFAULT]["all"]
        assert "minus_paper" not in paper and "minus_default" not in default
        assert paper["minus_default"][0] == pytest.approx(-default["minus_paper"][0])
        for row in found.values():
            mean = np.mean([row["families"][name]["perceptual"] for name in ("box", "half")])
            assert row["all"]["perceptual"] == pytest.approx(mean)
    table = ablation_markdown(report)
    assert "| **paper** |" in table and "| fill none |" in table
    with pytest.raises(RequestError, match="no row is called 'nonsense'"):
        next(ablate(tiny_editor(), folder, count=1, seed=0, options=EditOptions(),
                    only=("nonsense",)))  # fmt: skip


def studio_card() -> Card:
    """A model that puts a thing before a backdrop."""
    labels = Labels(LABELS, {"bird": ["crane"]})
    return replace(tiny_editor(foresight=True).card, labels=labels)


def test_a_lever_is_in_the_ablation_by_its_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    more = replace(LEVERS["top_k"], ablation=(1, 600))
    monkeypatch.setitem(LEVERS, "top_k", more)
    rows = rows_for("unlabelled", tiny_editor().card)
    assert rows["top k 1"] == {"top_k": 1} and "top k 600" not in rows


def test_rows_that_differ_in_compositing_share_their_tokens() -> None:
    editor = tiny_editor()
    inner, run = editor.model.var.run, []

    def counted(*args: Any, **more: Any) -> Any:
        run.append(more["last"])
        return inner(*args, **more)

    object.__setattr__(editor.model.var, "run", counted)
    picture = np.asarray(noisy_rgb(32, 32))
    mask = make_mask("half", 32, np.random.default_rng(0))
    case = Case(editor, picture, mask, None, "inpaint")
    plain, blended, other = (
        (case.edit(EditOptions(**{"seed": 1, "structure": 0, **changes})), run.copy(), run.clear())
        for changes in ({"blend": "none"}, {"blend": "membrane"}, {"structure": 2})
    )
    assert plain[1] and other[1] and not blended[1], "what is the same is not computed again"
    assert np.array_equal(plain[0].raw, blended[0].raw)
    assert not np.array_equal(plain[0].raw, other[0].raw)
    assert not np.array_equal(plain[0].result, blended[0].result)


@pytest.mark.parametrize("changes", [{}, {"rule": "paper"}, {"candidates": 4}, {"studio": True}])
def test_what_the_model_saw_and_drew_is_that_of_the_result(changes: dict) -> None:
    editor = tiny_editor({"bird": ["crane"], "boat": ["hills"]}, foresight=True)
    image = noisy_rgb(32, 32)
    mask = make_mask("box", 32, np.random.default_rng(0))
    bare = {"blend": "none", "detail": "model", "backdrop": "studio" in changes}
    options = EditOptions(**{"seed": 5, "context": "whole", **bare, **changes})
    edited = Case(editor, np.asarray(image), mask, "boat", "edit_class").edit(options)
    official = editor.edit_class(image, mask, label="boat", options=options)
    assert np.array_equal(edited.result, np.asarray(official.images[0]))
    if "studio" in changes:
        assert len(np.unique(edited.seen)) < 5, "a plain ground"
        return
    assert np.array_equal(edited.hole, mask)
    assert np.array_equal(edited.seen, np.asarray(image))
    drawn = edited.raw.round().clip(0, 255)
    assert np.abs(drawn[mask] - edited.result[mask]).max() <= 1


def test_sheets_of_every_family_and_task_are_small_files(folder: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "sheets", QUICK
    out.mkdir()
    paths = list(make_sheets(tiny_editor(), folder, out, seed=0, options=options))
    names = {path.stem for path in paths}
    assert {f"families-{name}" for name in FAMILIES} < names
    assert {"inpaint", "outpaint", "class-edit", "generate", "extend-2-1", "extend-1-2"} < names
    for path in paths:
        assert path.stat().st_size < 300_000
        with Image.open(path) as opened:
            assert opened.format == "JPEG" and opened.width > 400


def test_missing_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such data folder"):
        list(evaluate(tiny_editor(), tmp_path / "no", count=1, seed=0, options=EditOptions()))
