"""From the form to a request, and from a request back to the form."""

from __future__ import annotations

from typing import Any

from PIL import Image

from app import canvas
from app.fields import FIELDS
from app.moments import Moment
from app.session import TASK_TITLES, Session
from engine.errors import EngineError, ImageError, MaskError, RequestError
from engine.request import SIDES, EditRequest, Region, reread
from engine.request.options import TASKS, EditOptions

NEED_MASK = ("inpaint", "edit_class")
NEED_LABEL = ("edit_class", "generate")
SIDE_FIELDS = {side: f"extend-{side}" for side in SIDES}
OPTIONS = tuple(FIELDS)
VARIATIONS = 2  # of a new page
MARGINS = tuple(SIDE_FIELDS.values())


def edit_request(
    task: str,
    *,
    image: Image.Image | None = None,
    mask: Image.Image | None = None,
    label: int | str | None = None,
    regions: tuple[Region, ...] = (),
    model: str | None = None,
    margins: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> EditRequest:
    """A request from what a form or a script gave; empty fields mean the default."""
    given = {k: v for k, v in (options or {}).items() if v is not None and v != ""}
    sides = {k: v for k, v in (margins or {}).items() if v is not None and v != ""}
    return EditRequest(
        task=task,
        image=image,
        mask=mask,
        label=label if label != "" else None,
        regions=regions,
        model=model or None,
        options=EditOptions(**given),
        **sides,
    )


def read_painted(painted: str, session: Session, *, required: bool) -> Image.Image | None:
    """The mask on the canvas; MaskError if there must be one and is none.

    ``painted`` is the canvas's version and, after a space, its layer. Where the canvas is to change
    and the page has not heard of it, or could not say, the mask is what will be on it.
    """
    version, _, layer = (painted or "").rpartition(" ")
    if not layer or version not in ("", str(session.version)):
        mask = session.picture.mask
    else:
        mask = canvas.read_mask(layer, canvas.proxy_size(session.picture.size))
    if mask is None and required:
        raise MaskError("the mask is empty; paint over the part that should change")
    return mask


def remembered(painted: str, session: Session) -> Session:
    """The session with what is painted now, for when the canvas turns to another picture; as it is
    where there is no canvas, or it could not say."""
    if session.current is None or not painted:
        return session
    return session.masked(read_painted(painted, session, required=False))


def recalled_mask(session: Session, data: Any, version: Any) -> Session:
    """The session with the mask that its page kept (a data URL), if it belongs to the picture
    that is shown; else as it is."""
    moment = session.current
    if moment is None or version != session.version or not (data and isinstance(data, str)):
        return session
    try:
        return session.masked(canvas.read_mask(data, canvas.proxy_size(moment.size)))
    except MaskError:
        return session


def with_mask(painted: str, session: Session, task: str) -> Session:
    """The session with what is painted now remembered, as far as the task needs it."""
    if task == "generate":
        return session
    marked = task == "edit_class" and bool(session.picture.regions)
    required = task in NEED_MASK and not marked
    return session.masked(read_painted(painted, session, required=required))


def request_of(
    moment: Moment | None,
    task: str,
    label: int | str | None,
    model: str | None,
    fields: dict[str, Any],
) -> EditRequest:
    """The request that the form spells for the picture of ``moment``, its mask and regions.

    ``fields`` are margins and options by the names of the page's elements.
    """
    margins = {side: fields.get(field) for side, field in SIDE_FIELDS.items()}
    options = {
        name.replace("-", "_"): value
        for name, value in fields.items()
        if name not in MARGINS and value != _unset(name)
    }
    if moment is None and task != "generate":
        raise ImageError("there is no picture yet; open one or click an example")
    image = mask = None
    regions: tuple[Region, ...] = ()
    if moment is not None and task != "generate":
        image, painted = moment.image, moment.mask
        if task in NEED_MASK and painted is not None:
            mask = canvas.full_size(painted, image.size)
        if task == "edit_class" and moment.regions:
            if mask is not None and label in (None, ""):
                raise RequestError("label: choose one for what is painted, or clear the mask")
            regions = tuple(
                Region(mask=canvas.full_size(region.mask, image.size), label=region.label)
                for region in moment.regions
            )
            if mask is not None:
                regions = (*regions, Region(mask=mask, label=label))
            mask = label = None
    if task in NEED_LABEL and label in (None, "") and not regions:
        raise RequestError("label: choose a class first; it says what is to appear")
    return edit_request(
        task,
        image=image,
        mask=mask,
        label=label,
        regions=regions,
        model=model,
        margins=margins if task == "outpaint" else None,
        options=options,
    )


# ---- back to the form ---------------------------------------------------------------------------


def fields_of(request: EditRequest) -> dict[str, Any]:
    """The form's fields that spell this request: values by the names of the page's elements."""
    options = request.options.model_dump()
    fields: dict[str, Any] = {
        "task": request.task,
        "label": "" if request.label is None else request.label,
    }
    for side, field in SIDE_FIELDS.items():
        fields[field] = str(getattr(request, side) or "")
    for name in OPTIONS:
        value = options[name.replace("-", "_")]
        if isinstance(value, tuple):
            fields[name] = ", ".join(map(str, value))
        elif value is None:
            fields[name] = _unset(name)
        elif isinstance(value, bool):
            fields[name] = "yes" if value else "no"
        elif FIELDS[name].lever.slider:
            fields[name] = value
        else:
            fields[name] = _short(value) if isinstance(value, float) else str(value)
    return fields


def usual() -> dict[str, Any]:
    """The form's fields as a new page has them, but for the task and the model."""
    fields: dict[str, Any] = dict.fromkeys(MARGINS, "")
    for name, field in FIELDS.items():
        fields[name] = field.options[0][1] if field.choices else field.unset
    fields["variations"] = VARIATIONS
    return fields


def in_words(request: EditRequest) -> str:
    """The settings of a request that are not the usual ones: "Outpaint, right 64, seed 7"."""
    said = [TASK_TITLES[request.task]]
    if request.label is not None:
        said.append(str(request.label))
    given, plain = fields_of(request), usual()
    for name in (*MARGINS, *OPTIONS):
        if given[name] == plain[name]:
            continue
        title = FIELDS[name].lever.title if name in FIELDS else name.removeprefix("extend-")
        said.append(f"{title[:1].lower()}{title[1:]} {given[name]}")
    return ", ".join(said)


def _short(value: float) -> str:
    """A number as one would type it: 2 for 2.0, and no digit less than it has."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def kept_fields(given: Any) -> dict[str, Any]:
    """The fields that a page kept for itself, as far as they spell a request."""
    if not isinstance(given, dict):
        return {}
    names = {"task", "label", "model", "format", *MARGINS, *OPTIONS}
    fields = {k: v for k, v in given.items() if k in names and isinstance(v, str | int | float)}
    if fields.get("task") not in TASKS:
        fields.pop("task", None)
    for name in OPTIONS:
        if FIELDS[name].written or name not in fields or fields[name] == _unset(name):
            continue  # a text may be half written, a choice must be one
        lever = name.replace("-", "_")
        try:
            options = EditOptions(**{lever: fields[name]})
        except EngineError:
            del fields[name]
            continue
        if FIELDS[name].lever.slider:
            fields[name] = getattr(options, lever)
    return fields


def parsed(text: str) -> tuple[EditRequest | None, tuple[str, ...]]:
    """The request that a saved picture carries, and notes on what of it is not known any more;
    None where this version cannot read it."""
    try:
        return reread(text)
    except EngineError:
        return None, ()


def _unset(name: str) -> Any:
    """What a field shows for "the default of this task"."""
    return FIELDS[name].unset if name in FIELDS else ""
