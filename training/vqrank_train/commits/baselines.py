"""What a model has to beat: popularity, and logistic regressions on exact matches with the history."""

from __future__ import annotations

from collections import Counter

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from vqrank_train.commits.data import Commits, Moments
from vqrank_train.trainer.blocks import runs
from vqrank_train.trainer.dataset import Sample

MATCHED = ("item", "folder", "directory", "stem")
RECENT = 50


def popularity(commits: Commits, moments: Moments, sample: Sample) -> np.ndarray:
    """Touches of the candidate among the repository's last POOL, [S]."""
    scores = np.zeros(len(sample.item))
    for m, low, high in runs(sample.moment):
        pool = commits.pool(int(moments.repository[m]), int(moments.seen[m]))
        scores[low:high] = np.bincount(pool, minlength=len(commits.candidate["item"]))[sample.item[low:high]]
    return scores


def match_counts(commits: Commits, moments: Moments, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """How often the candidate's item, folder, directory and stem stand in the last RECENT events, and in all.

    Both [S, 4].

    Exact: every moment sees the whole history before it.
    """
    recent, whole = np.zeros((len(sample.item), len(MATCHED))), np.zeros((len(sample.item), len(MATCHED)))
    user, read = -1, 0
    counts: list[Counter[int]] = []
    for m, low, high in runs(sample.moment):
        start = int(commits.start[moments.user[m]])
        if moments.user[m] != user:
            user, read, counts = int(moments.user[m]), 0, [Counter() for _ in MATCHED]
        history = int(moments.history[m])
        for f, feature in enumerate(MATCHED):
            events = commits.event[feature]
            counts[f].update(events[start + read : start + history].tolist())
            last = Counter(events[start + max(0, history - RECENT) : start + history].tolist())
            values = commits.candidate[feature][sample.item[low:high]].tolist()
            recent[low:high, f] = [last[value] for value in values]
            whole[low:high, f] = [counts[f][value] for value in values]
        read = history
    return recent, whole


# Which of match_counts' results a regression sees: the last events', the whole history's.
PARTS = {"last 50": (0,), "whole history": (1,), "both": (0, 1)}


def inputs(counts: np.ndarray, history: np.ndarray | None = None) -> np.ndarray:
    """Counts [S, F] -> ln(1 + count) and whether there is any; with histories' lengths [S] also the length's logarithm
    and its products with those: what a count means depends on how much there was to count. [S, 2F] or [S, 4F + 1].
    """
    own = np.concatenate([np.log1p(counts), counts > 0], 1)
    if history is None:
        return own
    length = np.log1p(history)[:, None]
    return np.concatenate([own, own * length, length], 1)


def logistic_inputs(kind: str, counts: tuple[np.ndarray, np.ndarray], history: np.ndarray) -> np.ndarray:
    """What the regression of a kind (one of PARTS) sees of match_counts at histories of these lengths [S]."""
    return np.concatenate([inputs(counts[i], history if i else None) for i in PARTS[kind]], 1)


def fit(train: np.ndarray, label: np.ndarray) -> Pipeline:
    """Logistic regression on standardised inputs."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, label)
