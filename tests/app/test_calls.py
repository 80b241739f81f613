"""Calls over HTTP under load, on a real server: bounded, refused early, ended with their caller;
and the window answers meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from PIL import Image

from app.calls import forget_answered, forget_callers, forget_closed, in_one_line
from app.limits import USUAL
from engine.picture.files import encode_png
from engine.serving.bounds import broken
from tests.app.server import serving


@pytest.fixture(scope="module")
def url(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("calls") / "log.txt"
    with serving(tiny_model_folder, log, "--most-work", "30000") as url:
        yield f"{url}/gradio_api"
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def dot(url: str) -> dict[str, Any]:
    """An uploaded picture of 4 x 4 pixels: each frame that extends it adds two."""
    data = encode_png(Image.new("RGB", (4, 4), "teal"))
    (path,) = httpx.post(f"{url}/upload", files={"files": ("dot.png", data)}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def post(url: str, name: str, *data: Any) -> httpx.Response:
    return httpx.post(f"{url}/call/{name}", json={"data": data}, timeout=30)


def answer(url: str, name: str, *data: Any) -> tuple[str, Any]:
    """("complete" or "error", what it says) of a call that is waited for."""
    asked = post(url, name, *data)
    assert asked.status_code == 200, asked.text
    stream = httpx.get(f"{url}/call/{name}/{asked.json()['event_id']}", timeout=120).text
    event, _, told = stream.strip().split("\n\n")[-1].partition("\ndata: ")
    return event.removeprefix("event: "), json.loads(told)


def events_of(url: str) -> list[dict[str, Any]]:
    """Whatever can be asked of the page, endpoints and its own events."""
    found: list[dict[str, Any]]
    found = httpx.get(url.replace("/gradio_api", "/config")).json()["dependencies"]
    return found


def extend(dot: Any, by: int, variations: int) -> tuple[Any, ...]:
    return (dot, by, 0, 0, 0, None, {"seed": 1, "variations": variations}, None)


@contextmanager
def waiting(url: str, name: str, *data: Any) -> Iterator[None]:
    """While somebody waits for a call's answer; afterwards they have gone."""
    event = post(url, name, *data).json()["event_id"]
    with httpx.Client(timeout=60) as client, client.stream("GET", f"{url}/call/{name}/{event}"):
        time.sleep(0.2)
        yield


def test_work_without_end_is_refused_by_its_bound(url: str, dot: Any) -> None:
    began = time.monotonic()
    event, told = answer(url, "outpaint", *extend(dot, 16384, 16))
    assert event == "error" and "30000 is the bound" in told["error"], told
    assert time.monotonic() - began < 10
    again = answer(url, "generate", "1", {"seed": 1}, None)
    assert again[0] == "complete", "and nobody else waits for it"


def test_work_ends_when_its_caller_has_gone(url: str, dot: Any) -> None:
    with waiting(url, "outpaint", *extend(dot, 3500, 4)):
        time.sleep(1)  # far less than what it takes
    began = time.monotonic()
    assert answer(url, "generate", "1", {"seed": 1}, None)[0] == "complete"
    assert time.monotonic() - began < 8


def test_who_cancels_ends_the_work_too(url: str, dot: Any) -> None:
    event = post(url, "outpaint", *extend(dot, 3500, 4)).json()["event_id"]
    time.sleep(1)
    (number,) = [each["id"] for each in events_of(url) if each["api_name"] == "outpaint"]
    cancel = {"session_hash": event, "fn_index": number, "event_id": event}
    assert httpx.post(f"{url}/cancel", json=cancel).status_code == 200
    began = time.monotonic()
    assert answer(url, "generate", "1", {"seed": 1}, None)[0] == "complete"
    assert time.monotonic() - began < 8


def test_too_many_calls_are_refused_at_once_and_the_window_answers_meanwhile(
    url: str, dot: Any
) -> None:
    stop = threading.Event()

    def listen(event: str) -> None:
        news = f"{url}/call/outpaint/{event}"
        with httpx.Client(timeout=60) as client, client.stream("GET", news):
            stop.wait(60)

    (load, *_) = [
        each["id"] for each in events_of(url) if "load" in [how for _, how in each["targets"]]
    ]
    answers = [post(url, "outpaint", *extend(dot, 3500, 4)) for _ in range(USUAL.waiting + 6)]
    events = [each.json()["event_id"] for each in answers if each.status_code == 200]
    listeners = [threading.Thread(target=listen, args=(event,)) for event in events]
    try:
        for each in listeners:
            each.start()
        assert len(events) == USUAL.waiting
        for refused in (each for each in answers if each.status_code != 200):
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert "try again" in refused.json()["detail"]
        began = time.monotonic()
        body = {"data": [None], "fn_index": load, "session_hash": "window"}
        assert httpx.post(f"{url}/queue/join", json=body).status_code == 200
        with httpx.Client(timeout=20) as client:
            stream = client.stream("GET", f"{url}/queue/data", params={"session_hash": "window"})
            with stream as news:
                for line in news.iter_lines():
                    if "process_completed" in line:
                        assert '"success":true' in line
                        break
        assert time.monotonic() - began < 10
    finally:
        stop.set()
        for each in listeners:
            each.join(30)
    began = time.monotonic()
    while post(url, "models").status_code == 503:
        assert time.monotonic() - began < 30, "those who left keep no place"
        time.sleep(0.2)
    assert answer(url, "generate", "1", {"seed": 1}, None)[0] == "complete"


def test_a_caller_with_an_empty_name_is_answered_as_one_without(url: str) -> None:
    (models,) = [each["id"] for each in events_of(url) if each["api_name"] == "models"]
    body = {"data": [], "fn_index": models, "session_hash": ""}
    event = httpx.post(f"{url}/queue/join", json=body).json()["event_id"]
    news = httpx.get(f"{url}/call/models/{event}", timeout=20).text
    assert "event: complete" in news, news


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("inpaint", [{"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}] + [None] * 4),
        ("inpaint", [{"url": "http://127.0.0.1:1/x.png", "meta": {"_type": "gradio.FileData"}}]),
        ("inpaint", []),
        ("inpaint", [None] * 99),
        ("inpaint", [[[[[]]]], {}, 0.5, "x", True]),
        ("generate", [2.5, None, None]),
        ("generate", ["bird", {"self": 1}, None]),
        ("generate", ["bird", None, "~nosuchuser"]),
        ("generate", ["bird", None, "x" * 300]),
        ("generate", ["bird", None, "var-d16"]),
        ("generate", ["bird", {"coarse_seeds": [[]]}, None]),
        ("edit_class", [None, None, None, None, None, "x", {}]),
    ],
)
def test_an_odd_call_is_answered_in_one_line_without_a_path(
    url: str, name: str, data: list[Any]
) -> None:
    asked = post(url, name, *data)
    if asked.status_code == 200:
        event, told = answer(url, name, *data)
        assert event == "error"
        line = told["error"]
    else:
        line = asked.text
    assert line and "\n" not in line and "Traceback" not in line
    assert not [each for each in ("/work", "/tmp", "/root", "site-packages") if each in line], line


def test_a_full_disk_is_told_as_that_wherever_it_shows() -> None:
    full = OSError(28, "No space left on device", "/srv/secret/place")
    for words in (broken(full), _told_by_gradio(full)):
        assert "disk is full" in words and "secret" not in words
    assert "something broke" in broken(ZeroDivisionError())
    assert "cannot be understood" in _told_by_gradio(ValueError("many\nlines of /srv/secret"))


def test_nothing_is_held_of_what_was_said_and_of_files_that_went_by() -> None:
    async def story() -> tuple[set[str], set[str], list[Any]]:
        waiting = {"waits": {"1"}, "answered": set(), "unread": set(), "long gone": {"2"},
                   "listens": set()}  # fmt: skip
        messages = {name: asyncio.Queue() for name in waiting if name != "long gone"}
        messages["unread"].put_nowait("news")
        window: Any = SimpleNamespace(
            _queue=SimpleNamespace(
                pending_event_ids_session=waiting, pending_messages_per_session=messages
            ),
            temp_file_sets=[{"/a"}],
        )
        holder = SimpleNamespace(delete_all_expired_state=lambda: None)
        forget_answered(holder, window, lambda name: name == "listens")
        window.temp_file_sets.append({"/b"})  # as a new canvas does
        holder.delete_all_expired_state()
        return set(waiting), set(messages), window.temp_file_sets

    kept, messages, files = asyncio.run(story())
    assert kept == messages == {"waits", "unread", "listens"}
    assert files == [set()]


def _told_by_gradio(error: Exception) -> str:
    """What is said of an error that Gradio's own code meets."""

    class Window:
        async def process_api(self) -> None:
            raise error

    window: Any = Window()
    in_one_line(window)
    with pytest.raises(gr.Error) as told:
        asyncio.run(window.process_api())
    return str(told.value)


def test_nothing_is_held_of_callers_and_of_closed_windows() -> None:
    """Gradio holds a third of a megabyte for each; a window that is open keeps its own."""
    names = ("caller", "open", "closed", "just closed")
    holder = SimpleNamespace(
        session_data={name: SimpleNamespace(is_closed="closed" in name) for name in names},
        time_last_used={name: datetime.now() for name in names},
        delete_all_expired_state=lambda: None,
    )

    async def process_api(**_: Any) -> dict[str, Any]:
        return {}

    window: Any = SimpleNamespace(process_api=process_api, state_holder=holder)
    forget_callers(window, ("models",))
    for endpoint, name in (("models", "caller"), ("undo", "open")):
        called = SimpleNamespace(api_name=endpoint)
        asyncio.run(window.process_api(block_fn=called, session_hash=name))
    assert set(holder.session_data) == {"open", "closed", "just closed"}
    forget_closed(holder, after=60, alive=lambda name: name == "open", silent=600)
    holder.time_last_used["closed"] -= timedelta(seconds=61)
    holder.delete_all_expired_state()
    assert set(holder.session_data) == {"open", "just closed"}
    holder.session_data["never looked at"] = SimpleNamespace(is_closed=False)
    holder.time_last_used["never looked at"] = datetime.now() - timedelta(seconds=601)
    holder.time_last_used["open"] -= timedelta(days=1)
    holder.delete_all_expired_state()
    assert set(holder.session_data) == {"open", "just closed"}, "an open window may wait for ever"
