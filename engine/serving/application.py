"""The Ray Serve application of a service.

    serve deploy deploy/serve.yaml        names `application` as its import path
    python -m engine serve                the same from flags (`engine.serving.serve`)

Replicas (`engine.serving.replica`) hold the models and edit; the door (`engine.serving.door`)
speaks HTTP and computes nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine.serving.cluster import ROOT
from engine.serving.door import Door
from engine.serving.replica import Replica
from engine.serving.service import REPLICA, Service

AT_ONCE = 2  # edits that a replica is given: one at work, one that waits, so that it never does
LONGEST = 600.0  # seconds that an edit under way may go on where its replica is to end


def application(args: dict[str, Any] | Service) -> Any:
    """The Serve application of a `Service`, or of its fields."""
    ray: Any = import_module("ray")
    serve: Any = import_module("ray.serve")

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
