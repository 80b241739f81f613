"""The benchmark's table: every shape, task, mask and number of variations, ours beside plain.

Memory is the peak above an empty process. On a CPU it is what the process has in memory, so that
weights which ours holds in a mapped file (`engine.machine.shelf`) do not count while they are not;
the plain algorithm, which reads them at every scale, has them in memory all the time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from engine.benchmark.measure import (
    ALONE,
    AUTOCAST,
    EXACT,
    FAST,
    OURS,
    PLAIN,
    REROLL,
    Case,
    in_own_process,
)
from engine.benchmark.meter import matmul_peak, read_rate
from engine.machine.device import choose_precision, cpu_has_bfloat16

TASKS = ((False, "inpaint"), (True, "edit_class"))
COLUMNS = ("model", "task", "n", "mask", "mode", "ours s", "plain s", "autocast s", "x plain",
           "x autocast", "MB", "plain MB", "GFLOP", "of peak", "parts")  # fmt: skip
REPEATS = 5
FASTEST = f"seconds are those of the fastest of {REPEATS} runs, after one to warm up"
MEMORY = "MB is peak memory; weights in a mapped file count only while they are in memory"
NO_BFLOAT16 = "this processor emulates bfloat16, far slower than float32"
ONE_ONLY = "the plain algorithm is that of one VAR; the fast mode too"
NEAR_MASK = 0.1  # the fast mode's mask, beside those of the exact mode


@dataclass(frozen=True)
class Machine:
    """Where it runs, and what that can do: FLOP/s of a matrix product, bytes/s read."""

    device: str
    precision: str
    peak: float
    reads: float


def autocasts(device: str) -> bool:
    """Whether the plain algorithm under autocast is worth a measurement."""
    return device != "cpu" or cpu_has_bfloat16()


def rows(
    models: list[str],
    *,
    variations: tuple[int, ...],
    masks: tuple[float, ...],
    repeats: int,
    machine: Machine,
) -> Iterator[dict[str, Any]]:
    """One dictionary a row, as ``bench --json`` prints them. The plain algorithm's cost does not
    depend on the mask, so it is measured once for each task and number of variations."""
    for model in models:
        for labelled, task in TASKS:
            for count in variations:

                def run(
                    implementation: str,
                    mask: float,
                    mode: str = EXACT,
                    model: str = model,
                    labelled: bool = labelled,
                    count: int = count,
                ) -> dict[str, Any]:
                    case = Case(
                        model,
                        implementation,
                        labelled,
                        count,
                        mask,
                        repeats,
                        machine.device,
                        machine.precision,
                        mode,
                        profile=mode == EXACT and count == 1 and mask == masks[len(masks) // 2],
                    )
                    return in_own_process(case)

                plain, autocast = {"skipped": ONE_ONLY}, {"skipped": ONE_ONLY}
                wanted = [(mask, EXACT) for mask in masks]
                again = [REROLL]
                if model in ALONE:
                    plain, autocast = run(PLAIN, 0.25), {"skipped": NO_BFLOAT16}
                    if autocasts(machine.device):
                        autocast = run(AUTOCAST, 0.25)
                    wanted, again = [*wanted, (NEAR_MASK, FAST)], [FAST, REROLL]
                if count == 1:
                    wanted += [(masks[len(masks) // 2], mode) for mode in again]
                for mask, mode in wanted:
                    yield _row(
                        {"model": model, "task": task, "labelled": labelled,
                         "variations": count, "mask": mask, "mode": mode},
                        run(OURS, mask, mode), plain, autocast, machine,
                    )  # fmt: skip


def _row(
    row: dict[str, Any],
    ours: dict[str, Any],
    plain: dict[str, Any],
    autocast: dict[str, Any],
    machine: Machine,
) -> dict[str, Any]:
    if "skipped" in ours:
        return {**row, "skipped": ours["skipped"]}
    seconds, inside = ours["seconds"], ours["transformer"]
    flop = sum(ours["flop"].values())
    before = ours.get("exact_transformer")
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
        "gflop": flop / 1e9,
        "share_of_peak": flop / inside / machine.peak if inside else None,
        "parts": ours["parts"],
        "scales": scales(ours, machine),
        "transformer_of_exact": inside / before if before else None,
        "seconds_of_exact": seconds / ours["exact_seconds"] if before else None,
        "profile": ours.get("profile"),
        "alone": ours.get("alone"),
        "plain_skipped": plain.get("skipped"),
        "plain_autocast_skipped": autocast.get("skipped"),
    }


def scales(ours: dict[str, Any], machine: Machine) -> list[dict[str, Any]]:
    """Of each run of the transformer: time, operations, share of the peak, and the share of its
    time that reading the weights once would take by itself."""
    found = []
    for name, flop in ours["flop"].items():
        taken = ours["parts"].get(name, 0.0)
        if name == "head" or not taken:
            continue
        reading = ours["weight_bytes"] / machine.reads
        found.append(
            {
                "side": int(name.removeprefix("scale ")),
                "seconds": taken,
                "gflop": flop / 1e9,
                "share_of_peak": flop / taken / machine.peak,
                "share_of_reading": reading / taken,
            }
        )
    return found


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
    machine = Machine(device, precision, matmul_peak(device, dtype), read_rate(device))
    variations, masks = ((1,), (0.25,)) if quick else ((1, 4), (0.05, 0.25, 1.0))
    found = []
    if not as_json:
        print(
            f"matrix product peak {machine.peak / 1e12:.3f} TFLOP/s, memory read at "
            f"{machine.reads / 1e9:.1f} GB/s ({dtype}, {device})"
        )
        if not autocasts(device):
            print(f"autocast is left out: {NO_BFLOAT16}")
        print(FASTEST)
        print(MEMORY)
        print(" | ".join(COLUMNS))
    for row in rows(
        models, variations=variations, masks=masks, repeats=REPEATS, machine=machine
    ):
        found.append(row)
        if not as_json:
            print("\n".join(lines(row)))
            sys.stdout.flush()
    if as_json:
        print(
            json.dumps(
                {
                    "matmul_peak_tflops": machine.peak / 1e12,
                    "read_gb_per_s": machine.reads / 1e9,
                    "rows": found,
                }
            )
        )


def lines(row: dict[str, Any]) -> Iterator[str]:
    """A row for the reader; under a profiled one, where its time goes."""
    head = [row["model"], row["task"], row["variations"], f"{row['mask']:.0%}", row["mode"]]
    if "skipped" in row:
        yield " | ".join(map(str, [*head, f"skipped: {row['skipped']}"]))
        return

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
        number("gflop", ".0f"),
        number("share_of_peak", ".0%"),
        parts,
    ]
    yield " | ".join(map(str, [*head, *cells]))
    if row["transformer_of_exact"] is not None:
        yield (
            f"    of the exact mode: {row['transformer_of_exact']:.2f} of its transformer's time, "
            f"{row['seconds_of_exact']:.2f} of all"
        )
    if (alone := row["alone"]) and alone["layers"]:
        yield (
            f"    the same at any batch size: {alone['by_row']} of {alone['layers']} matrices row "
            f"by row here; {alone['together']:.2f} s with none, {alone['row_by_row']:.2f} s with "
            "all of them"
        )
    if row["profile"]:
        each = ", ".join(
            f"{scale['side']}: {scale['share_of_peak']:.0%} of peak, reading the weights "
            f"{scale['share_of_reading']:.0%}"
            for scale in row["scales"]
        )
        yield f"    by scale: {each}"
        named = ", ".join(f"{name} {share:.0%}" for name, share in row["profile"])
        yield f"    where time goes: {named}"
