"""Start the window: flags, model, launch.

    python app.py [--host H] [--port P] [--model M] [--device D] [--share] [--no-browser]
                  [--auth USER:PASSWORD] [--mcp]
"""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import os
import secrets
import signal
import sys
from typing import Any

QUEUE_SIZE = 32
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
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask for a password")
    parser.add_argument("--mcp", action="store_true",
                        help="offer the endpoints as tools of an MCP server too")  # fmt: skip
    flags = parser.parse_args(arguments)
    if flags.auth is not None and not all(flags.auth.partition(":")[::2]):
        parser.error("--auth: expected USER:PASSWORD")
    if flags.mcp and importlib.util.find_spec("mcp") is None:
        parser.error("--mcp: needs the package mcp; run: pip install 'gradio[mcp]'")
    return flags


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


def main(arguments: list[str] | None = None) -> None:
    flags = parse(arguments)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    auth = login(flags)

    from app.backend import Local
    from app.layout import build_window, launch_options

    backend = Local(flags.model, flags.device)
    window = build_window(backend)
    window.queue(max_size=QUEUE_SIZE, api_open=None)
    launch(
        window,
        server_name=flags.host,
        server_port=flags.port,
        share=flags.share,
        inbrowser=flags.browser,
        auth=auth,
        prevent_thread_lock=True,
        mcp_server=flags.mcp,
        **launch_options(),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that temporary files go
    backend.start()
    window.block_thread()


if __name__ == "__main__":
    main()
