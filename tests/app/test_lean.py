"""Skipped outputs are not built anew, and the page receives the same as from Gradio itself."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from app.lean import skip_for_free


def window() -> tuple[gr.Blocks, Any]:
    with gr.Blocks(analytics_enabled=False) as blocks:
        parts = [gr.State(1), gr.Textbox("a"), gr.Button("b"), gr.HTML("c")]
        gr.Button("go").click(lambda: None, None, parts)
    return blocks, next(iter(blocks.default_config.fns.values()))


def answer(blocks: gr.Blocks, block_fn: Any, values: Any) -> list[Any]:
    state = SessionState(blocks)
    with ThreadPoolExecutor(1) as thread:  # Gradio leaves a loop of its own in this one
        work = thread.submit(lambda: asyncio.run(blocks.postprocess_data(block_fn, values, state)))
        return work.result()


@pytest.mark.parametrize(
    "values",
    [
        [gr.skip(), gr.skip(), gr.skip(), "new"],
        [2, "new", gr.skip(), gr.skip()],
        [gr.skip(), gr.update(value="new", lines=2), gr.skip(), gr.update(visible=False)],
        [gr.skip()] * 4,
        [3, "all", gr.update(interactive=False), "of them"],
    ],
)
def test_the_page_receives_the_same(values: list[Any]) -> None:
    plain, its_fn = window()
    lean, fn = window()
    skip_for_free(lean)
    assert answer(lean, fn, values) == answer(plain, its_fn, values)


def test_what_is_skipped_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    lean, fn = window()
    skip_for_free(lean)
    built: list[str] = []
    for kind in (gr.Textbox, gr.Button, gr.HTML):
        init = kind.__init__

        def counted(self: Any, *args: Any, init: Any = init, **kwargs: Any) -> None:
            built.append(type(self).__name__)
            init(self, *args, **kwargs)

        monkeypatch.setattr(kind, "__init__", counted)
    answer(lean, fn, [gr.skip(), gr.skip(), gr.update(interactive=False), gr.skip()])
    assert built == ["Button"]


def test_a_wrong_number_of_values_is_still_an_error() -> None:
    lean, fn = window()
    skip_for_free(lean)
    with pytest.raises(ValueError, match="enough output values"):
        answer(lean, fn, [gr.skip(), "b"])
