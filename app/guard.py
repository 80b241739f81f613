"""What stands before the page and the endpoints: who may ask, from where, and in how many bytes.

A server on this machine has no password, so a page of somebody else's that is open in the same
browser must not reach it: not by a name of its own that leads here (DNS rebinding), not by a
request of its own, not by framing the page. Gradio (6.31) leaves all three open.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException

from app.asgi import App, Message, Receive, Scope, Send
from app.limits import require_room
from app.logins import Logins
from engine.errors import RequestError
from engine.serving.bounds import BROKEN, MEGABYTE, broken, disk_is_full

LARGEST_UPLOAD = 513 * MEGABYTE  # all of its files; Gradio bounds each of them, at 512 MB
LARGEST_BODY = 64 * MEGABYTE  # of a request that is no upload; a mask is a data URL in one
RETRY = 10  # seconds after which one may ask again
API = "/gradio_api"
UPLOAD = f"{API}/upload"
HEARTBEAT = f"{API}/heartbeat/"
NEWS = f"{API}/queue/data"  # what goes on with all that a session has asked for
CALLS = tuple(f"{API}/{way}/" for way in ("call/v2", "call", "run", "api"))
PAGE = "predict"  # the page's own name for an event that does not wait in the queue
NEVER = (  # of Gradio's own paths: nothing here needs them, and they give or change too much
    "/token", "/deep_link", "/proxy=", "/vibe-", "/undo-vibe-", "/process_recording", "/runs",
    "/run-history", "/profiling", "/dev/", "/monitoring", "/pwa_icon",
)  # fmt: skip
OPEN = (  # what a page asks for, and the server's own start, before anybody has logged in
    "/startup-events", "/login_check", "/user", "/app_id", "/theme.css",
)  # fmt: skip
HEADERS = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

log = logging.getLogger("varpaint")


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Hosts:
    """The names by which this server may be asked for."""

    def __init__(self, host: str, others: Iterable[str] = ()) -> None:
        self._names = {"localhost", _name(host), *map(_name, others)}
        self._any_address = _address(host) is not None and _address(host).is_unspecified
        if self._any_address:  # a name may lead anywhere, an address only to itself
            self._names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}

    def add(self, name: str) -> None:
        """One more, such as that of a public link."""
        self._names.add(_name(name))

    def __contains__(self, netloc: str) -> bool:
        name = _name(netloc)
        address = _address(name)
        if address is not None and (self._any_address or address.is_loopback):
            return True
        return name in self._names


def _name(netloc: str) -> str:
    """The name in "name:port" or "[address]:port"."""
    if netloc.count(":") > 1 and not netloc.startswith("["):
        return netloc.lower()  # an address without brackets
    return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


class Guard:
    """An ASGI application around another. ``endpoints`` are the names of those that there are,
    ``folder`` is where uploads go; ``known`` tells by its cookies whether somebody has logged in,
    which Gradio asks at some paths only."""

    def __init__(
        self,
        app: App,
        hosts: Hosts,
        endpoints: Iterable[str] = (),
        folder: Path = Path("."),
        known: Callable[[str], bool] = lambda cookies: True,
    ) -> None:
        self._app = app
        self._known = known
        self._hosts = hosts
        self._endpoints = tuple(endpoints)
        self._folder = folder
        self._logins = Logins()
        self._coming = 0  # bytes of uploads under way
        self._listening: Counter[str] = Counter()

    def alive(self, session: str) -> bool:
        """Whether a window's page, or a caller, is connected: a page listens to a heartbeat all
        the time, and to its queue while it waits for something."""
        return self._listening[session] > 0

    @contextmanager
    def _heard(self, scope: Scope) -> Iterator[None]:
        session = _listener(scope)
        if session is None:
            yield
            return
        self._listening[session] += 1
        try:
            yield
        finally:
            self._listening[session] -= 1
            if self._listening[session] <= 0:
                del self._listening[session]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        answer = _Answer(send)
        try:
            self._admit(scope, headers)
            if scope["path"].rstrip("/") == "/login" and scope["method"] == "POST":
                await self._login(scope, receive, answer)
            else:
                bounded = self._bounded(scope, headers, receive)
                with self._room_for(scope, headers), self._heard(scope):
                    await self._app(scope, bounded, answer)
            await answer.end()
        except RefusedError as refused:
            if scope["type"] == "http":
                await answer.instead(refused.status, str(refused))
        except Exception as error:
            if not answer.begun:
                await answer.instead(*_words(error))
            elif isinstance(error.__cause__, HTTPException):  # such as of a window that is gone
                log.warning("an answer ended early: %s", error.__cause__)
                await answer({"type": "http.response.body", "body": b""})
            else:
                raise

    def _admit(self, scope: Scope, headers: dict[str, str]) -> None:
        """Refuse what comes by a foreign name or from a foreign page."""
        host = headers.get("host", "")
        try:
            foreign = [
                each for each in (host, headers.get("x-forwarded-host", host))
                if each not in self._hosts
            ]  # fmt: skip
            origin = headers.get("origin")
            same = origin is None or _same(origin, headers.get("x-forwarded-host", host), host)
        except ValueError:  # no name at all
            raise RefusedError(400, "the request names no host that can be understood") from None
        if foreign:
            name = _name(foreign[0])[:80]
            words = f"this server is not called {name!r}; --allow-host {name} at its start says so"
            raise RefusedError(421, words)
        if not same:
            raise RefusedError(403, "a page of another site may not use this server")
        embedded = headers.get("sec-fetch-mode") not in (None, "navigate")
        if embedded and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise RefusedError(403, "a page of another site may not use this server")
        if scope["type"] == "http":
            self._route(scope)
        asked = scope["path"].rstrip("/")
        inside = asked.startswith(API) and asked.removeprefix(API) not in OPEN
        if inside and not self._known(headers.get("cookie", "")):
            raise RefusedError(401, "log in first")

    def _route(self, scope: Scope) -> None:
        """Refuse what there is not; and what would change something by being looked at."""
        path = scope["path"]
        own = path.removeprefix(API)
        if own.startswith(NEVER):
            raise RefusedError(404, "there is no such page; see docs/http.md")
        if path.rstrip("/") == "/logout":
            if scope["method"] != "POST":
                raise RefusedError(405, "log out by POST")
            scope["method"] = "GET"  # as Gradio has it
        for way in CALLS:
            if path.startswith(way) and self._endpoints:
                name = path.removeprefix(way).split("/")[0]
                if name not in (*self._endpoints, PAGE):
                    known = ", ".join(self._endpoints)
                    raise RefusedError(404, f"no endpoint {name[:60]!r}; there are {known}")
                break

    def _bounded(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
        """What is received, as long as it is not too long."""
        if scope.get("method") != "POST":
            return receive
        given, most = 0, LARGEST_UPLOAD if scope["path"].startswith(UPLOAD) else LARGEST_BODY
        too_long = RefusedError(413, f"the request is longer than {most // MEGABYTE} MB")
        if (_length(headers) or 0) > most:
            raise too_long

        async def counted() -> Message:
            nonlocal given
            message = await receive()
            given += len(message.get("body", b""))
            if given > most:
                raise too_long
            return message

        return counted

    @contextmanager
    def _room_for(self, scope: Scope, headers: dict[str, str]) -> Iterator[None]:
        """While an upload is under way there is room on the disk for it and for the others that
        are."""
        if scope.get("method") != "POST" or not scope["path"].startswith(UPLOAD):
            yield
            return
        coming = _length(headers) or LARGEST_UPLOAD
        try:
            require_room(self._folder, self._coming + coming)
        except RequestError as error:
            raise RefusedError(507, str(error)) from None
        self._coming += coming
        try:
            yield
        finally:
            self._coming -= coming

    async def _login(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        address = (scope.get("client") or ("nowhere", 0))[0]
        async with self._logins.attempt(address) as told:
            if told is None:
                raise RefusedError(429, "too many attempts to log in; wait a little")

            async def counted(message: Message) -> None:
                """Before the answer leaves: who does not wait for it has guessed all the same."""
                if message["type"] == "http.response.start" and message["status"] in (200, 400):
                    told(message["status"] == 200)
                await answer(message)

            await self._app(scope, receive, counted)


class _Answer:
    """An answer on its way: with the headers that keep foreign pages out; and the one that says
    only that something went wrong in words instead."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.status = 0
        self._broken = False
        self._held: Message | None = None  # a head that waits for what its body says

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = message.get("headers", [])
            kind = dict(given).get(b"content-type", b"")
            if self.status == 500 and kind.startswith(b"text/plain"):  # no words, or a traceback
                self._broken = True
                return
            message["headers"] = self._headers(given)
            self.begun = True
            if self.status == 500 and kind.startswith(b"application/json"):
                self._held = message
                return
        if self._held is not None:
            if BROKEN.encode() not in message.get("body", b""):  # a mistake of the caller's
                self._held["status"] = self.status = 400
            await self._send(self._held)
            self._held = None
        if not self._broken:
            await self._send(message)

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [
            (name, _lax(value) if name.lower() == b"set-cookie" else value)
            for name, value in given
            if not name.lower().startswith(b"access-control-")
        ]
        kept += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        if self.status in (429, 503):
            kept.append((b"retry-after", str(RETRY).encode()))
        return kept

    async def instead(self, status: int, words: str) -> None:
        """Say this, in one line."""
        if self.begun:
            return
        self._broken = False
        body = json.dumps({"detail": words}).encode()
        kind = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self({"type": "http.response.start", "status": status, "headers": kind})
        await self({"type": "http.response.body", "body": body})

    async def end(self) -> None:
        if self._broken:
            await self.instead(500, f"{BROKEN}; the log has more")


def logged_in(server: Any) -> Callable[[str], bool]:
    """Whether these cookies are those of somebody who has logged in to a server of Gradio's, or
    need not."""

    def known(cookies: str) -> bool:
        if server.auth is None:
            return True
        names = [f"access-token{way}-{server.cookie_id}" for way in ("", "-unsecure")]
        given = (part.strip().partition("=") for part in cookies.split(";"))
        return any(name in names and token in server.tokens for name, _, token in given)

    return known


def _length(headers: dict[str, str]) -> int | None:
    """Of a body, where it is told."""
    told = headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdecimal() and len(told) < 20 else None


def _same(origin: str, *hosts: str) -> bool:
    """Whether an Origin is that of the page which a host serves."""
    parts = urlsplit(origin)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    if usual is None or not parts.hostname:
        return False  # "null", and what is no site
    mine = parts.hostname.rstrip("."), parts.port or usual
    return any(mine == (_name(host), urlsplit(f"//{host}").port or usual) for host in hosts)


def _lax(cookie: bytes) -> bytes:
    """A cookie that other sites' requests do not carry."""
    parts = [part.strip() for part in cookie.split(b";")]
    kept = [part for part in parts if not part.lower().startswith(b"samesite=")]
    return b"; ".join([*kept, b"SameSite=Lax"])


def _listener(scope: Scope) -> str | None:
    """Which session listens, to its heartbeat or to its queue; None if nobody does."""
    if scope["path"].startswith(HEARTBEAT):
        return str(scope["path"].removeprefix(HEARTBEAT))
    if scope["path"] != NEWS:
        return None
    named = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return named.get("session_hash", [None])[0]


def _words(error: Exception) -> tuple[int, str]:
    """The status and the words for what Gradio could not make sense of, or what broke."""
    if disk_is_full(error):
        return 507, broken(error)
    if isinstance(error, LookupError | TypeError | ValueError | AttributeError | RecursionError):
        log.warning("a request that makes no sense (%s)", type(error).__name__)
        return 400, "the request cannot be understood; see docs/http.md"
    return 500, broken(error)
