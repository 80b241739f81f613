"""A family that the window has never heard of edits through its unchanged callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.api import Endpoints
from app.backend import Local, facts
from app.handlers import Handlers
from engine.picture.files import open_image
from engine.request import EditRequest
from engine.request.options import EditOptions
from tests.app.layers import layer
from tests.app.visit import opened, shown
from tests.test_toy_family import toy_editor

BOX = (20, 10, 40, 30)
TASKS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("inpaint", None, {}),
    ("edit_class", "light", {}),
    ("outpaint", None, {"right": 60}),
    ("generate", "dark", {}),
)


@pytest.fixture
def handlers() -> Handlers:
    backend = Local()
    backend.add(toy_editor(), first=True)
    return Handlers(backend)


@pytest.mark.parametrize(("task", "label", "more"), TASKS, ids=[task for task, *_ in TASKS])
def test_every_task_gives_the_window_what_python_gets(
    handlers: Handlers, photo: str, task: str, label: str | None, more: dict[str, Any]
) -> None:
    fields = {f"extend-{side}": str(amount) for side, amount in more.items()}
    painted = layer(BOX) if task in ("inpaint", "edit_class") else ""
    screens = shown(handlers, opened(handlers, photo), painted, task, label, seed="5", **fields)
    asked: dict[str, Any] = {"task": task, "label": label, "options": EditOptions(seed=5), **more}
    if task != "generate":
        asked["image"] = open_image(photo)
    if painted:
        asked["mask"] = np.zeros((40, 60), bool)
        asked["mask"][BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    expected = toy_editor().run(EditRequest(**asked)).images[0]
    assert np.array_equal(screens[-1]["session"].outcome.image, np.asarray(expected))


def test_the_menu_and_scripts_hear_of_it(handlers: Handlers) -> None:
    offers = {offer.name: offer for offer in handlers.backend.offers()}
    assert offers["toy"].present
    assert facts(handlers.backend.card("toy"))["labels"] == ["dark", "grey", "light"]


def test_a_script_edits_with_it(handlers: Handlers) -> None:
    paths, report = Endpoints(handlers).generate("light", {"seed": 2}, "toy")
    made = np.asarray(Image.open(paths[0]))
    assert np.array_equal(made, np.asarray(toy_editor().generate("light", EditOptions(seed=2))
                                           .images[0]))  # fmt: skip
    assert report["seeds"] == [2]
