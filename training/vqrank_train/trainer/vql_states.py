"""What candidates attend to in a vql sequence at many moments of users' histories, in one pass over the events.

In training some events stand beside the clusters as tokens of their own. Their values are what they are in the cluster,
their keys the codeword plus what the key's gradient goes through (straight-through), so that nothing changes but that
the keys' projection learns; the codewords learn to lie where the keys are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vqrank_train.config_vql import VqlGroup
from vqrank_train.model.vql import Tokens, Vql
from vqrank_train.trainer.histories import Histories

COMMITMENT = 0.25  # how much keys are drawn to their codewords, beside codewords to keys (van den Oord et al., VQ-VAE)
WEIGHT = 0.1  # of both, relative to the keys' mean square, beside the cross-entropy
FORGOTTEN = 1e-30  # a cluster that counts less than this many events now is empty: 1 / n must be a number of float32


@dataclass
class Kernel:
    """The temporal kernel at B moments; without decay terms one term that is 1 throughout. T: the last event's time."""

    psi: Tensor  # [L, A, R] of every event at the first moment that has it
    step: Tensor  # [B, A, R] what T's move since the user's moment before takes of every term; 0 at a block's first
    phi: Tensor  # [B, A, R] at the request


def kernel_of(vql: Vql, histories: Histories) -> Kernel:
    """The kernel's factors for these histories."""
    states, length, a = len(histories.history), len(histories.e), vql.sequence.heads
    first = torch.zeros(states, dtype=torch.bool)
    first[torch.tensor([0, *histories.sizes[:-1]]).cumsum(0)] = True
    if not vql.sequence.decay_terms:
        one = histories.e.new_ones(1, a, 1)
        return Kernel(one.expand(length, -1, -1), (~first).to(one.dtype)[:, None, None].expand(-1, a, 1), one)
    assert histories.time is not None and histories.now is not None
    last = torch.zeros(states, dtype=torch.double)  # of a moment without events: any
    held = torch.from_numpy(histories.history > 0)
    place = torch.from_numpy(histories.place + histories.history - 1)
    last[held] = histories.time[place[held]].double()
    ago = last[torch.from_numpy(histories.moment)] - histories.time
    moved = torch.diff(last, prepend=last[:1]).clamp(min=0)
    step = vql.psi(moved) * (~first)[:, None, None]
    return Kernel(vql.psi(ago.clamp(min=0)), step, vql.phi((histories.now - last).clamp(min=0)))


def running_totals(new: Tensor, step: Tensor, sizes: list[int]) -> Tensor:
    """new [B, A, R, ...] by moment -> totals at every moment: what was before times step [B, A, R], plus what is new.

    Moments of one block follow each other; `step` is 0 at its first.
    """
    totals = []
    for part, factor in zip(new.split(sizes), step.split(sizes), strict=True):
        running = part[0]
        own = [running]
        for i in range(1, len(part)):
            running = running * factor[i].reshape(*factor[i].shape, *[1] * (part.dim() - 3)) + part[i]
            own.append(running)
        totals.append(torch.stack(own))
    return torch.cat(totals)


def cluster_tokens(
    vql: Vql, group: VqlGroup, codebook: Tensor, z: Tensor, v: Tensor, kernel: Kernel, histories: Histories
) -> Tokens:
    """The group's clusters at every moment: events z [L], values v [L, A, dv]; an event with z < 0 is left out."""
    own, w, states = list(group.heads), group.codewords, len(histories.history)
    kept = (z >= 0).nonzero()[:, 0]
    flat = torch.from_numpy(histories.moment).to(z.device)[kept] * w + z[kept]
    psi = kernel.psi[kept][:, own]  # [K, H, R]
    weighted = psi[..., None] * v[kept][:, own, None]  # [K, H, R, dv]
    shape = (len(own), psi.shape[-1])
    sums = v.new_zeros(states * w, *shape, v.shape[-1]).index_add(0, flat, weighted)
    counts = v.new_zeros(states * w, *shape).index_add(0, flat, psi)
    step = kernel.step[:, own]
    sums, counts = (
        running_totals(x.unflatten(0, (states, w)).movedim(1, 3), step, histories.sizes) for x in (sums, counts)
    )  # [B, H, R, W(, dv)]
    phi = kernel.phi[:, own, :, None]
    n = (phi * counts).sum(2)  # [B, H, W]
    total = (phi[..., None] * sums).sum(2)
    held = n > FORGOTTEN
    safe = n.masked_fill(~held, 1)
    keys = codebook.unflatten(-1, (len(own), -1)).transpose(0, 1)[None]  # [1, H, W, d]
    return Tokens(keys, total / safe[..., None], safe.log().masked_fill(~held, -torch.inf))


def event_tokens(
    vql: Vql, group: VqlGroup, keys: Tensor, chosen: Tensor, v: Tensor, kernel: Kernel, histories: Histories
) -> Tokens:
    """Single events as tokens: chosen [blocks, E] places of events, keys [blocks, E, H d] of theirs; events that a
    moment does not have yet are none of its tokens."""
    own = list(group.heads)
    block = torch.repeat_interleave(torch.tensor(histories.sizes))  # [B]
    moment = torch.from_numpy(histories.moment)[chosen][block]  # [B, E]
    present = moment <= torch.arange(len(block))[:, None]
    # From an event's own first moment on its terms shrink step by step, as the clusters' sums do.
    log_step = kernel.step.clamp(min=1e-30).log()[:, own]
    log_step = torch.cat([part.cumsum(0) - part[:1] for part in log_step.split(histories.sizes)])  # since the first
    since = log_step[:, None] - log_step[moment]  # [B, E, H, R]
    psi = kernel.psi[chosen][block][:, :, own] * since.clamp(max=0).exp()
    weight = (kernel.phi[:, None][:, :, own] * psi).sum(-1).movedim(1, 2)  # [B, H, E]
    log_weight = weight.clamp(min=1e-30).log().masked_fill(~present[:, None], -torch.inf)
    values = v[chosen][block][:, :, own].movedim(1, 2)
    return Tokens(keys.unflatten(-1, (len(own), -1))[block].movedim(1, 2), values, log_weight)


def joined(a: Tokens, b: Tokens) -> Tokens:
    """Tokens of both, side by side."""
    keys = torch.cat([a.keys.expand(len(b.keys), -1, -1, -1), b.keys], 2)
    return Tokens(keys, torch.cat([a.values, b.values], 2), torch.cat([a.log_weight, b.log_weight], 2))


def choose(histories: Histories, events: int) -> Tensor:
    """`events` places of events of every block [blocks, E], some of them twice where a block has fewer."""
    length = len(histories.moment)
    starts = torch.tensor([0, *histories.sizes]).cumsum(0)
    edges = torch.searchsorted(torch.from_numpy(histories.moment), starts)
    low, high = edges[:-1], edges[1:]
    places = low[:, None] + (torch.rand(len(low), events) * (high - low)[:, None]).long()
    return places.clamp(max=length - 1)


def vql_interest(
    vql: Vql, histories: Histories, t: Tensor, gradient_events: int = 0, losses: list[Tensor] | None = None
) -> Tensor:
    """Interest vectors [B, C, width] of candidates t [B, C, Dc] at every moment.

    With `gradient_events`, so many events a block carry the gradient to the keys' projection, and the codebooks' loss
    is added to `losses`.
    """
    e = histories.e
    if not len(e):
        return t.new_zeros(*t.shape[:2], vql.width)
    kernel = kernel_of(vql, histories)
    v = vql.heads(vql.vql.v(e), vql.sequence.v_dim)
    with torch.no_grad():
        clusters = [scores.argmax(-1) for scores in vql.scores(e)]
    chosen = choose(histories, gradient_events) if gradient_events else None
    tokens = []
    for (group, codebook), z in zip(vql.groups, clusters, strict=True):
        if chosen is None:
            tokens.append(cluster_tokens(vql, group, codebook, z, v, kernel, histories))
            continue
        unique = torch.zeros(len(z), dtype=torch.bool)
        # An event that was chosen twice would count twice; blocks without events choose those of their neighbours.
        mask = first_of_its_kind(chosen, histories)
        unique[chosen[mask]] = True
        own = cluster_tokens(vql, group, codebook, z.masked_fill(unique, -1), v, kernel, histories)
        k, c = vql.keys(e[chosen], group), codebook[z[chosen]]
        single = event_tokens(vql, group, c + k - k.detach(), chosen, v, kernel, histories)
        block = torch.repeat_interleave(torch.tensor(histories.sizes))
        single.log_weight = single.log_weight.masked_fill(~mask[block][:, None], -torch.inf)
        tokens.append(joined(own, single))
        if losses is not None:
            drawn = (c - k.detach()).square().mean() + COMMITMENT * (k - c.detach()).square().mean()
            losses.append(WEIGHT * drawn / k.detach().square().mean())
    return vql.attend(tokens, t, torch.from_numpy(histories.history))


def first_of_its_kind(chosen: Tensor, histories: Histories) -> Tensor:
    """Which of chosen [blocks, E] are events of their block that were not chosen before."""
    ends = torch.tensor(histories.sizes).cumsum(0)
    block = torch.searchsorted(ends, torch.from_numpy(histories.moment)[chosen], right=True)
    own = block == torch.arange(len(chosen))[:, None]
    order = chosen.sort(dim=-1, stable=True)
    new = torch.ones_like(own)
    new.scatter_(1, order.indices[:, 1:], order.values.diff(dim=-1) != 0)
    return own & new
