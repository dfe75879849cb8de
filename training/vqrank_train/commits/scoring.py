"""Scores moments against their exact histories, many moments of a user in one pass over its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqrank_train.commits.baselines import runs
from vqrank_train.commits.data import Commits, Moments, Sample
from vqrank_train.commits.inputs import Inputs
from vqrank_train.model import Ranker
from vqrank_train.model.dmqn import Dmqn


@dataclass
class Block:
    """Moments of one user, in time order, with their candidates padded to one width C."""

    user: int
    history: np.ndarray  # [M] ascending
    repository: np.ndarray  # [M]
    items: np.ndarray  # [M, C]
    label: np.ndarray  # [M, C]
    present: np.ndarray  # [M, C] bool: not padding
    index: np.ndarray  # [M, C] place in the sample


def blocks(moments: Moments, sample: Sample, size: int) -> Iterator[Block]:
    """Blocks of at most `size` consecutive moments of one user."""
    every = runs(sample.moment)
    users = moments.user[[m for m, _, _ in every]] if every else np.zeros(0)
    low = 0
    while low < len(every):
        high = low + 1
        while high < len(every) and high - low < size and users[high] == users[low]:
            high += 1
        part = every[low:high]
        own = np.array([m for m, _, _ in part])
        widths = np.array([b - a for _, a, b in part])
        index = np.zeros((len(part), widths.max()), np.int64)
        present = np.arange(widths.max()) < widths[:, None]
        index[present] = np.concatenate([np.arange(a, b) for _, a, b in part])
        yield Block(
            int(users[low]), moments.history[own], moments.repository[own],
            sample.item[index], sample.label[index], present, index,
        )  # fmt: skip
        low = high


def prefix_sums(
    dmqn: Dmqn, e: Tensor, clusters: Tensor, soft: Tensor | None, chosen: Tensor | None, ends: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Sums and counts per cluster of the first ends[m] events, exact for every moment: [M, N, W, D] and [M, N, W].

    e [L, D], clusters [N, L]. `soft` [N, G, W], where given, is zero in value and carries the straight-through gradient
    of events `chosen` [G] (ascending).
    """
    n, w, d = dmqn.sequence.codebooks, dmqn.sequence.codewords, e.shape[1]
    sums, counts, before = [], [], 0
    starts = torch.searchsorted(chosen, torch.from_numpy(ends).to(e.device)).tolist() if chosen is not None else []
    soft_before = 0
    offsets = torch.arange(n, device=e.device)[:, None] * w
    for m, end in enumerate(ends.tolist()):
        flat = (clusters[:, before:end] + offsets).reshape(-1)
        part = e[before:end].repeat(n, 1)
        total = e.new_zeros(n * w, d).index_add(0, flat, part).view(n, w, d)
        counts.append(torch.bincount(flat, minlength=n * w).view(n, w))
        if soft is not None and chosen is not None:
            own = slice(soft_before, starts[m])
            total = total + soft[:, own].mT @ e[chosen[own]].detach()
            soft_before = starts[m]
        sums.append(total)
        before = end
    return torch.stack(sums).cumsum(0), torch.stack(counts).cumsum(0)


def encode(
    module: Ranker, e: Tensor, ends: np.ndarray, tau: float | None = None, gradient_events: int = 0
) -> list[tuple[Tensor, Tensor]]:
    """Per sequence the sums and counts at every moment.

    With `tau`, `gradient_events` of the events, drawn anew each time, are assigned as in training: noisy, with the
    straight-through gradient. The others take their best codeword.
    """
    states = []
    for sequence in module.config.sequences:
        dmqn = module.dmqn(sequence.name)
        if tau is None:
            clusters = dmqn.scores(e).argmax(-1)
            states.append(prefix_sums(dmqn, e, clusters, None, None, ends))
            continue
        with torch.no_grad():
            clusters = dmqn.scores(e).argmax(-1)
        length = len(e)
        chosen = torch.randperm(length, device=e.device)[:gradient_events].sort().values
        hard = dmqn.sample(dmqn.scores(e[chosen]), tau)
        clusters[:, chosen] = hard.detach().argmax(-1)
        states.append(prefix_sums(dmqn, e, clusters, hard - hard.detach(), chosen, ends))
    return states


def logits(
    module: Ranker, inputs: Inputs, batch: list[Block], tau: float | None = None, gradient_events: int = 0
) -> list[Tensor]:
    """Logits [M, C] of every block; the parts after the sums run once for all blocks of the batch."""
    commits: Commits = inputs.commits
    per_block = []
    for block in batch:
        start, last = int(commits.start[block.user]), int(block.history[-1])
        e = module.embed("event", inputs.event(start, start + last), (last,))
        per_block.append(encode(module, e, block.history, tau, gradient_events))
    width = max(block.items.shape[1] for block in batch)
    items = np.concatenate([np.pad(b.items, ((0, 0), (0, width - b.items.shape[1]))) for b in batch])
    history = np.concatenate([b.history for b in batch])
    repository = np.concatenate([b.repository for b in batch])
    t = module.embed("candidate", inputs.candidate(items, history), items.shape)
    x = module.embed("context", inputs.context(repository), repository.shape)
    u = module.embed("user", {}, repository.shape)
    interests = []
    for s, sequence in enumerate(module.config.sequences):
        dmqn = module.dmqn(sequence.name)
        sums = torch.cat([states[s][0] for states in per_block])
        counts = torch.cat([states[s][1] for states in per_block])
        interests.append(dmqn.attention(dmqn.interests(sums, counts), t))
    every = module.logits(u, x, t, interests)[..., 0]
    return [
        part[:, : b.items.shape[1]] for part, b in zip(every.split([len(b.history) for b in batch]), batch, strict=True)
    ]


@torch.no_grad()
def score(module: Ranker, inputs: Inputs, moments: Moments, sample: Sample, size: int = 64) -> np.ndarray:
    """Logits of a sample by exact inference, [S]."""
    module.eval()
    scores = np.zeros(len(sample.item), np.float32)
    for block in blocks(moments, sample, size):
        found = logits(module, inputs, [block])[0].cpu().numpy()
        scores[block.index[block.present]] = found[block.present]
    return scores
