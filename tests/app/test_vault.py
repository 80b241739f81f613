"""Pictures of a history: whole after a trip to the disk, and gone when nobody holds them."""

from __future__ import annotations

import copy
import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.vault import Vault, memory_of
from engine.errors import ImageError
from engine.picture.depth import DEEP, Deep
from engine.picture.files import encode_image
from tests.pictures import MODES, noisy_rgb, picture


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_comes_back_from_disk_as_it_was(mode: str) -> None:
    image = picture(mode, 33, 20)
    before = encode_image(image, ".png")
    vault = Vault(limit=1)
    held = vault.hold(image)
    other = vault.hold(noisy_rgb(5, 5))  # pushes the first one out
    back = held.image
    assert back is not image
    assert (back.mode, back.size, back.tobytes()) == (image.mode, image.size, image.tobytes())
    assert encode_image(back, ".png") == before
    assert other.image.size == (5, 5)


def test_sixteen_bits_a_channel_count_and_come_back_from_disk_not_from_memory() -> None:
    values = np.arange(10 * 12 * 3, dtype=np.uint16).reshape(10, 12, 3) * 91
    image = Deep(values, 65535).picture("RGB", {})
    assert memory_of(image) == 10 * 12 * (4 + 6)
    vault = Vault(limit=1)
    held = vault.hold(image)
    vault.hold(noisy_rgb(10, 10))
    assert DEEP not in held.shell.info
    del image
    assert np.array_equal(held.image.info[DEEP].values, values)
    assert held.image.info[DEEP].peak == 65535


def test_exif_comes_back_too() -> None:
    image = noisy_rgb(5, 5)
    exif = image.getexif()
    exif[0x010E] = "a description"
    image.info["exif"] = exif.tobytes()
    vault = Vault(limit=1)
    held = vault.hold(image)
    vault.hold(noisy_rgb(5, 5))
    assert held.image.getexif()[0x010E] == "a description"


def test_memory_stays_within_its_limit_and_the_last_used_stay() -> None:
    one = memory_of(noisy_rgb(10, 10))
    vault = Vault(limit=3 * one)
    held = [vault.hold(noisy_rgb(10, 10, seed)) for seed in range(3)]
    first = held[0].image  # used: now the second one is the oldest
    held.append(vault.hold(noisy_rgb(10, 10, 3)))
    assert vault.used == 3 * one
    assert held[0].image is first
    pixels = [np.asarray(h.image).tobytes() for h in held]
    assert pixels == [noisy_rgb(10, 10, seed).tobytes() for seed in range(4)]
    assert vault.used == 3 * one


def test_what_nobody_holds_leaves_memory_and_disk() -> None:
    vault = Vault(limit=1)
    held = [vault.hold(noisy_rgb(10, 10, seed)) for seed in range(3)]
    source = vault.hold_bytes(b"file")
    home = source.path.parent
    assert source.read() == b"file" and len(list(home.iterdir())) == 3
    del held, source
    gc.collect()
    assert vault.used == 0 and not list(home.iterdir())
    del vault
    gc.collect()
    assert not home.exists()


def test_a_copy_of_the_vault_is_the_vault() -> None:
    vault = Vault()
    assert copy.deepcopy(vault) is vault


def test_a_file_that_somebody_deleted_is_told() -> None:
    vault = Vault(limit=1)
    held = vault.hold(noisy_rgb(10, 10))
    vault.hold(noisy_rgb(10, 10))
    shutil.rmtree(vault.hold_bytes(b"").path.parent)
    with pytest.raises(ImageError, match="gone from the disk"):
        held.image  # noqa: B018


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    vault = Vault(limit=1)
    first = vault.hold(noisy_rgb(10, 10))
    with pytest.raises(ImageError, match=r"No space left on device\); free some space"):
        vault.hold(Image.new("L", (3, 3)))
    assert first.image.size == (10, 10)
