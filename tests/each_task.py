"""An edit of each task by models with random weights of published shapes: seconds and memory.

    python tests/each_task.py hmar-d16 d16-256 d30+d16@8 ... [--tasks edit_class,generate]

Shapes are those of ``python -m engine bench``. Each shape runs in a process of its own, on one
core; seconds are processor time of a second edit, with nothing remembered of the first one, of all
of it and of its transformers, beside the operations of their matrix products. Memory is the peak of
all tasks above an empty process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

TASKS = ("inpaint", "outpaint", "edit_class", "generate")


def measure(shape: str, tasks: list[str]) -> None:
    """Print the rows of one shape."""
    import torch

    from engine.benchmark.check import example
    from engine.benchmark.measure import OURS, Case, held, model_of, peak, transformers_of
    from engine.benchmark.meter import Clock
    from engine.editor import Editor
    from engine.plan.card import Card
    from engine.plan.labels import Labels

    class Processor(Clock):
        """Of the processor, which others may use in between."""

        def now(self) -> float:
            return time.process_time()

    torch.set_num_threads(1)
    device = torch.device("cpu")
    before = held(device)
    model = model_of(Case(shape, OURS, False, 1, 0.25, 1))
    clock = Processor(device)
    for network in transformers_of(model):
        clock.watch_transformer(network)
    card = Card(
        name=shape, side=model.codec.side, scales=network.spec.scales,
        labels=Labels.of_model((), network.spec.num_classes),
    )  # fmt: skip
    editor = Editor(model, card)
    for task in tasks:
        request = example(editor, task)
        for _ in range(2):
            editor.runner.memory.clear()
            clock.clear()
            began = clock.now()
            editor.run(request)
            seconds = clock.now() - began
        gflop = sum(clock.flop.values()) / 1e9
        print(
            f"| {shape} | {task} | {seconds:.2f} | {clock.transformer:.2f} | {gflop:.0f} | "
            f"{(peak(device) - before) / 1e6:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shapes", nargs="+")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--here", action="store_true", help="in this process, no heading")
    given = parser.parse_args()
    if given.here:
        for shape in given.shapes:
            measure(shape, given.tasks.split(","))
        return
    print("| shape | task | seconds | of these transformers | GFLOP | memory so far, MB |")
    print("|---|---|---|---|---|---|", flush=True)
    for shape in given.shapes:
        subprocess.run(
            [sys.executable, __file__, "--here", shape, "--tasks", given.tasks], check=True
        )


if __name__ == "__main__":
    main()
