"""Imports point one way, and importing does nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The house, floor by floor: a module imports from its own floor and from those above it here.
FLOORS = (
    ("errors", "spec", "memory", "allocator", "shelf"),
    ("pixels", "request"),
    ("windows", "fill", "blending", "backdrop", "studio", "grain", "scaling", "frame", "masks",
     "rules", "regions", "ranking"),
    ("model",),
    ("sampling",),
    ("generation",),
    ("fast",),
    ("architecture", "weights_file", "device", "checkpoint", "labels", "download", "registry"),
    ("painting", "result", "preview", "runner", "editor"),
    ("loading",),
    ("evaluation", "training", "benchmark"),
    ("__init__", "__main__"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

# What a part must never see, wherever in its code.
FORBIDDEN = {
    "engine": {"gradio", "app"},
    "engine/model": {"PIL", "cv2", "numpy", "pathlib", "os", "io", "safetensors"},
    "engine/spec.py": {"torch"},
    "engine/request.py": {"torch"},
    "engine/pixels.py": {"gradio"},
    "app": {"torch", "safetensors", "xformers"},
}


def sources(folder: str) -> list[Path]:
    path = ROOT / folder
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if node.module == "engine":
                names = [alias.name for alias in node.names]
                parts = [name for name in names if (ROOT / "engine" / f"{name}.py").exists()]
                found.update(f"engine.{name}" for name in parts)
                if len(parts) < len(names):
                    found.add("engine.__init__")
            else:
                found.add(node.module)
    return found


def part_of(path: Path) -> str:
    """The name on the floor plan of a file in the engine."""
    inside = path.relative_to(ROOT / "engine").parts
    return inside[0].removesuffix(".py")


def test_every_module_of_the_engine_has_its_floor():
    parts = {part_of(path) for path in sources("engine")}
    assert parts - set(FLOOR) == set()


def test_imports_of_the_engine_point_one_way():
    wrong = []
    for path in sources("engine"):
        for name in imports(path):
            if name.startswith("engine."):
                target = name.split(".")[1]
                if FLOOR[target] > FLOOR[part_of(path)]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


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
        assert all(name.startswith(("engine.model", "engine.spec")) for name in own), path


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
