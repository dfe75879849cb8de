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
    """As `hstu_interest`; `candidates` are t's columns."""
    wanted = None if isinstance(own, Twin) else candidates[own.sequence.match_candidate]
    if not len(histories.e):
        return t.new_zeros(*t.shape[:2], own.width)
    if max(histories.sizes) == 1:
        index, present = last_events(histories, own.sequence.last)
        if len(index.flatten()) * t.shape[1] * heads_of(own) <= ROOM:
            return searched(own, histories, index, present[:, None].expand(-1, t.shape[1], -1), t, wanted, asked)
    return searched_by_block(own, histories, t, asked, wanted)


def heads_of(own: SimHard | Twin) -> int:
    """Scores of one candidate and event; attention by an MLP has one."""
    return max(1, own.sequence.attention.heads)


def searched(
    own: SimHard | Twin,
    histories: Histories,
    index: Tensor,
    within: Tensor,
    t: Tensor,
    wanted: Tensor | None,
    asked: Tensor | None = None,
) -> Tensor:
    """The module on events at `index` [B, T], those `within` [B, C, T], for candidates t [B, C, Dc]."""
    e = histories.e[index]
    if isinstance(own, Twin):
        return own(e, within, t)
    assert wanted is not None
    return own(e, within, t, histories.columns[own.sequence.match_event][index], wanted, asked)


def searched_by_block(
    own: SimHard | Twin, histories: Histories, t: Tensor, asked: Tensor, wanted: Tensor | None
) -> Tensor:
    """All candidates of a block's moments over one sequence of events, each within its moment's last: the events are
    projected once. Padding is left out."""
    last = own.sequence.last
    places: list[tuple[Tensor, Tensor]] = []
    found: list[Tensor] = []
    edges = itertools.accumulate(histories.sizes, initial=0)
    for low, high in itertools.pairwise(edges):
        place = int(histories.place[low])
        index = torch.arange(
            place + max(0, int(histories.history[low]) - last),
            place + int(histories.history[high - 1]),
            device=t.device,
        )
        ends = torch.from_numpy(place + histories.history[low:high]).to(t.device)[:, None]
        within = (index < ends) & (index >= ends - last)  # [M, T]
        size = max(1, ROOM // (heads_of(own) * max(1, len(index))))
        moments, columns = (part.split(size) for part in asked[low:high].nonzero(as_tuple=True))
        for m, c in zip(moments, columns, strict=True):
            of_own = (low + m, c)
            category = None if wanted is None else wanted[of_own][None]
            places.append(of_own)
            found.append(searched(own, histories, index[None], within[m][None], t[of_own][None], category)[0])
    rows, columns = (torch.cat(part) for part in zip(*places, strict=True))
    return t.new_zeros(*t.shape[:2], own.width).index_put((rows, columns), torch.cat(found))
