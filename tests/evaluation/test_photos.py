"""Photos of any folder: their truth is known, and whatever fills a hole in them is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.__main__ import main
from engine.errors import RequestError
from engine.evaluation.levers import DEFAULT
from engine.evaluation.metrics import group_interval, interval
from engine.evaluation.photos import BASELINES, PhotoMeasure, Photos, group_of
from engine.frames.fill import fill_hole
from engine.request.options import EditOptions
from engine.weights.saving import save_model
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, tiny_editor, tiny_var, tiny_vqvae

QUICKLY = ("--detail", "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos, two of them crops of one, and a file that is none; a tiny model beside."""
    where = tmp_path_factory.mktemp("photos")
    (where / "in").mkdir()
    for number, name in enumerate(("dune-a", "dune-b", "shore")):
        noisy_rgb(120, 90, seed=number).save(where / "in" / f"{name}.png")
    (where / "in" / "notes.txt").write_text("not a photo")
    save_model(where / "tiny", tiny_vqvae(), tiny_var(), labels=LABELS, about="a test")
    return where


def evaluate(folder: Path, *more: object) -> int:
    words = ["evaluate", "--photos", folder / "in", "--side", 64, "--families", "box,thin"]
    words += ["--model", folder / "tiny", "--device", "cpu", "--json", *QUICKLY, *more]
    return main([str(word) for word in words])


def test_the_truth_is_the_middle_square_and_a_hole_follows_the_name(folder: Path) -> None:
    photos = Photos.of(folder / "in", 64)
    assert [photos.name(index) for index in range(len(photos))] == ["dune-a", "dune-b", "shore"]
    assert photos.picture(0).shape == (64, 64, 3)
    whole = np.asarray(Image.open(folder / "in" / "dune-a.png"))
    assert np.array_equal(Photos.of(folder / "in", 90).picture(0), whole[:, 15:105])
    alone = Photos((folder / "in" / "shore.png",), 64)
    assert np.array_equal(alone.mask(0, "thin", 1), photos.mask(2, "thin", 1))
    assert not np.array_equal(photos.mask(2, "thin", 1), photos.mask(2, "thin", 2))
    assert not np.array_equal(photos.mask(1, "thin", 1), photos.mask(2, "thin", 1))


def test_every_answer_keeps_what_is_known_and_the_perfect_one_is_at_no_distance(
    folder: Path,
) -> None:
    photos = Photos.of(folder / "in", 64)
    truth = {"truth": lambda picture, mask: photos.picture(0)}
    measure = PhotoMeasure(
        tiny_editor(), photos, EditOptions(), {DEFAULT: {}, "fill none": {"fill": "none"}}, seed=3,
        families=("box",), baselines={**BASELINES, **truth},
    )  # fmt: skip
    mask = photos.mask(0, "box", 3)
    made = {name: result for name, result, _ in measure.answers(photos.picture(0), mask)}
    assert set(made) == {*BASELINES, "truth", DEFAULT, "fill none"}
    for result in made.values():
        assert np.array_equal(result[~mask], photos.picture(0)[~mask])
    telea = fill_hole(photos.picture(0).astype(np.float32), mask, "telea").round()
    assert np.array_equal(made["telea"], telea)
    found = measure.line(0)["families"]["box"]
    assert found["truth"]["perceptual"] == 0 and found["truth"]["seam"] == pytest.approx(0)
    assert found["telea"]["perceptual"] > 0.05 and found[DEFAULT]["perceptual"] > 0.05


def test_a_report_has_every_family_and_way_and_is_paired(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert evaluate(folder, "--seed", 1, "--against", "patches") == 0
    first = capsys.readouterr().out
    report = json.loads(first)
    assert report["count"] == 3 and set(report["families"]) == {"box", "thin", "all"}
    for ways in report["families"].values():
        assert set(ways) == {*BASELINES, DEFAULT}
        assert ways["patches"]["minus"] == [0, 0, 0]
        for found in ways.values():
            low, high = found["perceptual_interval"]
            assert low <= found["perceptual"] <= high
    box = report["families"]["box"]
    by = report["measure"]  # LPIPS where its weights are here
    apart = box[DEFAULT][by] - box["patches"][by]
    assert box[DEFAULT]["minus"][0] == pytest.approx(apart)
    earlier = tmp_path / "earlier.json"
    earlier.write_text(first)
    assert evaluate(folder, "--seed", 1, "--against", earlier) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["families"]["all"][DEFAULT]["minus"] == [0, 0, 0]
    assert again["families"]["box"]["telea"]["minus"][0] == pytest.approx(
        box["telea"][by] - box[DEFAULT][by]
    )


def test_parts_make_the_report_of_one_run_and_sheets_show_all(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert evaluate(folder) == 0
    alone = json.loads(capsys.readouterr().out)
    work = ("--work", tmp_path / "work")
    assert evaluate(folder, *work, "--part", "1/2") == 0
    assert "part 1/2 is done" in capsys.readouterr().out
    (tmp_path / "sheets").mkdir()
    assert evaluate(folder, *work, "--part", "2/2", "--sheets", tmp_path / "sheets") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["pictures"] == alone["pictures"]
    for family in ("box", "thin"):
        with Image.open(tmp_path / "sheets" / f"photos-{family}.jpg") as opened:
            assert opened.width > 400
        assert f"photos-{family}.jpg" in said.err


def test_without_json_there_is_a_table(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--photos", folder / "in", "--side", "64", "--families", "box"]
    words += ["--rows", "fill none,default", "--model", folder / "tiny", "--device", "cpu"]
    words += QUICKLY
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr().out
    assert "| box | patches |" in told and "| all | fill none |" in told and "minus telea" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--photos", "nowhere"), "no such folder"),
        (("--against", "nothing"), "no way of filling and no file"),
        (("--rows", "nonsense"), "no row is called 'nonsense'"),
        (("--families", "boxes"), "unknown mask family"),
    ],
)
def test_mistakes_are_one_line_before_any_work_is_done(
    words: tuple[str, str],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(PhotoMeasure, "line")
    assert evaluate(folder, *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and message in said


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no pictures in it"):
        Photos.of(tmp_path)


def test_crops_of_one_photo_count_together() -> None:
    assert group_of("dune-a") == group_of("dune-b") == "dune" != group_of("shore")
    rng = np.random.default_rng(0)
    each = rng.normal(0, 1, 20)
    values, alone = np.repeat(each, 10), [str(i) for i in range(200)]
    together = [str(i // 10) for i in range(200)]
    wide, narrow = (group_interval(values.tolist(), some, 0) for some in (together, alone))
    few = interval(each.tolist(), np.random.default_rng(0))
    assert wide[1] - wide[0] == pytest.approx(few[1] - few[0], rel=0.1)
    assert wide[1] - wide[0] > 2.5 * (narrow[1] - narrow[0])
