"""What docs/security.md says is held by tests is held by tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.house import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def rows() -> list[tuple[str, str]]:
    """(what is defended, its tests) of each line of the tables."""
    lines = [line.strip("|").rsplit("|", 1) for line in PAGE.splitlines() if line.startswith("|")]
    return [(what.strip(), by.strip()) for what, by in lines if by.strip(" -") not in ("", "test")]


def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_each_line_names_its_tests_and_all_of_them_are_there() -> None:
    assert len(rows()) > 20
    path = ROOT
    for what, by in rows():
        named = re.findall(r"`([^`]+)`", by)
        assert named, f"no test of: {what}"
        for each in named:
            file, _, test = each.partition("::")
            if file:
                found = [ROOT / file] if "/" in file else list(ROOT.glob(f"tests/**/{file}"))
                assert len(found) == 1 and found[0].is_file(), f"{each}: {found}"
                (path,) = found
            assert not test or test in functions_in(path), f"{each}: not in {path.name}"
