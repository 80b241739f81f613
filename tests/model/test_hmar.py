"""HMAR: a scale sees itself only, what is kept costs nothing, a hole is hidden and drawn again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine import EditOptions, EditRequest
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper, Replay, tokens
from engine.draw.loop import ScaleStep, generate
from engine.editor import Editor
from engine.machine.packed import pack
from engine.model.hmar.pair import HMARPair
from engine.model.hmar.scheme import Rounds, published_schedule
from engine.model.hmar.spec import HMARSpec
from engine.model.hmar.transformer import HMAR
from engine.model.spec import SCALES_256
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.rules import Sampling
from tests.parity import reproducible_weights
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, tiny_vqvae

SCALES = (1, 2, 3, 4)
ALL = [torch.ones(side * side, dtype=torch.bool) for side in SCALES]


def tiny_hmar() -> HMAR:
    spec = HMARSpec(
        depth=3, width=128, refined=1, scales=SCALES, num_classes=len(LABELS), codebook_size=64,
        latent_channels=8,
    )  # fmt: skip
    net = HMAR(spec)
    reproducible_weights(net)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model() -> HMARPair:
    return HMARPair(tiny_vqvae(scales=SCALES), tiny_hmar())


@pytest.fixture
def editor(model: HMARPair) -> Editor:
    card = Card(name="hmar", side=32, scales=SCALES, labels=Labels(LABELS, None), family="hmar")
    return Editor(model, card)


class Watched:
    """The predictor, and what it was asked."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.asked: list[tuple[int, int, int]] = []  # scale, channels, branches

    def skip(self, k: int, inputs: Tensor) -> None:
        self.inner.skip(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        self.asked.append((k, inputs.shape[-1], branches))
        return self.inner.logits(k, inputs, rows, branches)


@torch.inference_mode()
def drawn(
    model: HMARPair, keeper: Keeper, maps: list[Tensor], label: int | None = None
) -> tuple[list[ScaleStep], list[tuple[int, int, int]]]:
    watched: list[Watched] = []

    def source(labels: Any, branches: int) -> Any:
        watched.append(Watched(model.predictor(model.condition(labels), branches)))
        return watched[-1]

    sampling = Sampling(guidance=2.0, top_k=20)
    predictor = guided(source, label, sampling, len(SCALES))
    steps = generate(predictor, keeper, regenerate=maps, seeds=(3,), sampling=sampling)
    return list(steps), watched[0].asked


def test_the_published_schedule_is_known_for_the_authors_scales() -> None:
    found = published_schedule(SCALES_256)
    assert found[:3] == ((1,), (1, 3), (1, 1, 2, 5))
    assert found[3:] == tuple((side * side,) for side in SCALES_256[3:])
    assert all(sum(c) == s * s for c, s in zip(found, SCALES_256, strict=True))


def test_a_scale_sees_itself_and_of_earlier_ones_the_map_alone(model: HMARPair) -> None:
    hmar, rows = model.hmar, torch.arange(9)
    condition = hmar.condition(torch.tensor([2]))
    inputs = torch.randn(1, sum(s * s for s in SCALES) - 1, 8)
    whole = hmar(inputs, torch.tensor([2]))
    begin, end = hmar.spec.bounds[2]
    alone = hmar.logits(2, inputs[:, begin - 1 : end - 1], condition.next, rows)
    assert torch.allclose(whole[:, begin:end], alone, atol=1e-5)
    changed = inputs.clone()
    changed[:, : begin - 1] += 1
    assert torch.equal(hmar(changed, torch.tensor([2]))[:, begin:end], whole[:, begin:end])


def test_few_rows_give_what_all_give(model: HMARPair) -> None:
    condition = model.hmar.condition(torch.tensor([1, 4]))
    for channels in (8, 17):
        inputs, rows = torch.randn(2, 16, channels), torch.tensor([3, 7, 12])
        branch = condition.next if channels == 8 else condition.mask
        every = model.hmar.logits(3, inputs, branch, torch.arange(16))
        few = model.hmar.logits(3, inputs, branch, rows)
        assert torch.allclose(few, every[:, rows], atol=1e-5)


def test_what_is_drawn_again_is_not_guided_and_kept_scales_are_not_run(model: HMARPair) -> None:
    _, asked = drawn(model, Keeper(model.scheme), ALL, label=1)
    next_scale, again = 8, 17
    assert asked == [
        (0, next_scale, 2),
        (1, next_scale, 2), (1, again, 2),
        (2, next_scale, 2), (2, again, 2), (2, again, 2), (2, again, 2),
        (3, next_scale, 2),
    ]  # fmt: skip
    predictor = model.predictor(model.condition((1, None)), 2)
    hidden = torch.randn(1, 9, again)
    label, none = predictor.logits(2, hidden, torch.arange(9), 2).chunk(2)
    assert torch.equal(label, none)
    features = torch.randn(1, 8, 4, 4)
    maps = [torch.zeros_like(each) for each in ALL[:3]] + [ALL[3]]
    _, asked = drawn(model, Replay(model.scheme, tokens(model.scheme, features)[0]), maps)
    assert {k for k, _, _ in asked} == {3}


def test_of_a_scale_that_is_known_in_part_the_hole_is_hidden_and_the_known_ids_are_read(
    model: HMARPair,
) -> None:
    features = torch.randn(1, 8, 4, 4)
    ids, _ = tokens(model.scheme, features)
    maps = [torch.zeros_like(each) for each in ALL[:3]]
    maps.append(torch.arange(16) % 4 < 2)
    seen: list[Tensor] = []

    class Told(Rounds):
        def inputs_again(self, k: int, state: Tensor, vectors: Tensor, hidden: Tensor) -> Tensor:
            seen.append(vectors)
            given = super().inputs_again(k, state, vectors, hidden)
            seen.append(given)
            return given

    scheme = Told(model.vqvae.quantize, model.scheme.schedule)
    steps, asked = drawn(model, Replay(scheme, ids), maps)
    assert asked == [(3, 8, 1), (3, 17, 1)]
    vectors, given = seen
    hidden = given[0, :, -1] > 0
    assert torch.equal(hidden, maps[3])
    assert torch.equal(vectors[0, ~hidden], scheme.codebook[ids[3][0]][~hidden])
    assert torch.equal(steps[-1].ids[0, ~maps[3]], ids[3][0, ~maps[3]])


def test_the_least_likely_are_hidden_among_those_that_were_hidden_before() -> None:
    scheme = Rounds(tiny_vqvae(scales=SCALES).quantize, ((1,), (1, 3), (1, 1, 2, 5), (16,)))
    chances = torch.tensor([[-9.0, -1, -8, -2, -7, -3, -6, -4, -5]])
    first = scheme.doubtful(2, 1, chances, None)
    assert first.sum() == 8 and not first[0, 1]
    later = chances.clone()
    later[0, 1] = -99.0  # it is final whatever it is worth
    second = scheme.doubtful(2, 2, later, first)
    assert second.sum() == 7 and not second[0, 1] and not second[0, 3]
    third = scheme.doubtful(2, 3, later, second)
    assert third.sum() == 5 and bool((second | ~third).all())
    part = chances[:, :6]
    assert scheme.rounds(2, 6) == 5 and scheme.rounds(2, 9) == 4 and scheme.rounds(0, 1) == 1
    assert scheme.doubtful(2, 1, part, None).all()
    assert scheme.doubtful(2, 2, part, torch.ones(1, 6, dtype=torch.bool)).sum() == 5


@pytest.mark.parametrize("task", ["inpaint", "edit_class", "outpaint", "generate"])
@pytest.mark.parametrize("more", [{}, {"rule": "paper"}, {"speed": "fast"}], ids=str)
def test_every_task_is_edited_and_variations_are_those_of_their_seeds(
    editor: Editor, task: str, more: dict[str, Any]
) -> None:
    photo, mask = noisy_rgb(48, 48), np.zeros((48, 48), bool)
    mask[10:30, 12:40] = True
    given: dict[str, Any] = {"image": photo} if task != "generate" else {}
    if task in ("inpaint", "edit_class"):
        given["mask"] = mask
    if task in ("edit_class", "generate"):
        given["label"] = "boat"
    if task == "outpaint":
        given["right"] = 24

    def run(**options: Any) -> Any:
        return editor.run(
            EditRequest(task=task, options=EditOptions(**{"seed": 5, **more, **options}), **given)
        )

    several, alone = run(variations=3), run(seed=7)
    assert np.array_equal(np.asarray(several.images[2]), np.asarray(alone.images[0]))
    if task == "inpaint":
        assert np.array_equal(np.asarray(alone.images[0])[~mask], np.asarray(photo)[~mask])
        fast = more.get("speed") == "fast"
        assert any("no fast mode" in note for note in alone.notes) == fast


def test_rolling_again_gives_what_a_fresh_run_does_and_computes_less(
    model: HMARPair, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    inner = model.hmar.logits

    def logits(k: int, *rest: Any) -> Tensor:
        calls.append(k)
        return inner(k, *rest)

    monkeypatch.setattr(model.hmar, "logits", logits)
    options = EditOptions(seed=50, coarse_seeds=(7, 7))
    fresh = np.asarray(editor.generate("boat", options).images[0])
    whole = len(calls)
    editor.runner.memory.clear()
    editor.generate("boat", EditOptions(seed=7))
    calls.clear()
    assert np.array_equal(np.asarray(editor.generate("boat", options).images[0]), fresh)
    assert len(calls) < whole and 0 not in calls


def test_packed_for_a_cpu_it_gives_nearly_the_same() -> None:
    plain, packed = tiny_hmar(), tiny_hmar()
    assert pack(packed)
    inputs, rows = torch.randn(1, 9, 17), torch.arange(9)
    with torch.inference_mode():
        for channels in (8, 17):
            both = [
                net.logits(2, inputs[..., :channels], getattr(
                    net.condition(torch.tensor([1])), "next" if channels == 8 else "mask"
                ), rows)
                for net in (plain, packed)
            ]  # fmt: skip
            assert torch.allclose(*both, atol=1e-3)
    assert not any(name.endswith("qkv.weight") for name, _ in packed.named_parameters())


def test_modulation_may_lie_on_another_device(model: HMARPair) -> None:
    moved = tiny_hmar()
    moved.move_modulation(torch.device("cpu"))
    labels = torch.tensor([1])
    assert torch.equal(moved.condition(labels).mask.start, model.hmar.condition(labels).mask.start)
