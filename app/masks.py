"""What the window does with masks and regions: callbacks, from values to screens."""

from __future__ import annotations

from collections.abc import Iterator

from app import canvas, forms, markup, screens
from app.forms import read_painted
from app.outbox import new_folder
from app.screens import Screen
from app.session import Session
from engine.errors import MaskError, RequestError


class Masks:
    """The callbacks of the mask's buttons. What is painted comes from the page (forms.py)."""

    def change(self, how: str, painted: str, session: Session) -> Iterator[Screen]:
        """Clear, invert, grow or shrink what is painted."""
        size = canvas.proxy_size(session.picture.size)
        try:
            session = forms.remembered(painted, session)
        except MaskError:
            if how != "clear":  # which helps where the canvas went wrong
                raise
        after = canvas.changed(session.picture.mask, size, how)
        yield _shown(session.remasked(after), f"Mask: {how}.")

    def last(self, painted: str, session: Session) -> Iterator[Screen]:
        """Paint the mask of the last run again."""
        outcome = session.outcome
        moment = session.picture
        if outcome is None or outcome.base is None:
            raise MaskError("there is no earlier mask; paint one and press Run")
        mask = outcome.base.mask
        size = canvas.proxy_size(moment.size)
        if mask is None:
            raise MaskError("the last run had no mask")
        if mask.size != size:
            raise MaskError("the last mask is of another size than this picture")
        session = forms.remembered(painted, session)
        yield _shown(session.remasked(mask), "The last mask is back.")

    def take(self, file: str | None, painted: str, session: Session) -> Iterator[Screen]:
        """A mask from a file."""
        moment = session.picture
        if file is None:
            raise MaskError("no file arrived; use a black and white picture")
        size = canvas.proxy_size(moment.image.size)
        mask = canvas.imported(file, moment.image.size, size)
        session = forms.remembered(painted, session)
        screen = _shown(session.remasked(mask), "Mask taken from the file.")
        yield {**screen, "import-mask": None}

    def export(self, painted: str, session: Session) -> Iterator[Screen]:
        """The mask as a black and white PNG of the picture's own size."""
        mask = read_painted(painted, session, required=True)
        assert mask is not None
        full = canvas.full_size(mask, session.picture.image.size)
        path = new_folder() / f"{session.name}-mask.png"
        full.save(path, "PNG")
        yield {"file": str(path), "status": markup.status("The mask is saved.", "done")}

    # ---- regions ----------------------------------------------------------------------------

    def add_region(
        self, painted: str, label: str | None, session: Session
    ) -> Iterator[Screen]:
        """What is painted becomes a region of the chosen class; the next one can be painted."""
        if not label:
            raise RequestError("choose a class first: it says what the region becomes")
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
