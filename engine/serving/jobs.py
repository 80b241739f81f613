"""What a batch is to do: a row an edit, from a folder, a list of names or a manifest.

Rows are read one after the other and never all held, so that a manifest may have millions of them.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from engine import EditOptions, EditRequest, RequestError

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic"}
MANIFESTS = (".jsonl", ".csv", ".parquet")
MASK = ".mask"  # a picture's mask lies beside it: photo.jpg, photo.mask.png
FILES = ("image", "mask", "out")  # what a row says beside the request
SEVERAL = 1024  # rows of a Parquet file that are held at once


@dataclass(frozen=True)
class Row:
    """One edit of a batch.

    ``said`` is what the row itself says: fields of an `EditRequest`, ``image``, ``mask`` (paths, of
    regions too) and ``out``, the output's name without its suffix. ``number`` counts from 1.
    """

    number: int
    said: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The output's name, below the batch's folder, without its suffix. Raises RequestError."""
        out = str(self.said.get("out") or "")
        if out:
            if Path(out).is_absolute() or ".." in Path(out).parts:
                raise RequestError(
                    f"out: expected a name below the batch's folder, got {out!r:.60}"
                )
            return out
        stem = Path(str(self.said.get("image") or self.said.get("task") or "edit")).stem
        return f"{self.number:06}-{stem}"

    def fingerprint(self, defaults: dict[str, Any]) -> str:
        """Equal for rows that ask for the same, with the same ``defaults`` of the batch."""
        text = json.dumps([defaults, self.said], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def request(self, defaults: dict[str, Any]) -> EditRequest:
        """The edit, without its pictures. What a row leaves out is the batch's ``defaults``; of
        options, each for itself. Raises RequestError."""
        if "error" in self.said:
            raise RequestError(str(self.said["error"]))
        said = {name: value for name, value in self.said.items() if name not in FILES}
        options = said.pop("options", None) or {}
        if not isinstance(options, dict):
            raise RequestError(f"options: expected an object, got {options!r:.40}")
        given = {**defaults, **said}
        for region in given.get("regions") or ():
            if not isinstance(region, dict) or "mask" not in region:
                raise RequestError('regions: expected objects with "mask", a path, and "label"')
        given["regions"] = tuple(
            {k: v for k, v in region.items() if k != "mask"}
            for region in given.get("regions") or ()
        )
        given["options"] = EditOptions(**{**defaults.get("options", {}), **options})
        return EditRequest(**given)

    def paths(self) -> tuple[str | None, str | None, list[str]]:
        """Of the picture, its mask, and the masks of the regions."""
        regions = self.said.get("regions") or ()
        masks = [str(region["mask"]) for region in regions]
        return self.said.get("image"), self.said.get("mask"), masks


def rows(job: str, masks: str | None = None) -> Iterator[Row]:
    """The rows of a job.

    ``job`` is a manifest (JSON lines, CSV or Parquet), a folder of pictures, or a pattern such as
    ``photos/*.jpg``. ``masks`` goes with pictures: a folder with masks of their names, or one mask
    for all; without it a picture's mask lies beside it (``photo.jpg``, ``photo.mask.png``), or it
    has none. Raises RequestError.
    """
    suffix, names = Path(job).suffix.lower(), set[int]()
    if suffix in MANIFESTS:
        if masks is not None:
            raise RequestError("--masks: goes with a folder of pictures; a manifest names its own")
        found = _manifest(Path(job), suffix)
    else:
        found = _pictures(job, masks)
    for row in found:
        name = hash(str(row.said.get("out") or f"row {row.number}"))  # the names would be long
        taken = {"error": f"out: an earlier row has the name {row.said.get('out')!r:.60}"}
        yield replace(row, said=taken) if name in names else row
        names.add(name)


def _manifest(path: Path, suffix: str) -> Iterator[Row]:
    if not path.is_file():
        raise RequestError(f"{path}: no such file; check the path")
    if suffix == ".parquet":
        found = _parquet(path)
    else:
        found = _lines(path, suffix)
    number = 0
    for number, said in enumerate(found, 1):
        yield Row(number, _based(said, path.parent))
    if not number:
        raise RequestError(f"{path}: has no rows; expected one an edit")


def _lines(path: Path, suffix: str) -> Iterator[dict[str, Any]]:
    """Rows that cannot be read say so as their own ``error``, and the others go on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _csv(file) if suffix == ".csv" else _json(file)
    except UnicodeDecodeError:
        raise RequestError(f"{path}: expected text in UTF-8; save it as such") from None
    except csv.Error as error:
        raise RequestError(f"{path}: not a CSV file ({error})") from None


def _json(file: TextIO) -> Iterator[dict[str, Any]]:
    for line in file:
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            said = {"error": f"expected a JSON object on each line ({error})"}
        yield said if isinstance(said, dict) else {"error": "expected a JSON object on each line"}


def _csv(file: TextIO) -> Iterator[dict[str, Any]]:
    """Columns are fields of a request, image, mask, out, or options; an empty cell says nothing."""
    for cells in csv.DictReader(file):
        if None in cells:
            yield {"error": "has more cells than the first line has names"}
            continue
        said: dict[str, Any] = {}
        for name, text in cells.items():
            if text is None or not text.strip():
                continue
            if name in EditOptions.model_fields:
                said.setdefault("options", {})[name] = _value(text)
            else:
                said[name] = _value(text) if name == "regions" else text.strip()
        yield said


def _value(text: str) -> Any:
    """What is not a number, true or false is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise RequestError(f"{path}: needs the package pyarrow; run: pip install pyarrow") from None
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(SEVERAL):
                for row in batch.to_pylist():
                    said: dict[str, Any] = {}
                    for name, value in row.items():
                        if value is None:
                            continue
                        if name in EditOptions.model_fields:
                            said.setdefault("options", {})[name] = value
                        else:
                            said[name] = value
                    yield said
    except ArrowException as error:
        raise RequestError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None


def _based(said: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths of a manifest are meant from where it lies."""
    said = dict(said)
    for name in ("image", "mask"):
        if said.get(name):
            said[name] = _joined(folder, str(said[name]))
    regions = said.get("regions")
    if isinstance(regions, list):
        said["regions"] = [
            {**region, "mask": _joined(folder, str(region["mask"]))}
            if isinstance(region, dict) and region.get("mask")
            else region
            for region in regions
        ]
    return said


def _joined(folder: Path, name: str) -> str:
    return name if "://" in name else str(folder / name)


def _pictures(job: str, masks: str | None) -> Iterator[Row]:
    whole = Path(job).is_dir()
    base = Path(job) if whole else Path(job.partition("*")[0] + "x").parent
    every = base.rglob("*") if whole else map(Path, glob.glob(job, recursive=True))
    found = sorted(each for each in every if _is_picture(each, base))
    if not found:
        raise RequestError(
            f"{job}: expected a folder or a pattern with pictures, or a manifest "
            f"({', '.join(MANIFESTS)}); found none"
        )
    by_name: dict[Path, int] = {}
    for path in found:
        name = path.relative_to(base).with_suffix("")
        by_name[name] = by_name.get(name, 0) + 1
    for number, path in enumerate(found, 1):
        name = path.relative_to(base)
        out = name.with_suffix("") if by_name[name.with_suffix("")] == 1 else name
        said: dict[str, Any] = {"image": str(path), "out": str(out)}
        mask = _mask_of(path, name, masks)
        if mask is not None:
            said["mask"] = str(mask)
        yield Row(number, said)


def _is_picture(path: Path, base: Path) -> bool:
    """Whether it is a picture to be edited: not hidden, and not a mask beside one."""
    shown = not any(part.startswith(".") for part in path.relative_to(base).parts)
    kind = path.suffix.lower() in PICTURES and path.is_file()
    return kind and shown and not path.stem.endswith(MASK)


def _mask_of(path: Path, name: Path, masks: str | None) -> Path | None:
    """A picture's mask; None where it has none."""
    if masks is not None and Path(masks).is_file():
        return Path(masks)
    folder, stem = path.parent, f"{path.stem}{MASK}"
    if masks is not None:
        folder, stem = Path(masks) / name.parent, path.stem
        if not Path(masks).is_dir():
            raise RequestError(f"--masks: {masks}: expected a folder of masks, or one mask")
    for suffix in sorted(PICTURES):
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    return None
