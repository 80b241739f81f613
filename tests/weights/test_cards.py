"""What is known of a model before it is loaded is what is known of it then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.errors import CheckpointError
from engine.loading import load_editor
from engine.model.spec import SCALES_512, SCALES_DOUBLING, VARSpec, VQVAESpec
from engine.plan.card import Card
from engine.weights.cards import read_card
from engine.weights.metadata import DRAWS_FILE
from engine.weights.registry import ModelFiles, resolve
from engine.weights.saving import save_model
from tests.house import ROOT
from tests.official import official_state
from tests.tiny import LABELS, tiny_var, tiny_vqvae


def own_folder(folder: Path, *, foresight: bool = True) -> Path:
    """A model of one's own that says all that a file can say."""
    members = {"bird": ["boat", "hills"]}
    extra = {"defaults": json.dumps({"top_k": 20, "guidance": 3}), "licence": "MIT"}
    save_model(
        folder, tiny_vqvae(), tiny_var(foresight=foresight), labels=LABELS, about="tiny ones",
        members=members, extra=extra,
    )  # fmt: skip
    (folder / DRAWS_FILE).write_text(json.dumps({"bird": ["hills"]}))
    return folder


def both(model: str, weights: Path) -> tuple[Card, Card]:
    """The card read from the files, and that of the loaded editor."""
    files = resolve(model, weights)
    return read_card(files), load_editor(model, device="cpu", weights=weights).card


def test_the_bundled_models_card(tmp_path: Path) -> None:
    read, loaded = both("bundled", tmp_path)
    assert read == loaded
    assert read.name == "bundled" and read.side == 256 and read.about and read.labels.members


@pytest.mark.parametrize("by", ["name", "path", "file"])
@pytest.mark.parametrize("foresight", [False, True])
def test_the_card_of_a_folder_of_ones_own(by: str, foresight: bool, tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "mine", foresight=foresight)
    model = {"name": "mine", "path": str(folder), "file": str(folder / "var.safetensors")}[by]
    read, loaded = both(model, tmp_path)
    assert read == loaded
    assert (read.side, read.scales, read.foresight) == (32, (1, 2, 4), foresight)
    assert read.recommended == {"top_k": 20, "guidance": 3}
    assert read.labels.drawn(0, 5) == 2, "of its members it draws only one"


def small_official(folder: Path, scales: tuple[int, ...]) -> ModelFiles:
    """Files as the authors' trainer saves them, of a smaller network."""
    vqvae = VQVAESpec(scales=scales, width=32)
    var = VARSpec(depth=2, width=128, scales=scales)
    folder.mkdir()
    paths = folder / "vae_ch160v4096z32.pth", folder / "var_d16.pth"
    for path, spec in zip(paths, (vqvae, var), strict=True):
        torch.save(official_state(spec), path)
    return ModelFiles(str(folder), *paths, "", str(folder))


@pytest.mark.parametrize("scales", [SCALES_DOUBLING, SCALES_512])
def test_the_card_of_official_files_in_a_folder(scales: tuple[int, ...], tmp_path: Path) -> None:
    """One VQVAE serves all schedules: which, the transformer says."""
    files = small_official(tmp_path / "theirs", scales)
    read, loaded = read_card(resolve(files.name)), load_editor(files.name, device="cpu").card
    assert read == loaded
    assert read.side == 16 * scales[-1] and read.scales == scales and len(read.labels) == 1000


OFFICIAL = {"var-d16": (256, 16), "var-d30": (256, 16), "var-d36": (512, 32)}


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_card_of_an_official_name_is_known(name: str, tmp_path: Path) -> None:
    """Its files are a gigabyte and more; they only have to be there."""
    stem = name.replace("-", "_")
    for file in ("vae_ch160v4096z32.pth", f"{stem}.pth"):
        (tmp_path / file).touch()
    card = read_card(resolve(name, tmp_path))
    assert (card.side, card.scales[-1]) == OFFICIAL[name]
    assert card.name == name and len(card.labels) == 1000 and not card.foresight
    assert card.recommended == {} and "ImageNet" in card.about and card.source


@pytest.mark.slow
def test_it_is_what_the_loaded_one_has(tmp_path: Path) -> None:
    for spec in (VQVAESpec.official(), VARSpec.d16()):
        name = "vae_ch160v4096z32" if isinstance(spec, VQVAESpec) else "var_d16"
        torch.save(official_state(spec), tmp_path / f"{name}.pth")
    read, loaded = both("var-d16", tmp_path)
    assert read == loaded


READING = """
import sys
from pathlib import Path
from time import perf_counter
from engine.weights.cards import read_card
from engine.weights.registry import resolve

for model in sys.argv[2:]:
    files = resolve(model, Path(sys.argv[1]))
    read_card(files)
    began = perf_counter()
    assert read_card(files).scales
    assert perf_counter() - began < 0.5
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "gradio", "xformers"}))
"""


def test_reading_a_card_loads_no_network_library(tmp_path: Path) -> None:
    own_folder(tmp_path / "mine")
    for file in ("vae_ch160v4096z32.pth", "var_d16.pth"):
        (tmp_path / file).touch()
    done = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path), "bundled", "mine", "var-d16"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("extra", "message"),
    [({"defaults": "[1]"}, "expected defaults"), ({"labels": "[1]"}, "expected labels")],
)
def test_a_file_that_says_nonsense_is_told_in_one_line(
    extra: dict[str, str], message: str, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = own_folder(tmp_path / "mine")
    path = folder / "var.safetensors"
    from engine.weights.registry import metadata_of

    save_file(load_file(path), path, {**metadata_of(path), **extra})
    with pytest.raises(CheckpointError, match=message) as caught:
        read_card(resolve("mine", tmp_path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "mine")
    path = folder / "var.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="cut short") as caught:
        read_card(resolve("mine", tmp_path))
    assert "\n" not in str(caught.value)


def test_cards_with_other_labels_are_others(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "mine")
    before = read_card(resolve("mine", tmp_path))
    assert before == read_card(resolve("mine", tmp_path))
    (folder / DRAWS_FILE).unlink()
    after = read_card(resolve("mine", tmp_path))
    assert before != after, "it draws others"
