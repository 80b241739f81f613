"""A service: what it is set to, and the Ray Serve application that is made of that.

    serve deploy deploy/serve.yaml        names `application` as its import path
    python -m engine serve                the same from flags (`engine.serving.serve`)

Replicas (`engine.serving.replica`) hold the models and edit; the door (`engine.serving.door`)
speaks HTTP and computes nothing.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import RequestError
from engine.serving.bounds import GIGABYTE, WAITING, Bounds
from engine.serving.cluster import ROOT

NAME = "varpaint"  # of the application
REPLICA = "Replica"  # of the deployment that edits
AT_ONCE = 2  # edits that a replica is given: one at work, one that waits, so that it never does
LONGEST = 600.0  # seconds that an edit under way may go on where its replica is to end


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


def application(args: dict[str, Any] | Service) -> Any:
    """The Serve application of a `Service`, or of its fields."""
    ray: Any = import_module("ray")
    serve: Any = import_module("ray.serve")

    from engine.serving.door import Door
    from engine.serving.replica import Replica

    service = args if isinstance(args, Service) else Service.of(dict(args))
    most = service.max or max(service.min, _room(ray.cluster_resources(), service))
    environment = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(service.threads),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    replicas = serve.deployment(
        Replica,
        name=REPLICA,
        max_ongoing_requests=AT_ONCE,
        autoscaling_config={
            "min_replicas": service.min,
            "max_replicas": max(most, service.min),
            "target_ongoing_requests": service.target,
            "upscale_delay_s": 5.0,
            "downscale_delay_s": 120.0,
        },
        ray_actor_options={
            "num_cpus": service.threads,
            "num_gpus": service.gpus,
            "runtime_env": {"env_vars": environment},
        },
        health_check_period_s=5.0,
        graceful_shutdown_timeout_s=LONGEST,
    ).bind(service)
    doors = serve.deployment(
        Door,
        name="Door",
        num_replicas=service.doors,
        max_ongoing_requests=10 * service.waiting + 100,  # it refuses by itself, with words
        ray_actor_options={"num_cpus": 0, "runtime_env": {"env_vars": environment}},
        health_check_period_s=5.0,
    )
    return doors.bind(replicas, service)


def _room(has: dict[str, float], service: Service) -> int:
    """How many replicas a cluster has room for."""
    number = int(has.get("CPU", 0) // service.threads)
    if service.gpus:
        number = min(number, int(has.get("GPU", 0) // service.gpus))
    return number
