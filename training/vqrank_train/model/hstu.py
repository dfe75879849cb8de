"""One HSTU block: over the W cluster tokens of every codebook, or over events, each of which sees those before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vqrank_train.config import Hstu
from vqrank_train.model.layers import Stacked, StackedNorm, normalized


class HstuLayers(nn.Module):
    """What both blocks share; the bias of the scores is their own. f1, f2, norm and pre_norm are stacked S times, or
    not at all with stack None; `tokens` is what "normalize": "tokens" divides by."""

    def __init__(self, hstu: Hstu, stack: int | None, tokens: int, width: int) -> None:
        super().__init__()
        self.hstu, self.tokens = hstu, tokens
        self.v, self.qk = hstu.heads * hstu.v_dim, hstu.heads * hstu.qk_dim  # H dv, H dqk
        self.f1 = Stacked(stack, width, 2 * self.v + 2 * self.qk)
        self.f2 = Stacked(stack, self.v * (1 if hstu.output == "gated" else 3), width)
        if hstu.affine:
            self.norm = StackedNorm(stack, self.v)
            if hstu.pre_norm:
                self.pre_norm = StackedNorm(stack, width)

    def mix(self, x: Tensor, present: Tensor, bias: Tensor | None, seen: Tensor | None = None) -> Tensor:
        """x [B, N, T, D], present [B, N, T] bool: tokens that exist -> Y [B, N, T, D], rows of absent tokens zeros.

        `bias` is added to scores [B, N, H, T, T], to which its shape broadcasts; `seen` [T, T] tells which tokens each
        may attend to, default: all.
        """
        hstu = self.hstu
        batch, codebooks, tokens, _ = x.shape
        absent = ~present

        inner = x
        if hstu.pre_norm:
            inner = normalized(x, hstu.eps)
            if hstu.affine:
                inner = self.pre_norm(inner)

        projected = self.f1(inner)
        if hstu.activate == "all":
            projected = nn.functional.silu(projected)
        u, v, q, k = projected.split([self.v, self.v, self.qk, self.qk], dim=-1)
        if hstu.activate == "u":
            u = nn.functional.silu(u)

        def per_head(y: Tensor, width: int) -> Tensor:
            return y.reshape(batch, codebooks, tokens, hstu.heads, width).transpose(2, 3)  # [B, N, H, T, width]

        q, k, v = per_head(q, hstu.qk_dim), per_head(k, hstu.qk_dim), per_head(v, hstu.v_dim)
        alpha = 1.0 if hstu.alpha == "one" else 1 / math.sqrt(hstu.qk_dim)
        scores = alpha * (q @ k.mT)  # [B, N, H, T, T]
        if bias is not None:
            scores = scores + bias
        hidden = absent[:, :, None, None, :] if seen is None else absent[:, :, None, None, :] | ~seen
        weights = nn.functional.silu(scores).masked_fill(hidden, 0)
        if hstu.normalize == "tokens":
            weights = weights / self.tokens
        elif hstu.normalize == "attended":
            weights = weights / present.sum(-1).clamp(min=1)[:, :, None, None, None]
        elif hstu.normalize != "one":
            weights = weights / hstu.normalize
        attended = weights @ v.masked_fill(absent[:, :, None, :, None], 0)  # [B, N, H, T, dv]

        def joined(y: Tensor) -> Tensor:
            return y.transpose(2, 3).reshape(batch, codebooks, tokens, self.v)

        out = joined(attended)
        gated = joined(normalized(attended, hstu.eps)) if hstu.norm == "group" else normalized(out, hstu.eps)
        if hstu.affine:
            gated = self.norm(gated)
        if hstu.output == "gated":
            z = u * gated
        elif hstu.output == "concat":
            z = torch.cat([u, gated, u * gated], -1)
        else:
            z = torch.cat([u, out, u * gated], -1)
        y = self.f2(z)
        if hstu.residual:
            y = y + x
        return y.masked_fill(absent[..., None], 0)


class HstuBlock(HstuLayers):
    """X [B, N, W, D] -> Y [B, N, W, D], one block over the clusters of every codebook.

    Parameters (S = N, or 1 when shared): f1, f2, norm, pre_norm, and `bias`: dense [S, 1 or H, W, W],
    toeplitz [S, 1 or H, 2W-1].
    """

    def __init__(self, hstu: Hstu, codebooks: int, codewords: int, width: int, bias_heads: int = 1) -> None:
        stack = 1 if hstu.share else codebooks
        super().__init__(hstu, stack, codewords, width)
        if hstu.bias == "dense":
            self.bias = nn.Parameter(torch.zeros(stack, bias_heads, codewords, codewords))
        elif hstu.bias == "toeplitz":
            self.bias = nn.Parameter(torch.zeros(stack, bias_heads, 2 * codewords - 1))

    def scores_bias(self) -> Tensor | None:
        """B [S, 1 or H, W, W]; B[i][j] = w[W-1+j-i] when toeplitz."""
        if self.hstu.bias == "none":
            return None
        return self.bias if self.hstu.bias == "dense" else toeplitz(self.bias, self.tokens, self.tokens)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """x [B, N, W, D], present [B, N, W] bool: tokens that exist. Rows of absent tokens come out as zeros."""
        return self.mix(x, present, self.scores_bias())


class CausalBlock(HstuLayers):
    """X [B, 1, T, D] -> Y [B, 1, T, D], one block over at most `last` events, oldest first.

    Parameters: f1, f2, norm, pre_norm, `bias` w [2 last - 1] when toeplitz, and `time_bias` b [buckets + 1] where there
    are time buckets.
    """

    def __init__(self, hstu: Hstu, last: int, width: int, time_buckets: int) -> None:
        super().__init__(hstu, None, last, width)
        if hstu.bias == "toeplitz":
            self.bias = nn.Parameter(torch.zeros(2 * last - 1))
        if time_buckets:
            self.time_bias = nn.Parameter(torch.zeros(time_buckets + 1))

    def forward(self, x: Tensor, present: Tensor, bucket: Tensor | None) -> Tensor:
        """As HstuBlock; `bucket` [B, T, T] of the time between what i predicts and j, with time buckets."""
        tokens = x.shape[2]
        bias = toeplitz(self.bias, self.tokens, tokens) if self.hstu.bias == "toeplitz" else None
        if bucket is not None:
            of_time = self.time_bias[bucket][:, None, None]  # [B, 1, 1, T, T]
            bias = of_time if bias is None else bias + of_time
        return self.mix(x, present, bias, torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).tril())


def toeplitz(w: Tensor, most: int, tokens: int) -> Tensor:
    """w [..., 2 most - 1] -> B [..., tokens, tokens], B[i][j] = w[most - 1 + j - i]."""
    position = torch.arange(tokens, device=w.device)
    return w[..., most - 1 + position[None, :] - position[:, None]]
