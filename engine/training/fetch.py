"""Fetch the raw material of the sticker set, by package name, with the ordinary clients.

    python -m engine.training.fetch            # -> data/raw, then data/stickers

Icons come from npm packages, photos and the Unicode groups from Debian packages. The clients
(`npm`, `apt-get`, `dpkg`) use whatever registry they are configured for; this file names none.
A package file that already lies in `data/downloads` is not fetched again.
"""

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import typer

from engine.training.prepare import prepare


@dataclass(frozen=True)
class Package:
    """One package: its name in the registry, the folder it is unpacked to, the file it comes as."""

    name: str
    folder: str
    pattern: str  # glob of the downloaded file
    version: str | None = None  # of npm packages; Debian gives what the release has

    @property
    def is_npm(self) -> bool:
        return self.version is not None


PACKAGES = (
    Package("@iconify-json/noto", "noto", "iconify-json-noto-*.tgz", "1.2.9"),
    Package("@iconify-json/twemoji", "twemoji", "iconify-json-twemoji-*.tgz", "1.2.5"),
    Package("@iconify-json/fxemoji", "fxemoji", "iconify-json-fxemoji-*.tgz", "1.2.2"),
    Package("@lobehub/fluent-emoji-3d", "fluent", "lobehub-fluent-emoji-3d-*.tgz", "1.1.0"),
    Package("unicode-data", "unicode", "unicode-data_*.deb"),
    Package("endless-sky-data", "endless-sky", "endless-sky-data_*.deb"),
    Package("endless-sky-high-dpi", "endless-sky-2x", "endless-sky-high-dpi_*.deb"),
    Package("ufoai-textures", "ufoai", "ufoai-textures_*.deb"),
    Package("python3-sklearn", "sklearn", "python3-sklearn_*.deb"),
    Package("lomiri-wallpapers-16.04", "lomiri", "lomiri-wallpapers-16.04_*.deb"),
)


def download(package: Package, downloads: Path) -> Path:
    """The package's file in `downloads`, fetched if it is not there yet."""
    found = sorted(downloads.glob(package.pattern))
    if not found:
        if package.is_npm:
            command = ["npm", "pack", f"{package.name}@{package.version}"]
        else:
            command = ["apt-get", "download", package.name]
        subprocess.run(command, cwd=downloads, check=True, stdout=subprocess.DEVNULL)
        found = sorted(downloads.glob(package.pattern))
    return found[-1]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tgz or .deb into `folder`, which appears only once it is complete."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if archive.suffix == ".deb":
        subprocess.run(["dpkg", "-x", str(archive), str(partial)], check=True)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
    partial.rename(folder)


def fetch(data: Path) -> Path:
    """Download and unpack every package below `data`; returns the folder of raw material."""
    downloads, raw = data / "downloads", data / "raw"
    downloads.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        folder = raw / package.folder
        if not folder.exists():
            unpack(download(package, downloads), folder)
    return raw


def main(data: Path = Path("data")) -> None:
    """Fetch the raw material and prepare the sticker set (DATA/stickers)."""
    prepare(fetch(data), data / "stickers")


if __name__ == "__main__":
    typer.run(main)
