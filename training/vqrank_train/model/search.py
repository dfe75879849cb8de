"""Sequences that search a user's last events: a candidate attends to at most `top` of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqrank_train.config import SimHardSequence, TwinSequence
from vqrank_train.model.attention import DotAttention, Interests, attention_of


class SimHard(nn.Module):
    """attention.*, over the latest events of the candidate's category (arXiv 2006.05639, hard search)."""

    def __init__(self, sequence: SimHardSequence, width: int, candidate_width: int, out_width: int | None) -> None:
        super().__init__()
        self.sequence = sequence
        self.attention = attention_of(sequence.attention, None, width, candidate_width, out_width)
        self.width = self.attention.out_width  # of the interest vector

    def forward(
        self, e: Tensor, within: Tensor, t: Tensor, category: Tensor, wanted: Tensor, asked: Tensor | None = None
    ) -> Tensor:
        """Events e [B, T, D] in the history's order, with rows `category` [B, T]; candidates t [B, C, Dc] that want
        rows `wanted` [B, C], among the events `within` [B, C, T] -> interest vectors [B, C, width].

        Zeros where nothing is found; `asked` as attention has it.
        """
        found = within & (category[:, None] == wanted[..., None]) & (wanted > 0)[..., None]
        found = found & (found.flip(-1).cumsum(-1).flip(-1) <= self.sequence.top)
        return self.attention(candidates_own(e, found), t, asked)


class Twin(nn.Module):
    """attention.*, over the events of each head's largest scores (arXiv 2302.02352)."""

    def __init__(self, sequence: TwinSequence, width: int, candidate_width: int, out_width: int | None) -> None:
        super().__init__()
        self.sequence = sequence
        self.attention = DotAttention(sequence.attention, None, width, candidate_width, out_width)
        self.width = self.attention.out_width  # of the interest vector

    def forward(self, e: Tensor, within: Tensor, t: Tensor) -> Tensor:
        """As SimHard's, by scores alone."""
        return self.attention(candidates_own(e, within), t, top=self.sequence.top)

    def margins(self, e: Tensor, t: Tensor) -> Tensor:
        """By how much the least score that a head keeps is above the largest that it does not, [B, A, C]; infinite
        where it keeps all events e [B, T, D]."""
        within = torch.ones(*t.shape[:2], e.shape[1], dtype=torch.bool, device=e.device)
        scores = self.attention.logits(candidates_own(e, within), t)[:, 0]
        if e.shape[1] <= self.sequence.top:
            return scores.new_full(scores.shape[:-1], torch.inf)
        best = scores.topk(self.sequence.top + 1, dim=-1).values
        return best[..., -2] - best[..., -1]


def candidates_own(e: Tensor, found: Tensor) -> Interests:
    """Events e [B, T, D] as tokens of which each candidate has its own: found [B, C, T]."""
    counts = torch.ones(e.shape[:2], dtype=torch.long, device=e.device)
    return Interests(e[:, None], counts[:, None], found[:, None], found.sum(-1))
