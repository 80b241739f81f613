"""Killed at random moments: nothing half-written is taken for whole, and nothing finished is lost.

    python tests/killed.py [--count 30] [--seed 5] [--only project]

What is killed: saving a picture, writing a project, a training checkpoint, a model's weights, a
training run, a download, and an edit from the command line over its own source. A child does it
over and over, the old thing and the new one in turn; it gets SIGKILL after a moment of chance. What
is there then has to be one of the two, whole; nothing may lie beside it, and the next one to write
must get through. What a full disk does to the same is in `tests/full_disk.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
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
            assert len(left_over(folder)) <= 1, left_over(folder)
            _age(folder)
        write(folder, 1)
        assert read(folder) == 1, "whoever comes next gets through"
        assert not left_over(folder), left_over(folder)


def _age(folder: Path) -> None:
    """Have what a kill between two names left (see `engine.picture.saving`) be swept at once."""
    from engine.picture import saving

    if left_over(folder):
        time.sleep(saving.FORSAKEN + 0.5)


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


def extension(folder: Path) -> list[str]:
    """An edit of `a.png`, over itself."""
    picture = str(folder / "a.png")
    return [sys.executable, "-m", "engine", "outpaint", picture, "--right", "200", "-o", picture,
            "--model", str(folder / "tiny"), "--device", "cpu", "--seed", "1"]  # fmt: skip


def kill_runs(count: int, rng: random.Random) -> None:
    """An edit over its own source, killed: the source is there, or the result."""
    from engine.picture.files import open_image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_weights(folder, 0)
        photo(0).crop((0, 0, 60, 40)).save(folder / "source.png")
        before = (folder / "source.png").read_bytes()
        finished = 0
        began, once = time.monotonic(), 0.0
        for turn in range(count + 1):
            (folder / "a.png").write_bytes(before)
            process = subprocess.Popen(
                extension(folder), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            with process:
                if not turn:  # to know how long it takes
                    process.wait()
                    once = time.monotonic() - began
                else:
                    time.sleep(rng.uniform(0, 1.1 * once))
                    process.kill()
            data = (folder / "a.png").read_bytes()
            assert data == before or open_image(data).size == (260, 40)
            finished += data != before
            assert not [each for each in left_over(folder) if "source.png" not in each]
        print(f"run: {finished - 1} had come to their end before", flush=True)


def kill_training(count: int, rng: random.Random) -> None:
    """A training run that saves at every step, killed and gone on with: it ends where one that
    nobody killed does, to the bit."""
    import torch

    with tempfile.TemporaryDirectory() as name:
        data, out = Path(name) / "data", Path(name) / "out"
        make_pictures(data)
        began = time.monotonic()
        whole = train(data, Path(name) / "whole")
        once = time.monotonic() - began
        kills = ended = 0
        while kills < count:
            child = forked(lambda: train(data, out))
            time.sleep(rng.uniform(0, once))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            assert not list(out.rglob("*.part"))
            checkpoint = out / "checkpoint.pt"
            done = checkpoint.exists() and state_of_training(checkpoint) == STEPS
            if done or kills == count:
                resumed = train(data, out).state_dict()
                for key, tensor in whole.state_dict().items():
                    assert torch.equal(tensor, resumed[key]), key
                ended += 1
                shutil.rmtree(out)
        print(f"training: {ended} runs came to their end", flush=True)


STEPS = 6  # of a training run


def make_pictures(folder: Path) -> None:
    for number in range(8):
        place = folder / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        photo(number).crop((0, 0, 48, 40)).save(place / f"{number}.png")


def train(data: Path, out: Path, steps: int = STEPS) -> Any:
    from engine.model.spec import VQVAESpec
    from engine.training.run import Budget
    from engine.training.vqvae import train_vqvae
    from engine.training.vqvae_objective import VQVAEOptions

    spec = VQVAESpec(
        scales=(1, 2, 4), codebook_size=48, latent_channels=8, width=16, multipliers=(1, 2),
        blocks_per_level=1, stem=4, linear_skip=True,
    )  # fmt: skip
    options = VQVAEOptions(
        batch=4, start_pictures=8, held_out=2, revive_after=2, evaluate_every=2,
        checkpoint_minutes=0,
    )  # fmt: skip
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        return train_vqvae(data, out, spec=spec, budget=Budget(steps=steps), options=options)


def state_of_training(checkpoint: Path) -> int:
    import torch

    from engine.training.run import load_checkpoint

    return int(load_checkpoint(checkpoint, torch.device("cpu"))["step"])


def run(count: int, seed: int, only: str | None = None) -> None:
    """All of it; AssertionError at the first that is not as it should be."""
    whole = {"training": kill_training, "download": kill_downloads, "run": kill_runs}
    for kind in KINDS:
        if only not in (None, kind):
            continue
        rng, began = random.Random(f"{seed}/{kind}"), time.monotonic()
        if kind in WORK:
            kill_at_random(kind, count, rng)
        else:
            whole[kind](count, rng)
        seconds = time.monotonic() - began
        print(f"{kind}: killed {count} times, {seconds:.0f} s", flush=True)


KINDS = (*WORK, "training", "download", "run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", choices=KINDS)
    flags = parser.parse_args()
    run(flags.count, flags.seed, flags.only)


if __name__ == "__main__":
    main()
