"""Several parts of a picture, each with a class of its own, in one edit."""
from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import EditOptions, EditRequest, MaskError
from engine.editor import Editor
from engine.events import ScaleDone, result_of
from engine.picture.files import open_image, read_request
from engine.plan.regions import painting_order
from engine.request import Region
from tests.pictures import MODES, assert_untouched, box_mask, masks, noisy_rgb, picture, raw
from tests.tiny import tiny_editor


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_pixels_outside_all_regions_are_the_source_bytes(
    editor: Editor, data: st.DataObject, mode: str
) -> None:
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
            editor.run(request)
        return
    for image in editor.run(request).images:
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
    steps, result = [each for each in events if isinstance(each, ScaleDone)], result_of([last])
    assert [step.index for step in steps] == list(range(steps[0].of))
    assert steps[-1].frames == 2 and len(steps) == 2 * len(editor.scales)
    stored = EditRequest(**json.loads(read_request(open_image(result.png(1))) or ""))
    assert [region.label for region in stored.regions] == ["bird", "hills"]
    assert [region.mask for region in result.request_of(1).regions] == [None, None]
    again = stored.model_copy(update={"image": request.image, "regions": request.regions})
    assert editor.run(again).images[0].tobytes() == result.images[1].tobytes()
