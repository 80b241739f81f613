"""The house in numbers: its rooms, the arrows between them and the floors they stand on.

    python tests/house.py

A room is ``app/``, a folder of ``engine/``, or a file that lies directly in it. An arrow goes from
a room to another that it imports, anywhere in its code. A room stands one floor above the highest
of the rooms that it imports.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def sources(folder: str) -> list[Path]:
    """The Python files of a folder, or the one file."""
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
            inside = ROOT / node.module.replace(".", "/")
            for alias in node.names:
                module = (inside / f"{alias.name}.py").exists() or (inside / alias.name).is_dir()
                found.add(f"{node.module}.{alias.name}" if module else node.module)
    return found


def room_of(path: Path) -> str:
    """The room that a file lies in."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] == "app" else parts[1].removesuffix(".py")


def room_named(name: str) -> str | None:
    """The room of a dotted name; None for other people's. Public names have no room of their own:
    ``engine`` itself hands on those of others."""
    parts = name.split(".")
    if parts[0] == "app":
        return "app"
    return parts[1] if parts[0] == "engine" and len(parts) > 1 else None


def arrows() -> dict[str, set[str]]:
    """Room -> the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for path in [*sources("engine"), *sources("app")]:
        room = room_of(path)
        if room == "__init__":
            continue
        others = {room_named(name) for name in imports(path)} - {room, None, "__init__"}
        found.setdefault(room, set()).update(str(other) for other in others)
    return found


def floors() -> dict[str, int]:
    """Room -> its floor, from 1 at the ground."""
    below = arrows()

    found: dict[str, int] = {}
    for room in TopologicalSorter(below).static_order():  # CycleError where two import each other
        found[room] = 1 + max((found[other] for other in below[room]), default=0)
    return found


def main() -> None:
    below, level = arrows(), floors()
    for room in sorted(level, key=lambda each: (-level[each], each)):
        print(f"floor {level[room]:2}  {room:12} -> {', '.join(sorted(below[room]))}")
    count = sum(len(others) for others in below.values())
    print(f"{max(level.values())} floors, {len(level)} rooms, {count} arrows")


if __name__ == "__main__":
    main()
