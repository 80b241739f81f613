"""Every family's transformer is trained by the same loop, resumes, and edits when it is saved."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import CheckpointError, EditOptions, RequestError, load_editor
from engine.draw.maps import unknown_maps
from engine.model.spec import VARSpec
from engine.model.var.transformer import VAR
from engine.training.data import open_pictures
from engine.training.export import CODECS
from engine.training.flexvae import (
    FlexVAEOptions,
    FlexVAETrainer,
    load_trained_flexvae,
    train_flexvae,
)
from engine.training.flexvar_trainer import random_schedule
from engine.training.hmar_trainer import HMARTrainer
from engine.training.run import Budget, processes
from engine.training.var import TRAINERS, train_var
from engine.training.var_objective import VAROptions, initialise
from engine.training.vqvae import load_trained_vqvae, train_vqvae
from engine.training.vqvae_objective import VQVAEOptions
from engine.weights.checkpoint import load_pair
from engine.weights.saving import save_model

from .conftest import TINY

OPTIONS = VAROptions(
    depth=2, width=64, batch=4, warmup=2, held_out=8, evaluate_every=1000, tokens_at_once=100,
    prefix_until=0.2, window_until=0.5, rate=4e-3,
)  # fmt: skip
SIX = Budget(steps=6)
OTHERS = ("flexvar", "hmar")


@pytest.fixture(scope="session")
def codecs(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each family's tokenizer, hardly trained."""
    out = tmp_path_factory.mktemp("codecs")
    options = VQVAEOptions(batch=2, start_pictures=40, held_out=8)
    train_vqvae(picture_folder, out / "a", spec=TINY, budget=Budget(steps=1), options=options)
    flexible = FlexVAEOptions(batch=2, start_pictures=40, held_out=8)
    train_flexvae(
        picture_folder, out / "b", vqvae=out / "a", budget=Budget(steps=2), options=flexible
    )
    return {"hmar": out / "a", "flexvar": out / "b"}


@pytest.mark.parametrize("family", OTHERS)
def test_the_loss_falls(
    family: str, picture_folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    train_var(
        picture_folder, tmp_path, vqvae=codecs[family], budget=Budget(steps=60), family=family,
        options=replace(OPTIONS, prefix_until=0, window_until=0),
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-2:]) < 0.8 * losses[0]
    held_out = next(line["val/loss"] for line in lines if "val/loss" in line)
    assert held_out < losses[0]


@pytest.mark.parametrize("family", OTHERS)
def test_a_resumed_run_equals_an_uninterrupted_one_and_its_model_edits(
    family: str, picture_folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    class Stopping(TRAINERS[family]):  # type: ignore[misc,name-defined]
        def after_update(self) -> dict[str, float]:
            if self.step == 3:
                caught.append(15)
            return super().after_update()

    caught: list[int] = []

    def train(out: Path) -> torch.nn.Module:
        return train_var(
            picture_folder, out, vqvae=codecs[family], budget=SIX, options=OPTIONS, family=family
        )

    whole = train(tmp_path / "whole").state_dict()
    TRAINERS[family], kept = Stopping, TRAINERS[family]
    try:
        train(tmp_path / "parts")
    finally:
        TRAINERS[family] = kept
    assert caught
    resumed = train(tmp_path / "parts").state_dict()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name

    folder = tmp_path / "parts/model"
    loaded = load_pair(folder / "vqvae.safetensors", folder / "var.safetensors")
    assert loaded.family.name == family and loaded.labels == ("blue", "green", "red")
    editor = load_editor(folder, device="cpu")
    assert editor.card.family == family and editor.card.scales == TINY.scales
    picture = Image.fromarray(np.full((32, 32, 3), (200, 40, 30), np.uint8))
    mask = Image.fromarray(np.pad(np.full((16, 16), 255, np.uint8), 8))
    options = EditOptions(seed=1, detail="model")
    for result in (
        editor.inpaint(picture, mask, options=options),
        editor.edit_class(picture, mask, label="blue", options=options),
        editor.generate("red", options=options),
    ):
        assert result.images[0].size == (32, 32)


@torch.no_grad()
def test_another_family_goes_on_from_a_transformer_of_var(
    picture_folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    sizes = {
        "depth": 2, "width": 64, "scales": TINY.scales, "num_classes": 3,
        "codebook_size": TINY.codebook_size, "latent_channels": TINY.latent_channels,
    }  # fmt: skip
    var = VAR(VARSpec(**sizes))
    initialise(var)
    names = ["blue", "green", "red"]
    save_model(tmp_path, None, var, labels=names, about="")
    made = {}
    for family in OTHERS:
        with processes() as group:
            codec = CODECS[family](codecs[family])
            made[family] = TRAINERS[family](
                picture_folder, codec, tmp_path / family, SIX, OPTIONS, group,
                tmp_path / "var.safetensors",
            )  # fmt: skip
    hmar, flexvar = made["hmar"].var, made["flexvar"].var
    close = {"atol": 1e-3, "rtol": 0}  # a file is in half precision
    for block in (hmar.ns_blocks[0], hmar.mask_blocks[0], flexvar.blocks[1]):
        torch.testing.assert_close(block.ffn.fc1.weight, var.blocks[1].ffn.fc1.weight, **close)
    first = hmar.base_blocks[0].attn.mat_qkv.weight
    torch.testing.assert_close(first, var.blocks[0].attn.mat_qkv.weight, **close)
    torch.testing.assert_close(hmar.mask_head.weight, var.head.weight, **close)
    # The last position of the last row, and features by way of their direction.
    torch.testing.assert_close(flexvar.pos_1LC[0, :, -1, -1], var.pos_1LC[0, -1], **close)
    torch.testing.assert_close(flexvar.pos_1LC[0, :, 0, 1], var.pos_1LC[0, 6], **close)
    codec = made["flexvar"].vqvae
    pixels = 2 * torch.rand(1, 3, 32, 32) - 1
    features = codec.encoder.linear(pixels)[0].flatten(1).T  # (n, z), the last one a constant
    codes = torch.nn.functional.normalize(features, dim=1)
    words = flexvar.word_embed(codes) - flexvar.word_embed.bias
    wanted = features[:, :-1] @ var.word_embed.weight[:, :-1].T
    assert torch.nn.functional.cosine_similarity(words, wanted).min() > 0.99


def test_a_family_that_is_none_and_another_ones_checkpoint_are_refused(
    picture_folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    def train(family: str) -> None:
        train_var(
            picture_folder, tmp_path, vqvae=codecs["hmar"], budget=SIX, family=family,
            options=OPTIONS,
        )  # fmt: skip

    with pytest.raises(RequestError, match="expected one of var, flexvar, hmar, got 'far'"):
        train("far")
    with pytest.raises(CheckpointError, match="is not a checkpoint of train-flexvae"):
        train("flexvar")


def test_random_schedules_are_of_as_many_scales_and_between_the_usual_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    usual = (1, 2, 4, 8, 16)
    found = {random_schedule(usual, generator) for _ in range(200)}
    assert len(found) > 12
    for schedule in found:
        assert len(schedule) == 5 and schedule[0] == 1 and schedule[-1] == 16
        assert list(schedule) == sorted(set(schedule))
        assert all(a < b < c for a, b, c in zip(usual, schedule[1:], usual[2:], strict=False))


@pytest.fixture
def hmar(
    picture_folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> Iterator[HMARTrainer]:
    with processes() as group:
        vqvae = load_trained_vqvae(codecs["hmar"])
        yield HMARTrainer(picture_folder, vqvae, tmp_path, SIX, OPTIONS, group)


def test_the_branch_of_the_mask_is_not_told_what_is_hidden(hmar: HMARTrainer) -> None:
    """Neither in its place nor by what its neighbours add."""
    hmar.scales, hmar.masked = len(TINY.scales), True
    ids, _ = hmar.tokens.rows(0, 4)
    maps = list(ids.split([side * side for side in TINY.scales], dim=1))
    unknown = torch.zeros(4, 16, dtype=torch.bool)
    unknown[0, 5] = True
    inputs = hmar.inputs(maps, unknown)
    hidden = torch.cat(unknown_maps(unknown, TINY.scales), dim=1)[:, 1:]
    assert torch.equal(inputs[..., -1] > 0, hidden)
    finest = maps[-1].clone()
    finest[0, 5] = (finest[0, 5] + 1) % TINY.codebook_size
    assert torch.equal(hmar.inputs([*maps[:-1], finest], unknown)[0], inputs[0])
    weight = hmar.weights(unknown, None)
    assert weight[:, 0].sum() == 0 and weight[1:].sum() == 0 and weight[0].sum() == 2


def test_steps_are_for_either_branch_and_an_evaluation_for_the_next_scale(
    hmar: HMARTrainer,
) -> None:
    seen = set()
    for seed in range(20):
        hmar.begin_step(torch.Generator().manual_seed(seed))
        seen.add(hmar.masked)
    assert seen == {True, False}
    hmar.begin_step(None)
    assert not hmar.masked


def test_a_flexible_tokenizer_has_codes_and_decoder_that_fit(
    picture_folder: Path, codecs: dict[str, Path]
) -> None:
    vae = load_trained_flexvae(codecs["flexvar"])
    pictures = open_pictures(picture_folder, side=32, split="train")
    shown = torch.from_numpy(np.stack([pictures[i][0] for i in range(4)])).permute(0, 3, 1, 2)
    pixels = shown.float() / 127.5 - 1
    with torch.no_grad():
        scheme, features = vae.scheme, vae.features(pixels)
        last = len(TINY.scales) - 1
        codes = scheme.codebook[scheme.kept(last, features, features)]
        decoded = vae.decode(scheme.advance(last, features, codes))
    error = float((decoded - pixels).square().mean())
    assert error < 0.3 * float(pixels.var())


def test_a_flexible_tokenizer_resumes_to_the_same_bytes(
    picture_folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    class Stopping(FlexVAETrainer):
        def after_update(self) -> dict[str, float]:
            if self.step == 1:
                caught.append(15)
            return super().after_update()

    caught: list[int] = []
    options, four = FlexVAEOptions(batch=2, start_pictures=40, held_out=8), Budget(steps=4)

    def train(out: Path) -> dict[str, torch.Tensor]:
        return train_flexvae(
            picture_folder, out, vqvae=codecs["hmar"], budget=four, options=options
        ).state_dict()

    start = load_trained_vqvae(codecs["hmar"])
    with processes() as group:
        Stopping(picture_folder, start, tmp_path / "parts", four, options, group).run(caught)
    whole, resumed = train(tmp_path / "whole"), train(tmp_path / "parts")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
