"""Device and precision: picked, or as asked."""

from __future__ import annotations

import pytest
import torch

from engine.errors import DeviceError
from engine.machine import device
from engine.machine.device import choose_device, choose_precision

CPU = torch.device("cpu")


def test_auto_picks_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU


def test_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_precision("auto", torch.device("cuda")) == torch.float16
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: True)
    assert choose_precision("auto", CPU) == torch.bfloat16
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: False)
    assert choose_precision("auto", CPU) == torch.float32
    assert choose_precision("bf16", CPU) == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "message"),
    [("gpu", "unknown device 'gpu'"), ("cuda:7", "this machine has"), ("meta", "not supported")],
)
def test_a_device_that_is_not_there_is_told(name: str, message: str) -> None:
    if torch.cuda.device_count() > 7:
        pytest.skip("this machine has a cuda:7")
    with pytest.raises(DeviceError, match=message):
        choose_device(name)


def test_a_precision_that_makes_no_sense_is_told() -> None:
    with pytest.raises(DeviceError, match="unknown precision 'int8'"):
        choose_precision("int8", CPU)
    with pytest.raises(DeviceError, match="slower than float32"):
        choose_precision("fp16", CPU)
