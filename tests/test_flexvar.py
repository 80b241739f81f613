"""FlexVAR edits through the unchanged editor, and what is known does not move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine import EditOptions, EditRequest
from engine.draw.keeping import ClosedLoop
from engine.draw.loop import generate
from engine.draw.maps import regenerate_maps
from engine.editor import Editor
from engine.loading import lay_out
from engine.machine.packed import can_pack
from engine.machine.tensors import to_tensor
from engine.model.flexvar.autoencoder import FlexVAE
from engine.model.flexvar.pair import FlexVARPair
from engine.model.flexvar.scheme import Replacing
from engine.model.flexvar.spec import FlexVAESpec, FlexVARSpec
from engine.model.flexvar.transformer import FlexVAR
from engine.model.var.predictor import CachedVAR
from engine.paint.canvas import Canvas
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.rules import Sampling
from tests.parity import reproducible_weights
from tests.test_toy_family import MASK, PHOTO, kept_and_repeated, of_each_task
from tests.tiny import tiny_var, tiny_vqvae

SCALES, LARGER = (1, 2, 3, 4, 6), (1, 2, 3, 4, 5, 6, 9, 12)
OPTIONS: tuple[dict[str, Any], ...] = (
    {}, {"square": 96}, {"steps": 3}, {"rule": "paper"}, {"variations": 3, "detail": "model"},
    {"soft_scales": 2, "detail": "model"}, {"speed": "fast"},
)  # fmt: skip


def flex_pair(scales: tuple[int, ...] = SCALES) -> FlexVARPair:
    shared: dict[str, Any] = {"scales": scales, "codebook_size": 64, "latent_channels": 8}
    vae = FlexVAE(
        FlexVAESpec(
            width=16, encoded_channels=24, multipliers=(1, 1, 2, 4), blocks_per_level=1, **shared
        )
    )
    var = FlexVAR(FlexVARSpec(depth=2, width=128, num_classes=3, grid=8, **shared))
    for network in (vae, var):
        reproducible_weights(network)
        network.eval().requires_grad_(False)
    return FlexVARPair(vae, var)


def flex_editor() -> Editor:
    card = Card(
        name="flex", side=48, scales=SCALES, labels=Labels(["bird", "boat", "hills"]),
        schedules=(SCALES, LARGER), practised=SCALES,
    )  # fmt: skip
    return Editor(flex_pair(), card)


def requests(**more: Any) -> list[EditRequest]:
    return of_each_task("boat", "bird", 40, **more)


@pytest.mark.parametrize("more", OPTIONS, ids=str)
@pytest.mark.parametrize("task", range(4))
def test_every_task_keeps_what_is_known_and_can_be_repeated(
    task: int, more: dict[str, Any]
) -> None:
    asked = requests(**more)[task]
    made = kept_and_repeated(asked, flex_editor)
    assert len(made) == more.get("variations", 1)
    if asked.task == "generate":
        assert all(picture.shape[0] == more.get("square", 48) for picture in made)


def test_one_editor_serves_every_side_and_remembers_each_for_itself() -> None:
    editor = flex_editor()
    for more in ({}, {"square": 96}, {"steps": 3}, {}):
        for asked in requests(**more)[1::2]:
            alone = flex_editor().run(asked).images[0]
            assert np.array_equal(np.asarray(editor.run(asked).images[0]), np.asarray(alone))


def test_laid_out_for_the_processor_it_draws_the_same() -> None:
    if not can_pack(torch.float32):
        pytest.skip("this torch or processor packs nothing")
    asked, packed = requests()[1], flex_editor()
    lay_out(packed.model)
    assert type(packed.model.vae.decoder.conv_in).__name__ == "PackedConv"
    ours, plain = (np.asarray(e.run(asked).images[0], int) for e in (packed, flex_editor()))
    assert np.abs(ours - plain).max() <= 1


def known_area(
    seed: int, scheme: Any, predictor: Any, features: torch.Tensor
) -> list[torch.Tensor]:
    """The kept ids of every scale, of an edit that draws with a seed."""
    side = scheme.scales[-1]
    mask = torch.zeros(side * 8, side * 8)
    mask[: side * 4] = 1
    maps = regenerate_maps(mask, scheme.scales)
    steps = generate(
        predictor, ClosedLoop(scheme, features, maps[-1]), regenerate=maps, seeds=(seed,),
        sampling=Sampling(),
    )  # fmt: skip
    return [step.ids[:, ~chosen] for step, chosen in zip(steps, maps, strict=True)]


def test_what_is_known_has_the_same_ids_whatever_was_drawn() -> None:
    """Known tokens of VAR make good for what was drawn before them; those of FlexVAR need not."""
    pair = flex_pair()
    vqvae, var = tiny_vqvae(scales=SCALES), tiny_var(scales=SCALES)
    features = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))

    def differing(scheme: Any, network: Any) -> int:
        one, other = (
            known_area(seed, scheme, CachedVAR.of(network, (1,)), features) for seed in (1, 2)
        )
        return sum(int((a != b).sum()) for a, b in zip(one, other, strict=True))

    assert differing(pair.scheme, pair.var) == 0
    assert differing(vqvae.quantize, var) > 0


def test_codes_count_at_length_one_and_a_mean_of_codes_gets_that_length() -> None:
    scheme = flex_pair().scheme
    assert torch.allclose(scheme.codebook.norm(dim=1), torch.ones(64))
    mean = (scheme.codebook[:4] + scheme.codebook[4:8])[None] / 2
    state = scheme.advance(1, scheme.zeros(1), mean)
    assert state.shape == (1, 8, 2, 2)
    assert torch.allclose(state.norm(dim=1), torch.ones(1, 2, 2))


def test_a_picture_that_is_codes_is_found_again_at_its_own_side() -> None:
    """Planted: of a map whose vectors are codes, of any length, the ids are theirs."""
    scheme = flex_pair().scheme
    planted = torch.randperm(64, generator=torch.Generator().manual_seed(1))[:36][None]
    features = 3 * scheme.codebook[planted].transpose(1, 2).unflatten(2, (6, 6))
    assert torch.equal(scheme.kept(len(SCALES) - 1, scheme.zeros(1), features), planted)


@pytest.mark.parametrize("structure", [0, 3, 6])
def test_an_edit_may_start_from_the_pictures_own_scales(structure: int) -> None:
    """With no fill the hole shows what it hides, and ``structure`` says up to where it stays."""
    options = EditOptions(seed=3, structure=structure, fill="none", grow=0, square=96)
    asked = EditRequest(task="inpaint", image=PHOTO, mask=MASK, options=options)
    editor = flex_editor()
    (one,) = editor.plan(asked).passes
    frames = Canvas.bare(editor.plan(asked)).afresh(one).seen(one, one.windows[0])
    runner = editor.runner.at(LARGER)
    steps = list(runner.run(one, frames).steps())
    own, _ = runner.tokens(runner.model.codec.features(to_tensor(frames[0].pixels[None])))
    same = [torch.equal(step.ids, ids) for step, ids in zip(steps, own, strict=True)]
    assert same[:structure] == [True] * structure
    assert not any(same[max(structure, 2) :])


def test_a_scheme_is_of_its_own_schedule() -> None:
    pair = flex_pair()
    assert isinstance(pair.scheme, Replacing)
    assert pair.at(LARGER).scheme.scales == LARGER and pair.scheme.scales == SCALES
    assert pair.at(LARGER).codec.side == 96 and pair.codec.side == 48
