"""What the networks made of the picture as it was, which serves for all of it that stays.

Once for a picture: its tokens run through the transformer (teacher-forced) and its
keys and values are kept; both towers of the VQVAE note their statistics. An edit then computes the
positions that are regenerated and a margin around them, and the towers near the mask only. Two
things are not exact: keys and values far from the mask are those of the picture with what is to go
still in it, and the towers' normalisations have its statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.draw.keeping import foreseen
from engine.fast.towers import Box, Encoded, Norms, decode_noting, decode_part, encode_noting
from engine.fast.towers import encode_part as encode_tower_part
from engine.model.var.transformer import VAR, Condition, KVCache
from engine.model.var.vqvae import VQVAE

RIM = 12  # pixels around the mask that are decoded too, since blending looks at them


@dataclass(frozen=True)
class Original:
    """What the networks made of one picture, (1, 3, S, S), before any edit of it."""

    maps: list[Tensor]  # its token maps
    encoded: Encoded | None  # None where the encoder has no tower
    picture: Tensor  # (1, 3, S, S) in [-1, 1], through the VQVAE and back
    norms: Norms  # of the decoder

    @property
    def nbytes(self) -> int:
        entries = () if self.encoded is None else self.encoded.entries
        return self.picture.nbytes + sum(entry.nbytes for entry in entries)


@torch.inference_mode()
def study(vqvae: VQVAE, pixels: Tensor) -> Original:
    """Encode and decode a picture (1, 3, S, S) in [-1, 1], noting what later edits need."""
    encoded = None
    if vqvae.encoder.has_tower:
        encoded = encode_noting(vqvae.encoder, pixels.to(vqvae.encoder.conv_in.weight.dtype))
    features = _features(vqvae, pixels, None if encoded is None else encoded.output)
    maps, feature_map = vqvae.quantize.encode(features)
    decoded, norms = decode_noting(vqvae.decoder, _entering(vqvae, feature_map))
    return Original(maps, encoded, decoded.clamp(-1, 1), norms)


@torch.inference_mode()
def keys_and_values(
    vqvae: VQVAE, var: VAR, condition: Condition, maps: list[Tensor], *, foresight: bool = False
) -> KVCache:
    """The K/V cache, full, of a picture's own tokens under each of the condition's N labels."""
    quantizer = vqvae.quantize
    inputs, features = quantizer.teacher_inputs(maps)
    if foresight:
        own = torch.cat([quantizer.inputs(k, features) for k in range(1, len(maps))], dim=1)
        nothing = torch.zeros(own.shape[1], dtype=torch.bool, device=own.device)
        inputs = foreseen(inputs, own, nothing)  # all of it is known
    weight = var.head.weight
    count = len(condition.start)
    cache = KVCache(var.spec, count, device=weight.device, dtype=weight.dtype, whole=True)
    first = torch.zeros(1, dtype=torch.long, device=weight.device)  # no logits are wanted
    inputs = inputs.expand(count, -1, -1)
    last = len(var.spec.scales) - 1
    var.run(inputs, condition, first=0, last=last, cache=cache, rows=first)
    return cache


@torch.inference_mode()
def encode_edit(vqvae: VQVAE, pixels: Tensor, changed: Box, original: Original) -> Tensor:
    """Features (1, z, S, S) of a picture that differs from the original in a box only."""
    tower = None
    if original.encoded is not None:
        x = pixels.to(vqvae.encoder.conv_in.weight.dtype)
        tower = encode_tower_part(vqvae.encoder, x, changed, original.encoded)
    return _features(vqvae, pixels, tower)


@torch.inference_mode()
def decode_edit(vqvae: VQVAE, feature_map: Tensor, box: Box, original: Original) -> Tensor:
    """A picture (1, 3, S, S) in [-1, 1]: decoded around ``box``, the original's elsewhere."""
    side = original.picture.shape[-1]
    top, left = max(box[0] - RIM, 0), max(box[1] - RIM, 0)
    bottom, right = min(box[2] + RIM, side), min(box[3] + RIM, side)
    picture = original.picture.clone()
    picture[:, :, top:bottom, left:right] = decode_part(
        vqvae.decoder, _entering(vqvae, feature_map), (top, left, bottom, right), original.norms
    ).clamp(-1, 1)
    return picture


def _features(vqvae: VQVAE, pixels: Tensor, tower: Tensor | None) -> Tensor:
    """What `VQVAE.features` gives, the tower's part being known."""
    linear = vqvae.encoder.linear
    if linear is not None:
        rough = linear(pixels.to(linear.weight.dtype))
        tower = rough if tower is None else tower + rough
    assert tower is not None
    features: Tensor = vqvae.quant_conv(tower.to(vqvae.quant_conv.weight.dtype))
    return features.float()


def _entering(vqvae: VQVAE, feature_map: Tensor) -> Tensor:
    """What enters the decoder."""
    z: Tensor = vqvae.post_quant_conv(feature_map.to(vqvae.post_quant_conv.weight.dtype))
    return z
