"""Flags that commands share. Those of an edit are made from the table of levers
(`engine.request.options.LEVERS`): a new lever has one by its row alone."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from engine.errors import RequestError
from engine.request.options import LEVERS, EditOptions, Task

ModelOpt = Annotated[str, typer.Option("--model", help="auto, a model's name, or a folder.")]
DeviceOpt = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
PrecisionOpt = Annotated[str, typer.Option("--precision", help="auto, float32, bfloat16, float16.")]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any option of an edit; repeat it for more."),
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@dataclass(frozen=True)
class Given:
    """What the flags say that are made for a command: the options of an edit, and with what it
    runs."""

    options: EditOptions
    model: str
    device: str
    precision: str
    as_json: bool


def levers(
    *tasks: Task, model: str = "auto", without: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command its common flags, and one for each lever that says something in any of the
    tasks; but for those of the group ``without``. The command gets them as its ``given``."""
    names = [
        name
        for name, lever in LEVERS.items()
        if set(tasks) & set(lever.tasks) and lever.group != without
    ]
    common = {
        "model": (ModelOpt, model),
        "device": (DeviceOpt, "auto"),
        "precision": (PrecisionOpt, "auto"),
        **{name: (_flag(name), None) for name in names},
        "others": (SetOpt, None),
        "as_json": (JsonOpt, False),
    }

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        kind = inspect.Parameter.KEYWORD_ONLY
        shown = [each.replace(kind=kind) for name, each in own.items() if name != "given"]
        shown += [
            inspect.Parameter(name, kind, default=default, annotation=annotation)
            for name, (annotation, default) in common.items()
        ]

        def called(**values: Any) -> None:
            said = {name: values.pop(name) for name in common}
            chosen = {name: said[name] for name in names if said[name] is not None}
            options = EditOptions(**chosen | named(said["others"] or []))
            command(
                **values,
                given=Given(
                    options, said["model"], said["device"], said["precision"], said["as_json"]
                ),
            )

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in shown}
        return called

    return decorated


def _flag(name: str) -> Any:
    """The flag of a lever: what can be parsed here is, the rest is text for the schema."""
    annotation: Any = EditOptions.model_fields[name].annotation
    union = get_origin(annotation) in (Union, UnionType)
    parts = [each for each in (get_args(annotation) if union else [annotation]) if each != NoneType]
    words = [str(word) for each in parts if get_origin(each) is Literal for word in get_args(each)]
    if words and any(get_origin(each) is not Literal for each in parts):
        words.append("PIXELS")
    kind = parts[0] if parts[0] in (bool, int, float) else str
    flag = f"--{name.replace('_', '-')}"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=LEVERS[name].help,
        metavar="|".join(words) or None,
    )
    return Annotated[kind | None, option]


def named(others: list[str]) -> dict[str, Any]:
    """Options given as NAME=VALUE: what is not a number, true or false is text."""
    found: dict[str, Any] = {}
    for each in others:
        name, equals, value = each.partition("=")
        if not equals:
            raise RequestError(f"--set: expected NAME=VALUE such as fill=telea, got {each!r}")
        try:
            found[name.strip().replace("-", "_")] = json.loads(value)
        except (ValueError, RecursionError):
            found[name.strip().replace("-", "_")] = value.strip()
    return found


