"""A service: what it is set to."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import RequestError
from engine.serving.bounds import GIGABYTE, WAITING, Bounds

NAME = "varpaint"  # of the application
REPLICA = "Replica"  # of the deployment that edits


class Service(BaseModel):
    """What a service is set to; in flags, a file, and ``args`` of a deployment.

    ``max`` 0 stands for as many replicas as the cluster has room for. ``target`` is how many edits,
    with those that wait, there may be to a replica before there is another. A replica computes in
    ``threads`` threads and has as many cores, and ``gpus``. ``waiting`` are the edits that wait or
    run at a door before it refuses more. ``work`` and ``memory`` (GB) are what one edit may take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "auto"
    device: str = "auto"
    min: int = Field(1, ge=1)
    max: int = Field(0, ge=0)
    target: float = Field(2.0, gt=0)
    threads: int = Field(1, ge=1)
    gpus: float = Field(0.0, ge=0)
    doors: int = Field(1, ge=1)
    waiting: int = Field(WAITING, ge=1)
    work: int = Field(Bounds.work, ge=1)
    memory: float = Field(Bounds.memory / GIGABYTE, gt=0)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.work, int(self.memory * GIGABYTE))

    @classmethod
    def of(cls, given: dict[str, Any], whence: str = "") -> Service:
        """Raises RequestError, which says where the values are from."""
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            words = f"{name}: {first['msg'].lower()}"
            if first["type"] == "extra_forbidden":
                words = f"{name}: unknown; known: {', '.join(cls.model_fields)}"
            raise RequestError(f"{whence}{words}") from None

    @classmethod
    def read(cls, path: Path | None, flags: dict[str, Any]) -> Service:
        """From a file in YAML, or none, and flags that go before it. Raises RequestError."""
        given: Any = {}
        if path is not None:
            import yaml

            try:
                given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            except (OSError, ValueError, yaml.YAMLError) as error:
                why = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
                raise RequestError(f"--config: {path} cannot be read ({why})") from None
            if not isinstance(given, dict):
                raise RequestError(f"--config: {path}: expected lines such as 'max: 4'")
        said = {name: value for name, value in flags.items() if value is not None}
        return cls.of({**given, **said}, "" if path is None else f"{path}: ")


def serving(flag: str) -> Any:
    """Ray's Serve, for what ``flag`` asked for. Raises RequestError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        serve = import_module("ray.serve")
    except ImportError:
        raise RequestError(f"{flag}: needs Ray's Serve; run: pip install 'ray[serve]'") from None
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    return serve
