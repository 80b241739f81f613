"""The next-scale loop: fast equals plain, batched equals single, planted answers come out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.draw.guidance import Guided, Label, guide, guided
from engine.draw.keeping import ClosedLoop, Keeper, Replay
from engine.draw.loop import ScaleStep, generate
from engine.draw.sampling import draw, noise
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling
from tests.tiny import SCALES, tiny_var, tiny_vqvae

ALL = [torch.ones(side * side, dtype=torch.bool) for side in SCALES]


@pytest.fixture(scope="module")
def vqvae() -> VQVAE:
    return tiny_vqvae()


@pytest.fixture(scope="module", params=["separate", "shared", "plain attention", "foresight"])
def var(request: pytest.FixtureRequest) -> VAR:
    kind = request.param
    return tiny_var(
        shared=kind == "shared", l2=kind != "plain attention", foresight=kind == "foresight"
    )


def pictures(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1


def some_maps() -> list[Tensor]:
    """A kept scale, then partly regenerated ones."""
    return [
        torch.zeros(1, dtype=torch.bool),
        torch.tensor([True, False, False, False]),
        torch.tensor([True, True, False, False, True, True] + [False] * 9 + [True]),
    ]


def side_by_side(finest: Tensor, side: int) -> list[bool]:
    """Whether anything of the finest map is to be drawn under each position of a coarser one."""
    whole, step = finest.view(4, 4), 4 // side
    return [
        bool(whole[r * step : (r + 1) * step, c * step : (c + 1) * step].any())
        for r in range(side) for c in range(side)
    ]  # fmt: skip


@torch.inference_mode()
def plain(
    var: VAR,
    vqvae: VQVAE,
    *,
    label: int | None,
    maps: list[Tensor],
    seed: int,
    sampling: Sampling,
    features: Tensor | None,
) -> tuple[list[Tensor], Tensor]:
    """The oracle: no cache, both branches always, every position drawn, one whole forward pass a
    scale over everything so far."""
    quantizer = vqvae.quantize
    no_label = var.spec.no_label
    labels = torch.tensor([no_label if label is None else label, no_label])
    feature_map, inputs, out = quantizer.zeros(1), [], []
    for k, side in enumerate(SCALES):
        if k:
            inputs.append(quantizer.inputs(k, feature_map))
        if k and features is not None and var.spec.foresight:
            inputs[-1] = inputs[-1].clone()
            cells = side_by_side(maps[-1], side)
            own = quantizer.inputs(k, features)
            for n in range(side * side):  # one by one, as one would say it
                if not cells[n]:
                    inputs[-1][:, n] = own[:, n]
            mark = torch.tensor([0.0 if unknown else 1.0 for unknown in cells])
            inputs[-1] = torch.cat([inputs[-1], mark.view(1, -1, 1)], 2)
        so_far = torch.cat(inputs, 1) if inputs else torch.zeros(1, 0, 8)
        logits = var(so_far.expand(2, -1, -1), labels, scales=k + 1)[:, -side * side :]
        strength = sampling.guidance * k / (len(SCALES) - 1)
        if sampling.schedule == "falling":
            strength = sampling.guidance - strength
        logits = guide(logits[:1], logits[1:], strength)
        every = torch.arange(side * side)
        ids, _ = draw(logits, noise((seed,), k, every), sampling)
        if features is not None:
            kept = quantizer.kept(k, feature_map, features)
            ids = torch.where(maps[k], ids, kept)
        out.append(ids)
        feature_map = quantizer.add(k, feature_map, quantizer.look_up(k, ids))
    return out, feature_map


class Unanchored(ClosedLoop):
    """Leaves the known area as its tokens make it."""

    def finished(self, state: Tensor) -> Tensor:
        return state


def closed_loop(
    vqvae: VQVAE, features: Tensor, maps: list[Tensor], kind: type[ClosedLoop] = Unanchored
) -> ClosedLoop:
    return kind(vqvae.quantize, features, regenerate=maps[-1])


@torch.inference_mode()
def predictor_of(var: VAR, label: Label, sampling: Sampling) -> Any:
    return guided(partial(CachedVAR.of, var), label, sampling, len(SCALES))


def run(
    var: VAR,
    vqvae: VQVAE,
    *,
    label: Label,
    maps: list[Tensor],
    seeds: tuple[int, ...],
    sampling: Sampling,
    features: Tensor | None,
    coarse_seeds: tuple[int, ...] = (),
) -> list[ScaleStep]:
    keeper = Keeper(vqvae.quantize)
    if features is not None:
        keeper = Unanchored(
            vqvae.quantize, features, regenerate=maps[-1],
            foresight=features if var.spec.foresight else None,
        )  # fmt: skip
    return list(
        generate(
            predictor_of(var, label, sampling),
            keeper,
            regenerate=maps,
            seeds=seeds,
            sampling=sampling,
            pictures=1 if features is None else features.shape[0],
            coarse_seeds=coarse_seeds,
        )
    )


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


class Planted:
    """A predictor that wants one token everywhere, and notes what it was asked."""

    def __init__(self, token: int) -> None:
        self.token = token
        self.asked: list[tuple[int, int]] = []
        self.skipped: list[int] = []

    def skip(self, k: int, inputs: Tensor) -> None:
        self.skipped.append(k)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        self.asked.append((k, rows.numel()))
        logits = torch.zeros(inputs.shape[0], rows.numel(), 64)
        logits[..., self.token] = 50.0
        return logits


def planted(vqvae: VQVAE, maps: list[Tensor]) -> tuple[Planted, list[ScaleStep], list[Tensor]]:
    predictor = Planted(7)
    known, _ = vqvae.quantize.encode(vqvae.features(pictures(1)))
    steps = generate(
        predictor,
        Replay(vqvae.quantize, known),
        regenerate=maps,
        seeds=(0,),
        sampling=Sampling(),
    )
    return predictor, list(steps), known


def test_planted_tokens_are_drawn_where_regenerated_and_known_ones_kept(vqvae: VQVAE) -> None:
    predictor, steps, known = planted(vqvae, some_maps())
    for step, regenerated, kept in zip(steps, some_maps(), known, strict=True):
        assert torch.equal(step.ids[0], torch.where(regenerated, 7, kept[0]))
    assert predictor.asked == [(1, 1), (2, 5)]
    assert predictor.skipped == [0]
    assert steps[-1].drawn == 6


def test_nothing_to_regenerate_gives_back_the_known_tokens(vqvae: VQVAE) -> None:
    nothing = [torch.zeros_like(m) for m in ALL]
    predictor, steps, known = planted(vqvae, nothing)
    assert all(torch.equal(s.ids, k) for s, k in zip(steps, known, strict=True))
    assert predictor.asked == []


def test_in_the_end_the_known_area_has_its_own_features_and_nothing_else(vqvae: VQVAE) -> None:
    features = vqvae.features(pictures(1))
    maps = some_maps()
    made = []
    for kind in (Unanchored, ClosedLoop):
        steps = generate(
            Planted(7), closed_loop(vqvae, features, maps, kind), regenerate=maps, seeds=(0,),
            sampling=Sampling(),
        )  # fmt: skip
        made.append([step.feature_map for step in steps])
    (*before, plain_end), (*same, anchored_end) = made
    assert all(torch.equal(a, b) for a, b in zip(before, same, strict=True))
    drawn = maps[-1].view(4, 4)
    assert torch.equal(anchored_end[..., ~drawn], features[..., ~drawn])
    assert torch.equal(anchored_end[..., drawn], plain_end[..., drawn])
    assert not torch.equal(plain_end[..., ~drawn], features[..., ~drawn])


def test_the_known_part_of_a_token_says_what_it_is(vqvae: VQVAE) -> None:
    """A predictor that has no idea: what is all but known is drawn as it was."""
    quantizer = vqvae.quantize
    code = quantizer.embedding.weight
    features = code[torch.arange(16)].T.view(1, -1, 4, 4)
    mask = torch.zeros(32, 32)
    mask[:, :8] = 1  # the first column of the finest tokens, wholly
    mask[:, 8] = 1  # and an eighth of the second

    def said_by(strength: float) -> Tensor:
        keeper = ClosedLoop(
            quantizer, features, regenerate=ALL[2], hole=mask, strength=strength
        )
        said = keeper.hint(2, quantizer.zeros(1), torch.arange(16))
        assert said is not None
        return said.view(4, 4, -1)

    said = said_by(1e4)
    assert torch.equal(said[:, 1:].argmax(-1), torch.arange(16).view(4, 4)[:, 1:])
    assert not said[:, 0].any()
    torch.testing.assert_close(said_by(1e2) * 100, said)


def test_closed_loop_brings_the_known_area_back_after_wrong_coarse_tokens(vqvae: VQVAE) -> None:
    features = vqvae.features(pictures(1))
    known, _ = vqvae.quantize.encode(features)
    maps = [ALL[0], torch.zeros(4, dtype=torch.bool), torch.zeros(16, dtype=torch.bool)]

    def error(keeper: Keeper) -> float:
        steps = generate(
            Planted(7), keeper, regenerate=maps, seeds=(0,), sampling=Sampling()
        )
        return float((list(steps)[-1].feature_map - features).square().mean())

    assert error(closed_loop(vqvae, features, maps)) < error(Replay(vqvae.quantize, known))


def test_closing_the_loop_stops_it_before_the_next_scale(vqvae: VQVAE) -> None:
    predictor = Planted(1)
    steps: Iterator[ScaleStep] = generate(
        predictor, Keeper(vqvae.quantize), regenerate=ALL, seeds=(0,), sampling=Sampling()
    )
    next(steps)
    steps.close()
    assert predictor.asked == [(0, 1)]


def test_soft_scales_take_the_expected_vector_and_keep_the_known_area(vqvae: VQVAE) -> None:
    """Planted logits are certain of token 7, whose vector is then what is expected."""
    features = vqvae.features(pictures(1))
    runs = [
        list(
            generate(
                Planted(7), closed_loop(vqvae, features, some_maps()), regenerate=some_maps(),
                seeds=(1, 2), sampling=Sampling(soft_scales=soft),
            )
        )
        for soft in (0, 1, 3)
    ]  # fmt: skip
    drawn, last, every = runs
    for step, soft in zip(drawn, last, strict=True):
        torch.testing.assert_close(step.feature_map, soft.feature_map)
    assert (last[-1].ids[0][some_maps()[-1]] == -1).all()
    assert torch.equal(last[-1].ids[0][~some_maps()[-1]], drawn[-1].ids[0][~some_maps()[-1]])
    assert [step.drawn for step in last] == [0, 1, 1]
    assert every[-1].drawn == 0
    torch.testing.assert_close(every[-1].feature_map, drawn[-1].feature_map)


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
