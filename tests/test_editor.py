"""The editor as a caller uses it: untouched pixels, sizes, modes, determinism, mistakes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import EditOptions, EditRequest, EngineError, MaskError, RequestError
from engine.editor import Editor
from engine.events import Detailing, Event, Finished, Painted, Result, ScaleDone
from engine.options import MAX_SEED
from engine.picture.files import open_image, read_request
from engine.plan.regions import painting_order
from engine.request import Region
from tests.house import ROOT
from tests.pictures import MODES, noisy_rgb, picture
from tests.tiny import LABELS, tiny_editor


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


def box_mask(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def scales_done(events: list[Event]) -> list[ScaleDone]:
    return [event for event in events if isinstance(event, ScaleDone)]


def result_of(event: Event) -> Result:
    assert isinstance(event, Finished)
    return event.result


def raw(image: Image.Image) -> np.ndarray:
    return np.asarray(image).reshape(image.height, image.width, -1)


def assert_untouched(source: Image.Image, result: Image.Image, mask: np.ndarray) -> None:
    assert (result.mode, result.size) == (source.mode, source.size)
    assert np.array_equal(raw(source)[~mask], raw(result)[~mask])
    if source.mode == "P":
        assert result.getpalette() == source.getpalette()
    for key in ("icc_profile", "transparency"):
        assert result.info.get(key) == source.info.get(key)


@st.composite
def masks(draw: st.DrawFn, width: int, height: int) -> np.ndarray:
    """Boxes, hairlines, specks, several parts, borders and everything."""
    mask = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(1, 3))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        w = draw(st.sampled_from([1, 2, 7, width]))
        h = draw(st.sampled_from([1, 3, 9, height]))
        mask[y : y + h, x : x + w] = True
    return mask


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mode=st.sampled_from(MODES), seed=st.integers(0, 2**53 - 1))
def test_pixels_outside_the_mask_are_the_source_bytes(
    data: st.DataObject, mode: str, seed: int
) -> None:
    width, height = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    mask = data.draw(masks(width, height))
    options = EditOptions(
        seed=seed,
        feather=data.draw(st.sampled_from([None, 0, 1, 5, 200])),
        context=data.draw(st.sampled_from(["auto", "whole", 0, 3, 500])),
        rule=data.draw(st.sampled_from(["default", "paper"])),
        blend=data.draw(st.sampled_from([None, "none", "membrane"])),
        detail=data.draw(st.sampled_from([None, "picture", "model"])),
        grow=data.draw(st.sampled_from([None, 0, 3, 64])),
        soft_scales=data.draw(st.sampled_from([None, 0, 1, 16])),
        fill=data.draw(st.sampled_from([None, "none", "push_pull", "sideways"])),
        structure=data.draw(st.sampled_from([None, 0, 2])),
    )
    source = picture(mode, width, height, seed=seed % 7)
    before = source.tobytes()
    editor = data.draw(st.sampled_from([EDITOR, FORESEEING]))
    result = editor.inpaint(source, mask, options=options)
    assert_untouched(source, result.images[0], mask)
    assert source.tobytes() == before, "the caller's picture was written to"


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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_extending_keeps_every_byte_of_the_source(data: st.DataObject, mode: str) -> None:
    width, height = data.draw(st.integers(1, 80)), data.draw(st.integers(1, 80))
    sides = [data.draw(st.sampled_from([0, 0, 1, 9, 70, "33%"])) for _ in range(4)]
    left, right, top, bottom = sides
    source = picture(mode, width, height)
    request = EditRequest(
        task="outpaint", image=source, left=left, right=right, top=top, bottom=bottom
    )
    amounts = request.margins(width, height)
    if not any(amounts):
        with pytest.raises(RequestError, match="needs an amount"):
            EDITOR.run(request)
        return
    (wide,) = EDITOR.run(request).images
    assert wide.size == (width + amounts[0] + amounts[1], height + amounts[2] + amounts[3])
    assert wide.mode == source.mode
    x, y = amounts[0], amounts[2]
    assert np.array_equal(raw(wide)[y : y + height, x : x + width], raw(source))


EDITOR = tiny_editor()
FORESEEING = tiny_editor(foresight=True)


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
    steps = scales_done(events)
    frames = steps[0].frames
    assert frames > 1 and [step.index for step in steps] == list(range(steps[0].of))
    assert [step.scale for step in steps] == list(editor.scales) * frames
    every = [type(event) for event in events if not isinstance(event, Detailing)]
    assert every == ([ScaleDone] * len(editor.scales) + [Painted]) * frames
    for step in steps:
        assert {image.size for image in step.previews()} == {(140, 32)}
        assert len(step.previews()) == 2
    assert len(result_of(last).images) == len(last.previews()) == 2


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


def test_a_rotated_photo_comes_out_upright_with_its_pixels_untouched(
    editor: Editor, tmp_path: object
) -> None:
    source = noisy_rgb(60, 40)
    exif = source.getexif()
    exif[0x0112] = 6
    source.info["exif"] = exif.tobytes()
    upright = source.transpose(Image.Transpose.ROTATE_270)
    mask = box_mask(40, 60, (0, 0, 10, 10))
    (image,) = editor.inpaint(source, mask).images
    assert image.size == (40, 60)
    assert np.array_equal(raw(image)[~mask], raw(upright)[~mask])
    assert 0x0112 not in image.getexif()


def test_a_large_picture_is_edited_at_full_resolution(editor: Editor) -> None:
    source = Image.new("RGB", (8000, 5000), (10, 200, 30))
    mask = box_mask(8000, 5000, (7000, 10, 7900, 800))
    (image,) = editor.inpaint(source, mask).images
    assert_untouched(source, image, mask)


DAMAGED = """
import sys
import numpy as np
from engine import DamageError
from engine.picture.source import Source
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

patch = Source.patch
def damaging(self, box, rgb, mask):
    image = patch(self, box, rgb, mask)
    image.putpixel((63, 0), (1, 2, 3))
    return image
mask = np.zeros((48, 64), bool)
mask[10:30, 10:30] = True
editor = tiny_editor()
editor.inpaint(noisy_rgb(64, 48), mask)
Source.patch = damaging
try:
    editor.inpaint(noisy_rgb(64, 48), mask)
except DamageError as error:
    print(sys.flags.optimize, "refused:", error)
"""


@pytest.mark.parametrize("flags", [[], ["-O"]], ids=["asserting", "optimised"])
def test_a_damaged_picture_is_not_handed_over(flags: list[str]) -> None:
    """Also where ``python -O`` switches assertions off."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", DAMAGED], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{len(flags)} refused: a pixel outside the mask")
    assert done.stdout.count("\n") == 1


def bad_requests() -> list[tuple[str, dict[str, object]]]:
    source, mask = noisy_rgb(20, 10), np.ones((10, 20), bool)
    return [
        ("mask is 10x20, the picture 20x10", {"image": source, "mask": mask.T}),
        ("mask is empty", {"image": source, "mask": np.zeros((10, 20), bool)}),
        ("needs a mask", {"image": source}),
        ("needs a picture", {"mask": mask}),
        ("needs a label", {"task": "edit_class", "image": source, "mask": mask}),
        ("near ones: 'bird'", {"image": source, "mask": mask, "label": "brid"}),
        ("'crane [(]3[)]' or 'crane [(]4[)]'", {"image": source, "mask": mask, "label": "crane"}),
        ("needs an amount", {"task": "outpaint", "image": source}),
        ("beyond the limit", {"task": "outpaint", "image": source, "right": 16384, "top": 16384}),
        ("'var-d16', but 'tiny'", {"image": source, "mask": mask, "model": "var-d16"}),
        ("one channel", {"image": source, "mask": np.ones((10, 20, 3))}),
    ]


@pytest.mark.parametrize(("message", "fields"), bad_requests(), ids=lambda v: str(v)[:24])
def test_a_mistake_is_told_in_one_line(
    editor: Editor, message: str, fields: dict[str, object]
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        editor.run(EditRequest(**{"task": "inpaint", **fields}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "paint"}, "task: input should be 'inpaint'"),
        ({"left": -3}, "left: must not be negative"),
        ({"right": "abc"}, "right: expected pixels"),
        ({"right": 10**9}, "right: must be at most 16384"),
        ({"right": "1e9%"}, "right: must be at most 400%"),
        ({"top": True}, "top: expected a number"),
        ({"options": {"seed": "x"}}, "seed: input should be a valid integer"),
        ({"options": {"variations": 99}}, "variations: input should be less"),
        ({"options": {"guidance": float("nan")}}, "guidance: "),
        ({"options": {"sed": 1}}, "unknown option 'sed'; known: seed"),
        ({"options": {"context": "much"}}, 'expected "auto"'),
        ({"image": "photo.jpg"}, "image: input should be an instance of Image"),
        ({"label": True}, "label: expected a number"),
    ],
)
def test_a_malformed_request_names_the_field(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        EditRequest(**{"task": "inpaint", **fields})
    assert message in str(caught.value) and "\n" not in str(caught.value)


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


def test_an_empty_mask_picture_is_a_mask_error(editor: Editor) -> None:
    with pytest.raises(MaskError):
        editor.inpaint(noisy_rgb(9, 9), Image.new("L", (9, 9)))


@pytest.mark.parametrize("place", [(0, 0), (20, 20)], ids=["outside", "under the mask"])
def test_a_picture_with_values_that_are_no_numbers_can_be_edited(
    editor: Editor, place: tuple[int, int]
) -> None:
    values = np.array(picture("F", 60, 40))
    values[place] = np.nan
    values[place[0], place[1] + 1 : place[1] + 3] = np.inf, -np.inf
    source, mask = Image.fromarray(values), box_mask(60, 40, (15, 15, 40, 30))
    request = EditRequest(task="inpaint", image=source, mask=mask, options=EditOptions(seed=1))
    *events, last = editor.steps(request)
    assert all(len(step.previews()) == 1 for step in [*scales_done(events), last])
    found = np.asarray(result_of(last).images[0])
    assert found.tobytes() != source.tobytes() and np.isfinite(found[mask]).all()
    assert found[~mask].tobytes() == values[~mask].tobytes()
    assert open_image(result_of(last).png()).size == source.size
    wide = editor.outpaint(source, right=8, options=EditOptions(seed=1))
    assert np.asarray(wide.images[0])[:, :60].tobytes() == values.tobytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_pixels_outside_all_regions_are_the_source_bytes(data: st.DataObject, mode: str) -> None:
    width, height = data.draw(st.integers(2, 80)), data.draw(st.integers(2, 80))
    several = [data.draw(masks(width, height)) for _ in range(data.draw(st.integers(1, 3)))]
    source = picture(mode, width, height)
    regions = tuple(
        Region(mask=mask, label=label) for mask, label in zip(several, (0, 1, 2), strict=False)
    )
    options = EditOptions(
        seed=1, variations=2, candidates=data.draw(st.sampled_from([None, 3])),
        backdrop=data.draw(st.sampled_from([None, True])),
    )  # fmt: skip
    request = EditRequest(task="edit_class", image=source, regions=regions, options=options)
    try:
        painting_order(several)
    except MaskError:
        with pytest.raises(MaskError, match="wholly under"):
            EDITOR.run(request)
        return
    for image in EDITOR.run(request).images:
        assert_untouched(source, image, np.logical_or.reduce(several))


def test_one_region_is_the_same_edit_as_a_mask_with_its_label(editor: Editor) -> None:
    source, mask = noisy_rgb(64, 48), box_mask(64, 48, (10, 10, 40, 40))
    options = EditOptions(seed=4, variations=2)
    alone = editor.edit_class(source, mask, "boat", options)
    region = Region(mask=mask, label="boat")
    request = EditRequest(task="edit_class", image=source, regions=(region,), options=options)
    result = editor.run(request)
    assert [i.tobytes() for i in result.images] == [i.tobytes() for i in alone.images]
    asked = alone.request.model_copy(update={"image": source, "mask": mask})
    assert result.scores == alone.scores
    assert editor.plan(request).windows == editor.plan(asked).windows


def two_regions(source: Image.Image, **options: object) -> tuple[EditRequest, list[np.ndarray]]:
    """A small region that overlaps the corner of a large one, the small one given first."""
    small = box_mask(*source.size, (30, 5, 50, 20))
    large = box_mask(*source.size, (5, 10, 45, 40))
    regions = (Region(mask=small, label="bird"), Region(mask=large, label="hills"))
    return (
        EditRequest(
            task="edit_class", image=source, regions=regions, options=EditOptions(**options)
        ),
        [small, large],
    )


def test_the_larger_region_comes_first_and_the_smaller_sees_it_and_lies_on_top(
    editor: Editor,
) -> None:
    source = noisy_rgb(64, 48)
    request, (small, large) = two_regions(source, seed=3, variations=2)
    both = editor.run(request)
    assert len(editor.plan(request).windows) == 2
    swapped = request.model_copy(update={"regions": request.regions[::-1]})
    assert editor.run(swapped).images[1].tobytes() == both.images[1].tobytes()
    hills = editor.edit_class(source, large, "hills", EditOptions(seed=4)).images[0]
    only_large = large & ~small
    assert (raw(both.images[1])[only_large] != raw(source)[only_large]).mean() > 0.3
    assert (raw(both.images[1])[small] != raw(hills)[small]).mean() > 0.3


def test_a_region_does_not_see_what_a_later_one_will_replace(editor: Editor) -> None:
    """The later region's old pixels are another picture; outside it nothing may differ."""
    source = noisy_rgb(64, 48)
    small, large = box_mask(64, 48, (46, 5, 60, 20)), box_mask(64, 48, (5, 10, 45, 40))
    other = np.array(source)
    other[small] = 255 - other[small]
    regions = (Region(mask=large, label="hills"), Region(mask=small, label="bird"))
    images = [
        editor.run(
            EditRequest(
                task="edit_class", image=image, regions=regions, options=EditOptions(seed=1)
            )
        ).images[0]
        for image in (source, Image.fromarray(other))
    ]
    assert np.array_equal(raw(images[0])[large], raw(images[1])[large])


def test_regions_count_their_steps_together_and_can_be_made_again(editor: Editor) -> None:
    request, _ = two_regions(noisy_rgb(64, 48), seed=3, variations=2)
    *events, last = editor.steps(request)
    steps, result = scales_done(events), result_of(last)
    assert [step.index for step in steps] == list(range(steps[0].of))
    assert steps[-1].frames == 2 and len(steps) == 2 * len(editor.scales)
    stored = EditRequest(**json.loads(read_request(open_image(result.png(1))) or ""))
    assert [region.label for region in stored.regions] == ["bird", "hills"]
    assert [region.mask for region in result.request_of(1).regions] == [None, None]
    again = stored.model_copy(update={"image": request.image, "regions": request.regions})
    assert editor.run(again).images[0].tobytes() == result.images[1].tobytes()


def bad_regions() -> list[tuple[str, dict[str, object]]]:
    mask = np.ones((10, 20), bool)
    bird = Region(mask=mask, label="bird")
    return [
        ("belong to edit_class", {"task": "inpaint", "regions": (bird,)}),
        ("not both", {"regions": (bird,), "mask": mask}),
        ("not both", {"regions": (bird,), "label": "bird"}),
        ("region 2 needs a mask", {"regions": (bird, Region(label="boat"))}),
        ("near ones: 'bird'", {"regions": (Region(mask=mask, label="brid"),)}),
        ("mask of region 2 is 10x20", {"regions": (bird, Region(mask=mask.T, label="boat"))}),
        ("mask is empty", {"regions": (Region(mask=~mask, label="boat"),)}),
        ("region 1 lies wholly under", {"regions": (bird, Region(mask=mask, label="boat"))}),
    ]


@pytest.mark.parametrize(("message", "fields"), bad_regions(), ids=lambda v: str(v)[:24])
def test_a_mistake_in_a_region_is_told_in_one_line(
    editor: Editor, message: str, fields: dict[str, object]
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        editor.run(EditRequest(**{"task": "edit_class", "image": noisy_rgb(20, 10), **fields}))
    assert "\n" not in str(caught.value)


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
    steps = scales_done(events)
    assert [len(step.previews()) for step in [*steps, last]] == [2] * 4
    assert len(steps) == len(editor.scales)
    running = editor.steps(request)
    next(running)
    running.close()
    with pytest.raises(RequestError, match="candidates: 1 are too few for 3 variations"):
        editor.generate("bird", EditOptions(variations=3, candidates=1))
