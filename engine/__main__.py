"""The command line: ``python -m engine --help``.

The four edits and the models are here; other commands are declared where their work is done, and
imported when they are called. Networks are imported inside the commands, so that help and mistakes
answer at once.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import EngineError, RequestError
from engine.request import EditRequest, Region
from engine.request.flags import Given, JsonOpt, levers

# The base of everything the parser raises. Newer typer carries its own copy of click, so the class
# is taken from typer's public exception, whichever click that derives from.
_UsageProblem: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Edit pictures with VAR: inpaint, outpaint, edit by class, generate.",
)
models_app = typer.Typer(help="List, download and verify models.")
app.add_typer(models_app, name="models")

# Commands whose own module declares them, as its function ``main``, and what they are for.
ELSEWHERE = {
    "batch": ("engine.serving.command", "Carry out many edits, here or on a cluster; resumes."),
    "serve": ("engine.serving.serve", "Serve edits over HTTP, on one machine or many."),
    "evaluate": ("engine.evaluation.command", "Measure edits of held-out pictures, or of photos."),
    "bench": ("engine.benchmark.command", "Time edits against the authors' algorithm, in one run."),
    "check": ("engine.benchmark.check", "Whether a device computes as it should; one page."),
    "train-vqvae": ("engine.training.vqvae", "Train a VQVAE on a folder of pictures; resumes."),
    "train-var": ("engine.training.var", "Train a transformer on a VQVAE's tokens; resumes."),
    "train-classifier": (
        "engine.evaluation.judge_training", "Train the classifier that judges edits in evaluate."
    ),
}  # fmt: skip

INTERRUPTED = 130  # exit status, as a shell has it

ImageArg = Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to edit.")]
MaskOpt = Annotated[Path, typer.Option("--mask", help="White where to regenerate; same size.")]
OutOpt = Annotated[
    Path, typer.Option("-o", "--out", help="Where to save; several variations get -1, -2, ...")
]
LabelOpt = Annotated[str | None, typer.Option("--label", help="A class name or id.")]
QualityOpt = Annotated[
    int | None,
    typer.Option("--quality", min=1, max=100, help="Of JPEG, WebP, AVIF; else the source's or 95."),
]
ForceOpt = Annotated[bool, typer.Option("--force", help="Overwrite a file of several frames.")]


@app.command()
@levers("inpaint")
def inpaint(
    image: ImageArg, mask: MaskOpt, out: OutOpt, given: Given, label: LabelOpt = None,
    quality: QualityOpt = None, force: ForceOpt = False,
) -> None:  # fmt: skip
    """Regenerate what the mask covers."""
    request = EditRequest(task="inpaint", label=label, options=given.options)
    _edit(request, out, given, quality, force, image=image, mask=mask)


@app.command()
@levers("outpaint")
def outpaint(
    image: ImageArg,
    out: OutOpt,
    given: Given,
    left: Annotated[str, typer.Option(help="Pixels, or percent such as 25%.")] = "0",
    right: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    top: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    bottom: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    label: LabelOpt = None,
    quality: QualityOpt = None,
    force: ForceOpt = False,
) -> None:
    """Extend the picture on any sides."""
    request = EditRequest(
        task="outpaint", label=label, left=left, right=right, top=top, bottom=bottom,
        options=given.options,
    )  # fmt: skip
    _edit(request, out, given, quality, force, image=image)


@app.command("edit-class")
@levers("edit_class")
def edit_class(
    image: ImageArg,
    out: OutOpt,
    given: Given,
    mask: Annotated[Path | None, typer.Option(help="White where to change; same size.")] = None,
    label: LabelOpt = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="MASK:LABEL", help="Instead of mask and label; repeat it for more."),
    ] = None,
    quality: QualityOpt = None,
    force: ForceOpt = False,
) -> None:
    """Turn what the mask covers into something of a class; or each of several regions."""
    parts = [text.rpartition(":") for text in region or []]
    for path, colon, name in parts:
        if not (path and name):
            raise RequestError(
                f"--region: expected MASK:LABEL such as hat.png:clothing, "
                f"got {path + colon + name!r}"
            )
    regions = tuple(Region(label=name) for _, _, name in parts)
    request = EditRequest(task="edit_class", label=label, regions=regions, options=given.options)
    painted = [Path(path) for path, _, _ in parts]
    _edit(request, out, given, quality, force, image=image, mask=mask, masks=painted)


@app.command("generate")
@levers("generate")
def generate_command(
    out: OutOpt, given: Given, label: LabelOpt = None, quality: QualityOpt = None,
    force: ForceOpt = False,
) -> None:  # fmt: skip
    """Make a new picture."""
    request = EditRequest(task="generate", label=label, options=given.options)
    _edit(request, out, given, quality, force)


def _edit(
    request: EditRequest,
    out: Path,
    given: Given,
    quality: int | None,
    force: bool,
    *,
    image: Path | None = None,
    mask: Path | None = None,
    masks: list[Path] | None = None,
) -> None:
    """What the four edits share: check, load, run with a progress bar, save, tell. ``masks`` are
    those of the request's regions."""
    from engine.picture.files import check_output, open_image, targets, write_picture

    check_output(out, count=given.options.variations, force=force)

    from tqdm import tqdm

    from engine.events import Finished, ScaleDone
    from engine.loading import load_in_own_process

    request = request.model_copy(
        update={
            "image": None if image is None else open_image(image),
            "mask": None if mask is None else open_image(mask),
            "regions": tuple(
                region.model_copy(update={"mask": open_image(path)})
                for region, path in zip(request.regions, masks or [], strict=True)
            ),
        }
    )
    editor = load_in_own_process(given.model, device=given.device, precision=given.precision)
    result = None
    with tqdm(unit="scale", leave=False, file=sys.stderr, disable=None) as bar:
        for event in editor.steps(request):
            if isinstance(event, ScaleDone):
                bar.total = event.of
                bar.set_description(f"{event.scale}x{event.scale}")
                bar.update()
            elif isinstance(event, Finished):
                result = event.result
    assert result is not None
    files, notes = [], list(result.notes)
    for index, path in enumerate(targets(out, len(result.images))):
        carried = result.request_of(index).to_json()
        notes += write_picture(path, result.images[index], carried, quality=quality)
        files.append(str(path))
    notes = list(dict.fromkeys(notes))
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    told = sys.stderr if str(out) == "-" else sys.stdout  # the picture has standard output
    if given.as_json:
        report = {
            "files": files,
            "seeds": list(result.seeds),
            "seconds": round(result.seconds, 3),
            "scores": list(result.scores),
            "notes": notes,
            "request": json.loads(result.request.to_json()),
        }
        print(json.dumps(report), file=told)
    else:
        best = max(result.scores, default=0.0)
        scores = result.scores if len(files) > 1 else ()
        for name, seed, score in zip_longest(files, result.seeds, scores):
            more = "" if score is None else f"  score {score:.2f}{', best' * (score == best)}"
            print(f"{name}  seed {seed}{more}", file=told)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


@models_app.command("list")
def models_list(as_json: JsonOpt = False) -> None:
    """The models that are known, and which of them are here."""
    from dataclasses import asdict

    from engine.weights.registry import models

    known = models()
    if as_json:
        print(json.dumps([asdict(info) for info in known], default=str))
        return
    for info in known:
        begun = f"{1 - info.missing / info.bytes:.0%} here" if info.begun else "-"
        here = "here" if info.present else begun
        memory = _size(info.memory) if info.memory else "-"
        print(
            f"{info.name:11} {info.side:4} px  {_size(info.bytes):>9}  {here:9} "
            f"memory {memory:>8}  {info.licence or '-':42}  {info.about}"
        )


@models_app.command("download")
def models_download(name: Annotated[str, typer.Argument(help="Such as var-d16.")]) -> None:
    """Fetch a model's files, resuming what was begun, and check them."""
    from engine.weights.registry import download, models

    known = next((info for info in models() if info.name == name), None)
    if known is not None and known.licence:
        print(f"licence of {name}: {known.licence}", file=sys.stderr)
    for path in download(name):
        print(path)


@models_app.command("verify")
def models_verify(name: Annotated[str, typer.Argument(help="Such as var-d16.")]) -> None:
    """Check a model's files: their SHA-256 and their layout."""
    from engine.weights.registry import verify

    for line in verify(name):
        print(line)


def _declared_elsewhere() -> None:
    """Stands for a command in the list of all of them."""


for _name, (_, _about) in ELSEWHERE.items():
    app.command(_name, help=_about)(_declared_elsewhere)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("httpx", "httpx2"):  # which tell each request
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("engine.runner").setLevel(logging.ERROR)  # its warnings are notes, too
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in ELSEWHERE:
            app.command(arguments[0])(import_module(ELSEWHERE[arguments[0]][0]).main)
        status = app(
            args=arguments or ["--help"], prog_name="python -m engine", standalone_mode=False
        )
        if status == INTERRUPTED:  # which typer takes for an end like any other
            raise KeyboardInterrupt
        return int(status or 0)
    except EngineError as error:
        message = str(error)
    except _UsageProblem as error:
        message = f"{error.format_message()} See python -m engine --help."
    except OSError as error:  # such as a full disk, where nobody thought of it
        message = f"{error.filename or 'a file'}: {(error.strerror or str(error)).lower()}"
    except (KeyboardInterrupt, typer.Abort):
        print("cancelled", file=sys.stderr)
        return INTERRUPTED
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
