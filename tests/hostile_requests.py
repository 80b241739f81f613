"""What `tests/hostile_http.py` sends, each kind a function: the answers that it got."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from tests.damage import FORMATS, ODD, changed, damaged, picture_bytes, some_file
from tests.failures import PATIENCE
from tests.load import Page

API = "/gradio_api"
SESSIONS = ("one", "two", "three")  # windows with a picture
FILE = {"_type": "gradio.FileData"}
TASKS = ("inpaint", "outpaint", "edit_class", "generate", "models")
PATHS = (
    "/", "/config", "/login", "/logout", "/theme.css", "/manifest.json", "/pwa_icon/64",
    "/robots.txt", "/static/x", "/assets/x", "/svelte/x", "/favicon.ico", "/docs", "/openapi.json",
    "/monitoring", *(f"{API}/{each}" for each in (
        "info", "openapi.json", "user", "login_check", "app_id", "token", "startup-events", "reset",
        "queue/status", "queue/join", "queue/data", "cancel", "heartbeat/x", "upload",
        "upload_progress", "component_server", "file=", "file/", "proxy=http://127.0.0.1:1/",
        "call/inpaint", "call/v2/generate", "run/predict", "api/generate", "stream/x",
        "stream/x/close", "stream/a/b/1/playlist.m3u8", "custom_component/1/client/component/x",
        "dev/reload", "deep_link", "vibe-edit", "runs", "theme.css", "mcp/", "mcp/sse",
    )),
)  # fmt: skip
NAMES = (
    "/etc/passwd", "../../../../etc/passwd", "..%2f..%2fetc/passwd", "/varpaint-files/../lock",
    "/varpaint-files/x/../../pid", "http://127.0.0.1:1/x", "file:///etc/passwd", "//host/share",
    "C:\\windows\\win.ini", "a" * 300, "a/" * 3000, "%00", "%2e%2e/", "~root", ".", "", "%ff%fe",
    "\u202eexe.gnp", "nul", "x.png/..", "/proc/self/environ", "/dev/zero", "app.py",
)  # fmt: skip
HOSTS = (
    "evil.example", "127.0.0.1.nip.io", "localhost.evil.example", "", "[", "::1", "[::1", "0.0.0.0",
    "127.0.0.1:99999", "127.0.0.1:x", "a" * 2000, "127.0.0.1, evil.example", "user@127.0.0.1",
    "127.0.0.1\tx", "localhost", "2130706433",
)  # fmt: skip
ORIGINS = ("null", "http://evil.example", "http://[", "x", "http://127.0.0.1", "file://", "",
           "a" * 900)  # fmt: skip
HEADERS = (
    "range", "accept-encoding", "content-type", "content-length", "cookie", "authorization",
    "x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "sec-fetch-site", "sec-fetch-mode",
    "expect", "transfer-encoding", "x-gradio-user", "if-none-match", "referer", "accept-language",
)  # fmt: skip
VALUES = (
    "bytes=0-", "bytes=9-1", "bytes=-5", "bytes=99999999999-", "bytes=0-1,5-6", "bytes=x-y",
    "bytes=1-2", "br", "gzip", "identity;q=0, *;q=0", "application/json", "multipart/form-data",
    "text/html; x=", "multipart/form-data; boundary=" + "b" * 300, "-1", "99999999999", "1e9", "x",
    "", "chunked",
    "access-token-x=1; access-token-unsecure-x=2", "Basic YTpi", "Bearer x", "evil.example", "ftp",
    "cross-site", "no-cors", "100-continue", "../x", "a" * 5000, "\u00e9",
)  # fmt: skip


class Server:
    """A running one, and what can be asked of it."""

    def __init__(self, url: str, home: Path, log: Path, locked: bool) -> None:
        self.url, self.home, self.log, self.locked = url, home, log, locked
        parts = urlsplit(url)
        self.place = (str(parts.hostname), int(parts.port or 80))
        (folder,) = (home / "temporary").iterdir()
        self.pid = int((folder / "pid").read_text())
        self.read = 0  # of the log
        self.secrets = [str(home), str(Path(__file__).resolve().parents[1]), "site-packages",
                        "/root", "/lib/python", "Traceback"]  # fmt: skip
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)
        self.events: list[dict[str, Any]] = []
        self.values: dict[int, Any] = {}
        self.files: list[str] = []
        if not locked:
            config = self.http.get("/config").json()
            self.events = [each for each in config["dependencies"] if each["backend_fn"]]
            self.values = {
                each["id"]: each.get("props", {}).get("value") for each in config["components"]
            }
            path = self.uploaded(picture_bytes("PNG"), "good.png")
            for session in SESSIONS:
                window = Page(self.http, url, session)
                window.press("load")
                window.press("open.upload", open={"path": path, "meta": FILE})

    def news_of_log(self) -> str:
        text = self.log.read_text(errors="replace")
        new, self.read = text[self.read :], len(text)
        return new

    def memory(self) -> float:
        """MB that it took at most so far; 0 if it died."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1000
        return 0.0

    def uploaded(self, data: bytes, name: str) -> str:
        (path,) = self.http.post(f"{API}/upload", files={"files": (name, data)}).json()
        return str(path)


# ---- the cases: each gives the answers that it got ----------------------------------------------

Answers = Iterator[tuple[int, str]]


def told(answer: httpx.Response) -> tuple[int, str]:
    kind = answer.headers.get("content-type", "")
    textual = "text" in kind or "json" in kind
    return answer.status_code, answer.text if textual else ""


def a_file(server: Server, rng: random.Random) -> Any:
    """Something in the place of a picture file."""
    if rng.random() < 0.3:
        return rng.choice(ODD)
    if rng.random() < 0.3 or not server.files:
        if rng.random() < 0.5:
            server.files.append(server.uploaded(some_file(rng), "a.png"))
        else:
            server.files.append(server.uploaded(picture_bytes(rng.choice(FORMATS)), "b.png"))
    path = rng.choice(server.files) if rng.random() < 0.8 else rng.choice(NAMES)
    file: dict[str, Any] = {"path": path, "meta": FILE}
    if rng.random() < 0.2:
        file["url"] = rng.choice(("http://127.0.0.1:1/x", "file:///etc/passwd", "x", 7, None))
    return changed(file, rng) if rng.random() < 0.1 else file


def endpoint(server: Server, rng: random.Random) -> Answers:
    """A call, and its answer."""
    task = rng.choice(TASKS)
    options: Any = {"seed": 1, "variations": rng.choice((1, 2))}
    if rng.random() < 0.7:
        options = changed(options, rng)

    def label() -> Any:
        return rng.choice(("bird", "1", None, *ODD))

    def side() -> Any:
        return rng.choice((0, 4, "25%", rng.choice(ODD)))

    data = {
        "inpaint": lambda: [a_file(server, rng), a_file(server, rng), label(), options, None],
        "outpaint": lambda: [a_file(server, rng), side(), side(), side(), side(), label(), options,
                             rng.choice((None, rng.choice(ODD)))],
        "edit_class": lambda: [a_file(server, rng), a_file(server, rng), label(), options, None,
                               rng.choice((None, [a_file(server, rng)], rng.choice(ODD))),
                               rng.choice((None, ["bird"], rng.choice(ODD)))],
        "generate": lambda: [label(), options, rng.choice((None, rng.choice(ODD)))],
        "models": list,
    }[task]()  # fmt: skip
    if rng.random() < 0.1:
        data = data[: rng.randrange(len(data) + 1)] * rng.choice((1, 1, 9))
    way = rng.choice(("call", "call", "call", "run", "api", "call/v2"))
    body: Any = {"data": data}
    if way == "call/v2":
        body = {"label": label(), "options": options}
    if rng.random() < 0.1:
        body = changed(body, rng)
    text = json.dumps(body)
    if rng.random() < 0.1:
        text = damaged(text.encode(), rng).decode("latin-1")
    kind = {"content-type": rng.choice(("application/json",) * 9 + ("text/plain",))}
    path = f"{API}/{way}/{task}"
    answer = server.http.post(path, content=text.encode(), headers=kind)
    yield told(answer)
    if answer.status_code == 200 and way.startswith("call"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            yield listened(server, f"{path}/{answer.json()['event_id']}")


def listened(server: Server, path: str, **more: Any) -> tuple[int, str]:
    """A stream of news, to its end."""
    ends = time.monotonic() + PATIENCE
    text = ""
    with server.http.stream("GET", path, **more) as stream:
        for line in stream.iter_lines():
            text += line + "\n"
            if time.monotonic() > ends:
                break
    if time.monotonic() > ends:
        raise httpx.ReadTimeout("news without end")
    return stream.status_code, text


def window(server: Server, rng: random.Random) -> Answers:
    """One of the page's own events, with odd values."""
    event = rng.choice(server.events)
    data = [server.values.get(each) for each in event["inputs"]]
    for at in range(len(data)):
        if rng.random() < 0.4:
            data[at] = a_file(server, rng) if rng.random() < 0.3 else rng.choice(ODD)
    if rng.random() < 0.1:
        data = data[: rng.randrange(len(data) + 1)]
    session = rng.choice((*SESSIONS, rng.choice(ODD)))
    body: Any = {
        "data": data, "fn_index": event["id"], "session_hash": session,
        "event_data": rng.choice((None, {"index": rng.choice(ODD)}, rng.choice(ODD))),
        "trigger_id": rng.choice((None, 1, rng.choice(ODD))),
    }  # fmt: skip
    if rng.random() < 0.15:
        body = changed(body, rng)
    where = "queue/join" if event["queue"] is not False and rng.random() < 0.9 else "run/predict"
    text = json.dumps(body).encode()
    if rng.random() < 0.05:
        text = damaged(text, rng)
    kind = {"content-type": "application/json"}
    answer = server.http.post(f"{API}/{where}", content=text, headers=kind)
    yield told(answer)
    if answer.status_code == 200 and where == "queue/join" and isinstance(session, str):
        yield listened(server, f"{API}/queue/data", params={"session_hash": session})


def page(server: Server, rng: random.Random) -> Answers:
    """A page or a file, by an odd name, host, origin, and what else stands in a head."""
    path = rng.choice(PATHS)
    if path.endswith(("=", "/", "x")):
        path = path.removesuffix("x") + rng.choice(NAMES)
    if rng.random() < 0.1:
        path = damaged(path.encode(), rng).decode("latin-1")
    if rng.random() < 0.3:
        path += "?" + "&".join(
            f"{rng.choice(('session_hash', 'upload_id', 'x', '__theme', 'view', 'deep_link'))}="
            f"{quote(str(rng.choice(ODD)))}" for _ in range(rng.randrange(4))
        )  # fmt: skip
    headers = {"host": rng.choice(HOSTS) if rng.random() < 0.2 else server.url[7:]}
    if rng.random() < 0.2:
        headers["origin"] = rng.choice(ORIGINS)
    for name in rng.sample(HEADERS, rng.choice((0, 0, 1, 2))):
        headers[name] = rng.choice(VALUES)
    method = rng.choice(("GET",) * 4 + ("POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "X"))
    body = b""
    if method == "POST":
        body = rng.choice((b"", b"{}", b"[]", b'{"data":[]}', json.dumps(rng.choice(ODD)).encode()))
    lines = [f"{method} {quote(path, safe='/%?=&:~.+')} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if "content-length" not in headers:
        lines.append(f"content-length: {len(body)}")
    yield raw(server, "\r\n".join([*lines, "", ""]).encode() + body)


def bytes_of_any_kind(server: Server, rng: random.Random) -> Answers:
    """What is no HTTP, or hardly."""
    good = (
        f"POST {API}/call/generate HTTP/1.1\r\nhost: {server.url[7:]}\r\ncontent-type: "
        'application/json\r\ncontent-length: 29\r\n\r\n{"data":["bird",null,null]}  '
    ).encode()
    data = damaged(good, rng)
    if rng.random() < 0.2:
        data = rng.choice((
            b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 9,
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3000 + b"\r\n", b"x" * 70_000,
            b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\nx",
            b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ))  # fmt: skip
    yield raw(server, data)


def raw(server: Server, data: bytes) -> tuple[int, str]:
    """What comes back to these bytes, as far as it comes within a moment; 0 if nothing does."""
    got, ends = b"", time.monotonic() + PATIENCE
    with socket.create_connection(server.place, timeout=PATIENCE) as line:
        with contextlib.suppress(OSError):
            line.sendall(data)
        quiet = 0.5  # seconds without a byte: it waits for more of us, or streams
        line.settimeout(quiet)
        with contextlib.suppress(OSError):
            while (piece := line.recv(1 << 16)) and time.monotonic() < ends:
                got += piece
                head, _, body = got.partition(b"\r\n\r\n")
                length = [each for each in head.lower().split(b"\r\n") if b"content-length" in each]
                if length and len(body) >= int(length[0].split(b":")[1]):
                    break
                if got.endswith(b"0\r\n\r\n"):
                    break
    head, _, body = got.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    textual = b"json" in head or b"text/" in head
    return status, body.decode("latin-1") if textual and b"-encoding" not in head.lower() else ""


def upload(server: Server, rng: random.Random) -> Answers:
    """Files by odd names and in odd forms."""
    if rng.random() < 0.5:
        names = ("a.png", "", ".", "..", "\\", "a" * 300 + ".png", *NAMES)
        files = [
            (rng.choice(("files", "files", "file", "")), (rng.choice(names), some_file(rng)))
            for _ in range(rng.choice((0, 1, 1, 3, 40)))
        ]
        request = server.http.build_request("POST", f"{API}/upload", files=files or None)
        data, kind = request.read(), request.headers.get("content-type", "multipart/form-data")
    else:
        head = 'Content-Disposition: form-data; name="files"; filename="a.png"'
        data = f"--x\r\n{head}\r\nContent-Type: image/png\r\n\r\n".encode()
        data += picture_bytes("PNG") + b"\r\n--x--\r\n"
        kind = "multipart/form-data; boundary=x"
    if rng.random() < 0.6:
        data = damaged(data, rng)
    if rng.random() < 0.2:
        kind = rng.choice(("multipart/form-data", "text/plain", "multipart/form-data; boundary=",
                           "multipart/form-data; boundary=x; charset=utf-99", "x"))  # fmt: skip
    params = {"upload_id": rng.choice(("a", "", "b" * 300))} if rng.random() < 0.3 else None
    path = f"{API}/upload"
    answer = server.http.post(path, content=data, headers={"content-type": kind}, params=params)
    yield told(answer)


def login(server: Server, rng: random.Random) -> Answers:
    """Somebody without the password."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
        for _ in range(2):
            name = rng.choice(("access-token", "access-token-unsecure", "x"))
            name, value = f"{name}-{rng.choice(('x', '', 'a' * 99))}", quote(rng.choice(VALUES))
            http.cookies.set(name, value)
        if rng.random() < 0.08:  # each takes its time
            user, password = rng.choice(("a", "\0", "b" * 9999)), str(rng.choice(ODD))
            form = {"username": user, "password": password}
            yield told(http.post("/login", data=form if rng.random() < 0.8 else {}))
            return
        method = rng.choice(("GET", "POST"))
        path = rng.choice([each for each in PATHS if each not in ("/login", "/logout")])
        if path.endswith(("=", "/")):
            path += quote(rng.choice(NAMES))
        body = json.dumps({"data": [None] * 3, "fn_index": 1, "session_hash": "x"})
        kind = {"content-type": "application/json"}
        with http.stream(method, path, content=body, headers=kind) as stream:
            text = next(stream.iter_text(), "") if "heartbeat" in path else stream.read().decode()
        yield stream.status_code, text
        if stream.status_code == 200 and path.startswith(API) and not _open(path):
            yield 599, f"{method} {path} without a password: {text[:200]}"


def _open(path: str) -> bool:
    """Whether a page is for everybody, since it says nothing."""
    from app.guard import OPEN

    return path.split("?")[0].removeprefix(API) in OPEN


KINDS: dict[str, Callable[[Server, random.Random], Answers]] = {
    "endpoint": endpoint, "window": window, "page": page, "bytes": bytes_of_any_kind,
    "upload": upload, "login": login,
}  # fmt: skip
SHARES = {"endpoint": 6, "window": 6, "page": 6, "bytes": 2, "upload": 2, "login": 3}
