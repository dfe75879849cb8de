"""What a model has to beat: click rates of video, user and tab, and matches with the history."""

from __future__ import annotations

from collections import Counter

import numpy as np

from vqrank_train.kuairand.data import Impressions, KuaiRand, Moments
from vqrank_train.trainer.blocks import runs
from vqrank_train.trainer.dataset import Sample

MATCHED = ("item", "author_id", "tag")
STRENGTH = 10.0  # impressions at the mean rate that a rate starts from


def logit_rates(ids: np.ndarray, clicks: np.ndarray, size: int, own: bool) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed click rates as logits: by id [size], and of every row [rows], with `own` without the row's own click."""
    mean = clicks.mean()
    shown = np.bincount(ids, minlength=size).astype(np.float64)
    clicked = np.bincount(ids, clicks, size)

    def logit(c: np.ndarray, n: np.ndarray) -> np.ndarray:
        rate = (c + STRENGTH * mean) / (n + STRENGTH)
        return np.log(rate / (1 - rate))

    return logit(clicked, shown), logit(clicked[ids] - own * clicks, shown[ids] - own)


class Rates:
    """Click rates of some impressions (the training part unless told), by video, user and tab."""

    def __init__(self, data: KuaiRand, rows: Impressions | None = None) -> None:
        rows = data.training if rows is None else rows
        self.of_item = logit_rates(rows.item, rows.click, len(data.candidate["item"]), True)
        self.of_user = logit_rates(rows.user, rows.click, len(data.user["user"]), True)
        self.of_tab = logit_rates(rows.tab, rows.click, len(data.codes["tab"].names) + 1, True)

    def columns(self, moments: Moments, sample: Sample) -> np.ndarray:
        """[S, 3] of rows that are not among those."""
        m = sample.moment
        return np.column_stack(
            [self.of_item[0][sample.item], self.of_user[0][moments.user[m]], self.of_tab[0][moments.tab[m]]]
        )

    def training(self) -> np.ndarray:
        """[rows, 3] of those impressions in their order, each row's own click left out."""
        return np.column_stack([self.of_item[1], self.of_user[1], self.of_tab[1]])


def popularity(data: KuaiRand, sample: Sample) -> np.ndarray:
    """Impressions of the candidate in the training part, [S]."""
    return np.bincount(data.training.item, minlength=len(data.candidate["item"]))[sample.item].astype(float)


def match_counts(data: KuaiRand, moments: Moments, sample: Sample) -> np.ndarray:
    """How often the candidate's item, author and tag stand in the history, [S, 3]."""
    found = np.zeros((len(sample.item), len(MATCHED)))
    for m, low, high in runs(sample.moment):
        user = int(moments.user[m])
        events = slice(int(data.start[user]), int(data.start[user + 1]))
        for f, feature in enumerate(MATCHED):
            counts = Counter(data.event[feature][events].tolist())
            found[low:high, f] = [counts[v] for v in data.candidate[feature][sample.item[low:high]].tolist()]
    return found
