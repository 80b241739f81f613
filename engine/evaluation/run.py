"""The evaluation: held-out pictures, six mask families, labelled and not, with baselines.

Labelled edits are class edits with the picture's own class. Fréchet and kernel distance, class
edits and removals need the classifier of the model's domain, and are null without it.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import RequestError
from engine.arrays import fingerprint
from engine.editor import Editor
from engine.evaluation.classifier import CLASSIFIER, Judge
from engine.evaluation.families import FAMILIES
from engine.evaluation.levers import DEFAULT, MODES, Changes, Mode, rows_for
from engine.evaluation.lpips import FILE, Lpips
from engine.evaluation.measure import Measure, Survey
from engine.evaluation.photo_report import earlier, photo_report
from engine.evaluation.photos import PhotoMeasure
from engine.evaluation.photos import check as check_photos
from engine.evaluation.records import Line, Records
from engine.evaluation.report import ablation_report, report_of
from engine.evaluation.scenes import Scenes
from engine.request.options import EditOptions
from engine.training.data import StickerSet, open_pictures

NEEDS = {"skimage": "scikit-image"}


@dataclass(frozen=True)
class Share:
    """Where measured pictures are kept, and which part of them this process measures."""

    folder: Path | None = None
    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, folder: Path | None, part: str) -> Share:
        """``part`` is such as "1/2"; several parts need a common folder. Raises RequestError."""
        number, _, parts = part.partition("/")
        if not (number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts)):
            raise RequestError(f"part: expected such as 1/2, got {part!r}")
        if folder is None and int(parts) > 1:
            raise RequestError("parts of one evaluation meet in a folder; give --work")
        return cls(folder, int(number), int(parts))


@dataclass(frozen=True)
class Evaluation:
    """The report as JSON; None while other parts are still being measured."""

    report: dict[str, Any] | None


def evaluate(
    editor: Editor,
    data: Path,
    *,
    count: int,
    seed: int,
    options: EditOptions,
    labelled: bool = False,
    families: tuple[str, ...] = FAMILIES,
    share: Share | None = None,
    classifier: Path = CLASSIFIER,
) -> Iterator[Evaluation | float]:
    """Edit ``count`` held-out pictures under each family of masks.

    Yields the progress as a part of 1, and the evaluation at the end. ``options`` chooses the rule
    and its levers; ``labelled`` makes class edits with the picture's own class. Raises
    RequestError if a package or the data is missing.
    """
    mode: Mode = "labelled" if labelled else "unlabelled"
    survey = Survey(options, {mode: {DEFAULT: {}}}, families, seed, thorough=True)
    yield from _run(editor, data, survey, count, share or Share(), classifier)


def ablate(
    editor: Editor,
    data: Path,
    *,
    count: int,
    seed: int,
    options: EditOptions,
    modes: tuple[Mode, ...] = MODES,
    only: tuple[str, ...] = (),
    families: tuple[str, ...] = FAMILIES,
    share: Share | None = None,
    classifier: Path = CLASSIFIER,
) -> Iterator[Evaluation | float]:
    """The same pictures, masks and seeds under each row of `engine.evaluation.levers`.

    ``only`` names rows, all if empty. Yields like `evaluate`. Raises RequestError for a row that
    does not exist.
    """
    rows = chosen_rows(editor, modes, only)
    survey = Survey(options, rows, families, seed, thorough=False)
    yield from _run(editor, data, survey, count, share or Share(), classifier)


def chosen_rows(
    editor: Editor, modes: tuple[Mode, ...], only: tuple[str, ...] = ()
) -> dict[Mode, dict[str, Changes]]:
    """The rows of an ablation by mode; ``only`` names some, all if empty. Raises RequestError."""
    every = {mode: rows_for(mode, editor.card) for mode in modes}
    known = {name: None for rows in every.values() for name in rows}
    for name in only:
        if name not in known:
            raise RequestError(f"no row is called {name!r}; rows: {', '.join(known)}")
    return {
        mode: {name: changes for name, changes in found.items() if not only or name in only}
        for mode, found in every.items()
    }


def evaluate_photos(
    measure: PhotoMeasure, *, count: int, share: Share, against: str | None = None
) -> Iterator[Evaluation | float]:
    """Measure the first ``count`` photos of a folder. Yields like `evaluate`."""
    _need_packages()
    check_photos(measure.photos, count)
    photos = [measure.photos.name(index) for index in range(count)]
    if against is not None:
        earlier(against, measure, photos)  # refused before hours of work
    records = Records(
        share.folder,
        {
            "model": measure.editor.name,
            "weights": _weights(measure.editor),
            "photos": photos,
            "side": measure.photos.side,
            "seed": measure.seed,
            "families": measure.families,
            "options": measure.options.model_dump(exclude_none=True),
            "rows": measure.rows,
            "lpips": measure.lpips is not None,
        },
        part=share.part,
        parts=share.parts,
    )
    yield from _measured(records, measure.line, count, share)
    if not records.complete(count):
        yield Evaluation(None)
        return
    yield Evaluation(photo_report(records.in_order(count), measure, against))


def _measured(
    records: Records, measure: Callable[[int], Line], count: int, share: Share
) -> Iterator[float]:
    """Measure what is this part's; yields the progress as a part of 1."""
    mine = list(records.mine(count))
    for done, index in enumerate(mine, 1):
        began = time.perf_counter()
        line = measure(index)
        records.add({**line, "seconds": time.perf_counter() - began})
        yield done / len(mine)
    if not mine:
        yield 1.0


def _need_packages() -> None:
    missing = [package for module, package in NEEDS.items() if not _installed(module)]
    if missing:
        raise RequestError(f"evaluate needs {' and '.join(missing)}; run: pip install "
                           f"{' '.join(missing)}")  # fmt: skip


def _weights(editor: Editor) -> str:
    """Tells one model's weights from another's. Matrices may be packed, and then have an empty
    weight; these never are."""
    named = editor.model.networks[-1].named_parameters()
    never_packed = [each for name, each in named if name in ("word_embed.weight", "pos_1LC")]
    return fingerprint(*(each.detach().float().cpu().numpy() for each in never_packed)).hex()


def _run(
    editor: Editor, data: Path, survey: Survey, count: int, share: Share, classifier: Path
) -> Iterator[Evaluation | float]:
    _need_packages()
    pictures = open_pictures(data, side=editor.side, split="val", seed=survey.seed)
    judge = Judge.for_classes(pictures.classes, classifier)
    scenes = None
    if isinstance(pictures, StickerSet) and judge is not None and _knows(editor, pictures):
        trained = StickerSet(data, side=editor.side, split="train", seed=survey.seed)
        scenes = Scenes(pictures, trained, seed=survey.seed)
    records = Records(
        share.folder,
        {
            "model": editor.name,
            "weights": _weights(editor),
            "judge": judge and fingerprint(judge.net.head.weight.numpy()).hex(),
            "data": str(data),
            "seed": survey.seed,
            "families": survey.families,
            "options": survey.options.model_dump(exclude_none=True),
            "rows": survey.rows,
        },
        part=share.part,
        parts=share.parts,
    )
    lpips = Lpips.open(data.parent / FILE)  # where `make data` puts it
    measure = Measure(editor, pictures, survey, judge, scenes, lpips)
    yield from _measured(records, measure.line, count, share)
    if not records.complete(count):
        yield Evaluation(None)
        return
    lines = records.in_order(count)
    if survey.thorough:
        yield Evaluation(report_of(lines, survey, len(editor.model.scheme.codebook)))
    else:
        yield Evaluation(ablation_report(lines, survey))


def _knows(editor: Editor, pictures: StickerSet) -> bool:
    """Whether the model can be asked for every class of the data."""
    folded = {name.casefold() for name in editor.card.labels.names}
    return all(name.casefold() in folded for name in pictures.classes)


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
