from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import CheckpointError, RequestError
from engine.model.spec import VARSpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.training.data import open_pictures
from engine.training.redraw import Redrawer, open_transformer
from engine.training.run import Budget, processes
from engine.training.var_objective import initialise
from engine.training.vqvae import VQVAETrainer, load_trained_vqvae, train_vqvae
from engine.training.vqvae_objective import VQVAEOptions
from engine.weights.saving import save_model

from .conftest import TINY
from .test_vqvae import stop_after

OPTIONS = VQVAEOptions(
    batch=4, start_pictures=40, held_out=8, evaluate_every=1000, checkpoint_minutes=1e9
)
NAMES = ["blue", "green", "red"]


def small_var(**changes: int | bool) -> VAR:
    torch.manual_seed(0)
    spec = VARSpec(depth=1, width=64, scales=(1, 2, 4), num_classes=3, codebook_size=48,
                   latent_channels=8, foresight=True)  # fmt: skip
    var = VAR(replace(spec, **changes))
    initialise(var)
    return var


@pytest.fixture(scope="module")
def var_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("var")
    save_model(folder, None, small_var(), labels=NAMES, about="")
    return folder / "var.safetensors"


@pytest.fixture
def redrawer(picture_folder: Path, var_file: Path) -> Redrawer:
    torch.manual_seed(1)
    pictures = open_pictures(picture_folder, side=32, split="train", seed=0)
    vqvae = VQVAE(TINY).eval()
    return Redrawer(open_transformer(var_file, vqvae, pictures), vqvae, pictures, seed=0)


def test_what_is_known_stays_and_what_is_redrawn_does_not(redrawer: Redrawer) -> None:
    features = torch.randn(3, 8, 4, 4)
    areas = set()
    for step in range(12):
        redrawn, hole = redrawer(step, range(3), features)
        assert torch.equal(redrawn[..., ~hole], features[..., ~hole])
        assert not torch.isclose(redrawn, features)[..., hole].all(1).any()
        assert not redrawn.is_inference()  # or nothing could be learned from it
        areas.add(int(hole.sum()))
    assert len(areas) > 3


def test_coarse_scales_are_the_pictures_own(redrawer: Redrawer) -> None:
    """So what is to be decoded is known: the redrawn picture is like its own, not another."""
    features = 4 * torch.randn(2, 8, 1, 1).expand(-1, -1, 4, 4)
    with torch.no_grad():
        redrawer.quantizer.embedding.weight[: len(features)] = features[:, :, 0, 0]
    for step in range(6):
        redrawn, hole = redrawer(step, range(2), features)
        mean = redrawn[..., hole].mean(2)
        own = (mean - features[:, :, 0, 0]).norm(dim=1)
        assert (own < (mean - features[:, :, 0, 0].flip(0)).norm(dim=1)).all()


def test_a_redrawing_depends_on_seed_and_step_only(redrawer: Redrawer) -> None:
    features = torch.randn(2, 8, 4, 4)
    (first, hole), (again, same) = (redrawer(5, range(2), features) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(hole, same)
    other, _ = redrawer(6, range(2), features)
    assert not torch.equal(first, other)


def test_a_transformer_of_other_codes_or_labels_is_refused(
    picture_folder: Path, tmp_path: Path
) -> None:
    pictures = open_pictures(picture_folder, side=32, split="train", seed=0)
    vqvae, other = VQVAE(TINY), VQVAE(TINY)
    for name, made, var, labels in (
        ("size", None, small_var(codebook_size=64), NAMES),
        ("labels", vqvae, small_var(), NAMES[::-1]),
        ("codes", other, small_var(), NAMES), ("own", vqvae, small_var(), NAMES),
    ):  # fmt: skip
        save_model(tmp_path / name, made, var, labels=labels, about="")
    for name, message in (
        ("size", "expected a VQVAE of 64 x 8 codes"), ("labels", "has other labels than the data"),
        ("codes", "trained with another codebook"),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=message):
            open_transformer(tmp_path / name / "var.safetensors", vqvae, pictures)
    open_transformer(tmp_path / "own" / "var.safetensors", vqvae, pictures)


def test_the_decoder_learns_from_redrawn_pictures(
    picture_folder: Path, var_file: Path, tmp_path: Path
) -> None:
    """Training with a transformer reconstructs the redrawn better than training without one."""
    decibels = []
    for name, transformer in (("with", var_file), ("without", None)):
        budget = Budget(steps=150)
        train_vqvae(picture_folder, tmp_path / name, spec=TINY, budget=budget,
                    options=OPTIONS, transformer=transformer)  # fmt: skip
        vqvae = load_trained_vqvae(tmp_path / name / "checkpoint.pt")
        with processes() as group:
            trainer = VQVAETrainer(picture_folder, TINY, tmp_path / "judged", Budget(steps=1),
                                   OPTIONS, group, vqvae, var_file)  # fmt: skip
            assert trainer.redrawers is not None
            with torch.no_grad():
                decibels.append(trainer.evaluate_redrawn(trainer.redrawers[1])[0])
    assert decibels[0] > decibels[1] + 0.3


def test_a_resumed_run_with_a_transformer_equals_an_uninterrupted_one(
    picture_folder: Path, var_file: Path, tmp_path: Path
) -> None:
    whole = train_vqvae(picture_folder, tmp_path / "whole", spec=TINY, budget=Budget(steps=6),
                        options=OPTIONS, transformer=var_file)  # fmt: skip
    stop_after(3, picture_folder, tmp_path / "parts", OPTIONS, var_file)
    resumed = train_vqvae(picture_folder, tmp_path / "parts", spec=TINY, budget=Budget(steps=6),
                          options=OPTIONS, transformer=var_file)  # fmt: skip
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_codes_that_move_cannot_be_redrawn(
    picture_folder: Path, var_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="train the decoder alone"):
        train_vqvae(picture_folder, tmp_path, spec=TINY, budget=Budget(steps=1),
                    options=replace(OPTIONS, joint=True), transformer=var_file)  # fmt: skip
