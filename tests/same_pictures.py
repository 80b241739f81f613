"""Whether two checkouts make the same pictures: ``python tests/same_pictures.py OLD NEW``

Runs some hundred requests in each of two folders, on one thread, and compares pictures, previews,
seeds, scores, notes and words of errors byte for byte. Exit 1 on any difference. ``--without
blend=poisson,anchor`` leaves out the cases with these options, ``--without removed`` ``REMOVED``.

Knows only what the engine promises (`load_editor`, requests, results), so that everything inside it
may move; what may be renamed is under "Ways in". The models are made once, by OLD, and both load
them. A worker is this file again, in a process whose ``engine`` is the checkout's. Cases of a model
run in one process in a fixed order, since an editor remembers; cases of one story share a picture.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFilter

MODELS = ("plain", "things", "shared", "bundled")
REMOVED = {
    "blend=multiband", "blend=poisson", "match_colour", "fill=mirror", "fill=navier_stokes",
    "fill=mean", "guidance_schedule=cosine", "closed_loop", "coverage", "anchor", "half_known",
    "foresight", "grain", "unknown_option",
}  # fmt: skip
LEVERS: dict[str, tuple[Any, ...]] = {
    "structure": (0, 1, 3), "closed_loop": (True, False), "coverage": (0.0, 0.3),
    "fill": ("none", "telea", "navier_stokes", "push_pull", "mirror", "sideways", "mean"),
    "grow": (0, 2, 9), "anchor": (True, False), "half_known": (0.0, 5.0, 200.0),
    "foresight": (False,), "backdrop": (True, False), "studio": (False,),
    "blend": ("none", "membrane", "poisson", "multiband"), "match_colour": (True, False),
    "grain": (0.0, 0.5, 2.0), "soft_scales": (0, 1, 2), "guidance": (0.0, 1.5, 8.0),
    "guidance_schedule": ("linear", "constant", "cosine", "falling"), "top_k": (0, 1, 5),
    "top_p": (0.3, 1.0), "temperature": (0.2, 1.7), "context": ("auto", "whole", 0, 11),
    "temperature_schedule": ("constant", "falling"), "feather": (0, 3, 12),
    "coarse_seeds": ((7,), (7, 8)), "variations": (2, 3), "candidates": (1, 3),
    "seed": (0, 2**53 - 1), "speed": ("fast",), "rule": ("paper",),
}  # fmt: skip
TOGETHER: tuple[dict[str, Any], ...] = (
    {"candidates": 4, "variations": 2}, {"backdrop": True, "studio": True},
    {"candidates": 3, "variations": 3, "coarse_seeds": (5,)}, {"speed": "fast", "variations": 2},
    {"temperature": 0.4, "temperature_schedule": "falling"}, {"rule": "paper", "variations": 2},
)  # fmt: skip
MODES = ("1", "L", "LA", "P", "P+alpha", "RGB", "RGB+key", "RGB+profile", "RGB+turned", "RGBA",
         "CMYK", "YCbCr", "I;16", "I", "F")  # fmt: skip
TASKS = ("inpaint", "edit_class", "outpaint", "generate")
MASKS = ("box", "strokes", "far", "whole", "speck", "ring", "band", "soft")
SIZES = ((24, 20), (32, 32), (160, 120), (130, 40), (30, 110))  # the tiny models see 32 x 32
BOXES: dict[str, tuple[tuple[float, ...], ...]] = {  # left, top, right, bottom, parts of a side
    "box": ((0.3, 0.25, 0.7, 0.8),), "soft": ((0.3, 0.3, 0.7, 0.7),), "whole": ((0, 0, 1, 1),),
    "far": ((0, 0, 0.12, 0.15), (0.85, 0.05, 1, 0.2), (0.4, 0.8, 0.55, 1)),
    "ring": ((0, 0, 1, 0.2), (0, 0.8, 1, 1), (0, 0, 0.2, 1), (0.7, 0, 1, 1)),
    "band": ((0, 0.4, 0.95, 0.65),), "left": ((0, 0.2, 0.3, 0.7),), "right": ((0.6, 0.3, 1, 0.9),),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request in words; ``does`` is what is done with it: "run", "previews" or "warm"."""

    name: str
    model: str
    task: str
    story: str
    mode: str = "RGB"
    size: tuple[int, int] = (48, 40)
    mask: str = "box"
    label: str | int | None = None
    regions: tuple[tuple[str, str], ...] = ()  # (mask, label)
    options: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)  # other fields, or other values of these
    does: str = "run"
    precision: str = "float32"
    fails: bool = False

    def request(self) -> Any:
        """The request itself, of the checkout whose ``engine`` is imported."""
        engine = importlib.import_module("engine")
        given: dict[str, Any] = {"task": self.task, "label": self.label}
        if self.task != "generate":
            given["image"] = picture(self.mode, self.size, zlib.crc32(self.story.encode()))
        if self.task in ("inpaint", "edit_class") and not self.regions:
            given["mask"] = mask(self.mask, self.size)
        given["regions"] = [{"mask": mask(m, self.size), "label": name} for m, name in self.regions]
        options = engine.EditOptions(**{"seed": 3, **self.options})
        return engine.EditRequest(**{**given, **self.more}, options=options)


def picture(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    """Soft patches of colour with an edge and noise, in one of ``MODES``."""
    rng, plain, extra = np.random.default_rng(seed), *mode.partition("+")[::2]
    size = size[::-1] if extra == "turned" else size
    patches = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize(size)
    ImageDraw.Draw(patches).line((0, 0, *size), fill="teal", width=min(size) // 6)
    noisy = np.asarray(patches) + rng.normal(0, 6, (*size[::-1], 3))
    rgb = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    deep = {"I;16": (np.uint16, 257), "I": (np.int32, 257), "F": (np.float32, 1 / 255)}
    if mode in deep:
        kind, factor = deep[mode]
        return Image.fromarray((np.asarray(rgb.convert("L"), float) * factor).astype(kind))
    image = rgb.quantize(17) if plain == "P" else rgb.convert(plain)
    if plain in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(rng.integers(0, 256, size[::-1], dtype=np.uint8)))
    if extra == "turned":
        image.getexif()[0x0112] = 6  # orientation: a quarter turn
    elif extra == "profile":  # not called sRGB, so that colours are converted
        data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        for code in ("utf-16-be", "ascii"):
            data = data.replace("sRGB built-in".encode(code), "wRGB built-in".encode(code))
        image.info["icc_profile"] = data[:24] + bytes(12) + data[36:]  # without the date
    elif extra:
        image.info["transparency"] = bytes([0, 128] + [255] * 15) if plain == "P" else (1, 2, 3)
    return image


def mask(kind: str, size: tuple[int, int]) -> Any:
    """One of ``MASKS`` or ``BOXES``, an array or a picture; any other name is an empty mask."""
    image = Image.new("L", size, 0)
    draw = ImageDraw.Draw(image)
    for parts in BOXES.get(kind, ()):
        x0, y0, x1, y1 = (round(part * side) for part, side in zip(parts, size * 2, strict=True))
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=255)
    if kind == "soft":
        return image.filter(ImageFilter.GaussianBlur(min(size) / 16))
    if kind == "strokes":
        zigzag = [size[at % 2] * part for at, part in enumerate((0.1, 0.2, 0.4, 0.8, 0.9, 0.3))]
        draw.line(zigzag, fill=255, width=max(min(size) // 12, 1))
    if kind == "speck":
        image.putpixel((size[0] - 1, size[1] // 2), 255)
    return np.asarray(image) > 127


def case(model: str, task: str, what: str, **changes: Any) -> Case:
    """A case with what most cases of its model and task share, and some ``changes``."""
    name, size = f"{model}/{task}/{what}", (300, 260) if model == "bundled" else (48, 40)
    shared: dict[str, Any] = {"name": name, "story": name, "size": size}
    if task in ("edit_class", "generate"):
        shared["label"] = "bird" if model in ("things", "bundled") else "boat"
    if task == "outpaint":
        shared["more"] = {"right": "25%", "top": 9}
    return Case(model=model, task=task, **{**shared, **changes})


def lever_cases(model: str) -> Iterator[Case]:
    """Each value of each option alone, some together, and some thrown together by a fixed die."""
    each = [{name: value} for name, values in LEVERS.items() for value in values] + [*TOGETHER]
    plan = {
        "plain": [("inpaint", each)], "shared": [("outpaint", each)],
        "things": [("edit_class", each), ("inpaint", each[::3]), ("generate", each[1::4])],
        "bundled": [("inpaint", each[::6]), ("edit_class", each[3::6])],
    }  # fmt: skip
    for task, chosen in plan[model]:
        for options in chosen:
            yield case(model, task, json.dumps(options), options=options)
    for number in range(0 if model == "bundled" else 30):
        die = random.Random(f"{model} {number}")
        known = [n for n in LEVERS if n != "candidates" and (number % 2 or n not in REMOVED)]
        mixed = {name: die.choice(LEVERS[name]) for name in die.sample(known, 5)}
        task, size, kind = die.choice(TASKS[:3]), die.choice(SIZES), die.choice(MASKS)
        yield case(model, task, f"mixed {number}", options=mixed, size=size, mask=kind)


def place_cases(model: str) -> Iterator[Case]:
    """Modes of pictures, their sizes, and where the mask is."""
    large = model == "bundled"
    for number, mode in enumerate(MODES[::5] if large else MODES):
        yield case(model, TASKS[number % 3 if model != "plain" else 0], f"mode {mode}", mode=mode)
    every = {"shared": 3, "bundled": 4}.get(model, 1)
    for at, size in enumerate(((120, 100), (640, 480), (560, 180)) if large else SIZES):
        for number, kind in enumerate(MASKS):
            if (at + number) % every == 0:
                task = {"plain": "inpaint", "things": "edit_class"}.get(model, TASKS[number % 2])
                yield case(model, task, f"{kind} in {size}", size=size, mask=kind)


def new_cases(model: str) -> Iterator[Case]:
    """Pictures that are extended or made anew, and scenery, with a label or none, by each rule."""
    sides: list[dict[str, Any]] = [{side: 10} for side in ("left", "right", "top", "bottom")]
    sides += [{"left": "30%", "right": "30%"}, {"bottom": "300%"}, {"right": 150, "top": "120%"}]
    if model == "bundled":
        sides = [{"left": "20%"}, {"right": "100%", "top": 40}]
    for label in (None, "hills"):
        for more in sides:
            yield case(model, "outpaint", f"{more}, {label}", more=more, label=label)
    for task, label in (*((task, "hills") for task in TASKS), ("generate", None), ("generate", 1)):
        for options in ({}, {"variations": 3}, {"rule": "paper"}):
            yield case(model, task, f"{label}, {options}", label=label, options=options)


def story_cases(model: str) -> Iterator[Case]:
    """Edits one after the other, where the later may use what the earlier left behind."""
    fast, bare = {"speed": "fast"}, {"studio": False}
    rolls = [{"seed": seed, "coarse_seeds": coarse}
             for seed, coarse in ((7, ()), (11, (7, 7)), (12, (7, 7)), (13, (7,)))]  # fmt: skip
    told: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
        "rolls": [("run", task, roll) for task in ("edit_class", "generate") for roll in rolls],
        "fast after exact": [("run", "inpaint", {}), ("run", "inpaint", fast)],
        "exact after fast": [("run", "inpaint", fast), ("run", "inpaint", {})],
        "warmed": [("warm", "inpaint", fast), ("run", "inpaint", fast)],
        "warmed class": [("warm", "edit_class", bare | fast), ("run", "edit_class", bare | fast)],
        "class": [("run", "edit_class", each) for each in ({}, {}, fast, bare, bare | fast)],
        "seen": [("previews", task, {"variations": 2}) for task in TASKS],
        "seen fast": [("previews", "edit_class", fast), ("previews", "inpaint", fast)],
    }  # fmt: skip
    for story, acts in told.items():
        for number, (does, task, options) in enumerate(acts):
            shared = {"story": f"{model}, {story}", "does": does, "options": options}
            yield case(model, task, f"{story} {number}, {does}", **shared)
    thing = case(model, "edit_class", "").label
    two, three = (("left", thing), ("right", "hills")), (("band", "hills"), ("box", thing))
    for what, changes in {
        "two": {"regions": two}, "two, fast": {"regions": two, "options": fast},
        "two, seen": {"regions": two, "does": "previews"}, "that overlap": {"regions": three},
    }.items():  # fmt: skip
        yield case(model, "edit_class", f"regions: {what}", label=None, **changes)


def wrong_cases(model: str) -> Iterator[Case]:
    """Requests that are refused, for the words in which they are."""
    for task, changes in (
        ("inpaint", {"more": {"mask": None}}), ("inpaint", {"mask": "empty"}),
        ("inpaint", {"more": {"mask": np.ones((1, 2), bool)}}), ("outpaint", {"more": {}}),
        ("inpaint", {"more": {"image": None}}), ("inpaint", {"more": {"model": "var-d99"}}),
        ("inpaint", {"regions": (("left", "boat"),)}), ("inpaint", {"options": {"guidance": 99}}),
        ("inpaint", {"options": {"context": "much"}}), ("edit_class", {"label": None}),
        ("inpaint", {"options": {"unknown_option": 1}}), ("edit_class", {"label": "brid"}),
        ("edit_class", {"label": "crane"}), ("outpaint", {"more": {"left": "900%"}}),
        ("edit_class", {"options": {"candidates": 1, "variations": 2}}),
    ):  # fmt: skip
        yield case(model, task, f"refused: {changes}", fails=True, **changes)


def chosen_cases(only: str, without: str, *, quick: bool) -> list[Case]:
    """What the command line leaves of all cases, model by model; a part comes in bfloat16, too."""
    kinds, found = (lever_cases, place_cases, new_cases, story_cases), []
    for model in MODELS:
        exact = [each for cases in kinds for each in cases(model)]
        half = set(list(dict.fromkeys(each.story for each in exact))[::9])
        found += [*exact, *(wrong_cases(model) if model == "things" else ())]
        found += [replace(each, name=f"{each.name}, bfloat16", precision="bfloat16")
                  for each in exact if each.story in half]  # fmt: skip
    assert len({each.name for each in found}) == len(found), "two cases have one name"
    named = {*without.lower().split(",")}
    gone = named | (REMOVED if "removed" in named else set())
    used = [{word for n, v in c.options.items() for word in (n, f"{n}={v}".lower())} for c in found]
    found = [c for c, words in zip(found, used, strict=True) if only in c.name and not words & gone]
    kept = set(list(dict.fromkeys(each.story for each in found))[:: 9 if quick else 1])
    return [each for each in found if each.story in kept]


# Ways in: what a checkout may call by another name


def finish(editor: Any, request: Any, does: str) -> tuple[Any, list[Any], list[Image.Image]]:
    """Carry out a request: its result, where its steps were, and what they showed."""
    if does == "warm":
        return getattr(editor, "warm", lambda request: None)(request), [], []
    if does == "run":
        return editor.run(request), [], []
    seen, result = {}, None
    for step in editor.steps(request):
        if hasattr(step, "index"):
            seen[step.index, step.of, step.scale, step.frame] = previews_of(step)
        elif hasattr(step, "result"):  # an event of its own, in place of what the last scale shows
            seen[[*seen][-1]] = previews_of(step)
        result = getattr(step, "result", result)
    return result, [*seen], [each for shown in seen.values() for each in shown]


def previews_of(step: Any) -> list[Image.Image]:
    """The pictures that a step shows."""
    shown = getattr(step, "previews", ())
    return list(shown() if callable(shown) else shown)


def make_models(old: Path, folder: Path) -> int:
    """Write the models with OLD's tests/tiny.py; "shared" has the official form, and a sampling."""
    tiny = importlib.import_module("tests.tiny")
    save = importlib.import_module("engine.training.export").save_model  # wherever it lives
    ours, scales = tiny.tiny_vqvae(), (1, 2, 3, 5)
    form = {"stem": 1, "linear_skip": False, "multipliers": (1, 1, 2, 2), "scales": scales}
    theirs = type(ours)(replace(ours.spec, **form)).eval()
    tiny.reproducible_weights(theirs)
    var, things = tiny.tiny_var(shared=True, l2=False, scales=scales), {"bird": ["boat", "bird"]}
    own = {"defaults": '{"top_k": 9, "temperature": 0.8, "soft_scales": 1, "guidance": 1.5}'}
    said = {"labels": tiny.LABELS, "about": "for a comparison"}
    save(folder / "plain", ours, tiny.tiny_var(), **said)
    save(folder / "things", ours, tiny.tiny_var(foresight=True), members=things, **said)
    save(folder / "shared", theirs, var, extra=own, **said)
    (folder / "bundled").symlink_to(old / "weights" / "bundled")
    return 0


def work(model: str, folder: Path, cases: list[Case]) -> int:
    """In a checkout: run the cases of one model, and write down what each gave."""
    importlib.import_module("torch").set_num_threads(1)
    engine, editors, told = importlib.import_module("engine"), {}, []
    assert Path.cwd() in Path(str(engine.__file__)).parents, "another engine was imported"
    for kind in sorted({each.precision for each in cases}):
        editors[kind] = engine.load_editor(str(folder / model), device="cpu", precision=kind)
    for number, each in enumerate(cases, 1):
        told.append(told_by(editors[each.precision], each))
        if sys.stderr.isatty():
            print(f"\r{model}: {number} of {len(cases)} ", end="", file=sys.stderr, flush=True)
    (folder / "told").write_bytes(pickle.dumps(told))
    return 0


def told_by(editor: Any, each: Case) -> dict[str, Any]:
    """All that a case gives, in plain types. "pictures" are (mode and metadata, array)."""
    try:
        result, places, shown = finish(editor, each.request(), each.does)
    except Exception as error:  # whatever a checkout raises is a finding, not an end
        known = isinstance(error, importlib.import_module("engine").EngineError)
        return {"error": f"{type(error).__name__}: {error}", "expected": each.fails and known}
    told = {name: repr(getattr(result, name, ())) for name in ("seeds", "scores", "notes")}
    images = [*getattr(result, "images", ()), *shown]
    about = [repr((each.mode, each.getpalette(), sorted(each.info.items()))) for each in images]
    pictures = list(zip(about, map(np.asarray, images), strict=True))
    return {**told, "steps": places, "pictures": pictures, "expected": not each.fails}


def differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What is not the same in what two checkouts told of a case, in words."""
    for name in ("error", "seeds", "scores", "notes", "steps"):
        if old.get(name) != new.get(name):
            yield f"{name}: {old.get(name)} -> {new.get(name)}"
    before, after = old.get("pictures", []), new.get("pictures", [])
    if len(before) != len(after):
        yield f"{len(before)} -> {len(after)} pictures"
    for number, ((about, a), (now, b)) in enumerate(zip(before, after, strict=False)):
        if about != now or a.shape != b.shape:
            yield f"picture {number}: {a.shape} {about:.60} -> {b.shape} {now:.60}"
        elif a.tobytes() != b.tobytes():
            apart = np.abs(a.astype(np.float64) - b).reshape(*a.shape[:2], -1).max(axis=2)
            count = np.count_nonzero(apart)
            yield f"picture {number}: {count} of {apart.size} pixels, by up to {apart.max():g}"


def in_checkout(checkout: Path, model: str, folder: str) -> list[dict[str, Any]]:
    """What the cases of a model give in a checkout; "" makes the models."""
    began, words = time.perf_counter(), [*sys.argv[1:], "--worker", str(checkout), model, folder]
    alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": ""}
    command = [sys.executable, str(Path(__file__).resolve()), *words]
    subprocess.run(command, cwd=checkout, env=os.environ | alone, check=True)
    print(f"{checkout}: {model or 'models made'}, {time.perf_counter() - began:.0f} s", flush=True)
    return pickle.loads((Path(folder) / "told").read_bytes()) if model else []


def compare(old: Path, new: Path, cases: list[Case]) -> int:
    """Both checkouts, model by model; how many cases differ, or are not as expected in OLD."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="same_pictures") as folder:
        in_checkout(old, "", folder)
        for model in dict.fromkeys(each.model for each in cases):
            told = [in_checkout(checkout, model, folder) for checkout in (old, new)]
            mine = [each for each in cases if each.model == model]
            for each, before, after in zip(mine, *told, strict=True):
                found = list(differences(before, after))
                if not before["expected"]:
                    found.append(f"not as expected in OLD: {before.get('error', 'not refused')}")
                if found:
                    wrong += 1
                    print(each.name, *found, sep="\n    ", flush=True)
    print(f"{len(cases)} cases, {wrong or 'none'} different")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs=2, type=Path, metavar=("OLD", "NEW"))
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--without", default="", help="options, or option=value, to leave out")
    parser.add_argument("--quick", action="store_true", help="one story in nine")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    cases = chosen_cases(args.only, args.without, quick=args.quick)
    if not args.worker:
        return min(compare(*(path.resolve() for path in args.checkouts), cases), 1)
    sys.path[0], model, folder = args.worker
    if not model:
        return make_models(Path(sys.path[0]), Path(folder))
    return work(model, Path(folder), [each for each in cases if each.model == model])


if __name__ == "__main__":
    sys.exit(main())
