"""Two predictors of one codebook: the first draws the coarse scales, the second the rest."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine import EditOptions, EditRequest
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper
from engine.draw.loop import generate
from engine.editor import Editor
from engine.fast.pair import Caches
from engine.model.family import Predictor
from engine.model.relay import Relay, Relayed
from engine.model.var.pair import VARPair
from engine.model.var.predictor import CachedVAR
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.rules import Sampling
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, SCALES, tiny_var, tiny_vqvae

ALL = [torch.ones(side * side, dtype=torch.bool) for side in SCALES]
QUANTIZER = tiny_vqvae().quantize
LARGE, SMALL = tiny_var(), tiny_var(shared=True)


@torch.inference_mode()
def drawn(source: object, label: int | None, seeds: tuple[int, ...]) -> list[Tensor]:
    sampling = Sampling(guidance=2.0)
    predictor = guided(source, label, sampling, len(SCALES))  # type: ignore[arg-type]
    steps = generate(
        predictor, Keeper(QUANTIZER), regenerate=ALL, seeds=seeds, sampling=sampling
    )
    return [step.ids for step in steps]


def relay(switch: int, labels: tuple[int | None, ...], number: int) -> Predictor:
    first, second = (CachedVAR.of(var, labels, number) for var in (LARGE, SMALL))
    return Relay(first, second, switch)


@pytest.mark.parametrize("seeds", [(3,), (3, 4)])
@pytest.mark.parametrize("label", [None, 2])
@pytest.mark.parametrize("switch", range(len(SCALES) + 1))
def test_the_second_one_goes_on_from_what_the_first_one_drew(
    switch: int, label: int | None, seeds: tuple[int, ...]
) -> None:
    """Against a whole pass of each model, without a cache, over what was drawn so far."""
    found = drawn(partial(relay, switch), label, seeds)
    ends = {
        var: drawn(partial(CachedVAR.of, var), label, seeds) for var in (LARGE, SMALL)
    }  # the coarse scales are the first one's, alone
    assert all(map(torch.equal, found[:switch], ends[LARGE][:switch]))
    if switch == 0:
        assert all(map(torch.equal, found, ends[SMALL]))
    if 0 < switch < len(SCALES):
        expected = teacher_forced(found[: switch + 1], switch, label, seeds)
        assert torch.equal(found[switch], expected)
        assert not torch.equal(found[switch], ends[LARGE][switch])


@torch.inference_mode()
def teacher_forced(
    ids: list[Tensor], k: int, label: int | None, seeds: tuple[int, ...]
) -> Tensor:
    """What the second model draws at scale k after the ids of the coarser ones."""
    from engine.draw.sampling import draw, noise

    rows = []
    for row, seed in enumerate(seeds):
        maps = [each[row % len(each)][None] for each in ids]
        inputs, _ = QUANTIZER.teacher_inputs(maps)
        labels = [SMALL.spec.no_label if label is None else label, SMALL.spec.no_label]
        logits = SMALL(inputs.expand(2, -1, -1), torch.tensor(labels), scales=k + 1)
        own, none = logits[:, -SCALES[k] ** 2 :].split(1)
        strength = 0.0 if label is None else 2.0 * k / (len(SCALES) - 1)
        where = torch.arange(SCALES[k] ** 2)
        rows.append(draw(own + strength * (own - none), noise((seed,), k, where), Sampling())[0])
    return torch.cat(rows)


def pair_editor(switch: int) -> Editor:
    vqvae = tiny_vqvae()
    model = Relayed(VARPair(vqvae, LARGE), VARPair(vqvae, SMALL), switch)
    card = Card(name="pair", side=32, scales=SCALES, labels=Labels(LABELS, None))
    return Editor(model, card)


@pytest.mark.parametrize("switch", [1, 2])
@pytest.mark.parametrize("coarse", [1, 2])
@pytest.mark.parametrize("variations", [1, 3])
def test_rolling_again_gives_what_a_fresh_run_does_and_computes_less(
    switch: int, coarse: int, variations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counter()
    for var in (LARGE, SMALL):
        inner = var.run

        def run(*args: Any, inner: Any = inner, **kwargs: Any) -> Tensor:
            calls[id(inner)] += 1
            return inner(*args, **kwargs)

        monkeypatch.setattr(var, "run", run)

    def again(editor: Editor) -> list[np.ndarray]:
        options = EditOptions(seed=50, coarse_seeds=(7,) * coarse, variations=variations)
        return [np.asarray(each) for each in editor.generate("boat", options).images]

    fresh = again(pair_editor(switch))
    whole = calls.total()
    rolled = pair_editor(switch)
    rolled.generate("boat", EditOptions(seed=7))
    calls.clear()
    assert all(map(np.array_equal, again(rolled), fresh))
    assert calls.total() < whole


@pytest.mark.parametrize("speed", ["exact", "fast"])
@pytest.mark.parametrize("task", ["inpaint", "edit_class"])
def test_a_pair_edits(task: str, speed: str) -> None:
    mask = np.zeros((48, 48), bool)
    mask[10:30, 12:40] = True
    label = "boat" if task == "edit_class" else None
    request = EditRequest(
        task=task, image=noisy_rgb(48, 48), mask=mask, label=label,
        options=EditOptions(seed=1, variations=3, speed=speed, detail="model"),
    )  # fmt: skip
    result = pair_editor(2).run(request)
    assert not result.notes
    alone = request.model_copy(update={"options": EditOptions(seed=3, speed=speed, detail="model")})
    assert np.array_equal(
        np.asarray(result.images[2]), np.asarray(pair_editor(2).run(alone).images[0])
    )
    steps = pair_editor(2).steps(request)
    next(steps)
    steps.close()


def fast_editor(model: Any) -> Editor:
    card = Card(name="one", side=128, scales=LONG, labels=Labels(LABELS, None))
    return Editor(model, card)


LONG = (1, 2, 4, 8, 16)


@pytest.mark.parametrize("switch", range(1, len(LONG)))
def test_a_model_in_turn_with_itself_draws_in_the_fast_mode_what_it_draws_alone(
    switch: int,
) -> None:
    alone = VARPair(tiny_vqvae(scales=LONG), tiny_var(scales=LONG))
    subject, expected = fast_editor(Relayed(alone, alone, switch)), fast_editor(alone)
    mask = np.zeros((128, 128), bool)
    mask[50:74, 40:66] = True
    for seed, label in ((3, None), (4, "boat"), (3, None)):
        options = EditOptions(
            seed=seed, variations=2, speed="fast", context="whole", detail="model"
        )
        task = "inpaint" if label is None else "edit_class"
        asked = EditRequest(
            task=task, image=noisy_rgb(128, 128), mask=mask, label=label, options=options
        )
        subject.warm(asked)
        pairs = zip(subject.run(asked).images, expected.run(asked).images, strict=True)
        for one, other in pairs:
            assert abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1
    exact = asked.model_copy(update={"options": options.model_copy(update={"speed": "exact"})})
    assert not np.array_equal(one, subject.run(exact).images[-1]), "it takes a shortcut"


def test_what_the_fast_mode_lent_a_pair_is_afterwards_what_it_was() -> None:
    alone = VARPair(tiny_vqvae(scales=LONG), tiny_var(scales=LONG))
    subject = fast_editor(Relayed(alone, alone, 3))
    mask = np.zeros((128, 128), bool)
    mask[50:74, 40:66] = True
    options = EditOptions(seed=3, speed="fast", context="whole", detail="model")
    asked = EditRequest(task="inpaint", image=noisy_rgb(128, 128), mask=mask, options=options)
    subject.warm(asked)
    (lent,) = [each for each, _ in subject.runner.memory._held.values() if isinstance(each, Caches)]
    before = [each.store.clone() for each in (lent.first, lent.second)]
    subject.run(asked)
    for each, was in zip((lent.first, lent.second), before, strict=True):
        assert torch.equal(each.store, was)


def test_in_the_fast_mode_a_pair_computes_few_positions_of_either() -> None:
    mask = np.zeros((128, 128), bool)
    mask[50:74, 40:66] = True
    counts = []
    for speed in ("exact", "fast"):
        vqvae, seen = tiny_vqvae(scales=LONG), [0]
        models = [VARPair(vqvae, tiny_var(scales=LONG)) for _ in range(2)]
        subject = fast_editor(Relayed(*models, 3))
        options = EditOptions(seed=3, speed=speed, context="whole", detail="model")
        asked = EditRequest(
            task="inpaint", image=noisy_rgb(128, 128), mask=mask, options=options
        )
        subject.warm(asked)
        for each in models:
            each.var.blocks[0].register_forward_hook(
                lambda module, args, out, seen=seen: seen.__setitem__(0, seen[0] + out.shape[1])
            )
        subject.run(asked)
        counts.append(seen[0])
    assert counts[1] < counts[0] / 2, counts
