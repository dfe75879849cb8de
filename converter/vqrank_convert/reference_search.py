"""Sequences that search the last events, in the reference.

What is chosen is chosen in float64, whatever the precision of the rest, as codewords are: float32 shows what rounding
moves where it does not choose otherwise. Whether it might is said beside the result.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.config_search import SimHardConfig, TwinConfig
from vqrank_convert.reference_codes import UNIT32
from vqrank_convert.reference_layers import Array, Layers, chain, softmax

# Roundings of a score beside those of its three chains: of weights, biases, embeddings and the products between them.
TERMS = 16


def search(sequence: SimHardConfig, layers: Layers, e: Array, rows: list[int], t: Array, wanted: list[int]) -> Array:
    """sim_hard: the candidates' interest vectors [C, width] from events e [L, D] of match rows `rows` and candidates t
    [C, Dc] of match rows `wanted`."""
    result = np.zeros((len(t), sequence.width), layers.dtype)
    first = max(0, len(e) - sequence.last)
    for c, row in enumerate(wanted):
        found = [i for i in range(first, len(e)) if row != 0 and rows[i] == row][-sequence.top :]
        if found:
            name = f"{sequence.prefix}.attention"
            result[c] = layers.attend(sequence.attention, name, None, e[found], None, t[c : c + 1])[0]
    return result


def choose(
    sequence: TwinConfig, tensors: Mapping[str, Any], e: Array, t: Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """twin: which of the last events every candidate and head keeps, [C, A, top or fewer] in the history's order, and
    whether a candidate's choice is clear, [C]: no event that is not chosen scores so close to one that is that float32
    might choose it instead."""
    e = e[-sequence.last :]
    scores, bounds = _scores(sequence, tensors, e, t)
    chosen = np.sort(np.argsort(-scores, axis=2, kind="stable")[:, :, : sequence.top], axis=2)
    _, same = np.unique(e, axis=0, return_inverse=True)
    clear = np.ones(len(t), np.bool_)
    for c, h in np.ndindex(scores.shape[:2]):
        clear[c] &= _clear(scores[c, h], bounds[c, h], chosen[c, h], same.reshape(-1))
    return chosen, clear


def attend(sequence: TwinConfig, tensors: Mapping[str, Any], layers: Layers, e: Array, t: Array) -> Array:
    """twin: the candidates' interest vectors [C, width]."""
    attention, name, d = sequence.attention, f"{sequence.prefix}.attention", sequence.attention.dim
    if len(e) == 0:
        return np.zeros((len(t), sequence.width), layers.dtype)
    every, _ = choose(sequence, tensors, e, t)
    e = e[-sequence.last :]
    q, k, v = (layers.linear(x, f"{name}.{part}", None) for part, x in (("q", t), ("k", e), ("v", e)))
    o = np.zeros((len(t), attention.heads * d), layers.dtype)
    for c in range(len(t)):
        for h in range(attention.heads):
            columns = slice(h * d, (h + 1) * d)
            chosen = every[c, h]
            logits = chain(q[c : c + 1, columns], k[chosen, columns].T) / layers.dtype(math.sqrt(d))
            o[c, columns] = chain(softmax(logits), v[chosen, columns])[0]
    return layers.linear(o, f"{name}.out", None) if attention.out else o


def _scores(
    sequence: TwinConfig, tensors: Mapping[str, Any], e: Array, t: Array
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """q . k of every candidate, head and event, [C, A, T], in float64, and what float32 may move it by."""
    heads, d, name = sequence.attention.heads, sequence.attention.dim, f"{sequence.prefix}.attention"
    exact = {n: np.asarray(tensors[n], np.float64) for n in tensors if n.startswith((f"{name}.q.", f"{name}.k."))}
    found = []
    for size in (False, True):
        layers = Layers({n: np.abs(x) if size else x for n, x in exact.items()}, np.float64)
        t_, e_ = (np.abs(x).astype(np.float64) if size else x.astype(np.float64) for x in (t, e))
        q, k = layers.linear(t_, f"{name}.q", None), layers.linear(e_, f"{name}.k", None)
        parts = [slice(h * d, (h + 1) * d) for h in range(heads)]
        found.append(np.stack([chain(q[:, part], k[:, part].T) for part in parts], axis=1))
    return found[0], (t.shape[1] + e.shape[1] + d + TERMS) * UNIT32 * found[1]


def _clear(
    scores: npt.NDArray[np.float64],
    bounds: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.int64],
    same: npt.NDArray[np.int64],
) -> bool:
    """Whether every chosen event stays above every other that is not its equal: equal events score the same in any
    precision, and it does not matter which of them is chosen."""
    left = np.setdiff1d(np.arange(len(scores)), chosen)
    margin = scores[chosen, None] - scores[None, left]
    bound = bounds[chosen, None] + bounds[None, left]
    return bool(((margin >= bound) | (same[chosen, None] == same[None, left])).all())
