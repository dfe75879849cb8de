"""Histories of many moments, embedded in one pass over their users' events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqrank_train.config import WindowSequence
from vqrank_train.model import Ranker
from vqrank_train.trainer.blocks import Block
from vqrank_train.trainer.inputs import Inputs


@dataclass
class Histories:
    """Events of several blocks, one block's after the other's, and where the histories of their moments lie in them."""

    e: Tensor  # [L, D]
    columns: dict[str, Tensor]  # of the events' features, [L] each
    place: np.ndarray  # [B] where the first event of a moment's user would lie; may be before 0
    history: np.ndarray  # [B] events before every moment
    moment: np.ndarray  # [L] the first moment whose history holds the event
    sizes: list[int]  # moments of every block
    time: Tensor | None  # [L] seconds, where a sequence asks for them
    now: Tensor | None  # [B] the moments' own


def read_histories(module: Ranker, inputs: Inputs, batch: list[Block]) -> Histories:
    """Embed what the sequences read of the blocks' histories: all, or, where none reads more, the last events."""
    last = 0
    for sequence in module.config.sequences:
        last = max(last, sequence.last if isinstance(sequence, WindowSequence) else 1 << 60)
    index, place, moment = [], [], []
    read = first = 0
    for block in batch:
        low, high = max(0, int(block.history[0]) - last), int(block.history[-1])
        index.append(int(inputs.data.start[block.user]) + np.arange(low, high))
        place.append(np.full(len(block.history), read - low))
        moment.append(first + np.searchsorted(block.history, np.arange(low, high), side="right"))
        read, first = read + high - low, first + len(block.history)
    rows = torch.from_numpy(np.concatenate(index)).to(inputs.device)
    columns = inputs.event(rows)
    e = module.embed("event", columns, (len(rows),))
    history = np.concatenate([block.history for block in batch])
    time = None if inputs.time is None else inputs.time[rows]
    now = None if inputs.time is None else torch.from_numpy(np.concatenate([block.time for block in batch]))
    return Histories(
        e, columns, np.concatenate(place), history, np.concatenate(moment), [len(b.history) for b in batch], time, now
    )


def last_events(histories: Histories, last: int) -> tuple[Tensor, Tensor]:
    """Places of every moment's last events [B, T], oldest first, and which of them are there: shorter histories have
    none at first."""
    length = min(last, max(1, int(histories.history.max())))
    position = histories.history[:, None] - length + np.arange(length)
    index = np.where(position >= 0, histories.place[:, None] + position, 0)
    return torch.from_numpy(index).to(histories.e.device), torch.from_numpy(position >= 0).to(histories.e.device)


def totals(new: Tensor, histories: Histories) -> Tensor:
    """What is new at every moment [B, ...] -> running totals along each user's moments."""
    if max(histories.sizes) == 1:
        return new
    return torch.cat([part.cumsum(0) for part in new.split(histories.sizes)])
