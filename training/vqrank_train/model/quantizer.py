"""Residual quantizers: vectors -> codes, level by level, in the difference form."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vqrank_train.config import Quantizer

# Differences that are held at once, [rows, K, n].
CHUNK_NUMBERS = 1 << 24


class ResidualQuantizer(nn.Module):
    """mean [Q, K, n], of rq_gmm also variance [Q, K, n] and weight [Q, K]. Buffers: a model's training leaves them."""

    mean: Tensor
    variance: Tensor
    weight: Tensor

    def __init__(self, config: Quantizer) -> None:
        super().__init__()
        self.config = config
        shape = (config.levels, config.codes, config.dim)
        self.register_buffer("mean", torch.zeros(shape))
        if config.kind == "rq_gmm":
            self.register_buffer("variance", torch.ones(shape))
            self.register_buffer("weight", torch.full(shape[:2], 1 / config.codes))

    @torch.no_grad()
    def scores(self, level: int, r: Tensor) -> Tensor:
        """Residuals [M, n] -> b_k - 1/2 sum_d (r_d - mu_kd)^2 / variance_kd, [M, K]."""
        mean = self.mean[level]
        difference = r[:, None] - mean
        if self.config.kind == "rq_kmeans":
            return difference.square().sum(-1) / -2
        variance = self.variance[level]
        bias = self.weight[level].log() - variance.log().sum(-1) / 2
        return bias - (difference.square() / variance).sum(-1) / 2

    @torch.no_grad()
    def step(self, level: int, r: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals [M, n] -> the level's codes [M], the lowest of equals, and the residuals that it leaves, [M, n]."""
        step = max(1, CHUNK_NUMBERS // (self.config.codes * self.config.dim))
        codes = torch.cat([self.scores(level, part).argmax(-1) for part in (r.split(step) if len(r) else (r,))])
        return codes, r - self.mean[level][codes]

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors [M, n] -> codes [M, Q] and what the last level leaves of them, [M, n]."""
        codes = []
        for level in range(self.config.levels):
            found, x = self.step(level, x)
            codes.append(found)
        return torch.stack(codes, -1), x

    def rows(self, x: Tensor) -> Tensor:
        """Vectors [..., n], NaN where there is none -> rows of the levels' tables [..., Q]: code + 1, or 0."""
        flat = x.reshape(-1, math.prod(x.shape[-1:])).to(self.mean.dtype)
        absent = flat.isnan().any(-1, keepdim=True)
        codes, _ = self.encode(flat.nan_to_num())
        return torch.where(absent, 0, codes + 1).reshape(*x.shape[:-1], self.config.levels)
