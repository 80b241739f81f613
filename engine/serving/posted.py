"""An edit as it comes over HTTP: the fields of a request, and its pictures as files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from engine import EditOptions, EditRequest, ImageError, MaskError, RequestError, open_image
from engine.request import SIDES, Region
from engine.request.options import Task

FIELDS: dict[Task, tuple[str, ...]] = {
    "inpaint": ("image", "mask", "label", "options", "model"),
    "outpaint": ("image", *SIDES, "label", "options", "model"),
    "edit_class": ("image", "mask", "label", "options", "model", "masks", "labels"),
    "generate": ("label", "options", "model"),
}
FILES = ("image", "mask", "masks")


@dataclass(frozen=True)
class Posted:
    """``said`` are the fields of a request without its pictures; these are files' bytes. ``masks``
    and ``labels`` belong to each other."""

    task: Task
    said: dict[str, Any] = field(default_factory=dict)
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)
    masks: tuple[bytes, ...] = field(default=(), repr=False)
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: Task, texts: dict[str, list[str]], files: dict[str, list[bytes]]) -> Posted:
        """From a form's texts and files, by name. An empty text says nothing. Raises RequestError.

        ``options`` is a JSON object. What was asked for is checked as far as one can without the
        pictures; a seed is drawn if there is none, so that an edit that has to be begun again makes
        the same pictures.
        """
        known = FIELDS[task]
        for name in (*texts, *files):
            if name not in known:
                raise RequestError(f"{name[:40]}: unknown; {task} has {', '.join(known)}")
            if (name in FILES) != (name in files):
                kind = "a file" if name in FILES else "text"
                raise RequestError(f"{name}: expected {kind}")
            if name not in ("masks", "labels") and len((texts | files)[name]) > 1:
                raise RequestError(f"{name}: expected one, got {len((texts | files)[name])}")
        said: dict[str, Any] = {
            name: values[0]
            for name, values in texts.items()
            if name not in ("labels", "options") and values[0].strip()
        }
        said["options"] = _options((texts.get("options") or [""])[0])
        first = {name: sent[0] for name, sent in files.items() if name != "masks"}
        posted = cls(
            task=task, said=said, masks=tuple(files.get("masks", ())),
            labels=tuple(texts.get("labels", ())), **first,
        )  # fmt: skip
        if len(posted.masks) != len(posted.labels):
            raise RequestError(
                f"expected a label for each mask, got {len(posted.masks)} masks and "
                f"{len(posted.labels)} labels"
            )
        options = posted.bare().options.with_seed()
        return replace(posted, said={**said, "options": options})

    def bare(self) -> EditRequest:
        """The request without its pictures. Raises RequestError."""
        return EditRequest(task=self.task, **self.said)

    def request(self) -> EditRequest:
        """The request with its pictures. Raises EngineError."""
        masks = [_opened("masks", data) for data in self.masks]
        return EditRequest(
            task=self.task,
            **self.said,
            image=None if self.image is None else _opened("image", self.image),
            mask=None if self.mask is None else _opened("mask", self.mask),
            regions=tuple(
                Region(mask=mask, label=label)
                for mask, label in zip(masks, self.labels, strict=True)
            ),
        )


def _options(text: str) -> EditOptions:
    if not text.strip():
        return EditOptions()
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise RequestError('options: expected a JSON object such as {"seed": 7}')
    return EditOptions(**{k: v for k, v in given.items() if v is not None and v != ""})


def _opened(name: str, data: bytes) -> Image.Image:
    try:
        return open_image(data)
    except ImageError as error:
        kind = ImageError if name == "image" else MaskError
        raise kind(f"{name}: {error}") from None
