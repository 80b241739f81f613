"""Killed at random moments, and with the disk full: nothing half-written is taken for whole, and
nothing finished is lost.

    python tests/killed.py [--count 30] [--seed 5] [--only project]

What is killed: saving a picture, writing a project, a training checkpoint, a model's weights, a
download, and an edit from the command line over its own source. A child does it over and over, the
old thing and the new one in turn; it gets SIGKILL after a moment of chance. What is there then has
to be one of the two, whole; nothing may lie beside it, and the next one to write must get through.
The disk is full as soon as a file may have so few bytes (RLIMIT_FSIZE).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIZE = 400  # side of the pictures
STATES = (0, 1)  # the old thing and the new one


@cache
def photo(state: int) -> Any:
    from tests.pictures import noisy_rgb

    return noisy_rgb(SIZE, SIZE, state)


def save_picture(folder: Path, state: int) -> None:
    from engine.picture.files import write_picture

    write_picture(folder / "a.png", photo(state))


def save_project(folder: Path, state: int) -> None:
    from app import project
    from app.session import Session

    session = Session()
    for step in range(3):
        session = session.opened(photo(state), f"step {step}")
    project.save(folder / "a.varpaint", session, {"seed": str(state)})


def save_checkpoint(folder: Path, state: int) -> None:
    import torch

    from engine.training.run import save_checkpoint as save

    save(folder / "last.pt", {"step": state, "weights": torch.full((300_000,), float(state))})


def save_weights(folder: Path, state: int) -> None:
    from engine.weights.saving import save_model
    from tests.tiny import LABELS, tiny_var, tiny_vqvae

    save_model(folder / "tiny", tiny_vqvae(), tiny_var(), labels=LABELS, about=str(state))


def state_of_picture(folder: Path) -> int:
    from engine.picture.files import open_image

    found = open_image(folder / "a.png").tobytes()
    return next(state for state in STATES if photo(state).tobytes() == found)


def state_of_project(folder: Path) -> int:
    from app import project
    from app.session import Session

    session, fields, _ = project.load(folder / "a.varpaint", Session())
    state = int(fields["seed"])
    pixels = [moment.image.tobytes() for moment in session.moments]
    assert pixels == [photo(state).tobytes()] * 3
    return state


def state_of_checkpoint(folder: Path) -> int:
    import torch

    from engine.training.run import load_checkpoint

    found = load_checkpoint(folder / "last.pt", torch.device("cpu"))
    state = int(found["step"])
    assert bool((found["weights"] == state).all())
    return state


def state_of_weights(folder: Path) -> int:
    """Of two files each is whole; that they were saved together is told by their codebook."""
    from engine.weights.checkpoint import load_pair
    from engine.weights.registry import metadata_of

    paths = (folder / "tiny" / "vqvae.safetensors", folder / "tiny" / "var.safetensors")
    load_pair(*paths)
    return int(metadata_of(paths[1])["about"])


WORK: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], int]]] = {
    "picture": (save_picture, state_of_picture),
    "project": (save_project, state_of_project),
    "checkpoint": (save_checkpoint, state_of_checkpoint),
    "weights": (save_weights, state_of_weights),
}


def left_over(folder: Path) -> list[str]:
    """Files that nobody asked for."""
    wanted = {"a.png", "a.varpaint", "last.pt", "vqvae.safetensors", "var.safetensors"}
    wanted |= {f"{name}.sha256" for name in wanted}
    return [str(path) for path in folder.rglob("*") if path.is_file() and path.name not in wanted]


def forked(work: Callable[[], None]) -> int:
    """A child of this process that works until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def kill_at_random(kind: str, count: int, rng: random.Random) -> None:
    write, read = WORK[kind]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for state in STATES:
            write(folder, state)
        began = time.monotonic()
        for state in STATES:
            write(folder, state)
        once = (time.monotonic() - began) / 2
        for _ in range(count):

            def work() -> None:
                for turn in range(1000):
                    write(folder, turn % 2)

            child = forked(work)
            time.sleep(rng.uniform(0, 4 * once))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            read(folder)
            assert not left_over(folder), left_over(folder)
        write(folder, 1)
        assert read(folder) == 1, "whoever comes next gets through"


def fill_the_disk(kind: str, rng: random.Random) -> None:
    """Each time a file may be so long: the old one stays, whole, and the error is one line."""
    from engine.errors import EngineError

    write, read = WORK[kind]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, 0)
        for _ in range(5):

            def work() -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                most = rng.randrange(1, 30_000)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
                try:
                    write(folder, 1)
                except EngineError as error:
                    os._exit(3 if "\n" in str(error) else 0)
                except BaseException:
                    import traceback

                    traceback.print_exc()
                    os._exit(4)
                os._exit(5)

            rng.random()
            _, status = os.waitpid(forked(work), 0)
            assert os.waitstatus_to_exitcode(status) == 0, os.waitstatus_to_exitcode(status)
            assert read(folder) == 0 and not left_over(folder), left_over(folder)


def kill_downloads(count: int, rng: random.Random) -> None:
    """What was received is gone on with; the file is there only when it is whole."""
    from engine.weights.download import fetch, recorded
    from tests.hub import Hub, serve

    content = random.Random(1).randbytes(20_000_000)
    with tempfile.TemporaryDirectory() as name, serve(Hub()) as hub:
        hub.files["var_d16.pth"] = content
        for turn in range(count):
            folder = Path(name) / str(turn)
            command = [sys.executable, "-c", DOWNLOAD, str(folder), hub.endpoint]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(rng.uniform(0, 0.3))
                process.kill()
            target = folder / "var_d16.pth"
            if target.exists():
                assert target.read_bytes() == content and recorded(target) is not None
            fetch("FoundationVision/var", "var_d16.pth", folder, endpoint=hub.endpoint)
            assert hashlib.sha256(target.read_bytes()).hexdigest() == recorded(target)
            assert not list(folder.glob("*.part"))


DOWNLOAD = """
import sys
from pathlib import Path
from engine.weights.download import fetch
import huggingface_hub.errors, httpx2, tqdm
print("begun", flush=True)
fetch("FoundationVision/var", "var_d16.pth", Path(sys.argv[1]), endpoint=sys.argv[2])
"""


def kill_runs(count: int, rng: random.Random) -> None:
    """An edit over its own source, killed: the source is there, or the result."""
    from engine.picture.files import open_image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_weights(folder, 0)
        photo(0).crop((0, 0, 60, 40)).save(folder / "source.png")
        before = (folder / "source.png").read_bytes()
        for _ in range(count):
            (folder / "a.png").write_bytes(before)
            command = [sys.executable, "-m", "engine", "outpaint", str(folder / "a.png"), "--right",
                       "200", "-o", str(folder / "a.png"), "--model", str(folder / "tiny"),
                       "--device", "cpu", "--seed", "1"]  # fmt: skip
            with subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            ) as process:
                time.sleep(rng.uniform(0.5, 8))
                process.kill()
            data = (folder / "a.png").read_bytes()
            assert data == before or open_image(data).size == (260, 40)
            assert not [each for each in left_over(folder) if "source.png" not in each]


def run(count: int, seed: int, only: str | None = None) -> None:
    """All of it; AssertionError at the first that is not as it should be."""
    rng = random.Random(seed)
    for kind in WORK:
        if only in (None, kind):
            kill_at_random(kind, count, rng)
            fill_the_disk(kind, rng)
            print(f"{kind}: killed {count} times, the disk full 5 times", flush=True)
    if only in (None, "download"):
        kill_downloads(count, rng)
        print(f"download: killed {count} times", flush=True)
    if only in (None, "run"):
        kill_runs(max(count // 3, 1), rng)
        print(f"run: killed {max(count // 3, 1)} times", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", choices=[*WORK, "download", "run"])
    flags = parser.parse_args()
    run(flags.count, flags.seed, flags.only)


if __name__ == "__main__":
    main()
