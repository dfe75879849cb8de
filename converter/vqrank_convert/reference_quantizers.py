"""Residual quantizers in float64, and where float32 could choose another code."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqrank_convert.config_quantizers import QuantizerConfig
from vqrank_convert.reference_codes import UNIT32

F64 = npt.NDArray[np.float64]


class Coded(NamedTuple):
    """codes [rows, Q]; clear [rows, Q]: whether float32 arithmetic must choose the same code, given those of the levels
    before; residual [rows, n], of the last level."""

    codes: npt.NDArray[np.int64]
    clear: npt.NDArray[np.bool_]
    residual: F64


def encode(quantizer: QuantizerConfig, tensors: Mapping[str, Any], x: F64) -> Coded:
    """The codes of vectors x [rows, n], level by level (docs/model.md, section 1)."""
    codes = np.zeros((len(x), quantizer.levels), np.int64)
    clear = np.zeros(codes.shape, np.bool_)
    residual = np.array(x, np.float64)
    error = np.zeros(residual.shape)  # how far float32's residual may be from it
    for level in range(quantizer.levels):
        mean = np.asarray(tensors[f"{quantizer.prefix}.mean"][level], np.float64)
        inverse, bias = _components(quantizer, tensors, level, mean)
        for i in range(len(residual)):
            scores, bounds = _scores(residual[i], error[i], mean, inverse, bias)
            winner = int(scores.argmax())
            others = (mean != mean[winner]).any(axis=1) | (inverse != inverse[winner]).any(axis=1)
            others |= bias != bias[winner]
            gaps = scores[winner] - scores - bounds - bounds[winner]
            codes[i, level], clear[i, level] = winner, bool((gaps[others] > 0).all())
        chosen = mean[codes[:, level]]
        residual = residual - chosen
        error = error + UNIT32 * (np.abs(chosen) + np.abs(residual) + error)
    return Coded(codes, clear, residual)


def _components(quantizer: QuantizerConfig, tensors: Mapping[str, Any], level: int, mean: F64) -> tuple[F64, F64]:
    """ivar [K, n] and b [K] of a level."""
    if not quantizer.scaled:
        return np.ones(mean.shape), np.zeros(len(mean))
    variance = np.asarray(tensors[f"{quantizer.prefix}.variance"][level], np.float64)
    weight = np.asarray(tensors[f"{quantizer.prefix}.weight"][level], np.float64)
    return 1.0 / variance, np.log(weight) - np.log(variance).sum(axis=1) / 2


def _scores(r: F64, error: F64, mean: F64, inverse: F64, bias: F64) -> tuple[F64, F64]:
    """b_k - 1/2 sum_d (r_d - mu_kd)^2 ivar_kd for all k, and what float32 arithmetic may move each by."""
    x = r - mean
    with np.errstate(over="ignore"):
        distance = (x * x * inverse).sum(axis=1)
        # What a difference is off by: the residual, the mean as rounded, the subtraction.
        off = error + UNIT32 * (np.abs(mean) + np.abs(x) + error)
        moved = ((2 * np.abs(x) * off + off * off) * inverse).sum(axis=1)
        score = bias - distance / 2
        # The chain, the product before it, ivar; then b and the score itself, rounded once each.
        rounding = (x.shape[1] + 4) * UNIT32 * (distance + moved)
        return score, (moved + rounding) / 2 + 2 * UNIT32 * (np.abs(bias) + np.abs(score))
