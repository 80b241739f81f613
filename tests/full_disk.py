"""The disk full: the old file is whole, nothing is left over, and what is said is one clear line.

    python tests/full_disk.py [--count 5] [--seed 5] [--only project] [--way tmpfs]

In four ways: `limit`, a bound of a file's length (RLIMIT_FSIZE, anywhere); `tmpfs`, a small file
system in memory with so many bytes left; `inodes`, one on which no new file can begin; and `ext4`
in a file of its own, which notices only when the bytes are to reach the disk (as root). They are
mounted where only a child of this process sees them, so none is left behind.

What writes: what `tests/killed.py` kills, and a server whose folder is full while it is asked for
an edit. Once there is room again, the next one must get through.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.killed import (  # noqa: E402
    WORK,
    extension,
    forked,
    left_over,
    make_pictures,
    photo,
    save_weights,
    state_of_training,
    train,
)

MOST = 30_000  # bytes that are left at most
SIZE = 700 << 20  # bytes of a file system that is made; a server takes less for full
INODES = 800  # files that one may hold where those are what runs out
WAYS = ("limit", "tmpfs", "inodes", "ext4")
NEW_MOUNTS, NEW_USER, PRIVATE = 0x20000, 0x10000000, 0x4000 | 1 << 18  # see unshare(2), mount(2)


# ---- full disks ---------------------------------------------------------------------------------


def own_mounts() -> None:
    """From here on, what this process mounts is seen by it and its children alone."""
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(NEW_MOUNTS | (NEW_USER if user else 0)):
        raise OSError(ctypes.get_errno(), "this machine lets nobody mount")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if libc.mount(b"none", b"/", None, PRIVATE, None):
        raise OSError(ctypes.get_errno(), "mounts cannot be made private")


def mounted(way: str, folder: Path) -> None:
    """A file system at ``folder``."""
    if way == "ext4":
        image = folder.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
        command = ["mount", "-o", "loop", image, folder]
    elif way in ("tmpfs", "inodes"):
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes={INODES}", "none", folder]
    else:
        return
    subprocess.run(command, check=True)


def can(way: str) -> bool:
    """Whether this machine lets us."""

    def work() -> None:
        with tempfile.TemporaryDirectory() as name, contextlib.suppress(Exception):
            folder = Path(name) / "disk"
            folder.mkdir()
            if way != "limit":
                own_mounts()
            mounted(way, folder)
            subprocess.run(["umount", folder], check=way != "limit", capture_output=True)
            os._exit(7)

    return sys.platform == "linux" and _end_of(work) == 7


@contextlib.contextmanager
def full(way: str, folder: Path, most: int) -> Iterator[None]:
    """While it is full but for about ``most`` bytes."""
    if way == "limit":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        return
    filler = next(each for each in (folder, folder.parent) if each.is_mount()) / "filler"
    filler.mkdir()
    with contextlib.suppress(OSError):
        if way == "inodes":
            for number in range(INODES):
                (filler / str(number)).touch()
        else:
            with (filler / "all").open("wb", buffering=0) as file:
                found = os.statvfs(filler)
                free = found.f_bavail * found.f_frsize
                os.posix_fallocate(file.fileno(), 0, max(free - most, 1))
    try:
        yield
    finally:
        shutil.rmtree(filler)


# ---- what writes --------------------------------------------------------------------------------


def refused(work: Callable[[], object]) -> str:
    """The one line that it ends with."""
    from engine.errors import EngineError

    try:
        work()
    except EngineError as error:
        line = str(error)
    else:
        raise AssertionError("it was written, although the disk is full")
    assert line and "\n" not in line and len(line) < 500, line
    return line


def fill_writer(kind: str, way: str, folder: Path, most: int) -> str:
    write, read = WORK[kind]
    write(folder, 0)
    with full(way, folder, most):
        line = refused(lambda: write(folder, 1))
    assert read(folder) == 0 and not left_over(folder), left_over(folder)
    write(folder, 1)
    assert read(folder) == 1, "whoever comes next gets through"
    return line


def fill_training(way: str, folder: Path, most: int) -> str:
    """What was trained is still there, and is gone on with."""
    make_pictures(data := folder.parent / "data")
    train(data, folder / "out", 2)
    with full(way, folder, most):
        line = refused(lambda: train(data, folder / "out", 6))
    assert state_of_training(folder / "out" / "checkpoint.pt") == 2
    assert not list(folder.rglob("*.part"))
    train(data, folder / "out", 6)
    assert state_of_training(folder / "out" / "checkpoint.pt") == 6
    return line


def fill_download(way: str, folder: Path, most: int) -> str:
    """What was received stays, as it says, and is gone on with."""
    from engine.weights.download import fetch
    from tests.hub import Hub, serve

    content = random.Random(1).randbytes(200_000)
    with serve(Hub()) as hub:
        hub.files["var_d16.pth"] = content
        asked = ("FoundationVision/var", "var_d16.pth", folder / "weights")
        with full(way, folder, most):
            line = refused(lambda: fetch(*asked, endpoint=hub.endpoint))
        assert not (folder / "weights" / "var_d16.pth").exists()
        assert fetch(*asked, endpoint=hub.endpoint).read_bytes() == content
    return line


def fill_run(way: str, folder: Path, most: int) -> str:
    """An edit from the command line, over its own source."""
    from engine.picture.files import open_image

    save_weights(folder, 0)
    photo(0).crop((0, 0, 60, 40)).save(folder / "a.png")
    before = (folder / "a.png").read_bytes()
    with full(way, folder, min(most, 5000)):
        done = subprocess.run(extension(folder), cwd=ROOT, capture_output=True, text=True)
    line = done.stderr.strip()
    assert done.returncode == 2 and line.startswith("error: ") and "\n" not in line, done
    assert (folder / "a.png").read_bytes() == before and not left_over(folder)
    again = subprocess.run(extension(folder), cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0 and open_image(folder / "a.png").size == (260, 40), again
    return line


def fill_server(way: str, folder: Path, most: int) -> str:
    """Its folder is full while an edit runs; the next one gets through, and nothing is left."""
    import httpx

    from engine.picture.files import encode_png
    from tests.app.server import save_tiny_model, serving

    os.environ["TMPDIR"] = str(folder)
    log = folder.parent / "log.txt"
    with serving(save_tiny_model(folder.parent), log) as url, httpx.Client(timeout=60) as http:
        api = f"{url}/gradio_api"
        files = {"files": ("a.png", encode_png(photo(0).crop((0, 0, 90, 80))))}
        (path,) = http.post(f"{api}/upload", files=files).json()
        picture = {"path": path, "meta": {"_type": "gradio.FileData"}}
        asked = [picture, 0, 200, 0, 0, None, {"seed": 1}, None]

        def answer() -> tuple[str, str]:
            event = http.post(f"{api}/call/outpaint", json={"data": asked}).json()["event_id"]
            news = http.get(f"{api}/call/outpaint/{event}").text.strip().split("\n\n")[-1]
            how, _, told = news.partition("\ndata: ")
            return how.removeprefix("event: "), told

        with full(way, folder, min(most, 4000)):
            how, told = answer()
            if way != "inodes":
                assert http.post(f"{api}/upload", files=files).status_code == 507
        assert how == "error", (how, told)
        line = str(json.loads(told)["error"])
        assert answer()[0] == "complete"
        assert "\n" not in line and str(folder.parent) not in line, line
    assert "Traceback" not in log.read_text(), log.read_text()
    left = [path for path in folder.iterdir() if path.name not in ("filler", "lost+found")]
    assert not left, left
    return line


OTHERS = {
    "training": fill_training, "download": fill_download, "run": fill_run, "server": fill_server,
}  # fmt: skip
KINDS = (*WORK, *OTHERS)


# ---- all of it ----------------------------------------------------------------------------------


def _end_of(work: Callable[[], None]) -> int:
    _, status = os.waitpid(forked(work), 0)
    return os.waitstatus_to_exitcode(status)


def fill(kind: str, way: str, most: int) -> str:
    """One time; the line that is said. AssertionError if anything is not as it should be."""
    with tempfile.TemporaryDirectory() as name:
        said = Path(name) / "said"

        def work() -> None:
            try:
                disk = Path(name) / "mounted"
                disk.mkdir()
                if way != "limit":
                    own_mounts()
                mounted(way, disk)
                folder = disk if kind == "server" else disk / "folder"
                folder.mkdir(exist_ok=True)
                if kind in WORK:
                    line = fill_writer(kind, way, folder, most)
                else:
                    line = OTHERS[kind](way, folder, most)
                said.write_text(line)
                os._exit(0)
            except BaseException:
                said.write_text(traceback.format_exc())
                os._exit(1)

        code = _end_of(work)
        told = said.read_text() if said.exists() else ""
        assert code == 0, f"{kind}, {way}, {most} bytes left: {told or code}"
        return told.replace(name, "")


def run(count: int, seed: int, only: str | None = None, only_way: str | None = None) -> None:
    import tests.tiny  # noqa: F401  # torch, once, before children are forked

    for way in (only_way,) if only_way else WAYS:
        if not can(way):
            print(f"{way}: this machine does not let us")
            continue
        for kind in (only,) if only else KINDS:
            if kind == "server" and way == "limit":
                continue  # it has begun before, so a bound does not reach it
            rng = random.Random(f"{seed}/{kind}/{way}")
            lines = {fill(kind, way, rng.randrange(1, MOST)) for _ in range(count)}
            print(f"{kind}: the disk full {count} times ({way}): {min(lines, key=len)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--way", choices=WAYS)
    flags = parser.parse_args()
    run(flags.count, flags.seed, flags.only, flags.way)
    print("all as it should be")


if __name__ == "__main__":
    main()
