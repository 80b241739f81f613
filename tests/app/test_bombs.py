"""Project files that are small and want to be large: refused early, in one line."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app import project
from app.project import ProjectError
from app.session import Session

MEGABYTE = 1 << 20


def packed(
    path: Path, index: Any, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, data in files.items():
            file.writestr(name, data)
        file.writestr("project.json", index if isinstance(index, str) else json.dumps(index))
    return path


def index(pictures: list[str], **more: Any) -> dict[str, Any]:
    moments = [{"caption": "x", "picture": name, **more} for name in pictures]
    return {"format": project.FORMAT, "version": 1, "at": 0, "moments": moments}


def flat(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def refused(path: Path, words: str, *, memory: int = 100 * MEGABYTE, seconds: float = 5) -> None:
    session = Session()
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(ProjectError) as told:
            project.load(path, session)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    line = str(told.value)
    assert words in line and "\n" not in line and line.startswith(path.name)
    assert peak < memory, f"{peak / MEGABYTE:.0f} MB"
    assert time.monotonic() - began < seconds
    assert sum(each.stat().st_size for each in session.vault.home.iterdir()) < memory


def test_pictures_that_unpack_to_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "LEAST_BUDGET", 16 * MEGABYTE)
    names = [f"{number}.png" for number in range(40)]
    path = packed(tmp_path / "a.varpaint", index(names), dict.fromkeys(names, flat(2000, 1000)))
    assert path.stat().st_size < 20_000
    refused(path, "unpacks to more")


def test_zeros_that_are_no_pictures_but_opened_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "LEAST_BUDGET", 16 * MEGABYTE)
    path = packed(tmp_path / "a.varpaint", index(["a"], opened=True), {"a": bytes(40 * MEGABYTE)})
    refused(path, "unpacks to more")


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_of_which_a_little_may_be_gigabytes(tmp_path: Path, how: int) -> None:
    path = packed(tmp_path / "a.varpaint", index(["a"]), {"a": bytes(20 * MEGABYTE)}, how)
    refused(path, "packed in a way")


def test_an_index_of_many_megabytes(tmp_path: Path) -> None:
    text = '{"format": "varpaint project", "version": 1, "fields": {"a": [' + "[]," * 9_000_000
    refused(packed(tmp_path / "a.varpaint", text + "[]]}}", {}), "too large")


def test_an_index_of_lists_in_lists(tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    text = '{"format": "varpaint project", "version": 1, "fields": {"a": ' + deep + "}}"
    refused(packed(tmp_path / "a.varpaint", text, {}), "damaged")


def test_a_list_of_more_files_than_anybody_has(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.varpaint", "w") as file:
        for number in range(project.MAX_ENTRIES + 1):
            file.writestr(zipfile.ZipInfo(f"{number}"), b"")
    refused(tmp_path / "a.varpaint", "more than 20000 files")


@pytest.mark.parametrize(
    ("what", "count"), [("moments", 4_001), ("variations", 2_001), ("runs", 2_001)]
)
def test_more_steps_than_can_be_shown(tmp_path: Path, what: str, count: int) -> None:
    row = {
        "moments": {"caption": "x", "picture": "a"},
        "variations": {"picture": "a", "seed": 1, "request": {"task": "inpaint"}, "run": 0},
        "runs": {"seconds": 1, "count": 1},
    }[what]
    text = {**index(["a"]), what: [row] * count}
    refused(packed(tmp_path / "a.varpaint", text, {"a": flat(4, 4)}), what, seconds=20)


def test_as_many_variations_as_may_be_are_read_in_time(tmp_path: Path) -> None:
    row = {"picture": "a", "seed": 1, "request": {"task": "inpaint"}, "run": 0}
    text = {**index(["a"]), "variations": [row] * 2000, "runs": [{"seconds": 1, "count": 1}]}
    began = time.monotonic()
    path = packed(tmp_path / "a.varpaint", text, {"a": flat(4, 4)})
    session, _, _ = project.load(path, Session())
    assert len(session.results) == 2000
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "mask",
    [b"", b"no picture", flat(5, 5), flat(40_001, 1), b"\x89PNG\r\n\x1a\n" + bytes(50),
     flat(30, 20)[:40], flat(30, 20)[:-30]],
)  # fmt: skip
def test_masks_that_are_none(tmp_path: Path, mask: bytes) -> None:
    text = index(["a"], mask="m")
    refused(packed(tmp_path / "a.varpaint", text, {"a": flat(30, 20), "m": mask}), "damaged")


def test_a_project_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.varpaint"
    path.write_bytes(b"the old one")
    session = Session().opened(Image.new("RGB", (8, 8)), "a.png")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ProjectError, match="no space left"):
        project.save(path, session, {})
    assert path.read_bytes() == b"the old one" and len(list(tmp_path.iterdir())) == 1
