"""An edit of each task by models with random weights of published shapes: seconds and memory.

    python tests/each_task.py hmar-d16 d20+d16@8 ...

Shapes are those of ``python -m engine bench``. Each task runs in a process of its own, on
one core: what it took is the processor time of its second edit, with nothing remembered of the
first one; memory is the peak above an empty process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def measure(shape: str, task: Any) -> dict[str, Any]:
    import torch

    from engine.benchmark.check import example
    from engine.benchmark.measure import OURS, Case, held, model_of, peak, transformers_of
    from engine.editor import Editor
    from engine.plan.card import Card
    from engine.plan.labels import Labels

    torch.set_num_threads(1)
    device = torch.device("cpu")
    before = held(device)
    model = model_of(Case(shape, OURS, False, 1, 0.25, 1))
    network = transformers_of(model)[-1]
    card = Card(
        name=shape, side=model.codec.side, scales=network.spec.scales,
        labels=Labels.of_model((), network.spec.num_classes),
    )  # fmt: skip
    editor = Editor(model, card)
    request = example(editor, task)
    for _ in range(2):
        editor.runner.memory.clear()
        began = time.process_time()
        editor.run(request)
        seconds = time.process_time() - began
    return {"seconds": seconds, "mb": (peak(device) - before) / 1e6, "dtype": str(network.dtype)}


def main(shapes: list[str]) -> None:
    print("| shape | task | seconds | memory, MB |\n|---|---|---|---|")
    for shape in shapes:
        for task in ("inpaint", "outpaint", "edit_class", "generate"):
            command = [sys.executable, __file__, "--one", shape, task]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"| {shape} | {task} | {found['seconds']:.2f} | {found['mb']:.0f} |", flush=True
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:4])))
    else:
        main(sys.argv[1:])
