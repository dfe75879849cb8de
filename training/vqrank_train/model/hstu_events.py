"""HSTU over a user's last events: the published sequential model (arXiv 2402.17152)."""

from __future__ import annotations

import math
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from vqrank_train.config import HstuSequence
from vqrank_train.model.attention import DinAttention, DotAttention, Interests, attention_of
from vqrank_train.model.hstu import CausalBlock

BUCKET_WIDTH = 0.301  # of ln seconds: a bucket reaches 1.35 times as far as the one before


@cache
def time_edges(buckets: int) -> tuple[int, ...]:
    """edge_b for b = 1 .. buckets: the least integer x with floor(ln(x) / 0.301) >= b, by double's logarithm.

    Meta's research code buckets seconds by floor(log(max(|dt|, 1)) / 0.301). Against integer edges the bucket of a time
    is a matter of comparing integers, equal wherever it is computed: it is how many edges are at most dt.
    """
    edges = []
    for b in range(1, buckets + 1):
        low, high = 0, 1 << 63  # low is in an earlier bucket, high is not
        while high - low > 1:
            middle = (low + high) // 2
            if math.floor(math.log(middle) / BUCKET_WIDTH) >= b:
                high = middle
            else:
                low = middle
        edges.append(high)
    return tuple(edges)


class HstuEvents(nn.Module):
    """hstu.LAYER.*, position [last, D] with positions, attention.* with attention; without S, stack None."""

    def __init__(self, sequence: HstuSequence, width: int, candidate_width: int, out_width: int | None) -> None:
        super().__init__()
        self.sequence = sequence
        self.hstu = nn.ModuleList(
            CausalBlock(sequence.hstu, sequence.last, width, sequence.time_buckets) for _ in range(sequence.hstu.layers)
        )
        if sequence.positions:
            self.position = nn.Parameter(0.02 * torch.randn(sequence.last, width))
        self.width = width  # of the interest vector
        self.attention: DotAttention | DinAttention | None = None
        if sequence.attention is not None:
            self.attention = attention_of(sequence.attention, None, width, candidate_width, out_width)
            self.width = self.attention.out_width

    @property
    def blocks(self) -> list[CausalBlock]:
        """The modules of `hstu`, with their class known to a type checker."""
        return cast(list[CausalBlock], list(self.hstu))

    def buckets(self, time: Tensor) -> Tensor:
        """Times [B, T] of events -> bucket(|t_{i+1} - t_j|) [B, T, T], t_{T+1} = t_T."""
        after = torch.cat([time[:, 1:], time[:, -1:]], -1)[:, :, None]
        time = time[:, None]
        ago = torch.maximum(after, time) - torch.minimum(after, time)  # below 0: beyond int64, and so every edge
        edges = time_edges(self.sequence.time_buckets)
        found = torch.searchsorted(torch.tensor(edges, device=time.device), ago, right=True)
        return torch.where(ago < 0, len(edges), found)

    def encode(self, e: Tensor, present: Tensor, time: Tensor | None = None) -> Tensor:
        """Events e [B, T, D], the last of every state in its history's order, none after them where present [B, T] says
        that it has fewer; their times [B, T], by default all equal -> Y [B, T, D], rows of absent events zeros."""
        x = e
        if self.sequence.scale == "sqrt":
            x = x * math.sqrt(e.shape[-1])
        if self.sequence.positions:
            x = x + self.position[(present.cumsum(-1) - 1).clamp(min=0)]
        bucket = None
        if self.sequence.time_buckets:
            bucket = self.buckets(torch.zeros_like(present, dtype=torch.long) if time is None else time)
        x = x.masked_fill(~present[..., None], 0)[:, None]  # absent ones are other events' rows
        for block in self.blocks:
            x = block(x, present[:, None], bucket)
        return x[:, 0]

    def forward(
        self, e: Tensor, present: Tensor, t: Tensor, time: Tensor | None = None, asked: Tensor | None = None
    ) -> Tensor:
        """As `encode`; t [B, C, Dc] the states' candidates, `asked` as attention has it -> interest vectors
        [B, C, width], zeros for states without events."""
        y = self.encode(e, present, time)
        if self.attention is None:
            latest = y[:, -1:] if y.shape[1] else y.new_zeros(len(y), 1, self.width)
            return latest.expand(-1, t.shape[1], -1)
        one = present[:, None]  # as of one codebook
        return self.attention(Interests(y[:, None], one.long(), one, present.sum(-1)), t, asked)
