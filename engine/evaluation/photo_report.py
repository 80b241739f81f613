"""What was measured on photos, as figures and as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine import RequestError
from engine.evaluation.levers import DEFAULT
from engine.evaluation.metrics import group_interval
from engine.evaluation.photos import PhotoMeasure, group_of
from engine.evaluation.records import Line
from engine.evaluation.table import difference, table

MEASURES = ("lpips", "perceptual", "seam", "seconds")
ALL = "all"


def photo_report(
    lines: list[Line], measure: PhotoMeasure, against: str | None = None
) -> dict[str, Any]:
    """Means and intervals by family and way of filling, and of each the paired difference of LPIPS
    (of FLIP where LPIPS is not there) to ``against``: one of the ways, or a file that an earlier
    run has printed with --json, whose default it is then. Crops of one photo count together.
    """
    names = _names(measure)
    families = [*measure.families, ALL]
    by = _by(measure)
    found = {
        family: {name: _summary(lines, measure, family, name) for name in names}
        for family in families
    }
    pictures = {
        line["name"]: {
            family: {name: some[name][by] for name in names}
            for family, some in line["families"].items()
        }
        for line in lines
    }
    report: dict[str, Any] = {
        "count": len(lines),
        "seconds": sum(line["seconds"] for line in lines),
        "side": measure.photos.side,
        "seed": measure.seed,
        "options": measure.options.model_dump(exclude_none=True),
        "measure": by,
        "families": found,
        "pictures": pictures,
    }
    if against is not None:
        other = earlier(against, measure, list(pictures)) or {
            photo: {family: found[against] for family, found in some.items()}
            for photo, some in pictures.items()
        }
        report["against"] = against
        for family in families:
            for name in names:
                apart = _paired(pictures, other, measure, family, name)
                found[family][name]["minus"] = apart
    return report


def _values(line: Line, measure: PhotoMeasure, family: str, name: str, key: str) -> float | None:
    """A figure of a photo, of one family or the mean of all."""
    some = measure.families if family == ALL else (family,)
    values = [line["families"][each][name][key] for each in some]
    return None if None in values else float(np.mean(values))


def _summary(lines: list[Line], measure: PhotoMeasure, family: str, name: str) -> dict[str, Any]:
    groups = [group_of(line["name"]) for line in lines]
    found: dict[str, Any] = {}
    for key in MEASURES:
        values = [_values(line, measure, family, name, key) for line in lines]
        numbers = [value for value in values if value is not None]
        found[key] = float(np.mean(numbers)) if numbers else None
        if key != "seconds":
            found[f"{key}_interval"] = (
                group_interval(numbers, groups, measure.seed) if numbers else None
            )
    return found


Pictures = Mapping[str, Mapping[str, Mapping[str, float]]]


def _names(measure: PhotoMeasure) -> list[str]:
    """All ways of filling that are measured."""
    return [*measure.baselines, *measure.rows]


def _by(measure: PhotoMeasure) -> str:
    """What differences are of."""
    return "perceptual" if measure.lpips is None else "lpips"


def earlier(
    against: str, measure: PhotoMeasure, photos: Sequence[str]
) -> dict[str, dict[str, float]] | None:
    """Photo -> family -> what an earlier run measured; None where ``against`` is one of the ways
    that this one measures. Raises RequestError for what is neither."""
    names, by = _names(measure), _by(measure)
    if against in names:
        return None
    path = Path(against)
    if not path.is_file():
        raise RequestError(f"against: no way of filling and no file {against!r}; "
                           f"ways: {', '.join(names)}")  # fmt: skip
    try:
        report = json.loads(path.read_text())
        held, kind = report["pictures"], report["measure"]
        found = {
            photo: {family: held[photo][family][DEFAULT] for family in measure.families}
            for photo in photos
        }
    except (ValueError, KeyError, TypeError):
        raise RequestError(
            f"{path}: is not what evaluate --photos --json has printed of the same photos and "
            f"families"
        ) from None
    if kind != by:
        raise RequestError(f"{path}: was measured by {kind}, not by {by}; measure it again")
    return found


def _paired(
    pictures: Pictures,
    other: Mapping[str, Mapping[str, float]],
    measure: PhotoMeasure,
    family: str,
    name: str,
) -> list[float]:
    """Mean difference with its interval: below 0 is better than what it is compared with."""
    some = measure.families if family == ALL else (family,)
    apart = [
        float(np.mean([found[each][name] - other[photo][each] for each in some]))
        for photo, found in pictures.items()
    ]
    groups = [group_of(photo) for photo in pictures]
    return [float(np.mean(apart)), *group_interval(apart, groups, measure.seed)]


def photo_markdown(report: dict[str, Any]) -> str:
    """One row a family and way of filling."""
    heads = ["masks", "filled by", "LPIPS", "95 %", "FLIP", "95 %", "seam", "s"]
    against = report.get("against")
    heads += [] if against is None else [f"minus {Path(against).name}"]
    rows = []
    for family, ways in report["families"].items():
        for name, found in ways.items():
            cells = [family, name]
            for key, form in (("lpips", ".3f"), ("perceptual", ".4f")):
                cells += ["", ""] if found[key] is None else [
                    format(found[key], form),
                    "-".join(format(edge, form) for edge in found[f"{key}_interval"]),
                ]  # fmt: skip
            cells += [f"{found['seam']:+.2f}", f"{found['seconds']:.2f}"]
            cells += [difference(found["minus"])] if against is not None else []
            rows.append(cells)
    said = (
        f"{report['count']} photos, {report['side']} px, seed {report['seed']}; means inside the "
        "mask (less is better) with bootstrap 95 % intervals over photos, whose crops count "
        "together. Seam: the step across the mask's edge over that of the photo, minus 1."
    )
    if report["measure"] != "lpips":
        said += " LPIPS needs its weights: python -m engine.evaluation.fetch."
    return f"{table(heads, rows)}\n\n{said}"
