"""HMAR's transformer (Kumbong et al. 2025): a scale sees itself, and of those before it the feature
map alone.

All blocks but the last few serve two branches: "next scale", which predicts a scale from the map
so far, and "mask", which predicts again what is hidden of a scale from what is not. Nothing is
cached, since nothing of an earlier scale is attended to. State-dict names are the published ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.model.attention import Attention, sdpa
from engine.model.hmar.spec import HMARSpec
from engine.model.var.blocks import Block, modulated_norm
from engine.model.var.labelled import AdaLNBeforeHead, Modulated
from engine.model.var.transformer import Condition


@dataclass(frozen=True)
class Branches:
    """What labels decide, for the branch of the next scale and for that of the mask."""

    next: Condition
    mask: Condition

    @property
    def nbytes(self) -> int:
        """Of both; what they share counts twice."""
        return self.next.nbytes + self.mask.nbytes

    def to(self, device: torch.device) -> Branches:
        """The same on a device."""
        return Branches(self.next.to(device), self.mask.to(device))


class HMAR(Modulated):
    """Logits over the codebook for the positions of one scale, given the feature map before it."""

    heads = ("ns_head", "mask_head")
    lvl_1L: Tensor

    def __init__(self, spec: HMARSpec, attention: Attention = sdpa) -> None:
        super().__init__()
        self.spec = spec
        width, tokens = spec.width, spec.num_tokens
        self.word_embed = nn.Linear(spec.latent_channels, width, bias=False)
        self.word_embed_bias = nn.Parameter(torch.zeros(width))
        self.mask_embed = nn.Embedding(1, width)
        self.class_emb = nn.Embedding(spec.num_classes + 1, width)
        self.pos_start = nn.Parameter(torch.empty(1, 1, width))
        self.pos_1LC = nn.Parameter(torch.empty(1, tokens, width))
        self.lvl_embed = nn.Embedding(len(spec.scales), width)
        std = (1 / width / 3) ** 0.5  # as VAR's
        for embedding in (
            self.mask_embed.weight, self.class_emb.weight, self.pos_start, self.pos_1LC,
            self.lvl_embed.weight,
        ):  # fmt: skip
            nn.init.trunc_normal_(embedding, std=std)
        self.shared_ada_lin = None

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(Block(spec, attention) for _ in range(count))

        self.base_blocks = blocks(spec.depth - spec.refined)
        self.ns_blocks, self.mask_blocks = blocks(spec.refined), blocks(spec.refined)
        self.ns_head_nm, self.mask_head_nm = AdaLNBeforeHead(width), AdaLNBeforeHead(width)
        self.ns_head = nn.Linear(width, spec.codebook_size)
        self.mask_head = nn.Linear(width, spec.codebook_size)
        level = [torch.full((side * side,), k) for k, side in enumerate(spec.scales)]
        self.register_buffer("lvl_1L", torch.cat(level).view(1, tokens))

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the matrix products."""
        return self.ns_head.weight.dtype

    def condition(self, labels: Tensor) -> Branches:
        """Everything the labels (B,) decide."""
        home = self.class_emb.weight.device  # the CPU, where the modulation was moved out
        label = self.class_emb(labels.to(home))  # (B, C)
        start = (label[:, None] + self.pos_start.to(home)).float()
        base = self.modulations(self.base_blocks, label)
        found = [
            Condition(start, base + self.modulations(own, label), *before_head(label))
            for own, before_head in (
                (self.ns_blocks, self.ns_head_nm), (self.mask_blocks, self.mask_head_nm)
            )
        ]  # fmt: skip
        self.let_go()
        return Branches(*found).to(self.pos_start.device)

    def embed(self, k: int, inputs: Tensor, start: Tensor) -> Tensor:
        """Input rows of scale k, (B, s * s, C), as `logits` takes them; ``start`` is (B, 1, C)."""
        begin, end = self.spec.bounds[k]
        if k == 0:
            words = start
        else:
            channels = self.spec.latent_channels
            before, own = inputs[..., :channels], inputs[..., channels:-1]
            words = self._words(before) + self.word_embed_bias.float()
            if own.shape[-1]:
                hidden = inputs[..., -1:] > 0
                covered = self.mask_embed.weight.float()  # (1, C)
                words = words + torch.where(hidden, covered, self._words(own))
        place: Tensor = (
            self.lvl_embed(self.lvl_1L[:, begin:end]) + self.pos_1LC[:, begin:end]
        ).float()
        return words + place

    def _words(self, vectors: Tensor) -> Tensor:
        """(B, n, z) -> (B, n, C) in float32, without the bias."""
        words: Tensor = self.word_embed(vectors.to(self.word_embed.weight.dtype))
        return words.float()

    def logits(self, k: int, inputs: Tensor, condition: Condition, rows: Tensor) -> Tensor:
        """Logits (B, len(rows), V) of scale k at the positions ``rows``, in float32.

        ``inputs`` (B, s * s, z) is the area-pooled feature map of the scales before; the next-scale
        branch answers. With 2 z + 1 channels the next z are what this scale's own ids add to it,
        the last one is 1 where these are hidden, and the mask branch answers. ``condition`` is that
        of the branch. The first scale reads the label, no inputs.
        """
        masked = inputs.shape[-1] > self.spec.latent_channels
        own = self.mask_blocks if masked else self.ns_blocks
        count = self.spec.scales[k] ** 2
        x = self.embed(k, inputs, condition.start)
        blocks = (*self.base_blocks, *own)
        for number, (block, modulation) in enumerate(zip(blocks, condition.blocks, strict=True), 1):
            asked = rows if number == len(blocks) else None
            queries = count if asked is None else len(asked)
            x = block(x, modulation, None, slice(0, count), [(0, queries, count)], asked)
        normed = modulated_norm(x, condition.head_scale, condition.head_shift, self.dtype)
        head = self.mask_head if masked else self.ns_head
        answer: Tensor = head(normed)
        return answer.float()

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Teacher forcing: logits (B, L, V) of all scales from the inputs of all but the first one,
        (B, L - 1, z) for the next-scale branch, (B, L - 1, 2 z + 1) for the mask branch."""
        branches = self.condition(labels)
        masked = inputs.shape[-1] > self.spec.latent_channels
        condition = branches.mask if masked else branches.next
        first = inputs.new_zeros(len(inputs), 1, inputs.shape[-1])
        every = torch.cat([first, inputs], dim=1)  # (B, L, z or 2 z + 1)
        parts = [
            self.logits(
                k, every[:, begin:end], condition, torch.arange(end - begin, device=every.device)
            )
            for k, (begin, end) in enumerate(self.spec.bounds)
        ]
        return torch.cat(parts, dim=1)
