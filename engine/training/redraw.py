"""Feature maps as edits leave them, for the VQVAE's decoder to learn from.

A decoder that is trained on encoded pictures alone never sees what it is to decode in the editor:
expected code vectors at the finest scale instead of chosen ones, tokens that the transformer got
wrong, and around them features that were not quantised. Here a transformer draws the finer scales
of a hole anew over the true coarse ones, so that the picture to be decoded is known: the decoder
learns to meet edges and to smooth what cannot be right.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine import CheckpointError
from engine.draw.guidance import Label, guided
from engine.draw.keeping import ClosedLoop
from engine.draw.loop import generate
from engine.draw.maps import regenerate_maps
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling
from engine.training.holes import choose_kind, draw_hole
from engine.training.pieces import Pictures, keyed_generator
from engine.weights.checkpoint import inspect, load_var, require_codebook

LABELLED = 0.7  # share of batches that are redrawn with their labels
DRAWN = (0.6, 0.4)  # chances that the last one or the last two scales are drawn, not kept
SAMPLING = Sampling(guidance=1.5, schedule="constant", top_k=8, soft_scales=1)
REDRAWS = 11  # key of the noise, beside the seed and the step


class Redrawer:
    """Redraws pictures by a transformer that was trained on the codes of the same VQVAE."""

    def __init__(self, var: VAR, vqvae: VQVAE, pictures: Pictures, *, seed: int):
        self.var, self.quantizer = var.eval().requires_grad_(False), vqvae.quantize
        self.pictures, self.seed = pictures, seed

    def labels(self, numbers: Sequence[int], rng: np.random.Generator) -> Label:
        """One label for each picture, or None for all: the thing it shows."""
        if rng.random() >= LABELLED:
            return None
        return tuple(self.pictures.fine_label(number) for number in numbers)

    @torch.no_grad()
    def __call__(
        self, step: int, numbers: Sequence[int], features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What an edit would decode of pictures with ``features`` (N, z, S, S).

        ``numbers`` are theirs in the stream. Returns feature maps (N, z, S, S) and the redrawn
        area (S, S), bool. A function of seed, weights and what is given.
        """
        rng = keyed_generator(self.seed, REDRAWS, step)
        scales = self.quantizer.scales
        hole = torch.from_numpy(draw_hole(choose_kind(rng), scales[-1], rng))
        kept = max(len(scales) - 1 - int(rng.choice(len(DRAWN), p=DRAWN)), 0)
        maps = regenerate_maps(hole.float(), scales, structure=kept)
        label = self.labels(numbers, rng)
        seeds = tuple(int(seed) for seed in rng.integers(0, 1 << 31, len(numbers)))
        foresight = self.quantizer.encode(features)[1] if self.var.spec.foresight else None
        predictor = guided(partial(CachedVAR.of, self.var), label, SAMPLING, len(scales))
        keeper = ClosedLoop(
            self.quantizer, features, regenerate=maps[-1], foresight=foresight
        )
        steps = generate(
            predictor, keeper, regenerate=maps, seeds=seeds, sampling=SAMPLING,
            pictures=len(numbers),
        )  # fmt: skip
        *_, last = steps
        return last.feature_map.clone(), hole


def open_transformer(path: Path, vqvae: VQVAE, pictures: Pictures) -> VAR:
    """The transformer of a model's file, on the VQVAE's device.

    Raises CheckpointError if it is none, or was trained on other labels or codes.
    """
    require_codebook(path, vqvae)
    if inspect(path, "VAR").labels != pictures.names:
        raise CheckpointError(f"{path} has other labels than the data; train it on this data first")
    return load_var(path, device=next(vqvae.parameters()).device)
