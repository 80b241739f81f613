"""The networks compute in one thread, whichever door the work came through."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from app.api import Endpoints
from app.handlers import Handlers
from app.models import Models
from app.worker import Worker, in_own_thread
from tests.app.layers import layer
from tests.app.test_handlers import opened, run

TASKS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("inpaint", None, {"variations": 2}),
    ("outpaint", None, {"extend-right": "20"}),
    ("generate", "bird", {}),
)


def name_of_thread() -> str:
    return threading.current_thread().name


def test_work_is_done_in_its_order_in_one_thread() -> None:
    worker = Worker()
    idents = {worker.do(threading.get_ident) for _ in range(3)}
    assert len(idents) == 1 and threading.get_ident() not in idents
    order: list[int] = []
    waiting = [threading.Thread(target=worker.do, args=(lambda: order.append(1),))]
    worker.do(lambda: [waiting[0].start(), order.append(0)])
    waiting[0].join()
    assert order == [0, 1]


def test_what_work_raises_is_raised_where_it_was_asked_for_and_more_can_be_done() -> None:
    worker = Worker()
    for failing in (worker.do, in_own_thread):
        with pytest.raises(ZeroDivisionError):
            failing(lambda: 1 // 0)
    assert worker.do(name_of_thread) == "model"


def test_nothing_of_finished_work_is_held() -> None:
    class Large:
        pass

    worker = Worker()
    made = worker.do(Large)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_a_thread_for_one_piece_of_work_ends_with_it() -> None:
    thread = in_own_thread(threading.current_thread)
    thread.join(10)
    assert not thread.is_alive() and thread is not threading.current_thread()


def test_window_and_endpoints_compute_in_the_worker(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = handlers.models.editor(None)
    decode, seen = editor.model.vqvae.decode, set()

    def noting(*given: Any) -> Any:
        seen.add(name_of_thread())
        return decode(*given)

    monkeypatch.setattr(editor.model.vqvae, "decode", noting)
    session, painted = opened(handlers, photo), layer((20, 10, 40, 30))
    for task, label, fields in TASKS:
        run(handlers, session, painted, task, label, **fields)
    Endpoints(handlers).generate("bird")
    assert seen == {"model"}


def test_a_model_is_loaded_in_a_thread_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    import engine

    names = []

    def load(name: str, device: str) -> Any:
        names.append(name_of_thread())
        raise RuntimeError("enough")

    monkeypatch.setattr(engine, "load_editor", load)
    with pytest.raises(RuntimeError):
        Models("some").editor(None)
    assert names == ["once"]
