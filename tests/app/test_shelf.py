"""The dialog of the models: what it says, and what a choice of one that is not here does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import catalogue
from app.backend import Local, Offer
from app.catalogue import Here
from app.downloads import Downloads, Progress
from app.handlers import Handlers
from engine.errors import RequestError
from tests.tiny import tiny_editor

D16 = Offer(
    "var-d16", "VAR d16, 256 px", "Photos", False, 1_700_000_000, "someone/var", 1_100_000_000,
    "MIT", published=True, missing=1_700_000_000,
)  # fmt: skip
HERE = Here("tiny", True, 10_000_000_000, 8_000_000_000)


def text(offer: Offer, now: Progress | None = None, here: Here = HERE) -> str:
    return catalogue.shelf([offer], {offer.name: now} if now is not None else {}, here)


def merged(screens: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for screen in screens:
        shown |= screen
    return shown


def test_an_entry_says_size_memory_licence_and_where_it_is_from() -> None:
    said = text(D16)
    for word in ("1.7 GB", "about 1.1 GB", "MIT", "someone/var", "Photos.", 'data-do="get"'):
        assert word in said
    assert 'class="limited"' not in said
    assert 'class="limited"' in text(replace(D16, commercial=False, licence="research"))
    assert "more than is free now" in text(D16, here=replace(HERE, memory=5))


def test_free_space_is_told_before() -> None:
    said = text(D16, here=replace(HERE, disk=900_000_000))
    assert "Needs 1.7 GB of disk; 900 MB are free." in said and "disabled" in said
    assert "disabled" not in text(replace(D16, missing=800_000_000), here=replace(HERE, disk=10**9))


@pytest.mark.parametrize(
    ("now", "words", "buttons"),
    [
        (Progress("waiting"), "Waits", ["pause"]),
        (Progress("receiving", 10**9, 2 * 10**9, 10**7), "about 2 min left", ["pause"]),
        (Progress("checking", 2 * 10**9, 2 * 10**9), "SHA-256", ["pause"]),
        (Progress("paused", 10**9, 2 * 10**9), "Paused at 1.0 GB of 2.0 GB", ["get", "remove"]),
        (Progress("failed", 5, 9, words="no <hub>"), "no &lt;hub&gt;.", ["get", "remove"]),
    ],
)
def test_a_download_says_how_far_it_is_and_what_can_be_done(
    now: Progress, words: str, buttons: list[str]
) -> None:
    said = text(D16, now)
    assert words in said
    for do in ("pause", "get", "remove"):
        assert (f'data-do="{do}"' in said) == (do in buttons)


def test_what_an_earlier_server_began_can_be_gone_on_with() -> None:
    said = text(replace(D16, begun=True, missing=700_000_000))
    assert "Paused at 1.0 GB of 1.7 GB" in said and "Go on" in said


def test_what_is_in_use_or_not_official_has_no_button_that_removes_it() -> None:
    here = replace(D16, present=True)
    assert 'data-do="remove"' in text(here)
    assert 'data-do="remove"' not in text(here, here=replace(HERE, using="var-d16"))
    assert 'data-do="remove"' not in text(replace(here, published=False))
    assert 'data-do="remove"' not in text(here, here=replace(HERE, allowed=False))


def test_whatever_a_model_says_of_itself_is_text() -> None:
    evil = replace(D16, name='a"b', title="<i>", about="<b>", licence="<u>", source='"><s>')
    said = text(evil)
    assert not any(tag in said for tag in ("<i>", "<b>", "<u>", "<s>")) and 'a"b' not in said


def test_who_may_not_fetch_is_told_the_command() -> None:
    said = text(D16, here=Here("tiny"))
    assert "models download var-d16" in said and "data-do" not in said


def test_a_choice_that_is_not_here_opens_the_dialog_and_is_no_error(handlers: Handlers) -> None:
    shown = merged(handlers.model_changed("var-d20", "tiny", "inpaint", ""))
    assert 'data-open="var-d20 ' in shown["shelf"] and shown["model"]["value"] == "tiny"
    assert "error" not in shown["status"]
    again = merged(handlers.model_changed("var-d20", "tiny", "inpaint", ""))
    assert again["shelf"] != shown["shelf"], "the page has to see that it was chosen again"


def test_what_cannot_be_done_is_told_in_its_entry(handlers: Handlers) -> None:
    for what in ("3 use var-d20", "4 get var-d20", "5 remove bundled", "6 get nonsense"):
        name = what.split()[-1]
        shown = merged(handlers.models(what, "tiny", "inpaint", ""))
        assert f'data-wrong="{name}"' in shown["shelf"] and 'data-words=""' not in shown["shelf"]
    for what in ("", "7", "8 look", "9 dance var-d16"):
        assert "shelf" in merged(handlers.models(what, "tiny", "inpaint", ""))


def test_a_page_that_remembers_a_model_that_is_gone_begins_with_the_servers_own(
    handlers: Handlers,
) -> None:
    shown = merged(handlers.opened({"fields": {"model": "var-d20"}}))
    assert shown["using"] == "tiny" and shown["model"]["value"] == "tiny"


def test_the_model_that_the_server_starts_with_is_not_removed(tmp_path: Path) -> None:
    models = Local()
    models.add(tiny_editor(), first=True)
    with pytest.raises(RequestError, match="--model"):
        models.forget("tiny")
    models.chosen = "var-d30+var-d16@8"
    with pytest.raises(RequestError, match="--model"):
        models.forget("var-d16")
    models.chosen = "bundled"
    models.forget("tiny")
    assert "tiny" not in [offer.name for offer in models.offers()]
    (tmp_path / "var_d16.pth").write_bytes(b"x")
    Downloads(weights=tmp_path, forget=models.forget).remove("var-d16")
    assert not list(tmp_path.iterdir())
