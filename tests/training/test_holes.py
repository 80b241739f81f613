"""Pictures with holes: what a transformer with foresight is shown, and what it is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.draw.maps import unknown_maps
from engine.training.holes import Kind, choose_kind, draw_hole
from engine.training.pieces import keyed_generator
from engine.training.run import Budget, processes
from engine.training.trainer import Trainer
from engine.training.var import VARTrainer
from engine.training.var_objective import VAROptions
from engine.training.vqvae import load_trained_vqvae

from .test_var import OPTIONS, vqvae_checkpoint  # noqa: F401, a fixture


@pytest.mark.parametrize("kind", ["everything", "middle", "any"])
@pytest.mark.parametrize("side", [4, 16])
def test_holes_leave_something_to_do_and_mostly_something_known(kind: Kind, side: int) -> None:
    holes = [draw_hole(kind, side, keyed_generator(0, index)) for index in range(60)]
    assert all(hole.shape == (side, side) and hole.dtype == bool for hole in holes)
    assert all(hole.any() for hole in holes)
    if kind == "everything":
        assert all(hole.all() for hole in holes)
        return
    if side > 4:  # where the middle is not all there is
        assert sum(hole.all() for hole in holes) <= 6
    assert len({hole.tobytes() for hole in holes}) > 8
    if kind == "middle":
        middle = slice(side // 2 - 1, side // 2 + 1)
        assert all(hole[middle, middle].all() for hole in holes)


def test_every_kind_comes_and_the_same_key_gives_the_same_hole() -> None:
    kinds = [choose_kind(keyed_generator(1, index)) for index in range(60)]
    assert set(kinds) == {"everything", "middle", "any"}
    one, two = (draw_hole("any", 16, keyed_generator(5)) for _ in range(2))
    assert np.array_equal(one, two)


def trainer(
    data: Path, checkpoint: Path, out: Path, options: VAROptions = OPTIONS
) -> VARTrainer:
    with processes() as group:
        vqvae = load_trained_vqvae(checkpoint, group.device)
        return VARTrainer(data, vqvae, out, Budget(steps=2), options, group)


def test_known_positions_are_shown_in_full_and_do_not_count(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path  # noqa: F811
) -> None:
    subject = trainer(picture_folder, vqvae_checkpoint, tmp_path)
    scales = subject.spec.scales
    subject.scales = len(scales)
    ids, _ = subject.tokens.rows(0, 4)
    maps = list(ids.split([side * side for side in scales], dim=1))
    unknown = torch.zeros(4, scales[-1] ** 2, dtype=torch.bool)
    unknown[:, 0] = True
    inputs = subject.inputs(maps, unknown)
    plain, features = subject.vqvae.quantize.teacher_inputs(maps)
    seen = torch.cat(unknown_maps(unknown, scales), 1)[:, 1:]
    assert torch.equal(inputs[..., -1], (~seen).float())
    assert torch.equal(inputs[seen][:, :-1], plain[seen])
    finest = inputs[:, -scales[-1] ** 2 :, :-1]
    assert torch.equal(finest[:, 1:], features.flatten(2).transpose(1, 2)[:, 1:])
    weight = subject.weights(unknown, None)
    assert weight.sum(1).tolist() == [len(scales)] * 4, "one position of each scale is asked for"
    window = torch.tensor([1, 2])
    assert subject.weights(unknown, window)[:, -2:].sum() == 0


def test_no_gradient_comes_from_what_is_known(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path  # noqa: F811
) -> None:
    subject = trainer(picture_folder, vqvae_checkpoint, tmp_path)
    subject.scales = len(subject.spec.scales)
    ids, labels = subject.tokens.rows(0, 4)
    unknown = torch.zeros(4, subject.spec.scales[-1] ** 2, dtype=torch.bool)
    unknown[:, 3] = True
    weight = subject.weights(unknown, None)
    grads = []
    for wrong in (ids, torch.where(weight > 0, ids, (ids + 1) % 3)):
        subject.network.zero_grad()
        maps = subject.inputs(list(ids.split([s * s for s in subject.spec.scales], 1)), unknown)
        loss = subject.objective(maps, wrong, labels, None, subject.scales)
        (loss * weight).sum().backward()
        grads.append(subject.var.head.weight.grad.clone())
    assert grads[0].any() and torch.equal(*grads)


def test_without_foresight_pictures_are_whole(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path  # noqa: F811
) -> None:
    options = replace(OPTIONS, foresight=False)
    subject: Trainer = trainer(picture_folder, vqvae_checkpoint, tmp_path, options)
    assert isinstance(subject, VARTrainer) and not subject.spec.foresight
    holes = subject.holes(0, torch.zeros(20, dtype=torch.long))
    assert all(hole.cells.all() and not hole.no_label for hole in holes)
    assert not hasattr(subject.var, "known_embed")
