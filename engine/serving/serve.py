"""``python -m engine serve``."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import RequestError
from engine.serving.application import application
from engine.serving.cluster import connected
from engine.serving.service import NAME, Service, serving

PATIENCE = 120.0  # seconds for Serve's HTTP to be there once its application is


def main(
    ray: Annotated[
        str, typer.Option(help="The cluster: its address, auto, or local for one begun here.")
    ] = "local",
    config: Annotated[
        Path | None, typer.Option(help="A file with what the flags below say; flags go before.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of HTTP.")] = 8000,
    model: Annotated[str | None, typer.Option(help="A name, or a folder on each machine.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda.")] = None,
    least: Annotated[int | None, typer.Option("--min", help="Replicas at least.")] = None,
    most: Annotated[
        int | None, typer.Option("--max", help="At most; 0: as many as there is room for.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Edits, with those that wait, to a replica.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of a replica, and cores.")] = None,
    gpus: Annotated[float | None, typer.Option(help="Of a replica.")] = None,
    doors: Annotated[int | None, typer.Option(help="Processes that speak HTTP.")] = None,
    waiting: Annotated[
        int | None, typer.Option(help="Edits at a door before it refuses more.")
    ] = None,
    work: Annotated[
        int | None, typer.Option(help="Scales drawn that an edit may cost: see docs/http.md.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="GB that the pictures of an edit may take.")
    ] = None,
) -> None:
    """Serve edits over HTTP, with replicas on a cluster that scale with the queue."""
    service = Service.read(config, {
        "model": model, "device": device, "min": least, "max": most, "target": target,
        "threads": threads, "gpus": gpus, "doors": doors, "waiting": waiting, "work": work,
        "memory": memory,
    })  # fmt: skip
    serve = serving("serve")
    cluster = connected(ray)
    try:
        _begin(serve, service, host, port)
        print(f"http://{host}:{port} answers; Ctrl+C ends it", flush=True)
        _until_told()
        serve.delete(NAME) if ray != "local" else serve.shutdown()
    finally:
        with suppress(Exception):
            cluster.shutdown()


def _begin(serve: Any, service: Service, host: str, port: int) -> None:
    """Bring the application up, with its models loaded. Raises RequestError."""
    from ray.exceptions import RayError

    http = {"host": host, "port": port}
    try:
        with suppress(TimeoutError):  # it goes on beginning, and is waited for below
            serve.start(proxy_location="HeadOnly", http_options=http)
        serve.start(proxy_location="HeadOnly", http_options=http)
        serve.run(application(service), name=NAME, route_prefix="/")
        _wait_for_http(host, port)
    except (RayError, RuntimeError, OSError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        told = [line for line in lines if "Error:" in line] or lines
        raise RequestError(f"serve: it could not be begun ({told[-1].strip()[:200]})") from None


def _wait_for_http(host: str, port: int) -> None:
    """Until somebody listens. OSError if nobody does for a long time."""
    end = time.monotonic() + PATIENCE
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while True:
        try:
            with socket.create_connection((here, port), timeout=1.0):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _until_told() -> None:
    """Until Ctrl+C, SIGTERM or SIGHUP."""
    end = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: end.set())
    while not end.wait(1.0):
        pass
