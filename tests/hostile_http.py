"""Hostile requests to a running server: each is answered, or refused in one line of our own.

    python tests/hostile_http.py [--count 1000] [--seed 7] [--only window]

Two servers with a tiny model, one of them with a password that nobody here knows. What is sent:
calls of the endpoints and events of the window with odd values, uploads, pages and files by odd
names, odd hosts, origins, cookies, tokens and ranges, logins, and bytes that are no HTTP. A case is
made from the seed and its number alone. A failure is: a traceback, in an answer or in the log; a
status of 500; words that say that something broke; a path of the server in an answer; no end after
20 seconds; a server that died, or took more than 2 GB; a file anywhere but in the server's folder;
and, where there is a password, any answer but a refusal.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx

from tests.failures import MEMORY, Failure, told_of
from tests.hostile_requests import KINDS, SHARES, Server

SAID = (200, 204, 206, 301, 302, 303, 304, 307, 308, 100, 101, 0)


def wrong(server: Server, status: int, text: str) -> str:
    """What is wrong with an answer; nothing if nothing is."""
    for secret in server.secrets:
        if secret in text:
            at = text.index(secret)
            return f"says {text[max(at - 100, 0) : at + 100]!r}"
    if status >= 500 and status not in (501, 503, 507):
        return f"status {status}: {text[:300]}"
    if "something broke" in text:
        return text[max(text.index("something broke") - 100, 0) :][:300]
    if status not in SAID and "\n" in text.strip() and "<html" not in text:
        return f"status {status} in many lines: {text[:300]!r}"
    return ""


def run(count: int, seed: int, only: str | None = None) -> tuple[Counter[str], list[Failure]]:
    """How many cases ended how, and the failures."""
    from tests.app.server import save_tiny_model, serving

    ends: Counter[str] = Counter()
    failures: list[Failure] = []
    order = [kind for kind, share in SHARES.items() for _ in range(share)]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        home = Path(name)
        model = save_tiny_model(home)
        servers = {}
        for locked in (False, True):
            place = home / ("locked" if locked else "open")
            (place / "temporary").mkdir(parents=True)
            before, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), str(place / "temporary")
            flags = ["--most-work", "3000", *(["--auth", "ann:long-secret"] if locked else [])]
            url = stack.enter_context(serving(model, place / "log.txt", *flags))
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
            servers[locked] = Server(url, place, place / "log.txt", locked)
            stack.callback(servers[locked].http.close)
        here = _listing(home)
        for number in range(count):
            kind = only or order[number % len(order)]
            server = servers[kind == "login"]
            how, what = _case(server, kind, random.Random(f"{seed}/{number}"))
            stray = [each for each in _listing(home) if each not in here]
            if stray:
                what, here = f"files elsewhere: {stray[:5]}", [*here, *stray]
            if what:
                failures.append(Failure(number, kind, what))
            ends[f"{kind} {'failed' if what else how}"] += 1
            if not server.memory():
                break
    return ends, failures


def _case(server: Server, kind: str, rng: random.Random) -> tuple[str, str]:
    """("taken" or "refused", what is wrong or nothing)."""
    began, how, what = time.monotonic(), "taken", ""
    try:
        for status, text in KINDS[kind](server, rng):
            what = what or wrong(server, status, text)
            if status not in SAID or "event: error" in text or '"success":false' in text:
                how = "refused"
    except httpx.TimeoutException:
        what = f"no answer after {time.monotonic() - began:.0f} s"
    except httpx.TransportError as error:  # it may hang up on what it does not want to read
        how = "refused"
        what = "" if server.memory() else f"{type(error).__name__}: {error}"
    except (httpx.InvalidURL, UnicodeEncodeError, ValueError) as error:  # our own client would not
        how = f"not sent ({type(error).__name__})"
    if not what and "Traceback" in (log := server.news_of_log()):
        what = f"in the log: {log[log.index('Traceback') :][:3000]}"
    peak = server.memory()
    if not peak:
        what = f"the server died; {server.news_of_log()[-2000:]}"
    elif peak > MEMORY:
        what = what or f"{peak:.0f} MB of memory"
    return how, what


def _listing(home: Path) -> list[str]:
    """What lies beside the servers' folders, and at the top of the project."""
    root = Path(__file__).resolve().parents[1]
    inside = [
        str(path) for path in home.rglob("*") if path.relative_to(home).parts[1:2] != ("temporary",)
    ]
    return [*inside, *(str(path) for path in root.iterdir())]


if __name__ == "__main__":
    told_of(__doc__, run, KINDS, count=1000)
