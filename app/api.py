"""The HTTP endpoints: the same requests as the window's, for scripts.

Call them with ``gradio_client``, or as tools of an MCP server (``python app.py --mcp``). Pictures
are files; options are one JSON object with the fields of ``engine.EditOptions``. They return PNG
files with the request inside, and a JSON object with the seeds, scores, seconds, notes
and the request.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.data_classes import FileData, ListFiles

from app import files
from app.backend import facts
from app.calls import Caller
from app.forms import edit_request
from app.outbox import new_folder
from app.session import MAX_REGIONS
from engine.errors import EngineError, ImageError, MaskError, RequestError
from engine.events import Finished, result_of
from engine.picture.saving import write_whole
from engine.request import SIDES, EditRequest, Region
from engine.serving.bounds import broken

if TYPE_CHECKING:
    from app.handlers import Handlers

ENDPOINTS = ("inpaint", "outpaint", "edit_class", "generate", "models")


def picture_input(label: str) -> gr.File:
    """A picture file by HTTP; anything else is told in one line.

    Overridden on the instance: for a subclass Gradio writes a .pyi file next to the source.
    """
    field = gr.File(label=label)
    field.preprocess = _path  # type: ignore[method-assign,assignment]
    return field


def pictures_input(label: str) -> gr.File:
    """A list of picture files by HTTP."""
    field = gr.File(label=label, file_count="multiple")
    field.preprocess = _paths  # type: ignore[method-assign,assignment]
    return field


def json_input(label: str, *kinds: str) -> gr.JSON:
    """A JSON value; ``kinds`` are what JSON Schema calls the types that it may have.

    Gradio describes every JSON by ``"type": {}``, which is no valid schema: MCP clients refuse it.
    """
    field = gr.JSON(label=label)
    types: list[dict[str, Any]] = [{"type": kind} for kind in (*kinds, "null")]
    for one in types:
        if one["type"] == "array":
            one["items"] = {"type": "string"}
    schema = {"anyOf": types}
    field.api_info = lambda: schema  # type: ignore[method-assign]
    return field


def _path(payload: Any) -> str | None:
    if payload is None:
        return None
    if not isinstance(payload, FileData):
        raise _error(ImageError("expected a picture file; send it with handle_file(path)"))
    return payload.path


def _paths(payload: Any) -> list[str]:
    if payload is None:
        return []
    if not isinstance(payload, ListFiles):
        raise _error(MaskError("masks: expected a list of picture files"))
    return [file.path for file in payload]


def _error(error: EngineError) -> gr.Error:
    return gr.Error(escape(str(error), quote=False), print_exception=False)


def add_endpoints(handlers: Handlers) -> None:
    """Add ``/inpaint``, ``/outpaint``, ``/edit_class``, ``/generate`` and ``/models``."""
    doors = Endpoints(handlers)
    with gr.Column(visible=False):
        image, mask = picture_input("image"), picture_input("mask")
        label = json_input("label", "string", "integer")
        left, right, top, bottom = (json_input(side, "integer", "string") for side in SIDES)
        model, options = json_input("model", "string"), json_input("options", "object")
        masks, labels = pictures_input("masks"), json_input("labels", "array")
        files = gr.File(label="images", file_count="multiple")
        report = gr.JSON(label="report")
        known = gr.JSON(label="models")
        button = gr.Button()

    def add(function: Callable[..., Any], inputs: list[Any], outputs: list[Any], name: str) -> None:
        button.click(
            function,
            inputs,
            outputs,
            api_name=name,
            concurrency_limit=None,  # how many wait is bounded in app/calls.py
            show_progress="hidden",
        )

    add(doors.inpaint, [image, mask, label, options, model], [files, report], "inpaint")
    add(
        doors.outpaint,
        [image, left, right, top, bottom, label, options, model],
        [files, report],
        "outpaint",
    )
    add(
        doors.edit_class,
        [image, mask, label, options, model, masks, labels],
        [files, report],
        "edit_class",
    )
    add(doors.generate, [label, options, model], [files, report], "generate")
    add(doors.models, [], [known], "models")


class Endpoints:
    """What each endpoint does. The docstrings are what the API's page and MCP clients read."""

    def __init__(self, handlers: Handlers) -> None:
        self._backend = handlers.backend

    def inpaint(
        self, image: Any, mask: Any, label: Any = None, options: Any = None, model: Any = None
    ) -> tuple[list[str], dict[str, Any]]:
        """
        Regenerate the white part of a mask in a picture; all other pixels stay as they are.

        Args:
            image: The picture file.
            mask: A picture file of the same size, white where the picture is to be made anew.
            label: A class name of the model, or null to follow the surroundings.
            options: An object of edit options, such as {"seed": 7, "variations": 4}, or null.
            model: The name of a model on offer, or null for the window's own.
        """
        return self._run("inpaint", image, mask, label, options, model)

    def outpaint(
        self,
        image: Any,
        left: Any = 0,
        right: Any = 0,
        top: Any = 0,
        bottom: Any = 0,
        label: Any = None,
        options: Any = None,
        model: Any = None,
    ) -> tuple[list[str], dict[str, Any]]:
        """
        Extend a picture beyond its edges.

        Args:
            image: The picture file.
            left: How much to add on the left, in pixels (256) or percent ("25%").
            right: How much to add on the right.
            top: How much to add at the top.
            bottom: How much to add at the bottom.
            label: A class name of the model, or null to follow the surroundings.
            options: An object of edit options, such as {"seed": 7, "variations": 4}, or null.
            model: The name of a model on offer, or null for the window's own.
        """
        margins = {"left": left, "right": right, "top": top, "bottom": bottom}
        return self._run("outpaint", image, None, label, options, model, margins=margins)

    def edit_class(
        self,
        image: Any,
        mask: Any = None,
        label: Any = None,
        options: Any = None,
        model: Any = None,
        masks: Any = None,
        labels: Any = None,
    ) -> tuple[list[str], dict[str, Any]]:
        """
        Turn the white part of a mask into something of a class, such as "bird"; or several parts,
        each into a class of its own.

        Args:
            image: The picture file.
            mask: A picture file of the same size, white where the class is to appear, or null.
            label: The class name that belongs to the mask, or null.
            options: An object of edit options, such as {"seed": 7, "variations": 4}, or null.
            model: The name of a model on offer, or null for the window's own.
            masks: Instead of one mask, a list of mask files, one for each region.
            labels: The class names of those regions, a list as long as masks.
        """
        return self._run("edit_class", image, mask, label, options, model, (masks, labels))

    def generate(
        self, label: Any = None, options: Any = None, model: Any = None
    ) -> tuple[list[str], dict[str, Any]]:
        """
        Make a new picture of a class.

        Args:
            label: A class name of the model.
            options: An object of edit options, such as {"seed": 7, "variations": 4}, or null.
            model: The name of a model on offer, or null for the window's own.
        """
        return self._run("generate", None, None, label, options, model)

    def models(self) -> dict[str, Any]:
        """
        Tell which models can be asked for, and the class names of the loaded one.
        """
        try:
            card = self._backend.card()
            offers = [vars(offer) for offer in self._backend.offers()]
        except EngineError as error:
            raise _error(error) from None
        return {"loaded": facts(card), "models": offers}

    def _run(
        self,
        task: str,
        image: Any,
        mask: Any,
        label: Any,
        options: Any,
        model: Any,
        regions: tuple[Any, Any] = (None, None),
        margins: dict[str, Any] | None = None,
    ) -> tuple[list[str], dict[str, Any]]:
        try:
            if options is not None and not isinstance(options, dict):
                raise RequestError(f"options: expected an object, got {type(options).__name__}")
            if model is not None and not isinstance(model, str):
                raise RequestError(f"model: expected a name, got {type(model).__name__}")
            bare = partial(edit_request, task, label=label, model=model, options=options,
                           margins=margins)  # fmt: skip
            pairs = _pairs(*regions)
            bare()  # what is wrong with it is told before one waits

            def opened() -> EditRequest:
                return bare(
                    image=files.opened(image) if image is not None else None,
                    mask=files.opened(mask) if mask is not None else None,
                    regions=tuple(
                        Region(mask=files.opened(path), label=name) for path, name in pairs
                    ),
                )

            return self._answered(task, opened)
        except EngineError as error:
            raise _error(error) from None
        except Exception as error:
            raise gr.Error(broken(error), print_exception=False) from None

    def _answered(
        self, task: str, opened: Callable[[], EditRequest]
    ) -> tuple[list[str], dict[str, Any]]:
        """The files and the report of a request whose pictures are opened when its turn comes. It
        ends within one scale where nobody waits for it any more."""
        caller, last = Caller.now(), None
        with closing(self._backend.steps(opened, caller)) as events:
            for last in events:
                if caller.is_set():
                    last = None
                if last is None or isinstance(last, Finished):
                    break  # its turn goes on until large results are written
            if last is None:
                raise RequestError("nobody waits for this any more")
            result = result_of([last])
            folder, written = new_folder(), []
            for index, seed in enumerate(result.seeds):
                path = folder / f"{task}-{seed}.png"
                with files.told_by_name(path):
                    write_whole(path, result.png(index))
                written.append(str(path))
        report = {
            "seeds": list(result.seeds),
            "scores": list(result.scores),
            "seconds": result.seconds,
            "notes": list(result.notes),
            "request": result.request.model_dump(exclude_none=True),
        }
        return written, report


def _pairs(masks: Any, labels: Any) -> list[tuple[str, Any]]:
    """(mask file, class name) of each region, from a list of each: as many as a window may have."""
    paths, names = masks or [], labels or []
    if not isinstance(names, list):
        raise RequestError(f"labels: expected a list, got {type(names).__name__}")
    if len(paths) != len(names):
        raise RequestError(
            f"expected a label for each mask, got {len(paths)} masks and {len(names)} labels"
        )
    if len(paths) > MAX_REGIONS:
        raise RequestError(f"{len(paths)} regions at once; {MAX_REGIONS} are the most")
    return list(zip(paths, names, strict=True))
