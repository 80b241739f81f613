"""The HTTP endpoints: the same requests as the window's, for scripts.

Call them with ``gradio_client``. Pictures are files; options are one JSON object with the fields
of ``engine.EditOptions``. They return PNG files with the request inside, and a JSON object with
the seeds, the seconds and the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.data_classes import FileData

from app.models import facts
from app.outbox import new_folder
from app.runs import edit_request
from engine.errors import EngineError, ImageError, RequestError
from engine.request import SIDES

log = logging.getLogger("varpaint")

if TYPE_CHECKING:
    from app.handlers import Handlers


def picture_input(label: str) -> gr.File:
    """A picture file by HTTP; anything else is told in one line.

    Overridden on the instance: for a subclass Gradio writes a .pyi file next to the source.
    """
    field = gr.File(label=label)
    field.preprocess = _path  # type: ignore[method-assign,assignment]
    return field


def _path(payload: Any) -> str | None:
    if payload is None:
        return None
    if not isinstance(payload, FileData):
        raise _error(ImageError("expected a picture file; send it with handle_file(path)"))
    return payload.path


def _error(error: EngineError) -> gr.Error:
    return gr.Error(escape(str(error), quote=False), print_exception=False)


def add_endpoints(handlers: Handlers) -> None:
    """Add ``/inpaint``, ``/outpaint``, ``/edit_class``, ``/generate`` and ``/models``."""
    doors = Endpoints(handlers)
    with gr.Column(visible=False):
        image, mask = picture_input("image"), picture_input("mask")
        label = gr.JSON(label="label")
        left, right, top, bottom = (gr.JSON(label=side) for side in SIDES)
        model, options = gr.JSON(label="model"), gr.JSON(label="options")
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
            concurrency_id="model" if name != "models" else None,
            concurrency_limit=1 if name != "models" else None,
            show_progress="hidden",
        )

    add(doors.inpaint, [image, mask, label, options, model], [files, report], "inpaint")
    add(
        doors.outpaint,
        [image, left, right, top, bottom, label, options, model],
        [files, report],
        "outpaint",
    )
    add(doors.edit_class, [image, mask, label, options, model], [files, report], "edit_class")
    add(doors.generate, [label, options, model], [files, report], "generate")
    add(doors.models, [], [known], "models")


class Endpoints:
    """What each endpoint does."""

    def __init__(self, handlers: Handlers) -> None:
        self._models = handlers.models

    def inpaint(
        self, image: Any, mask: Any, label: Any = None, options: Any = None, model: Any = None
    ) -> tuple[list[str], dict[str, Any]]:
        """Regenerate the white part of a mask. The mask is a picture of the image's size; label
        is a class name or null; options is an object such as {"seed": 7, "variations": 4}."""
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
        """Extend a picture by pixels (256) or percent ("25%") on each side."""
        margins = {"left": left, "right": right, "top": top, "bottom": bottom}
        return self._run("outpaint", image, None, label, options, model, margins)

    def edit_class(
        self, image: Any, mask: Any, label: Any, options: Any = None, model: Any = None
    ) -> tuple[list[str], dict[str, Any]]:
        """Turn the white part of a mask into something of a class, such as "bird"."""
        return self._run("edit_class", image, mask, label, options, model)

    def generate(
        self, label: Any, options: Any = None, model: Any = None
    ) -> tuple[list[str], dict[str, Any]]:
        """Make a new picture of a class."""
        return self._run("generate", None, None, label, options, model)

    def models(self) -> dict[str, Any]:
        """The models that can be asked for, and the loaded one's classes."""
        try:
            editor = self._models.editor(None)
            offers = [vars(offer) for offer in self._models.offers()]
        except EngineError as error:
            raise _error(error) from None
        return {"loaded": facts(editor), "models": offers}

    def _run(
        self,
        task: str,
        image: Any,
        mask: Any,
        label: Any,
        options: Any,
        model: Any,
        margins: dict[str, Any] | None = None,
    ) -> tuple[list[str], dict[str, Any]]:
        from engine.pixels import open_image  # imports torch; the page need not wait for it

        try:
            if options is not None and not isinstance(options, dict):
                raise RequestError(f"options: expected an object, got {type(options).__name__}")
            if model is not None and not isinstance(model, str):
                raise RequestError(f"model: expected a name, got {type(model).__name__}")
            request = edit_request(
                task,
                image=open_image(image) if image is not None else None,
                mask=open_image(mask) if mask is not None else None,
                label=label,
                model=model,
                margins=margins,
                options=options,
            )
            with self._models.alone():
                editor = self._models.editor(request.model)
                result = None
                for step in editor.steps(request):
                    result = step.result
            if result is None:
                raise RequestError("the edit ended without a result; run it again")
            folder, files = new_folder(), []
            for index, seed in enumerate(result.seeds):
                path = folder / f"{task}-{seed}.png"
                path.write_bytes(result.png(index))
                files.append(str(path))
        except EngineError as error:
            raise _error(error) from None
        except Exception as error:
            log.exception("an endpoint failed")
            words = f"something broke inside varpaint ({type(error).__name__}); the log has more"
            raise gr.Error(words, print_exception=False) from None
        report = {
            "seeds": list(result.seeds),
            "seconds": result.seconds,
            "request": result.request.model_dump(exclude_none=True),
        }
        return files, report
