"""Sequences of kind "sdim" in the reference: codes of events and candidates in float64, and directions of sums."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.config_sdim import SdimConfig
from vqrank_convert.reference_codes import UNIT32, Quantized
from vqrank_convert.reference_layers import Array, Layers, Real, chain

F64 = npt.NDArray[np.float64]


def _codes(sequence: SdimConfig, scores: F64, bounds: F64) -> Quantized:
    """Codes from the products with all directions, [L, G tau], and what float32 may move each by. A hash's margin is
    that of the bit that float32 is likeliest to flip."""
    shape = (len(scores), sequence.hashes, sequence.bits)
    margins, slack = np.abs(scores).reshape(shape), bounds.reshape(shape)
    codes = ((scores >= 0).reshape(shape) * 2 ** np.arange(sequence.bits)).sum(axis=2)
    least = (margins - 2 * slack).argmin(axis=2)[..., None]
    margins, slack = (np.take_along_axis(x, least, axis=2)[..., 0] for x in (margins, slack))
    return Quantized(codes, margins, slack)


def _directions(sequence: SdimConfig, tensors: Mapping[str, Any]) -> F64:
    return np.asarray(tensors[f"{sequence.prefix}.sdim.hash"], np.float64)


def assign(sequence: SdimConfig, tensors: Mapping[str, Any], e: Array, features: int) -> Quantized:
    """c_g(e_i) for events e [L, D], of so many features: [L, G]."""
    h, e64 = _directions(sequence, tensors), e.astype(np.float64)
    terms = e.shape[1] + features + 4  # roundings of the products, of e and of h
    return _codes(sequence, chain(e64, h.T), terms * UNIT32 * chain(np.abs(e64), np.abs(h).T))


def assign_candidates(sequence: SdimConfig, layers: Layers, t: Array, features: int) -> Quantized:
    """c_g(t') for candidates t [C, Dc], of so many features: [C, G]. `layers` in float64."""
    p, h = f"{sequence.prefix}.sdim.q", _directions(sequence, layers.tensors)
    own, t64 = layers.linear(t.astype(np.float64), p, None), t.astype(np.float64)
    magnitude = chain(np.abs(t64), np.abs(layers.tensor(f"{p}.weight", None)).T)
    if f"{p}.bias" in layers.tensors:
        magnitude = magnitude + np.abs(layers.tensor(f"{p}.bias", None))
    terms = t.shape[1] + h.shape[1] + features + 8  # both products', of t, of their weights and of t'
    return _codes(sequence, chain(own, h.T), terms * UNIT32 * chain(magnitude, np.abs(h).T))


def attend(
    sequence: SdimConfig, e: Array, codes: npt.NDArray[np.int64], found: npt.NDArray[np.int64], dtype: Real
) -> Array:
    """The interest vectors of candidates with codes `found` [C, G]; e [L, D] as sums take it, with codes [L, G]."""
    result: Array = np.zeros((len(found), sequence.width), dtype)
    for g in range(sequence.hashes):
        sums = np.zeros((2**sequence.bits, sequence.width))
        np.add.at(sums, codes[:, g], e)
        lengths = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
        units = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
        result += units.astype(dtype)[found[:, g]]
    return np.asarray(result * dtype(1 / sequence.hashes))
