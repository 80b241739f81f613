"""Start the window: flags, model, launch.

    python app.py [--host H] [--port P] [--model M] [--device D] [--share] [--no-browser]
                  [--auth USER:PASSWORD] [--auth-file FILE] [--allow-host NAME] [--mcp]
                  [--most-work N] [--memory GB] [--fleet ADDRESS]
                  [--downloads | --no-downloads] [--no-keep] [--keep-size GB] [--keep-days N]

A password is better given in a file, or as VARPAINT_AUTH in the environment: whoever can list the
processes of a machine can read their flags.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import ipaddress
import os
import secrets
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

QUEUE_SIZE = 256  # events of all windows; calls over HTTP have a bound of their own
WINDOWS = 2000  # open at a time; those unused longest begin anew
AUTH = "VARPAINT_AUTH"  # user and password in the environment
ARENA_MAX = -8  # a parameter of mallopt(3)
LOOKS = 5  # how often the page is looked for at the start


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags; a mistake ends the program with one line."""
    parser = argparse.ArgumentParser(description="varpaint: an image editor in the browser")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, help="the first free one from 7860 if not given")
    parser.add_argument("--model", default="auto", help="a model's name or folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--share", action="store_true", help="a public link through Gradio")
    parser.add_argument("--browser", action=argparse.BooleanOptionalAction, default=True,
                        help="open the browser")  # fmt: skip
    parser.add_argument("--auth", metavar="USER:PASSWORD", default=os.environ.get(AUTH),
                        help=f"ask for a password; better as {AUTH} in the environment, or ...")
    parser.add_argument("--auth-file", metavar="FILE", type=Path,
                        help="... as the first line of a file")
    parser.add_argument("--allow-host", metavar="NAME", action="append", default=[],
                        help="a name that the server is asked for by, such as a proxy's; "
                        "may be repeated")
    parser.add_argument("--most-work", metavar="N", type=_count, default=20_000,
                        help="scales that one edit may draw: frames x variations x scales")
    parser.add_argument("--memory", metavar="GB", type=_gigabytes, default=4.0,
                        help="what pictures may take of the memory, all together")
    parser.add_argument("--fleet", metavar="ADDRESS",
                        help="edit on the replicas of a service (python -m engine serve) on the "
                        "Ray cluster there, or auto")  # fmt: skip
    parser.add_argument("--downloads", action=argparse.BooleanOptionalAction,
                        help="models may be fetched and removed from the window; if not given, "
                        "where only this machine can reach it")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True,
                        help="keep the work of windows on disk, so that it outlives the server")
    parser.add_argument("--keep-size", metavar="GB", type=_gigabytes, default=4.0,
                        help="of that; what was unused longest goes first")
    parser.add_argument("--keep-days", metavar="N", type=_count, default=7,
                        help="without use after which it is removed")
    parser.add_argument("--mcp", action="store_true",
                        help="offer the endpoints as tools of an MCP server too")  # fmt: skip
    flags = parser.parse_args(arguments)
    if flags.auth_file is not None:
        try:
            flags.auth = (flags.auth_file.read_text(encoding="utf-8").splitlines() or [""])[0]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            parser.error(f"--auth-file: {flags.auth_file} cannot be read ({reason})")
    if flags.auth is not None and not all(flags.auth.partition(":")[::2]):
        parser.error("--auth: expected USER:PASSWORD")
    if flags.fleet is not None and (flags.model, flags.device) != ("auto", "auto"):
        parser.error("--fleet: the service has its own model and device; leave out --model and "
                     "--device")
    if flags.fleet is not None and flags.downloads:
        parser.error("--downloads: the service's machines have their own models; leave it out")
    if flags.downloads is None:  # behind a proxy are others, too; a fleet has its own models
        alone = _only_here(flags.host) and not (flags.share or flags.allow_host)
        flags.downloads = alone and flags.fleet is None
    if flags.mcp and (flags.auth or flags.share or not _only_here(flags.host)):
        parser.error("--mcp: its clients cannot log in, so it is for this machine alone; leave out "
                     "--auth, --share and --host")
    if flags.mcp and importlib.util.find_spec("mcp") is None:
        parser.error("--mcp: needs the package mcp; run: pip install 'gradio[mcp]'")
    return flags


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _gigabytes(text: str) -> float:
    number = float(text)
    if not 0.25 <= number <= 1024:
        raise ValueError
    return number


def login(flags: argparse.Namespace) -> tuple[str, str] | None:
    """User and password. Whoever can be reached by others has one, made up if need be."""
    if flags.auth is not None:
        user, _, password = flags.auth.partition(":")
        return user, password
    if flags.share or not _only_here(flags.host):
        password = secrets.token_urlsafe(9)
        print(f"Others can reach this. User: varpaint  Password: {password}", flush=True)
        return "varpaint", password
    return None


def _only_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def launch(window: Any, **options: Any) -> None:
    """Serve the page. Gradio gives up if its own page takes more than 3 s to answer; on a busy
    machine the server is up all the same, and a second look finds it."""
    for patience in reversed(range(LOOKS)):
        try:
            window.launch(**options)
            return
        except OSError as error:
            print(f"error: {error}; choose another with --port", file=sys.stderr)
            raise SystemExit(2) from None
        except ValueError as error:
            if window.is_running and patience:
                continue
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None


def _backend(flags: argparse.Namespace, bounds: Any) -> Any:
    """What edits: this machine, or a fleet."""
    from engine.errors import RequestError

    if flags.fleet is None:
        from app.backend import Local

        return Local(flags.model, flags.device, bounds)
    from app.backend import Fleet

    try:
        return Fleet(flags.fleet, bounds)
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def share_one_heap() -> None:
    """Have all threads share one heap, where the C library is glibc: of its own each would in time
    keep as much as the largest edit that it ever saw. To be called before any thread begins."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(ARENA_MAX, 1)


def main(arguments: list[str] | None = None) -> None:
    share_one_heap()
    flags = parse(arguments)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", str(QUEUE_SIZE))  # of past events
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    auth = login(flags)

    from app.folder import Folder
    from app.limits import DAY, Limits
    from engine.serving.bounds import GIGABYTE

    folder = Folder()
    folder.use()  # before Gradio is imported

    from starlette.middleware import Middleware

    from app.aliases import Aliases
    from app.api import ENDPOINTS
    from app.calls import (
        bound_calls,
        forget_answered,
        forget_callers,
        forget_closed,
        in_one_line,
    )
    from app.downloads import Downloads
    from app.foreword import Foreword
    from app.guard import Guard, Hosts, logged_in
    from app.kept import Kept, home
    from app.layout import build_window, launch_options
    from app.streams import Streams

    limits = Limits(
        work=flags.most_work, memory=int(flags.memory * GIGABYTE),
        kept=int(flags.keep_size * GIGABYTE), kept_age=flags.keep_days * DAY,
    )  # fmt: skip
    hosts = Hosts(flags.host, flags.allow_host)
    backend = _backend(flags, limits.edit)
    downloads = Downloads(allowed=flags.downloads, forget=backend.forget)
    kept = Kept(home() / "sessions", limits) if flags.keep else None
    window = build_window(backend, limits, downloads, kept)
    window.queue(max_size=QUEUE_SIZE, api_open=None)
    bound_calls(window, ENDPOINTS, limits.waiting)
    in_one_line(window)
    forget_callers(window, ENDPOINTS)

    around = [Middleware(Aliases, folder=folder.cache), Middleware(Streams), Middleware(Foreword)]

    @asynccontextmanager
    async def guarded(server: Any) -> Any:
        """The guard stands before all that Gradio puts around its pages, too."""
        guard = Guard(server.middleware_stack, hosts, ENDPOINTS, folder.path, logged_in(server))
        server.middleware_stack = guard
        forget_closed(server.state_holder, alive=guard.alive)
        forget_answered(server.state_holder, window, guard.alive)
        yield

    launch(
        window,
        server_name=flags.host,
        server_port=flags.port,
        share=flags.share,
        inbrowser=flags.browser,
        auth=auth,
        prevent_thread_lock=True,
        mcp_server=flags.mcp,
        app_kwargs={"lifespan": guarded, "middleware": around},
        state_session_capacity=WINDOWS,
        **launch_options(),
    )
    if window.share_url:
        hosts.add(urlsplit(window.share_url).netloc)

    def end(*_: Any) -> None:
        """Nothing is left behind; and the interpreter's own end, which stumbles over networks at
        work, is left out."""
        downloads.close()
        if kept is not None:
            kept.close()
        folder.remove()
        sys.stdout.flush()
        os._exit(0)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    folder.keep_small(limits.cache)
    backend.start()
    window.block_thread()
    end()


if __name__ == "__main__":
    main()
