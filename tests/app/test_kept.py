"""Sessions on disk: whole after a restart, small, private, bounded; never in anybody's way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.kept import Kept, tidy
from app.limits import DAY, Limits
from app.session import Session
from app.store import Store
from engine.events import Result
from engine.picture.files import encode_image, open_image
from engine.request import EditRequest
from engine.request.options import EditOptions
from tests.app.server import ROOT
from tests.pictures import MODES, noisy_rgb, picture


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path / "kept")
    yield made
    made.close()


def jpeg(width: int = 600, height: int = 400) -> tuple[Image.Image, bytes]:
    image = noisy_rgb(width, height)
    data = encode_image(image, ".jpg")
    return open_image(data), data


def edited(image: Image.Image, seed: int) -> Image.Image:
    """The picture with a square that is new."""
    out = image.copy()
    out.info = dict(image.info)
    out.paste(noisy_rgb(40, 30, seed), (100, 50))
    return out


def result_of(image: Image.Image, count: int = 2) -> Result:
    request = EditRequest(
        task="inpaint", image=image, mask=Image.new("L", image.size, 255),
        options=EditOptions(seed=1, variations=count),
    )  # fmt: skip
    images = [edited(image, seed) for seed in range(count)]
    return Result(images, tuple(range(count)), 1.0, request, tuple(map(float, range(count))))


def worked(key: str = "k") -> Session:
    """A window's work: opened, painted twice, run, used, run again, undone."""
    image, data = jpeg()
    mask = Image.new("L", image.size)
    mask.paste(255, (100, 50, 140, 80))
    session = replace(Session(), key=key).opened(image, "a photo.jpg", data)
    session = session.remasked(mask).marked(mask, "owl").masked(mask)
    session = session.ran(result_of(image), (1, 2), ("data:x", "data:y")).used()
    again = session.picture.image
    session = session.masked(mask).ran(result_of(again, 3)).toggled().chose(1)
    return session.undone()


def restarted(kept: Kept, session: Session) -> Session:
    """What another server finds of it."""
    kept.put(session)
    kept.flush()
    found = Kept(kept.folder).find(session.key, Session())
    assert found is not None
    return found


def pixels(image: Image.Image | None) -> tuple[str, tuple[int, int], bytes]:
    assert image is not None
    return image.mode, image.size, image.tobytes()


def test_a_window_finds_all_of_its_work_after_a_restart(kept: Kept) -> None:
    before = worked()
    after = restarted(kept, before)
    assert (after.name, after.at, after.chosen, after.version, after.looking) == (
        before.name, before.at, before.chosen, before.version, before.looking
    )  # fmt: skip
    assert [m.caption for m in after.moments] == [m.caption for m in before.moments]
    for was, now in zip(before.moments, after.moments, strict=True):
        assert pixels(now.image) == pixels(was.image)
        assert (now.request is None) == (was.request is None)
        assert (now.mask is None) == (was.mask is None)
        if was.mask is not None:
            assert pixels(now.mask) == pixels(was.mask)
        assert [len(marks.regions) for marks in now.earlier] == [
            len(marks.regions) for marks in was.earlier
        ]
        assert len(now.later) == len(was.later)
    assert after.moments[0].source is not None and before.moments[0].source is not None
    assert after.moments[0].source.read() == before.moments[0].source.read()
    assert [(v.seed, v.score, v in after.kept) for v in after.shown] == [
        (v.seed, v.score, v in before.kept) for v in before.shown
    ]
    for was, now in zip(before.shown, after.shown, strict=True):
        assert pixels(now.image) == pixels(was.image)
        assert (now.run.seconds, now.run.scales, now.run.grown) == (
            was.run.seconds, was.run.scales, was.run.grown
        )  # fmt: skip


def test_it_goes_on_as_if_nothing_had_been(kept: Kept) -> None:
    before = worked()
    after = restarted(kept, before)
    for step in (Session.undone, Session.redone, Session.used):
        before, after = step(before), step(after)
        assert [m.caption for m in after.moments] == [m.caption for m in before.moments]
        assert after.at == before.at
    again = restarted(kept, replace(after, key="another"))
    assert pixels(again.picture.image) == pixels(after.picture.image)


def test_what_is_downloaded_after_a_restart_is_the_same_file(kept: Kept) -> None:
    before = worked()
    after = restarted(kept, before)
    for suffix in (".png", ".jpg"):
        for was, now in zip(before.shown, after.shown, strict=True):
            assert encode_image(now.image, suffix) == encode_image(was.image, suffix)


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_any_mode_come_back(kept: Kept, mode: str) -> None:
    image = picture(mode, 33, 20)
    session = replace(Session(), key="k").opened(image, "a.png")
    after = restarted(kept, session)
    assert pixels(after.picture.image) == pixels(open_image(encode_image(image, (
        ".tiff" if mode in ("CMYK", "I", "F", "RGBX") else ".png"
    ))))  # fmt: skip


def test_a_result_takes_no_more_of_the_disk_than_what_is_new(kept: Kept) -> None:
    image, data = jpeg(1200, 900)
    session = replace(Session(), key="k").opened(image, "a.jpg", data)
    kept.put(session.ran(result_of(image, 16)).used())
    kept.flush()
    (place,) = kept.folder.iterdir()
    assert sum(path.stat().st_size for path in place.iterdir()) < len(data) + 200_000


def test_each_picture_is_written_once_and_shared_with_the_window_that_goes_on(
    kept: Kept,
) -> None:
    session = worked()
    kept.put(session)
    kept.flush()
    (place,) = kept.folder.iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    kept.put(session.redone())
    kept.put(replace(session, key="other"))
    kept.flush()
    after = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    assert [name for name in before if before[name] != after.get(name)] == ["project.json"]
    other = next(each for each in kept.folder.iterdir() if each != place)
    assert all(path.stat().st_nlink == 2 for path in other.iterdir() if path.suffix != ".json")


def test_what_a_session_no_longer_needs_leaves_the_disk(kept: Kept) -> None:
    image, data = jpeg()
    session = replace(Session(), key="k").opened(image, "a.jpg", data)
    kept.put(session.ran(result_of(image, 4)))
    kept.flush()
    (place,) = kept.folder.iterdir()
    assert len(list(place.iterdir())) == 6
    kept.put(session.ran(result_of(image, 1)))
    kept.flush()
    assert len(list(place.iterdir())) == 3


def test_nobody_else_can_look_into_it_and_no_key_stands_there(kept: Kept) -> None:
    kept.put(worked("a-secret-key"))
    kept.flush()
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    for path in kept.folder.rglob("*"):
        assert "a-secret-key" not in path.name
        assert path.is_dir() or b"a-secret-key" not in path.read_bytes()
    for key in ("", "a", "../kept", "a-secret-ke"):
        assert kept.find(key, Session()) is None and kept.glance(key) is None


def test_a_folder_of_somebody_elses_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "kept").symlink_to(tmp_path / "other")
    kept = Kept(tmp_path / "kept")
    kept.put(worked())
    kept.flush(0.3)
    assert not list((tmp_path / "other").iterdir())


def test_the_old_and_those_unused_longest_beyond_the_bound_go(kept: Kept) -> None:
    for number in range(4):
        kept.put(worked(str(number)))
        kept.flush()
        place = max(kept.folder.iterdir(), key=lambda path: path.stat().st_mtime)
        then = time.time() - (4 - number) * DAY
        os.utime(place / "project.json", (then, then))
    size = sum(path.stat().st_size for path in place.iterdir())

    def left() -> list[int]:
        return [number for number in range(4) if kept.glance(str(number)) is not None]

    tidy(kept.folder, 100 * size, 3.5 * DAY)
    assert left() == [1, 2, 3]
    tidy(kept.folder, round(2.5 * size), 9 * DAY)
    assert left() == [2, 3]
    glance = kept.glance("3")
    assert glance is not None and (glance.name, glance.steps) == ("a photo", 2)


def test_a_damaged_one_is_none_and_says_so_in_the_log(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.put(worked())
    kept.flush()
    (place,) = kept.folder.iterdir()
    index = (place / "project.json").read_bytes()
    for damaged in (b"", b"{}", index[:-9], index.replace(b'"at":', b'"at":9')):
        (place / "project.json").write_bytes(damaged)
        assert Kept(kept.folder).find("k", Session()) is None
    (place / "project.json").write_bytes(index)
    for path in place.iterdir():
        if path.name != "project.json":
            path.write_bytes(b"no picture")
    assert Kept(kept.folder).find("k", Session()) is None
    assert "cannot be read" in caplog.text


def test_a_full_disk_stops_nobodys_work(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = worked()
    monkeypatch.setattr("app.limits.LEAST_FREE", 1 << 60)
    store = Store(disk=kept)
    store.put(session)
    kept.flush()
    assert "nearly full" in caplog.text
    assert store.latest(session) is session
    monkeypatch.undo()
    store.put(session)
    assert restarted(kept, session).moments


def test_what_the_store_forgets_is_on_disk(kept: Kept) -> None:
    store = Store(kept=1, disk=kept)
    sessions = [worked(str(number)) for number in range(3)]
    for session in sessions:
        store.put(session)
    kept.flush()
    back = store.begun("0", Session())
    assert len(back.moments) == 2 and back.key not in ("", "0")
    kept.flush()
    assert kept.glance(back.key) is not None
    assert not store.begun("guessed", Session()).moments


KILLED = """
import os, sys, threading
from pathlib import Path
from dataclasses import replace
from app.kept import Kept
from tests.app.test_kept import edited, jpeg, result_of
from app.session import Session
kept = Kept(Path(sys.argv[1]))
image, data = jpeg()
session = replace(Session(), key="k").opened(image, "a.jpg", data)
kept.put(session)
kept.flush()
print("ready", flush=True)
for number in range(1000):
    session = session.edited(edited(session.picture.image, number), f"step {number}")
    kept.put(session)
"""


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15])
def test_killed_at_any_moment_what_is_kept_is_whole(tmp_path: Path, moment: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(moment)
        process.kill()
    found = Kept(tmp_path).find("k", Session())
    assert found is not None and found.moments[0].caption == "Opened a.jpg"
    for at, moment_ in enumerate(found.moments[1:]):
        assert moment_.caption == f"step {at}"
        assert np.asarray(moment_.image).shape == (400, 600, 3)


def test_the_bounds_are_settings() -> None:
    assert Limits(kept=5, kept_age=6.0).kept == 5
