"""Turn training checkpoints into a model folder that `load_editor` opens, at any time of a run.

python -m engine.training.export weights/bundled
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import torch
import typer
from torch import Tensor

from engine import CheckpointError, EditOptions
from engine.model.flexvar.transformer import FlexVAR
from engine.model.hmar.transformer import HMAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.training.code_head import folded
from engine.training.flexvae import load_trained_flexvae
from engine.training.run import load_checkpoint
from engine.training.vqvae import load_trained_vqvae
from engine.weights import families
from engine.weights.families import FAMILY_KEY, Family
from engine.weights.saving import save_model


class OpenCodec(Protocol):
    def __call__(self, path: Path, device: torch.device | None = None) -> Any: ...


CODECS: Mapping[str, OpenCodec] = {  # by family: its tokenizer, of a training checkpoint
    "var": load_trained_vqvae, "hmar": load_trained_vqvae, "flexvar": load_trained_flexvae
}  # fmt: skip
NETWORKS: Mapping[str, Any] = {"var": VAR, "hmar": HMAR, "flexvar": FlexVAR}


def load_trained_var(path: Path) -> tuple[Family, Any, list[str], dict[str, list[str]]]:
    """The transformer of a training checkpoint, with averaged weights: its family, the network, its
    class names, and which of them stand for which others."""
    state = load_checkpoint(path, torch.device("cpu"))
    try:
        named = {each.name: each for each in families.FAMILIES}
        family = named[state.get("family", families.VAR.name)]
        fields = {**state["spec"], "scales": tuple(state["spec"]["scales"])}
        var = NETWORKS[family.name](family.transformer(**fields))
        classes, members = list(state["classes"]), dict(state["members"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of train-var: {error}") from error
    var.load_state_dict(folded({**state["network"], **state["ema"]}))
    return family, var.eval().requires_grad_(False), classes, members


def without_idle_tower(vqvae: VQVAE) -> VQVAE:
    """The same network without an encoder tower that adds nothing (the frozen recipe's)."""
    last = vqvae.encoder.conv_out if vqvae.encoder.has_tower else None
    if last is None or vqvae.encoder.linear is None:
        return vqvae
    if last.weight.any() or cast(Tensor, last.bias).any():
        return vqvae
    smaller = VQVAE(replace(vqvae.spec, linear_encoder=True))
    weights = vqvae.state_dict()
    smaller.load_state_dict({name: weights[name] for name in smaller.state_dict()})
    return smaller.eval().requires_grad_(False)


def export(
    vqvae: Path, var: Path, folder: Path, *, about: str, sampling: Mapping[str, Any] | None = None
) -> None:
    """Write `folder` from a checkpoint of either trainer; `sampling` is what suits the model."""
    extra = {"licence": "MIT"}
    if sampling:
        extra["defaults"] = json.dumps(sampling)
    family, network, classes, members = load_trained_var(var)
    trained = CODECS[family.name](vqvae)
    if isinstance(trained, VQVAE):
        trained = without_idle_tower(trained)
    if family is not families.VAR:
        extra[FAMILY_KEY] = family.name
    save_model(
        folder, trained, network, labels=classes, members=members, about=about, extra=extra
    )


def main(
    folder: Annotated[Path, typer.Argument(help="The model folder to write.")],
    vqvae: Annotated[Path, typer.Option(help="A checkpoint of train-vqvae.")] = Path(
        "runs/vqvae/checkpoint.pt"
    ),
    var: Annotated[Path, typer.Option(help="A checkpoint of train-var.")] = Path(
        "runs/var/checkpoint.pt"
    ),
    about: Annotated[str, typer.Option(help="A line on the model, saved with it.")] = "",
    top_k: Annotated[int | None, typer.Option(help="The top-k that suits it.")] = None,
    temperature: Annotated[float | None, typer.Option(help="That of class edits.")] = None,
    soft_scales: Annotated[int | None, typer.Option(help="Last scales to average.")] = None,
    guidance: Annotated[float | None, typer.Option(help="The guidance that suits it.")] = None,
    guidance_schedule: Annotated[str | None, typer.Option(help="How guidance goes.")] = None,
) -> None:
    """Write a model folder from training checkpoints, with the sampling that suits it."""
    given = {
        "top_k": top_k, "temperature": temperature, "soft_scales": soft_scales,
        "guidance": guidance, "guidance_schedule": guidance_schedule,
    }  # fmt: skip
    sampling: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    EditOptions(**sampling)
    export(vqvae, var, folder, about=about, sampling=sampling)


if __name__ == "__main__":
    typer.run(main)
