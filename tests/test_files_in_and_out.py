"""Where files are read and written, anywhere in the project: formats named, EXIF believed only if
it is sound, nothing written but whole."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.vault import Vault
from engine import EditRequest
from engine.picture.files import encode_image, open_image
from engine.picture.source import Source, upright
from tests.house import ROOT, sources
from tests.pictures import noisy_rgb

DAMAGED = b"Exif\0\0" + bytes(8)
BESIDE = {  # what does not write a file of its own whole, and why that is well
    "app/folder.py": "the lock's number, in a folder that goes with the process",
    "app/vault.py": "pictures of histories, in a folder that goes with the process",
    "engine/evaluation/records.py": "lines that are added one by one; a cut one is measured again",
    "engine/training/run.py": "a log that grows, and samples to look at",
    "engine/weights/download.py": "a part that is gone on with, and renamed when it is whole",
    "engine/machine/shelf.py": "a file without a name",
    "engine/picture/saving.py": "what writes whole",
    "engine/machine/device.py": "memory, not a file",
    "engine/serving/report.py": "lines that are added one by one; a cut one is left out",
}


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


def test_every_picture_is_opened_with_the_formats_that_are_meant() -> None:
    """Pillow would hand PostScript to Ghostscript, whatever the file is called."""
    bare = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in [*sources("engine"), *sources("app")]
        for call in calls(path)
        if name_of(call) == "Image.open" and "formats" not in {key.arg for key in call.keywords}
    ]
    assert bare == []


def writes(call: ast.Call) -> bool:
    name = name_of(call).rsplit(".", 1)[-1]
    if name in ("write_text", "write_bytes", "imwrite", "save_file"):
        return True
    modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    return name == "open" and any(isinstance(m, str) and m[:1] in ("w", "a", "x") and len(m) < 4
                                  for m in modes)  # fmt: skip


def test_every_file_is_written_whole() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in [*sources("engine"), *sources("app")]
        for call in calls(path)
        if writes(call) and str(path.relative_to(ROOT)) not in BESIDE
    ]
    assert bare == []


@pytest.mark.filterwarnings("ignore:.*EXIF data")  # Pillow's own, where the test opens a file
@pytest.mark.parametrize("exif", [DAMAGED, b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"x" * 9])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_left_out_wherever_it_is_read(
    exif: bytes, form: str, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    noisy_rgb(40, 30).save(stream, form, exif=exif)
    path = tmp_path / f"a.{form.lower()}"
    path.write_bytes(stream.getvalue())
    with Image.open(path, formats=(form,)) as raw:
        raw.load()
        assert EditRequest(task="inpaint", image=raw).size == upright(raw).size == (40, 30)
        assert Source(raw).view().shape == (30, 40, 3)
        vault = Vault(limit=1)
        held = vault.hold(raw.copy())
        vault.hold(noisy_rgb(9, 9))
        assert held.image.size == (40, 30)
    image = open_image(path)
    assert image.size == (40, 30)
    assert open_image(encode_image(image, ".jpg")).size == (40, 30)


def test_a_training_picture_with_damaged_exif_is_read(tmp_path: Path) -> None:
    from engine.training.data import open_pictures

    for split in range(40):
        folder = tmp_path / ("bird" if split % 2 else "boat")
        folder.mkdir(exist_ok=True)
        noisy_rgb(40, 40, split).save(folder / f"{split}.jpg", exif=DAMAGED)
    picture, _ = open_pictures(tmp_path, side=32, split="train", seed=0)[0]
    assert np.asarray(picture).shape[-1] == 3
