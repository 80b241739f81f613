"""Project files: everything comes back, and what is none is told in one line."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app import project
from app.project import ProjectError
from app.session import Session
from engine.events import Result
from engine.picture.files import encode_png, open_image
from engine.request import EditRequest
from engine.request.options import EditOptions
from tests.pictures import MODES, noisy_rgb, picture, png_bytes


def worked(mode: str = "RGB") -> tuple[Session, bytes]:
    """A session with some of everything, and the bytes of the file that it began with."""
    image = picture(mode, 40, 30)
    source = png_bytes(image) if mode in ("RGB", "L", "RGBA") else b"bytes of " + mode.encode()
    if source.startswith(b"\x89PNG"):
        image = open_image(source)
    else:
        source = b""
    half = Image.new("L", (40, 30), 0)
    half.paste(255, (5, 5, 20, 20))
    session = Session().opened(image, "holiday.png", source or None).masked(half)
    request = EditRequest(task="inpaint", options=EditOptions(seed=4, variations=2))
    pictures = tuple(picture(mode, 40, 30, seed) for seed in (4, 5))
    session = session.ran(Result(pictures, (4, 5), 1.5, request, (-1.0, -2.0)))
    session = session.chose(1).toggled().used().marked(half, "bird")
    request = EditRequest(task="outpaint", right=10, options=EditOptions(seed=9))
    session = session.ran(Result((noisy_rgb(50, 30, 9),), (9,), 0.5, request, (0.25,)))
    return session.used().undone(), source


def saved(session: Session, path: Path, **fields: Any) -> Path:
    project.save(path, session, fields)
    return path


def same(one: Image.Image, two: Image.Image) -> bool:
    return (one.mode, one.size, one.tobytes()) == (two.mode, two.size, two.tobytes())


def test_a_project_brings_everything_back(tmp_path: Path) -> None:
    before, source = worked()
    path = saved(before, tmp_path / "a.varpaint", seed="12", task="edit_class")
    after, fields, _ = project.load(path, Session(key="mine", version=9))
    assert fields == {"seed": "12", "task": "edit_class"}
    assert (after.name, after.at, after.key, after.version) == ("holiday", 1, "mine", 10)
    assert [m.caption for m in after.moments] == [m.caption for m in before.moments]
    for one, two in zip(before.moments, after.moments, strict=True):
        assert same(one.image, two.image)
        assert one.request == two.request
        assert (one.mask is None) == (two.mask is None)
        assert one.mask is None or two.mask is None or same(one.mask, two.mask)
    assert after.moments[0].source is not None and after.moments[0].source.read() == source
    assert [(r.label, r.colour) for r in after.picture.regions] == [("bird", 0)]
    assert [(v.seed, v.score) for v in after.results] == [(9, 0.25)]
    assert [(v.seed, v.score) for v in after.kept] == [(5, -2.0)]
    assert after.kept[0].run.scores == (-1.0, -2.0)
    assert after.results[0].extension == (0, 0, 10, 0)
    base = after.kept[0].base
    assert base is not None and same(base.image, before.moments[0].image)
    used = after.chose(1).used()
    assert same(used.picture.image, before.kept[0].image)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "YCbCr"])
def test_pictures_of_every_mode_keep_their_pixels(tmp_path: Path, mode: str) -> None:
    before, _ = worked(mode)
    after, _, _ = project.load(saved(before, tmp_path / "a.varpaint"), Session())
    for one, two in zip(before.moments, after.moments, strict=True):
        assert same(one.image, two.image), (one.image.mode, two.image.mode)


def test_a_picture_saved_after_reopening_has_the_same_bytes(tmp_path: Path) -> None:
    before, _ = worked()
    after, _, _ = project.load(saved(before, tmp_path / "a.varpaint"), Session())
    for one, two in zip(before.shown, after.shown, strict=True):
        assert encode_png(one.image, one.request.to_json()) == encode_png(
            two.image, two.request.to_json()
        )


def test_each_picture_is_in_the_file_once_and_can_be_opened_by_anything(tmp_path: Path) -> None:
    session, source = worked()
    path = saved(session, tmp_path / "a.varpaint")
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        assert file.testzip() is None
        opened = [name for name in names if name.startswith("opened/")]
        assert [file.read(name) for name in opened] == [source]
        pictures = [name for name in names if name.startswith("pictures/")]
        assert len(pictures) == 2 and len(names) == 6  # and two masks, one index
        for name in pictures:
            assert open_image(file.read(name)).info["varpaint"]


def test_an_empty_session_is_a_project_too(tmp_path: Path) -> None:
    after, _, _ = project.load(saved(Session(), tmp_path / "a.varpaint"), Session())
    assert after.current is None


def changed(path: Path, **changes: Any) -> Path:
    """The same project with other values in its index."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    index = json.loads(parts[project.INDEX]) | changes
    parts[project.INDEX] = json.dumps(index).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)
    path.write_bytes(stream.getvalue())
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "something else"}, "no varpaint project"),
        ({"version": 2}, "newer varpaint"),
        ({"version": "two"}, "version"),
        ({"at": 7}, "no step 7"),
        ({"at": -1}, "no step -1"),
        ({"moments": [{"caption": "a", "picture": "pictures/none.png"}], "at": 0}, "none.png"),
        ({"moments": [{"caption": "a"}], "at": 0}, r"moments\.0\.picture"),
        ({"runs": []}, "no run 0"),
        ({"moments": [{"caption": "a", "picture": "project.json"}], "at": 0}, "is no picture"),
    ],
)
def test_what_is_wrong_with_a_project_is_told(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = changed(saved(worked()[0], tmp_path / "a.varpaint"), **changes)
    with pytest.raises(ProjectError, match=words) as told:
        project.load(path, Session())
    assert str(told.value).startswith("a.varpaint: ") and "\n" not in str(told.value)


def test_damaged_and_foreign_files_are_told(tmp_path: Path) -> None:
    path = saved(worked()[0], tmp_path / "a.varpaint")
    data = bytearray(path.read_bytes())
    data[200] ^= 255  # inside the first picture
    path.write_bytes(data)
    with pytest.raises(ProjectError, match=r"^a\.varpaint: is damaged"):
        project.load(path, Session())
    path.write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(ProjectError, match=r"^a\.varpaint: is damaged or no varpaint project"):
        project.load(path, Session())
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("word/document.xml", "<w/>")
    with pytest.raises(ProjectError, match="is a zip, but no varpaint project"):
        project.load(path, Session())


def test_a_project_packed_otherwise_is_told_when_it_is_damaged_or_locked(tmp_path: Path) -> None:
    path = saved(worked()[0], tmp_path / "a.varpaint")
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    project.load(path, Session())
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        at = file.getinfo(project.INDEX).header_offset + 30 + len(project.INDEX)
    locked = data.copy()
    data[at] = 0xFF  # a block of a kind that there is not
    path.write_bytes(data)
    with pytest.raises(ProjectError, match=r"^a\.varpaint: is damaged"):
        project.load(path, Session())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        flags = 6 if start[2] == 3 else 8
        found = locked.find(start)
        while found >= 0:
            locked[found + flags] |= 1  # says that it has a password
            found = locked.find(start, found + 4)
    path.write_bytes(locked)
    with pytest.raises(ProjectError, match=r"^a\.varpaint: is damaged.*encrypted"):
        project.load(path, Session())


def test_an_opened_file_that_many_steps_name_is_kept_once(tmp_path: Path) -> None:
    session, _ = worked()
    path = saved(session, tmp_path / "a.varpaint")
    with zipfile.ZipFile(path) as file:
        first = json.loads(file.read(project.INDEX))["moments"][0]
    assert first["opened"]
    after, _, _ = project.load(changed(path, moments=[first] * 50, at=0, runs=[], variations=[]),
                            Session())  # fmt: skip
    assert len({id(moment.source) for moment in after.moments}) == 1


def test_a_project_is_known_by_its_name_or_its_content(tmp_path: Path) -> None:
    path = saved(Session(), tmp_path / "a.zip")
    assert project.is_project(path)
    photo = tmp_path / "a.png"
    noisy_rgb(4, 4).save(photo)
    assert not project.is_project(photo)
    assert project.is_project(tmp_path / "b.VARPAINT")
