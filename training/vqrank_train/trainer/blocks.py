"""Blocks of moments that share a user, and so one pass over the user's events."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vqrank_train.trainer.dataset import Moments, Sample


@dataclass
class Block:
    """Moments of one user, in the data set's order, with their candidates padded to one width C."""

    user: int
    history: np.ndarray  # [M] never falls
    time: np.ndarray | None  # [M] seconds, where the data set has times
    context: dict[str, np.ndarray]  # [M] each
    items: np.ndarray  # [M, C]
    label: np.ndarray  # [M, C]
    present: np.ndarray  # [M, C] bool: not padding
    index: np.ndarray  # [M, C] place in the sample


def runs(moment: np.ndarray) -> list[tuple[int, int, int]]:
    """(moment, low, high) of every run of equal numbers."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(moment)) + 1, [len(moment)]])
    return [(int(moment[low]), int(low), int(high)) for low, high in itertools.pairwise(edges)]


def blocks(moments: Moments, sample: Sample, size: int) -> Iterator[Block]:
    """Blocks of at most `size` moments of one user, in the data set's order even where the sample's are not."""
    every = runs(sample.moment)
    users = moments.user[[m for m, _, _ in every]] if every else np.zeros(0)
    low = 0
    while low < len(every):
        high = low + 1
        while high < len(every) and high - low < size and users[high] == users[low] and every[high] > every[high - 1]:
            high += 1
        part = every[low:high]
        own = np.array([m for m, _, _ in part])
        widths = np.array([b - a for _, a, b in part])
        index = np.zeros((len(part), widths.max()), np.int64)
        present = np.arange(widths.max()) < widths[:, None]
        index[present] = np.concatenate([np.arange(a, b) for _, a, b in part])
        yield Block(
            int(users[low]), moments.history[own], None if moments.time is None else moments.time[own],
            {name: c[own] for name, c in moments.context.items()},
            sample.item[index], sample.label[index], present, index,
        )  # fmt: skip
        low = high
