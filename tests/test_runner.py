"""Where memory runs out an edit goes on with less at once, and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from engine import DeviceError, EditOptions, EditRequest
from engine.editor import Editor
from engine.events import ScaleDone, result_of
from engine.machine.device import out_of_memory
from tests.machine.test_memory import MASK, same
from tests.pictures import noisy_rgb
from tests.tiny import SCALES, tiny_editor

ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 12"


def cramped(editor: Editor, rows: int, error: Callable[[], Exception]) -> None:
    """Let the transformer of an editor run at most ``rows`` rows at once."""
    inner = editor.model.var.run

    def run(inputs: Any, condition: Any, **more: Any) -> Any:
        if condition.start.shape[0] > rows:
            raise error()
        return inner(inputs, condition, **more)

    object.__setattr__(editor.model.var, "run", run)


def near(a: Any, b: Any) -> bool:
    """Pictures equal but for a rounding: rows run together or alone differ in the last bit."""
    pairs = zip(a.images, b.images, strict=True)
    return all(abs(np.asarray(x, int) - np.asarray(y, int)).max() <= 1 for x, y in pairs)


def request(n: int, **more: Any) -> EditRequest:
    options = EditOptions(
        seed=5, variations=n, structure=0, guidance=2, **more
    )
    return EditRequest(
        task="edit_class", image=noisy_rgb(40, 40), mask=MASK, label=1, options=options
    )


ERRORS = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": lambda: RuntimeError(ALLOCATOR),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 8.1 GB)"),
    "python": MemoryError,
}
OPENCV = "(-4:Insufficient memory) Failed to allocate 40000 bytes in function 'OutOfMemoryError'"


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("n", [2, 5])
def test_variations_run_fewer_at_a_time_and_are_the_same(error: str, n: int) -> None:
    editor = tiny_editor()
    cramped(editor, 2, ERRORS[error])  # guided: one variation is two rows
    events = list(editor.steps(request(n)))
    scales = [event.index for event in events if isinstance(event, ScaleDone)]
    assert scales == list(range(len(SCALES))), "progress goes one way"
    result = result_of(events)
    assert len(result.images) == n
    assert any("1 variation(s) at a time" in note for note in result.notes)
    free = tiny_editor().run(request(n))
    assert near(result, free) and free.notes == ()
    np.testing.assert_allclose(result.scores, free.scores, rtol=1e-4)


def test_variations_with_a_picture_each_are_split_with_their_pictures() -> None:
    """The second frame of a long extension starts from what each variation made of the first."""
    editor = tiny_editor()
    cramped(editor, 1, ERRORS["cuda"])
    options = EditOptions(seed=5, variations=3)
    asked = EditRequest(task="outpaint", image=noisy_rgb(32, 32), right=64, options=options)
    inner, given = editor.runner.keeper, []

    def keeper(rule: Any, features: torch.Tensor, *more: Any) -> Any:
        given.append(features)
        return inner(rule, features, *more)

    object.__setattr__(editor.runner, "keeper", keeper)
    result = editor.run(asked)
    wide = next(each for each in given if len(each) == 3)
    alone = [each for each in given if len(each) == 1]
    assert all(any(torch.equal(wide[i : i + 1], one) for one in alone) for i in range(3))
    assert result.notes and near(result, tiny_editor().run(asked))


def test_shared_coarse_scales_survive_the_split() -> None:
    editor = tiny_editor()
    cramped(editor, 2, ERRORS["cuda"])
    asked = request(3, coarse_seeds=(9, 9))
    assert near(editor.run(asked), tiny_editor().run(asked))


def test_with_no_room_for_one_variation_there_is_one_line() -> None:
    editor = tiny_editor()
    cramped(editor, 1, ERRORS["cuda"])
    with pytest.raises(DeviceError, match="not enough memory for one variation"):
        editor.run(request(4))


def test_other_errors_pass() -> None:
    editor = tiny_editor()
    cramped(editor, 0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        editor.run(request(1))


def test_what_was_remembered_goes_first() -> None:
    editor, failed = tiny_editor(), []
    editor.run(request(1))
    inner, much = editor.model.var.run, editor.runner.memory.bytes

    def run(*args: Any, **more: Any) -> Any:
        if editor.runner.memory.bytes >= much:
            failed.append(1)
            raise torch.OutOfMemoryError
        return inner(*args, **more)

    object.__setattr__(editor.model.var, "run", run)
    other = request(1).model_copy(update={"label": 2})
    result = editor.run(other)
    assert failed and result.notes and "dropped" in result.notes[0]
    assert same(result, tiny_editor().run(other))


def test_decoding_is_tried_again_and_then_in_half_precision() -> None:
    editor, calls = tiny_editor(), []
    inner = editor.model.vqvae.decode

    def decode(feature_map: torch.Tensor) -> torch.Tensor:
        calls.append(editor.model.vqvae.post_quant_conv.weight.dtype)
        if len(calls) < 3:
            raise RuntimeError(ALLOCATOR)
        return inner(feature_map)

    object.__setattr__(editor.model.vqvae, "decode", decode)
    result = editor.run(request(1))
    assert calls == [torch.float32, torch.float32, torch.bfloat16]
    assert any("half precision" in note for note in result.notes)
    difference = np.asarray(result.images[0], int) - np.asarray(
        tiny_editor().run(request(1)).images[0], int
    )
    assert abs(difference).mean() < 3 and not difference[~MASK].any()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("task", ["edit_class", "generate"])
def test_a_preview_without_memory_is_none_and_the_run_goes_on(error: str, task: str) -> None:
    editor, short = tiny_editor(), [False]
    inner = editor.model.vqvae.decode

    def decode(feature_map: torch.Tensor) -> torch.Tensor:
        if short[0]:
            raise ERRORS[error]()
        return inner(feature_map)

    object.__setattr__(editor.model.vqvae, "decode", decode)
    asked = request(2)
    if task == "generate":
        asked = EditRequest(task="generate", label=1, options=asked.options)
    events = []
    for event in editor.steps(asked):
        if isinstance(event, ScaleDone):
            short[0] = True
            made = event.scale == editor.scales[-1]  # its pictures are the result's
            assert bool(event.previews()) == made
            short[0] = False
        events.append(event)
    result = result_of(events)
    assert result.notes == () and same(result, tiny_editor().run(asked))


def test_other_errors_of_a_preview_are_not_hidden() -> None:
    editor = tiny_editor()
    step = next(iter(editor.steps(request(1))))
    assert isinstance(step, ScaleDone)
    object.__setattr__(editor.model.vqvae, "decode", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        step.previews()


def test_what_is_and_what_is_not_for_want_of_memory() -> None:
    assert all(out_of_memory(make()) for make in ERRORS.values())
    assert out_of_memory(cv2.error(OPENCV))
    assert not out_of_memory(RuntimeError("expected scalar type Float"))
    assert not out_of_memory(ValueError("not a tensor"))
    assert not out_of_memory(ValueError("out of memory is no value"))
