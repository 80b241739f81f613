"""What stands before the page: foreign names, foreign pages, frames, cookies, guesses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app import guard, logins
from app.guard import Guard, Hosts
from app.logins import Logins, delay
from tests.app.server import serving

HOME = {"host": "127.0.0.1:7860"}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """A stand-in for what lies behind: it answers everybody as Gradio does."""
    if scope["path"] == "/breaks":
        raise KeyError("fn_index")
    if scope["path"] == "/full":
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/secret/place")
    status = 400 if scope["path"] == "/login" else 200
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    headers = [
        (b"content-type", b"text/html"), (b"set-cookie", b"token=1; HttpOnly; SameSite=none"),
        (b"set-cookie", b"other=2"), (b"access-control-allow-origin", b"http://evil.example"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


def ask(path: str = "/", method: str = "GET", hosts: Hosts | None = None, **more: Any) -> Any:
    """The answer to one request."""
    hosts = hosts or Hosts("127.0.0.1")
    guarded = Guard(echo, hosts, ("inpaint", "models"), Path("/tmp"))

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=guarded)
        headers = {**HOME, **more.pop("headers", {})}
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860",
             "127.9.9.9", "localhost."],
)  # fmt: skip
def test_this_machines_own_names_are_served(name: str) -> None:
    assert ask(headers={"host": name}).status_code == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.nip.io", "localhost.evil.example:7860", "192.168.1.7", "",
             "10.0.0.1", "[::2]", "0.0.0.0", "127.0.0.1@evil.example", "[", "evil.example:x"],
)  # fmt: skip
def test_a_foreign_name_that_leads_here_is_refused(name: str) -> None:
    answer = ask(headers={"host": name})
    assert answer.status_code in (400, 421) and "\n" not in answer.text
    assert ask(headers={"x-forwarded-host": name or "other"}).status_code in (400, 421)


def test_what_host_names_is_served_and_nothing_else() -> None:
    hosts = Hosts("192.168.1.7", ["pics.example.org"])
    for name in ("192.168.1.7:7860", "pics.example.org", "localhost"):
        assert ask(headers={"host": name}, hosts=hosts).status_code == 200
    assert ask(headers={"host": "192.168.1.8"}, hosts=hosts).status_code == 421
    hosts.add("a1b2.gradio.live")  # as --share does
    assert ask(headers={"host": "a1b2.gradio.live"}, hosts=hosts).status_code == 200


def test_a_server_for_everybody_is_asked_for_by_address_not_by_any_name() -> None:
    hosts = Hosts("0.0.0.0")
    assert ask(headers={"host": "10.1.2.3:7860"}, hosts=hosts).status_code == 200
    assert ask(headers={"host": "evil.example"}, hosts=hosts).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:8000", "http://localhost:7860",
               "https://127.0.0.1", "file://", "http://127.0.0.1:7860.evil.example", "x", "http://["],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_of_another_origin_is_refused(origin: str, method: str) -> None:
    answer = ask("/gradio_api/upload", method, headers={"origin": origin})
    assert answer.status_code in (400, 403)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_pages_own_requests_pass_behind_a_proxy_too() -> None:
    assert ask("/", "POST", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200
    hosts = Hosts("127.0.0.1", ["pics.example.org"])
    headers = {"origin": "https://pics.example.org", "x-forwarded-host": "pics.example.org"}
    assert ask("/", "POST", headers=headers, hosts=hosts).status_code == 200


def test_a_foreign_pages_images_and_scripts_are_refused_and_links_are_not() -> None:
    for site in ("cross-site", "same-site"):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert ask("/gradio_api/file=x", headers=headers).status_code == 403
        headers["sec-fetch-mode"] = "navigate"
        assert ask(headers=headers).status_code == 200
    assert ask(headers={"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}).is_success


def test_nothing_is_changed_by_looking_at_it() -> None:
    assert ask("/logout").status_code == 405
    assert ask("/logout", "POST").text == "GET", "Gradio's own way to log out"
    for path in ("token", "deep_link", "proxy=http://x", "vibe-edit", "run-history/x", "runs"):
        assert ask(f"/gradio_api/{path}").status_code == 404


def test_no_page_is_framed_and_cookies_stay_at_home() -> None:
    headers = ask().headers
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
    cookies = headers.get_list("set-cookie")
    assert cookies == ["token=1; HttpOnly; SameSite=Lax", "other=2; SameSite=Lax"]


def test_an_unknown_endpoint_is_told_the_known_ones() -> None:
    for way in ("call", "run", "api", "call/v2"):
        answer = ask(f"/gradio_api/{way}/inpant", "POST")
        assert answer.status_code == 404 and "inpaint, models" in answer.json()["detail"]
        assert ask(f"/gradio_api/{way}/inpaint", "POST").status_code == 200
    assert ask("/gradio_api/run/predict", "POST").status_code == 200, "the page's own events"


def test_what_breaks_behind_it_is_one_line_without_a_path(caplog: pytest.LogCaptureFixture) -> None:
    assert ask("/breaks").status_code == 400
    answer = ask("/full")
    assert answer.status_code == 507 and "disk is full" in answer.json()["detail"]
    assert "secret" not in answer.text and "secret" in caplog.text


def test_a_body_beyond_the_bound_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LARGEST_BODY", 1000)
    assert ask("/gradio_api/queue/join", "POST", content=b"x" * 1000).status_code == 200
    assert ask("/gradio_api/queue/join", "POST", content=b"x" * 1001).status_code == 413

    async def pieces() -> Any:  # of which no length is told before
        for _ in range(20):
            yield b"x" * 100

    assert ask("/gradio_api/queue/join", "POST", content=pieces()).status_code == 413


def test_an_upload_to_a_full_disk_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.limits.LEAST_FREE", 1 << 60)
    assert ask("/gradio_api/upload", "POST", content=b"x").status_code == 507


def test_uploads_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio bounds each file of an upload, but neither their number nor what others send."""
    monkeypatch.setattr(guard, "LARGEST_UPLOAD", 1000)
    assert ask("/gradio_api/upload", "POST", content=b"x" * 1000).status_code == 200
    assert ask("/gradio_api/upload", "POST", content=b"x" * 1001).status_code == 413
    room = SimpleNamespace(free=(512 << 20) + 1500)
    monkeypatch.setattr("app.limits.shutil.disk_usage", lambda folder: room)
    guarded = Guard(echo, Hosts("127.0.0.1"), (), Path("/tmp"))

    async def story() -> list[int]:
        transport = httpx.ASGITransport(app=guarded)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def slow() -> Any:
                for _ in range(5):
                    await asyncio.sleep(0.01)
                    yield b"x" * 100

            async def upload() -> int:
                headers = {"content-length": "500"}
                path = "/gradio_api/upload"
                return (await client.post(path, headers=headers, content=slow())).status_code

            together = await asyncio.gather(*(upload() for _ in range(5)))
            return [*sorted(together), await upload()]

    assert asyncio.run(story()) == [200, 200, 200, 507, 507, 200]


def test_guesses_of_a_password_take_longer_and_longer_and_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert [delay(n) for n in (1, 2, 3, 9, 99)] == [0.5, 1, 2, logins.LONGEST, logins.LONGEST]
    monkeypatch.setattr(logins, "FIRST", 0.02)
    guarded = Guard(echo, Hosts("127.0.0.1"))

    async def guesses(count: int) -> list[int]:
        transport = httpx.ASGITransport(app=guarded)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            some = await asyncio.gather(*(client.post("/login") for _ in range(count)))
        return sorted(each.status_code for each in some)

    async def story() -> None:
        began = time.monotonic()
        assert await guesses(4) == [400] * 4
        assert time.monotonic() - began >= 0.02 + 0.04 + 0.08
        busy = await guesses(20)
        assert busy.count(429) == 20 - logins.WAITING, "the others are not even tried"

    with caplog.at_level(logging.WARNING, "varpaint"):
        asyncio.run(story())
    assert "from 127.0.0.1, 4 in a row" in caplog.text


def test_a_guess_is_counted_before_its_answer_leaves(caplog: pytest.LogCaptureFixture) -> None:
    known: list[bool] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def gone(message: Any) -> None:
        known.append("1 in a row" in caplog.text)
        raise OSError("nobody waits for it")

    scope = {
        "type": "http", "method": "POST", "path": "/login", "client": ("10.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in HOME.items()],
    }  # fmt: skip
    with caplog.at_level(logging.WARNING, "varpaint"), contextlib.suppress(OSError):
        asyncio.run(Guard(echo, Hosts("127.0.0.1"))(scope, receive, gone))
    assert known == [True]


def test_who_logs_in_is_not_made_to_wait_by_other_addresses() -> None:
    async def story() -> float:
        doors = Logins()
        async with doors.attempt("6.6.6.6") as told:
            assert told is not None
            told(False)
        began = time.monotonic()
        async with doors.attempt("10.0.0.1") as told:
            assert told is not None
            told(True)
        return time.monotonic() - began

    assert asyncio.run(story()) < 0.1


@pytest.fixture(scope="module")
def locked(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    log = tmp_path_factory.mktemp("locked") / "log.txt"
    with serving(tiny_model_folder, log, "--auth", "ann:secret") as url:
        yield url, log


def test_the_real_server_refuses_foreign_names_and_origins(server: str) -> None:
    assert httpx.get(server, headers={"host": "evil.example"}).status_code == 421
    assert httpx.get(server).headers["content-security-policy"] == "frame-ancestors 'none'"
    evil = {"origin": "http://evil.example"}
    sent = {"files": ("a.png", b"x")}
    upload = f"{server}/gradio_api/upload"
    assert httpx.post(upload, headers=evil, files=sent).status_code == 403
    assert httpx.post(upload, headers={"origin": server}, files=sent).status_code == 200
    asking = {**evil, "access-control-request-method": "POST"}
    answer = httpx.options(upload, headers=asking)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_a_real_password_opens_the_page_and_a_wrong_one_is_logged(locked: Any) -> None:
    url, log = locked
    with httpx.Client(base_url=url) as client:
        for path in ("call/models", "cancel", "heartbeat/x", "upload", "stream/x", "mcp/"):
            assert client.post(f"/gradio_api/{path}", json={"data": []}).status_code == 401, path
        wrong = client.post("/login", data={"username": "ann", "password": "guess"})
        assert wrong.status_code == 400 and "1 in a row" in log.read_text()
        right = client.post("/login", data={"username": "ann", "password": "secret"})
        assert right.status_code == 200
        assert all("SameSite=Lax" in each for each in right.headers.get_list("set-cookie"))
        assert client.get("/logout").status_code == 405
        assert client.post("/gradio_api/call/models", json={"data": []}).status_code == 200
        client.post("/logout")
        assert client.post("/gradio_api/call/models", json={"data": []}).status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("queue/join", {"data": [], "fn_index": 9999, "session_hash": "x"}),
        ("queue/join", {"data": [], "fn_index": "x", "session_hash": "x"}),
        ("queue/join", {"data": []}),
        ("call/nothing", {"data": []}),
        ("call/v2/nothing", {}),
        ("call/v2/inpaint", {"no": 1}),
        ("component_server",
         {"data": 1, "component_id": 99999, "session_hash": "x", "fn_name": "x"}),
        ("component_server", {}),
        ("cancel", {}),
        ("stream/x", {}),
    ],
)
def test_odd_requests_are_told_in_one_line(server: str, path: str, body: Any) -> None:
    answer = httpx.post(f"{server}/gradio_api/{path}", json=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert "\n" not in answer.text and "Traceback" not in answer.text
    assert "/work" not in answer.text and "site-packages" not in answer.text


def test_news_of_a_window_that_is_not_there_end_without_a_traceback(locked: Any) -> None:
    url, log = locked
    with httpx.Client(base_url=url) as client:
        client.post("/login", data={"username": "ann", "password": "secret"})
        news = client.get("/gradio_api/queue/data", params={"session_hash": "nobody"})
    assert news.status_code == 200 and "404" in news.text
    assert "Traceback" not in log.read_text()


def test_the_pages_events_that_do_not_wait_in_the_queue_pass(server: str) -> None:
    """A click on Run begins with one; it goes to another path than those that wait."""
    config = httpx.get(f"{server}/config").json()
    (now, *_) = [
        each for each in config["dependencies"]
        if each["queue"] is False and each["backend_fn"] and each["inputs"]
    ]  # fmt: skip
    data = [None] * len(now["inputs"])
    body = {"data": data, "fn_index": now["id"], "session_hash": "me"}
    answer = httpx.post(f"{server}/gradio_api/run/predict", json=body, headers={"origin": server})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["/gradio_api/heartbeat/me", "/gradio_api/queue/data"])
def test_who_listens_is_alive_until_it_leaves(path: str) -> None:
    seen = []

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        seen.append((guarded.alive("me"), guarded.alive("you")))
        await echo(scope, receive, send)

    guarded = Guard(listening, Hosts("127.0.0.1"))

    async def listen() -> None:
        transport = httpx.ASGITransport(app=guarded)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await client.get(path, params={"session_hash": "me"}, headers=HOME)

    asyncio.run(listen())
    assert seen == [(True, False)]
    assert not guarded.alive("me")
