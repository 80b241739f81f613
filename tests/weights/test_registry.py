"""Which models there are, which is taken, and how files get here: against a hub of our own."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.errors import CheckpointError, DownloadError, ModelNotFoundError
from engine.loading import load_editor
from engine.model.spec import VARSpec, VQVAESpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.checkpoint import load_pair
from engine.weights.download import fetch, recorded
from engine.weights.published import OFFICIAL
from engine.weights.registry import (
    download,
    free_memory,
    models,
    remove,
    resolve,
    verify,
)
from engine.weights.saving import save_model
from tests.hub import COMMIT, Hub, serve
from tests.official import official_state

REPOSITORY = "FoundationVision/var"
VQVAE_PTH = "vae_ch160v4096z32.pth"
NAMES = [f"var-d{depth}" for depth in (16, 20, 24, 30, 36)]
FLEX = [f"flexvar-d{depth}" for depth in (16, 20, 24)]
MORE = [f"hmar-d{depth}" for depth in (16, 20, 24, 30)] + [f"code-{n}" for n in (6, 7, 8, 9)]
GB = 10**9
CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()

SMALL = {"scales": (1, 2, 4), "codebook_size": 32, "latent_channels": 8}


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    monkeypatch.setattr("engine.weights.download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("engine.weights.download.CHUNK", 1 << 16)
    files = {VQVAE_PTH: CONTENT, "var_d16.pth": CONTENT[::-1]}
    with serve(Hub(files)) as running:
        yield running


@pytest.fixture
def weights(tmp_path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    return folder


def put(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x" * 10)


def save_small(folder: Path, about: str = "Small") -> None:
    torch.manual_seed(0)
    vqvae = VQVAE(VQVAESpec(**SMALL, width=16, multipliers=(1, 1)))
    var = VAR(VARSpec(**SMALL, depth=1, width=64, num_classes=2))
    save_model(
        folder, vqvae, var, labels=["hen", "owl"], about=about, extra={"licence": "CC0-1.0"}
    )


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    line = str(error.value)
    assert "\n" not in line
    return line


# What there is


def test_the_registry_knows_the_official_checkpoints_and_their_exact_size():
    for model in OFFICIAL:
        spec, codec = model.spec, model.tokenizer_spec
        own = model.family.layout
        assert model.tokens == spec.num_tokens
        assert model.side == 16 * spec.scales[-1]
        for layout, each, count in (
            (own.transformer, spec, model.parameters),
            (own.tokenizer, codec, model.tokenizer.parameters),
        ):
            assert sum(w.numel() for w in layout.skeleton(each).parameters()) == count


def test_known_models_are_listed_with_what_they_take(weights):
    listed = {info.name: info for info in models(weights)}
    assert list(listed) == ["bundled", *NAMES, *FLEX, *MORE]
    assert not any(listed[name].present for name in NAMES)
    assert listed["var-d16"].bytes == pytest.approx(1.24 * GB + 0.436 * GB, rel=0.01)
    assert listed["var-d36"].side == 512
    assert {listed[name].licence for name in NAMES} == {"MIT"}
    assert {listed[name].source for name in NAMES} == {REPOSITORY}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_files_put_there_under_their_official_names_are_found(weights, ending):
    put(weights, f"var_d20{ending}")
    assert "var-d20" not in [info.name for info in models(weights) if info.present]
    put(weights, VQVAE_PTH)
    listed = {info.name: info for info in models(weights)}
    assert listed["var-d20"].present
    assert listed["var-d20"].bytes == 20
    files = resolve("var-d20", weights)
    assert files.var == weights / f"var_d20{ending}"
    assert files.vqvae == weights / VQVAE_PTH
    assert (files.name, files.source) == ("var-d20", REPOSITORY)


def test_a_folder_of_ones_own_is_offered_under_its_name(weights):
    save_small(weights / "birds", about="Two birds, for tests")
    info = models(weights)[-1]
    assert (info.name, info.about, info.licence) == ("birds", "Two birds, for tests", "CC0-1.0")
    assert (info.side, info.present) == (8, True)
    files = (weights / "birds").glob("*.safetensors")
    assert info.bytes == sum(path.stat().st_size for path in files)
    files = resolve("birds", weights)
    loaded = load_pair(files.vqvae, files.var)
    assert loaded.labels == ("hen", "owl")


def test_the_bundled_model_is_a_folder_too(weights):
    save_small(weights / "bundled")
    assert models(weights)[0].about == "Small"
    assert resolve("bundled", weights).vqvae.parent == weights / "bundled"
    assert [info.name for info in models(weights)].count("bundled") == 1


def test_damaged_files_do_not_break_the_list(weights):
    put(weights / "broken", "vqvae.safetensors", "var.safetensors")
    assert models(weights)[-1].name == "broken"
    assert models(weights)[-1].side == 0


def test_a_weights_folder_that_is_not_there_is_empty(tmp_path):
    assert len(models(tmp_path / "nowhere")) >= 6


def test_listing_models_loads_no_network_library():
    code = (
        "import sys; from engine.weights.registry import models; models(); "
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    root = Path(__file__).parent.parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


# Which is taken


def test_auto_takes_the_best_that_is_here_and_fits(weights):
    save_small(weights / "bundled")
    plenty = 80 * GB
    assert resolve("auto", weights, memory=plenty).name == "bundled"
    put(weights, VQVAE_PTH, "var_d16.pth", "var_d30.pth")
    assert resolve("auto", weights, memory=plenty).name == "var-d30"
    assert resolve("auto", weights, memory=3 * GB).name == "var-d16"
    assert resolve("auto", weights, memory=1 * GB // 2).name == "bundled"
    put(weights, "var_d36.pth")
    assert resolve("auto", weights, memory=plenty).name == "var-d36"
    assert resolve("auto", weights, memory=6 * GB).name == "var-d30"
    assert resolve("auto", weights, memory=6 * GB, bytes_per_weight=4).name == "var-d16"


@pytest.mark.parametrize(("device", "free"), [("cuda", 7), ("cuda:0", 7), ("cuda:1", 3)])
def test_a_model_has_to_fit_the_gpu_that_was_asked_for(monkeypatch, weights, device, free):
    asked = []

    def taken(name, weights, *, memory, bytes_per_weight):
        asked.append((memory, free_memory(), bytes_per_weight))
        raise ModelNotFoundError("enough")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "mem_get_info",
        lambda which=None: ((7, 3)[torch.device(which or "cuda").index or 0], 80),
    )  # fmt: skip
    monkeypatch.setattr("engine.loading.resolve", taken)
    with pytest.raises(ModelNotFoundError):
        load_editor("auto", device=device, weights=weights)
    assert asked == [(free, 7, 2)]
    assert free_memory("cpu") not in (3, 7)


def test_auto_without_a_number_asks_the_machine(weights):
    save_small(weights / "bundled")
    put(weights, VQVAE_PTH, "var_d16.pth")
    assert resolve("auto", weights).name in ("bundled", "var-d16")


def test_a_missing_file_is_named_with_the_command_that_brings_it(weights):
    put(weights, VQVAE_PTH)
    with pytest.raises(ModelNotFoundError) as caught:
        resolve("var-d16", weights)
    line = one_line(caught)
    assert "var_d16.pth missing" in line
    assert "python -m engine models download var-d16" in line


@pytest.mark.parametrize("name", ["var-d61", "VAR_D16", "d16", "bundle", "nonsense", "", "a\0b"])
def test_an_unknown_model_brings_the_known_ones(weights, name):
    with pytest.raises(ModelNotFoundError) as caught:
        resolve(name, weights)
    line = one_line(caught)
    assert all(known in line for known in ("auto", "bundled", *NAMES))
    if name in ("var-d61", "VAR_D16"):
        assert "var-d16" in line.split("did you mean")[1].split("?")[0]


def test_a_path_is_a_model_too(tmp_path):
    save_small(tmp_path / "mine")
    for name in (str(tmp_path / "mine"), str(tmp_path / "mine" / "var.safetensors")):
        files = resolve(name, tmp_path / "weights")
        assert files.vqvae == tmp_path / "mine" / "vqvae.safetensors"
        assert files.name == name
    put(tmp_path / "theirs", VQVAE_PTH, "var_d16.pth")
    assert resolve(str(tmp_path / "theirs"), tmp_path).var.name == "var_d16.pth"
    put(tmp_path / "theirs", "var_d20.pth")
    with pytest.raises(ModelNotFoundError, match=r"found var_d16.pth, var_d20.pth; give the path"):
        resolve(str(tmp_path / "theirs"), tmp_path)
    files = resolve(str(tmp_path / "theirs" / "var_d20.pth"), tmp_path)
    assert (files.var.name, files.vqvae.name) == ("var_d20.pth", VQVAE_PTH)


def test_a_folder_without_a_model_says_what_was_expected(tmp_path):
    put(tmp_path / "photos", "a.jpg", "b.jpg")
    with pytest.raises(ModelNotFoundError, match=r"expected vqvae.* found a.jpg, b.jpg"):
        resolve(str(tmp_path / "photos"), tmp_path)


def test_a_trainers_checkpoint_is_a_model_in_one_file(tmp_path):
    vqvae = VQVAESpec(
        scales=(1, 2, 4, 8, 16), codebook_size=32, latent_channels=8, width=32, multipliers=(1, 1)
    )
    var = VARSpec(
        depth=1, width=64, scales=vqvae.scales, num_classes=2, codebook_size=32, latent_channels=8
    )
    path = tmp_path / "ar-ckpt-best.pth"
    nested = {"var_wo_ddp": official_state(var), "vae_local": official_state(vqvae)}
    torch.save({"trainer": nested}, path)
    files = resolve(str(path), tmp_path)
    assert load_pair(files.vqvae, files.var).model.var.spec == var


# How files get here


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


# Checking what is here


def test_verify_passes_a_good_model_and_says_what_was_compared(weights):
    save_small(weights / "birds")
    lines = verify("birds", weights)
    assert len(lines) == 2
    assert all("complete, SHA-256" in line and "as recorded" in line for line in lines)
    (weights / "birds" / "var.safetensors.sha256").unlink()
    assert "nothing recorded" in verify("birds", weights)[1]


def test_the_bundled_weights_are_those_that_were_recorded():
    lines = verify("bundled")
    assert len(lines) == 2 and all("as recorded" in line for line in lines)


@pytest.mark.parametrize("name", ["x" * 300, "~nosuchuser", "~nosuchuser/x", "a/" * 3000, "\0"])
def test_a_name_that_is_no_path_either_is_an_unknown_model(name, weights):
    with pytest.raises(ModelNotFoundError, match="unknown model") as told:
        resolve(name, weights)
    assert len(str(told.value)) < 400


def test_verify_finds_a_changed_file(hub, weights):
    path = fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    put(weights, "var_d16.pth")
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {SHA256} as recorded") as caught:
        verify("var-d16", weights)
    assert str(path) in one_line(caught)


def test_verify_finds_another_network_under_an_official_name(weights):
    vqvae = VQVAESpec(scales=(1, 2, 4, 8, 16), width=32, multipliers=(1, 1))
    var = VARSpec(depth=1, width=64, scales=vqvae.scales)
    torch.save(official_state(vqvae), weights / VQVAE_PTH)
    torch.save(official_state(var), weights / "var_d16.pth")
    with pytest.raises(CheckpointError, match="expected VQVAESpec") as caught:
        verify("var-d16", weights)
    assert "width=160" in one_line(caught)


# Whoever watches, and what is removed


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


def test_a_list_says_what_is_begun_and_what_is_missing(weights):
    def listed(name: str):
        return next(info for info in models(weights) if info.name == name)

    whole = listed("var-d16")
    assert (whole.missing, whole.begun, whole.published) == (whole.bytes, False, True)
    (weights / "var_d16.pth.0123456789ab.part").write_bytes(bytes(1000))
    begun = listed("var-d16")
    assert (begun.missing, begun.begun, begun.present) == (whole.bytes - 1000, True, False)
    put(weights, VQVAE_PTH)
    assert listed("var-d20").missing == listed("var-d20").bytes - 10
    assert not listed("var-d20").begun, "the tokenizer is there for another"
    put(weights, "var_d16.pth")
    assert listed("var-d16").missing == 0
    assert not listed("hmar-d16").commercial and listed("bundled").memory == 0


def test_what_is_removed_takes_nothing_along_that_others_need(weights):
    put(weights, VQVAE_PTH, "var_d16.pth", "var_d20.pth", "var_d16.pth.sha256")
    (weights / "var_d16.pth.0123456789ab.part").write_bytes(b"x")
    assert {path.name for path in remove("var-d16", weights)} == {
        "var_d16.pth", "var_d16.pth.0123456789ab.part"
    }  # fmt: skip
    assert sorted(path.name for path in weights.iterdir()) == [VQVAE_PTH, "var_d20.pth"]
    remove("var-d20", weights)
    assert list(weights.iterdir()) == []


@pytest.mark.parametrize("name", ["bundled", "birds", "../x", "auto", ""])
def test_what_is_no_official_model_is_never_removed(weights, name):
    save_small(weights / "birds")
    save_small(weights / "bundled")
    before = sorted(weights.rglob("*"))
    with pytest.raises(ModelNotFoundError, match="only official models"):
        remove(name, weights)
    assert sorted(weights.rglob("*")) == before


def test_the_bundled_model_is_there_wherever_downloads_go(tmp_path):
    code = "from engine.weights.registry import models; print(models()[0].present)"
    root = Path(__file__).parent.parent.parent
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=root, text=True, capture_output=True, check=True,
        env={**os.environ, "VARPAINT_WEIGHTS": str(tmp_path / "elsewhere")},
    )  # fmt: skip
    assert told.stdout == "True\n"
