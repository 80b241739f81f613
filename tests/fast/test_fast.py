"""The fast mode: exact where it says so, near where it is not, and cheaper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import EditOptions, EditRequest, load_editor
from engine.draw.guidance import guided
from engine.draw.recall import Recall
from engine.editor import Editor
from engine.events import Finished
from engine.fast import original as fast
from engine.fast import positions as positions_of
from engine.fast.positions import computed_positions
from engine.fast.predictor import Computed, Shortcut, Shortened
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import KVCache
from engine.plan.labels import Labels
from engine.plan.rules import Sampling
from tests.machine.test_memory import Counter, same
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, editor_of, tiny_editor, tiny_var, tiny_vqvae

SCALES = (1, 2, 4, 8, 16)
SIDE = 128


def editor() -> Editor:
    torch.manual_seed(0)
    vqvae, var = tiny_vqvae(scales=SCALES), tiny_var(scales=SCALES)
    return editor_of(vqvae, var, Labels(LABELS))


def box(top: int, left: int, bottom: int, right: int, side: int = SIDE) -> Any:
    mask = np.zeros((side, side), bool)
    mask[top:bottom, left:right] = True
    return mask


SMALL = box(50, 40, 74, 66)
PHOTO = Path(__file__).parents[2] / "assets" / "examples" / "canyon.jpg"


def request(mask: Any, speed: str = "fast", **more: Any) -> EditRequest:
    label = more.pop("label", None)
    return EditRequest(
        task="inpaint" if label is None else "edit_class",
        image=noisy_rgb(SIDE, SIDE), mask=mask, label=label,
        options=EditOptions(speed=speed, context="whole", **{"seed": 3, "detail": "model", **more}),
    )  # fmt: skip


def tokens(mask: Any, speed: str, **more: Any) -> tuple[int, int]:
    """Positions that went through the transformer's blocks, and of those in the edit itself."""
    subject, seen = editor(), [0]
    one = request(mask, speed, **more)
    subject.model.var.blocks[0].register_forward_hook(
        lambda module, args, out: seen.__setitem__(0, seen[0] + out.shape[1])
    )
    if speed == "fast":
        subject.warm(one)
    before = seen[0]
    subject.run(one)
    return seen[0], seen[0] - before


@pytest.mark.parametrize("label", [None, "boat"])
def test_a_small_mask_computes_few_positions_once_the_picture_is_known(label: str | None) -> None:
    _, exact = tokens(SMALL, "exact", label=label)
    whole, own = tokens(SMALL, "fast", label=label)
    assert exact == sum(side * side for side in SCALES)
    assert own < 0.4 * exact
    assert whole - own == exact, "the picture's own pass"


def test_everything_masked_is_the_exact_mode() -> None:
    mask = np.ones((SIDE, SIDE), bool)
    assert same(editor().run(request(mask)), editor().run(request(mask, "exact")))
    nearly = box(2, 2, SIDE - 2, SIDE - 2)
    assert same(editor().run(request(nearly)), editor().run(request(nearly, "exact")))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("label", [None, "boat"])
def test_pixels_outside_the_mask_stay_and_the_request_is_repeatable(
    label: str | None, n: int
) -> None:
    one = request(SMALL, label=label, variations=n)
    subject = editor()
    result, again = subject.run(one), subject.run(one)
    assert same(result, again) and same(result, editor().run(one))
    for image in result.images:
        assert np.array_equal(np.asarray(image)[~SMALL], np.asarray(noisy_rgb(SIDE, SIDE))[~SMALL])
        assert not np.array_equal(np.asarray(image), np.asarray(noisy_rgb(SIDE, SIDE)))


def test_warm_or_not_the_picture_is_the_same() -> None:
    warm = editor()
    warm.warm(request(SMALL))
    run = Counter(warm.model.var, "run")
    assert same(warm.run(request(SMALL)), editor().run(request(SMALL)))
    assert run.calls < len(SCALES)
    warm.warm(request(SMALL))
    assert run.calls < len(SCALES), "what is known is not studied again"


@pytest.mark.parametrize("label", [None, "boat"])
def test_what_a_label_decides_is_computed_once_for_the_picture_and_its_edits(
    label: str | None,
) -> None:
    subject = editor()
    condition = Counter(subject.model.var, "condition")
    subject.warm(request(SMALL, label=label))
    subject.run(request(SMALL, label=label))
    assert condition.calls == 1


def test_warming_without_a_mask_serves_an_edit_of_the_whole_picture() -> None:
    subject = editor()
    subject.warm(EditRequest(task="inpaint", image=noisy_rgb(SIDE, SIDE)))
    studied = Counter(fast, "study")
    try:
        subject.run(request(SMALL))
    finally:
        fast.study = studied.inner  # type: ignore[attr-defined]
    assert studied.calls == 0


def test_warming_what_no_fast_mode_serves_costs_nothing() -> None:
    subject = editor()
    run = Counter(subject.model.var, "run")
    subject.warm(EditRequest(task="generate", label=1))
    subject.warm(EditRequest(task="outpaint", image=noisy_rgb(40, 40), right=8))
    assert run.calls == 0


def test_with_the_same_original_all_kept_scales_give_the_exact_logits() -> None:
    """If the edit's context is the original itself, keys and values are the right ones."""
    vqvae, var = tiny_vqvae(scales=SCALES), tiny_var(scales=SCALES)
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    original = fast.study(vqvae, pixels)
    features = vqvae.features(pixels)
    expected, _ = vqvae.quantize.encode(features)
    assert all(torch.equal(a, b) for a, b in zip(original.maps, expected, strict=True))
    condition = var.condition(torch.tensor([2, len(LABELS)]))
    cache = fast.keys_and_values(vqvae, var, condition, original.maps)
    kept = [torch.zeros(s * s, dtype=torch.bool) for s in SCALES]
    kept[-1][[100, 101, 117]] = True
    positions = computed_positions(kept, SCALES)
    assert positions is not None
    rows = kept[-1].nonzero()[:, 0]
    outcomes = []
    for shortcut in (None, Shortcut(cache, positions)):
        with torch.inference_mode():

            def source(labels: tuple[int | None, ...], number: int, way: Any = shortcut) -> Any:
                inner = CachedVAR.of(var, labels, number)
                return inner if way is None else Shortened(inner, way)

            predictor = guided(source, 2, Sampling(guidance=2.0), len(SCALES))
            feature_map = vqvae.quantize.zeros(1)
            for k in range(len(SCALES)):
                inputs = vqvae.quantize.inputs(k, feature_map)
                if k + 1 < len(SCALES):
                    predictor.skip(k, inputs)
                vectors = vqvae.quantize.look_up(k, original.maps[k])
                feature_map = vqvae.quantize.add(k, feature_map, vectors)
            outcomes.append(predictor.logits(k, inputs, rows))
    torch.testing.assert_close(outcomes[1], outcomes[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("label", [None, "boat"])
@pytest.mark.parametrize("again", [
    {}, {"seed": 9}, {"variations": 3}, {"seed": 9, "coarse_seeds": (3, 3, 3)},
])  # fmt: skip
def test_an_edit_after_another_is_as_if_it_were_the_first(
    label: str | None, again: dict[str, Any]
) -> None:
    """It works where the first one worked, and recalls the positions that that computed."""
    subject = editor()
    wide = box(30, 30, 90, 90)  # drawn at several scales
    for mask in (wide, SMALL, wide):
        subject.run(request(mask, label=label, structure=0))
    asked = request(wide, label=label, structure=0, **again)
    assert same(subject.run(asked), editor().run(asked))
    assert same(subject.run(asked), editor().run(asked))


def held(subject: Editor, kind: type) -> list[Any]:
    return [v for v, _ in subject.runner.memory._held.values() if isinstance(v, kind)]


def test_what_is_remembered_of_an_edit_is_what_it_computed() -> None:
    subject = editor()
    subject.warm(request(SMALL))
    (whole,) = held(subject, KVCache)
    subject.run(request(SMALL))
    (recall,) = held(subject, Recall)
    assert isinstance(recall.held, Computed)
    cache = recall.held.cache
    assert cache.store.shape[3] == len(recall.held.places) < whole.tokens / 2
    assert cache.store.untyped_storage().nbytes() == cache.nbytes < recall.nbytes


@pytest.mark.parametrize("more", [{}, {"variations": 3}, {"label": "boat"}])
@pytest.mark.parametrize("cancelled", [False, True])
def test_an_edit_leaves_the_pictures_own_keys_and_values_as_they_were(
    more: dict[str, Any], cancelled: bool
) -> None:
    """Though it works in their memory, and no other edit finds them meanwhile."""
    subject = editor()
    asked = request(box(30, 30, 90, 90), structure=0, **more)
    subject.warm(asked)
    (whole,) = held(subject, KVCache)
    before = whole.store.clone()
    steps = subject.steps(asked)
    for _ in SCALES[1:]:
        next(steps)
    assert not held(subject, KVCache)
    if "variations" not in more:  # which have copies of their own from where they differ
        assert not torch.equal(whole.store, before)
    if cancelled:
        steps.close()
    else:
        list(steps)
    (after,) = held(subject, KVCache)
    assert after is whole and torch.equal(after.store, before)


def test_two_edits_of_a_picture_at_once_do_not_disturb_each_other() -> None:
    subject = editor()
    asked = [request(box(30, 30, 90, 90), structure=0, seed=seed) for seed in (3, 4)]
    subject.warm(asked[0])
    turns = [subject.steps(one) for one in asked]
    together = list(zip(*turns, strict=True))
    for last, one in zip(together[-1], asked, strict=True):
        assert isinstance(last, Finished)
        assert same(last.result, editor().run(one))


def test_positions_are_the_regenerated_ones_and_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions_of, "MARGIN", 1 / 16)
    maps = [torch.zeros(s * s, dtype=torch.bool) for s in SCALES]
    maps[-1][5 * 16 + 7] = True
    positions = computed_positions(maps, SCALES)
    assert positions is not None
    assert [p.numel() for p in positions[:2]] == [1, 4], "small scales are whole"
    over = [each.tolist() for each in positions[2:4]]
    assert over == [[1 * 4 + 1], [2 * 8 + 3]], "what lies over it"
    monkeypatch.setattr(positions_of, "MARGIN", 0)
    alone = computed_positions(maps, SCALES)
    assert alone is not None and alone[4].tolist() == [5 * 16 + 7]
    around = [(5 + y) * 16 + 7 + x for y in (-1, 0, 1) for x in (-1, 0, 1)]
    assert positions[4].tolist() == around


def test_a_fast_picture_is_nearer_to_the_exact_one_than_with_any_keys_and_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask = box(100, 90, 150, 160, side=256)
    with Image.open(PHOTO) as photo:
        asked = request(mask).model_copy(update={"image": photo.convert("RGB").resize((256, 256))})

    def drawn(speed: str) -> Any:
        options = asked.options.model_copy(update={"speed": speed, "top_k": 1, "detail": "model"})
        made = load_editor("bundled").run(asked.model_copy(update={"options": options}))
        return np.asarray(made.images[0], np.float64)[mask]

    exact, near = drawn("exact"), drawn("fast")

    real = fast.keys_and_values

    def of_nothing(*given: Any, **more: Any) -> KVCache:
        cache = real(*given, **more)
        cache.store.normal_(generator=torch.Generator().manual_seed(1))
        return cache

    monkeypatch.setattr(fast, "keys_and_values", of_nothing)
    error, wrong = (abs(exact - each).mean() for each in (near, drawn("fast")))
    assert error < wrong / 2


def test_outpainting_is_exact_in_the_fast_mode() -> None:
    outcomes = [
        tiny_editor().outpaint(noisy_rgb(30, 30), right=10, options=EditOptions(seed=1, speed=s))
        for s in ("exact", "fast")
    ]
    assert same(*outcomes)


def test_pictures_that_differ_under_the_mask_only_are_not_mixed_up() -> None:
    """Their filled frames are the same, their own keys and values are not."""
    pixels = np.asarray(noisy_rgb(SIDE, SIDE)).copy()
    pixels[SMALL] = 255 - pixels[SMALL]
    other = request(SMALL).model_copy(update={"image": Image.fromarray(pixels)})
    subject = editor()
    subject.run(request(SMALL))
    assert same(subject.run(other), editor().run(other))
