"""What candidates take from sequences of kinds sdim, sim_hard, twin and hstu at many moments of users' histories."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from vqrank_train.model.hstu_events import HstuEvents
from vqrank_train.model.ranker import Columns
from vqrank_train.model.sdim import Sdim
from vqrank_train.model.search import SimHard, Twin
from vqrank_train.trainer.histories import Histories, last_events, totals

ROOM = 1 << 24  # scores of candidates and events that are held at a time


def hstu_interest(own: HstuEvents, histories: Histories, t: Tensor, asked: Tensor, has_time: bool) -> Tensor:
    """Interest vectors [B, C, width] of candidates t [B, C, Dc]; `asked` [B, C]: those that are not padding.

    `has_time`: events of the model have a time.
    """
    if not len(histories.e):
        return t.new_zeros(*t.shape[:2], own.width)
    index, present = last_events(histories, own.sequence.last)
    time = histories.time[index] if has_time and histories.time is not None else None
    return own(histories.e[index], present, t, time, asked)


def sdim_interest(sdim: Sdim, histories: Histories, t: Tensor) -> Tensor:
    """As `hstu_interest`: the buckets' sums are running totals along a user's moments."""
    states, w = len(histories.history), sdim.sequence.buckets
    moment = torch.from_numpy(histories.moment).to(t.device)
    codes = sdim.codes(histories.e)
    flat = (moment[:, None] * w + codes).unbind(-1)
    new = [histories.e.new_zeros(states * w, sdim.width).index_add(0, own, histories.e) for own in flat]
    sums = torch.stack([own.unflatten(0, (states, w)) for own in new], 1)  # [B, G, 2^tau, D]
    return sdim.interest(totals(sums, histories), t)


def search_interest(own: SimHard | Twin, histories: Histories, t: Tensor, asked: Tensor, candidates: Columns) -> Tensor:
    """As `hstu_interest`; `candidates` are t's columns. A block's events are projected once for all its moments."""
    last = own.sequence.last
    places, found = [], []
    edges = itertools.accumulate(histories.sizes, initial=0)
    for low, high in itertools.pairwise(edges):
        place = int(histories.place[low])
        begin = place + max(0, int(histories.history[low]) - last)
        end = place + int(histories.history[high - 1])
        if end <= begin:
            continue
        e = histories.e[None, begin:end]
        ends = torch.from_numpy(place + histories.history[low:high] - begin).to(t.device)
        position = torch.arange(end - begin, device=t.device)
        within = (position < ends[:, None]) & (position >= ends[:, None] - last)  # [M, T]
        heads = max(1, own.sequence.attention.heads)
        moments, columns = asked[low:high].nonzero(as_tuple=True)
        size = max(1, ROOM // (heads * (end - begin)))
        for m, c in zip(moments.split(size), columns.split(size), strict=True):
            places.append((low + m, c))
            own_t, own_within = t[low + m, c][None], within[m][None]
            if isinstance(own, Twin):
                found.append(own(e, own_within, own_t)[0])
                continue
            category = histories.columns[own.sequence.match_event][None, begin:end]
            wanted = candidates[own.sequence.match_candidate][low + m, c][None]
            found.append(own(e, own_within, own_t, category, wanted)[0])
    every = t.new_zeros(*t.shape[:2], own.width)
    if not found:
        return every
    rows, columns = (torch.cat(part) for part in zip(*places, strict=True))
    return every.index_put((rows, columns), torch.cat(found))
