"""Projects and saved pictures: what they bring back, from whichever version they are."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import project, screens
from app.handlers import Handlers
from app.session import Session
from app.wiring import FIELDS
from engine.errors import ImageError
from engine.picture.files import open_image
from engine.plan.labels import Labels
from engine.request.options import EditOptions
from tests.app.layers import layer
from tests.app.visit import LEFT, RIGHT, begin, last, mask, remembered, run
from tests.pictures import lab_free_profile, noisy_rgb
from tests.tiny import tiny_editor


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
