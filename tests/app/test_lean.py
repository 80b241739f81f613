"""Skipped outputs are not built anew, and the page receives the same as from Gradio itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from app.lean import skip_for_free


def answer(values: Any, *, lean: bool, built: list[str] | None = None) -> list[Any]:
    """What the page of a small window receives; ``built`` collects what is built on the way."""

    async def call() -> list[Any]:  # all of it, or Gradio makes loops that nobody closes
        with gr.Blocks(analytics_enabled=False) as window:
            parts = [gr.State(1), gr.Textbox("a"), gr.Button("b"), gr.HTML("c")]
            gr.Button("go").click(lambda: None, None, parts)
        if lean:
            skip_for_free(window)
        [block_fn] = window.default_config.fns.values()
        with counting([] if built is None else built):
            return await window.postprocess_data(block_fn, values, SessionState(window))

    with asyncio.Runner() as runner:
        return runner.run(call())


@contextmanager
def counting(built: list[str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for kind in (gr.Textbox, gr.Button, gr.HTML):
            init = kind.__init__

            def counted(self: Any, *args: Any, init: Any = init, **kwargs: Any) -> None:
                built.append(type(self).__name__)
                init(self, *args, **kwargs)

            patch.setattr(kind, "__init__", counted)
        yield


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
    nothing = {**gr.skip(), "props": gr.skip()}  # as Gradio says "skip" to gr.HTML
    given = answer(deepcopy(values), lean=False)
    plain = [gr.skip() if data == nothing else data for data in given]
    assert answer(values, lean=True) == plain


def test_what_is_skipped_is_not_built() -> None:
    values = [gr.skip(), gr.skip(), gr.update(interactive=False), gr.skip()]
    lean: list[str] = []
    plain: list[str] = []
    answer(values, lean=True, built=lean)
    answer(values, lean=False, built=plain)
    assert lean == ["Button"] and plain == ["Textbox", "Button", "HTML"]


def test_a_wrong_number_of_values_is_still_an_error() -> None:
    with pytest.raises(ValueError, match="enough output values"):
        answer([gr.skip(), "b"], lean=True)
