import json
import os
import pickle
import shutil
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from engine.errors import ImageError, RequestError
from engine.training.batches import batches
from engine.training.data import PictureFolder, StickerSet, open_pictures
from engine.training.photos import HELD_OUT, held_out
from engine.training.prepare import concepts
from tests.pictures import noisy_rgb

EMOJI_TEST = """
# group: Smileys & Emotion
# subgroup: face-smiling
1F600                                      ; fully-qualified     # 😀 E1.0 grinning face
# group: Animals & Nature
# subgroup: animal-mammal
1F408 200D 2B1B                            ; fully-qualified     # 🐈‍⬛ E13.0 black cat
1F43F FE0F                                 ; fully-qualified     # 🐿️ E0.7 chipmunk
1F43F                                      ; unqualified         # 🐿 E0.7 chipmunk
# subgroup: sky & weather
1F311                                      ; fully-qualified     # 🌑 E0.6 new moon
# subgroup: hand-fingers-open
1F44B                                      ; fully-qualified     # 👋 E0.6 waving hand
"""


def test_concepts_are_the_fully_qualified_emoji_of_our_classes() -> None:
    found = [(c.code, c.name, c.slug, c.label) for c in concepts(EMOJI_TEST)]
    assert found == [
        ("1f600", "grinning face", "grinning-face", "face"),
        ("1f408-200d-2b1b", "black cat", "black-cat", "mammal"),
        ("1f43f", "chipmunk", "chipmunk", "mammal"),
    ]


def test_the_held_out_choice_is_fixed_and_takes_some_of_every_class() -> None:
    names = {"many": [f"m{i}" for i in range(100)], "two": ["a", "b"], "one": ["z"]}
    chosen = held_out(names)
    assert chosen == held_out({name: items[::-1] for name, items in names.items()})
    counted = Counter("many" if name.startswith("m") else name for name in chosen)
    assert counted["many"] == round(100 * HELD_OUT)
    assert len(chosen & {"a", "b"}) == 1
    assert "z" not in chosen


def test_no_concept_and_no_photo_is_in_both_splits(sticker_set: Path) -> None:
    train, val = (StickerSet(sticker_set, side=32, split=s) for s in ("train", "val"))
    concept_names = [
        {concept for by_concept in each.icons.values() for concept in by_concept}
        for each in (train, val)
    ]
    assert concept_names[0] and concept_names[1]
    assert not concept_names[0] & concept_names[1]
    files = [{photo.file for photo in each.photos} for each in (train, val)]
    assert files[0] and files[1] and not files[0] & files[1]


def test_half_of_other_objects_are_upright_in_steps_of_the_token_grid(sticker_set: Path) -> None:
    pictures = StickerSet(sticker_set, side=256, split="train")
    icon = next(iter(next(iter(pictures.icons.values())).values()))[0]
    black = np.zeros((256, 256, 3), dtype=np.uint8)
    corners: Counter[tuple[int, int, int]] = Counter()  # of whole tokens, by size
    for number in range(200):
        picture = pictures._paste(black, icon, np.random.default_rng(number))
        rows, columns = np.nonzero(picture.any(2))
        size = int(rows.max() - rows.min()) // 4
        corners[size, int(rows.min()) % 16, int(columns.min()) % 16] += 1
    assert sum(count for _, count in corners.most_common(3)) > 0.4 * 200
    assert len(corners) > 20  # the others are anywhere


def test_names_are_classes_then_the_named_things_of_the_training_split(sticker_set: Path) -> None:
    train, val = (StickerSet(sticker_set, side=32, split=s) for s in ("train", "val"))
    assert train.names == val.names
    things = {"ball": (0, 2, 4), "disc": (1, 3, 5)}
    assert train.members == {
        label: tuple(f"concept {number}" for number in numbers) for label, numbers in things.items()
    }
    assert train.names == ("ball", "disc", "hills", *train.members["ball"], *train.members["disc"])
    fine = Counter(train.names[train.fine_label(index)] for index in range(300))
    assert set(fine) == set(train.names)
    for index in range(40):
        name, label = train.names[train.fine_label(index)], train.classes[train[index][1]]
        assert name == label or name in train.members[label]
    assert {val.fine_label(index) for index in range(100)} == {0, 1, 2}  # unseen concepts


def test_named_things_are_in_one_style_one_size_and_the_middle(sticker_set: Path) -> None:
    pictures = StickerSet(sticker_set, side=256, split="train")
    black = np.zeros((256, 256, 3), dtype=np.uint8)
    icon = pictures.things["disc"]["concept 1"][0]
    made = [pictures._paste(black, icon, np.random.default_rng(n), posed=True) for n in range(3)]
    assert all(np.array_equal(each, made[0]) for each in made)
    for axis in (0, 1):
        seen = np.flatnonzero(made[0].any(axis=(2, axis)))
        assert seen[-1] - seen[0] == pytest.approx(0.66 * 256, abs=3)
        assert seen[0] + seen[-1] == pytest.approx(256, abs=2)
    shown = [subject for subject in (pictures._subject(i)[1] for i in range(200)) if subject.thing]
    assert len(shown) > 90
    assert all(subject.what.style == "s0" for subject in shown)


def test_a_concept_called_like_a_class_says_which_class_it_is_in(
    sticker_set: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "set"
    shutil.copytree(sticker_set, copied)
    index = json.loads((copied / "index.json").read_text())
    for icon in index["icons"]:
        if icon["concept"] == "concept 0":
            icon["concept"] = "hills"
    (copied / "index.json").write_text(json.dumps(index))
    names = StickerSet(copied, side=32, split="train").names
    assert "hills (ball)" in names and len(set(names)) == len(names)


def test_a_picture_depends_on_its_number_only(sticker_set: Path) -> None:
    first, second = (open_pictures(sticker_set, side=32, split="train") for _ in range(2))
    second[3]
    assert np.array_equal(first[7][0], second[7][0])
    assert first[7][1] == second[7][1]
    assert first[7][0].shape == (32, 32, 3)
    assert first[7][0].dtype == np.uint8
    other = open_pictures(sticker_set, side=32, split="train", seed=1)
    assert any(not np.array_equal(first[i][0], other[i][0]) for i in range(4))


def test_the_digest_of_a_sticker_set_is_that_of_its_index(
    sticker_set: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "set"
    shutil.copytree(sticker_set, copied)
    digests = {open_pictures(sticker_set, side=32, split=s).digest for s in ("train", "val")}
    assert digests == {open_pictures(copied, side=64, split="train", seed=1).digest}
    index = json.loads((copied / "index.json").read_text())
    index["photos"].pop()
    (copied / "index.json").write_text(json.dumps(index))
    assert open_pictures(copied, side=32, split="train").digest not in digests


def test_a_file_that_went_away_is_named(picture_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(picture_folder, tmp_path / "data")
    pictures = open_pictures(tmp_path / "data", side=32, split="train")
    (tmp_path / "data/red/3.png").unlink()
    with pytest.raises(ImageError, match=r"cannot read the training picture .*3\.png"):
        _ = pictures.digest


def test_classes_of_objects_are_balanced(sticker_set: Path) -> None:
    pictures = open_pictures(sticker_set, side=16, split="train")
    counted = Counter(pictures[index][1] for index in range(300))
    assert set(counted) == {0, 1, 2}
    assert 0.6 < counted[0] / counted[1] < 1.6


def test_an_object_lies_inside_its_picture(sticker_set: Path) -> None:
    pictures = StickerSet(sticker_set, side=64, split="train")
    icon = pictures.icons["ball"]["concept 0"][0]  # a dark disc
    white = np.full((64, 64, 3), 255, dtype=np.uint8)
    for seed in range(20):
        pasted = pictures._paste(white, icon, np.random.default_rng(seed))
        rim = np.concatenate([pasted[0], pasted[-1], pasted[:, 0], pasted[:, -1]])
        assert (rim == 255).all(axis=1).mean() > 0.8  # touches at most a little
        assert (pasted[..., 1] < 128).mean() > 0.15


def test_a_folder_of_pictures_by_class(picture_folder: Path) -> None:
    train, val = (open_pictures(picture_folder, side=32, split=s) for s in ("train", "val"))
    assert train.classes == ("blue", "green", "red")
    assert isinstance(train, PictureFolder) and isinstance(val, PictureFolder)
    for name in train.classes:
        assert val.files[name]
        assert not set(train.files[name]) & set(val.files[name])
    for index in range(12):
        picture, label = train[index]
        channel = {"red": 0, "green": 1, "blue": 2}[train.classes[label]]
        assert picture.reshape(-1, 3).mean(0).argmax() == channel


def test_batches_are_pixels_from_minus_one_to_one_with_labels(picture_folder: Path) -> None:
    pictures, labels = next(batches(open_pictures(picture_folder, side=32, split="train"), 5))
    assert pictures.shape == (5, 3, 32, 32)
    assert -1 <= pictures.min() < pictures.max() <= 1
    assert labels.shape == (5,)


def test_processes_share_one_stream_and_a_resumed_one_goes_on(picture_folder: Path) -> None:
    pictures = open_pictures(picture_folder, side=32, split="train")
    whole = [batch for batch, _ in islice(batches(pictures, 4), 3)]
    parts = [
        [batch for batch, _ in islice(batches(pictures, 2, rank=rank, world=2), 3)]
        for rank in (0, 1)
    ]
    for step in range(3):
        assert torch.equal(whole[step], torch.cat([parts[0][step], parts[1][step]]))
    resumed, _ = next(batches(pictures, 4, first_step=2))
    assert torch.equal(resumed, whole[2])


@pytest.mark.parametrize("data", ["sticker_set", "picture_folder"])
def test_a_worker_that_gets_the_data_by_pickle_draws_the_same_pictures(
    data: str, request: pytest.FixtureRequest
) -> None:
    pictures = open_pictures(request.getfixturevalue(data), side=32, split="train")
    drawn = [pictures[index] for index in range(12)]  # what is cached now stays here
    sent = pickle.dumps(pictures)
    assert len(sent) < 20_000  # the icons are in a mapped file of 4 MB
    copy = pickle.loads(sent)
    for index, (picture, label) in enumerate(drawn):
        assert np.array_equal(copy[index][0], picture) and copy[index][1] == label
        assert copy.fine_label(index) == pictures.fine_label(index)
    assert copy._load.cache_info().maxsize == pictures._load.cache_info().maxsize


@pytest.mark.slow
def test_a_spawned_worker_gives_the_same_batches(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = open_pictures(picture_folder, side=32, split="train")
    plain, labels = next(batches(pictures, 4))
    spawning = partial(DataLoader, multiprocessing_context="spawn")  # elsewhere than on Linux
    monkeypatch.setattr("engine.training.batches.DataLoader", spawning)
    stream = batches(pictures, 4, workers=1)
    ours, also = next(stream)
    assert torch.equal(ours, plain) and torch.equal(also, labels)
    stream.close()


def test_a_missing_or_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no such data folder.*nowhere"):
        open_pictures(tmp_path / "nowhere", side=32, split="train")
    with pytest.raises(RequestError, match="one subfolder a class"):
        open_pictures(tmp_path, side=32, split="train")


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "cat" / name).write_text("not a picture")
    with pytest.raises(ImageError, match=r"cannot read the training picture .*[ab]\.png"):
        open_pictures(tmp_path, side=32, split="train")[0]


def test_files_whose_names_are_no_text_are_pictures_too(tmp_path: Path) -> None:
    for number in range(4):
        name = os.fsdecode(b"caf\xe9 %d.png" % number)
        (tmp_path / "class").mkdir(exist_ok=True)
        try:
            noisy_rgb(40, 40).save(tmp_path / "class" / name)
        except OSError:
            pytest.skip("this file system takes names of text only")
    data = open_pictures(tmp_path, side=16, split="train")
    assert data[0][0].shape == (16, 16, 3) and len(data.digest) == 12


def test_a_share_of_photos_comes_as_they_are_and_without_a_label(sticker_set: Path) -> None:
    plain = StickerSet(sticker_set, side=32, split="train", plain=0.5)
    usual = StickerSet(sticker_set, side=32, split="train")
    none = len(plain.names)
    labels = [plain[index][1] for index in range(200)]
    assert 60 < labels.count(none) < 140
    assert all((plain.fine_label(i) == none) == (label == none) for i, label in enumerate(labels))
    assert all(usual[index][1] != none for index in range(50))
    assert plain.names == usual.names
    assert plain.digest != usual.digest  # tokens are kept by it


def test_what_is_no_background_is_shown_as_it_is_only(sticker_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sticker_set, folder)
    index = json.loads((folder / "index.json").read_text())
    index["photos"][0]["background"] = False
    (folder / "index.json").write_text(json.dumps(index))
    pictures = StickerSet(folder, side=32, split="train", plain=1.0)
    assert [photo.file for photo in pictures.backgrounds] == ["1.png"]
    shown = {pictures._subject(number)[1].what for number in range(30)}
    assert shown == set(pictures.photos)
