"""RQ-VAE, the learned baseline that residual quantizers are compared with; its codes are of use, it is in no model.

Rajput et al., Recommender Systems with Generative Retrieval (TIGER), NeurIPS 2023: an MLP encodes a vector, a residual
quantizer takes the code's nearest codeword level by level, an MLP decodes the sum. As there, codewords start as the
centres of k-means of the first batch's residuals, the encoder gets the decoder's gradient straight through the codes,
and the loss is that of the reconstruction and, for every level, |sg(r) - c|^2 + `commitment` |r - sg(c)|^2. Codes that
fall out of use stay so: neither TIGER nor the implementations that follow it revive them, k-means is their remedy.

The runtime has no encoder, so this is no `kind` of a config's quantizers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from vqrank_train.quantizers.file import QuantizerError


@dataclass(frozen=True)
class RqVaeOptions:
    """How an RQ-VAE is made and trained."""

    hidden: int = 256  # of the encoder's and the decoder's one hidden layer
    latent: int = 32
    commitment: float = 0.25
    batch: int = 1024  # items a step
    steps: int = 4000
    rate: float = 1e-2  # of Adam; falls to zero along a cosine


class RqVae(nn.Module):
    """Vectors [M, n] -> codes [M, Q], and vectors again. Works on items moved to mean 0 and divided by their spread."""

    mean: Tensor
    spread: Tensor

    def __init__(self, levels: int, codes: int, dim: int, options: RqVaeOptions) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(()))
        hidden, latent = options.hidden, options.latent
        self.encoder = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.codebook = nn.Parameter(torch.zeros(levels, codes, latent))

    def scaled(self, x: Tensor) -> Tensor:
        """Vectors as the encoder takes them."""
        return (x - self.mean) / self.spread

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent vectors [M, latent] -> codes [M, Q], codewords and the residuals that met them, [Q, M, latent] both.

        Residuals go down the levels without a gradient of the codewords that were taken away.
        """
        codes, words, residuals = [], [], []
        for codebook in self.codebook:
            found = nearest(z, codebook)
            codes.append(found)
            words.append(nn.functional.embedding(found, codebook))
            residuals.append(z)
            z = z - words[-1].detach()
        return torch.stack(codes, -1), torch.stack(words), torch.stack(residuals)

    @torch.no_grad()
    def start_codebooks(self, x: Tensor, seed: int) -> None:
        """k-means of a batch's residuals, level by level."""
        residuals = self.encoder(self.scaled(x))
        for level, codebook in enumerate(self.codebook):
            centers = KMeans(len(codebook), n_init=1, random_state=seed + level).fit(residuals.numpy()).cluster_centers_
            codebook.copy_(torch.from_numpy(centers))
            residuals = residuals - codebook[nearest(residuals, codebook)]

    def loss(self, x: Tensor, commitment: float) -> Tensor:
        """Of a batch [M, n]: means over numbers, of levels the sum."""
        x = self.scaled(x)
        z = self.encoder(x)
        _, words, residuals = self.quantize(z)
        decoded = self.decoder(z + (words.sum(0) - z).detach())
        moved = (residuals.detach() - words).square().mean((1, 2)).sum()
        committed = (residuals - words.detach()).square().mean((1, 2)).sum()
        return (decoded - x).square().mean() + moved + commitment * committed

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Vectors [M, n] -> codes [M, Q], and what is left of the vectors after the first 1 .. Q levels, [M, n] each.

        Fewer levels than all are decoded as they are, though training decodes only the sum of all.
        """
        codes, words, _ = self.quantize(self.encoder(self.scaled(x)))
        return codes, [x - (self.decoder(sum_of) * self.spread + self.mean) for sum_of in words.cumsum(0)]


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Codes [M] of the nearest codewords; the lowest of equals."""
    return (codebook.detach().square().sum(1) - 2 * z.detach() @ codebook.detach().T).argmin(1)


def fit_rq_vae(
    levels: int,
    codes: int,
    items: npt.NDArray[np.float32],
    seed: int = 0,
    options: RqVaeOptions | None = None,
    after_step: Callable[[float], None] = lambda loss: None,
) -> RqVae:
    """An RQ-VAE fitted to vectors [items, n]. `after_step` is told every step's loss."""
    options = options or RqVaeOptions()
    batch = min(options.batch, len(items))
    if batch < codes:
        raise QuantizerError(f"items: expected at least {codes} in the first batch, one per code, found {batch}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = RqVae(levels, codes, items.shape[1], options)
        x = torch.from_numpy(items)
        module.mean.copy_(x.mean(0))
        spread = (x - module.mean).square().mean().sqrt()
        module.spread.copy_(torch.where(spread > 0, spread, torch.ones(())))
        module.start_codebooks(x[torch.randperm(len(x))[:batch]], seed)
        optimizer = torch.optim.Adam(module.parameters(), lr=options.rate)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(options.steps):
            if len(order) < batch:
                order = torch.randperm(len(x))
            chosen, order = order[:batch], order[batch:]
            loss = module.loss(x[chosen], options.commitment)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fall.step()
            after_step(loss.item())
    return module.eval()
