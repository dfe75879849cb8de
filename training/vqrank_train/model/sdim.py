"""The SDIM sequence: the events whose hash is the candidate's, summed beforehand for every hash (arXiv 2205.10249)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqrank_train.config import SdimSequence


class Weights(nn.Module):
    """q: the candidate as an event, [D, Dc]; hash: fixed random directions [G tau, D], which nothing trains."""

    def __init__(self, sequence: SdimSequence, width: int, candidate_width: int) -> None:
        super().__init__()
        self.q = nn.Linear(candidate_width, width)
        self.register_buffer("hash", torch.randn(sequence.hashes * sequence.bits, width))


class Sdim(nn.Module):
    """sdim.*; symbols as in the specification. No gradient passes the hash: q stays as it starts."""

    def __init__(self, sequence: SdimSequence, width: int, candidate_width: int) -> None:
        super().__init__()
        self.sequence = sequence
        self.width = width  # of the interest vector
        self.sdim = Weights(sequence, width, candidate_width)

    def projections(self, x: Tensor) -> Tensor:
        """h . x of x [..., D], [..., G, tau]: a bit is whether one is at least 0."""
        directions = self.sdim.get_buffer("hash")
        return (x @ directions.mT).unflatten(-1, (self.sequence.hashes, self.sequence.bits))

    def codes(self, x: Tensor) -> Tensor:
        """c_g(x) of x [..., D], [..., G]"""
        bits = self.projections(x.detach()) >= 0
        return (bits.long() << torch.arange(self.sequence.bits, device=x.device)).sum(-1)

    def sums(self, e: Tensor, codes: Tensor) -> Tensor:
        """Events e [L, D] by their codes [L, G] -> S [G, 2^tau, D]."""
        w = self.sequence.buckets
        return torch.stack([e.new_zeros(w, e.shape[1]).index_add(0, own, e) for own in codes.unbind(-1)])

    def interest(self, sums: Tensor, t: Tensor) -> Tensor:
        """S [B, G, 2^tau, D] of every state, its candidates t [B, C, Dc] -> interest vectors [B, C, D]."""
        codes = self.codes(self.sdim.q(t))  # [B, C, G]
        states, g, w, width = sums.shape
        square = sums.square().sum(-1, keepdim=True)
        units = sums / torch.where(square > 0, square, 1).sqrt()
        rows = torch.arange(states * g, device=t.device).view(states, 1, g) * w + codes
        mean = nn.functional.embedding_bag(rows.flatten(0, 1), units.reshape(-1, width), mode="mean")
        return mean.view(*t.shape[:2], width)


@torch.no_grad()
def start_sdim(sdim: Sdim, pairs: list[tuple[slice, slice]]) -> None:
    """Start the candidate's projection as the features that it shares with events (`matching_features`), no others."""
    sdim.sdim.q.weight.zero_()
    sdim.sdim.q.bias.zero_()
    for candidate, event in pairs:
        sdim.sdim.q.weight[event, candidate] = torch.eye(event.stop - event.start)
