"""The editor as a caller uses it: what it makes, determinism, steps, candidates."""
from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from engine import EditOptions, EditRequest, RequestError
from engine.editor import Editor
from engine.events import Detailing, Painted, ScaleDone, result_of
from engine.picture.files import open_image, read_request
from engine.request.options import MAX_SEED
from tests.pictures import box_mask, noisy_rgb, raw
from tests.tiny import LABELS, tiny_editor


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


@pytest.mark.parametrize("speed", ["exact", "fast"])
@pytest.mark.parametrize("foresight", [False, True])
def test_a_class_of_several_things_makes_each_variation_the_thing_its_seed_draws(
    speed: str, foresight: bool
) -> None:
    editor = tiny_editor({"bird": ["boat", "hills"]}, foresight=foresight)
    source, mask = noisy_rgb(40, 40), box_mask(40, 40, (3, 2, 22, 12))
    options = EditOptions(seed=4, variations=4, top_k=9, speed=speed)
    together = editor.edit_class(source, mask, "bird", options=options)
    names = [LABELS[editor.card.labels.drawn(0, seed)] for seed in together.seeds]
    assert set(names) == {"boat", "hills"}
    for image, seed, name in zip(together.images, together.seeds, names, strict=True):
        for label in ("bird", name):
            alone = options.model_copy(update={"seed": seed, "variations": 1})
            again = tiny_editor({"bird": ["boat", "hills"]}, foresight=foresight).edit_class(
                source, mask, label, options=alone
            )
            assert np.array_equal(raw(again.images[0]), raw(image)), (seed, label)


def test_more_like_this_keeps_the_thing_that_was_drawn() -> None:
    editor = tiny_editor({"bird": ["boat", "hills"]})
    thing = LABELS[editor.card.labels.drawn(0, 4)]
    options = EditOptions(seed=20, variations=3, coarse_seeds=(4, 4))
    made = [editor.generate(label, options=options).images for label in ("bird", thing)]
    for first, second in zip(*made, strict=True):
        assert np.array_equal(raw(first), raw(second))


def test_the_masked_area_is_regenerated_and_depends_on_the_seed(editor: Editor) -> None:
    source, mask = noisy_rgb(64, 48), box_mask(64, 48, (10, 10, 40, 40))
    results = [
        editor.inpaint(source, mask, options=EditOptions(seed=s, structure=0)).images[0]
        for s in (1, 2)
    ]
    pixels = [raw(image)[mask] for image in results]
    assert (pixels[0] != raw(source)[mask]).mean() > 0.5
    assert (pixels[0] != pixels[1]).mean() > 0.2


def test_the_same_request_gives_the_same_bytes(editor: Editor) -> None:
    source, mask = noisy_rgb(64, 48), box_mask(64, 48, (10, 10, 40, 40))
    options = EditOptions(seed=5, variations=2)
    first, second = (editor.inpaint(source, mask, "bird", options) for _ in range(2))
    assert [first.png(i) for i in range(2)] == [second.png(i) for i in range(2)]


@pytest.mark.parametrize("task", ["inpaint", "edit_class", "outpaint", "generate"])
def test_a_variation_can_be_made_again_alone_from_its_png(
    editor: Editor, task: str, tmp_path: object
) -> None:
    source, mask = noisy_rgb(60, 40), box_mask(60, 40, (5, 5, 30, 35))
    extra = {"right": 45, "top": "10%"} if task == "outpaint" else {}
    request = EditRequest(
        task=task,
        image=None if task == "generate" else source,
        mask=mask if task in ("inpaint", "edit_class") else None,
        label="boat",
        options=EditOptions(seed=9, variations=3),
        **extra,
    )
    together = editor.run(request)
    assert together.seeds == (9, 10, 11) and len(together.images) == 3
    saved = open_image(together.png(2))
    stored = EditRequest(**json.loads(read_request(saved) or ""))
    assert stored.options.seed == 11
    again = editor.run(stored.model_copy(update={"image": request.image, "mask": request.mask}))
    assert again.images[0].tobytes() == together.images[2].tobytes()
    assert again.png() == together.png(2)


def test_the_last_seed_is_followed_by_the_first(editor: Editor) -> None:
    """Every variation's request must be one that can be read back from its PNG."""
    result = editor.generate("bird", EditOptions(seed=MAX_SEED, variations=2))
    assert result.seeds == (MAX_SEED, 0)
    stored = EditRequest(**json.loads(read_request(open_image(result.png(1))) or ""))
    again = editor.run(stored)
    assert again.images[0].tobytes() == result.images[1].tobytes()


def test_without_a_seed_one_is_drawn_and_told(editor: Editor) -> None:
    result = editor.generate("bird")
    again = editor.generate("bird", EditOptions(seed=result.seeds[0]))
    assert again.images[0].tobytes() == result.images[0].tobytes()


def test_steps_count_every_scale_of_every_frame_and_show_the_picture(editor: Editor) -> None:
    request = EditRequest(
        task="outpaint", image=noisy_rgb(40, 32), right=100, options=EditOptions(variations=2)
    )
    *events, last = editor.steps(request)
    steps = [each for each in events if isinstance(each, ScaleDone)]
    frames = steps[0].frames
    assert frames > 1 and [step.index for step in steps] == list(range(steps[0].of))
    assert [step.scale for step in steps] == list(editor.scales) * frames
    every = [type(event) for event in events if not isinstance(event, Detailing)]
    assert every == ([ScaleDone] * len(editor.scales) + [Painted]) * frames
    for step in steps:
        assert {image.size for image in step.previews()} == {(140, 32)}
        assert len(step.previews()) == 2
    assert len(result_of([last]).images) == len(last.previews()) == 2


def test_closing_the_steps_cancels_within_one_scale(editor: Editor) -> None:
    seen = []
    handle = editor.model.vqvae.quantize.quant_resi.register_forward_hook(lambda *_: seen.append(1))
    try:
        steps = editor.steps(EditRequest(task="generate"))
        next(steps)
        steps.close()
    finally:
        handle.remove()
    assert len(seen) == 1


def test_masks_of_every_kind_mean_the_same(editor: Editor) -> None:
    source, mask = noisy_rgb(40, 30), box_mask(40, 30, (8, 8, 30, 20))
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    painted = Image.new("RGBA", grey.size, (255, 0, 0, 0))
    painted.putalpha(grey)
    kinds = [
        mask, mask.astype(np.uint8), mask.astype(np.uint8) * 255, mask.astype(float),
        grey, grey.convert("1"), grey.convert("RGB"), grey.convert("RGBA"), painted,
    ]  # fmt: skip
    options = EditOptions(seed=1)
    outputs = {editor.inpaint(source, kind, options=options).images[0].tobytes() for kind in kinds}
    assert len(outputs) == 1


def test_labels_are_found_by_name_id_and_display(editor: Editor) -> None:
    assert editor.labels == ["bird", "boat", "hills", "crane (3)", "crane (4)"]
    pictures = {
        editor.generate(label, EditOptions(seed=1)).images[0].tobytes()
        for label in (1, "1", "boat", "Boat ")
    }
    assert len(pictures) == 1 and len(LABELS) == 5


@pytest.mark.parametrize("task", ["inpaint", "generate"])
def test_candidates_give_the_best_first_each_one_that_its_seed_makes_alone(
    editor: Editor, task: str
) -> None:
    source, mask = noisy_rgb(60, 40), box_mask(60, 40, (5, 5, 30, 35))
    fields = {"task": task, "label": "bird"}
    if task == "inpaint":
        fields |= {"image": source, "mask": mask}
    every = editor.run(EditRequest(**fields, options=EditOptions(seed=5, variations=6)))
    best = editor.run(
        EditRequest(**fields, options=EditOptions(seed=5, variations=2, candidates=6))
    )
    assert every.seeds == (5, 6, 7, 8, 9, 10) and len(best.images) == 2
    order = sorted(range(6), key=lambda i: -every.scores[i])[:2]
    assert best.seeds == tuple(every.seeds[i] for i in order)
    assert best.scores == tuple(every.scores[i] for i in order)
    for index, place in enumerate(order):
        assert best.images[index].tobytes() == every.images[place].tobytes()
    alone = best.request_of(1)
    assert alone.options.candidates is None and alone.options.seed == best.seeds[1]
    again = alone.model_copy(update={k: fields[k] for k in ("image", "mask") if k in fields})
    assert editor.run(again).images[0].tobytes() == best.images[1].tobytes()


def test_class_edits_fill_their_frame_more_than_inpainting_does(editor: Editor) -> None:
    source, mask = noisy_rgb(300, 200), box_mask(300, 200, (100, 60, 170, 130))
    fields = {"image": source, "mask": mask}
    (near,) = editor.plan(EditRequest(task="edit_class", label="bird", **fields)).windows
    (wide,) = editor.plan(EditRequest(task="inpaint", label="bird", **fields)).windows
    assert near.side == 88 and wide.side == 140


def test_candidates_are_drawn_behind_the_scenes(editor: Editor) -> None:
    """Progress and previews are those of the variations that were asked for; closing cancels."""
    source, mask = noisy_rgb(60, 40), box_mask(60, 40, (5, 5, 30, 35))
    request = EditRequest(
        task="inpaint", image=source, mask=mask, options=EditOptions(variations=2, candidates=4)
    )
    *events, last = editor.steps(request)
    steps = [each for each in events if isinstance(each, ScaleDone)]
    assert [len(step.previews()) for step in [*steps, last]] == [2] * 4
    assert len(steps) == len(editor.scales)
    running = editor.steps(request)
    next(running)
    running.close()
    with pytest.raises(RequestError, match="candidates: 1 are too few for 3 variations"):
        editor.generate("bird", EditOptions(variations=3, candidates=1))


@pytest.mark.parametrize("speed", ["exact", "fast"])
@pytest.mark.parametrize("label", [None, "bird"])
def test_keeping_the_composition_keeps_scales_of_what_the_mask_hides(
    editor: Editor, label: str | None, speed: str
) -> None:
    mask, one = box_mask(40, 40, (8, 8, 30, 30)), noisy_rgb(40, 40, seed=1)
    other = one.copy()
    other.paste(noisy_rgb(22, 22, seed=2).convert("L").convert("RGB"), (8, 8))

    def made(source: Image.Image, kept: int | None) -> np.ndarray:
        options = EditOptions(
            seed=3, composition=kept, speed=speed, detail="model", backdrop=False
        )
        task = "inpaint" if label is None else "edit_class"
        asked = EditRequest(task=task, image=source, mask=mask, label=label, options=options)
        return raw(editor.run(asked).images[0])

    every = len(editor.scales)
    assert not np.array_equal(made(one, every), made(other, every)), "it is what was hidden"
    assert not np.array_equal(made(one, every), made(one, None))
    if label is None and speed == "exact":  # the others see what is to go in other ways
        assert np.array_equal(made(one, None), made(other, None)), "else nobody knows what was"
