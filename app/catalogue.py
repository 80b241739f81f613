"""The dialog of the models: what each is good for, what it takes, and what can be done with it.

Text that did not come from this file is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from app.backend import GET, Offer
from app.downloads import Progress

HUB = "https://huggingface.co/"  # what a repository's name is an address on
WORDS = (
    "The larger a model, the better it draws and the slower it is. None of them follows sentences: "
    "they know kinds of things, official ones the 1000 of ImageNet."
)
FIRST = (
    "The bundled model removes things from a photo and extends it with the photo's own texture, "
    "but what it draws looks like a sticker; official models, from {least}, were trained on photos "
    "and draw 1000 kinds of things."
)


@dataclass(frozen=True)
class Here:
    """What the dialog says of this machine and this window: the model that is in ``using``,
    whether models may be fetched and removed (``allowed``), free bytes of the disk and of memory
    (0 where nobody knows), and the model to get ``first``."""

    using: str
    allowed: bool = False
    disk: int = 0
    memory: int = 0
    first: str = ""


def dialog() -> str:
    """The dialog, empty: assets/models.js puts the entries in."""
    return (
        '<dialog id="models" aria-labelledby="models-title"><header><h2 id="models-title" '
        'tabindex="-1">Models</h2><button type="button" class="close" aria-label="Close">✕</button>'
        f'</header><div class="list"><p class="about">{WORDS}</p><p class="room"></p>'
        '<div class="entries"></div></div></dialog>'
    )


def first_run() -> str:
    """What the bundled model can do with a photo, and what official ones add; shown until it is
    closed."""
    return (
        '<div class="first"><p><span></span> <button type="button" class="get">Models</button></p>'
        '<button type="button" class="close" aria-label="Close this note">✕</button></div>'
    )


def shelf(
    offers: Sequence[Offer], states: Mapping[str, Progress], here: Here, *, opened: str = "",
    wrong: tuple[str, str] = ("", ""), number: str = "",
) -> str:  # fmt: skip
    """Every entry, for the page's script; not shown here. ``opened`` is the entry at which the
    dialog is to open, ``wrong`` a model and why it could not be used; ``number`` is that of the
    event that is answered."""
    entries = "".join(_entry(offer, states.get(offer.name), here) for offer in offers)
    active = [(offer, states[offer.name]) for offer in offers if _active(states, offer.name)]
    news = ""
    if active:
        offer, now = next((each for each in active if each[1].state != "waiting"), active[0])
        news = f"{offer.title.split(',')[0]} {_percent(now)}"
    official = [offer for offer in offers if offer.published]
    first = ""
    if here.using == "bundled" and official and not any(offer.present for offer in official):
        first = FIRST.format(least=_size(min(offer.bytes for offer in official)))
    room = ""
    if here.allowed and here.disk:
        memory = f" and {_size(here.memory)} of memory" if here.memory else ""
        room = f"Free on this machine: {_size(here.disk)} of disk{memory}."
    data = {
        "using": here.using, "known": known(offers), "news": news, "open": opened,
        "first": first, "room": room, "wrong": wrong[0], "words": wrong[1], "number": number,
        "active": str(int(bool(active))),
    }  # fmt: skip
    given = " ".join(f'data-{key}="{escape(value)}"' for key, value in data.items())
    return f'<div id="shelf" {given}><div hidden>{entries}</div></div>'


def known(offers: Sequence[Offer]) -> str:
    """The models that are here, to tell whether the page's list is still right."""
    return " ".join(offer.name for offer in offers if offer.present)


def _active(states: Mapping[str, Progress], name: str) -> bool:
    return name in states and states[name].active


def _entry(offer: Offer, now: Progress | None, here: Here) -> str:
    """One model: what it is good for, its figures, what can be done."""
    using = offer.name == here.using
    badge = "In use" if using else "Here" if offer.present else ""
    if not badge and offer.name == here.first:
        badge = "A good first one"
    mark = f' <span class="badge">{badge}</span>' if badge else ""
    facts = []
    if offer.bytes:
        facts.append(("Size", _size(offer.bytes), ""))
    if offer.memory:
        short = 0 < here.memory < offer.memory and not offer.present
        more = ", more than is free now" if short else ""
        facts.append(("Memory", f"about {_size(offer.memory)}{more}", "limited" if short else ""))
    if offer.licence:
        limited = "" if offer.commercial else "limited"
        facts.append(("Licence", offer.licence, limited))
    rows = "".join(
        f'<div><dt>{name}</dt><dd class="{kind}">{escape(value)}</dd></div>'
        for name, value, kind in facts
    )
    if offer.published:
        link = (
            f'<a href="{HUB}{escape(offer.source)}" target="_blank" rel="noreferrer">'
            f"{escape(offer.source)}</a>"
        )
        rows += f"<div><dt>From</dt><dd>{link}</dd></div>"
    name = escape(offer.name)
    about = offer.about + "." * (bool(offer.about) and not offer.about.endswith("."))
    return (
        f'<article class="entry{" using" if using else ""}" data-name="{name}" '
        f'aria-label="{escape(offer.title)}"><h3>{escape(offer.title)}{mark}</h3>'
        f"<p>{escape(' '.join(filter(None, (offer.suits, about))))}</p><dl>{rows}</dl>"
        f'<div class="state">{_state(offer, now, here)}</div>{_trouble(now)}'
        f'<p class="refusal" role="alert"></p></article>'
    )


def _state(offer: Offer, now: Progress | None, here: Here) -> str:
    """How far its download is, and its buttons."""
    if offer.present:
        use = "" if offer.name == here.using else _button("use", "Use", offer, primary=True)
        gone = _removal(offer) if offer.published and here.allowed and use else ""
        return f'<div class="do">{use}{gone}</div>' if use else ""
    if not here.allowed:
        return f"<p>To get it: <code>{escape(GET)} {escape(offer.name)}</code></p>"
    if now is None and offer.begun:
        now = Progress("paused", offer.bytes - offer.missing, offer.bytes)
    if now is None:
        return f'<div class="do">{_get(offer, here)}</div>'
    line = "" if now.state == "failed" else f"<p>{escape(_in_words(now))}</p>"
    if now.state != "waiting":
        line = _bar(offer, now) + line
    if now.active:
        return f'{line}<div class="do">{_button("pause", "Pause", offer)}</div>'
    again = "Try again" if now.state == "failed" else "Go on"
    buttons = _button("get", again, offer, primary=True) + _removal(offer)
    return f'{line}<div class="do">{buttons}</div>'


def _trouble(now: Progress | None) -> str:
    """Why its download failed, as wide as the entry; or nothing yet."""
    words = f"{now.words}." if now is not None and now.state == "failed" else ""
    return f'<p class="trouble" role="alert">{escape(words)}</p>'


def _get(offer: Offer, here: Here) -> str:
    """The button that fetches it, or why it would not fit."""
    if offer.missing > here.disk:
        words = f"Needs {_size(offer.missing)} of disk; {_size(here.disk)} are free."
        return f"{_button('get', 'Get', offer, off=True)}<p>{words}</p>"
    return _button("get", f"Get, {_size(offer.missing)}", offer, primary=offer.name == here.first)


def _removal(offer: Offer) -> str:
    """A button that asks first."""
    what = _size(offer.bytes) if offer.present else "what has arrived"
    return (
        f"{_button('ask', 'Remove', offer)}"
        f'<div class="sure"><p>Remove {what} from this machine? It can be fetched again.</p>'
        f"{_button('remove', 'Remove', offer)}{_button('keep', 'Keep', offer)}</div>"
    )


def _button(do: str, text: str, offer: Offer, *, primary: bool = False, off: bool = False) -> str:
    kind = ' class="primary"' if primary else ""
    return (
        f'<button type="button"{kind} data-do="{do}"{" disabled" if off else ""} '
        f'aria-label="{escape(f"{text}: {offer.title}")}">{escape(text)}</button>'
    )


def _bar(offer: Offer, now: Progress) -> str:
    value = f"{100 * now.part:.1f}"
    return (
        f'<div class="bar {now.state}" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * now.part:.0f}" aria-label="Download of {escape(offer.title)}">'
        f'<u style="width:{value}%"></u></div>'
    )


def _in_words(now: Progress) -> str:
    """How far it is."""
    if now.state == "waiting":
        return "Waits for another download."
    if now.state == "checking":
        return "All here; its SHA-256 is being checked …"
    so_far = f"{_size(now.received)} of {_size(now.size)}"
    if now.state == "paused":
        return f"Paused at {so_far}."
    if not now.rate:
        return f"{so_far} …"
    return f"{so_far}, {_size(now.rate)}/s, {_time((now.size - now.received) / now.rate)} left"


def _percent(now: Progress) -> str:
    return f"{100 * now.part:.0f} %"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
