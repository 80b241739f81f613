"""The next-scale transformer (Tian et al. 2024, section 3.3).

One forward pass serves training, teacher forcing and generation: it takes the inputs of a run of
consecutive scales, reads the keys and values of everything coarser from a cache, and attends scale
by scale, so no mask is ever built. State-dict names are the official ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn

from engine.model.attention import Attention, sdpa
from engine.model.spec import HEAD_SIZE, VARSpec
from engine.model.var.blocks import Block, Modulation, modulated_norm
from engine.model.var.labelled import AdaLNBeforeHead, Modulated


@dataclass(frozen=True)
class Condition:
    """All that depends on the label only; computed once, used at every scale."""

    start: Tensor  # (B, 1, C), the input of the 1x1 scale before its position embedding
    blocks: tuple[Modulation, ...]
    head_scale: Tensor  # (B, 1, C)
    head_shift: Tensor  # (B, 1, C)

    @property
    def nbytes(self) -> int:
        each = (*(t for block in self.blocks for t in block), self.start, self.head_scale)
        return sum(t.nbytes for t in each) + self.head_shift.nbytes

    def to(self, device: torch.device) -> Condition:
        """The same on a device."""
        return self._changed(lambda t: t.to(device))

    def first(self, count: int) -> Condition:
        """The first ``count`` rows."""
        return self._changed(lambda t: t[:count])

    def expand(self, count: int) -> Condition:
        """Each row repeated ``count`` times, side by side."""
        return self if count == 1 else self._changed(lambda t: t.repeat_interleave(count, dim=0))

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """With every tensor changed."""
        blocks = tuple(Modulation(*map(change, block)) for block in self.blocks)
        rest = (self.start, self.head_scale, self.head_shift)
        start, scale, shift = map(change, rest)
        return Condition(start, blocks, scale, shift)


class KVCache:
    """Preallocated keys and values of every block: (B, L, H, D) each, filled front to back.

    Only the last scale reads its own, once, so they have no place here unless it is ``whole``.
    ``tokens`` is how many positions it is for; once `trimmed`, ``store`` has the filled ones only.
    """

    def __init__(
        self,
        spec: VARSpec,
        batch: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        whole: bool = False,
    ):
        self.tokens = spec.num_tokens if whole else spec.bounds[-1][0]
        shape = (spec.depth, 2, batch, self.tokens, spec.heads, HEAD_SIZE)
        self.store = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def block(self, index: int) -> tuple[Tensor, Tensor]:
        keys, values = self.store[index]
        return keys, values

    @property
    def rows(self) -> int:
        """B, the batch."""
        return self.store.shape[2]

    def first(self, rows: int) -> KVCache:
        """The first so many of the batch's rows, in the same memory."""
        return self._of(self.store[:, :, :rows], self.length)

    def repeat(self, times: int) -> KVCache:
        """A cache whose batch rows are each repeated ``times`` times, in place order."""
        return self if times == 1 else self.copy(self.length, times)

    def copy(self, length: int, times: int = 1) -> KVCache:
        """A cache of its own with the first ``length`` positions, each row ``times`` times."""
        depth, two, batch, _, *rest = self.store.shape
        store = self.store.new_empty(depth, two, batch * times, self.tokens, *rest)
        filled = self.store[:, :, :, :length]
        store[:, :, :, :length] = filled.repeat_interleave(times, 2) if times > 1 else filled
        return self._of(store, length)

    def trimmed(self) -> KVCache:
        """What is filled, to be held until it is copied; nothing can be added to it."""
        if self.length == self.store.shape[3]:
            return self
        return self._of(self.store[:, :, :, : self.length].clone(), self.length)

    def only(self, positions: Tensor) -> KVCache:
        """Some positions (n,), to be held until they are put back; nothing can be added to it."""
        return self._of(self.store.index_select(3, positions), len(positions))

    def put_back(self, positions: Tensor, held: KVCache) -> None:
        """Take over what `only` gave of a cache for these positions."""
        self.store.index_copy_(3, positions, held.store)

    def _of(self, store: Tensor, length: int) -> KVCache:
        out = KVCache.__new__(KVCache)
        out.tokens, out.store, out.length = self.tokens, store, length
        return out

    @property
    def nbytes(self) -> int:
        return self.store.nbytes


class VAR(Modulated):
    """Logits over the codebook for every position of every scale, given the coarser scales."""

    lvl_1L: Tensor

    def __init__(self, spec: VARSpec, attention: Attention = sdpa) -> None:
        super().__init__()
        self.spec = spec
        width = spec.width
        std = (1 / width / 3) ** 0.5  # the authors' initial spread of embeddings
        self.word_embed = nn.Linear(spec.latent_channels, width)
        if spec.foresight:
            self.known_embed = nn.Parameter(torch.zeros(1, 1, width))
        self.class_emb = nn.Embedding(spec.num_classes + 1, width)
        self.pos_start = nn.Parameter(torch.empty(1, 1, width))
        for embedding in (self.class_emb.weight, self.pos_start, *self.make_places()):
            nn.init.trunc_normal_(embedding, std=std)
        self.shared_ada_lin = (
            nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width)) if spec.shared_adaln else None
        )
        self.blocks = nn.ModuleList(Block(spec, attention) for _ in range(spec.depth))
        self.head_nm = AdaLNBeforeHead(width)
        self.head = nn.Linear(width, spec.codebook_size)

    def make_places(self) -> list[Tensor]:
        """The parameters that tell one position from another, to be initialised."""
        spec = self.spec
        self.pos_1LC = nn.Parameter(torch.empty(1, spec.num_tokens, spec.width))
        self.lvl_embed = nn.Embedding(len(spec.scales), spec.width)
        level = [torch.full((side * side,), k) for k, side in enumerate(spec.scales)]
        self.register_buffer("lvl_1L", torch.cat(level).view(1, -1))
        return [self.pos_1LC, self.lvl_embed.weight]

    def place(self, first: int, last: int) -> Tensor:
        """What is added to the positions of scales first..last: (1, n, C) float32."""
        begin, end = self.spec.bounds[first][0], self.spec.bounds[last][1]
        level = self.lvl_embed(self.lvl_1L[:, begin:end])
        return cast(Tensor, (level + self.pos_1LC[:, begin:end]).float())

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the matrix products."""
        return self.head.weight.dtype

    def condition(self, labels: Tensor) -> Condition:
        """Everything the labels (B,) decide."""
        home = self.class_emb.weight.device  # the CPU, where the modulation was moved out
        label = self.class_emb(labels.to(home))  # (B, C)
        shared = None if self.shared_ada_lin is None else self.shared_ada_lin(label)
        blocks = self.modulations(self.blocks, label, shared)
        start = (label[:, None] + self.pos_start.to(home)).float()
        condition = Condition(start, blocks, *self.head_nm(label))
        self.let_go()
        return condition.to(self.pos_start.device)

    def embed(self, inputs: Tensor | None, condition: Condition, first: int, last: int) -> Tensor:
        """Input rows of scales first..last: (B, n, C) from (B, n or n - 1, z or z + 1).

        The last of z + 1 channels is 1 where a position is known, with `VARSpec.foresight`.
        """
        parts = [condition.start] if first == 0 else []
        if inputs is not None:
            vectors = inputs[..., : self.spec.latent_channels]
            words = self.word_embed(vectors.to(self.word_embed.weight.dtype)).float()
            if inputs.shape[-1] > vectors.shape[-1]:
                words = words + inputs[..., -1:].float() * self.known_embed.float()
            parts.append(words)
        return torch.cat(parts, dim=1) + self.place(first, last)

    def run(
        self,
        inputs: Tensor | None,
        condition: Condition,
        *,
        first: int,
        last: int,
        cache: KVCache | None = None,
        rows: Tensor | None = None,
        computed: list[Tensor] | None = None,
    ) -> Tensor:
        """The transformer over scales first..last (inclusive): hidden states (B, n, C).

        ``inputs`` are the pooled feature maps of these scales, (B, n, z), without the 1x1 scale
        (None if there is nothing else). ``computed`` has, for each of these scales, the positions
        that are run; the cache must hold the others' keys and values already. With ``rows``,
        positions counted within what is run, the result holds these only.
        """
        bounds = self.spec.bounds
        start = bounds[first][0]
        x = self.embed(inputs, condition, first, last)
        place: slice | Tensor
        if computed is None:
            counts = [end - begin for begin, end in bounds[first : last + 1]]
            place = slice(start, bounds[last][1])
        else:
            counts = [each.numel() for each in computed]
            place = torch.cat([p + bounds[first + i][0] for i, p in enumerate(computed)])
            x = x[:, place - start]
        ends = list(accumulate(counts))
        segments = [
            (end - count, end, bounds[first + i][1])
            for i, (count, end) in enumerate(zip(counts, ends, strict=True))
            if count
        ]
        if cache is None:
            assert first == 0, "without a cache a run starts at the first scale"
        else:
            assert cache.length >= start, "coarser scales have not been run"
            assert cache.store.shape[3] == cache.tokens, "a trimmed cache has no room"
            cache.length = max(cache.length, min(bounds[last][1], cache.tokens))
        final = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            pruned = rows if index == final else None
            spans = segments
            if pruned is not None:
                spans = [(0, pruned.numel(), bounds[last][1])]
            store = None if cache is None else cache.block(index)
            x = block(x, condition.blocks[index], store, place, spans, pruned)
        return x

    def logits(self, hidden: Tensor, condition: Condition) -> Tensor:
        """(B, n, C) -> (B, n, V) in float32."""
        normed = modulated_norm(hidden, condition.head_scale, condition.head_shift, self.dtype)
        return cast(Tensor, self.head(normed)).float()

    def forward(self, inputs: Tensor, labels: Tensor, *, scales: int | None = None) -> Tensor:
        """Teacher forcing: logits (B, L, V) from inputs (B, L - 1, z) and labels (B,).

        ``scales`` restricts the pass to the first so many scales. No label is dropped here.
        """
        last = (len(self.spec.scales) if scales is None else scales) - 1
        condition = self.condition(labels)
        hidden = self.run(inputs, condition, first=0, last=last)
        return self.logits(hidden, condition)
