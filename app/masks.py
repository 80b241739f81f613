"""What the window does with masks and regions: callbacks, from values to screens."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from PIL import Image

from app import canvas, forms, markup, screens
from app.files import told_by_name
from app.forms import read_painted
from app.outbox import new_folder
from app.screens import Screen
from app.session import Session
from engine.errors import MaskError, RequestError
from engine.picture.files import write_picture

CHANGED = {
    "clear": "The mask is clear. Paint over what should change.",
    "invert": "Inverted: what was not marked is.",
    "grow": "The mask has grown.",
    "shrink": "The mask has shrunk.",
}


class Masks:
    """The callbacks of the mask's buttons. What is painted comes from the page (forms.py)."""

    def change(self, how: str, painted: str, session: Session) -> Iterator[Screen]:
        """Clear, invert, grow or shrink what is painted; a step that the editor's undo knows."""
        size = canvas.proxy_size(session.picture.size)
        try:
            mask = read_painted(painted, session, required=False)
        except MaskError:
            if how != "clear":
                raise
            yield _shown(session.remasked(None), CHANGED[how])  # mends a canvas that went wrong
            return
        yield _instead(canvas.changed(mask, size, how), session, CHANGED[how])

    def last(self, painted: str, session: Session) -> Iterator[Screen]:
        """Paint the mask of the last run again."""
        outcome = session.outcome
        size = canvas.proxy_size(session.picture.size)
        if outcome is None or outcome.base is None:
            raise MaskError("there is no earlier mask; paint one and press Run")
        mask = outcome.base.mask
        if mask is None:
            raise MaskError("the last run had no mask")
        if mask.size != size:
            raise MaskError("the last mask is of another size than this picture")
        yield _instead(mask, session, "The last mask is back.")

    def take(self, file: str | None, painted: str, session: Session) -> Iterator[Screen]:
        """A mask from a file."""
        size = session.picture.size
        if file is None:
            raise MaskError("no file arrived; use a black and white picture")
        mask, doubtful = canvas.imported(file, size, canvas.proxy_size(size))
        text, ask = "Mask taken from the file. Press Run, or add to it.", ""
        if doubtful:
            text = "The file looks like a photograph, not like a mask."
            ask = f"{text} Its bright parts would be marked."
        screen = _instead(mask, session, text, ask=ask, yes="Mark them")
        yield {**screen, "import-mask": None}

    def export(self, painted: str, session: Session) -> Iterator[Screen]:
        """The mask as a black and white PNG of the picture's own size."""
        mask = read_painted(painted, session, required=True)
        assert mask is not None
        full = canvas.full_size(mask, session.picture.image.size)
        path = new_folder() / f"{session.name}-mask.png"
        with told_by_name(path):
            write_picture(path, full)
        yield {"file": str(path), "status": markup.status("The mask is saved.", "done")}

    # ---- regions ----------------------------------------------------------------------------

    def add_region(
        self, painted: str, label: str | None, session: Session
    ) -> Iterator[Screen]:
        """What is painted becomes a region of the chosen class; the next one can be painted."""
        if not label:
            raise RequestError("label: choose a class first; it says what the region becomes")
        mask = read_painted(painted, session, required=True)
        assert mask is not None
        session = session.marked(mask, label)
        count = len(session.picture.regions)
        text = f"Region {count}: {label}. Paint the next one, or press Run."
        yield _shown(session, text)

    def remove_region(
        self, index: int, painted: str, session: Session
    ) -> Iterator[Screen]:
        """Let go of a region; what is painted stays."""
        session = forms.remembered(painted, session)
        yield _shown(session.unmarked(index), "The region is gone.")


def _shown(session: Session, text: str) -> Screen:
    return {**screens.of_session(session), "status": markup.status(text)}


def _instead(
    mask: Image.Image | None, session: Session, text: str, *, ask: str = "", yes: str = ""
) -> Screen:
    """Another mask in the place of what is painted, once the page has been asked, if it is."""
    layer = canvas.as_layer(mask, canvas.proxy_size(session.picture.size))
    shape = markup.shape(secrets.token_hex(6), session.version, layer, whole=True,
                         ask=ask, yes=yes)  # fmt: skip
    return {"shape": shape, "status": markup.status(text)}
