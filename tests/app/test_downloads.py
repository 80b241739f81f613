"""Downloads in the background, from a hub on this machine: one after the other, paused, gone on
with, failed, removed and ended with the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.downloads import Downloads
from engine.errors import DownloadError, ModelNotFoundError, RequestError
from engine.weights.registry import models
from tests.hub import Hub, serve

SIZE = 3 << 20
FILES = {
    "vae_ch160v4096z32.pth": bytes(1 << 16),
    "var_d16.pth": bytes(range(256)) * (SIZE >> 8),
    "var_d20.pth": bytes(1000),
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(Hub(dict(FILES))) as running:
        yield running


@pytest.fixture
def downloads(hub: Hub, tmp_path: Path) -> Iterator[Downloads]:
    made = Downloads(weights=tmp_path, endpoint=hub.endpoint)
    yield made
    made.close()


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def state(downloads: Downloads, name: str) -> str:
    known = downloads.states().get(name)
    return known.state if known is not None else ""


def present(folder: Path, name: str) -> bool:
    return next(info for info in models(folder) if info.name == name).present


def arrives(downloads: Downloads, count: int) -> None:
    """Until so many bytes more than what is counted for the model have come."""
    until(lambda: downloads.states()["var-d16"].received > count)


def test_a_model_comes_in_the_background_and_tells_how_far_it_is(
    hub: Hub, downloads: Downloads, tmp_path: Path
) -> None:
    hub.rate = SIZE
    downloads.get("var-d16")
    until(lambda: downloads.states()["var-d16"].rate)
    known = downloads.states()["var-d16"]
    assert known.state == "receiving" and 0 < known.part < 1
    assert known.rate == pytest.approx(SIZE, rel=0.7)
    hub.rate = 0
    until(lambda: present(tmp_path, "var-d16"))
    until(lambda: not downloads.states())


def test_a_pause_stops_it_at_once_and_it_goes_on_where_it_was(
    hub: Hub, downloads: Downloads, tmp_path: Path
) -> None:
    hub.rate = SIZE // 2
    downloads.get("var-d16")
    arrives(downloads, 1 << 20)
    downloads.pause("var-d16")
    assert state(downloads, "var-d16") == "paused"
    until(lambda: downloads._working is None, 3)
    (part,) = tmp_path.glob("*.part")
    kept = part.stat().st_size
    hub.rate = 0
    downloads.get("var-d16")
    until(lambda: present(tmp_path, "var-d16"))
    assert hub.ranges()[-1] == f"bytes={kept}-"


def test_one_waits_for_the_other(hub: Hub, downloads: Downloads, tmp_path: Path) -> None:
    hub.rate = SIZE
    downloads.get("var-d16")
    downloads.get("var-d20")
    downloads.get("var-d20")  # once more says nothing new
    arrives(downloads, 1 << 20)
    assert state(downloads, "var-d20") == "waiting"
    downloads.pause("var-d16")
    until(lambda: present(tmp_path, "var-d20"))
    assert state(downloads, "var-d16") == "paused" and not present(tmp_path, "var-d16")


def test_what_failed_says_why_without_a_path_and_can_be_tried_again(
    hub: Hub, downloads: Downloads, tmp_path: Path
) -> None:
    hub.corrupt = True
    downloads.get("var-d20")
    until(lambda: state(downloads, "var-d20") == "failed")
    words = downloads.states()["var-d20"].words
    assert "SHA-256" in words and str(tmp_path) not in words and "\n" not in words
    assert not present(tmp_path, "var-d20")
    hub.corrupt = False
    downloads.get("var-d20")
    until(lambda: present(tmp_path, "var-d20"))
    hub.status = 503
    downloads.get("var-d16")
    until(lambda: state(downloads, "var-d16") == "failed")
    assert str(tmp_path) not in downloads.states()["var-d16"].words


def test_the_end_of_the_server_stops_it_and_the_next_one_goes_on(
    hub: Hub, downloads: Downloads, tmp_path: Path
) -> None:
    hub.rate = SIZE // 2
    downloads.get("var-d16")
    arrives(downloads, 1 << 20)
    began = time.monotonic()
    downloads.close()
    assert time.monotonic() - began < 2 and downloads._working is None
    downloads.get("var-d16")
    assert downloads._working is None, "no more begins"
    hub.rate = 0
    info = next(info for info in models(tmp_path) if info.name == "var-d16")
    assert info.begun and info.missing < info.bytes
    again = Downloads(weights=tmp_path, endpoint=hub.endpoint)
    again.get("var-d16")
    until(lambda: present(tmp_path, "var-d16"))
    assert hub.ranges()[-1] is not None


def test_what_is_removed_while_it_comes_is_gone(
    hub: Hub, downloads: Downloads, tmp_path: Path
) -> None:
    hub.rate = SIZE // 2
    downloads.get("var-d16")
    arrives(downloads, 1 << 20)
    downloads.remove("var-d16")
    assert not downloads.states() and not list(tmp_path.glob("v*"))


def test_what_is_in_use_or_no_official_model_is_not_removed(tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise RequestError(f"{name} is in use")

    (tmp_path / "var_d16.pth").write_bytes(b"x")
    with pytest.raises(RequestError):
        Downloads(weights=tmp_path, forget=refuse).remove("var-d16")
    assert (tmp_path / "var_d16.pth").exists()
    for name in ("bundled", "../x", "auto"):
        for do in (Downloads(weights=tmp_path).get, Downloads(weights=tmp_path).remove):
            with pytest.raises(ModelNotFoundError, match="no official model"):
                do(name)


def test_where_it_is_not_allowed_nothing_is_fetched_paused_or_removed(tmp_path: Path) -> None:
    (tmp_path / "var_d16.pth").write_bytes(b"x")
    closed = Downloads(weights=tmp_path, allowed=False)
    for do in (closed.get, closed.pause, closed.remove):
        with pytest.raises(DownloadError, match="--downloads"):
            do("var-d16")
    assert (tmp_path / "var_d16.pth").exists() and not closed.states()
