"""From measured pictures to figures: means, intervals, distances of sets, shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.evaluation.classifier import Vectors, frechet_distance, kernel_distance
from engine.evaluation.levers import DEFAULT, PAPER, Mode
from engine.evaluation.measure import BASELINES, Survey
from engine.evaluation.metrics import interval
from engine.evaluation.records import Line, unpacked

CEILING = "reconstruction"
ALL = "all"


def report_of(lines: list[Line], survey: Survey, codebook: int) -> dict[str, Any]:
    """The contract's object (`evaluate --json`) of one row of options."""
    (mode,) = survey.rows
    families = {
        name: {
            **_summary(lines, mode, name, DEFAULT, survey.seed),
            "diversity": _mean(
                e["diversity"] for e in _edits(lines, mode, name, DEFAULT) if "diversity" in e
            ),
        }
        for name in survey.families
    }
    return {
        "count": len(lines),
        "seconds": sum(line["seconds"] for line in lines),
        "rule": survey.options.rule,
        "labelled": mode == "labelled",
        "options": survey.options.model_dump(exclude_none=True),
        "reconstruction": _whole(lines, codebook),
        "families": families,
        "baselines": {
            method: {name: _baseline(lines, name, method) for name in survey.families}
            for method in (*BASELINES, CEILING)
        },
        "class_edit": _class_edit(lines, survey.seed),
        "removal": _removal(lines, survey.seed),
    }


def ablation_report(lines: list[Line], survey: Survey) -> dict[str, Any]:
    """Every row of every mode, with paired differences to `paper` and to the default."""
    return {
        "count": len(lines),
        "seconds": sum(line["seconds"] for line in lines),
        "options": survey.options.model_dump(exclude_none=True),
        "baselines": {
            method: {name: _baseline(lines, name, method) for name in survey.families}
            for method in (*BASELINES, CEILING)
        },
        "modes": {
            mode: {row: _row(lines, mode, row, survey) for row in rows}
            for mode, rows in survey.rows.items()
        },
        "stickers": _class_edit(lines, survey.seed),
        "removal": _removal(lines, survey.seed),
    }


def _row(lines: list[Line], mode: Mode, row: str, survey: Survey) -> dict[str, Any]:
    families = {
        name: {
            **_summary(lines, mode, name, row, survey.seed),
            **_differences(lines, mode, (name,), row, survey),
        }
        for name in survey.families
    }
    found: dict[str, Any] = {
        "changes": survey.rows[mode][row],
        "families": families,
        ALL: {
            "perceptual": float(np.mean([f["perceptual"] for f in families.values()])),
            "lpips": _mean_of([f["lpips"] for f in families.values()]),
            "known_gap": max(f["known_ceiling"] - f["known_psnr"] for f in families.values()),
            "seam": float(np.mean([f["seam"] for f in families.values()])),
            "seam_before_blending": float(
                np.mean([f["seam_before_blending"] for f in families.values()])
            ),
            "kernel": _distance(lines, mode, survey.families, row, kernel_distance),
            "frechet": _distance(lines, mode, survey.families, row, frechet_distance),
            **_differences(lines, mode, survey.families, row, survey),
        },
    }
    if mode == "labelled":
        found["class_edit"] = _ranked(lines, "class_edit", row, survey.seed)
    else:
        found["removal"] = _ranked(lines, "removal", row, survey.seed)
    return found


def _edits(lines: list[Line], mode: Mode, family: str, row: str) -> list[Line]:
    return [line["edits"][mode][family][row] for line in lines]


def _mean(values: Any) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None


def _mean_of(values: list[float | None]) -> float | None:
    """None where one of them was not measured."""
    return None if None in values else _mean(values)


def _summary(lines: list[Line], mode: Mode, family: str, row: str, seed: int) -> dict[str, Any]:
    """Means of a family; the seam is the gradient across the edge over the real one, minus 1."""
    edits = _edits(lines, mode, family, row)
    real = float(np.mean([line["families"][family]["seam"] for line in lines]))
    errors = [edit["perceptual"] for edit in edits]
    return {
        "known_psnr": _mean(edit["known_psnr"] for edit in edits),
        "known_ceiling": _mean(line["families"][family]["ceiling"] for line in lines),
        "perceptual": _mean(errors),
        "perceptual_interval": interval(errors, np.random.default_rng(seed)),
        "lpips": _mean_of([edit["lpips"] for edit in edits]),
        "frechet": _distance(lines, mode, (family,), row, frechet_distance),
        "kernel": _distance(lines, mode, (family,), row, kernel_distance),
        "seam": float(np.mean([edit["seam"] for edit in edits])) / real - 1,
        "seam_before_blending": float(np.mean([edit["seam_raw"] for edit in edits])) / real - 1,
    }


def _differences(
    lines: list[Line], mode: Mode, families: Sequence[str], row: str, survey: Survey
) -> dict[str, Any]:
    """Mean paired difference of the perceptual distance to other rows, with its interval."""

    def errors(name: str) -> Vectors:
        return np.array(
            [
                np.mean([line["edits"][mode][f][name]["perceptual"] for f in families])
                for line in lines
            ]
        )

    found: dict[str, Any] = {}
    for other in (PAPER, DEFAULT):
        if other in survey.rows[mode] and other != row:
            difference = errors(row) - errors(other)
            low, high = interval(difference.tolist(), np.random.default_rng(survey.seed))
            found[f"minus_{other}"] = [float(difference.mean()), low, high]
    return found


def _distance(
    lines: list[Line],
    mode: Mode,
    families: Sequence[str],
    row: str,
    measure: Callable[[Vectors, Vectors], float],
) -> float | None:
    """Distance of the edited regions to the original ones, as sets; None without a classifier."""
    made = [line["edits"][mode][f][row]["features"] for f in families for line in lines]
    return _of_sets(lines, families, made, measure)


def _of_sets(
    lines: list[Line],
    families: Sequence[str],
    made: list[str | None],
    measure: Callable[[Vectors, Vectors], float],
) -> float | None:
    real = [line["families"][f]["features"] for f in families for line in lines]
    if len(real) < 2 or None in real or None in made:
        return None
    return measure(*(np.stack([unpacked(t) for t in s if t]) for s in (real, made)))


def _baseline(lines: list[Line], family: str, method: str) -> dict[str, float | None]:
    found = [line["families"][family]["baselines"][method] for line in lines]
    features = [each["features"] for each in found]
    return {
        "perceptual": _mean(each["perceptual"] for each in found),
        "lpips": _mean_of([each["lpips"] for each in found]),
        "frechet": _of_sets(lines, (family,), features, frechet_distance),
        "kernel": _of_sets(lines, (family,), features, kernel_distance),
    }


def _whole(lines: list[Line], codebook: int) -> dict[str, Any]:
    """The VQVAE alone; ``codes_used`` is a share, the perplexity that of the codes' frequencies."""
    ids = np.concatenate([unpacked(line["whole"]["codes"], "uint16") for line in lines])
    share = np.bincount(ids.astype(int), minlength=codebook) / len(ids)
    some = share[share > 0]
    return {
        "psnr": _mean(line["whole"]["psnr"] for line in lines),
        "ssim": _mean(line["whole"]["ssim"] for line in lines),
        "codes_used": float((share > 0).mean()),
        "code_perplexity": float(np.exp(-(some * np.log(some)).sum())),
    }


def _ranked(lines: list[Line], task: str, row: str, seed: int) -> dict[str, Any] | None:
    """How often a row's result is taken for the asked or removed class, with an interval."""
    found_in = [line[task]["ranks"] for line in lines if task in line]
    ranks = [found[row] for found in found_in if row in found]
    if not ranks:
        return None
    first = [float(rank == 0) for rank in ranks]
    found: dict[str, Any] = {
        "top1": float(np.mean(first)),
        "top1_interval": interval(first, np.random.default_rng(seed)),
        "top5": float(np.mean([rank < 5 for rank in ranks])),
    }
    if task == "removal":
        found["anything"] = _mean(line[task]["anything"][row] for line in lines)
    return found


def _class_edit(lines: list[Line], seed: int) -> dict[str, Any]:
    """Class edits beside real stickers pasted into the same regions, which are the ceiling."""
    mine = _ranked(lines, "class_edit", DEFAULT, seed) if _has(lines, "class_edit") else None
    if mine is None:
        return {"top1": None}
    return {
        **mine,
        "finer_name": _ranked(lines, "class_edit", "finer name", seed),
        "held_out_sticker": _ranked(lines, "class_edit", "held-out sticker", seed),
        "trained_sticker": _ranked(lines, "class_edit", "trained sticker", seed),
    }


def _removal(lines: list[Line], seed: int) -> dict[str, Any]:
    """Share of removed stickers whose class is still found, and before, and by other means."""
    if not _has(lines, "removal"):
        return {"found": None}
    found = {
        name: _ranked(lines, "removal", name, seed)
        for name in (DEFAULT, PAPER, "telea", "unedited")
    }
    mine = found[DEFAULT]
    assert mine is not None
    return {"found": mine["top1"], **found}


def _has(lines: list[Line], task: str) -> bool:
    return all(task in line and DEFAULT in line[task]["ranks"] for line in lines)
