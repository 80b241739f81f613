"""What a window comes back to, takes along and goes on with: real engine, tiny networks."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import project, screens, views
from app import runs as runs_module
from app.handlers import Handlers
from app.moments import Marked, Run, Variation
from app.runs import Job, Runs
from app.screens import Screen, caption, note, rank
from app.session import Session
from app.views import tints
from app.wiring import FIELDS
from engine.errors import ImageError, MaskError, RequestError
from engine.picture.files import open_image, read_request
from engine.plan.labels import Labels
from engine.request import EditRequest, Region
from engine.request.options import EditOptions
from tests.app.layers import layer
from tests.app.waiting import becomes_free
from tests.pictures import lab_free_profile, noisy_rgb
from tests.tiny import tiny_editor

LEFT, RIGHT = (5, 10, 25, 30), (35, 10, 55, 30)


def mask(*boxes: tuple[int, int, int, int]) -> Image.Image:
    picture = Image.new("L", (60, 40), 0)
    for box in boxes:
        picture.paste(255, box)
    return picture


def last(screens: Iterator[Screen]) -> Screen:
    return list(screens)[-1]


def remembered(handlers: Handlers, screens: Iterator[Screen]) -> list[Screen]:
    """As the page does: every session that is shown is remembered."""
    seen = []
    for screen in screens:
        if "session" in screen:
            handlers.store.put(screen["session"])
        seen.append(screen)
    return seen


def begin(handlers: Handlers, photo: str | None = None, recalled: Any = None) -> Session:
    session = remembered(handlers, handlers.opened(recalled))[0]["session"]
    if photo is not None:
        session = remembered(handlers, handlers.open_picture(photo, "", "inpaint", session))[-1][
            "session"
        ]
    return session


def run(handlers: Handlers, session: Session, painted: str, task: str = "inpaint",
        label: str | None = None, **fields: Any) -> Session:  # fmt: skip
    handlers.store.put(session)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    screens = handlers.runs.run(ticket, painted, session, task, label, None, **fields)
    return remembered(handlers, screens)[-1]["session"]


# ---- coming back --------------------------------------------------------------------------------


def test_a_page_that_is_opened_again_finds_picture_mask_history_settings_and_results(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    session = run(handlers, session, layer(LEFT), seed="3", variations=2)
    session = remembered(handlers, handlers.use("inpaint", "", session))[-1]["session"]
    fields = {"task": "edit_class", "label": "bird", "seed": "12", "variations": 4}
    screens = remembered(handlers, handlers.opened({"key": session.key, "fields": fields}))
    first, back = screens[0], screens[0]["session"]
    assert back.key != session.key and back.key in first["key"]
    assert (len(back.moments), back.at) == (2, 1)
    assert back.undone().picture.mask.getbbox() == LEFT
    assert [v.seed for v in back.results] == [3, 4]
    assert (first["task"], first["seed"], first["variations"]) == ("edit_class", "12", 4)
    assert first["results"]["visible"] and first["region-box"]["visible"]
    assert back.version == session.version + 1  # or the canvas would stay empty
    assert f'data-version="{back.version}"' in first["facts"] and first["shown"] == (60, 40)
    assert first["label"]["value"] == "bird"  # at once, or the new task would forget it


@pytest.mark.parametrize("recalled", [None, 7, {}, {"key": 7}, {"key": "guessed", "fields": 7},
                                      {"key": None, "mask": "x", "version": "y"}])  # fmt: skip
def test_a_page_that_recalls_nothing_or_nonsense_begins_anew(
    handlers: Handlers, recalled: Any
) -> None:
    screens = remembered(handlers, handlers.opened(recalled))
    assert screens[0]["session"].current is None and screens[0]["task"] == "inpaint"
    assert "Open a picture" in screens[-1]["status"]


def test_a_run_goes_on_for_the_page_that_is_opened_again(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    fields = {"extend-right": "200%", "seed": "5"}
    left = handlers.runs.run(ticket, "", session, "outpaint", None, None, **fields)
    remembered(handlers, (next(left) for _ in range(2)))
    left.close()  # the page is reloaded
    screens = remembered(handlers, handlers.opened({"key": session.key}))
    assert screens[-1]["session"].result.seed == 5
    assert "Done" in screens[-1]["status"]
    assert any(screen.get("ticket") == ticket for screen in screens)


def test_a_run_that_ends_while_its_page_is_going_is_shown_by_the_next(
    handlers: Handlers, photo: str
) -> None:
    """The old page is told the result, but is gone before it can show it."""
    session = begin(handlers, photo)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    old = handlers.runs.run(ticket, layer(LEFT), session, "inpaint", None, None, seed="5")
    remembered(handlers, (next(old) for _ in range(1)))
    # with a mask that it recalls, as a refreshed page does
    painted = {"mask": layer(RIGHT), "version": session.version}
    new = handlers.opened({"key": session.key, **painted})
    screens = remembered(handlers, (next(new) for _ in range(1)))
    assert screens[0]["session"].outcome is None
    told = Thread(target=lambda: list(old))  # nobody remembers what it shows
    told.start()
    screens += remembered(handlers, new)
    told.join()
    assert screens[-1]["session"].result.seed == 5
    assert screens[-1]["session"].key == screens[0]["session"].key != session.key
    assert screens[-1]["session"].version == screens[0]["session"].version
    assert "Done" in screens[-1]["status"] and screens[-1]["run"]["interactive"]
    assert not handlers.runs._jobs


def test_a_run_whose_page_does_not_come_back_ends(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "GRACE", 0.05)
    session = begin(handlers, photo)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    fields = {"extend-right": "400%", "extend-bottom": "400%", "variations": 8}
    left = handlers.runs.run(ticket, "", session, "outpaint", None, None, **fields)
    next(left)
    next(left)
    left.close()
    assert becomes_free(handlers.backend, 30)
    assert not handlers.runs._jobs


def test_a_duplicated_page_does_not_take_the_run_of_the_other(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "TAKE_OVER", 0.05)
    session = begin(handlers, photo)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    here = handlers.runs.run(ticket, "", session, "outpaint", None, None, **{"extend-right": "50%"})
    remembered(handlers, (next(here) for _ in range(1)))
    other = remembered(handlers, handlers.opened({"key": session.key}))
    assert not any("ticket" in screen for screen in other)
    assert "Done" in remembered(handlers, here)[-1]["status"]


def test_what_happens_during_a_run_is_not_undone_by_its_end(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    session = run(handlers, session, layer(LEFT), seed="1")
    session = remembered(handlers, handlers.use("inpaint", "", session))[-1]["session"]
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    under_way = handlers.runs.run(ticket, layer(RIGHT), session, "inpaint", None, None)
    next(under_way)
    started = handlers.store.latest(session)
    remembered(handlers, handlers.undo("", started))
    after = remembered(handlers, under_way)[-1]["session"]
    assert after.at == 0 and len(after.moments) == 2
    assert after.result.base.same(started.moments[1])


# ---- in line ------------------------------------------------------------------------------------


def test_a_page_that_was_busy_is_told_the_newest_only() -> None:
    job = Job("key")
    for number in range(3):
        job.news.put(("step", {"preview": number, f"only-{number}": True}))
    job.news.put(("end", None))
    newest = {"preview": 2, "only-0": True, "only-1": True, "only-2": True}
    assert Runs._newer(job) == newest
    assert job.news.get() == ("end", None)
    assert Runs._newer(job) == {}


def test_a_run_in_line_says_how_many_are_before_it(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    waiting = handlers.runs.run(ticket, layer(LEFT), session, "inpaint", None, None)
    with handlers.backend.alone():
        texts = [str(next(waiting)["status"]) for _ in range(2)]
        assert "1 run is before yours" in texts[1]
        list(handlers.runs.cancel(ticket, session))
        assert "Cancelled" in next(waiting)["status"]  # at once, not when the other has ended
    end = time.monotonic() + 10
    while len(handlers.backend.line) and time.monotonic() < end:
        time.sleep(0.01)
    assert not len(handlers.backend.line)


# ---- results ------------------------------------------------------------------------------------


def test_more_like_this_keeps_the_first_scales_and_nests(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT), seed="7",
                  guidance="", temperature="1.25")  # fmt: skip
    # painted meanwhile: a re-roll is about the mask of its run
    session = session.masked(mask(RIGHT))

    def more(session: Session, scales: int) -> Session:
        ticket = last(handlers.runs.prepare("", session))["ticket"]
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


# ---- regions ------------------------------------------------------------------------------------


def test_regions_are_painted_one_after_the_other_and_edited_together(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    screen = last(handlers.masks.add_region(layer(LEFT), "bird", session))
    assert "bird" in screen["regions"] and screen["session"].picture.mask is None
    session = run(handlers, screen["session"], layer(RIGHT), "edit_class", "boat",
                  seed="7")  # fmt: skip
    saved = last(handlers.saving.picture("PNG", session))["file"]
    regions = (Region(mask=mask(LEFT), label="bird"), Region(mask=mask(RIGHT), label="boat"))
    request = EditRequest(task="edit_class", image=open_image(photo), regions=regions,
                          options=EditOptions(seed=7))  # fmt: skip
    assert Path(saved).read_bytes() == tiny_editor().run(request).png(0)


def test_a_region_needs_a_class_and_some_paint_and_can_be_taken_away(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    with pytest.raises(RequestError, match="choose a class"):
        last(handlers.masks.add_region(layer(LEFT), "", session))
    with pytest.raises(MaskError, match="mask is empty"):
        last(handlers.masks.add_region(layer(), "bird", session))
    session = last(handlers.masks.add_region(layer(LEFT), "bird", session))["session"]
    screen = last(handlers.masks.remove_region(0, layer(RIGHT), session))
    assert screen["regions"] == "" and screen["session"].picture.regions == ()
    assert screen["session"].picture.mask.getbbox() == RIGHT


def test_regions_are_shown_in_their_colours() -> None:
    session = Session().opened(noisy_rgb(60, 40), "a.png")
    vault = session.vault
    marks = [Marked(vault.hold(mask(LEFT)), "bird", 0), Marked(vault.hold(mask(RIGHT)), "cat", 1)]
    shown = np.asarray(tints(marks))
    assert shown[20, 15, 3] and shown[20, 45, 3] and not shown[5, :, 3].any()
    assert (shown[20, 15, :3] != shown[20, 45, :3]).any()


# ---- files --------------------------------------------------------------------------------------


def test_a_saved_project_opens_in_the_same_window_and_in_another(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT), seed="7")
    session = remembered(handlers, handlers.use("inpaint", "", session))[-1]["session"]
    screens = handlers.saving.project(
        layer(RIGHT), session, "outpaint", "bird", None, **{"extend-left": "9"}
    )
    file = last(screens)["file"]
    assert Path(file).name == "photo.varpaint"
    other = begin(handlers)
    screen = last(handlers.open_picture(file, "", "inpaint", other))
    assert screen["task"] == "outpaint" and screen["extend-left"] == "9"
    assert screen["label"]["value"] == "bird" and screen["sides"]["visible"]
    opened = screen["session"]
    assert opened.key == other.key and opened.picture.mask.getbbox() == RIGHT
    assert opened.undone().picture.mask.getbbox() == LEFT
    assert opened.picture.image.tobytes() == session.picture.image.tobytes()


def test_opening_a_picture_that_varpaint_saved_restores_its_settings(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    given = {"seed": "7", "variations": 3, "temperature": "1.5", "structure": "2",
             "detail": "picture", "studio": "no", "fill": "push_pull"}  # fmt: skip
    session = run(handlers, begin(handlers, photo), layer(LEFT), "edit_class", "bird",
                  **given)  # fmt: skip
    file = last(handlers.saving.picture("PNG", session))["file"]
    screen = last(handlers.open_picture(file, "", "inpaint", begin(handlers)))
    assert screen["task"] == "edit_class" and screen["label"]["value"] == "bird"
    assert (screen["seed"], screen["variations"]) == (str(session.result.seed), 1)
    assert (screen["temperature"], screen["structure"]) == ("1.5", "2")
    assert (screen["detail"], screen["studio"], screen["fill"]) == ("picture", "no", "push_pull")
    assert (screen["grow"], screen["feather"], screen["blend"]) == ("", "", "auto")
    assert "settings" in screen["status"]


OLD = '{"task": "inpaint", "options": {"seed": 7, "anchor": true, "fill": "mirror", "grain": 1}}'


def test_a_picture_of_an_earlier_version_opens_and_says_what_is_gone(
    handlers: Handlers, tmp_path: Path
) -> None:
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    words.add_itxt("varpaint", OLD)
    noisy_rgb(20, 20).save(tmp_path / "old.png", pnginfo=words)
    screen = last(handlers.open_picture(str(tmp_path / "old.png"), "", "inpaint", begin(handlers)))
    assert (screen["seed"], screen["detail"], screen["fill"]) == ("7", "auto", "auto")
    assert "Anchor: this option is gone" in screen["status"] and "mirror" in screen["status"]


def test_a_project_of_an_earlier_version_opens_and_says_what_is_gone(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT))
    path = tmp_path / "old.varpaint"
    project.save(path, session, {})
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    index = json.loads(parts[project.INDEX])
    for variation in index["variations"]:
        variation["request"]["options"] |= {"coverage": 0.25, "blend": "poisson"}
    parts[project.INDEX] = json.dumps(index).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)
    screen = last(handlers.open_picture(str(path), "", "inpaint", begin(handlers)))
    assert "Coverage: this option is gone" in screen["status"] and "poisson" in screen["status"]
    assert screen["session"].results


def test_a_picture_and_a_project_leave_the_classes_of_the_chosen_model(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    card = replace(tiny_editor().card, name="other", labels=Labels(["heron", "boat"]))
    other = tiny_editor()
    other.card = card
    handlers.backend.add(other)
    session = run(handlers, begin(handlers, photo), layer(LEFT), "edit_class", "boat")
    png = last(handlers.saving.picture("PNG", session))["file"]
    whole = str(tmp_path / "whole.varpaint")
    project.save(Path(whole), session, {"task": "edit_class", "label": "boat"})
    for file in (png, whole):
        opened = handlers.open_picture(file, "", "inpaint", begin(handlers), "other")
        label = last(opened)["label"]
        assert [value for _, value in label["choices"]] == ["", "heron", "boat"]
        assert label["value"] == "boat"


def test_what_did_not_go_as_asked_stands_beside_the_result_and_survives_a_project(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    everything = layer((8, 0, 60, 40))
    fields = {"blend": "none", "studio": "yes", "backdrop": "yes"}
    session = run(handlers, begin(handlers, photo), everything, "edit_class", "bird", **fields)
    assert session.result.run.notes
    project.save(tmp_path / "a.varpaint", session, {})
    again, _, _ = project.load(tmp_path / "a.varpaint", Session())
    for one in (session, again):
        assert "Blend: " in screens.of_result(one)["result-note"]


def test_a_picture_with_somebody_elses_words_is_just_a_picture(
    handlers: Handlers, tmp_path: Path
) -> None:
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    words.add_itxt("varpaint", '{"task": "format the disk"}')
    noisy_rgb(20, 20).save(tmp_path / "odd.png", pnginfo=words)
    screen = last(handlers.open_picture(str(tmp_path / "odd.png"), "", "inpaint", begin(handlers)))
    assert "Paint over" in screen["status"] and screen["task"] == "inpaint"


def test_a_damaged_project_changes_nothing(handlers: Handlers, tmp_path: Path) -> None:
    path = tmp_path / "a.varpaint"
    path.write_bytes(b"PK nonsense")
    with pytest.raises(Exception, match=r"^a\.varpaint: is damaged"):
        last(handlers.open_picture(str(path), "", "inpaint", begin(handlers)))
    with pytest.raises(ImageError):
        last(handlers.open_picture(None, "", "inpaint", Session()))


def test_every_option_of_the_schema_is_in_the_form() -> None:
    assert {name.replace("-", "_") for name in FIELDS} >= set(EditOptions.model_fields)


@pytest.mark.parametrize(
    ("mode", "form", "kept"),
    [("RGBA", "PNG", "RGBA"), ("RGBA", "WebP (small)", "RGBA"), ("RGB", "PNG", "RGB"),
     ("RGB", "JPEG (best)", "RGB"), ("RGB", "WebP (lossless)", "RGB"),
     ("RGBA", "JPEG (small)", "RGB")],
)  # fmt: skip
def test_alpha_exif_and_icc_go_into_every_format_that_can_hold_them(
    handlers: Handlers, tmp_path: Path, mode: str, form: str, kept: str
) -> None:
    image = noisy_rgb(60, 40).convert(mode)
    if mode == "RGBA":
        image.putalpha(mask(LEFT).point(lambda value: 80 + value // 2))
    exif = image.getexif()
    exif[0x010E] = "a description"
    profile = lab_free_profile()
    image.save(tmp_path / "photo.png", exif=exif, icc_profile=profile)
    session = begin(handlers, str(tmp_path / "photo.png"))
    session = run(handlers, session, layer(RIGHT), seed="7")
    saved = open_image(last(handlers.saving.picture(form, session))["file"])
    assert saved.mode == kept
    assert saved.getexif().get(0x010E) == "a description"
    if (mode, form) != ("RGBA", "JPEG (small)"):  # that one is converted to sRGB
        assert saved.info["icc_profile"] == profile
    if kept == "RGBA":
        before, after = (np.asarray(one.getchannel("A")) for one in (image, saved))
        outside = np.asarray(mask(RIGHT)) == 0  # what is painted anew is opaque
        assert np.array_equal(before[outside], after[outside])
