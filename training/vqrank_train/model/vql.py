"""The VQL sequence: softmax attention over a whole history whose keys are quantised by one codebook a group of heads."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from vqrank_train.config import VqlSequence


class Group(nn.Module):
    """codebook [W_g, H_g d]: codewords of the group's keys, its heads one after another."""

    def __init__(self, codewords: int, width: int) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codewords, width) / math.sqrt(width))


class Weights(nn.Module):
    """k, v [A d or A dv, D], q [A d, Dc], out [Do, A dv], groups.G.codebook, decay and mix [A, R]."""

    def __init__(self, sequence: VqlSequence, width: int, candidate_width: int, out_width: int) -> None:
        super().__init__()
        a, d, dv = sequence.heads, sequence.dim, sequence.v_dim
        self.k = nn.Linear(width, a * d, bias=False)
        self.v = nn.Linear(width, a * dv, bias=False)
        self.q = nn.Linear(candidate_width, a * d, bias=False)
        if sequence.out:
            self.out = nn.Linear(a * dv, out_width, bias=False)
        self.groups = nn.ModuleList(Group(group.codewords, len(group.heads) * d) for group in sequence.groups)
        if sequence.decay_terms:
            # Half lives from an hour to a year, so that the terms start apart.
            half_lives = torch.logspace(math.log10(3600.0), math.log10(365 * 86400.0), sequence.decay_terms)
            self.decay = nn.Parameter((math.log(2) / half_lives).expand(a, -1).clone())
            self.mix = nn.Parameter(torch.full((a, sequence.decay_terms), 1 / sequence.decay_terms))
