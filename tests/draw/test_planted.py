"""The loop with a planted predictor: what is drawn, what is kept, what the known area becomes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.draw.keeping import ClosedLoop, Keeper, Replay
from engine.draw.loop import ScaleStep, generate
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling
from tests.draw.loop import ALL, Planted, Unanchored, closed_loop, pictures, some_maps


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
