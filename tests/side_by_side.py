"""Whether small pictures drawn side by side, in one forward pass, are drawn faster than alone.

    python tests/side_by_side.py [--count 4] [--rounds 7] [bundled d16-256]

The model's part of a batch: pictures of the model's own size with the same hole, one after the
other, or as the rows of one run. One thread; seconds of the processor for a picture, the median,
in turn; encoding and decoding are part of both, one by one. Beside them what a whole edit with its
usual options takes. What is drawn has to be the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from engine import EditOptions, EditRequest, load_editor  # noqa: E402
from engine.benchmark.measure import OURS, Case, model_of  # noqa: E402
from engine.editor import Editor  # noqa: E402
from engine.frames.frame import Frame  # noqa: E402
from engine.paint.canvas import Canvas  # noqa: E402
from engine.plan.card import Card  # noqa: E402
from engine.plan.labels import Labels  # noqa: E402
from engine.plan.plan import Pass  # noqa: E402
from tests.pictures import noisy_rgb  # noqa: E402

TASKS = ("inpaint", "edit_class", "generate")


def editor_of(name: str) -> Editor:
    """The bundled model, or random weights of a published shape."""
    if name == "bundled":
        return load_editor(name, device="cpu")
    model = model_of(Case(name, OURS, False, 1, 0.25, 1))
    network = model.networks[-1]
    labels = Labels.of_model((), network.spec.num_classes)
    return Editor(model, Card(name=name, side=256, scales=network.spec.scales, labels=labels))


def request_of(task: str, side: int, seed: int) -> EditRequest:
    """An edit of a quarter of a noisy picture of the model's size."""
    label = None if task == "inpaint" else 1
    if task == "generate":
        return EditRequest(task=task, label=label, options=EditOptions(seed=seed))
    mask = np.zeros((side, side), bool)
    mask[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    picture = noisy_rgb(side, side, seed)
    return EditRequest(
        task=task, image=picture, mask=mask, label=label, options=EditOptions(seed=seed)
    )


def drawn(editor: Editor, one: Pass, frames: list[Frame]) -> torch.Tensor:
    """The pictures of one run."""
    run = editor.runner.run(one, frames)
    *_, last = run.steps()
    return torch.from_numpy(np.stack(run.drawn(last).pictures))


def measure(editor: Editor, task: str, count: int, rounds: int) -> str:
    """A line: seconds a picture alone, side by side, and of a whole edit."""
    requests = [request_of(task, editor.side, seed) for seed in range(1, count + 1)]
    plans = [editor.plan(request) for request in requests]
    passes = [plan.passes[-1] for plan in plans]
    windows = [one.windows[0] for one in passes]
    frames = [
        [] if one.role == "new" else Canvas.bare(plan).afresh(one).seen(one, window)
        for one, plan, window in zip(passes, plans, windows, strict=True)
    ]
    seeds = tuple(one.seeds[0] for one in passes)
    labels = tuple(one.labels[0] for one in passes)
    whole = replace(passes[0], seeds=seeds, labels=labels)

    def alone() -> torch.Tensor:
        return torch.cat(
            [drawn(editor, one, each) for one, each in zip(passes, frames, strict=True)]
        )

    def together() -> torch.Tensor:
        return drawn(editor, whole, [frame for each in frames for frame in each])

    def edits() -> None:
        for request in requests:
            editor.run(request)

    same = bool(torch.equal(alone(), together()))
    ways: list[Callable[[], object]] = [alone, together, edits]
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, seconds in zip(ways, taken, strict=True):
            editor.runner.memory.clear()
            began = time.process_time()
            way()
            seconds.append((time.process_time() - began) / count)
    one, side_by_side, edit = map(statistics.median, taken)
    return (
        f"{task}: alone {one:.3f}, side by side {side_by_side:.3f}, a whole edit {edit:.3f}; "
        f"{'the same' if same else 'NOT the same'} pictures"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=["bundled", "d16-256"])
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.models:
        editor = editor_of(name)
        for task in TASKS:
            print(f"{name} {measure(editor, task, asked.count, asked.rounds)}", flush=True)


if __name__ == "__main__":
    main()
