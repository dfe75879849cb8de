"""The tensors of a quantizer as the file holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.config_quantizers import QuantizerConfig
from vqrank_convert.errors import refuse
from vqrank_convert.layout import Layout

if TYPE_CHECKING:
    from vqrank_convert.plan import Plan

F64 = npt.NDArray[np.float64]


def plan_quantizer(plan: Plan, quantizer: QuantizerConfig, weights: Mapping[str, Any]) -> None:
    """Adds the quantizer's tensors to the plan: [Q, K, n] of the checkpoint as [Q, n, K]."""
    p = quantizer.prefix
    plan.add(f"{p}.mean", "quantizers", Layout.PANELS, np.swapaxes(weights[f"{p}.mean"], 1, 2))
    if not quantizer.scaled:
        return
    inverse, bias = inverse_and_bias(quantizer, weights)
    plan.add(f"{p}.inverse_variance", "quantizers", Layout.PANELS, np.swapaxes(inverse, 1, 2))
    plan.add(f"{p}.bias", "quantizers", Layout.PADDED_ROWS, bias)
    plan.notes.append(f"{p}.inverse_variance = 1 / variance; .bias = ln weight - 1/2 sum of ln variance")


def inverse_and_bias(quantizer: QuantizerConfig, weights: Mapping[str, Any]) -> tuple[F64, F64]:
    """1 / variance [Q, K, n], and ln weight - 1/2 sum over n of ln variance [Q, K], in float64.

    Refuses weights that are not above 0, and variances that are not or whose inverse float32 cannot hold.
    """
    p = quantizer.prefix
    variance, weight = weights[f"{p}.variance"], weights[f"{p}.weight"]
    _refuse_first(f"{p}.variance", variance, ~(variance > 0), "variances above 0")
    _refuse_first(f"{p}.weight", weight, ~(weight > 0), "weights above 0")
    with np.errstate(over="ignore", under="ignore"):
        inverse = 1.0 / variance
        rounded = inverse.astype(np.float32)
    lost = ~(np.isfinite(rounded) & (rounded > 0))
    _refuse_first(f"{p}.variance", variance, lost, "variances whose inverse float32 holds")
    return inverse, np.log(weight) - np.log(variance).sum(axis=2) / 2


def _refuse_first(name: str, values: F64, wrong: npt.NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        index = [int(i) for i in np.argwhere(wrong)[0]]
        refuse(f"tensor {name}", expected, f"{float(values[tuple(index)])} at {index}")
