"""The command line: ``python -m engine --help``.

Networks are imported inside the commands, so that help and mistakes answer at once.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.errors import EngineError, RequestError
from engine.options import EditOptions, Task
from engine.request import EditRequest, Region

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

# Commands whose own module declares their options; it is imported when one of them is called.
TRAINERS = {
    "train-vqvae": "engine.training.vqvae",
    "train-var": "engine.training.var",
    "train-classifier": "engine.training.classifier",
}

ImageArg = Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to edit.")]
MaskOpt = Annotated[Path, typer.Option("--mask", help="White where to regenerate; same size.")]
OutOpt = Annotated[
    Path, typer.Option("-o", "--out", help="Where to save; several variations get -1, -2, ...")
]
ModelOpt = Annotated[str, typer.Option("--model", help="auto, a model's name, or a folder.")]
DeviceOpt = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
PrecisionOpt = Annotated[str, typer.Option("--precision", help="auto, float32, bfloat16, float16.")]
SeedOpt = Annotated[int | None, typer.Option("--seed", help="Same seed, same picture.")]
VariationsOpt = Annotated[int, typer.Option("--variations", help="How many results, 1 to 16.")]
GuidanceOpt = Annotated[float | None, typer.Option("--guidance", help="How strongly the label.")]
TopKOpt = Annotated[int | None, typer.Option("--top-k", help="Likeliest tokens; 0 is all.")]
TopPOpt = Annotated[float | None, typer.Option("--top-p", help="Probability mass; 1 is all.")]
ContextOpt = Annotated[str, typer.Option("--context", help="auto, whole, or pixels.")]
FeatherOpt = Annotated[int | None, typer.Option("--feather", help="Fade-in, pixels inward.")]
RuleOpt = Annotated[str, typer.Option("--rule", help="default, or paper (the VAR demo's).")]
StructureOpt = Annotated[
    int | None, typer.Option("--structure", help="Coarse scales to keep: 0 is all new.")
]
CandidatesOpt = Annotated[
    int | None, typer.Option("--candidates", help="Draw so many, keep the best; up to 16.")
]
BlendOpt = Annotated[
    str | None, typer.Option("--blend", help="none, membrane, poisson or multiband.")
]
MatchColourOpt = Annotated[
    bool | None, typer.Option(help="Take the shift of colour on the known rim out of the edit.")
]
GrowOpt = Annotated[
    int | None, typer.Option("--grow", help="Rim around the mask not to believe, model pixels.")
]
SoftScalesOpt = Annotated[
    int | None, typer.Option("--soft-scales", help="Last scales without a draw: smoother.")
]
ScheduleOpt = Annotated[
    str | None, typer.Option("--guidance-schedule", help="linear, constant, cosine or falling.")
]
CoarseSeedsOpt = Annotated[
    str | None, typer.Option("--coarse-seeds", help="Seeds of the first scales, such as 7,7,7.")
]
SpeedOpt = Annotated[str | None, typer.Option("--speed", help="exact, or fast (approximate).")]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other option; repeat it for more."),
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
LabelOpt = Annotated[str | None, typer.Option("--label", help="A class name or id.")]


@app.command()
def inpaint(
    image: ImageArg,
    mask: MaskOpt,
    out: OutOpt,
    label: LabelOpt = None,
    model: ModelOpt = "auto",
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = "auto",
    seed: SeedOpt = None,
    variations: VariationsOpt = 1,
    guidance: GuidanceOpt = None,
    top_k: TopKOpt = None,
    top_p: TopPOpt = None,
    context: ContextOpt = "auto",
    feather: FeatherOpt = None,
    rule: RuleOpt = "default",
    structure: StructureOpt = None,
    candidates: CandidatesOpt = None,
    blend: BlendOpt = None,
    match_colour: MatchColourOpt = None,
    grow: GrowOpt = None,
    soft_scales: SoftScalesOpt = None,
    guidance_schedule: ScheduleOpt = None,
    coarse_seeds: CoarseSeedsOpt = None,
    speed: SpeedOpt = None,
    others: SetOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Regenerate what the mask covers."""
    _edit(locals(), task="inpaint")


@app.command()
def outpaint(
    image: ImageArg,
    out: OutOpt,
    left: Annotated[str, typer.Option(help="Pixels, or percent such as 25%.")] = "0",
    right: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    top: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    bottom: Annotated[str, typer.Option(help="Pixels or percent.")] = "0",
    label: LabelOpt = None,
    model: ModelOpt = "auto",
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = "auto",
    seed: SeedOpt = None,
    variations: VariationsOpt = 1,
    guidance: GuidanceOpt = None,
    top_k: TopKOpt = None,
    top_p: TopPOpt = None,
    rule: RuleOpt = "default",
    structure: StructureOpt = None,
    candidates: CandidatesOpt = None,
    blend: BlendOpt = None,
    match_colour: MatchColourOpt = None,
    grow: GrowOpt = None,
    soft_scales: SoftScalesOpt = None,
    guidance_schedule: ScheduleOpt = None,
    coarse_seeds: CoarseSeedsOpt = None,
    speed: SpeedOpt = None,
    others: SetOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Extend the picture on any sides."""
    _edit(locals(), task="outpaint")


@app.command("edit-class")
def edit_class(
    image: ImageArg,
    out: OutOpt,
    mask: Annotated[Path | None, typer.Option(help="White where to change; same size.")] = None,
    label: LabelOpt = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="MASK:LABEL", help="Instead of mask and label; repeat it for more."),
    ] = None,
    model: ModelOpt = "auto",
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = "auto",
    seed: SeedOpt = None,
    variations: VariationsOpt = 1,
    guidance: GuidanceOpt = None,
    top_k: TopKOpt = None,
    top_p: TopPOpt = None,
    context: ContextOpt = "auto",
    feather: FeatherOpt = None,
    rule: RuleOpt = "default",
    structure: StructureOpt = None,
    candidates: CandidatesOpt = None,
    blend: BlendOpt = None,
    match_colour: MatchColourOpt = None,
    grow: GrowOpt = None,
    soft_scales: SoftScalesOpt = None,
    guidance_schedule: ScheduleOpt = None,
    coarse_seeds: CoarseSeedsOpt = None,
    speed: SpeedOpt = None,
    others: SetOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Turn what the mask covers into something of a class; or each of several regions."""
    _edit(locals(), task="edit_class")


@app.command("generate")
def generate_command(
    out: OutOpt,
    label: LabelOpt = None,
    model: ModelOpt = "auto",
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = "auto",
    seed: SeedOpt = None,
    variations: VariationsOpt = 1,
    guidance: GuidanceOpt = None,
    top_k: TopKOpt = None,
    top_p: TopPOpt = None,
    candidates: CandidatesOpt = None,
    soft_scales: SoftScalesOpt = None,
    guidance_schedule: ScheduleOpt = None,
    coarse_seeds: CoarseSeedsOpt = None,
    speed: SpeedOpt = None,
    others: SetOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Make a new picture."""
    _edit(locals(), task="generate")


def _named(others: list[str]) -> dict[str, Any]:
    """Options given as NAME=VALUE: what is not a number, true or false is text."""
    found: dict[str, Any] = {}
    for each in others:
        name, equals, value = each.partition("=")
        if not equals:
            raise RequestError(f"--set: expected NAME=VALUE such as fill=telea, got {each!r}")
        try:
            found[name.strip().replace("-", "_")] = json.loads(value)
        except ValueError:
            found[name.strip().replace("-", "_")] = value.strip()
    return found


def _edit(given: dict[str, Any], *, task: Task) -> None:
    """Everything the four edits share: check, load, run with a progress bar, save."""
    out: Path = given["out"]
    picture: Path | None = given.get("image")
    _check_output(out, given["variations"])
    options = {k: given[k] for k in EditOptions.model_fields if given.get(k) is not None}
    options |= _named(given.get("others") or [])
    sides = {k: given[k] for k in ("left", "right", "top", "bottom") if k in given}
    masks, regions = _regions(given.get("region") or [])
    request = EditRequest(
        task=task, label=given["label"], regions=regions, options=EditOptions(**options), **sides
    )

    from engine.events import Finished, ScaleDone
    from engine.loading import load_in_own_process
    from engine.picture.files import encode_image, open_image

    image = None if picture is None else open_image(picture)
    mask = None if given.get("mask") is None else open_image(given["mask"])
    painted = [
        region.model_copy(update={"mask": open_image(path)})
        for region, path in zip(regions, masks, strict=True)
    ]
    request = request.model_copy(update={"image": image, "mask": mask, "regions": tuple(painted)})
    editor = load_in_own_process(
        given["model"], device=given["device"], precision=given["precision"]
    )

    from tqdm import tqdm

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
    files = []
    for index, finished in enumerate(result.images):
        path = out
        if len(result.images) > 1:
            path = out.with_name(f"{out.stem}-{index + 1}{out.suffix}")
        data = encode_image(finished, out.suffix, result.request_of(index).to_json())
        try:
            path.write_bytes(data)
        except OSError as error:
            raise RequestError(f"{path}: cannot be written ({error.strerror})") from None
        files.append(str(path))
    if given["as_json"]:
        report = {
            "files": files,
            "seeds": list(result.seeds),
            "seconds": round(result.seconds, 3),
            "scores": list(result.scores),
            "notes": list(result.notes),
            "request": json.loads(result.request.to_json()),
        }
        print(json.dumps(report))
    else:
        for name, seed in zip(files, result.seeds, strict=True):
            print(f"{name}  seed {seed}")


def _regions(given: list[str]) -> tuple[list[Path], tuple[Region, ...]]:
    """Each MASK:LABEL as the mask's path and a region that waits for it."""
    for text in given:
        if not all(text.rpartition(":")[::2]):
            raise RequestError(
                f"--region: expected MASK:LABEL such as hat.png:clothing, got {text!r}"
            )
    parts = [text.rpartition(":") for text in given]
    return [Path(path) for path, _, _ in parts], tuple(Region(label=name) for _, _, name in parts)


def _check_output(out: Path, variations: int) -> None:
    """Find out before the work whether its result can be saved."""
    from PIL import Image

    known = Image.registered_extensions()
    if known.get(out.suffix.lower()) not in Image.SAVE:
        raise RequestError(f"{out}: cannot save as {out.suffix or 'that'!r}; name a .png file")
    if not out.parent.is_dir():
        raise RequestError(f"{out.parent}: no such folder; make it first")
    if variations == 1 and out.is_dir():
        raise RequestError(f"{out}: is a folder; name a file")


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
        here = "here" if info.present else "not here"
        print(f"{info.name:10} {info.side:4} px  {_size(info.bytes):>9}  {here:8}  {info.about}")


@models_app.command("download")
def models_download(name: Annotated[str, typer.Argument(help="Such as var-d16.")]) -> None:
    """Fetch a model's files, resuming what was begun, and check them."""
    from engine.weights.registry import download

    for path in download(name):
        print(path)


@models_app.command("verify")
def models_verify(name: Annotated[str, typer.Argument(help="Such as var-d16.")]) -> None:
    """Check a model's files: their SHA-256 and their layout."""
    from engine.weights.registry import verify

    for line in verify(name):
        print(line)


@app.command()
def bench(
    models: Annotated[
        str, typer.Option("--models", help="Of bundled, d16-256, d36-512; commas between.")
    ] = "bundled,d16-256",
    quick: Annotated[bool, typer.Option(help="One variation, one mask.")] = False,
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = "auto",
    as_json: JsonOpt = False,
) -> None:
    """Time edits against a plain implementation of the authors' algorithm, in one run."""
    from engine.benchmark.measure import MODELS
    from engine.benchmark.table import bench as run
    from engine.machine.device import choose_device

    chosen = [name.strip() for name in models.split(",") if name.strip()]
    for name in chosen:
        if name not in MODELS:
            raise RequestError(f"unknown shape {name!r}; known: {', '.join(MODELS)}")
    where = str(choose_device(device))
    run(chosen, device=where, precision=precision, quick=quick, as_json=as_json)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")] = Path(
        "data/stickers"
    ),
    count: Annotated[int, typer.Option("--count", min=0, help="How many pictures.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same pictures and masks.")] = 0,
    labelled: Annotated[
        bool | None, typer.Option(help="Class edits with the picture's own class; or no label.")
    ] = None,
    families: Annotated[str, typer.Option(help="Mask families, commas between.")] = "",
    ablation: Annotated[bool, typer.Option(help="One row a lever, `paper` to default.")] = False,
    rows: Annotated[str, typer.Option(help="Only these rows of it, commas between.")] = "",
    work: Annotated[Path | None, typer.Option(help="Folder to go on from, for parts.")] = None,
    part: Annotated[str, typer.Option(help="Such as 1/2: one of two processes.")] = "1/1",
    model: ModelOpt = "bundled",
    device: DeviceOpt = "auto",
    precision: PrecisionOpt = "auto",
    rule: RuleOpt = "default",
    structure: StructureOpt = None,
    fill: Annotated[str | None, typer.Option(help="What the hole is filled with first.")] = None,
    closed_loop: Annotated[bool | None, typer.Option(help="Keep by closed loop.")] = None,
    coverage: Annotated[float | None, typer.Option(help="Finest masked share.")] = None,
    blend: Annotated[str | None, typer.Option(help="none, membrane, poisson, multiband.")] = None,
    guidance: GuidanceOpt = None,
    top_k: TopKOpt = None,
    top_p: TopPOpt = None,
    speed: Annotated[str | None, typer.Option(help="exact, or fast (approximate).")] = None,
    sheets: Annotated[
        Path | None, typer.Option(help="Folder for contact sheets; with --count 0 nothing else.")
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Measure edits of held-out pictures under six families of masks."""
    levers = set(EditOptions.model_fields) - {"seed"}
    given = {k: v for k, v in locals().items() if k in levers and v is not None}
    options = EditOptions(**given)

    from engine.evaluation.families import FAMILIES
    from engine.evaluation.levers import MODES
    from engine.evaluation.run import Share, ablate
    from engine.evaluation.run import evaluate as run
    from engine.evaluation.table import ablation_markdown, markdown
    from engine.loading import load_in_own_process

    chosen = _names(families) or FAMILIES
    for name in chosen:
        if name not in FAMILIES:
            raise RequestError(f"unknown mask family {name!r}; known: {', '.join(FAMILIES)}")
    share = Share.parse(work, part)
    if sheets is not None and not sheets.is_dir():
        raise RequestError(f"{sheets}: no such folder; make it first")
    editor = load_in_own_process(model, device=device, precision=precision)

    from tqdm import tqdm

    if count and ablation:
        modes = MODES if labelled is None else (MODES[int(labelled)],)
        updates = ablate(
            editor, data, count=count, seed=seed, options=options, modes=modes,
            only=_names(rows.replace("_", " ")), families=chosen, share=share,
        )  # fmt: skip
    elif count:
        updates = run(
            editor, data, count=count, seed=seed, options=options, labelled=bool(labelled),
            families=chosen, share=share,
        )  # fmt: skip
    else:
        updates = iter(())
    with tqdm(total=1.0, leave=False, file=sys.stderr, disable=None, unit="") as bar:
        for update in updates:
            if isinstance(update, float):
                bar.update(update - bar.n)
            elif update.report is None:
                print(f"part {part} is done; the last part to end prints the table")
            elif as_json:
                print(json.dumps(update.report))
            else:
                print((ablation_markdown if ablation else markdown)(update.report))
    if sheets is not None:
        from engine.evaluation.sheets import make_sheets

        for path in make_sheets(editor, data, sheets, seed=seed, options=options):
            print(path, file=sys.stderr)


def _names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@app.command("train-vqvae")
def train_vqvae() -> None:
    """Train a VQVAE on the sticker set or a folder of pictures; resumes."""


@app.command("train-var")
def train_var() -> None:
    """Train a transformer on the tokens of a VQVAE; resumes."""


@app.command("train-classifier")
def train_classifier() -> None:
    """Train the classifier that judges edits in evaluate, on the sticker set."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in TRAINERS:
            app.command(arguments[0])(import_module(TRAINERS[arguments[0]]).main)
        app(args=arguments or ["--help"], prog_name="python -m engine", standalone_mode=False)
        return 0
    except EngineError as error:
        message = str(error)
    except _UsageProblem as error:
        message = f"{error.format_message()} See python -m engine --help."
    except (KeyboardInterrupt, typer.Abort):
        print("cancelled", file=sys.stderr)
        return 130
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
