"""The draw and its keyed noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.draw.guidance import guide
from engine.draw.sampling import draw, expect, noise, uniforms
from engine.plan.rules import Sampling

POSITIONS = np.arange(20_000)


def test_noise_is_uniform_and_independent_of_its_neighbours() -> None:
    values = uniforms(1, 2, POSITIONS)
    assert values.min() >= 0 and values.max() < 1
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    assert abs(counts - 1000).max() < 150
    for other in (uniforms(2, 2, POSITIONS), uniforms(1, 3, POSITIONS)):
        assert abs(np.corrcoef(values, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.03


def test_noise_depends_on_seed_frame_scale_and_position_only() -> None:
    few = noise((5, 6), 3, torch.tensor([2, 9]), frame=1)
    many = noise((6,), 3, torch.arange(10), frame=1)
    assert torch.equal(few[1], many[0, [2, 9]])
    assert not torch.equal(few[0], few[1])
    assert not torch.equal(few, noise((5, 6), 3, torch.tensor([2, 9]), frame=0))


def test_noise_is_the_same_number_everywhere() -> None:
    """Planted from the formula, worked with Python's integers."""

    def mix(v: int) -> int:
        mask = (1 << 64) - 1
        v = ((v ^ (v >> 30)) * 0xBF58476D1CE4E5B9) & mask
        v = ((v ^ (v >> 27)) * 0x94D049BB133111EB) & mask
        return v ^ (v >> 31)

    golden, key = 0x9E3779B97F4A7C15, 42
    for part in (1, 4):
        key = mix((key * golden + part + 1) % (1 << 64))
    expected = mix((key + 8 * golden) % (1 << 64)) >> 11
    assert uniforms(42, 4, np.array([7]), frame=1)[0] == expected / 2**53


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(1, 20_000, 3)
    ids, chance = draw(logits, noise((3,), 0, torch.arange(20_000)), Sampling())
    share = torch.bincount(ids[0], minlength=3) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.5, 0.3, 0.2]), atol=0.015, rtol=0)
    torch.testing.assert_close(chance.exp()[ids == 1][0], torch.tensor(0.3))


def test_top_k_one_is_greedy_and_top_p_keeps_the_likeliest() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 50, 30, generator=generator)
    uniform = torch.rand(2, 50, generator=generator, dtype=torch.float64)
    best = logits.argmax(-1)
    assert torch.equal(draw(logits, uniform, Sampling(top_k=1))[0], best)
    assert torch.equal(draw(logits, uniform, Sampling(top_p=1e-6))[0], best)


def test_top_p_works_on_the_survivors_of_top_k() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().expand(1, 5000, 4)
    uniform = noise((1,), 0, torch.arange(5000))
    ids, _ = draw(logits, uniform, Sampling(top_k=3, top_p=0.5))
    assert set(ids.unique().tolist()) == {0, 1}  # 0.4 / 0.9 < 0.5 <= 0.7 / 0.9
    ids, _ = draw(logits, uniform, Sampling(top_p=0.95))
    assert set(ids.unique().tolist()) == {0, 1, 2, 3}


def test_extreme_noise_stays_inside_the_codebook() -> None:
    logits = torch.randn(1, 2, 4096, generator=torch.Generator().manual_seed(1))
    uniform = torch.tensor([[0.0, 1 - 2**-53]], dtype=torch.float64)
    ids, chance = draw(logits, uniform, Sampling())
    assert int(ids.max()) < 4096 and bool(torch.isfinite(chance).all())
    assert ids[0, 0] == logits[0, 0].argmax()


def test_guidance_is_a_line_from_the_unconditional_through_the_conditional() -> None:
    c, u = torch.tensor([2.0]), torch.tensor([1.0])
    assert guide(c, u, 0).item() == 2 and guide(c, u, 1.5).item() == 3.5
    assert Sampling(guidance=4).guidance_at(0, 5) == 0
    assert Sampling(guidance=4).guidance_at(4, 5) == 4


def test_guidance_follows_its_schedule() -> None:
    def over_the_scales(schedule: str) -> list[float]:
        return [Sampling(guidance=4, schedule=schedule).guidance_at(k, 5) for k in range(5)]

    assert over_the_scales("linear") == [0, 1, 2, 3, 4]
    assert over_the_scales("constant") == [4] * 5
    assert over_the_scales("falling") == [4, 3, 2, 1, 0]


def test_with_cooling_coarse_scales_are_drawn_freely_and_fine_ones_with_care() -> None:
    sampling = Sampling(temperature=0.4, cooling=True, top_k=5)
    here = [sampling.at(k, 5) for k in range(5)]
    assert [s.temperature for s in here] == pytest.approx([1, 0.9625, 0.85, 0.6625, 0.4])
    assert all(s.top_k == 5 for s in here)
    assert here[2].at(4, 5) == here[2], "once for all"
    assert Sampling(temperature=0.4).at(0, 5).temperature == 0.4
    assert sampling.at(0, 1).temperature == 1


def test_the_expected_vector_is_nearly_the_mean_of_the_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 50, 30, generator=generator)
    codebook = torch.randn(30, 4, generator=generator)
    uniform = noise((1, 2), 0, torch.arange(50))
    expected = expect(logits, codebook, uniform, Sampling())
    mean = logits.softmax(-1) @ codebook
    assert expected.shape == (2, 50, 4)
    assert (expected - mean).abs().mean() < 0.08 * codebook.std()
    draws = codebook[draw(logits, uniform, Sampling())[0]]
    assert (draws - mean).abs().mean() > 0.5 * codebook.std()


def test_the_expected_vector_knows_the_filters() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().expand(1, 5, 4)
    uniform = noise((1,), 0, torch.arange(5))
    codebook = torch.eye(4)
    best = expect(logits, codebook, uniform, Sampling(top_k=1))
    assert torch.equal(best, codebook[:1].expand(1, 5, 4))
    two = expect(logits, codebook, uniform, Sampling(top_k=3, top_p=0.5))
    assert (two[..., 2:] == 0).all()
    assert (two[..., :2] - torch.tensor([4, 3]) / 7).abs().max() < 0.04


def test_a_soft_draw_does_not_hang_on_the_last_bits_of_the_logits() -> None:
    logits = torch.randn(1, 200, 64, generator=torch.Generator().manual_seed(0))
    codebook = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    uniform = noise((1,), 0, torch.arange(200))
    same = expect(logits, codebook, uniform, Sampling(top_k=20))
    assert torch.equal(same, expect(logits * (1 + 1e-7), codebook, uniform, Sampling(top_k=20)))
