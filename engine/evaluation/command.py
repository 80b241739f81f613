"""``python -m engine evaluate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine import RequestError
from engine.request.flags import Given, levers

if TYPE_CHECKING:
    from engine.editor import Editor
    from engine.evaluation.levers import Changes


@levers("inpaint", "edit_class", model="bundled", without="run")
def main(
    given: Given,
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")] = Path(
        "data/stickers"
    ),
    photos: Annotated[
        Path | None, typer.Option(help="Instead: a folder of photos, whose holes are made.")
    ] = None,
    side: Annotated[
        int, typer.Option(min=64, help="Photos that are larger are scaled down to this.")
    ] = 384,
    against: Annotated[
        str, typer.Option(help="Of photos: compare with telea, a row, or a file of --json.")
    ] = "telea",
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
    from engine import load_editor
    from engine.evaluation.families import FAMILIES
    from engine.evaluation.levers import MODES
    from engine.evaluation.lpips import FILE, Lpips
    from engine.evaluation.photo_report import photo_markdown
    from engine.evaluation.photos import PhotoMeasure, Photos
    from engine.evaluation.run import Share, ablate, evaluate, evaluate_photos
    from engine.evaluation.sheets import make_sheets
    from engine.evaluation.table import ablation_markdown, markdown

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

    measure = None
    if photos is not None:
        found = Photos.of(photos, side)
        count = min(count, len(found))
        measure = PhotoMeasure(
            editor, found, options, seed=seed, families=chosen,
            rows=_photo_rows(editor, ablation, _names(rows.replace("_", " "))),
            lpips=Lpips.open(data.parent / FILE),
        )  # fmt: skip
    if measure is not None and count:
        updates = evaluate_photos(measure, count=count, share=share, against=against)
    elif count and ablation:
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
            elif measure is not None:
                print(photo_markdown(update.report))
            else:
                print((ablation_markdown if ablation else markdown)(update.report))
    if sheets is not None:
        if measure is not None:
            paths = measure.sheets(sheets, count or len(measure.photos))
        else:
            paths = make_sheets(editor, data, sheets, seed=seed, options=options)
        for path in paths:
            print(path, file=sys.stderr)


def _photo_rows(editor: Editor, ablation: bool, only: tuple[str, ...]) -> dict[str, Changes]:
    """The rows that photos are edited with: all, some, or the default alone."""
    from engine.evaluation.levers import DEFAULT
    from engine.evaluation.run import chosen_rows

    if not ablation and not only:
        return {DEFAULT: {}}
    return chosen_rows(editor, ("unlabelled",), only)["unlabelled"]


def _names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
