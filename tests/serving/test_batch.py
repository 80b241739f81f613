"""Batches in one process: what Python makes, each row for itself, and nothing twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from filelock import FileLock
from PIL import Image
from pyarrow import parquet

from engine import EditOptions, load_editor, open_image
from engine.__main__ import main
from engine.errors import RequestError
from engine.serving.batch import LOCK
from engine.serving.jobs import rows
from tests.house import ROOT
from tests.pictures import noisy_rgb
from tests.serving.conftest import save_mask


def batch(job: Any, out: Path, model: str, *more: str) -> int:
    """The exit status."""
    given = ["batch", str(job), "-o", str(out), "--model", model, "--device", "cpu", *more]
    try:
        return main(given)
    except SystemExit as end:
        return int(end.code or 0)


def report(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]


def written(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def some(photos: Path, count: int) -> Path:
    """A manifest of so many edits."""
    lines = [
        {"image": "one.png", "mask": "one.mask.png", "out": f"n{seed}",
         "options": {"seed": seed, "variations": 4}}
        for seed in range(count)
    ]  # fmt: skip
    return written(photos / "some.jsonl", lines)


def test_a_folder_is_edited_by_the_masks_beside_its_pictures(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert batch(photos, out, model, "--seed", "3", "--variations", "2") == 1
    assert "2 done, 1 failed" in capsys.readouterr().out
    editor, options = load_editor(model, device="cpu"), EditOptions(seed=3, variations=2)
    for name in ("one.png", "two.jpg"):
        mask = open_image(photos / f"{Path(name).stem}.mask.png")
        made = editor.inpaint(open_image(photos / name), mask, options=options)
        for number in range(2):
            path = out / f"{Path(name).stem}-{number + 1}.png"
            assert path.read_bytes() == made.png(number), path
    one, three, two = report(out)
    assert (one["row"], one["files"], one["seeds"]) == (1, ["one-1.png", "one-2.png"], [3, 4])
    assert two["name"] == "two" and two["seconds"] > 0 and two["notes"] == []
    assert three["name"] == "sub/three" and "mask" in three["error"]


def test_masks_lie_in_a_folder_of_their_own_or_one_is_for_all(
    photos: Path, tmp_path: Path, model: str
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    save_mask(masks / "one.png", (30, 41))
    (tmp_path / "own").mkdir()
    (photos / "one.mask.png").unlink()
    found = list(rows(str(photos), str(masks)))
    assert [row.paths()[1] for row in found] == [str(masks / "one.png"), None, None]
    alone = list(rows(str(photos / "*.png"), str(masks / "one.png")))
    assert [row.name for row in alone] == ["one"]
    assert alone[0].paths()[1] == str(masks / "one.png")
    out = tmp_path / "out"
    assert batch(photos / "one.png", out, model, "--masks", str(masks / "one.png")) == 0
    assert (out / "one.png").is_file()


def test_pictures_of_one_name_keep_their_suffixes(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        noisy_rgb(8, 8).save(tmp_path / name)
    assert [row.name for row in rows(str(tmp_path))] == ["a.jpg", "a.png", "b"]


def test_a_manifest_says_what_each_row_wants(photos: Path, tmp_path: Path, model: str) -> None:
    save_mask(photos / "other.png", (30, 41), left=28)
    job = written(tmp_path / "job.jsonl", [
        {"image": "photos/one.png", "mask": "photos/one.mask.png", "options": {"seed": 4}},
        {"task": "outpaint", "image": "photos/two.jpg", "right": "50%", "out": "wide/two"},
        {"task": "generate", "label": "boat"},
        {"task": "edit_class", "image": "photos/one.png", "out": "regions", "regions": [
            {"mask": "photos/one.mask.png", "label": "bird"},
            {"mask": "photos/other.png", "label": 2},
        ]},
    ])  # fmt: skip
    out = tmp_path / "out"
    assert batch(job, out, model, "--seed", "9") == 0
    assert [entry["name"] for entry in report(out)] == [
        "000001-one", "wide/two", "000003-generate", "regions",
    ]  # fmt: skip
    assert [entry["seeds"] for entry in report(out)] == [[4], [9], [9], [9]]
    wide = np.asarray(Image.open(out / "wide/two.png"))
    assert wide.shape == (30, 63, 3)
    assert np.array_equal(wide[:, :42], np.asarray(Image.open(photos / "two.jpg")))


def test_csv_and_parquet_say_the_same_as_json(photos: Path, tmp_path: Path) -> None:
    said = [
        {"image": "one.png", "mask": "one.mask.png", "options": {"seed": 4, "speed": "fast"}},
        {"task": "outpaint", "image": "two.jpg", "right": "50%", "out": "wide"},
    ]
    written(photos / "job.jsonl", said)
    names = ["task", "image", "mask", "right", "out", "seed", "speed"]
    flat = [{**{k: v for k, v in each.items() if k != "options"}, **each.get("options", {})}
            for each in said]  # fmt: skip
    with (photos / "job.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(flat)
    table = {name: [each.get(name) for each in flat] for name in names}
    parquet.write_table(pyarrow.table(table), photos / "job.parquet")
    expected, by_csv, by_parquet = (
        [row.said for row in rows(str(photos / f"job{suffix}"))]
        for suffix in (".jsonl", ".csv", ".parquet")
    )
    assert by_csv == expected
    assert by_parquet == expected


BAD: tuple[tuple[Any, str], ...] = (
    ({"image": "none.png", "mask": "one.mask.png"}, "no such file"),
    ({"image": "one.png"}, "mask"),
    ({"image": "one.png", "mask": "one.mask.png", "options": {"sed": 1}}, "sed"),
    ({"image": "one.png", "mask": "one.mask.png", "options": [1]}, "options"),
    ({"image": "one.png", "mask": "one.mask.png", "out": "../up"}, "below the"),
    ({"image": "one.png", "mask": "one.mask.png", "out": "/tmp/up"}, "below the"),
    ({"image": "one.png", "mask": "one.mask.png", "out": "good"}, "an earlier row"),
    ({"task": "generate", "label": "bird", "model": "nothing"}, "nothing"),
    ({"task": "edit_class", "image": "one.png", "regions": [1]}, "regions"),
    ({"image": "one.png", "mask": "two.mask.png"}, "42x30"),
    ([1, 2], "JSON object"),
)


def test_rows_fail_alone_in_one_line(photos: Path, tmp_path: Path, model: str) -> None:
    good = {"image": "one.png", "mask": "one.mask.png", "out": "good"}
    job = written(photos / "job.jsonl", [good, *(each for each, _ in BAD)])
    with job.open("a") as file:
        file.write("{broken\n")
    out = tmp_path / "out"
    assert batch(job, out, model) == 1
    first, *others, last = report(out)
    assert "error" not in first and "JSON" in last["error"]
    for entry, (said, words) in zip(others, BAD, strict=True):
        assert words in entry["error"] and "\n" not in entry["error"], said
    made = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert made == {"good.png", "report.jsonl", LOCK}


def test_what_is_done_is_not_done_again_and_what_failed_only_if_asked(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"image": "one.png", "mask": "one.mask.png", "out": "a"},
        {"image": "late.png", "mask": "one.mask.png", "out": "b"},
    ]
    job, out = written(photos / "job.jsonl", lines), tmp_path / "out"
    assert batch(job, out, model) == 1
    before = (out / "a.png").stat().st_mtime_ns
    (photos / "one.png").rename(photos / "kept.png")
    noisy_rgb(41, 30).save(photos / "late.png")
    assert batch(job, out, model) == 1, "it failed, and was not tried again"
    assert batch(job, out, model, "--retry-failed") == 0
    assert "1 done, 1 there already" in capsys.readouterr().out
    assert (out / "a.png").stat().st_mtime_ns == before
    assert [entry["row"] for entry in report(out)] == [1, 2]
    (photos / "kept.png").rename(photos / "one.png")
    (out / "a.png").unlink()
    assert batch(job, out, model) == 0
    assert (out / "a.png").is_file(), "a file that is gone is made again"
    assert batch(job, out, model, "--seed", "8") == 0
    assert [entry["seeds"] for entry in report(out)] == [[8], [8]], "another edit is"


def test_killed_at_any_moment_it_goes_on_to_the_same_files(
    photos: Path, tmp_path: Path, model: str
) -> None:
    job, out, whole = some(photos, 8), tmp_path / "out", tmp_path / "whole"
    command = [
        sys.executable, "-m", "engine", "batch", str(job), "-o", str(out), "--model", model,
        "--device", "cpu", "--per-worker-threads", "1",
    ]  # fmt: skip
    assert batch(job, whole, model, "--per-worker-threads", "1") == 0
    path = out / "report.jsonl"
    for number in (signal.SIGKILL, signal.SIGINT):
        seen = path.stat().st_size if path.exists() else 0
        work = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        while work.poll() is None and (not path.exists() or path.stat().st_size <= seen):
            time.sleep(0.01)
        work.send_signal(number)
        assert work.wait() != 0
        with path.open("ab") as file:
            file.write(b'{"row": 7, "as')  # as if it had ended in the middle of a line
    assert batch(job, out, model, "--per-worker-threads", "1") == 0
    assert [entry["row"] for entry in report(out)] == list(range(1, 9))
    names = sorted(each.name for each in whole.iterdir())
    assert sorted(each.name for each in out.iterdir()) == names
    for name in names:
        if name.endswith(".png"):
            assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_two_batches_do_not_work_in_one_folder(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FileLock(tmp_path / LOCK):
        assert batch(some(photos, 1), tmp_path, model) == 2
    assert "another batch is at work" in capsys.readouterr().err


MISTAKES = (
    ("nowhere", (), "expected a folder"),
    ("empty.jsonl", (), "has no rows"),
    ("none.csv", (), "no such file"),
    ("bad.parquet", (), "Parquet"),
    ("some.jsonl", ("--masks", "x"), "--masks"),
    ("some.jsonl", ("--format", "exe"), "--format"),
    ("some.jsonl", ("--task", "paint"), "task"),
    ("some.jsonl", ("--model", "nothing"), "nothing"),
)


@pytest.mark.parametrize(("job", "more", "words"), MISTAKES, ids=[str(m[:2]) for m in MISTAKES])
def test_mistakes_are_told_before_anything_is_done(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str],
    job: str, more: tuple[str, ...], words: str,
) -> None:  # fmt: skip
    some(photos, 1)
    (photos / "empty.jsonl").touch()
    (photos / "bad.parquet").write_bytes(b"no")
    assert batch(photos / job, tmp_path / "out", model, *more) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and error.startswith("error: ") and "\n" not in error
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_report_of_something_else_is_left_alone(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.jsonl").write_text("minutes of a meeting\n")
    assert batch(some(photos, 1), tmp_path, model) == 2
    assert "no report of a batch" in capsys.readouterr().err
    assert (tmp_path / "report.jsonl").read_text() == "minutes of a meeting\n"


def test_a_manifest_of_any_length_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jsonl"
    with path.open("w") as file:
        for number in range(20_000):
            file.write(f'{{"task": "generate", "out": "n{number}"}}\n')
    found = rows(str(path))
    assert next(found).name == "n0"
    assert sum(1 for _ in found) == 19_999


def test_pictures_from_elsewhere_are_read_where_that_is_possible(
    photos: Path, tmp_path: Path, model: str
) -> None:
    job = written(tmp_path / "job.jsonl", [
        {"image": f"file://{photos}/one.png", "mask": f"file://{photos}/one.mask.png", "out": "a"},
        {"image": "file:///nowhere.png", "mask": "photos/one.mask.png", "out": "b"},
    ])  # fmt: skip
    assert batch(job, tmp_path / "out", model) == 1
    good, bad = report(tmp_path / "out")
    assert good["files"] == ["a.png"] and "cannot be read" in bad["error"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_said_so(photos: Path, model: str) -> None:
    with pytest.raises(RequestError, match="cannot be written"):
        main(["batch", str(some(photos, 1)), "-o", "/proc/out", "--model", model])
