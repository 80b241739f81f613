"""Outputs that stay as they are cost nothing.

An event here may change any of some sixty elements and changes a few. Gradio (6.31) builds each
output of an event anew whenever a handler yields, its JSON schemas too, also where the handler
said ``gr.skip()``: a quarter of a second for each scale of a run, taken from the model.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import gradio as gr

SKIP = gr.skip()


def skip_for_free(window: gr.Blocks) -> None:
    """Let ``window`` pass over skipped outputs; what the page receives stays the same.

    Overridden on the instance, as the only place that all events go through.
    """
    every = window.postprocess_data

    async def postprocess_data(block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        blocks = block_fn.outputs
        if not isinstance(predictions, list) or len(predictions) != len(blocks):
            return await every(block_fn, predictions, state)
        changed = [at for at, value in enumerate(predictions) if not _skipped(value)]
        if len(changed) == len(blocks):
            return await every(block_fn, predictions, state)
        data: list[Any] = [None if block.stateful else dict(SKIP) for block in blocks]
        if changed:
            few = copy(block_fn)
            few.outputs = [blocks[at] for at in changed]
            values: Any = [predictions[at] for at in changed]
            given = values if len(changed) > 1 else values[0]  # as a handler of one output returns
            for at, value in zip(changed, await every(few, given, state), strict=True):
                data[at] = value
        return data

    window.postprocess_data = postprocess_data  # type: ignore[method-assign]


def _skipped(value: Any) -> bool:
    return isinstance(value, dict) and value == SKIP
