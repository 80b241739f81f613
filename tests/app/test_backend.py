"""The backend on this machine: who computes where, which models may be asked for, and what is
kept of them."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.api import Endpoints
from app.backend import KEPT, Local, facts
from app.handlers import Handlers
from engine.errors import EngineError, ModelNotFoundError
from engine.events import Finished, ScaleDone, result_of
from engine.request import EditRequest
from engine.weights import registry
from tests.app.layers import layer
from tests.app.server import save_tiny_model
from tests.app.visit import opened, shown
from tests.tiny import tiny_editor

TASKS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("inpaint", None, {"variations": 2}),
    ("outpaint", None, {"extend-right": "20"}),
    ("generate", "bird", {}),
)
GENERATE = EditRequest(task="generate", label="bird", options={"seed": 1})


def name_of_thread() -> str:
    return threading.current_thread().name


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(model, thread) of each that is loaded."""
    from engine import loading

    real, seen = loading.load_in_own_process, []

    def noting(name: str, **more: Any) -> Any:
        seen.append((name, name_of_thread()))
        return real(name, **more)

    monkeypatch.setattr(loading, "load_in_own_process", noting)
    return seen


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with models "one", "two" and "three" in it."""
    folder = tmp_path / "weights"
    for name in ("one", "two", "three"):
        save_tiny_model(folder).rename(folder / name)
    known = registry.models
    monkeypatch.setattr(registry, "models", lambda weights=folder: known(weights))
    resolve = registry.resolve
    from engine import loading

    monkeypatch.setattr(
        loading, "resolve", lambda name, _, **more: resolve(name, folder, **more)
    )
    return folder


def test_window_and_endpoints_compute_in_one_thread(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = handlers.backend.editor(None)
    decode, seen = editor.runner.model.codec.decode, set()

    def noting(*given: Any) -> Any:
        seen.add(threading.get_ident())
        return decode(*given)

    monkeypatch.setattr(editor.runner.model.codec, "decode", noting)
    session, painted = opened(handlers, photo), layer((20, 10, 40, 30))
    for task, label, fields in TASKS:
        shown(handlers, session, painted, task, label, **fields)
    Endpoints(handlers).generate("bird")
    assert len(seen) == 1 and threading.get_ident() not in seen


def test_a_model_is_loaded_in_a_thread_that_ends(
    loads: list[tuple[str, str]], tiny_model_folder: Path
) -> None:
    Local(str(tiny_model_folder), "cpu").editor(None)
    [(_, thread)] = loads
    assert thread.startswith("once")
    assert not [each for each in threading.enumerate() if each.name == thread]


def test_steps_that_are_closed_let_the_next_edit_begin() -> None:
    backend = Local()
    backend.add(tiny_editor(), first=True)
    with closing(backend.steps(GENERATE)) as events:
        first = next(events)
        assert isinstance(first, ScaleDone) and len(first.previews()) == 1
        assert len(backend.line) == 1
    assert not len(backend.line)
    assert isinstance(list(backend.steps(GENERATE))[-1], Finished)


def test_what_an_edit_raises_is_raised_where_it_was_asked_for_and_more_can_be_done() -> None:
    backend = Local()
    backend.add(tiny_editor(), first=True)
    with pytest.raises(EngineError, match="bird"):
        list(backend.steps(EditRequest(task="generate", label="brid")))
    assert not len(backend.line)
    assert list(backend.steps(GENERATE))


def test_nothing_of_a_finished_edit_is_held() -> None:
    backend = Local()
    backend.add(tiny_editor(), first=True)
    gone = weakref.ref(list(backend.steps(GENERATE))[-1])
    gc.collect()
    assert gone() is None


def test_a_path_cannot_be_asked_for_and_evicts_nothing(
    weights: Path, tmp_path: Path, loads: list[tuple[str, str]]
) -> None:
    backend = Local("one", "cpu")
    backend.editor(None)
    other = save_tiny_model(tmp_path / "other")
    for name in ("/etc", str(other), str(weights / "two"), "..", "./one", "x" * 10_000):
        for asked in (backend.card, backend.editor):
            with pytest.raises(ModelNotFoundError) as told:
                asked(name)
            assert "known: " in str(told.value) and len(str(told.value)) < 1000
            assert "passwd" not in str(told.value) and str(tmp_path) not in str(told.value)[70:]
        request = GENERATE.model_copy(update={"model": name})
        with pytest.raises(ModelNotFoundError):
            list(backend.steps(request))
    assert [name for name, _ in loads] == ["one"] and backend.ready()


def test_a_pair_can_be_asked_for_of_models_on_offer_only(weights: Path) -> None:
    backend = Local("one", "cpu")
    backend.card()
    for name in ("one+/etc@2", f"{weights / 'one'}+two@2", "one+../two@2", "one+var-d16@2"):
        with pytest.raises(ModelNotFoundError) as told:
            backend.card(name)
        assert "known: " in str(told.value) or "not here yet" in str(told.value)
    assert "one+two@2" not in [offer.name for offer in backend.offers()]
    assert backend.card("one+two@2").name == "one+two@2"
    assert "one+two@2" in [offer.name for offer in backend.offers() if offer.present]
    request = GENERATE.model_copy(update={"model": "one+two@2"})
    assert result_of(list(backend.steps(request))).request.model == "one+two@2"


def test_a_model_that_is_not_here_is_told_without_a_folder(weights: Path) -> None:
    backend = Local("one", "cpu")
    with pytest.raises(ModelNotFoundError, match="var-d16' is not here yet; run: ") as told:
        backend.card("var-d16")
    assert str(weights.parent) not in str(told.value)


def test_no_offer_tells_where_the_files_are(weights: Path) -> None:
    backend = Local("one", "cpu")
    card = backend.card()
    assert str(weights.parent) not in str(backend.offers()) + str(facts(card))
    assert {"one", "two", "three"} <= {offer.name for offer in backend.offers()}


@pytest.mark.parametrize("chosen", ["one", "auto"])
def test_a_card_is_known_before_anything_is_loaded(
    weights: Path, loads: list[tuple[str, str]], chosen: str
) -> None:
    backend = Local(chosen, "cpu")
    assert not backend.ready()
    card = backend.card()
    assert backend.ready() and loads == []
    assert backend.chosen == card.name
    assert backend.editor(None).card == card == backend.card() and len(loads) == 1


@pytest.mark.parametrize("chosen", ["one", "auto"])
def test_auto_and_none_stand_for_the_windows_model_and_load_it_once(
    weights: Path, loads: list[tuple[str, str]], chosen: str
) -> None:
    backend = Local(chosen, "cpu")
    for name in ("auto", None, "", "auto"):
        backend.editor(name)
        request = GENERATE.model_copy(update={"model": name})
        if chosen == "one":
            assert list(backend.steps(request))
    assert len(loads) == 1


def test_the_windows_model_stays_after_others_were_used(
    weights: Path, loads: list[tuple[str, str]]
) -> None:
    backend = Local("one", "cpu")
    for name in ("one", "two", "three", "two", None):
        backend.editor(name)
    assert [name for name, _ in loads] == ["one", "two", "three", "two"]
    assert len(backend._editors) == KEPT
    for name in (None, "one", "two", "three"):
        assert backend.ready(name), "a card is known once it was loaded"
    assert not backend.ready("four")


def test_a_folder_whose_name_is_that_of_another_model_has_a_name_of_its_own(
    weights: Path, tmp_path: Path, loads: list[tuple[str, str]]
) -> None:
    folder = save_tiny_model(tmp_path / "mine").rename(tmp_path / "mine" / "two")
    backend = Local(str(folder), "cpu")
    mine = backend.card()
    assert mine.name != "two" and backend.chosen == mine.name
    assert mine.name in [offer.name for offer in backend.offers()]
    assert backend.card("two").source == str(weights / "two")
    assert backend.card(mine.name).source == str(folder)
    for name in (mine.name, "two"):
        assert backend.editor(name).card == backend.card(name)
    assert [name for name, _ in loads] == [str(folder), "two"]
    *_, last = backend.steps(GENERATE)
    assert isinstance(last, Finished) and last.result.request.model == mine.name


def test_who_asks_while_the_first_model_loads_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that is opened at once; the path it was started with gives way to a name then."""
    from engine import loading

    real, inside, go_on = loading.load_in_own_process, threading.Event(), threading.Event()

    def slowly(*args: Any, **more: Any) -> Any:
        inside.set()
        assert go_on.wait(60)
        return real(*args, **more)

    monkeypatch.setattr(loading, "load_in_own_process", slowly)
    backend = Local(str(save_tiny_model(tmp_path)), "cpu")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(backend.editor, None)
        assert inside.wait(60)
        later = [pool.submit(backend.editor, name) for name in (None, "auto")]
        time.sleep(0.2)  # both are at the door
        go_on.set()
        assert {each.result(60).name for each in (first, *later)} == {"tiny"}
