"""What the parts of a batch on a cluster take, and where its rate bends (`tests/fleet.py scaling`).

A worker makes an edit in ``edit`` seconds and begins after ``load``; the driver spends ``row`` on
each row: reading it, handing it out in its block, taking in and reporting what came of it. With W
workers the rate is the smaller of W / edit and 1 / row. All are a core's time, not the clock's: on
a machine that others use, too, they say the same.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
FEW = 20_000  # rows through Ray


class Passing:
    """A worker that does nothing to its rows but to answer for them."""

    def carry_out(self, rows: list[Any]) -> list[dict[str, Any]]:
        return [_entry(row) for row in rows]


def _entry(row: Any) -> dict[str, Any]:
    return {
        "row": row.number, "asked": row.fingerprint({}), "name": row.name,
        "files": [], "seeds": [1], "seconds": 0.5, "threads": 1, "notes": [],
    }  # fmt: skip


def _one(each: Iterator[Any]) -> Iterator[list[Any]]:
    return ([row] for row in each)


def _only(entries: list[Any]) -> Any:
    (entry,) = entries
    return entry


def rows_of(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for number in range(count):
            said = {"image": f"photos/{number % 5000:07}.jpg", "mask": "mask.png",
                    "out": f"made/{number:07}", "options": {"seed": number}}  # fmt: skip
            file.write(json.dumps(said) + "\n")
    return path


def peak() -> float:
    """Of this process's memory, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measured(folder: Path, model: str, job: Path, count: int) -> list[str]:
    from engine.serving.batch import carry_out
    from engine.serving.cluster import _work
    from engine.serving.jobs import rows
    from engine.serving.work import Setting, Worker
    from tests.serving.fleet import cluster

    faults = []
    path = rows_of(folder / "many.jsonl", count)

    def passed(each: Iterator[Any]) -> Iterator[dict[str, Any]]:
        yield from map(_entry, each)

    setting = Setting(folder / "passed")
    began = time.process_time()
    summary = carry_out(rows(str(path)), setting, passed)
    driver = (time.process_time() - began) / count
    print(f"{summary.done:,} rows streamed: {1e6 * driver:.0f} us a row, the process had "
          f"{peak():.0f} MB at most", flush=True)  # fmt: skip
    began = time.perf_counter()
    kept = carry_out(rows(str(path)), setting, passed)
    print(f"begun again, {kept.kept:,} are known in {time.perf_counter() - began:.0f} s, "
          f"{peak():.0f} MB", flush=True)  # fmt: skip
    if peak() > 1000 or summary.done != count or kept.kept != count:
        faults.append("the driver took more than 1 GB, or lost a row")
    path = rows_of(folder / "few.jsonl", FEW)
    with cluster(2) as nodes:
        import ray

        from engine.serving.cluster import connected

        connected(nodes.address)
        actors = [ray.remote(num_cpus=1)(Passing).remote() for _ in range(2)]
        ray.get([each.carry_out.remote([]) for each in actors])

        def spread(each: Iterator[Any]) -> Iterator[dict[str, Any]]:
            return _work(ray, actors, each)

        began = time.process_time()
        carry_out(rows(str(path)), Setting(folder / "spread"), spread)
        row = (time.process_time() - began) / FEW
        ray.shutdown()
    print(f"through Ray: {1e6 * row:.0f} us of the driver's time a row", flush=True)
    setting = Setting(folder / "made", model=model, device="cpu", threads=1)
    began = time.process_time()
    worker = Worker(setting)
    load = time.process_time() - began
    began = time.process_time()
    done = carry_out(
        rows(str(job)), setting, lambda each: map(_only, map(worker.carry_out, _one(each)))
    )
    edit = (time.process_time() - began) / done.done
    print(f"a worker loads in {load:.1f} s and takes {edit:.2f} s an edit; it bends at "
          f"{edit / row:.0f} workers, {1 / row:.0f} edits/s")  # fmt: skip
    print("| workers | edits a second | of what they could | 100,000 edits take |")
    print("|---|---|---|---|")
    for number in WORKERS:
        rate = min(number / edit, 1 / row)
        hours = (load + 100_000 / rate) / 3600
        print(f"| {number:,} | {rate:,.1f} | {rate * edit / number:.0%} | {hours:.2f} h |")
    return faults
