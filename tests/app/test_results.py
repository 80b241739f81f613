"""Variations: which comes first, what is said and shown of each, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from app import canvas, screens, views
from app.handlers import Handlers
from app.moments import Run, Variation
from app.screens import caption, note, rank
from app.session import Session
from engine.picture.files import open_image, read_request
from engine.request import EditRequest
from tests.app.layers import layer
from tests.app.visit import LEFT, RIGHT, a_ticket, begin, last, mask, remembered, run
from tests.pictures import noisy_rgb


def test_more_like_this_keeps_the_first_scales_and_nests(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT), seed="7",
                  guidance="", temperature="1.25")  # fmt: skip
    # painted meanwhile: a re-roll is about the mask of its run
    session = session.masked(mask(RIGHT))

    def more(session: Session, scales: int) -> Session:
        ticket = a_ticket()
        screens = handlers.runs.more(ticket, scales, session, None, variations=2)
        return remembered(handlers, screens)[-1]["session"]

    once = more(session, 2)
    options = once.result.request.options
    assert options.coarse_seeds == (7, 7) and options.temperature == 1.25
    assert options.seed not in (None, 7) and len(once.results) == 2
    before = np.asarray(open_image(photo))
    changed = (np.asarray(once.result.image) != before).any(axis=2)
    assert changed[LEFT[1] : LEFT[3], LEFT[0] : LEFT[2]].any() and not changed[:, 25:].any()
    twice = more(once.chose(1), 3)
    assert twice.result.request.options.coarse_seeds == (7, 7, once.results[1].seed)


def test_the_edit_is_on_the_after_side_of_the_slider(handlers: Handlers, photo: str) -> None:
    session = begin(handlers, photo)
    for painted, place in ((LEFT, 100 * 5 / 60 - 3), (RIGHT, 50.0), ((0, 0, 60, 40), 3.0)):
        session = run(handlers, session, layer(painted), seed="1")
        assert views.divide(session.result) == pytest.approx(place)
        assert f"--at:{place:.1f}%" in screens.of_result(session)["compare"]["value"]
    wide = run(handlers, session, "", "outpaint", **{"extend-left": "50%"})
    assert views.divide(wide.result) == 50


def test_the_best_variation_comes_first_and_is_chosen(handlers: Handlers, photo: str) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT), seed="7", variations=4)
    scores = [v.score for v in session.results]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4
    assert session.result is session.results[0]
    assert {v.seed for v in session.results} == {7, 8, 9, 10}
    assert [v.request.options.seed for v in session.results] == [v.seed for v in session.results]
    assert "best match of 4" in note(session.result, 1)


def test_a_thumbnail_shows_the_edit_and_a_little_around_it(
    handlers: Handlers, tmp_path: Path
) -> None:
    """Of a picture whose edit is a small part: not its middle, and not all of it."""
    path = tmp_path / "wide.png"
    noisy_rgb(600, 200).save(path)
    edit = (20, 30, 50, 60)
    session = run(handlers, begin(handlers, str(path)), layer(edit, size=(600, 200)), seed="1")
    left, top, right, bottom = views._box_of("inpaint", views._masks_of(session.result))
    box = (left * 600, top * 200, right * 600, bottom * 200)
    assert box[0] <= 20 and box[1] <= 30 and box[2] >= 50 and box[3] >= 60
    assert box[2] - box[0] < 120 and box[3] - box[1] < 90
    width, height = views.edit_thumb(session.result).size
    assert width / height == pytest.approx(views.SHAPE, abs=0.05)
    wide = run(handlers, session, "", "outpaint", **{"extend-left": "50%"})
    assert views.edit_thumb(wide.result).size[0] / views.edit_thumb(wide.result).size[1] > 4


def test_download_saves_what_the_canvas_shows(handlers: Handlers, photo: str) -> None:
    def saved(session: Session, seen: str = "") -> bytes:
        return open_image(last(handlers.saving.picture("PNG", session, seen))["file"]).tobytes()

    session = run(handlers, begin(handlers, photo), layer(LEFT), seed="7", variations=2)
    before, first = open_image(photo).tobytes(), session.results[0].image.tobytes()
    assert saved(session) == first and saved(session, "0") == before
    used = session.used()
    assert saved(used) == first
    undone = used.undone()
    assert saved(undone) == before, "not the result beside it"
    assert saved(undone, "1") == first
    assert saved(undone.chose(1)) == session.results[1].image.tobytes()
    assert saved(used.jumped(0)) == before


def test_a_kept_variation_is_marked_and_downloaded_without_being_used(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT), seed="7", variations=2)
    screen = last(handlers.keep(session.chose(1)))
    captions = [caption for _, caption in screen["results"]["value"]]
    first, second = (v.seed for v in session.results)
    assert captions[:2] == [f"#1 · seed {first}", f"★ #2 · seed {second}"]
    assert screen["keep"]["value"] == "Kept"
    session = run(handlers, screen["session"], layer(RIGHT), seed="20")
    chosen = last(handlers.choose(1, session))["session"]
    path = last(handlers.saving.picture("PNG", chosen))["file"]
    assert f'"seed":{second}' in (read_request(open_image(path)) or "")
    assert len(session.moments) == 1


def test_a_result_says_its_seed_its_place_among_the_others_and_its_time(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT), seed="7", variations=2)
    screen = last(handlers.choose(1, session))
    text = screen["result-note"]
    first, second = (v.score for v in session.results)
    assert "2nd best of 2" in text and first >= second
    assert f"#2 · seed {session.results[1].seed}" in text and " s of " in text
    assert "how likely the model finds it" in text and f"Score {second:.2f}" in text
    alone = run(handlers, session, layer(LEFT), seed="7", variations=1)
    assert "best" not in last(handlers.choose(0, alone))["result-note"]


@pytest.mark.parametrize(
    ("place", "words"),
    [(1, "best match of 12"), (2, "2nd best of 12"), (3, "3rd best of 12"),
     (4, "4th best of 12"), (11, "11th best of 12"), (12, "12th best of 12")],
)  # fmt: skip
def test_a_place_is_told_in_words(place: int, words: str) -> None:
    scores = tuple(-float(n) for n in range(1, 13))
    held = Session().vault.hold(mask(LEFT))
    request = EditRequest(task="inpaint")
    variation = Variation(held, 7, request, Run(None, 1.0, 12, scores=scores), -float(place))
    assert rank(variation) == words
    assert caption(variation, 5, kept=False) == "#5 · seed 7"
    drawn = replace(variation, seed=1_234_567_890)
    assert caption(drawn, 5, kept=False) == ("#5 · best" if place == 1 else "#5")
    assert "seed 1234567890" in note(drawn, 5)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(3000, 2100), (2300, 2500), (2049, 40)])
def test_a_part_of_what_the_page_shows_is_made_as_the_whole_is(
    mode: str, size: tuple[int, int]
) -> None:
    image = noisy_rgb(*size).convert(mode)
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(
        ImageCms.createProfile("sRGB")
    ).tobytes() if mode == "RGB" else b""  # fmt: skip
    whole, rng = canvas.proxy(image), np.random.default_rng(2)
    for _ in range(8):
        (left, right), (top, bottom) = (
            sorted(rng.choice(side + 1, 2, replace=False)) for side in whole.size
        )
        box = (int(left), int(top), int(right), int(bottom))
        part = canvas.proxy_part(image, box)
        assert part is not None and part.size == whole.crop(box).size
        apart = np.abs(np.asarray(part, int) - np.asarray(whole.crop(box), int))
        assert apart.max() <= 1 and (apart > 0).mean() < 0.01, "but for the rounding of places"


@pytest.mark.parametrize("image", [
    Image.new("RGB", (500, 400)), Image.new("RGBA", (3000, 20)), Image.new("L", (9000, 20)),
])  # fmt: skip
def test_where_the_whole_is_needed_there_is_no_part(image: Image.Image) -> None:
    assert canvas.proxy_part(image, (0, 0, 5, 5)) is None


def test_of_a_result_only_what_was_painted_is_made_anew_for_the_page(
    handlers: Handlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, size = tmp_path / "large.png", (2600, 1800)
    noisy_rgb(*size).save(path)
    session = begin(handlers, str(path))
    spot = Image.new("L", canvas.proxy_size(size))
    spot.paste(255, (700, 500, 760, 540))
    whole: list[Image.Image] = []
    shown = canvas.shown
    monkeypatch.setattr(canvas, "shown", lambda *given: whole.append(given[0]) or shown(*given))
    result = run(handlers, session, canvas.as_layer(spot, spot.size), seed="5").result
    assert whole == []
    made, due = (np.asarray(each, int) for each in (views._shown[result.held], shown(result.image)))
    apart = np.abs(made - due)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.001
    assert views.result_url(result) == views.picture_url(result.held)
