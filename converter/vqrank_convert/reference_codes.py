"""Codewords of events in the reference, in float64: which one wins, by what margin, and what float32 may do to that."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqrank_convert.reference_layers import Array, chain

F64 = npt.NDArray[np.float64]
UNIT32 = 2.0**-24


class Quantized(NamedTuple):
    """Per event and codebook, [L, N]: assignments, the winning codeword; margins, how far its score lies above that of
    the next different codeword (inf if there is none); bounds, what float32 arithmetic may move a score by."""

    assignments: npt.NDArray[np.int64]
    margins: F64
    bounds: F64


def side_by_side(found: list[Quantized], length: int) -> Quantized:
    """The codebooks of all in order, as if they were one's, for `length` events; there may be none."""
    none = Quantized(np.zeros((length, 0), np.int64), np.zeros((length, 0)), np.zeros((length, 0)))
    return Quantized(*(np.concatenate(arrays, axis=1) for arrays in zip(none, *found, strict=True)))


def assign(e: Array, keys: F64, codebook: F64, terms: int, offset: F64 | float = 0.0) -> Quantized:
    """z_i = argmax_w (e_i keys) . c_w - offset_w over one codebook [W, K]; e [L, D], keys [D, K], N = 1.

    `terms`: roundings of one score in float32, those of its products, their sums, e, the fold and the result.
    """
    e64 = e.astype(np.float64)
    scores = chain(chain(e64, keys), codebook.T) - offset
    magnitude = chain(np.abs(e64), np.abs(chain(keys, codebook.T))) + offset
    slack = chain(chain(np.abs(e64), np.abs(keys)), np.abs(codebook.T)) * 2.0**-48
    bounds = (terms * UNIT32 * magnitude + slack).max(axis=1, initial=0.0)
    assignments = scores.argmax(axis=1)
    margins = margins_over_others(scores, assignments, codebook)
    return Quantized(assignments[:, None], margins[:, None], bounds[:, None])


def margins_over_others(scores: F64, winners: npt.NDArray[np.int64], codewords: F64) -> F64:
    """How far the winner's of scores [L, W] lies above the next that is not its equal among codewords [W, n]; inf where
    there is none."""
    margins = np.full(len(scores), math.inf)
    _, group = np.unique(codewords, axis=0, return_inverse=True)
    group = group.reshape(-1)
    for i, winner in enumerate(winners):
        others = scores[i, group != group[winner]]
        if others.size:
            margins[i] = scores[i, winner] - others.max()
    return margins
