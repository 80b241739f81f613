"""Token maps of training pictures, made once by the frozen VQVAE and kept on disk.

The stream of `data.py` is cut into blocks of BLOCK pictures. A block is made when it is first
asked for; another process may make blocks ahead on another core:

    python -m engine.training.tokens data/stickers runs/vqvae/checkpoint.pt --count 50000

A block depends on pictures, VQVAE and seed only, so it does not matter who makes it. Its folder is
named by the VQVAE and the data, so blocks of data that has changed since are made anew.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor
from tqdm import tqdm

from engine.draw.keeping import tokens
from engine.picture.saving import whole
from engine.training.batches import to_pixels
from engine.training.data import open_pictures
from engine.training.pieces import Pictures
from engine.training.run import half_precision
from engine.training.vqvae import load_trained_vqvae
from engine.training.vqvae_objective import features_of

BLOCK = 256
ENCODED_AT_ONCE = 32


def fingerprint(vqvae: Any) -> str:
    """A short name for the weights that decide the tokens."""
    digest = hashlib.sha256()
    for name, tensor in sorted(vqvae.state_dict().items()):
        if name.startswith(("encoder", "quant")) and "ema_vocab" not in name:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


@torch.inference_mode()
def encode(vqvae: Any, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) to the ids of all scales in a row, (B, L)."""
    device = next(vqvae.parameters()).device
    bf16 = half_precision(device)
    maps = []
    for part in pictures.split(ENCODED_AT_ONCE):
        part = part.to(device, memory_format=torch.channels_last)
        ids, _ = tokens(vqvae.scheme, features_of(vqvae, part, bf16=bf16))
        maps.append(torch.cat(ids, dim=1).cpu())
    return torch.cat(maps)  # (B, L)


class TokenStore:
    """Token maps of a split, by picture number. Files are `<split>-<seed>-<block>.npz`."""

    def __init__(self, folder: Path, pictures: Pictures, vqvae: Any, *, name: str):
        self.folder = folder / f"{fingerprint(vqvae)}-{pictures.digest}"
        self.pictures, self.vqvae, self.name = pictures, vqvae, name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.recent: dict[int, tuple[Tensor, Tensor]] = {}

    def path(self, block: int) -> Path:
        return self.folder / f"{self.name}-{block:06d}.npz"

    def make(self, block: int) -> Path:
        """Encode a block unless it is there; whoever is second overwrites it with the same."""
        path = self.path(block)
        if path.exists():
            return path
        items = [self.pictures[index] for index in range(block * BLOCK, (block + 1) * BLOCK)]
        ids = encode(self.vqvae, torch.stack([to_pixels(picture) for picture, _ in items]))
        labels = np.array([label for _, label in items])
        with whole(path) as file:
            np.savez(file, ids=ids.numpy().astype(np.uint16), labels=labels.astype(np.int32))
        return path

    def block(self, block: int) -> tuple[Tensor, Tensor]:
        """Ids (BLOCK, L) and labels (BLOCK,), int64."""
        if block not in self.recent:
            with np.load(self.make(block)) as content:
                ids = torch.from_numpy(content["ids"].astype(np.int64))
                labels = torch.from_numpy(content["labels"].astype(np.int64))
            self.recent = dict([*self.recent.items(), (block, (ids, labels))][-2:])
        return self.recent[block]

    def rows(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Pictures start .. start + count: ids (count, L) and labels (count,)."""
        parts = []
        for block in range(start // BLOCK, (start + count - 1) // BLOCK + 1):
            first = max(start - block * BLOCK, 0)
            last = min(start + count - block * BLOCK, BLOCK)
            ids, labels = self.block(block)
            parts.append((ids[first:last], labels[first:last]))
        return torch.cat([ids for ids, _ in parts]), torch.cat([labels for _, labels in parts])


def main(
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")],
    vqvae: Annotated[Path, typer.Argument(help="A checkpoint of train-vqvae.")],
    out: Annotated[Path, typer.Option(help="The folder of the VAR run.")] = Path("runs/var"),
    count: Annotated[int, typer.Option(help="How many pictures.")] = 50_000,
    first: Annotated[int, typer.Option(help="Start at this picture.")] = 0,
    seed: int = 0,
) -> None:
    """Make tokens ahead of a VAR run, on a core of its own."""
    network = load_trained_vqvae(vqvae)
    pictures = open_pictures(data, side=network.spec.side, split="train", seed=seed)
    store = TokenStore(out / "tokens", pictures, network, name=f"train-{seed}")
    for block in tqdm(range(first // BLOCK, -(-count // BLOCK)), unit="block", mininterval=10):
        store.make(block)


if __name__ == "__main__":
    typer.run(main)
