"""``python -m engine bench``."""

from __future__ import annotations

from typing import Annotated

import typer

from engine import RequestError
from engine.request.flags import DeviceOpt, JsonOpt, PrecisionOpt


def main(
    models: Annotated[
        str, typer.Option("--models", help="Such as bundled, d16-256, d30+d16@8; commas between.")
    ] = "bundled,d16-256",
    quick: Annotated[bool, typer.Option(help="One variation, one mask.")] = False,
    window: Annotated[
        bool, typer.Option("--window", help="Time the window instead, in a browser.")
    ] = False,
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = "auto",
    as_json: JsonOpt = False,
) -> None:
    """Time edits against a plain implementation of the authors' algorithm, in one run."""
    from engine.machine.device import choose_device

    if window:
        from engine.benchmark.in_browser import bench_window

        bench_window(str(choose_device(device)), as_json=as_json)
        return
    from engine.benchmark.measure import MODELS
    from engine.benchmark.table import bench as run

    chosen = [name.strip() for name in models.split(",") if name.strip()]
    for name in chosen:
        if name not in MODELS:
            raise RequestError(f"unknown shape {name!r}; known: {', '.join(MODELS)}")
    where = str(choose_device(device))
    run(chosen, device=where, precision=precision, quick=quick, as_json=as_json)
