"""Train the next-scale transformer of a family on a frozen tokenizer's tokens.

    python -m engine.training.var data/stickers --vqvae runs/vqvae/checkpoint.pt --minutes 60

The same command resumes a run; torchrun starts several processes.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from engine import RequestError
from engine.training.export import CODECS, export
from engine.training.flexvar_trainer import FlexVARTrainer
from engine.training.hmar_trainer import HMARTrainer
from engine.training.run import Budget, interruptible, processes, told_when_full
from engine.training.var_objective import VAROptions
from engine.training.var_trainer import VARTrainer

TRAINERS = {each.family.name: each for each in (VARTrainer, FlexVARTrainer, HMARTrainer)}


def train_var(
    data: Path,
    out: Path,
    *,
    vqvae: Path,
    budget: Budget,
    options: VAROptions | None = None,
    about: str = "",
    start: Path | None = None,
    family: str = VARTrainer.family.name,
) -> Any:
    """Train, or go on training, in the folder `out`; `vqvae` is a checkpoint of train-vqvae, or of
    the ``family``'s own tokenizer.

    ``start`` is the file of a transformer that a new run begins with, see `go_on_from`.

    At the end both networks, with averaged weights, are saved to `out/model` as a model that
    `load_editor` opens. Returns the transformer.
    """
    if family not in TRAINERS:
        raise RequestError(f"--family: expected one of {', '.join(TRAINERS)}, got {family!r:.60}")
    with processes() as group, interruptible() as caught, told_when_full(out):
        codec = CODECS[family](vqvae, group.device)
        trainer = TRAINERS[family](
            data, codec, out, budget, options or VAROptions(), group, start
        )
        trainer.run(caught)
        trainer.ema.keep()
        if group.is_first:
            export(vqvae, trainer.checkpoint, out / "model", about=about)
    return trainer.var


def main(
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")],
    vqvae: Annotated[Path, typer.Option(help="A run of train-vqvae, or its checkpoint.")] = Path(
        "runs/vqvae/checkpoint.pt"
    ),
    out: Annotated[Path, typer.Option(help="The run's folder; resumed if it exists.")] = Path(
        "runs/var"
    ),
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    depth: int = VAROptions.depth,
    width: int = VAROptions.width,
    batch: int = VAROptions.batch,
    rate: float = VAROptions.rate,
    warmup: Annotated[int, typer.Option(help="Steps to the full rate.")] = VAROptions.warmup,
    seed: int = VAROptions.seed,
    pictures: Annotated[
        int, typer.Option(help="So many different pictures, again and again; 0: always new ones.")
    ] = VAROptions.pictures,
    prefix_until: Annotated[
        float, typer.Option(help="Part of the budget for all scales but the finest.")
    ] = VAROptions.prefix_until,
    window_until: Annotated[
        float, typer.Option(help="Part of the budget until the finest scale is seen whole.")
    ] = VAROptions.window_until,
    start: Annotated[
        Path | None, typer.Option("--from", help="The file of a transformer to go on from.")
    ] = None,
    plain: Annotated[
        float, typer.Option(help="Share of pictures that are the set's photos as they are.")
    ] = VAROptions.plain,
    foresight: Annotated[
        bool, typer.Option(help="Some pictures have holes: what is known is read in full.")
    ] = VAROptions.foresight,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the blocks: worth it from half an hour on.")
    ] = False,
    about: Annotated[str, typer.Option(help="A line on the model, saved with it.")] = "",
    family: Annotated[
        str, typer.Option(help=f"What kind of transformer: {', '.join(TRAINERS)}.")
    ] = VARTrainer.family.name,
    processor: Annotated[
        bool, typer.Option("--processor", help="Minutes of the processor, not of the clock.")
    ] = False,
) -> None:
    """Train the transformer; the same command resumes it. The model is saved to OUT/model."""
    train_var(
        data,
        out,
        vqvae=vqvae,
        budget=Budget(steps=steps, minutes=minutes),
        options=VAROptions(
            depth=depth,
            width=width,
            batch=batch,
            rate=rate,
            warmup=warmup,
            seed=seed,
            pictures=pictures,
            prefix_until=prefix_until,
            window_until=window_until,
            plain=plain,
            foresight=foresight,
            compile=compile,
            processor=processor,
        ),
        about=about,
        start=start,
        family=family,
    )


if __name__ == "__main__":
    typer.run(main)
