"""One row of a batch after the other, by one worker: in this process, or in one of many."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from engine import EditRequest, EngineError, ImageError, RequestError
from engine.picture.files import open_image, targets, write_picture
from engine.serving.jobs import MASK, Row

if TYPE_CHECKING:
    from engine import Editor

KEPT = 2  # models that a worker holds
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What all rows of a batch have in common. ``threads`` 0 leaves it to torch."""

    folder: Path
    suffix: str = ".png"
    quality: int | None = None
    model: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    defaults: dict[str, Any] = field(default_factory=dict)


Entry = dict[str, Any]
"""What the report says of a row: its ``row``, ``name`` and ``asked`` (a fingerprint), and either
``files``, ``seeds``, ``seconds``, ``threads`` and ``notes``, or ``error``."""


class Worker:
    """Carries out rows. It holds the models that they ask for, and the picture read last, so rows
    with the same picture should follow each other."""

    def __init__(self, setting: Setting) -> None:
        """Loads the setting's model. Raises ModelNotFoundError, CheckpointError, DeviceError."""
        import cv2
        import torch

        self.setting = setting
        if setting.threads:
            torch.set_num_threads(setting.threads)
            cv2.setNumThreads(setting.threads)
        self.threads = torch.get_num_threads()
        self._editors: dict[str, Editor] = {}
        self._picture: tuple[str, Image.Image] | None = None
        self._editor(None)

    def ready(self) -> int:
        """How many threads it computes with."""
        return self.threads

    def carry_out(self, rows: list[Row]) -> list[Entry]:
        """The entries of some rows; one that fails does so alone."""
        return [self._entry(row) for row in rows]

    def _entry(self, row: Row) -> Entry:
        entry: Entry = {"row": row.number, "asked": row.fingerprint(self.setting.defaults)}
        try:
            entry["name"] = row.name
            return entry | self._done(row)
        except EngineError as error:
            return entry | {"error": " ".join(str(error).split())}
        except Exception as error:  # a fault of ours; the other rows are none the worse
            log.exception("row %d", row.number)
            return entry | {"error": f"something broke ({type(error).__name__}); see the log"}

    def _done(self, row: Row) -> Entry:
        asked = self._with_pictures(row, row.request(self.setting.defaults))
        editor = self._editor(asked.model)
        result = editor.run(asked.model_copy(update={"model": None}))
        out = self.setting.folder / f"{row.name}{self.setting.suffix}"
        out.parent.mkdir(parents=True, exist_ok=True)
        files, notes = targets(out, len(result.images)), list(result.notes)
        for index, path in enumerate(files):
            carried = result.request_of(index).to_json()
            notes += write_picture(
                path, result.images[index], carried, quality=self.setting.quality
            )
        return {
            "files": [str(path.relative_to(self.setting.folder)) for path in files],
            "seeds": list(result.seeds),
            "seconds": round(result.seconds, 3),
            "threads": self.threads,
            "notes": list(dict.fromkeys(notes)),
        }

    def _editor(self, name: str | None) -> Editor:
        from engine.loading import load_in_own_process

        name = name or self.setting.model
        if name not in self._editors:
            while len(self._editors) >= KEPT:
                del self._editors[next(iter(self._editors))]
            self._editors[name] = load_in_own_process(
                name, device=self.setting.device, precision=self.setting.precision
            )
        self._editors[name] = self._editors.pop(name)  # last used stands last
        return self._editors[name]

    def _with_pictures(self, row: Row, request: EditRequest) -> EditRequest:
        image, mask, masks = row.paths()
        if image and not mask and not masks and request.task in ("inpaint", "edit_class"):
            beside = f"{Path(image).stem}{MASK}.png"
            raise RequestError(f'no mask: put {beside} beside it, or give --masks, or "mask"')
        painted = [
            region.model_copy(update={"mask": _opened(path)})
            for region, path in zip(request.regions, masks, strict=True)
        ]
        return request.model_copy(
            update={
                "image": None if image is None else self._read(image),
                "mask": None if mask is None else _opened(mask),
                "regions": tuple(painted),
            }
        )

    def _read(self, path: str) -> Image.Image:
        if self._picture is None or self._picture[0] != path:
            self._picture = (path, _opened(path))
        return self._picture[1]


def _opened(path: str) -> Image.Image:
    """A picture of this machine, or from wherever fsspec can read."""
    if "://" not in path:
        return open_image(path)
    try:
        import fsspec
    except ImportError:
        raise RequestError(f"{path}: needs the package fsspec; run: pip install fsspec") from None
    try:
        with fsspec.open(path, "rb") as file:
            data = file.read()
    except Exception as error:  # each kind of place has errors of its own
        raise ImageError(f"{path}: cannot be read ({type(error).__name__})") from None
    return open_image(data)
