"""What int8 computes (docs/int8.md), in the reference: tables, linear layers, codewords, keys and values.

Rounding to an integer is a step: where float32 and float64 fall on two sides of it, the two differ by far more than
they round. `shaken` shows by how much: it moves every number that a request makes int8 a little before it is rounded.
Codewords are not shaken, as events that are near a step can be left out (`assign`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.checkpoint import round32
from vqrank_convert.config import Config
from vqrank_convert.int8 import Int8Options, Parts, fine_keys
from vqrank_convert.int8_rows import LARGEST, LEAST, rows_to_int8, without
from vqrank_convert.reference_codes import UNIT32, Quantized, margins_over_others
from vqrank_convert.reference_layers import chain

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# How far a number is shaken, in steps: hundreds of times what float32 arithmetic may move most of them by.
SHAKE = 1e-3
# An event is clear if none of its numbers is this close, in steps, to where its integer changes.
NEAR = 1e-4
# Roundings of a codeword's score: the step's division, its product with the codeword's, the sum as a float, the offset
# and the result; and those of the event's largest number, a list's or levels' sum, which the step is taken from.
TERMS = 16


class Int8Table:
    """A table of which every row is int8: `[row]` gives what the integers stand for."""

    def __init__(self, name: str, table: Any) -> None:
        self.name = name
        self.table = table
        self.shape = np.shape(table)

    def __getitem__(self, row: int) -> F64:
        q, scale = rows_to_int8(round32(np.asarray(self.table[row], np.float64), self.name, row))
        return (q * scale).astype(np.float64)


class Rounding:
    """The int8 arithmetic of one model in one run. `shaken`: the number of a series of small random shifts, None for
    none."""

    def __init__(self, config: Config, options: Int8Options, shaken: int | None = None) -> None:
        self.parts = Parts(config, options)
        self._bits = None if shaken is None else np.random.PCG64(shaken)
        self._states = {f"{s.prefix}.attention" for s in config.sequences if self.parts.state_is_int8(s)}
        self._fine: dict[str, tuple[int, ...]] = {}
        self._weights: dict[str, tuple[F32, F32, tuple[int, ...]]] = {}

    def tables(self, config: Config, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The tensors, with int8 tables in their place."""
        narrow = {table.tensor for table in config.tables.values() if self.parts.table_is_int8(table)}
        return {name: Int8Table(name, value) if name in narrow else value for name, value in tensors.items()}

    def keeps(self, attention: str) -> bool:
        """Whether the keys and values of the attention of this name are int8."""
        return attention in self._states

    def rows(self, x: Array) -> tuple[Array, Array]:
        """Rows [..., n] as integers and scales."""
        return rows_to_int8(x, self._shifts(x.shape))

    def columns(self, k: Array) -> tuple[Array, Array]:
        """Columns of k [T, d], their middles taken off, as integers [d, T] and scales [d]."""
        return self.rows(np.ascontiguousarray((k - middles(k)).T))

    def _shifts(self, shape: tuple[int, ...]) -> F64 | float:
        if self._bits is None:
            return 0.0
        raw = self._bits.random_raw(math.prod(shape)).astype(np.float64).reshape(shape)  # 64 bits, a promised stream
        return np.asarray((raw * 2.0**-63 - 1) * SHAKE)

    def weight(self, name: str, tensor: Any) -> tuple[F32, F32, tuple[int, ...]]:
        """A linear layer's weight [..., out, in] as the file holds it: its integers, a scale for each output, and the
        columns that it keeps, whose integers are zeros."""
        if name not in self._weights:
            single = round32(np.asarray(tensor, np.float64), name)
            kept = self.parts.layer_kept(name, single)
            self._weights[name] = (*rows_to_int8(without(single, kept)), kept)
        return self._weights[name]

    def linear(self, x: Array, w: Array, scale: Array, start: Array | float) -> Array:
        """x [..., in] times integers w [out, in] in steps of scale [out], onto `start`. Sums of integers are exact."""
        q, steps = self.rows(x)
        return np.asarray(integers(q, w, x.dtype) * (steps[..., np.newaxis] * scale.astype(x.dtype)) + start)

    def fine(self, name: str, tensor: Any) -> tuple[int, ...]:
        """The keys that are kept twice of those that the layer of this name, with weight [..., out, in], makes."""
        if name not in self._fine:
            self._fine[name] = fine_keys(round32(np.asarray(tensor, np.float64), name))
        return self._fine[name]

    def attend(self, q: Array, k: Array, v: Array, alpha: float, bias: Array | None, fine: Sequence[int]) -> Array:
        """One head of softmax attention of queries q [C, d] over keys and values k, v [T, d]; of the columns `fine`
        of k what the steps leave is kept beside them."""
        dtype = q.dtype
        columns, k_steps = self.columns(k)
        if fine:
            own = list(fine)
            left = k[:, own] - (k_steps[own, np.newaxis] * columns[own]).T
            again, again_steps = self.columns(left)
            columns, k_steps = np.concatenate([columns, again]), np.concatenate([k_steps, again_steps])
            q = np.concatenate([q, q[:, own]], axis=1)
        v, v_steps = self.rows(v)
        scores = dtype.type(alpha) * chain(q * k_steps, columns)
        if bias is not None:
            scores = scores + bias
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        weighted = e * v_steps
        o = np.zeros((len(q), v.shape[1]), dtype)
        for j in range(len(v)):
            o += weighted[:, j, np.newaxis] * v[j]
        return np.asarray(o / e.sum(axis=1, keepdims=True))


def middles(k: Array) -> Array:
    """Half way between the largest and the least of each column of k [T, d]; halved first, as the sum may overflow."""
    half = k.dtype.type(0.5)
    return np.asarray(k.max(axis=0) * half + k.min(axis=0) * half)


def integers(a: Array, b: Array, dtype: npt.DTypeLike) -> Array:
    """Products of rows of integers, a [..., n] and b [m, n]: exact in float64, then rounded once."""
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64).T).astype(dtype))


def assign(e: Array, folded: F64, offset: F64 | None, name: str, kept: Sequence[int]) -> Quantized:
    """The codewords of events e [L, D] by a fold [D, W] in int8 but for the columns `kept`, and by float32 offsets [W]
    if any; N = 1.

    An event with a number near a step has an infinite bound: float32 might take another integer for it."""
    single = round32(np.ascontiguousarray(folded.T), name)
    w, scale = rows_to_int8(without(single, kept))
    offset = np.zeros(len(w)) if offset is None else round32(offset, name).astype(np.float64)
    e64 = e.astype(np.float64)
    own, exact, weight = without(e64, kept), e64[:, list(kept)], single[:, list(kept)].T.astype(np.float64)
    q, steps = rows_to_int8(own)
    products = integers(q, w, np.float64) * (steps[:, np.newaxis] * scale.astype(np.float64))
    scores = products + chain(exact, weight, offset)
    magnitude = np.abs(products) + chain(np.abs(exact), np.abs(weight), np.abs(offset))
    bounds = (TERMS + len(kept)) * UNIT32 * magnitude.max(axis=1, initial=0.0)
    bounds[near_a_step(own)] = math.inf
    assignments = scores.argmax(axis=1)
    same = np.column_stack([w.astype(np.float64), scale.astype(np.float64), offset, weight.T])
    margins = margins_over_others(scores, assignments, same)
    return Quantized(assignments[:, None], margins[:, None], bounds[:, None])


def near_a_step(x: F64) -> npt.NDArray[np.bool_]:
    """Which of the rows x [L, n] have a number whose integer a small error could change, or are themselves near the
    least that do not become zeros."""
    largest = np.abs(x).max(axis=1, initial=0.0)
    scaled = np.abs(x) * (LARGEST / np.maximum(largest, LEAST))[:, np.newaxis]
    near = np.abs(scaled - np.floor(scaled) - 0.5).min(axis=1, initial=1.0) < NEAR
    return np.asarray((near & (largest >= LEAST)) | (np.abs(largest - LEAST) < LEAST / 2**10))
