"""``python -m engine evaluate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import RequestError
from engine.flags import Given, levers


@levers("inpaint", "edit_class", model="bundled", without="run")
def main(
    given: Given,
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")] = Path(
        "data/stickers"
    ),
    count: Annotated[int, typer.Option("--count", min=0, help="How many pictures.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same pictures and masks.")] = 0,
    labelled: Annotated[
        bool | None, typer.Option(help="Class edits with the picture's own class; or no label.")
    ] = None,
    families: Annotated[str, typer.Option(help="Mask families, commas between.")] = "",
    ablation: Annotated[bool, typer.Option(help="One row a lever, `paper` to default.")] = False,
    rows: Annotated[str, typer.Option(help="Only these rows of it, commas between.")] = "",
    work: Annotated[Path | None, typer.Option(help="Folder to go on from, for parts.")] = None,
    part: Annotated[str, typer.Option(help="Such as 1/2: one of two processes.")] = "1/1",
    sheets: Annotated[
        Path | None, typer.Option(help="Folder for contact sheets; with --count 0 nothing else.")
    ] = None,
) -> None:
    """Measure edits of held-out pictures under six families of masks."""
    from engine.evaluation.families import FAMILIES
    from engine.evaluation.levers import MODES
    from engine.evaluation.run import Share, ablate, evaluate
    from engine.evaluation.table import ablation_markdown, markdown
    from engine.loading import load_editor

    options = given.options
    chosen = _names(families) or FAMILIES
    for name in chosen:
        if name not in FAMILIES:
            raise RequestError(f"unknown mask family {name!r}; known: {', '.join(FAMILIES)}")
    share = Share.parse(work, part)
    if sheets is not None and not sheets.is_dir():
        raise RequestError(f"{sheets}: no such folder; make it first")
    editor = load_editor(given.model, device=given.device, precision=given.precision)

    from tqdm import tqdm

    if count and ablation:
        modes = MODES if labelled is None else (MODES[int(labelled)],)
        updates = ablate(
            editor, data, count=count, seed=seed, options=options, modes=modes,
            only=_names(rows.replace("_", " ")), families=chosen, share=share,
        )  # fmt: skip
    elif count:
        updates = evaluate(
            editor, data, count=count, seed=seed, options=options, labelled=bool(labelled),
            families=chosen, share=share,
        )  # fmt: skip
    else:
        updates = iter(())
    with tqdm(total=1.0, leave=False, file=sys.stderr, disable=None, unit="") as bar:
        for update in updates:
            if isinstance(update, float):
                bar.update(update - bar.n)
            elif update.report is None:
                print(f"part {part} is done; the last part to end prints the table")
            elif given.as_json:
                print(json.dumps(update.report))
            else:
                print((ablation_markdown if ablation else markdown)(update.report))
    if sheets is not None:
        from engine.evaluation.sheets import make_sheets

        for path in make_sheets(editor, data, sheets, seed=seed, options=options):
            print(path, file=sys.stderr)


def _names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
