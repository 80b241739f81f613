"""The same request from the window, HTTP, the command line and Python: identical bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from app.backend import Local
from app.canvas import read_mask
from app.forms import edit_request
from app.handlers import Handlers
from engine import load_editor
from engine.__main__ import main
from engine.picture.files import open_image
from engine.request import EditRequest, Region
from engine.request.options import EditOptions
from tests.app.layers import layer
from tests.app.visit import LEFT, RIGHT, a_ticket, last, mask
from tests.pictures import noisy_rgb

OPTIONS: dict[str, Any] = {"seed": 11, "variations": 2, "feather": 2}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noisy_rgb(60, 40).save(tmp_path / "photo.png")
    mask(LEFT).save(tmp_path / "left.png")
    mask(RIGHT).save(tmp_path / "right.png")
    return tmp_path / "photo.png"


@pytest.fixture
def client(server: str) -> Any:
    client = Client(server, verbose=False, analytics_enabled=False)
    yield client
    client.close()


def by_python(model: Path, request: EditRequest) -> list[bytes]:
    result = load_editor(str(model), device="cpu").run(request)
    return [result.png(index) for index in range(len(result.images))]


def by_window(model: Path, photo: Path, painted: list[str], labels: list[str],
              **fields: Any) -> list[bytes]:  # fmt: skip
    """Regions first, the last one is what is painted at Run."""
    handlers = Handlers(Local(str(model), "cpu"))
    session = _begin(handlers, photo)
    for sent, label in zip(painted[:-1], labels[:-1], strict=False):
        session = last(handlers.masks.add_region(sent, label, session))["session"]
    handlers.store.put(session)  # as the page's wiring does
    task = "edit_class" if labels else "inpaint"
    ticket = a_ticket()
    label = labels[-1] if labels else None
    screens = handlers.runs.run(ticket, painted[-1], session, task, label, None, **fields)
    session = last(screens)["session"]
    return _files(handlers, session)


def _begin(handlers: Handlers, photo: Path) -> Any:
    session = next(iter(handlers.opened()))["session"]
    session = last(handlers.open_picture(str(photo), "", "inpaint", session))["session"]
    handlers.store.put(session)
    return session


def _files(handlers: Handlers, session: Any) -> list[bytes]:
    """In the order of their seeds: the window shows the best one first."""
    order = sorted(range(len(session.results)), key=lambda index: session.results[index].seed)
    paths = [last(handlers.saving.picture("PNG", session.chose(each)))["file"] for each in order]
    return [Path(path).read_bytes() for path in paths]


def by_command_line(model: Path, folder: Path, *arguments: str) -> list[bytes]:
    """That a process of its own makes no difference is a test of the command line's."""
    out = folder / "out.png"
    assert main([*arguments, "-o", str(out), "--model", str(model), "--device", "cpu"]) == 0
    return [path.read_bytes() for path in sorted(folder.glob("out-*.png"))]


def by_http(client: Client, name: str, *given: Any) -> list[bytes]:
    files, _ = client.predict(*given, api_name=f"/{name}")
    return [Path(file).read_bytes() for file in files]


def test_inpaint(client: Client, photo: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    model = tiny_model_folder
    request = edit_request("inpaint", image=open_image(photo), mask=mask(LEFT), options=OPTIONS)
    expected = by_python(model, request)
    assert len(expected) == 2
    left = photo.parent / "left.png"
    assert by_http(client, "inpaint", handle_file(photo), handle_file(left), None, OPTIONS,
                   None) == expected  # fmt: skip
    fields = {"seed": "11", "variations": 2, "feather": "2"}
    assert by_window(model, photo, [layer(LEFT)], [], **fields) == expected
    assert by_command_line(
        model, tmp_path, "inpaint", str(photo), "--mask", str(left), "--seed", "11",
        "--variations", "2", "--feather", "2",
    ) == expected  # fmt: skip


@pytest.mark.parametrize("more", [{}, {"backdrop": True, "studio": True}], ids=["", "studio"])
def test_regions(
    client: Client, photo: Path, tmp_path: Path, tiny_model_folder: Path, more: dict[str, bool]
) -> None:
    model, folder = tiny_model_folder, photo.parent
    given = {**OPTIONS, **more}
    regions = (Region(mask=mask(LEFT), label="bird"), Region(mask=mask(RIGHT), label="boat"))
    request = EditRequest(task="edit_class", image=open_image(photo), regions=regions,
                          options=EditOptions(**given))  # fmt: skip
    expected = by_python(model, request)
    masks = [handle_file(folder / "left.png"), handle_file(folder / "right.png")]
    assert by_http(client, "edit_class", handle_file(photo), None, None, given, None, masks,
                   ["bird", "boat"]) == expected  # fmt: skip
    painted = [layer(LEFT), layer(RIGHT)]
    fields = {"seed": "11", "variations": 2, "feather": "2", **dict.fromkeys(more, "yes")}
    assert by_window(model, photo, painted, ["bird", "boat"], **fields) == expected
    assert by_command_line(
        model, tmp_path, "edit-class", str(photo), "--region", f"{folder / 'left.png'}:bird",
        "--region", f"{folder / 'right.png'}:boat", "--seed", "11", "--variations", "2",
        "--feather", "2", *(word for name in more for word in ("--set", f"{name}=true")),
    ) == expected  # fmt: skip


def test_a_re_roll(client: Client, photo: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    """What the window's "more like this" makes, any door makes from the request in its PNG."""
    model = tiny_model_folder
    handlers = Handlers(Local(str(model), "cpu"))
    session = _begin(handlers, photo)
    ticket = a_ticket()
    screens = handlers.runs.run(ticket, layer(LEFT), session, "inpaint", None, None,
                                seed="11", feather="2")  # fmt: skip
    session = last(screens)["session"]
    ticket = a_ticket()
    session = last(handlers.runs.more(ticket, 1, session, None, variations=2))["session"]
    expected = _files(handlers, session)
    first = min(session.results, key=lambda each: each.seed)
    options = json.loads(first.request.to_json())["options"] | {"variations": 2}
    assert options["coarse_seeds"] == [11]
    request = edit_request("inpaint", image=open_image(photo), mask=mask(LEFT), options=options)
    assert by_python(model, request) == expected
    left = photo.parent / "left.png"
    assert by_http(client, "inpaint", handle_file(photo), handle_file(left), None, options,
                   None) == expected  # fmt: skip
    assert by_command_line(
        model, tmp_path, "inpaint", str(photo), "--mask", str(left), "--coarse-seeds", "11",
        "--seed", str(options["seed"]), "--variations", "2", "--feather", "2",
    ) == expected  # fmt: skip


def test_a_mask_painted_and_one_sent_as_a_picture_are_the_same() -> None:
    by_hand = read_mask(layer(LEFT), (60, 40))
    assert by_hand is not None and by_hand.tobytes() == mask(LEFT).tobytes()
