"""The benchmark's table: every shape, task, mask and number of variations, ours beside plain."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import torch

from engine.benchmark.measure import AUTOCAST, OURS, PLAIN, Case, in_own_process, matmul_peak
from engine.device import choose_precision

TASKS = ((False, "inpaint"), (True, "edit_class"))
COLUMNS = ("model", "task", "n", "mask", "ours s", "plain s", "autocast s", "x plain", "x autocast",
           "MB", "plain MB", "of peak", "parts")  # fmt: skip


def rows(
    models: list[str],
    *,
    variations: tuple[int, ...],
    masks: tuple[float, ...],
    repeats: int,
    device: str,
    precision: str,
    peak: float,
) -> Iterator[dict[str, Any]]:
    """One dictionary a row, as ``bench --json`` prints them. The plain algorithm's cost does not
    depend on the mask, so it is measured once for each task and number of variations."""
    for model in models:
        for labelled, task in TASKS:
            for count in variations:

                def run(
                    implementation: str,
                    mask: float,
                    model: str = model,
                    labelled: bool = labelled,
                    count: int = count,
                ) -> dict[str, Any]:
                    case = Case(
                        model, implementation, labelled, count, mask, repeats, device, precision
                    )
                    return in_own_process(case)

                plain, autocast = run(PLAIN, 0.25), run(AUTOCAST, 0.25)
                for mask in masks:
                    yield _row(
                        {"model": model, "task": task, "labelled": labelled,
                         "variations": count, "mask": mask, "mode": "exact"},
                        run(OURS, mask), plain, autocast, peak,
                    )  # fmt: skip


def _row(
    row: dict[str, Any],
    ours: dict[str, Any],
    plain: dict[str, Any],
    autocast: dict[str, Any],
    peak: float,
) -> dict[str, Any]:
    if "skipped" in ours:
        return {**row, "skipped": ours["skipped"]}
    seconds = ours["seconds"]
    inside = ours["parts"].get("transformer", 0.0) + ours["parts"].get("head", 0.0)
    return {
        **row,
        "precision": ours["precision"],
        "seconds": seconds,
        "plain_seconds": plain.get("seconds"),
        "plain_autocast_seconds": autocast.get("seconds"),
        "speedup": plain["seconds"] / seconds if "seconds" in plain else None,
        "speedup_autocast": autocast["seconds"] / seconds if "seconds" in autocast else None,
        "peak_mb": ours["peak_mb"],
        "plain_peak_mb": plain.get("peak_mb"),
        "share_of_peak": ours["flop"] / inside / peak if inside else None,
        "parts": ours["parts"],
        "plain_skipped": plain.get("skipped"),
    }


def bench(
    models: list[str],
    *,
    device: str,
    precision: str,
    quick: bool,
    as_json: bool,
) -> None:
    """Run the benchmark and print its table, or one JSON object."""
    dtype = choose_precision(precision, torch.device(device))
    peak = matmul_peak(device, dtype)
    variations, masks, repeats = ((1,), (0.25,), 3) if quick else ((1, 4), (0.05, 0.25, 1.0), 3)
    found = []
    if not as_json:
        print(f"matrix product peak {peak / 1e12:.3f} TFLOP/s ({dtype}, {device})")
        print(" | ".join(COLUMNS))
    for row in rows(
        models,
        variations=variations,
        masks=masks,
        repeats=repeats,
        device=device,
        precision=precision,
        peak=peak,
    ):
        found.append(row)
        if not as_json:
            print(_line(row))
            sys.stdout.flush()
    if as_json:
        print(json.dumps({"matmul_peak_tflops": peak / 1e12, "rows": found}))


def _line(row: dict[str, Any]) -> str:
    head = [row["model"], row["task"], row["variations"], f"{row['mask']:.0%}"]
    if "skipped" in row:
        return " | ".join(map(str, [*head, f"skipped: {row['skipped']}"]))

    def number(key: str, form: str) -> str:
        return "-" if row[key] is None else format(row[key], form)

    parts = ", ".join(f"{name} {value:.2f}" for name, value in row["parts"].items())
    cells = [
        number("seconds", ".2f"),
        number("plain_seconds", ".2f"),
        number("plain_autocast_seconds", ".2f"),
        number("speedup", ".1f"),
        number("speedup_autocast", ".1f"),
        number("peak_mb", ".0f"),
        number("plain_peak_mb", ".0f"),
        number("share_of_peak", ".0%"),
        parts,
    ]
    return " | ".join(map(str, [*head, *cells]))
