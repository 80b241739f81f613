"""Half precision for a while: where memory is short, and never for longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine import EditOptions, EditRequest
from engine.editor import Editor
from engine.events import Result
from engine.loading import lay_out
from engine.machine.device import in_precision
from engine.model.var.pair import VARPair
from tests.machine.test_memory import MASK, same
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor, tiny_var, tiny_vqvae

HALF = "memory was short: decoded in half precision"


def bits(network: nn.Module) -> dict[str, bytes]:
    """Every weight, its precision and how it is laid out."""
    return {
        name: f"{each.dtype} {each.stride()}".encode() + each.detach().numpy().tobytes()
        for name, each in network.state_dict().items()
    }


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_weights_come_back_as_they_were_to_the_bit(half: torch.dtype) -> None:
    vqvae = tiny_vqvae()
    before = bits(vqvae)
    with in_precision(half, vqvae.decoder, vqvae.post_quant_conv):
        assert vqvae.post_quant_conv.weight.dtype == half
        assert {each.dtype for each in vqvae.decoder.parameters()} == {half}
        assert vqvae.quantize.embedding.weight.dtype == torch.float32, "the others are let alone"
    assert bits(vqvae) == before


def test_weights_come_back_when_what_was_done_fails() -> None:
    vqvae = tiny_vqvae()
    before = bits(vqvae)
    with pytest.raises(MemoryError), in_precision(torch.bfloat16, vqvae.decoder):
        raise MemoryError
    assert bits(vqvae) == before


def test_weights_that_are_laid_out_for_the_processor_come_back_too() -> None:
    """`lay_out` takes them out of the state dict, so what they compute is compared."""
    vqvae, var = tiny_vqvae(), tiny_var()
    lay_out(VARPair(vqvae, var))
    features = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = vqvae.decode(features)
        with in_precision(torch.bfloat16, *vqvae.decoding):
            assert not torch.equal(vqvae.decode(features.bfloat16()).float(), before)
        assert torch.equal(vqvae.decode(features), before)


def short_of_memory(editor: Editor) -> Callable[[bool], None]:
    """Let an editor's decoder have memory for half precision only, from a call with True on."""
    vqvae = editor.model.vqvae
    inner, short = vqvae.decode, [False]

    def decode(feature_map: torch.Tensor) -> torch.Tensor:
        if short[0] and vqvae.post_quant_conv.weight.dtype == torch.float32:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return inner(feature_map)

    object.__setattr__(vqvae, "decode", decode)
    return lambda now: short.__setitem__(0, now)


def test_what_was_made_in_half_precision_is_not_remembered() -> None:
    """A class edit's backdrop serves the edits after it, which have the memory for a good one."""

    def thing(editor: Editor) -> Result:
        options = EditOptions(seed=1, around="new", detail="model")
        return editor.edit_class(noisy_rgb(40, 40), MASK, "boat", options)

    editor = tiny_editor(foresight=True)
    shorten = short_of_memory(editor)
    shorten(True)
    assert HALF in thing(editor).notes
    shorten(False)
    after = thing(editor)
    assert after.notes == () and same(after, thing(tiny_editor(foresight=True)))


def edit(editor: Editor, seed: int) -> Result:
    options: dict[str, Any] = {"seed": seed, "variations": 2, "structure": 0, "detail": "model"}
    return editor.run(
        EditRequest(
            task="inpaint", image=noisy_rgb(40, 40), mask=MASK, options=EditOptions(**options)
        )
    )


def test_each_edit_that_was_decoded_in_half_precision_says_so_and_none_after_it() -> None:
    editor = tiny_editor()
    before, shorten = bits(editor.model.vqvae), short_of_memory(editor)
    shorten(True)
    for seed in (1, 2):
        poor = edit(editor, seed)
        assert HALF in poor.notes
        assert bits(editor.model.vqvae) == before
        good = tiny_editor()
        difference = np.asarray(poor.images[0], int) - np.asarray(edit(good, seed).images[0], int)
        assert 0 < np.abs(difference).mean() < 3 and not difference[~MASK].any()
    shorten(False)
    after = edit(editor, 3)
    assert after.notes == () and same(after, edit(tiny_editor(), 3))
