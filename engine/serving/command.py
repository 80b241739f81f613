"""``python -m engine batch``."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from engine import RequestError
from engine.request.flags import Given, levers
from engine.request.options import Task

SUFFIXES = ("png", "jpg", "webp", "tif", "avif")


@levers("inpaint", "outpaint", "edit_class", "generate")
def main(
    given: Given,
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="A folder of pictures, a pattern, or a manifest: .jsonl, .csv, "
            ".parquet."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder for what is made.")],
    masks: Annotated[
        str | None, typer.Option(help="A folder of masks by the pictures' names, or one for all.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="Of rows that name none: inpaint, outpaint, edit_class, generate.")
    ] = "inpaint",
    label: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
    left: Annotated[str, typer.Option(help="Pixels, or percent such as 25%.")] = "0",
    right: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    top: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    bottom: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    kind: Annotated[
        str, typer.Option("--format", help=f"Of the files: {', '.join(SUFFIXES)}.")
    ] = "png",
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP, AVIF.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before.")
    ] = False,
    threads: Annotated[
        int,
        typer.Option(
            "--per-worker-threads", min=0,
            help="Threads of a worker; the same number gives the same bytes. 0: torch's own here, "
            "one on a cluster.",
        ),
    ] = 0,
    ray: Annotated[
        str | None,
        typer.Option(help="Spread it over a cluster: its address, auto, or local."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="On a cluster; 0: as many as there is room for.")
    ] = 0,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of a worker on a cluster.")] = 0.0,
) -> None:
    """Carry out many edits; interrupted, the same command goes on."""
    from tqdm import tqdm

    from engine.serving.batch import carry_out, here
    from engine.serving.cluster import spread
    from engine.serving.jobs import rows
    from engine.serving.work import Entry, Setting

    if kind not in SUFFIXES:
        raise RequestError(f"--format: expected one of {', '.join(SUFFIXES)}, got {kind!r}")
    task = task.replace("-", "_")
    if task not in get_args(Task):
        raise RequestError(f"--task: expected one of {', '.join(get_args(Task))}, got {task!r}")
    margins = {"left": left, "right": right, "top": top, "bottom": bottom}
    defaults: dict[str, Any] = {
        "task": task,
        **({"label": label} if label is not None else {}),
        **{name: amount for name, amount in margins.items() if amount != "0"},
        "options": given.options.model_dump(exclude_unset=True, exclude_none=True, mode="json"),
    }
    setting = Setting(
        folder=out, suffix=f".{kind}", quality=quality, model=given.model, device=given.device,
        precision=given.precision, threads=(threads or 1) if ray else threads, defaults=defaults,
    )  # fmt: skip
    somewhere = here(setting)
    if ray is not None:
        somewhere = partial(spread, setting=setting, address=ray, workers=workers, gpus=gpus)
    with tqdm(unit="edit", file=sys.stderr, disable=None) as bar:

        def tell(entry: Entry) -> None:
            bar.update()
            if "error" in entry:
                bar.write(f"row {entry['row']}: {entry['error']}", file=sys.stderr)

        with redirect_stdout(sys.stderr):  # where Ray says what it sees
            summary = carry_out(
                rows(job, masks), setting, somewhere, retry_failed=retry_failed, tell=tell
            )
    if given.as_json:
        print(json.dumps(asdict(summary)))
    else:
        print(f"{out}: {_told(summary.done, summary.kept, summary.failed)}")
    if summary.failed:
        raise typer.Exit(1)


def _told(done: int, kept: int, failed: int) -> str:
    words = f"{done} done"
    if kept:
        words += f", {kept} there already"
    if failed:
        words += f", {failed} failed: report.jsonl says why; --retry-failed tries again"
    return words
