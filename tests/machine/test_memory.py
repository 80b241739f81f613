"""What is remembered: bounded, exact, and it saves the work it is there to save."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engine import EditOptions, EditRequest
from engine.arrays import fingerprint
from engine.draw.recall import Recall
from engine.editor import Editor
from engine.machine.memory import Memory
from engine.machine.shelf import SPARE, Shelf
from engine.model.spec import VARSpec
from engine.model.var.pair import VARPair
from engine.model.var.transformer import VAR, KVCache
from engine.runner import Runner
from tests.pictures import noisy_rgb
from tests.tiny import SCALES, tiny_editor, tiny_var, tiny_vqvae

MASK = np.zeros((40, 40), bool)
MASK[:38, 9:] = True


def test_the_oldest_make_room_and_what_is_too_large_is_not_held() -> None:
    memory = Memory(10)
    memory.put("a", 1, 4)
    memory.put("b", 2, 4)
    assert memory.get("a") == 1
    memory.put("c", 3, 4)
    assert [memory.get(key) for key in "abc"] == [1, None, 3]
    memory.put("d", 4, 11)
    assert memory.get("d") is None and memory.bytes == 8
    memory.put("a", 5, 10)
    assert [memory.get(key) for key in "ac"] == [5, None] and memory.bytes == 10
    memory.clear()
    assert memory.get("a") is None and memory.bytes == 0


def test_a_fingerprint_knows_values_shape_and_type() -> None:
    zeros = np.zeros((2, 3), np.float32)
    others = [zeros.reshape(3, 2), zeros.astype(np.float64), zeros + 1, zeros[:, :2]]
    names = {fingerprint(each) for each in [zeros, *others]}
    assert len(names) == 5
    assert fingerprint(np.asfortranarray(zeros)) == fingerprint(zeros)


class Counter:
    """Counts the calls of a method while they pass through it."""

    def __init__(self, owner: Any, name: str) -> None:
        self.calls = 0
        self.inner = inner = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return inner(*args, **kwargs)

        object.__setattr__(owner, name, counted)

    def of(self, work: Callable[[], object]) -> int:
        before = self.calls
        work()
        return self.calls - before


def watched() -> tuple[Editor, Counter, Counter]:
    editor = tiny_editor()
    return editor, Counter(editor.model.var, "run"), Counter(editor.model.vqvae, "features")


def edit(editor: Editor, seed: int, coarse: tuple[int, ...] = (), n: int = 1, **more: Any) -> Any:
    options = EditOptions(
        seed=seed, coarse_seeds=coarse, variations=n, context="whole", structure=0,
        detail="model", **more,
    )
    return editor.inpaint(noisy_rgb(40, 40), MASK, options=options)


def same(a: Any, b: Any) -> bool:
    pairs = zip(a.images, b.images, strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pairs)


def test_a_picture_is_encoded_once() -> None:
    editor, _, features = watched()
    assert features.of(lambda: edit(editor, 1)) == 1
    assert features.of(lambda: edit(editor, 2)) == 0


def test_rolling_again_computes_only_what_is_finer() -> None:
    editor, run, _ = watched()
    all_scales = run.of(lambda: edit(editor, 7))
    assert all_scales == len(SCALES)
    assert run.of(lambda: edit(editor, 7)) == 0, "the same again"
    assert run.of(lambda: edit(editor, 20, (7, 7))) == 0, "the last logits are known too"
    assert run.of(lambda: edit(editor, 20, (7,), n=3)) == 1


def test_a_run_whose_last_scale_has_one_branch_is_known_again() -> None:
    editor, run, _ = watched()
    options = EditOptions(seed=7, structure=0, guidance=2, guidance_schedule="falling")

    def again(**more: Any) -> int:
        changed = options.model_copy(update=more)
        return int(run.of(lambda: editor.edit_class(noisy_rgb(40, 40), MASK, 1, changed)))

    assert again() == len(SCALES)
    assert again() == 0
    assert again(guidance_schedule="linear") == 1, "which needs the other branch of the last scale"
    assert again() == 0, "and has what one branch needs"


@pytest.mark.parametrize("label", [None, "bird"])
@pytest.mark.parametrize("n", [1, 3])
def test_what_is_remembered_changes_no_picture(label: str | None, n: int) -> None:
    """A warm editor and fresh ones, over a walk of re-rolls."""
    warm = tiny_editor()

    def run(editor: Editor, seed: int, coarse: tuple[int, ...], **more: Any) -> Any:
        options = EditOptions(
            seed=seed, coarse_seeds=coarse, variations=n, structure=0, guidance=2,
            **({} if label else {"detail": "model"}), **more,
        )
        return editor.inpaint(noisy_rgb(40, 40), MASK, label, options)

    walk: list[tuple[int, tuple[int, ...], dict[str, Any]]] = [
        (7, (), {}), (9, (7,), {}), (9, (7, 7), {}), (11, (9, 9), {}), (7, (), {"top_k": 3}),
        (7, (7, 7, 7), {}), (7, (), {"soft_scales": 1}), (7, (), {}),
        (7, (), {"guidance_schedule": "falling"}), (7, (), {"guidance_schedule": "falling"}),
        (9, (7,), {"guidance_schedule": "falling"}), (9, (7,), {}),
    ]  # fmt: skip
    for seed, coarse, more in walk:
        assert same(run(warm, seed, coarse, **more), run(tiny_editor(), seed, coarse, **more))


def test_requests_side_by_side_remember_nothing_wrong() -> None:
    editor = tiny_editor()
    editor.runner.memory = Memory(60_000)  # so small that entries come and go
    work = [(seed, (seed // 2,) * (seed % 4)) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda w: edit(editor, *w), work))
    for (seed, coarse), result in zip(work, together, strict=True):
        assert same(result, edit(tiny_editor(), seed, coarse))
    assert editor.runner.memory.bytes <= 60_000


def test_a_new_picture_or_label_is_not_taken_for_the_old_one() -> None:
    editor = tiny_editor()
    for size, label in ((40, 0), (40, 1), (44, 1), (40, 0)):
        mask = np.zeros((size, size), bool)
        mask[8:30, 10:30] = True
        options = EditOptions(seed=3, detail="model")
        ours, fresh = (
            each.edit_class(noisy_rgb(size, size), mask, label, options)
            for each in (editor, tiny_editor())
        )
        assert same(ours, fresh)


def test_a_run_that_is_cancelled_leaves_what_it_had() -> None:
    editor, run, _ = watched()
    request = EditRequest(
        task="inpaint", image=noisy_rgb(40, 40), mask=MASK,
        options=EditOptions(seed=7, structure=0, context="whole", detail="model"),
    )  # fmt: skip
    steps = editor.steps(request)
    next(steps)
    steps.close()
    assert run.of(lambda: edit(editor, 7)) == len(SCALES) - 1
    assert same(edit(editor, 7), edit(tiny_editor(), 7))


def test_what_is_taken_is_not_there_any_more() -> None:
    memory = Memory(10)
    memory.put("a", 1, 4)
    memory.put("b", 2, 6)
    assert memory.take("a") == 1 and memory.bytes == 6
    assert memory.take("a") is None and memory.get("a") is None and memory.bytes == 6


def test_a_large_model_remembers_more() -> None:
    """A picture's keys and values under a label, what an edit of it computed, and more."""
    for depth, precision in ((16, torch.bfloat16), (30, torch.bfloat16), (36, torch.float32)):
        spec = VARSpec.official(depth)
        whole = 4 * spec.depth * spec.num_tokens * spec.width * precision.itemsize
        var: Any = SimpleNamespace(spec=spec, dtype=precision)
        limit = Runner(VARPair(tiny_vqvae(), var)).memory.limit
        assert limit >= max(256_000_000, 2 * whole) and limit <= 256_000_000 + 3 * whole


def recalls(editor: Editor) -> list[tuple[Recall, int]]:
    held = editor.runner.memory._held.values()
    return [(value, size) for value, size in held if isinstance(value, Recall)]


def test_what_is_remembered_of_a_run_takes_the_bytes_that_are_counted() -> None:
    """A cancelled run filled a part of its cache; variations shared the first scale only."""
    editor = tiny_editor()
    options = EditOptions(seed=7, structure=0, context="whole", variations=3, detail="model")
    request = EditRequest(task="inpaint", image=noisy_rgb(40, 40), mask=MASK, options=options)
    steps = editor.steps(request)
    next(steps)
    steps.close()
    ((recall, size),) = recalls(editor)
    store = recall.held.store
    assert recall.held.length == store.shape[3] == 1 < recall.held.tokens
    assert store.untyped_storage().nbytes() == store.nbytes == recall.held.nbytes < size
    edit(editor, 7, n=3)
    assert same(edit(editor, 7), edit(tiny_editor(), 7))
    ((recall, _),) = recalls(editor)
    assert recall.held.store.shape[3] == recall.held.tokens == sum(s * s for s in SCALES[:-1])


def test_a_run_that_finds_no_memory_to_be_remembered_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: KVCache) -> KVCache:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(KVCache, "trimmed", full)
    editor = tiny_editor()
    result = edit(editor, 7, n=2)
    assert same(result, edit(tiny_editor(), 7, n=2))
    assert not result.notes and not recalls(editor)


def test_a_full_cache_is_held_as_it_is() -> None:
    cache = KVCache(tiny_var().spec, 2, device=torch.device("cpu"), dtype=torch.float32)
    cache.store.normal_(generator=torch.Generator().manual_seed(0))
    cache.length = 3
    small = cache.trimmed()
    assert small.store.shape[3] == 3 and small.nbytes == cache.nbytes * 3 // cache.tokens
    again = small.copy(2, 2)
    assert again.store.shape[2:4] == (4, cache.tokens) and again.length == 2
    assert torch.equal(again.store[:, :, ::2, :2], cache.store[:, :, :, :2])
    cache.length = cache.tokens
    assert cache.trimmed() is cache


def test_it_is_torch_free_of_gradients() -> None:
    editor = tiny_editor()
    edit(editor, 1)
    values = [value for value, _ in editor.runner.memory._held.values()]
    held = [value for value in values if isinstance(value, torch.Tensor)]
    assert held and not any(tensor.requires_grad for tensor in held)


def test_what_a_label_decides_is_computed_once() -> None:
    editor = tiny_editor()
    condition = Counter(editor.model.var, "condition")
    options = EditOptions(seed=1, guidance=2)
    for seed in (1, 2):
        edit(editor, seed)
        editor.edit_class(noisy_rgb(40, 40), MASK, 1, options)
    assert condition.calls == 2, "once without a label, once with it"
    editor.edit_class(noisy_rgb(40, 40), MASK, 2, options)
    assert condition.calls == 3


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_modulation_held_on_the_cpu_gives_the_same_condition(shared: bool, device: str) -> None:
    var = tiny_var(shared=shared).to(device)
    labels = torch.tensor([1, 5], device=device)
    before = var.condition(labels)
    var.move_modulation(torch.device("cpu"))
    after = var.condition(labels)
    assert after.start.device == var.pos_start.device == after.head_scale.device
    torch.testing.assert_close(after.start, before.start)
    torch.testing.assert_close(after.blocks[1].gamma1, before.blocks[1].gamma1)
    assert var.blocks[0].ffn.fc1.weight.device.type == device
    assert before.nbytes > 0 and after.nbytes == before.nbytes


def resident(var: VAR) -> int:
    """Bytes of the files that hold a network's weights which are in memory now."""
    assert var.shelf is not None
    begins = [parameter.data_ptr() for parameter in modulation(var)]
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if found:
            first, last = (int(edge, 16) for edge in found.groups())
            inside = any(first <= begin < last for begin in begins)
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


def modulation(var: VAR) -> list[torch.nn.Parameter]:
    names = ("ada_lin.1.weight", "class_emb.weight")
    return [parameter for name, parameter in var.named_parameters() if name.endswith(names)]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_shelved_modulation_gives_the_same_condition_and_leaves_memory(
    shared: bool, dtype: torch.dtype
) -> None:
    var = tiny_var(shared=shared).to(dtype)
    labels = torch.tensor([1, 5])
    state = {name: value.clone() for name, value in var.state_dict().items()}
    before = var.condition(labels)
    shelf = Shelf()
    assert var.shelve_modulation(shelf)
    assert var.shelf is shelf and len(shelf.maps) == len(modulation(var)) > 1
    for _ in range(2):
        after = var.condition(labels)
        assert torch.equal(after.start, before.start)
        assert torch.equal(after.head_shift, before.head_shift)
        assert torch.equal(after.blocks[1].gamma1, before.blocks[1].gamma1)
        if sys.platform == "linux":
            assert resident(var) == 0
    assert all(torch.equal(value, state[name]) for name, value in var.state_dict().items())
    assert sys.platform != "linux" or resident(var) > 0, "reading them brings them back"


def test_a_modulation_without_room_on_the_disk_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    var = tiny_var()
    before = var.condition(torch.tensor([1]))

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert not var.shelve_modulation(Shelf())
    after = var.condition(torch.tensor([1]))
    assert torch.equal(after.blocks[0].shift2, before.blocks[0].shift2)


def test_weights_do_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte more on the disk, and they lie there."""
    largest = max(weight.nbytes for weight in modulation(tiny_var()))
    for more, shelved in ((-1, False), (0, True)):
        free, asked = SPARE + largest + more, []

        def usage(folder: Path, free: int = free, asked: list[Path] = asked) -> Any:
            asked.append(folder)
            return SimpleNamespace(total=10 * free, used=9 * free, free=free)

        monkeypatch.setattr(shutil, "disk_usage", usage)
        var = tiny_var()
        before = var.condition(torch.tensor([1]))
        assert var.shelve_modulation(Shelf()) is shelved
        assert asked and all(Path(folder).is_dir() for folder in asked)
        after = var.condition(torch.tensor([1]))
        assert torch.equal(after.blocks[0].shift2, before.blocks[0].shift2)


def test_little_is_not_shelved() -> None:
    var = tiny_var()
    assert not var.shelve_modulation(Shelf(), 10**9) and var.shelf is None
