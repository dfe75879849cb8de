"""The VQL sequence: softmax attention over a whole history with quantised keys, a codebook for each group of heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from vqrank_train.config_vql import VqlGroup, VqlSequence


class Group(nn.Module):
    """codebook [W_g, H_g d]: codewords of the group's keys, its heads one after another."""

    def __init__(self, codewords: int, width: int) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codewords, width) / math.sqrt(width))


class Weights(nn.Module):
    """k, q [A d, .], v [A dv, .], out [Do, A dv], groups.G.codebook; decay (lambda, per second) and mix (a), [A, R]."""

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
            # Half lives from a day to two years that training leaves as they are: a step of Adam, which is of the size
            # of its rate, means nothing on numbers per second. What it learns is how the terms mix.
            half_lives = 86400.0 * torch.logspace(0, math.log10(730), sequence.decay_terms)
            self.decay = nn.Parameter((math.log(2) / half_lives).repeat(a, 1), requires_grad=False)
            self.mix = nn.Parameter(torch.full((a, sequence.decay_terms), 1 / sequence.decay_terms))


@dataclass
class Tokens:
    """What candidates of B states attend to in one group of H heads: clusters, or single events, T of them."""

    keys: Tensor  # [B or 1, H, T, d]
    values: Tensor  # [B, H, T, dv] mean value of a token
    log_weight: Tensor  # [B, H, T] ln of how much a token counts, -inf where it is none


class Vql(nn.Module):
    """vql.*; symbols as in section 3 of the specification."""

    def __init__(self, sequence: VqlSequence, width: int, candidate_width: int, out_width: int | None) -> None:
        super().__init__()
        self.sequence = sequence
        inner = sequence.heads * sequence.v_dim
        self.width = (out_width or inner) if sequence.out else inner  # of the interest vector
        self.vql = Weights(sequence, width, candidate_width, self.width)

    @property
    def groups(self) -> list[tuple[VqlGroup, Tensor]]:
        """Every group with its codebook [W_g, H_g d]."""
        modules = cast(list[Group], list(self.vql.groups))
        return [(group, module.codebook) for group, module in zip(self.sequence.groups, modules, strict=True)]

    def heads(self, x: Tensor, width: int) -> Tensor:
        """[..., A width] -> [..., A, width]"""
        return x.unflatten(-1, (self.sequence.heads, width))

    def keys(self, e: Tensor, group: VqlGroup) -> Tensor:
        """Keys of events e [..., D] in the group's order of heads, [..., H_g d]."""
        return self.heads(self.vql.k(e), self.sequence.dim)[..., list(group.heads), :].flatten(-2)

    def scores(self, e: Tensor) -> list[Tensor]:
        """Events e [L, D] -> k_i[g] . c_gw - |c_gw|^2 / 2 per group, [L, W_g]: the nearest codeword has the largest."""
        return [self.keys(e, group) @ c.mT - c.square().sum(-1) / 2 for group, c in self.groups]

    def attend(self, tokens: list[Tokens], t: Tensor, events: Tensor) -> Tensor:
        """Softmax attention of candidates t [B, C, Dc] over each group's tokens -> [B, C, width]; zeros where a state
        has no events [B]."""
        d = self.sequence.dim
        q = self.heads(self.vql.q(t), d)  # [B, C, A, d]
        found: list[Tensor] = [t] * self.sequence.heads
        for (group, _), own in zip(self.groups, tokens, strict=True):
            queries = q[..., list(group.heads), :].transpose(1, 2)  # [B, H, C, d]
            logits = queries @ own.keys.mT / math.sqrt(d) + own.log_weight[:, :, None]
            # States without events have no token at all; their rows are zeroed below.
            weights = logits.masked_fill((events == 0)[:, None, None, None], 0).softmax(-1)
            attended = weights @ own.values  # [B, H, C, dv]
            for place, head in enumerate(group.heads):
                found[head] = attended[:, place]
        o = torch.cat(found, -1)
        if self.sequence.out:
            o = self.vql.out(o)
        return o.masked_fill((events == 0)[:, None, None], 0)

    def phi(self, since: Tensor) -> Tensor:
        """What the kernel's terms are multiplied with `since` seconds [B] after the latest event, [B, A, R]."""
        decay = self.vql.decay
        slowest = decay.amin(-1, keepdim=True)
        return self.vql.mix * torch.exp(-(decay - slowest) * since.to(decay.dtype)[:, None, None])

    def psi(self, ago: Tensor) -> Tensor:
        """What the kernel's terms give events `ago` seconds [...] before the latest one, [..., A, R]."""
        return torch.exp(-self.vql.decay * ago.to(self.vql.decay.dtype)[..., None, None])

    def over_events(
        self, e: Tensor, clusters: list[Tensor], times: list[int | None], now: int | None, t: Tensor
    ) -> Tensor:
        """One state, event by event: e [L, D], their clusters [L] per group and times -> interests of t [1, C, Dc].

        Every event counts with its quantised key: what the clusters' sums must amount to.
        """
        if not len(e):
            return t.new_zeros(1, t.shape[1], self.width)
        v = self.heads(self.vql.v(e), self.sequence.v_dim)  # [L, A, dv]
        weight = v.new_zeros(len(e), self.sequence.heads)  # ln of the kernel
        if self.sequence.decay_terms:
            known = [time for time in times if time is not None]
            last = max(known, default=0)
            since = max(0, now - last) if known and now is not None else 0
            ago = torch.tensor([0 if time is None else last - time for time in times], dtype=torch.float64)
            phi = self.phi(torch.tensor([since], dtype=torch.float64))
            weight = (phi * self.psi(ago)).sum(-1).log()
        tokens = []
        for (group, codebook), z in zip(self.groups, clusters, strict=True):
            own = list(group.heads)
            keys = codebook[z].unflatten(-1, (len(own), self.sequence.dim)).transpose(0, 1)
            tokens.append(Tokens(keys[None], v[:, own].transpose(0, 1)[None], weight[:, own].mT[None]))
        return self.attend(tokens, t, torch.tensor([len(e)]))
