"""The numbers of the authors' implementation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.errors import CheckpointError
from tests.parity import compare, main, read

FIXTURES = sorted((Path(__file__).parent / "data" / "parity").glob("*.safetensors"))
GIVEN = {  # what a fixture holds to be worked on, not to be found
    "image", "hole", "hidden_positions", "sampler_logits", "inpaint_keep_mask",
    "outpaint_keep_mask",
}  # fmt: skip
VAR_FIXTURES = [path for path in FIXTURES if path.stem.endswith("_aln")]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("everywhere", [True, False], ids=["all positions", "as the editor runs"])
def test_every_quantity_is_within_tolerance_of_the_authors(path: Path, everywhere: bool) -> None:
    with torch.inference_mode():
        rows = list(compare(read(path), everywhere=everywhere))
    assert [row for row in rows if not row[1] <= row[2]] == []
    with safe_open(path, "pt") as file:
        given = set(file.keys())
    assert given - {name for name, _, _ in rows} <= GIVEN


def test_the_program_fails_when_a_number_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with safe_open(VAR_FIXTURES[0], "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["f_hat"] += 2e-4
    wrong = tmp_path / "wrong.safetensors"
    save_file(tensors, wrong, metadata)
    assert main([str(wrong)]) == 1
    assert "FAIL f_hat" in capsys.readouterr().out


def test_a_fixture_of_another_family_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"image": torch.zeros(1)}, path, {"config": '{"family": "nfig"}'})
    with pytest.raises(CheckpointError, match=r"found one of nfig$"):
        read(path)
