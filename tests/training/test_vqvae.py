import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from engine.errors import CheckpointError, RequestError
from engine.model.var.vqvae import VQVAE
from engine.training.batches import batches
from engine.training.data import open_pictures
from engine.training.linear_start import codes_by_scale, k_means, linear_start, principal_patches
from engine.training.run import Budget, Ema, Processes, processes
from engine.training.vqvae import Codes, VQVAETrainer, load_trained_vqvae, train_vqvae
from engine.training.vqvae_objective import VQVAEOptions, quantize, sobel

from .conftest import TINY

OPTIONS = VQVAEOptions(batch=4, start_pictures=40, held_out=8, revive_after=2, evaluate_every=1000)
JOINT = replace(OPTIONS, joint=True)
JUDGED = replace(JOINT, adversarial=0.1, adversarial_from=0.3)


def test_principal_components_of_planted_patches_are_found() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(12, 2)).Q.T.view(2, 3, 2, 2)
    weights = torch.randn(50, 2, 4, 4) * torch.tensor([3.0, 1.0]).view(1, 2, 1, 1)
    pictures = F.conv_transpose2d(weights, basis, stride=2)
    _, components = principal_patches(pictures, 2, 2)
    cosine = F.cosine_similarity(components.flatten(1), basis.flatten(1)).abs()
    assert (cosine > 0.99).all()


def test_k_means_finds_planted_centres() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat_interleave(40, 0) + 0.1 * torch.randn(120, 2)
    found = k_means(points, 24, torch.Generator().manual_seed(1))
    assert (torch.cdist(centres, found).min(1).values < 0.2).all()


def test_every_code_is_given_to_a_scale_and_the_finest_gets_most() -> None:
    counts = codes_by_scale(4096, (1, 2, 4, 8, 16))
    assert sum(counts) == 4096
    assert counts == sorted(counts)


def test_gradients_pass_straight_through_the_quantizer() -> None:
    torch.manual_seed(0)
    vqvae = VQVAE(TINY)
    features = torch.randn(2, 8, 4, 4, requires_grad=True)
    quantized = quantize(vqvae.quantize, features, 0.25)
    _, feature_map = vqvae.quantize.encode(features.detach())
    torch.testing.assert_close(quantized.feature_map.detach(), feature_map)
    assert quantized.hits.sum(1).tolist() == [2 * 1, 2 * 4, 2 * 16]
    mix = torch.randn(2, 8, 4, 4)
    (grad,) = torch.autograd.grad((quantized.feature_map * mix).sum(), features)
    torch.testing.assert_close(grad, mix)


def test_sobel_sees_edges_and_no_flat_colour() -> None:
    flat = torch.full((1, 3, 8, 8), 0.7)
    edge = flat.clone()
    edge[..., 4:] = -0.7
    assert sobel(flat).item() == pytest.approx(0, abs=1e-6)
    assert sobel(edge).item() > 0.1


@torch.no_grad()
def test_the_linear_start_reconstructs_far_better_than_random_weights(picture_folder: Path) -> None:
    torch.manual_seed(0)
    pictures, _ = next(batches(open_pictures(picture_folder, side=32, split="train"), 60))
    errors = []
    for started in (False, True):
        vqvae = VQVAE(TINY)
        if started:
            linear_start(vqvae, pictures, 0)
        _, feature_map = vqvae.quantize.encode(vqvae.features(pictures))
        errors.append(float((vqvae.decode(feature_map) - pictures).square().mean()))
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.parametrize("options", [JOINT, JUDGED], ids=["joint", "adversarial"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    options: VQVAEOptions, picture_folder: Path, tmp_path: Path
) -> None:
    six = Budget(steps=6)
    whole = train_vqvae(picture_folder, tmp_path / "whole", spec=TINY, budget=six, options=options)
    out = tmp_path / "parts"
    stop_after(3, picture_folder, out, options)
    resumed = train_vqvae(picture_folder, out, spec=TINY, budget=six, options=options)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    loaded = load_trained_vqvae(out)  # the folder stands for its checkpoint
    pictures, _ = next(islice(batches(open_pictures(picture_folder, side=32, split="val"), 2), 1))
    assert all(
        torch.equal(mine, its)
        for mine, its in zip(loaded.encode(pictures), resumed.encode(pictures), strict=True)
    )
    assert list((out / "samples").glob("reconstruction-*.png"))


def stop_after(
    steps: int, data: Path, out: Path, options: VQVAEOptions, transformer: Path | None = None
) -> None:
    """What a SIGTERM after so many steps of a run of six leaves behind."""

    class Stopping(VQVAETrainer):
        def after_update(self) -> dict[str, float]:
            if self.step == steps - 1:
                caught.append(15)
            return super().after_update()

    caught: list[int] = []
    with processes() as group:
        budget = Budget(steps=6)
        Stopping(data, TINY, out, budget, options, group, transformer=transformer).run(caught)


def test_training_the_decoder_alone_lowers_the_loss_and_leaves_the_tokens(
    picture_folder: Path, tmp_path: Path
) -> None:
    pictures, _ = next(batches(open_pictures(picture_folder, side=32, split="train"), 40))
    torch.manual_seed(OPTIONS.seed)
    start = VQVAE(TINY)
    linear_start(start, pictures, OPTIONS.seed)
    trained = train_vqvae(
        picture_folder, tmp_path, spec=TINY, budget=Budget(steps=40), options=OPTIONS
    )
    for mine, its in zip(start.encode(pictures), trained.encode(pictures), strict=True):
        assert torch.equal(mine, its)
    errors = []
    for vqvae in (start, trained):
        with torch.no_grad():
            _, feature_map = vqvae.quantize.encode(vqvae.features(pictures))
            errors.append(float((vqvae.decode(feature_map) - pictures).abs().mean()))
    assert errors[1] < errors[0]
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"loss", "psnr", "usage", "pictures_per_second"} <= set(rows[-2])
    assert "val/psnr" in rows[-1]


def test_dead_codes_move_to_where_they_are_needed() -> None:
    torch.manual_seed(0)
    vqvae = VQVAE(TINY)
    alone = Processes(0, 1, torch.device("cpu"))
    codes = Codes(vqvae, JOINT, alone)
    ema = Ema(vqvae, 0.9)
    weight = vqvae.quantize.embedding.weight
    optimizer = torch.optim.AdamW([weight])
    hits = torch.zeros(3, TINY.codebook_size, dtype=torch.int64)
    hits[0, 1:] = 1  # code 0 is never hit
    rest = torch.randn(20, TINY.latent_channels)
    for _ in range(JOINT.revive_after):
        codes.count(hits.clone())
    assert codes.usage() == pytest.approx(1 - 1 / TINY.codebook_size)
    assert codes.revive(rest, optimizer, ema, step=5) == 1
    assert (torch.cdist(weight[:1], rest).min() == 0).item()
    assert codes.revive(rest, optimizer, ema, step=6) == 0


def test_a_run_needs_a_budget_and_refuses_another_models_checkpoint(
    picture_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="--steps or --minutes"):
        Budget()
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot resume from"):
        train_vqvae(picture_folder, tmp_path, spec=TINY, budget=Budget(steps=1), options=OPTIONS)
    with pytest.raises(CheckpointError, match=r"no VQVAE at .*; train one with train-vqvae"):
        load_trained_vqvae(tmp_path / "nowhere")
