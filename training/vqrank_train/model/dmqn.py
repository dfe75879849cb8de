"""The DMQN sequence: a history becomes W cluster means per codebook, HSTU mixes them, the candidate attends to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from vqrank_train.config import Sequence
from vqrank_train.model.hstu import HstuBlock
from vqrank_train.model.layers import Stacked


@dataclass
class Interests:
    """What of a user state candidates need, for B states: nothing in it depends on a candidate."""

    keys: Tensor  # [B, N, A, W, d]
    values: Tensor  # [B, N, A, W, d]
    counts: Tensor  # [B, N, W] events per cluster
    present: Tensor  # [B, N, W] bool: clusters that are tokens
    events: Tensor  # [B] events in the history


class DotAttention(nn.Module):
    """Target attention per codebook: q [S, A d, Dc], k, v [S, A d, D], out [S, Do, A d]."""

    def __init__(self, sequence: Sequence, width: int, candidate_width: int, out_width: int | None) -> None:
        super().__init__()
        attention = self.attention = sequence.attention
        self.codebooks = sequence.codebooks
        stack, inner = (1 if attention.share else sequence.codebooks), attention.heads * attention.dim
        self.q = Stacked(stack, candidate_width, inner)
        self.k = Stacked(stack, width, inner)
        self.v = Stacked(stack, width, inner)
        if attention.out:
            self.out = Stacked(stack, inner, out_width or inner)
        self.out_width = (out_width or inner) if attention.out else inner

    def heads(self, y: Tensor) -> Tensor:
        """[B, N, T, A d] -> [B, N, A, T, d]"""
        return y.unflatten(-1, (self.attention.heads, self.attention.dim)).transpose(2, 3)

    def forward(self, interests: Interests, t: Tensor) -> Tensor:
        """t [B, C, Dc] candidates of every state -> interest vectors [B, C, N * (A d or Do)]."""
        q = self.heads(self.q(t[:, None]))  # [B, N or 1, A, C, d]
        logits = (q @ interests.keys.mT) / math.sqrt(self.attention.dim)  # [B, N, A, C, W]
        if self.attention.count_bias:
            logits = logits + interests.counts.clamp(min=1).to(logits.dtype).log()[:, :, None, None, :]
        absent = ~interests.present[:, :, None, None, :]
        # A state without tokens would be softmax over nothing: its interest is zeroed below.
        weights = logits.masked_fill(absent, torch.finfo(logits.dtype).min).softmax(-1).masked_fill(absent, 0)
        attended = (weights @ interests.values).transpose(2, 3).flatten(-2)  # [B, N, C, A d]
        if self.attention.out:
            attended = self.out(attended)
        attended = attended.masked_fill((interests.events == 0)[:, None, None, None], 0)
        return attended.transpose(1, 2).flatten(-2)  # [B, C, N * width]


class Dmqn(nn.Module):
    """projection P [N, D, D], codebook C [N, W, D], hstu.LAYER.*, attention.*; symbols as in arXiv 2508.20865."""

    def __init__(
        self, sequence: Sequence, width: int, candidate_width: int, bias_heads: list[int], out_width: int | None
    ) -> None:
        super().__init__()
        self.sequence = sequence
        n, w = sequence.codebooks, sequence.codewords
        self.projection = nn.Parameter(torch.eye(width).repeat(n, 1, 1))
        self.codebook = nn.Parameter(torch.randn(n, w, width) / math.sqrt(width))
        self.hstu = nn.ModuleList(
            HstuBlock(sequence.hstu, n, w, width, bias_heads[layer]) for layer in range(sequence.hstu.layers)
        )
        self.attention = DotAttention(sequence, width, candidate_width, out_width)
        self.width = n * self.attention.out_width  # of the interest vector

    @property
    def blocks(self) -> list[HstuBlock]:
        """The modules of `hstu`, with their class known to a type checker."""
        return cast(list[HstuBlock], list(self.hstu))

    def scores(self, e: Tensor) -> Tensor:
        """e [L, D] -> s [N, L, W], s_j = e P_j C_j^T (eq 4, 5)."""
        folded = self.projection @ self.codebook.mT  # G [N, D, W]
        n, d, w = folded.shape
        return (e @ folded.transpose(0, 1).reshape(d, n * w)).unflatten(-1, (n, w)).transpose(0, 1)

    def sample(self, scores: Tensor, tau: float) -> Tensor:
        """Training's assignment z [N, L, W]: one-hot forward, softmax((s + Gumbel) / tau) backward (eq 6, 7).

        The noise joins s / tau; in the gradient the soft assignment is softmax(s / tau + Gumbel noise).
        """
        noise = -torch.empty_like(scores).exponential_().log()
        noisy = scores / tau + noise
        soft = noisy.softmax(-1)
        hard = torch.zeros_like(soft).scatter_(-1, noisy.argmax(-1, keepdim=True), 1)
        return hard + (soft - soft.detach())

    def sums(self, e: Tensor, clusters: Tensor) -> tuple[Tensor, Tensor]:
        """Raw events e [L, D] by their clusters [N, L] -> sums [N, W, D] and counts [N, W]."""
        n, w = self.sequence.codebooks, self.sequence.codewords
        totals = e.new_zeros(n, w, e.shape[1])
        counts = torch.zeros(n, w, dtype=torch.long, device=e.device)
        for j in range(n):
            totals[j].index_add_(0, clusters[j], e)
            counts[j] = torch.bincount(clusters[j], minlength=w)
        return totals, counts

    def interests(self, sums: Tensor, counts: Tensor) -> Interests:
        """sums [B, N, W, D] and counts [B, N, W] -> r_k (eq 9), HSTU (eq 11-13), K and V."""
        occupied = counts > 0
        x = sums / counts.clamp(min=1).to(sums.dtype)[..., None]
        present = occupied if self.sequence.empty == "masked" else torch.ones_like(occupied)
        for block in self.blocks:
            x = block(x, present)
        keys, values = self.attention.heads(self.attention.k(x)), self.attention.heads(self.attention.v(x))
        return Interests(keys, values, counts, present, counts[:, 0].sum(-1))
