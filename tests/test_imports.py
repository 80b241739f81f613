"""Imports point one way, and importing does nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.house import ROOT, arrows, floors, imports, sources

# The house from the ground up: a room imports from those below it here, never from its own floor.
HOUSE = (
    ("errors", "arrays", "model"),
    ("request", "frames", "machine"),
    ("picture", "plan"),
    ("draw", "events", "paint", "weights"),
    ("fast", "training"),
    ("runner",),
    ("editor",),
    ("loading",),
    ("evaluation", "benchmark", "serving"),
    ("__main__", "app"),
)
STOREY = {room: number for number, rooms in enumerate(HOUSE) for room in rooms}

# What a part must never see, wherever in its code.
TORCH = {"torch", "safetensors", "xformers"}
FORBIDDEN = {
    "engine": {"gradio", "app"},
    "engine/model": {"PIL", "cv2", "numpy", "pathlib", "os", "io", "safetensors"},
    "engine/model/spec.py": {"torch"},
    "engine/draw": {"PIL", "cv2", "pathlib", "os", "io", "safetensors"},
    "engine/errors.py": TORCH,
    "engine/arrays.py": TORCH,
    "engine/request/edit.py": TORCH,
    "engine/plan": TORCH,
    "engine/picture": TORCH,
    "engine/frames": TORCH,
    "app": TORCH,
}


def test_every_room_has_its_place_in_the_house():
    assert set(arrows()) == set(STOREY)


def test_imports_point_down():
    wrong = [
        f"{room} imports {other}"
        for room, others in arrows().items()
        for other in others
        if STOREY[other] >= STOREY[room]
    ]
    assert wrong == []


def test_the_house_stays_small():
    below = arrows()
    assert max(floors().values()) <= 10
    assert len(below) <= 22
    assert sum(len(others) for others in below.values()) <= 90


def test_no_two_modules_of_the_engine_import_each_other():
    graph = {}
    for path in sources("engine"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name != "engine":
            graph[name] = {each for each in imports(path) if each.startswith("engine.")} - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_part_sees_what_it_must_not_know(part):
    for path in sources(part):
        seen = {name.split(".")[0] for name in imports(path)} & FORBIDDEN[part]
        assert not seen, f"{path.relative_to(ROOT)} imports {', '.join(sorted(seen))}"


def test_networks_know_only_specs_and_each_other():
    for path in sources("engine/model"):
        own = {name for name in imports(path) if name.startswith("engine")}
        assert all(name.startswith("engine.model") for name in own), path


@pytest.mark.parametrize(
    "part", ["app", "engine/plan", "engine/paint", "engine/runner", "engine/editor.py"]
)
def test_who_edits_names_no_family(part):
    """Nor imports one. "VAR" is also what people say when they mean next-scale prediction."""
    families = {path.parent.name for path in (ROOT / "engine/model").glob("*/__init__.py")}
    others = "|".join(families - {"var"}) or "flexvar"
    for path in sources(part):
        text = path.read_text(encoding="utf-8")
        assert not re.search(rf"\b({others})\b", text, re.IGNORECASE), path
        assert not re.search(r"""["']var["']|engine\.model\.var\b""", text, re.IGNORECASE), path


def run_in_empty_folder(code: str, folder: Path) -> str:
    """What a fresh interpreter prints (it must not complain); the folder must stay empty."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(folder.iterdir()) == []
    return done.stdout


def test_importing_the_engine_loads_no_heavy_library_and_does_nothing(tmp_path):
    heavy = ("torch", "gradio", "xformers", "cv2", "huggingface_hub", "safetensors")
    code = f"import engine, sys; print([name for name in {heavy} if name in sys.modules])"
    assert run_in_empty_folder(code, tmp_path) == "[]\n"


def test_importing_every_module_touches_no_device_and_no_file(tmp_path):
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources("engine")
    )
    code = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        "import torch\n"
        "print([name for name in ('xformers', 'gradio') if name in sys.modules], "
        "torch.cuda.is_initialized())"
    )
    assert run_in_empty_folder(code, tmp_path) == "[] False\n"


def test_the_public_names_are_all_there():
    import engine

    assert sorted(engine.__all__) == list(engine.__all__)
    for name in engine.__all__:
        assert getattr(engine, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = engine.no_such_name
