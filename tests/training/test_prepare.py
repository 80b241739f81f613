import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.training.fetch import PACKAGES, unpack
from engine.training.photos import TEXTURE_ARCHIVE, photo_sources
from engine.training.prepare import Concept, IconifySet, bounding_box, premultiplied


def test_an_icon_is_found_by_code_point_or_by_name_and_rendered(tmp_path: Path) -> None:
    square = '<rect x="4" y="4" width="8" height="8" fill="#ff0000"/>'
    icons = {"icons": {"dog-face": {"body": square}}, "width": 16, "height": 16}
    (tmp_path / "icons.json").write_text(json.dumps(icons))
    dog, puppy = Concept("1f436", "dog face", "mammal"), Concept("1f415", "puppy", "mammal")
    by_name = IconifySet(tmp_path)
    assert by_name.draw(puppy) is None
    (tmp_path / "chars.json").write_text(json.dumps({"1f415": "dog-face"}))
    by_code = IconifySet(tmp_path)
    for picture in (by_name.draw(dog), by_code.draw(puppy)):
        assert picture is not None
        assert picture.size == (256, 256)
        rgba = premultiplied(picture)
        assert rgba[128, 128].tolist() == [255, 0, 0, 255]
        assert rgba[10, 10].tolist() == [0, 0, 0, 0]
        assert bounding_box(rgba) == (64, 64, 192, 192)


def test_colour_is_stored_times_alpha_and_blank_icons_are_left_out() -> None:
    half = Image.new("RGBA", (256, 256), (200, 100, 50, 128))
    assert premultiplied(half)[0, 0].tolist() == [100, 50, 25, 128]
    blank = np.zeros((256, 256, 4), dtype=np.uint8)
    assert bounding_box(blank) is None
    blank[:20, :20] = 255  # a fragment
    assert bounding_box(blank) is None


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("desert1", True),
        ("canyon03", True),
        ("desert10-harro", False),  # matches the pattern desert1* of the public domain, but is not
        ("mountain12-sfiera", False),
        ("bwerner4", False),
        ("lava5", False),
        ("nasa3", False),
        ("earthrise", False),
    ],
)
def test_photos_are_chosen_by_their_licence(tmp_path: Path, name: str, used: bool) -> None:
    folder = tmp_path / "endless-sky/usr/share/games/endless-sky/images/land"
    folder.mkdir(parents=True)
    (folder / f"{name}.jpg").touch()
    assert (name in [source.name for source in photo_sources(tmp_path)]) == used


def test_a_photo_is_credited_to_where_it_came_from(tmp_path: Path) -> None:
    folder = tmp_path / "endless-sky/usr/share/games/endless-sky/images/land"
    folder.mkdir(parents=True)
    for name in ("beach1", "beach2", "lava0"):
        (folder / f"{name}.jpg").touch()
    authors = {source.name: source.author for source in photo_sources(tmp_path)}
    assert authors["beach1"] == "morguefile.com"
    assert authors["beach2"] == "unsplash.com"
    assert authors["lava0"] == "USGS"
    assert authors["Wine_by_Jakkub_Mede"] == "Jakub Mede"


def test_the_larger_copy_of_a_photo_is_read_where_there_is_one(tmp_path: Path) -> None:
    small = tmp_path / "endless-sky/usr/share/games/endless-sky/images/land"
    large = tmp_path / "endless-sky-2x/usr/share/games/endless-sky/plugins"
    large = large / "endless-sky-high-dpi/images/land"
    for folder, name, width in ((small, "sky1", 8), (small, "sky2", 8), (large, "sky1@2x", 16)):
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, 4)).save(folder / f"{name}.jpg")
    found = {source.name: source for source in photo_sources(tmp_path)}
    assert found["sky1"].read().width == 16
    assert found["sky2"].read().width == 8


def test_a_texture_is_read_from_the_games_archive_and_is_no_background(tmp_path: Path) -> None:
    archive = tmp_path / TEXTURE_ARCHIVE
    archive.parent.mkdir(parents=True)
    Image.new("RGB", (6, 4)).save(tmp_path / "rock.png")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(tmp_path / "rock.png", "textures/tex_nature/rock017.png")
    rock = next(source for source in photo_sources(tmp_path) if source.name == "rock017")
    assert rock.read().size == (6, 4)
    assert (rock.label, rock.licence, rock.background) == (None, "public domain", False)


def test_a_package_is_unpacked_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/icons.json").write_text("{}")
    archive = tmp_path / "iconify-json-noto-1.2.9.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "package", "package")
    unpack(archive, tmp_path / "raw/noto")
    assert (tmp_path / "raw/noto/package/icons.json").read_text() == "{}"
    archive.write_bytes(archive.read_bytes()[:20])
    with pytest.raises((tarfile.TarError, EOFError)):
        unpack(archive, tmp_path / "raw/broken")
    assert not (tmp_path / "raw/broken").exists()


def test_packages_are_named_without_any_address() -> None:
    assert {package.name for package in PACKAGES if package.is_npm} == {
        "@iconify-json/noto",
        "@iconify-json/twemoji",
        "@iconify-json/fxemoji",
        "@lobehub/fluent-emoji-3d",
    }
    assert not any("://" in package.name + package.pattern for package in PACKAGES)
