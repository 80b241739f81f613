"""A service on a small cluster: the answers of Python, whoever leaves or dies meanwhile."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from engine import EditOptions, EditRequest, RequestError, ScaleDone, load_editor, open_image
from engine.errors import EngineError
from engine.events import Finished, result_of
from engine.request import Region
from engine.serving.local import Local
from tests.pictures import noisy_rgb
from tests.serving.conftest import save_mask
from tests.serving.fleet import cluster, processes, processes_of, service

pytest.importorskip("ray.serve", reason="needs Ray's Serve; run: pip install 'ray[serve]'",
                    exc_type=ImportError)  # fmt: skip
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WAITING = 6
SOME = {"seed": 4, "variations": 16}
LONG = {"seed": 4, "variations": 4}  # with these margins thirty frames
WIDE = {"right": 600}
EVENTS = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def nodes(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A cluster, and the address of the service's HTTP."""
    log = tmp_path_factory.mktemp("service") / "log.txt"
    flags = ("--model", model, "--device", "cpu", "--min", "2", "--max", "2", "--waiting",
             str(WAITING), "--work", "400")  # fmt: skip
    with cluster(3) as made, service(made.address, log, *flags) as url:
        yield made, url


@pytest.fixture
def url(nodes: tuple[Any, str]) -> str:
    return nodes[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    noisy_rgb(60, 40).save(folder / "image.png")
    save_mask(folder / "mask.png", (40, 60))
    save_mask(folder / "other.png", (40, 60), left=36)
    return {path.stem: path for path in folder.iterdir()}


def sent(files: dict[str, Path], *names: str) -> list[tuple[str, tuple[str, bytes]]]:
    found = []
    for name in names:
        field, _, file = name.partition("=")
        path = files[file or field]
        found.append((field, (path.name, path.read_bytes())))
    return found


def ask(url: str, task: str, files: Any, options: Any, headers: Any = None, **texts: Any) -> Any:
    data = {"options": json.dumps(options), **texts}
    return httpx.post(f"{url}/{task}", files=files, data=data, headers=headers, timeout=120)


def pictures(answer: Any) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    return [base64.b64decode(each) for each in answer.json()["images"]]


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for each in text.strip().split("\n\n"):
        kind, data = each.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As the replicas compute: with two a last bit may be another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def by_python(model: str, request: EditRequest) -> list[bytes]:
    result = load_editor(model, device="cpu").run(request)
    return [result.png(index) for index in range(len(result.images))]


def test_each_task_gives_the_bytes_that_python_gives(
    url: str, files: dict[str, Path], model: str
) -> None:
    image, mask, other = (open_image(files[name]) for name in ("image", "mask", "other"))
    options = EditOptions(seed=3, variations=2)
    asked = {
        "inpaint": (sent(files, "image", "mask"), {}, {"image": image, "mask": mask}),
        "outpaint": (sent(files, "image"), {"right": "50%", "top": "7"},
                     {"image": image, "right": "50%", "top": 7}),
        "edit_class": (sent(files, "image", "masks=mask", "masks=other"),
                       {"labels": ["bird", "boat"]},
                       {"image": image, "regions": (Region(mask=mask, label="bird"),
                                                    Region(mask=other, label="boat"))}),
        "generate": ([], {"label": "bird"}, {"label": "bird"}),
    }  # fmt: skip
    for task, (there, texts, here) in asked.items():
        answer = ask(url, task, there, {"seed": 3, "variations": 2}, **texts)
        expected = by_python(model, EditRequest(task=task, options=options, **here))
        assert pictures(answer) == expected, task
        assert answer.json()["seeds"] == [3, 4] and answer.json()["notes"] == []
    only = ask(url, "generate", [], {"seed": 3}, {"accept": "image/png"}, label="bird")
    assert only.headers["content-type"] == "image/png" and only.content == expected[0]


def test_an_edit_can_be_watched_scale_by_scale(url: str, files: dict[str, Path]) -> None:
    given = sent(files, "image", "mask")
    told = events(ask(url, "inpaint", given, {"seed": 2}, EVENTS).text)
    assert [kind for kind, _ in told] == ["begun", *["scale"] * 3, "made"]
    for number, (_, scale) in enumerate(told[1:-1]):
        assert (scale["index"], scale["of"]) == (number, 3)
        (preview,) = scale["previews"]
        assert open_image(base64.b64decode(preview)).size == (60, 40)
    assert told[-1][1]["images"] == ask(url, "inpaint", given, {"seed": 2}).json()["images"]


MISTAKES: tuple[tuple[str, str, dict[str, Any], int, str], ...] = (
    ("POST", "nowhere", {}, 404, "/inpaint"),
    ("GET", "inpaint", {}, 405, "POST"),
    ("POST", "inpaint", {"content": b"{}", "headers": {"content-type": "application/json"}}, 415,
     "form"),
    ("POST", "generate", {"headers": {"origin": "http://elsewhere.example"}}, 403, "pages"),
    ("POST", "inpaint", {"data": {"options": "[1]"}}, 400, "options"),
    ("POST", "inpaint", {"data": {"options": '{"sed": 1}'}}, 400, "sed"),
    ("POST", "inpaint", {"data": {"right": "5"}}, 400, "right: unknown"),
    ("POST", "inpaint", {"data": {"label": ["a", "b"]}}, 400, "label: expected one"),
    ("POST", "inpaint", {"data": {"mask": "a path"}}, 400, "mask: expected a file"),
    ("POST", "inpaint", {}, 400, "picture"),
    ("POST", "inpaint", {"files": [("image", ("a", b"no picture"))]}, 400, "image"),
    ("POST", "generate", {"data": {"label": "brid"}}, 400, "bird"),
    ("POST", "generate", {"data": {"model": "/etc"}}, 400, "unknown model"),
    ("POST", "generate", {"data": {"options": '{"variations": 200}'}}, 400, "variations"),
    ("POST", "edit_class", {"data": {"labels": "bird"}}, 400, "0 masks and 1 labels"),
)  # fmt: skip


def test_a_mistake_is_told_in_one_line(url: str, files: dict[str, Path]) -> None:
    for method, path, given, status, words in MISTAKES:
        answer = httpx.request(method, f"{url}/{path}", timeout=60, **given)
        error = answer.json()["error"]
        assert answer.status_code == status and words in error and "\n" not in error, (path, given)
    told = events(ask(url, "generate", [], {}, EVENTS, label="brid").text)
    assert told[-1][0] == "error" and "bird" in told[-1][1]["error"]
    large = ask(url, "outpaint", sent(files, "image"), {"variations": 16}, **WIDE)
    assert large.status_code == 400 and "400 is the bound" in large.json()["error"]


def test_it_says_what_it_has(url: str) -> None:
    models = httpx.get(f"{url}/models", timeout=60).json()
    assert models["loaded"]["name"] == "tiny" and "bird" in models["loaded"]["labels"]
    assert {"tiny", "bundled"} <= {each["name"] for each in models["models"]}
    assert httpx.get(f"{url}/ready").json() == {"replicas": 2}


def test_edits_of_one_picture_go_to_the_replica_that_remembers_it(
    url: str, files: dict[str, Path]
) -> None:
    def replica(number: int) -> str:
        given = sent(files, "image", "mask")
        told = events(ask(url, "inpaint", given, {"seed": number}, EVENTS).text)
        return str(told[0][1]["replica"])

    first = replica(0)
    time.sleep(1.0)  # until all have heard who remembers it
    assert {replica(number) for number in range(1, 6)} == {first}


def test_too_many_at_once_are_refused_at_once_and_the_others_get_their_own(url: str) -> None:
    def one(seed: int) -> Any:
        return ask(url, "generate", [], {**SOME, "seed": seed}, label="bird")

    with ThreadPoolExecutor(4 * WAITING) as pool:
        answers = list(pool.map(one, range(4 * WAITING)))
    refused = [each for each in answers if each.status_code == 503]
    assert 0 < len(refused) <= 3 * WAITING
    for each in refused:
        assert "wait already" in each.json()["error"] and int(each.headers["retry-after"]) > 0
    for seed, each in enumerate(answers):
        if each.status_code != 503:
            assert each.json()["seeds"][0] == seed
            assert pictures(each) == pictures(one(seed))


@pytest.fixture(scope="module")
def fleet(nodes: tuple[Any, str]) -> Any:
    """One connection for all: Ray's Serve has threads that outlive one, and a second trips over
    them."""
    from engine.serving.fleet import Fleet

    return Fleet(nodes[0].address)


@contextmanager
def watched(
    url: str, files: dict[str, Path], **options: Any
) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of a long edit, as they come."""
    data = {"options": json.dumps({**LONG, **options}), **WIDE}
    with httpx.stream("POST", f"{url}/outpaint", headers=EVENTS, timeout=120, data=data,
                      files=sent(files, "image")) as stream:  # fmt: skip

        def told() -> Iterator[tuple[str, Any]]:
            lines = stream.iter_lines()
            for line in lines:
                if line.startswith("event: "):
                    data = next(lines).removeprefix("data: ")
                    yield line.removeprefix("event: "), json.loads(data)

        yield told()


def test_whoever_leaves_ends_their_edit(url: str, files: dict[str, Path]) -> None:
    with watched(url, files) as told:
        assert [next(told)[0] for _ in range(3)] == ["begun", "scale", "scale"]
    began = time.monotonic()
    while httpx.get(f"{url}/health").json()["inside"] and time.monotonic() < began + 20:
        time.sleep(0.05)
    assert httpx.get(f"{url}/health").json() == {"inside": 0}
    seconds = time.monotonic() - began
    assert pictures(ask(url, "generate", [], {"seed": 1}, label="bird"))
    assert seconds < 10, "it went on"


def test_an_edit_whose_replica_dies_is_done_elsewhere_and_says_nothing_twice(
    url: str, files: dict[str, Path], fleet: Any, model: str
) -> None:
    import ray

    heard, alone = [], {"variations": 1}
    with watched(url, files, **alone) as told:
        for kind, what in told:
            heard.append((kind, what.get("index")))
            if kind == "begun":
                name = f"SERVE_REPLICA::varpaint#Replica#{what['replica']}"
            if what.get("index") == 4:
                ray.kill(ray.get_actor(name, namespace="serve"))
    count = what["seconds"] and len(heard) - 2
    assert heard == [("begun", None), *(("scale", each) for each in range(count)), ("made", None)]
    asked = {"image": open_image(files["image"]), "options": {**LONG, **alone}, **WIDE}
    request = EditRequest(task="outpaint", **asked)
    assert [base64.b64decode(each) for each in what["images"]] == by_python(model, request)


def test_a_door_that_dies_is_a_refusal_in_words(
    nodes: tuple[Any, str], files: dict[str, Path]
) -> None:
    made, url = nodes
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(ask, url, "outpaint", sent(files, "image"), LONG, **WIDE) for _ in range(2)
        ]
        while httpx.get(f"{url}/health").json()["inside"] < 2:
            time.sleep(0.05)
        for number in processes("ray::ServeReplica:varpaint:Door") & processes_of(made.address):
            os.kill(number, signal.SIGKILL)
        for each in asked:
            answer = each.result()
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert "try again" in answer.json()["error"]
    end = time.monotonic() + 60
    while (answer := ask(url, "generate", [], {"seed": 1}, label="bird")).status_code != 200:
        assert answer.status_code == 503 and "try again" in answer.json()["error"], answer.text
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_window_on_a_fleet_sees_what_it_sees_on_one_machine(
    fleet: Any, files: dict[str, Path], model: str
) -> None:
    alone = Local(model, "cpu")
    assert fleet.card() == alone.card() and fleet.ready() and fleet.chosen == alone.chosen
    alone.load()  # what the others take is said by what it takes
    assert fleet.offers() == alone.offers()
    request = EditRequest(
        task="inpaint", image=open_image(files["image"]), mask=open_image(files["mask"]),
        options=EditOptions(seed=5, variations=2),
    )  # fmt: skip
    there, here = list(fleet.steps(request)), list(alone.steps(request))
    assert [(e.index, e.of) for e in there if isinstance(e, ScaleDone)] == [
        (e.index, e.of) for e in here if isinstance(e, ScaleDone)
    ]
    assert all(len(each.previews()) == 2 for each in there if isinstance(each, ScaleDone))
    made, expected = result_of(there), result_of(here)
    assert [made.png(each) for each in (0, 1)] == [expected.png(each) for each in (0, 1)]
    assert made.request.image is request.image and made.request.mask is request.mask
    assert made.request.model_dump() == expected.request.model_dump()
    fleet.warm(request)
    for wrong in ({"label": "brid"}, {"model": "/etc"}):
        with pytest.raises(EngineError) as told:
            list(fleet.steps(EditRequest(task="generate", **wrong)))
        with pytest.raises(EngineError) as local:
            list(alone.steps(EditRequest(task="generate", **wrong)))
        assert str(told.value) == str(local.value)


def test_a_run_on_a_fleet_waits_in_line_and_is_cancelled(
    fleet: Any, files: dict[str, Path]
) -> None:
    image = open_image(files["image"])
    long = [
        EditRequest(task="outpaint", image=image.rotate(90 * turn), options=LONG, **WIDE)
        for turn in range(8)
    ]
    heard: list[int] = []
    ends, cancelled = threading.Event(), threading.Event()
    with ThreadPoolExecutor(len(long)) as pool:
        for request in long[:-1]:  # more than there are replicas
            pool.submit(lambda asked: list(fleet.steps(asked, ends)), request)
        time.sleep(0.2)
        last = pool.submit(lambda: list(fleet.steps(long[-1], cancelled, heard.append)))
        until = time.monotonic() + 30
        while not heard and not last.done() and time.monotonic() < until:
            time.sleep(0.01)
        cancelled.set()
        fleet.wake()
        left = last.result(30)
        assert heard and heard[0] in range(1, 8)
        assert not any(isinstance(each, Finished) for each in left)
        ends.set()
    assert not fleet._runs
    assert isinstance(list(fleet.steps(EditRequest(task="generate", label="bird")))[-1], Finished)


def test_prometheus_reads_how_edits_ended_and_what_their_parts_took(
    nodes: tuple[Any, str],
) -> None:
    """After the tests above: Ray tells its port once in ten seconds."""
    (path,) = Path(nodes[0].head_node.get_session_dir_path()).glob("metrics_export_port_*")
    wanted = {
        'ended="done"', 'ended="failed"', 'ended="left"', 'part="wait"', 'part="open"',
        'part="edit"', 'part="write"', "ray_varpaint_waiting{", 'ray_varpaint_refused_total{',
    }  # fmt: skip
    until = time.monotonic() + 40
    while missing := {each for each in wanted if each not in metrics(path.read_text())}:
        assert time.monotonic() < until, missing
        time.sleep(1)


def metrics(port: str) -> str:
    told = httpx.get(f"http://127.0.0.1:{port.strip()}/metrics", timeout=20).text
    return "\n".join(line for line in told.splitlines() if line.startswith("ray_varpaint"))


def test_a_cluster_without_a_service_is_said_so() -> None:
    from engine.serving.fleet import Fleet

    with pytest.raises(RequestError, match="--fleet: no cluster"):
        Fleet("127.0.0.1:1")
