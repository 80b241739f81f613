"""The HTTP endpoints, called as a script would: through ``gradio_client``, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio.utils import get_function_description
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.api import Endpoints
from engine import load_editor
from engine.picture.files import open_image, read_request
from engine.request.options import EditOptions
from tests.pictures import noisy_rgb


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[Client]:
    client = Client(server, verbose=False, analytics_enabled=False)
    yield client
    client.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    paths = {name: folder / name for name in ("photo.png", "mask.png", "small.png", "notes.txt")}
    noisy_rgb(60, 40).save(paths["photo.png"])
    mask = Image.new("L", (60, 40), 0)
    mask.save(paths["small.png"])
    mask.paste(255, (20, 10, 40, 30))
    mask.save(paths["mask.png"])
    paths["notes.txt"].write_text("no picture")
    return paths


def call(client: Client, name: str, *given: Any) -> Any:
    return client.predict(*given, api_name=f"/{name}")


def test_only_the_documented_endpoints_are_public(client: Client) -> None:
    api = client.view_api(return_format="dict", print_info=False)
    assert set(api["named_endpoints"]) == {
        "/inpaint", "/outpaint", "/edit_class", "/generate", "/models",
    }  # fmt: skip
    assert api["unnamed_endpoints"] == {}


def test_inpaint_gives_the_same_bytes_as_python(
    client: Client, files: dict[str, Path], tiny_model_folder: Path
) -> None:
    photo, mask = handle_file(files["photo.png"]), handle_file(files["mask.png"])
    images, report = call(
        client, "inpaint", photo, mask, None, {"seed": 3, "variations": 2}, None
    )
    result = load_editor(str(tiny_model_folder), device="cpu").inpaint(
        open_image(files["photo.png"]),
        open_image(files["mask.png"]),
        options=EditOptions(seed=3, variations=2),
    )
    assert report["seeds"] == [3, 4]
    assert report["request"]["options"]["seed"] == 3
    assert [Path(path).read_bytes() for path in images] == [result.png(0), result.png(1)]
    assert '"seed":4' in (read_request(open_image(images[1])) or "")


def test_outpaint_takes_pixels_and_percent(client: Client, files: dict[str, Path]) -> None:
    photo = handle_file(files["photo.png"])
    images, _ = call(client, "outpaint", photo, 0, 10, 0, "50%", None, {"seed": 1}, None)
    assert open_image(images[0]).size == (70, 60)


@pytest.mark.parametrize("model", ["/etc", "/", "../..", "weights/bundled", "~"])
def test_no_folder_of_the_server_can_be_asked_for_as_a_model(client: Client, model: str) -> None:
    with pytest.raises(AppError) as told:
        call(client, "generate", "bird", {"seed": 1}, model)
    line = str(told.value)
    assert "unknown model" in line and "known: " in line and "tiny" in line
    assert "passwd" not in line and "/work" not in line and "expected vqvae" not in line
    assert call(client, "models")["loaded"]["name"] == "tiny"


def test_a_model_that_is_not_here_is_told_without_a_folder_of_the_server(client: Client) -> None:
    with pytest.raises(AppError, match="models download var-d16") as told:
        call(client, "generate", "bird", {"seed": 1}, "var-d16")
    assert "/weights" not in str(told.value)
    assert "/tiny" not in str(call(client, "models"))


def test_notes_are_in_the_report(client: Client, files: dict[str, Path]) -> None:
    photo, mask = handle_file(files["photo.png"]), handle_file(files["mask.png"])
    _, report = call(client, "inpaint", photo, mask, None, {"seed": 1}, "auto")
    assert report["notes"] == []
    options = {"seed": 1, "blend": "none", "studio": True, "backdrop": True}
    box = Image.new("L", (60, 40), 255)
    box.paste(0, (0, 0, 8, 40))
    box.save(files["mask.png"].with_name("most.png"))
    most = handle_file(files["mask.png"].with_name("most.png"))
    _, report = call(client, "edit_class", photo, most, "bird", options, None)
    assert any(note.startswith("blend: ") for note in report["notes"])


def test_edit_class_and_generate_take_a_label(client: Client, files: dict[str, Path]) -> None:
    photo, mask = handle_file(files["photo.png"]), handle_file(files["mask.png"])
    images, report = call(client, "edit_class", photo, mask, "bird", {"seed": 1}, None)
    assert len(images) == 1 and report["request"]["label"] == "bird"
    images, _ = call(client, "generate", "boat", {"seed": 1}, None)
    assert open_image(images[0]).size == (32, 32)


def test_models_tells_names_and_classes(client: Client) -> None:
    report = call(client, "models")
    assert report["loaded"]["name"] == "tiny" and "bird" in report["loaded"]["labels"]
    assert "tiny" in [model["name"] for model in report["models"]]


@pytest.mark.parametrize(
    ("mask", "label", "options", "model", "words"),
    [
        ("mask.png", None, {"variations": "three"}, None, "variations"),
        ("mask.png", None, {"sed": 3}, None, "unknown option 'sed'"),
        ("mask.png", None, [1, 2], None, "options: expected an object"),
        ("mask.png", None, "fast", None, "options"),
        ("mask.png", None, {"seed": True}, None, "seed"),
        ("mask.png", None, None, 7, "model: expected a name"),
        ("mask.png", None, None, "var-d99", "var-d99"),
        ("mask.png", "brid", None, None, "bird"),
        ("mask.png", {"a": 1}, None, None, "label"),
        ("small.png", None, None, None, "mask is empty"),
        ("notes.txt", None, None, None, "cannot be read"),
        (None, None, None, None, "needs a mask"),
    ],
)
def test_mistakes_get_one_line(
    client: Client, files: dict[str, Path], mask: str | None, label: Any, options: Any,
    model: Any, words: str,
) -> None:  # fmt: skip
    photo = handle_file(files["photo.png"])
    given = handle_file(files[mask]) if mask else None
    with pytest.raises(AppError) as told:
        call(client, "inpaint", photo, given, label, options, model)
    line = str(told.value)
    assert words in line and "\n" not in line and "Traceback" not in line


@pytest.mark.parametrize("value", [7, "photo.png", {"a": 1}, [1], True])
def test_a_picture_that_is_no_file_gets_one_line(client: Client, value: Any) -> None:
    import httpx

    url = f"{client.src}gradio_api/call/inpaint"
    posted = httpx.post(url, json={"data": [value, None, None, None, None]})
    if posted.status_code != 200:
        assert "Traceback" not in posted.text
        return
    stream = httpx.get(f"{url}/{posted.json()['event_id']}", timeout=20).text
    assert "event: error" in stream and "Traceback" not in stream
    assert "/work" not in stream and "site-packages" not in stream


def test_a_file_that_is_no_picture_is_told_by_its_name(client: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(AppError, match=r"^notes\.png: (?!.*/)"):
        call(client, "inpaint", handle_file(tmp_path / "notes.png"), None, None, None, None)


def test_files_of_the_server_cannot_be_asked_for(client: Client) -> None:
    import httpx

    url = f"{client.src}gradio_api/call/inpaint"
    secret = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    posted = httpx.post(url, json={"data": [secret, None, None, None, None]})
    stream = httpx.get(f"{url}/{posted.json()['event_id']}", timeout=20).text
    assert "event: error" in stream
    assert httpx.get(f"{client.src}gradio_api/file=/etc/hostname").status_code in (403, 404)


def test_regions_are_a_list_of_masks_and_one_of_labels(
    client: Client, files: dict[str, Path]
) -> None:
    photo, mask = handle_file(files["photo.png"]), handle_file(files["mask.png"])
    options = {"seed": 1, "candidates": 2, "blend": "none", "soft_scales": 1}
    images, report = call(client, "edit_class", photo, None, None, options, None, [mask], ["bird"])
    assert report["request"]["regions"] == [{"label": "bird"}]
    assert len(images) == 1 and len(report["scores"]) == 1
    assert report["request"]["options"]["soft_scales"] == 1


@pytest.mark.parametrize(
    ("masks", "labels", "words"),
    [
        (["mask.png"], None, "a label for each mask, got 1 masks and 0 labels"),
        ([], ["bird"], "got 0 masks and 1 labels"),
        (["mask.png"], ["brid"], "bird"),
        (["mask.png"], "bird", "labels: expected a list"),
        (["notes.txt"], ["bird"], "cannot be read"),
        (["small.png"], ["bird"], "mask"),
        (["mask.png"] * 13, ["bird"] * 13, "13 regions at once; 12 are the most"),
    ],
)
def test_mistakes_about_regions_get_one_line(
    client: Client, files: dict[str, Path], masks: list[str], labels: Any, words: str
) -> None:
    photo, given = handle_file(files["photo.png"]), [handle_file(files[name]) for name in masks]
    with pytest.raises(AppError) as told:
        call(client, "edit_class", photo, None, None, None, None, given, labels)
    assert words in str(told.value) and "\n" not in str(told.value)


def test_every_parameter_has_a_valid_schema_and_a_description(client: Client) -> None:
    """MCP clients check the schema of a tool before they call it."""
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for endpoint in api.values():
        for parameter in endpoint["parameters"]:
            for one in parameter["type"].get("anyOf", []):
                assert isinstance(one["type"], str)
    assert all(endpoint["description"].strip() for endpoint in api.values())
    for name, endpoint in api.items():
        function = getattr(Endpoints, name.removeprefix("/"))
        _, told, _ = get_function_description(function)  # what MCP clients are told
        for parameter in endpoint["parameters"]:
            assert len(told.get(parameter["parameter_name"], "")) > 10, parameter["label"]


def test_the_example_of_the_docs_works(
    server: str, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text()
    code = page.split("## HTTP", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    assert "http://127.0.0.1:7860" in code
    noisy_rgb(60, 40).save(tmp_path / "photo.jpg")
    (tmp_path / "mask.png").write_bytes(files["mask.png"].read_bytes())
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:7860", server), scope)
    assert len(scope["files"]) == 2 and scope["report"]["seeds"] == [7, 8]
    scope["client"].close()
