"""Scores moments against their exact histories, many moments of a user in one pass over its events."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vqrank_train.model import Ranker
from vqrank_train.model.din import Din
from vqrank_train.model.dmqn import Dmqn
from vqrank_train.model.hstu_events import HstuEvents
from vqrank_train.model.sdim import Sdim
from vqrank_train.model.search import SimHard, Twin
from vqrank_train.model.vql import Vql
from vqrank_train.trainer.baseline_interests import hstu_interest, sdim_interest, search_interest
from vqrank_train.trainer.blocks import Block, blocks
from vqrank_train.trainer.dataset import Moments, Sample
from vqrank_train.trainer.histories import Histories, last_events, read_histories, totals
from vqrank_train.trainer.inputs import Inputs
from vqrank_train.trainer.vql_states import vql_interest


def din_interest(din: Din, histories: Histories, t: Tensor, asked: Tensor) -> Tensor:
    """Interest vectors [B, C, width] of candidates t [B, C, Dc]: attention over the last events of every moment.

    `asked` [B, C]: candidates that are not padding.
    """
    if not len(histories.e):
        return t.new_zeros(*t.shape[:2], din.width)
    index, present = last_events(histories, din.sequence.last)
    return din(histories.e[index], present, t, asked)


def dmqn_states(
    dmqn: Dmqn, histories: Histories, tau: float | None = None, gradient_events: int = 0
) -> tuple[Tensor, Tensor]:
    """Sums [B, N, W, D] and counts [B, N, W] per cluster at every moment: running totals along a user's moments.

    With `tau`, `gradient_events` a block, drawn anew each time, are assigned as in training: noisy, with the
    straight-through gradient. The others take their best codeword.
    """
    e, device = histories.e, histories.e.device
    n, w = dmqn.sequence.codebooks, dmqn.sequence.codewords
    states = len(histories.history)
    moment = torch.from_numpy(histories.moment).to(device)
    soft = chosen = None
    if tau is None:
        clusters = dmqn.scores(e).argmax(-1)
    else:
        with torch.no_grad():
            clusters = dmqn.scores(e).argmax(-1)
        chosen = torch.randperm(len(e), device=device)[: gradient_events * len(histories.sizes)].sort().values
        hard = dmqn.sample(dmqn.scores(e[chosen]), tau)
        clusters[:, chosen] = hard.detach().argmax(-1)
        soft = hard - hard.detach()  # zero in value
    flat = moment * w + clusters  # [N, L]
    sums = torch.stack([e.new_zeros(states * w, e.shape[1]).index_add(0, own, e) for own in flat])
    sums = sums.view(n, states, w, -1).transpose(0, 1)
    counts = torch.stack([torch.bincount(own, minlength=states * w) for own in flat])
    counts = counts.view(n, states, w).transpose(0, 1)
    if soft is not None and chosen is not None and len(chosen):
        touched, sizes = moment[chosen].unique_consecutive(return_counts=True)
        fixed = e.detach()
        parts = zip(soft.split(sizes.tolist(), 1), chosen.split(sizes.tolist()), strict=True)
        sums = sums.index_add(0, touched, torch.stack([z.mT @ fixed[own] for z, own in parts]))
    return totals(sums, histories), totals(counts, histories)


def logits(
    module: Ranker,
    inputs: Inputs,
    batch: list[Block],
    tau: float | None = None,
    gradient_events: int = 0,
    losses: list[Tensor] | None = None,
) -> list[Tensor]:
    """Logits [M, C] of every block. In training, which gives `tau`, the codebooks' own losses are added to `losses`."""
    width = max(block.items.shape[1] for block in batch)
    items = np.concatenate([np.pad(b.items, ((0, 0), (0, width - b.items.shape[1]))) for b in batch])
    counted = [np.pad(b.present, ((0, 0), (0, width - b.present.shape[1]))) for b in batch]
    asked = torch.from_numpy(np.concatenate(counted)).to(inputs.device)
    users = np.concatenate([np.full(len(b.history), b.user) for b in batch])
    context = {name: np.concatenate([b.context[name] for b in batch]) for name in batch[0].context}
    histories = read_histories(module, inputs, batch)
    candidates = inputs.candidate(items, histories.history)
    has_time = any(feature.kind == "time" for feature in module.config.groups["event"])
    t = module.embed("candidate", candidates, items.shape)
    x = module.embed("context", inputs.context(context), users.shape)
    u = module.embed("user", inputs.user(users), users.shape)
    interests = []
    for sequence in module.config.sequences:
        own = module.sequences[sequence.name]
        if isinstance(own, Din):
            interests.append(din_interest(own, histories, t, asked))
        elif isinstance(own, HstuEvents):
            interests.append(hstu_interest(own, histories, t, asked, has_time))
        elif isinstance(own, Sdim):
            interests.append(sdim_interest(own, histories, t))
        elif isinstance(own, SimHard | Twin):
            interests.append(search_interest(own, histories, t, asked, candidates))
        elif isinstance(own, Vql):
            interests.append(vql_interest(own, histories, t, gradient_events if tau is not None else 0, losses))
        else:
            states = dmqn_states(own, histories, tau, gradient_events)
            interests.append(own.attention(own.interests(*states), t, asked))
    every = module.logits(u, x, t, interests, asked)[..., 0]
    return [part[:, : b.items.shape[1]] for part, b in zip(every.split(histories.sizes), batch, strict=True)]


def batches(every: Iterator[Block], moments: int, events: int) -> Iterator[list[Block]]:
    """Blocks together, about so many moments or events of history a batch."""
    batch: list[Block] = []
    for block in every:
        batch.append(block)
        if sum(len(b.history) for b in batch) >= moments or sum(int(b.history[-1]) for b in batch) >= events:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.no_grad()
def score(module: Ranker, inputs: Inputs, moments: Moments, sample: Sample, size: int = 64) -> np.ndarray:
    """Logits of a sample by exact inference, [S]; blocks of at most `size` moments."""
    module.eval()
    scores = np.zeros(len(sample.item), np.float32)
    for batch in batches(blocks(moments, sample, size), size, 20000):
        for block, part in zip(batch, logits(module, inputs, batch), strict=True):
            scores[block.index[block.present]] = part.cpu().numpy()[block.present]
    return scores
