"""A model hub on this machine, as far as downloads need one, with faults to order.

Two servers, like the real thing: the hub answers ``/OWNER/NAME/resolve/REVISION/FILE`` with a
redirect that declares commit, size and SHA-256; the store behind it, on another port, serves the
bytes and understands ranges. Written after what huggingface_hub 2.4.0 asks for and reads.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

STEPS = 20  # a second, where the rate is bounded
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the servers offer and how they misbehave; tests change it as they go."""

    files: dict[str, bytes] = field(default_factory=dict)
    repository: str = "FoundationVision/var"
    endpoint: str = ""
    store: str = ""
    cuts: list[int] = field(default_factory=list)  # each answer: hang up after so many bytes
    reset: bool = False  # hang up with a TCP reset instead of an orderly close
    corrupt: bool = False  # serve other bytes than declared
    status: int = 0  # answer everything with this error
    plain: bool = False  # declare no SHA-256, as for a file that is not in the store
    rate: int = 0  # serve so many bytes a second; 0 for at once
    ignore_ranges: bool = False  # a proxy that always sends the whole file
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def ranges(self) -> list[str | None]:
        """The Range header of every download so far."""
        return [
            wanted
            for method, path, wanted in self.requests
            if method == "GET" and path.startswith("/store/")
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        """No chatter in the tests' output."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        if hub.status:
            self._send(hub.status)
        elif match := re.fullmatch(r"/(.+/.+)/resolve/(\w+)/([\w.]+)", self.path):
            repository, _, name = match.groups()
            if repository != hub.repository:
                self._send(404, {"X-Error-Code": "RepoNotFound"})
            elif name not in hub.files:
                self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            else:
                self._resolve(name)
        elif match := re.fullmatch(r"/store/([\w.]+)", self.path):
            self._store(hub.files[match.group(1)])
        else:
            self._send(404)

    def _resolve(self, name: str) -> None:
        content = self.hub.files[name]
        digest = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest[:40]}"'}
        if self.hub.plain:
            self._send(200, headers, content if self.command == "GET" else b"", len(content))
            return
        headers["X-Linked-Etag"] = f'"{digest}"'
        headers["X-Linked-Size"] = str(len(content))
        headers["Location"] = f"{self.hub.store}/store/{name}"
        self._send(302, headers)

    def _store(self, content: bytes) -> None:
        hub = self.hub
        if hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        begin = int(wanted.group(1)) if wanted and not hub.ignore_ranges else 0
        headers = {"Accept-Ranges": "bytes"}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        length = len(body)
        cut = hub.cuts.pop(0) if hub.cuts else None
        self._send(206 if begin else 200, headers, body[:cut], length)
        if cut is not None:
            self.close_connection = True
            if hub.reset:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, zero seconds
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _send(
        self,
        status: int,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "GET":
            return
        step = self.hub.rate // STEPS or len(body) or 1
        with suppress(ConnectionError):  # whoever asked may have had enough
            for at in range(0, len(body), step):
                self.wfile.write(body[at : at + step])
                self.wfile.flush()
                time.sleep(1 / STEPS if self.hub.rate else 0)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever pauses a download hangs up."""


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run ``hub`` on two free ports of the loopback interface."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    servers = [_Server(("127.0.0.1", 0), handler) for _ in range(2)]
    threads = [Thread(target=server.serve_forever, args=(0.05,)) for server in servers]
    hub.endpoint, hub.store = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
