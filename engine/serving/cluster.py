"""The rows of a batch spread over a Ray cluster: an actor a core group or GPU.

Rows go out in blocks of some that follow each other. An actor that dies with its process or its
machine is begun again elsewhere and its block is done again, which makes the same files; one that
cannot be begun again is not waited for once others have nothing left to do.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from engine import EngineError, RequestError
from engine.serving.jobs import Row
from engine.serving.work import Entry, Setting, Worker

BLOCK = 4  # rows that go out together
AHEAD = 2  # blocks that an actor has, so that it never waits for the next
TRIES = 5  # how often a block is begun again where its actor died; then its rows are, each alone
GONE = 16  # rows one after the other whose workers died: then it is not for the rows
ANSWER = 5.0  # seconds for a cluster to answer
PATIENCE = 0.5  # seconds between two looks at who is done

# On a busy machine Serve takes its own HTTP for dead, which only has not begun yet.
PATIENT = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}
# What it says where there is no door: `engine.serving.lost`.
PROXY = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "engine.serving.lost.middlewares"}

ROOT = Path(__file__).resolve().parents[2]


def spread(
    rows: Iterator[Row], setting: Setting, address: str, *, workers: int = 0, gpus: float = 0.0
) -> Iterator[Entry]:
    """The entries of rows, in the order in which they are done.

    ``address`` is that of a cluster, "auto" for the one that is there, or "local" for one on this
    machine only, which ends with the batch. ``workers`` 0: as many as the cluster has room for. A
    worker has ``setting.threads`` cores, or one, and so many ``gpus``.
    """
    ray = connected(address)
    cores = setting.threads or 1
    try:
        number = workers or _room(ray, cores, gpus)
        kind = ray.remote(num_cpus=cores, num_gpus=gpus, max_restarts=-1, max_task_retries=TRIES)(
            Worker
        )
        actors = [kind.remote(setting) for _ in range(number)]
        _begin(ray, actors[0])
        yield from _work(ray, actors, rows)
    finally:
        ray.shutdown()


def connected(address: str, flag: str = "--ray") -> Any:
    """Ray, connected to a cluster that ``flag`` names. Raises RequestError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise RequestError(
            f"{flag}: needs the package ray; run: pip install 'ray[serve]'"
        ) from None
    where: dict[str, Any] = {"address": address}  # "local" too, or Ray takes one that it finds
    if address == "local":
        where["include_dashboard"] = False
    try:
        if address not in ("local", "auto"):
            _answers(address)
        ray.init(
            **where,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), **PATIENT, **PROXY}},
        )
    except ray.exceptions.AuthenticationError:
        raise RequestError(
            f"{flag}: the cluster at {address!r} asks for a token; copy its ~/.ray/auth_token to "
            "here, and set RAY_AUTH_MODE=token"
        ) from None
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        why = " ".join(str(error).split())[:120]
        raise RequestError(f"{flag}: no cluster at {address!r} ({why}); give its address") from None
    return ray


def _answers(address: str) -> None:
    """Whether anybody listens there, at once: Ray would go on trying. OSError or ValueError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=ANSWER):
        pass


def _room(ray: Any, cores: int, gpus: float) -> int:
    """How many workers a cluster has room for."""
    has = ray.cluster_resources()
    number = int(has.get("CPU", 0) // cores)
    if gpus:
        number = min(number, int(has.get("GPU", 0) // gpus))
    if number < 1:
        raise RequestError(
            f"--ray: the cluster has {has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs; a "
            f"worker needs {cores} and {gpus:g}: give fewer --threads or --gpus"
        )
    return number


def _begin(ray: Any, actor: Any) -> None:
    """Wait for the first worker's model, whose error is everybody's."""
    try:
        ray.get(actor.ready.remote())
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, EngineError):
            raise cause from None
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise RequestError(f"--ray: no worker could be begun ({lines[-1].strip()})") from None


def _work(ray: Any, actors: list[Any], rows: Iterator[Row]) -> Iterator[Entry]:
    """Hand out blocks, take in entries; each row's once."""
    asked: dict[Any, tuple[int, list[Row]]] = {}  # what is on its way -> whose, which rows
    busy = [0] * len(actors)
    open_rows: set[int] = set()
    lost: list[Entry] = []  # since the last row that was done

    def send(actor: int, block: list[Row]) -> None:
        asked[actors[actor].carry_out.remote(block)] = (actor, block)
        busy[actor] += 1

    while True:
        while min(busy) < AHEAD and (block := list(islice(rows, BLOCK))):
            open_rows.update(row.number for row in block)
            send(busy.index(min(busy)), block)
        if len(open_rows) == len(lost):
            yield from lost
            return
        done, _ = ray.wait(list(asked), timeout=PATIENCE)
        for each in done:
            actor, block = asked.pop(each)
            busy[actor] -= 1
            entries = _entries(ray, each, block)
            if entries is None and len(block) > 1:  # each alone, if nobody else has them
                if all(other is not block for _, other in asked.values()):
                    for row in block:
                        if row.number in open_rows:
                            send(actor, [row])
                continue
            if entries is None:
                lost += [_lost(row) for row in block if row.number in open_rows]
                if len(lost) >= GONE:
                    raise RequestError(
                        f"--ray: {len(lost)} rows one after the other lost their workers; see "
                        "whether the cluster is there, and run the same again to go on"
                    )
                entries = []
            elif lost:  # somebody is still there, so it was for these rows
                entries = [*entries, *lost]
                lost.clear()
            for entry in entries:
                if entry["row"] in open_rows:
                    open_rows.remove(entry["row"])
                    yield entry
        idle = [actor for actor, number in enumerate(busy) if not number]
        late = [block for actor, block in asked.values() if block[0].number in open_rows]
        if idle and late and not done:  # rows have run out: somebody may never come back
            twice = [block for block in late if _once(asked, block)]
            for actor, block in zip(idle, twice, strict=False):
                send(actor, block)


def _once(asked: dict[Any, tuple[int, list[Row]]], block: list[Row]) -> bool:
    """Whether a block is on its way to one actor only."""
    return sum(other is block for _, other in asked.values()) == 1


def _entries(ray: Any, done: Any, block: list[Row]) -> list[Entry] | None:
    """What became of a block; None where its workers died as often as they may."""
    try:
        entries: list[Entry] = ray.get(done)
        return entries
    except ray.exceptions.RayActorError:
        return None
    except ray.exceptions.RayError as error:
        why = f"Ray failed ({type(error).__name__}); try again with --retry-failed"
        return [{"row": row.number, "asked": "", "error": why} for row in block]


def _lost(row: Row) -> Entry:
    why = f"its worker died {TRIES + 1} times; try again with --retry-failed"
    return {"row": row.number, "asked": "", "error": why}
