"""The DMQN sequence: a history becomes W cluster means per codebook, HSTU mixes them, the candidate attends to them."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from vqrank_train.config import DmqnSequence
from vqrank_train.model.attention import Interests, attention_of
from vqrank_train.model.hstu import HstuBlock


class Dmqn(nn.Module):
    """projection P [N, D, D], codebook C [N, W, D], hstu.LAYER.*, attention.*; symbols as in arXiv 2508.20865."""

    def __init__(
        self, sequence: DmqnSequence, width: int, candidate_width: int, bias_heads: list[int], out_width: int | None
    ) -> None:
        super().__init__()
        self.sequence = sequence
        n, w = sequence.codebooks, sequence.codewords
        self.projection = nn.Parameter(torch.eye(width).repeat(n, 1, 1))
        self.codebook = nn.Parameter(torch.randn(n, w, width) / math.sqrt(width))
        self.hstu = nn.ModuleList(
            HstuBlock(sequence.hstu, n, w, width, bias_heads[layer]) for layer in range(sequence.hstu.layers)
        )
        stack = 1 if sequence.attention.share else n
        self.attention = attention_of(sequence.attention, stack, width, candidate_width, out_width)
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
        """sums [B, N, W, D] and counts [B, N, W] -> r_k (eq 9) and HSTU (eq 11-13): the tokens Y_j."""
        occupied = counts > 0
        x = sums / counts.clamp(min=1).to(sums.dtype)[..., None]
        present = occupied if self.sequence.empty == "masked" else torch.ones_like(occupied)
        for block in self.blocks:
            x = block(x, present)
        return Interests(x, counts, present, counts[:, 0].sum(-1))
