"""What a service is set to and what a form asks for: decided without Ray and without a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import EngineError, RequestError, ScaleDone
from engine.__main__ import main
from engine.serving.fleet import Fleet
from engine.serving.posted import Posted
from engine.serving.service import Service
from engine.serving.told import SERIES, TRIES, Tale, place_of
from tests.house import ROOT
from tests.pictures import noisy_rgb


def test_flags_go_before_the_file_and_the_file_before_what_is_usual(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text("min: 2\nmax: 8\nmemory: 1.5\n")
    service = Service.read(path, {"max": 3, "target": None})
    assert (service.min, service.max, service.target) == (2, 3, 2.0)
    assert service.bounds.memory == 3 << 29
    assert Service.read(None, {}) == Service()


MISTAKES = (
    ("minimum: 2", "minimum: unknown; known: model, device"),
    ("min: none", "min: "),
    ("min: 0", "min: "),
    ("- 1", "expected lines"),
    ("min: [", "cannot be read"),
)


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_in_the_file_is_told_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(text)
    for given in (path, tmp_path / "none.yaml"):
        with pytest.raises(RequestError) as told:
            Service.read(given, {})
        assert "\n" not in str(told.value) and given.name in str(told.value)
        assert given != path or words in str(told.value)


@pytest.mark.parametrize(
    "arguments",
    [["serve"], ["batch", "{job}", "-o", "{out}", "--ray", "local"]],
    ids=["serve", "batch"],
)
def test_without_ray_it_says_what_to_install(
    arguments: list[str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("ray", "ray.serve"):
        monkeypatch.setitem(sys.modules, name, None)
    places = {"job": photos, "out": tmp_path / "out"}
    assert main([each.format(**places) for each in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "pip install 'ray[serve]'" in error and "\n" not in error


def test_without_ray_the_window_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    with pytest.raises(RequestError, match=r"--fleet: .* pip install 'ray\[serve\]'"):
        Fleet("127.0.0.1:6379")


def test_an_edit_that_is_begun_again_makes_the_same() -> None:
    posted = Posted.of("generate", {"label": ["bird"], "options": ["{}"]}, {})
    seed = posted.bare().options.seed
    assert seed is not None and posted.request().options.seed == seed
    given = Posted.of("outpaint", {"right": ["25%"], "left": [""], "options": ['{"seed": 3}']}, {})
    request = given.bare()
    assert (request.right, request.left, request.options.seed) == ("25%", 0, 3)


def test_a_tale_that_is_begun_again_says_nothing_twice() -> None:
    def told(*scales: int) -> list[tuple[str, Any]]:
        return [("begun", "a"), *(("event", ScaleDone(k, 3, 1, 0, 1)) for k in scales)]

    tale = Tale()
    heard = [each for each in (*told(0, 1), *told(0, 1, 2), ("made", None)) if tale.is_news(each)]
    assert [kind for kind, _ in heard] == ["begun", "event", "event", "event", "made"]
    assert [what.index for kind, what in heard if kind == "event"] == [0, 1, 2]
    assert tale.ended


def test_only_what_is_a_machines_fault_is_begun_again_and_not_for_ever() -> None:
    ray = pytest.importorskip("ray", exc_type=ImportError)
    pytest.importorskip("ray.serve", exc_type=ImportError)
    tale = Tale()
    with pytest.raises(ZeroDivisionError):
        tale.begin_again(ZeroDivisionError())
    for _ in range(TRIES - 1):
        tale.begin_again(ray.exceptions.ActorDiedError())
    with pytest.raises(EngineError, match="lost this edit"):
        tale.begin_again(ray.exceptions.ActorDiedError())


def test_one_picture_has_one_place() -> None:
    one, other = noisy_rgb(30, 20), noisy_rgb(20, 30)
    assert place_of(one) == place_of(one.copy()) != place_of(other)
    assert place_of(None) == "" and int(place_of(b"x"), 16) < SERIES


def test_the_example_of_a_deployment_is_one_that_a_service_takes() -> None:
    said = yaml.safe_load((ROOT / "deploy/serve.yaml").read_text())
    (application,) = said["applications"]
    assert Service.of(application["args"]).doors == 2
    assert json.dumps(said) and said["http_options"]["host"] == "127.0.0.1"


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_ray_takes_the_examples_of_a_deployment_and_of_a_cluster() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util", exc_type=ImportError)
    schema = pytest.importorskip("ray.serve.schema", exc_type=ImportError)
    cluster = util.prepare_config(yaml.safe_load((ROOT / "deploy/cluster.yaml").read_text()))
    util.validate_config(cluster)
    assert cluster["max_workers"] == 1
    said = yaml.safe_load((ROOT / "deploy/serve.yaml").read_text())
    deployed = schema.ServeDeploySchema.model_validate(said)
    assert deployed.applications[0].import_path == "engine.serving.application:application"


def test_the_image_copies_what_there_is() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split() for line in lines if line and not line.startswith("#")]
    known = {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "USER", "ENV", "EXPOSE", "HEALTHCHECK",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {step[0] for step in steps} <= known
    for step in steps:
        if step[0] == "COPY":
            assert all((ROOT / name).exists() for name in step[1:-1]), step
