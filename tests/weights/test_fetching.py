"""How files get here: downloads, resumed, refused and checked, against a hub of our own."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import DownloadError, ModelNotFoundError
from engine.weights.download import fetch, recorded
from engine.weights.registry import download
from tests.hub import COMMIT, Hub, serve
from tests.weights.shelf import CONTENT, REPOSITORY, SHA256, VQVAE_PTH, one_line


def test_a_download_brings_both_files_checked_and_recorded(hub, weights):
    paths = download("var-d16", weights, endpoint=hub.endpoint)
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT[::-1]]
    assert recorded(paths[0]) == SHA256
    assert (weights / f"{VQVAE_PTH}.sha256").read_text() == f"{SHA256}  {VQVAE_PTH}\n"
    assert not list(weights.glob("*.part"))
    assert ("HEAD", f"/{REPOSITORY}/resolve/main/var_d16.pth", None) in hub.requests
    assert ("GET", f"/{REPOSITORY}/resolve/{COMMIT}/var_d16.pth", None) in hub.requests


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_a_download_shows_its_progress_and_heeds_hf_endpoint(hub, weights):
    import termios

    code = (
        "import sys; from pathlib import Path; from engine.weights.registry import download; "
        "download('var-d16', Path(sys.argv[1]))"
    )
    terminal, screen = os.openpty()
    termios.tcsetwinsize(screen, (24, 80))
    done = subprocess.run(
        [sys.executable, "-c", code, str(weights)],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
        stderr=screen,
        check=False,
    )
    os.close(screen)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert done.returncode == 0, shown
    assert "var_d16.pth: 100%" in shown
    assert (weights / "var_d16.pth").read_bytes() == CONTENT[::-1]


def test_what_is_here_is_not_downloaded_again(hub, weights):
    download("var-d16", weights, endpoint=hub.endpoint)
    before = len(hub.requests)
    download("var-d16", weights, endpoint=hub.endpoint)
    assert len(hub.requests) == before


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_is_resumed_in_the_same_call(hub, weights, reset):
    hub.reset = reset
    hub.cuts = [400_000, 100_000]
    path = fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert path.read_bytes() == CONTENT
    assert hub.ranges()[0] is None
    assert len(hub.ranges()) == 3
    assert all(wanted and wanted.startswith("bytes=") for wanted in hub.ranges()[1:])


def test_a_download_given_up_is_resumed_by_the_next_call(hub, weights):
    hub.cuts = [400_000] + [0] * 20
    with pytest.raises(DownloadError, match="no connection to the hub") as caught:
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert "again to go on" in one_line(caught)
    (part,) = weights.glob("*.part")
    assert part.stat().st_size == 400_000 // 65536 * 65536
    assert not (weights / VQVAE_PTH).exists()
    hub.cuts.clear()
    hub.requests.clear()
    path = fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert hub.ranges() == [f"bytes={400_000 // 65536 * 65536}-"]
    assert path.read_bytes() == CONTENT
    assert not list(weights.glob("*.part"))


def test_a_server_without_ranges_starts_over(hub, weights):
    hub.ignore_ranges = True
    hub.cuts = [400_000]
    path = fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert path.read_bytes() == CONTENT


def test_a_complete_partial_file_needs_no_more_bytes(hub, weights):
    (weights / f"{VQVAE_PTH}.{SHA256[:12]}.part").write_bytes(CONTENT)
    fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert hub.ranges() == []


def test_leftovers_of_another_version_are_not_mixed_in(hub, weights):
    (weights / f"{VQVAE_PTH}.000000000000.part").write_bytes(b"old" * 1000)
    (weights / f"{VQVAE_PTH}.{SHA256[:12]}.part").write_bytes(b"too long" * 1_000_000)
    path = fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert path.read_bytes() == CONTENT
    assert hub.ranges() == [None]
    assert not list(weights.glob("*.part"))


def test_wrong_bytes_are_refused_and_not_kept(hub, weights):
    hub.corrupt = True
    with pytest.raises(DownloadError, match=f"expected SHA-256 {SHA256}") as caught:
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert "found" in one_line(caught)
    assert [path.name for path in weights.iterdir()] == [".cache"]
    hub.corrupt = False
    assert fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint).read_bytes() == CONTENT


def test_too_little_space_is_found_out_before_the_download(hub, weights, monkeypatch):
    usage = shutil.disk_usage(weights)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="disk is full") as caught:
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert f"{len(CONTENT)} bytes are needed" in one_line(caught)
    assert "1000 are free" in one_line(caught)
    assert hub.ranges() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_on_the_way_is_one_line(hub, weights):
    """The partial file is a link to the device on which every write fails for lack of space."""
    part = weights / f"{VQVAE_PTH}.{SHA256[:12]}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="disk is full") as caught:
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert "goes on where it stopped" in one_line(caught)
    assert not (weights / VQVAE_PTH).exists()


def test_a_folder_that_cannot_be_written_is_one_line(hub, weights, monkeypatch):
    def refuse(self, *args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DownloadError, match=r"cannot be written to .*Permission denied"):
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)


def test_a_file_that_the_hub_does_not_have_is_one_line(hub, weights):
    with pytest.raises(DownloadError, match=r"var_d30.pth: not found in FoundationVision/var"):
        download("var-d30", weights, endpoint=hub.endpoint)
    with pytest.raises(DownloadError, match="not found in someone/else"):
        fetch("someone/else", VQVAE_PTH, weights, endpoint=hub.endpoint)


def test_a_hub_in_trouble_is_one_line(hub, weights):
    hub.status = 503
    with pytest.raises(DownloadError, match="status 503") as caught:
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    assert str(weights) in one_line(caught)


def test_a_file_without_a_declared_sum_is_refused(hub, weights):
    hub.plain = True
    with pytest.raises(DownloadError, match="expected the hub to declare a SHA-256"):
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)


def test_without_a_connection_the_line_says_where_to_put_the_file(weights):
    with serve(Hub()) as hub:
        endpoint = hub.endpoint
    with pytest.raises(DownloadError, match="no connection to the hub") as caught:
        download("var-d16", weights, endpoint=endpoint)
    assert f"put {VQVAE_PTH} into {weights}" in one_line(caught)


def test_two_downloads_of_one_file_do_not_mix(hub, weights):
    from filelock import FileLock

    (weights / ".cache").mkdir()
    with (
        FileLock(weights / ".cache" / f"{VQVAE_PTH}.lock"),
        pytest.raises(DownloadError, match="by another process"),
    ):
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)


def test_only_official_models_can_be_downloaded(weights):
    with pytest.raises(DownloadError, match="comes with varpaint"):
        download("bundled", weights)
    with pytest.raises(ModelNotFoundError, match=r"did you mean .*var-d16"):
        download("var-d61", weights)


class EnoughError(Exception):
    """Somebody pressed Pause."""


def test_whoever_watches_may_stop_a_download_and_it_goes_on_where_it_was(hub, weights):
    seen: list[tuple[str, int, int]] = []
    pauses = [True]

    def told(name: str, received: int, size: int) -> None:
        seen.append((name, received, size))
        if received > 300_000 and pauses:
            pauses.pop()
            raise EnoughError

    with pytest.raises(EnoughError):
        fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint, told=told)
    (part,) = weights.glob("*.part")
    kept = part.stat().st_size
    assert 300_000 < kept < len(CONTENT) and seen[0] == (VQVAE_PTH, 0, len(CONTENT))
    fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint, told=told)
    assert hub.ranges()[-1] == f"bytes={kept}-"
    assert seen[-1] == (VQVAE_PTH, len(CONTENT), len(CONTENT))
    assert (weights / VQVAE_PTH).read_bytes() == CONTENT
