"""Target attention: what a candidate takes from the tokens of a user's state."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from vqrank_train.config import Attention
from vqrank_train.model.activations import activate
from vqrank_train.model.layers import Layer, Stacked


@dataclass
class Interests:
    """What of a user state candidates need, for B states: nothing in it depends on a candidate."""

    tokens: Tensor  # [B, N, T, D]
    counts: Tensor  # [B, N, T] events per token
    present: Tensor  # [B, N, T] bool: tokens that exist; [B, N, C, T] where each candidate has tokens of its own
    events: Tensor  # [B] events in the history, or [B, C] a candidate's own: those without have a zero interest

    def seen(self) -> Tensor:
        """`present` for every candidate, [B, N, C or 1, T]"""
        return self.present if self.present.dim() == 4 else self.present[:, :, None]


class DotAttention(nn.Module):
    """Softmax attention per codebook: q [S, A d, Dc], k, v [S, A d, D], out [S, Do, A d]; without S, stack None."""

    def __init__(
        self, attention: Attention, stack: int | None, width: int, candidate_width: int, out_width: int | None
    ) -> None:
        super().__init__()
        self.attention = attention
        inner = attention.heads * attention.dim
        self.q = Stacked(stack, candidate_width, inner)
        self.k = Stacked(stack, width, inner)
        self.v = Stacked(stack, width, inner)
        if attention.out:
            self.out = Stacked(stack, inner, out_width or inner)
        self.out_width = (out_width or inner) if attention.out else inner

    def heads(self, y: Tensor) -> Tensor:
        """[B, N, T, A d] -> [B, N, A, T, d]"""
        return y.unflatten(-1, (self.attention.heads, self.attention.dim)).transpose(2, 3)

    def logits(self, interests: Interests, t: Tensor) -> Tensor:
        """q.K / sqrt(d) of candidates t [B, C, Dc], [B, N, A, C, T]"""
        q = self.heads(self.q(t[:, None]))  # [B, N or 1, A, C, d]
        keys = self.heads(self.k(interests.tokens))  # [B, N, A, T, d]
        return (q @ keys.mT) / math.sqrt(self.attention.dim)

    def forward(self, interests: Interests, t: Tensor, asked: Tensor | None = None, top: int | None = None) -> Tensor:
        """t [B, C, Dc] candidates of every state -> interest vectors [B, C, N * (A d or Do)].

        `asked` plays no part here: DinAttention says what it is. With `top` every head attends to so many tokens of its
        largest scores, to the earlier one where two are equal.
        """
        logits, values = self.logits(interests, t), self.heads(self.v(interests.tokens))  # values [B, N, A, T, d]
        if self.attention.count_bias:
            logits = logits + interests.counts.clamp(min=1).to(logits.dtype).log()[:, :, None, None, :]
        seen = interests.seen()[:, :, None]  # [B, N, 1, C or 1, T]
        if top is not None:
            seen = largest(logits.detach(), seen, top)
        weights = softmax_over(logits, seen)
        attended = (weights @ values).transpose(2, 3).flatten(-2)  # [B, N, C, A d]
        if self.attention.out:
            attended = self.out(attended)
        return joined(attended, interests)


class DinAttention(nn.Module):
    """DIN's attention per codebook: an MLP over [t', y_k, t' - y_k, t' * y_k], t' = t Wq + bq, weighs token y_k.

    q [S, D, Dc], mlp.LAYER.weight [S, out, in]; without S, stack None.
    """

    def __init__(self, attention: Attention, stack: int | None, width: int, candidate_width: int) -> None:
        super().__init__()
        self.attention = attention
        self.q = Stacked(stack, candidate_width, width)
        widths = [4 * width, *attention.hidden, 1]
        names = [attention.activation] * len(attention.hidden) + [None]
        self.mlp = nn.ModuleList(
            Layer(stack, a, b, name) for (a, b), name in zip(itertools.pairwise(widths), names, strict=True)
        )
        self.out_width = width

    @property
    def layers(self) -> list[Layer]:
        """The modules of `mlp`, with their class known to a type checker."""
        return cast(list[Layer], list(self.mlp))

    def first(self, t: Tensor, y: Tensor) -> Tensor:
        """t' [B, N or 1, C, D], y [B, N, T, D] -> the first layer before its activation, [B, N, C, T, out].

        The layer splits into a part of t', one of y, and one of their product, W_p (t' * y) = (W_p diag t') y: nothing
        of 4 D numbers per candidate and token is ever laid out.
        """
        layer = self.layers[0]
        of_target, of_event, of_difference, of_product = layer.weight.mT.chunk(4, dim=-2)  # [(S,) D, out] each
        target = t @ (of_target + of_difference) + layer.bias.unsqueeze(-2)
        event = y @ (of_event - of_difference)
        scaled = t[..., None] * of_product.unsqueeze(-3)  # [B, N or 1, C, D, out]
        return y[:, :, None] @ scaled + target[..., :, None, :] + event[..., None, :, :]

    def forward(self, interests: Interests, t: Tensor, asked: Tensor | None = None) -> Tensor:
        """t [B, C, Dc] candidates of every state -> interest vectors [B, C, N * D].

        `asked`, bool [B, C], tells candidates that count in dice's statistics, where some are padding; default: all.
        """
        y = interests.tokens
        found = self.first(self.q(t[:, None]), y)  # [B, N, C, T, out]
        every = found.shape[2:4]
        present = interests.seen().expand(found.shape[:-1])
        counted = present if asked is None else present & asked[:, None, :, None]
        x = found.flatten(2, 3)
        for layer, after in itertools.pairwise(self.layers):
            x = after(activate(layer, self.attention.activation, x, counted.flatten(2, 3)))
        weights = x[..., 0].unflatten(-1, every)  # [B, N, C, T]
        weights = softmax_over(weights, present) if self.attention.softmax else weights.masked_fill(~present, 0)
        return joined(weights @ y, interests)


def softmax_over(logits: Tensor, present: Tensor) -> Tensor:
    """Softmax along the last axis over tokens that exist, 0 for others; where there are none, `joined` gives zeros."""
    return logits.masked_fill(~present, torch.finfo(logits.dtype).min).softmax(-1)


def largest(logits: Tensor, seen: Tensor, top: int) -> Tensor:
    """Which tokens along the last axis of logits [..., T] are the `top` largest of those seen, bool [..., T]; the
    earlier of two that are equal."""
    if logits.shape[-1] <= top:
        return seen
    logits = logits.masked_fill(~seen, -torch.inf)
    least = logits.topk(top, dim=-1).values[..., -1:]  # -inf where fewer are seen
    above, equal = logits > least, logits == least
    room = top - above.sum(-1, keepdim=True)
    return seen & (above | (equal & (equal.cumsum(-1) <= room)))


def joined(attended: Tensor, interests: Interests) -> Tensor:
    """[B, N, C, width] -> [B, C, N * width]; zeros for states, or candidates, without events."""
    none = (interests.events == 0).view(len(interests.events), 1, -1, 1)
    attended = attended.masked_fill(none, 0)
    return attended.transpose(1, 2).flatten(-2)


def attention_of(
    attention: Attention, stack: int | None, width: int, candidate_width: int, out_width: int | None
) -> DotAttention | DinAttention:
    """The module of a config's attention."""
    if attention.kind == "dot":
        return DotAttention(attention, stack, width, candidate_width, out_width)
    return DinAttention(attention, stack, width, candidate_width)


@torch.no_grad()
def start_matching(
    attention: DotAttention | DinAttention, pairs: list[tuple[slice, slice]], weight: float = 4.0
) -> None:
    """Start the projections of candidate and tokens equal, so that attention finds matches from the first step on.

    `pairs`: where a feature lies in the candidate's and in the event's embedding, of equal widths (`matching_features`
    of a Ranker's config finds those that share a table). Everything else starts at a tenth of its size.
    dot: q.K / sqrt(d) of two equal features e starts as about `weight` |e|^2 in every head, exactly where the pairs'
    widths sum to at most d. din: t' starts with the candidate's features where the tokens have theirs, so that t' * y
    holds the products of equal features; `weight` plays no part.
    """
    if not pairs:
        return
    candidate = torch.cat([torch.arange(c.start, c.stop) for c, _ in pairs])
    event = torch.cat([torch.arange(e.start, e.stop) for _, e in pairs])
    attention.q.weight.mul_(0.1)
    if isinstance(attention, DinAttention):
        attention.q.weight[..., event, candidate] = 1.0
        return
    attention.k.weight.mul_(0.1)
    d, width = attention.attention.dim, len(candidate)
    for head in range(attention.attention.heads):
        size = max(d, width)
        basis = torch.linalg.qr(torch.randn(size, size))[0][:d, :width] * max(1.0, width / d) ** 0.5
        basis = basis * math.sqrt(weight * math.sqrt(d))
        rows = slice(head * d, (head + 1) * d)
        attention.q.weight[..., rows, candidate] = basis
        attention.k.weight[..., rows, event] = basis
