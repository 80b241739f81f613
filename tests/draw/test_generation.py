"""The loop with real networks: cached, pruned, batched, side by side and rolled again as plain."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.draw.guidance import Guided
from engine.draw.keeping import Keeper
from engine.draw.loop import generate
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling
from tests.draw.loop import ALL, pictures, plain, predictor_of, run, some_maps
from tests.tiny import SCALES, tiny_var


@pytest.mark.parametrize("label", [None, 2])
@pytest.mark.parametrize("edit", [False, True], ids=["generate", "edit"])
@pytest.mark.parametrize("schedule", ["linear", "falling"])
def test_cached_and_pruned_generation_equals_the_plain_one(
    var: VAR, vqvae: VQVAE, label: int | None, edit: bool, schedule: str
) -> None:
    features = vqvae.features(pictures(1)) if edit else None
    maps = some_maps() if edit else ALL
    sampling = Sampling(guidance=3.0, top_k=20, top_p=0.9, schedule=schedule)
    expected, feature_map = plain(
        var, vqvae, label=label, maps=maps, seed=11, sampling=sampling, features=features
    )
    steps = run(
        var, vqvae, label=label, maps=maps, seeds=(11,), sampling=sampling, features=features
    )
    assert all(torch.equal(s.ids, e) for s, e in zip(steps, expected, strict=True))
    torch.testing.assert_close(steps[-1].feature_map, feature_map, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seeds", [(3,), (3, 4, 5)])
def test_once_nothing_guides_any_more_one_branch_is_run(
    vqvae: VQVAE, seeds: tuple[int, ...]
) -> None:
    var, rows = tiny_var(), list[int]()
    var.blocks[0].register_forward_hook(lambda module, args, out: rows.append(len(out)))
    settings = {"label": 2, "maps": ALL, "seeds": seeds, "features": None}
    run(var, vqvae, sampling=Sampling(guidance=2.0, schedule="falling"), **settings)
    assert rows == [2, 2 * len(seeds), len(seeds)]
    rows.clear()
    run(var, vqvae, sampling=Sampling(guidance=2.0), **settings)
    assert rows == [2, 2 * len(seeds), 2 * len(seeds)]


@pytest.mark.parametrize("label", [None, 2])
@pytest.mark.parametrize("schedule", ["linear", "falling"])
def test_batched_variations_equal_single_ones(
    var: VAR, vqvae: VQVAE, label: int | None, schedule: str
) -> None:
    features = vqvae.features(pictures(1))
    settings = {"label": label, "maps": some_maps(), "features": features}
    sampling = Sampling(guidance=2.0, schedule=schedule)
    together = run(var, vqvae, seeds=(3, 4, 5), sampling=sampling, **settings)
    for row, seed in enumerate((3, 4, 5)):
        alone = run(var, vqvae, seeds=(seed,), sampling=sampling, **settings)
        for ours, one in zip(together, alone, strict=True):
            assert torch.equal(ours.ids[row % len(ours.ids)], one.ids[0])


def test_pictures_side_by_side_equal_pictures_alone(var: VAR, vqvae: VQVAE) -> None:
    features = vqvae.features(pictures(2))
    settings = {"label": 1, "maps": some_maps(), "sampling": Sampling(guidance=2.0)}
    together = run(var, vqvae, seeds=(3, 3), features=features, **settings)
    for row in range(2):
        alone = run(var, vqvae, seeds=(3,), features=features[row : row + 1], **settings)
        assert torch.equal(together[-1].ids[row], alone[-1].ids[0])


def test_each_picture_may_have_a_label_of_its_own(var: VAR, vqvae: VQVAE) -> None:
    features = vqvae.features(pictures(1))
    settings = {"maps": some_maps(), "sampling": Sampling(guidance=2.0)}
    twice = features.expand(2, -1, -1, -1)
    together = run(var, vqvae, label=(1, 3), seeds=(3, 8), features=twice, **settings)
    for row, (label, seed) in enumerate(((1, 3), (3, 8))):
        alone = run(var, vqvae, label=label, seeds=(seed,), features=features, **settings)
        assert torch.equal(together[-1].ids[row], alone[-1].ids[0])
    more = run(var, vqvae, label=(1, 3), seeds=(3, 4, 8, 9), features=twice, **settings)
    for row in (0, 2):
        assert torch.equal(more[-1].ids[row], together[-1].ids[row // 2])


def test_different_seeds_draw_different_tokens(var: VAR, vqvae: VQVAE) -> None:
    steps = run(
        var, vqvae, label=None, maps=ALL, seeds=(1, 2), sampling=Sampling(), features=None
    )
    assert not torch.equal(steps[-1].ids[0], steps[-1].ids[1])


@pytest.mark.parametrize("label", [None, 2])
def test_soft_scales_batched_equal_single_ones(
    var: VAR, vqvae: VQVAE, label: int | None
) -> None:
    features = vqvae.features(pictures(1))
    sampling = Sampling(guidance=2.0, soft_scales=1, schedule="falling")
    settings = {"label": label, "maps": some_maps(), "features": features, "sampling": sampling}
    together = run(var, vqvae, seeds=(3, 4), **settings)
    for row, seed in enumerate((3, 4)):
        alone = run(var, vqvae, seeds=(seed,), **settings)
        assert torch.equal(together[-1].feature_map[row], alone[-1].feature_map[0])


def test_no_float64_is_sent_to_a_device_which_may_have_none(
    vqvae: VQVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Apple's MPS."""
    move, moved = Tensor.to, []

    def to(self: Tensor, *args: Any, **more: Any) -> Tensor:
        if any(isinstance(each, torch.device) for each in args):
            assert self.dtype != torch.float64, "Cannot convert a MPS Tensor to float64"
            moved.append(self.dtype)
        return move(self, *args, **more)

    monkeypatch.setattr(Tensor, "to", to)
    for soft in (0, 1):
        settings = {"features": None, "sampling": Sampling(soft_scales=soft)}
        run(tiny_var(), vqvae, label=None, maps=ALL, seeds=(1, 2), **settings)
    assert torch.float32 in moved, "the noise is sent"


@pytest.mark.parametrize("label", [None, 2])
@pytest.mark.parametrize("edit", [False, True], ids=["generate", "edit"])
def test_rolling_again_from_a_scale_keeps_the_coarser_ones(
    var: VAR, vqvae: VQVAE, label: int | None, edit: bool
) -> None:
    settings = {
        "label": label,
        "maps": some_maps() if edit else ALL,
        "features": vqvae.features(pictures(1)) if edit else None,
        "sampling": Sampling(guidance=2.0),
    }
    seven = run(var, vqvae, seeds=(7,), **settings)
    same = run(var, vqvae, seeds=(1, 2), coarse_seeds=(7,) * len(SCALES), **settings)
    for ours, theirs in zip(same, seven, strict=True):
        assert len(ours.ids) == 1, "variations that do not differ are computed once"
        assert torch.equal(ours.ids, theirs.ids)
        torch.testing.assert_close(ours.log_likelihood, theirs.log_likelihood.expand(2))
    again = run(var, vqvae, seeds=(1, 2), coarse_seeds=(7, 7), **settings)
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(again[:2], seven[:2], strict=True))
    assert not torch.equal(again[2].ids[0], seven[2].ids[0])
    alone = run(var, vqvae, seeds=(2,), coarse_seeds=(7, 7), **settings)
    assert torch.equal(again[2].ids[1], alone[2].ids[0])


def test_evidence_is_what_the_drawn_tokens_say_for_the_label(var: VAR, vqvae: VQVAE) -> None:
    """Against a teacher-forced pass over the finished tokens, with and without the label."""
    seeds, label = (3, 4), 2
    predictor = predictor_of(var, label, Sampling(guidance=2.0, top_k=9))
    assert isinstance(predictor, Guided)
    steps = list(
        generate(
            predictor, Keeper(vqvae.quantize), regenerate=ALL, seeds=seeds,
            sampling=predictor.sampling, evidence=predictor.evidence,
        )
    )  # fmt: skip
    with torch.inference_mode():
        for row in range(2):
            maps = [step.ids[row % len(step.ids)][None] for step in steps]
            inputs, _ = vqvae.quantize.teacher_inputs(maps)
            labels = torch.tensor([label, var.spec.no_label])
            chances = var(inputs.expand(2, -1, -1), labels).log_softmax(-1)
            chosen = chances.gather(-1, torch.cat(maps, 1).expand(2, -1)[..., None])[..., 0].sum(1)
            torch.testing.assert_close(
                steps[-1].evidence[row], chosen[0] - chosen[1], atol=1e-3, rtol=1e-4
            )
    unlabelled = run(
        var, vqvae, label=None, maps=ALL, seeds=seeds, sampling=Sampling(), features=None
    )
    assert unlabelled[-1].evidence.tolist() == [0, 0]
