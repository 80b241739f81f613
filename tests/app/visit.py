"""What a page does while it is open: it opens a picture, runs, and remembers what it is shown."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from PIL import Image

from app.handlers import Handlers
from app.screens import Screen
from app.session import Session

LEFT, RIGHT = (5, 10, 25, 30), (35, 10, 55, 30)


def mask(*boxes: tuple[int, int, int, int]) -> Image.Image:
    picture = Image.new("L", (60, 40), 0)
    for box in boxes:
        picture.paste(255, box)
    return picture


def opened(handlers: Handlers, photo: str) -> Session:
    """A new session with that picture."""
    return last(handlers.open_picture(photo, "", "inpaint", Session()))["session"]


def a_ticket() -> str:
    """A name for a run, such as a page makes at the press on Run."""
    return secrets.token_hex(8)


def last(screens: Iterator[Screen]) -> Screen:
    return list(screens)[-1]


def remembered(handlers: Handlers, screens: Iterator[Screen]) -> list[Screen]:
    """As the page does: every session that is shown is remembered."""
    seen = []
    for screen in screens:
        if "session" in screen:
            handlers.store.put(screen["session"])
        seen.append(screen)
    return seen


def begin(handlers: Handlers, photo: str | None = None, recalled: Any = None) -> Session:
    session = remembered(handlers, handlers.opened(recalled))[0]["session"]
    if photo is not None:
        session = remembered(handlers, handlers.open_picture(photo, "", "inpaint", session))[-1][
            "session"
        ]
    return session


def shown(handlers: Handlers, session: Session, painted: str, task: str = "inpaint",
          label: str | None = None, **fields: Any) -> list[Screen]:  # fmt: skip
    """All that a run shows."""
    ticket = a_ticket()
    return list(handlers.runs.run(ticket, painted, session, task, label, None, **fields))


def run(handlers: Handlers, session: Session, painted: str, task: str = "inpaint",
        label: str | None = None, **fields: Any) -> Session:  # fmt: skip
    """The session after a run."""
    handlers.store.put(session)
    screens = shown(handlers, session, painted, task, label, **fields)
    return remembered(handlers, screens)[-1]["session"]
