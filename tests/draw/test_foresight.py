"""Foresight: what is known is read in full at every scale, by models that were trained for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from engine import EditOptions
from engine.draw.keeping import ClosedLoop
from engine.draw.loop import generate
from engine.draw.maps import unknown_maps
from engine.fast import original as fast
from engine.plan.rules import Sampling
from engine.weights.checkpoint import load_var
from engine.weights.file import open_weights
from engine.weights.saving import save_model
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, SCALES, tiny_editor, tiny_var, tiny_vqvae


def box_mask() -> Any:
    mask = np.zeros((40, 40), bool)
    mask[2:12, 3:22] = True
    return mask


class Listening:
    """A predictor that notes what it is given, and answers with noise."""

    def __init__(self) -> None:
        self.inputs: dict[int, torch.Tensor] = {}

    def skip(self, k: int, inputs: torch.Tensor) -> None:
        self.inputs[k] = inputs

    def logits(
        self, k: int, inputs: torch.Tensor, rows: torch.Tensor, branches: int = 1
    ) -> torch.Tensor:
        self.inputs[k] = inputs
        return torch.randn(len(inputs), len(rows), 64, generator=torch.Generator().manual_seed(k))


def test_the_known_area_is_read_in_full_and_marked_and_the_rest_is_as_ever() -> None:
    vqvae = tiny_vqvae()
    quantizer = vqvae.quantize
    features = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    maps = [torch.zeros(s * s, dtype=torch.bool) for s in SCALES]
    maps[1][0] = True
    maps[2][[0, 5]] = True
    heard = []
    for foresight in (None, features):
        listening = Listening()
        list(generate(
            listening,
            ClosedLoop(quantizer, features, regenerate=maps[-1], foresight=foresight),
            regenerate=maps, seeds=(3,), sampling=Sampling(),
        ))  # fmt: skip
        heard.append(listening.inputs)
    without, having = heard
    for k, side in enumerate(SCALES):
        assert without[k].shape[-1] == 8
        unknown = unknown_maps(maps[-1], SCALES)[k]
        assert torch.equal(having[k][0, :, 8], (~unknown).float())
        own = quantizer.inputs(k, features)
        assert torch.equal(having[k][:, ~unknown, :8], own[:, ~unknown])
        assert torch.equal(having[k][:, unknown, :8], without[k][:, unknown])
        assert unknown.view(side, side)[0, 0] and (side < 4 or unknown.sum() == 2)


def test_by_the_rule_paper_the_embedding_of_the_known_changes_nothing() -> None:
    source, mask = noisy_rgb(40, 40), box_mask()
    editor, plain = tiny_editor(foresight=True), tiny_editor()
    options = EditOptions(seed=4, rule="paper")
    made = [each.inpaint(source, mask, options=options).images[0] for each in (editor, plain)]
    assert np.array_equal(*map(np.asarray, made))
    default = EditOptions(seed=4)
    made = [each.inpaint(source, mask, options=default).images[0] for each in (editor, plain)]
    assert not np.array_equal(*map(np.asarray, made)), "else a model that has it uses it"


def test_variations_and_remembered_runs_are_those_of_a_single_fresh_one() -> None:
    source, mask = noisy_rgb(40, 40), box_mask()
    editor = tiny_editor(foresight=True)
    four = editor.inpaint(source, mask, options=EditOptions(seed=4, variations=4)).images
    for index in range(4):
        for one in (editor, tiny_editor(foresight=True)):
            alone = one.inpaint(source, mask, options=EditOptions(seed=4 + index)).images[0]
            assert np.array_equal(alone, four[index])


def test_the_file_of_a_model_says_that_it_has_foresight(tmp_path: Path) -> None:
    for foresight in (True, False):
        var = tiny_var(foresight=foresight)
        save_model(tmp_path, None, var, labels=LABELS, about="")
        loaded = load_var(tmp_path / "var.safetensors")
        assert loaded.spec == var.spec and loaded.spec.foresight is foresight
        if foresight:
            torch.testing.assert_close(loaded.known_embed, var.known_embed, atol=1e-3, rtol=0)


def test_files_from_before_there_was_foresight_load(tmp_path: Path) -> None:
    save_model(tmp_path, None, tiny_var(), labels=LABELS, about="")
    path = tmp_path / "var.safetensors"
    with open_weights(path, "") as source:
        metadata: dict[str, Any] = dict(source.metadata)
    spec = json.loads(metadata["spec"])
    del spec["foresight"]
    save_file(load_file(path), path, {**metadata, "spec": json.dumps(spec)})
    assert not load_var(path).spec.foresight


def test_keys_and_values_of_a_known_picture_are_those_of_its_own_features() -> None:
    vqvae, var = tiny_vqvae(), tiny_var(foresight=True)
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    maps, features = vqvae.quantize.encode(vqvae.features(pixels))
    condition = var.condition(torch.tensor([1]))
    cache = fast.keys_and_values(vqvae, var, condition, maps, foresight=True)
    with torch.inference_mode():
        inputs = torch.cat([vqvae.quantize.inputs(k, features) for k in (1, 2)], 1)
        marked = torch.cat([inputs, torch.ones(1, 20, 1)], 2)
        keys, _ = var.blocks[0].attn.keys_values(
            modulated(var, var.embed(marked, var.condition(torch.tensor([1])), 0, 2))
        )
    torch.testing.assert_close(cache.block(0)[0], keys)


def modulated(var: Any, x: torch.Tensor) -> torch.Tensor:
    first = var.condition(torch.tensor([1])).blocks[0]
    normed = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6)
    return normed * (1 + first.scale1) + first.shift1
