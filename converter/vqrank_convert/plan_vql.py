"""The tensors of a vql sequence as the file holds them, and how finely its values enter the exact sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.checkpoint import round32
from vqrank_convert.config import Config
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.errors import refuse
from vqrank_convert.exponents import event_bounds
from vqrank_convert.fold import fold, value_exponent
from vqrank_convert.layout import Layout
from vqrank_convert.plan_int8 import add_fold, add_weight
from vqrank_convert.reference_vql import group_keys

if TYPE_CHECKING:
    from vqrank_convert.plan import Plan

F64 = npt.NDArray[np.float64]


def plan_vql(plan: Plan, sequence: VqlConfig, weights: Mapping[str, Any]) -> None:
    """Adds the sequence's tensors to the plan."""
    p = f"{sequence.prefix}.vql"
    for g, group in enumerate(sequence.groups):
        name = f"{p}.groups.{g}"
        codebook: F64 = weights[f"{name}.codebook"]
        keys = group_keys(sequence, weights[f"{p}.k.weight"], group)
        folded = fold(keys.T[np.newaxis], codebook[np.newaxis])[0]
        add_fold(plan, f"{name}.fold", sequence, folded)
        plan.add(f"{name}.offset", "fold", Layout.PADDED_ROWS, -(codebook * codebook).sum(axis=1) / 2)
        plan.add(f"{name}.codebook", "attention", Layout.ROWS, codebook)
    plan.notes.append(f"{p}.groups.G.fold = keys codebook^T, {len(sequence.groups)} groups")
    values = grouped_values(sequence, weights).T
    plan.columns[sequence.name] = round32(values, f"{p}.v.weight")
    plan.add(f"{p}.v.weight", "attention", Layout.PANELS, values)
    for part in ("q", *(("out",) if sequence.out else ())):
        add_weight(plan, f"{p}.{part}", "attention", weights[f"{p}.{part}.weight"].T)
    if sequence.decay_terms:
        decay, mix = check_kernel(sequence, weights)
        plan.add(f"{p}.decay", "attention", Layout.ROWS, decay)
        plan.add(f"{p}.mix", "attention", Layout.ROWS, mix)


def grouped_values(sequence: VqlConfig, weights: Mapping[str, Any]) -> F64:
    """v.weight with its heads group by group: [A dv, D]."""
    weight = weights[f"{sequence.prefix}.vql.v.weight"]
    heads = weight.reshape(sequence.heads, sequence.v_dim, -1)[list(sequence.order)]
    return np.asarray(heads.reshape(weight.shape))


def check_kernel(sequence: VqlConfig, weights: Mapping[str, Any]) -> tuple[F64, F64]:
    """decay and mix [A, R]; refuses a decay below 0, and a mix that is not above 0 in float32 as well."""
    name = f"{sequence.prefix}.vql"
    decay, mix = weights[f"{name}.decay"], weights[f"{name}.mix"]
    for part, values, wrong in (("decay", decay, decay < 0), ("mix", mix, ~(mix.astype(np.float32) > 0))):
        if wrong.any():
            index = [int(i) for i in np.argwhere(wrong)[0]]
            least = "at least 0" if part == "decay" else "more than 0"
            refuse(f"tensor {name}.{part}", f"values of {least}", f"{float(values[tuple(index)])} at {index}")
    return decay, mix


def value_exponents(
    config: Config, sequence: VqlConfig, weights: npt.NDArray[np.float32], exponents: Mapping[str, int]
) -> list[int]:
    """The exponent of each head's values. `weights`: v.weight as rounded, [D, A dv], heads group by group."""
    bounds = event_bounds(config, weights, exponents, f"tensor {sequence.prefix}.vql.v.weight")
    found = [0] * sequence.heads
    for place, head in enumerate(sequence.order):
        found[head] = value_exponent(float(bounds[place * sequence.v_dim : (place + 1) * sequence.v_dim].max()))
    return found
