"""The authors' algorithm in their order of work, on our modules and weights.

The yardstick of the benchmark and nothing else. What it does on purpose, after the released code:
float32 weights, cast anew by autocast where that is on; both branches of guidance even without a
label; the K/V cache grown by concatenation; every adaLN projection evaluated at every scale; every
position drawn, by a full sort, before the kept ones replace it; encode and decode at full size.
Its process has torch's default layout of weights and the C library's default allocator, where ours
has channels_last and `engine.machine.allocator`: the factor between the two holds these as well.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.draw.maps import paper_maps
from engine.model.spec import HEAD_SIZE
from engine.model.var.blocks import MAX_LOG_SCALE, NORM_EPS, Block
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE

Cache = list[tuple[Tensor, Tensor] | None]


@torch.inference_mode()
def plain_edit(
    vqvae: VQVAE,
    var: VAR,
    picture: Tensor,
    keep: Tensor,
    *,
    label: int | None,
    guidance: float,
    top_k: int,
    top_p: float,
    variations: int,
    generator: torch.Generator,
    autocast: bool,
) -> Tensor:
    """Edit (1, 3, S, S) with a keep mask (s, s), 1 = keep, by the rule "paper".

    Returns (variations, 3, S, S) in [-1, 1].
    """
    with torch.autocast(picture.device.type, torch.bfloat16, enabled=autocast):
        known = vqvae.encode(picture)
        spec = var.spec
        maps = paper_maps(keep, spec.scales)
        ids = [spec.no_label if label is None else label] * variations
        ids += [spec.no_label] * variations
        condition = var.class_emb(torch.tensor(ids, device=picture.device))  # (2 B, C)
        place = var.lvl_embed(var.lvl_1L) + var.pos_1LC
        x = condition[:, None] + var.pos_start + place[:, :1]
        cache: Cache = [None] * spec.depth
        feature_map = vqvae.quantize.zeros(variations)
        for k, side in enumerate(spec.scales):
            shared = None if var.shared_ada_lin is None else var.shared_ada_lin(condition)
            hidden = x
            for index, block in enumerate(var.blocks):
                assert isinstance(block, Block)
                hidden = _block(block, hidden, condition, shared, cache, index)
            scale, shift = var.head_nm.ada_lin(condition).unflatten(1, (1, 2, -1)).unbind(2)
            logits = var.head(_norm(hidden) * (1 + scale) + shift).float()
            strength = guidance * k / max(len(spec.scales) - 1, 1)
            logits = (1 + strength) * logits[:variations] - strength * logits[variations:]
            chosen = _sample(logits, top_k, top_p, generator)
            vectors = vqvae.quantize.look_up(k, chosen)
            kept = vqvae.quantize.look_up(k, known[k]).expand_as(vectors)
            regenerate = maps[k].view(1, 1, side, side).to(vectors.device)
            vectors = torch.where(regenerate, vectors, kept)
            feature_map = vqvae.quantize.add(k, feature_map, vectors)
            if k + 1 < len(spec.scales):
                inputs = vqvae.quantize.inputs(k + 1, feature_map)
                begin, end = spec.bounds[k + 1]
                x = (var.word_embed(inputs) + place[:, begin:end]).repeat(2, 1, 1)
        return vqvae.decode(feature_map).float()


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)


def _block(
    block: Block, x: Tensor, condition: Tensor, shared: Tensor | None, cache: Cache, index: int
) -> Tensor:
    """One block over one scale; its adaLN projection is evaluated here, every time."""
    attn, width = block.attn, x.shape[-1]
    if shared is None:
        six = block.ada_lin(condition).view(-1, 1, 6, width)
    else:
        six = block.ada_gss + shared.view(-1, 1, 6, width)
    gamma1, gamma2, scale1, scale2, shift1, shift2 = six.unbind(2)
    bias = torch.cat([attn.q_bias, attn.zero_k_bias, attn.v_bias])
    qkv = F.linear(_norm(x) * (scale1 + 1) + shift1, attn.mat_qkv.weight, bias)
    heads = qkv.view(*x.shape[:2], 3, attn.heads, HEAD_SIZE).permute(2, 0, 3, 1, 4)
    q, k, v = heads.unbind(0)  # (2 B, H, n, D)
    if attn.l2_norm:
        log_scale = attn.scale_mul_1H11.clamp_max(MAX_LOG_SCALE)
        q, k = F.normalize(q, dim=-1) * log_scale.exp(), F.normalize(k, dim=-1)
    past = cache[index]
    if past is not None:
        k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
    cache[index] = (k, v)
    out = F.scaled_dot_product_attention(q, k, v.to(q.dtype), scale=attn.scale)
    x = x + attn.proj(out.transpose(1, 2).flatten(2)) * gamma1
    out = cast(Tensor, block.ffn(_norm(x) * (scale2 + 1) + shift2))
    edited: Tensor = x + out * gamma2
    return edited


def _sample(logits: Tensor, top_k: int, top_p: float, generator: torch.Generator) -> Tensor:
    """Top-k by threshold, top-p by a full sort, one multinomial draw for every position."""
    if top_k:
        floor = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < floor, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1)
        removed = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
        removed[..., -1] = False
        logits = logits.masked_fill(removed.scatter(-1, order, removed), -torch.inf)
    chances = logits.softmax(-1).flatten(0, 1)
    drawn = torch.multinomial(chances, 1, generator=generator)
    return drawn.view(logits.shape[:2])
