"""The file's int8 tensors, each with its scales: weights and folds by column, tables by row; and
what of them is kept in float32 (docs/int8.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vqrank_convert.checkpoint import round32
from vqrank_convert.config import TableConfig
from vqrank_convert.config_sequences import SequenceConfig
from vqrank_convert.errors import refuse
from vqrank_convert.int8 import fine_keys, shared_columns
from vqrank_convert.int8_rows import LARGEST, rows_to_int8, without
from vqrank_convert.layout import Layout, TensorType

if TYPE_CHECKING:
    from vqrank_convert.plan import Plan

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def add_weight(plan: Plan, layer: str, part: str, values: F64) -> None:
    """The weight [..., in, out] of a linear layer, int8 where that is asked for and gains."""
    shared = shared_columns(plan.config) if layer == "head.0" else 0
    *_, inputs, outputs = values.shape
    own = values[..., shared:, :]
    kept = plan.parts.layer_kept(layer, np.swapaxes(round32(own, f"{layer}.weight"), -1, -2))
    if plan.parts.options.weights == "int8" and layer not in plan.parts.fixed:
        plan.int8("weights", layer, plan.parts.why_fp32(layer, inputs - shared, outputs), kept)
    if not plan.parts.layer_is_int8(layer, inputs - shared, outputs):
        plan.add(f"{layer}.weight", part, Layout.PANELS, values)
        return
    if shared:
        plan.add(f"{layer}.shared", part, Layout.PANELS, values[:shared], fp32_shape=())
    add_columns(plan, layer, f"{layer}.weight", part, own, kept, values.shape)


def add_fold(plan: Plan, name: str, sequence: SequenceConfig, values: F64) -> None:
    """A fold [..., D, W], int8 where the sequence's scores are computed from that alone."""
    scores, owner = plan.parts.scores(sequence), name.removesuffix(".fold")
    if scores == "int8":
        add_columns(plan, name, name, "fold", values, plan.parts.kept(name), values.shape)
    else:
        plan.add(name, "fold", Layout.PANELS, values)
    if scores != "fp32":
        plan.int8("codebook", owner, kept=plan.parts.kept(name) if scores == "int8" else ())
    elif (reason := plan.parts.why_scores_fp32(sequence)) is not None:
        plan.int8("codebook", owner, reason)


def add_columns(
    plan: Plan, of: str, name: str, part: str, values: F64, kept: Sequence[int], fp32_shape: tuple[int, ...]
) -> None:
    """The tensor `name` [..., in, out] in int8, from float32, of the layer or fold `of`; the scale of each of its
    columns; and the rows that are kept in float32. `fp32_shape`: that of the tensor in a file without int8."""
    single = round32(values, name)
    q, scale = columns_to_int8(single, kept)
    plan.add_packed(name, part, TensorType.I8, Layout.QUADS, q, fp32_shape)
    plan.add_packed(f"{of}.scale", part, TensorType.F32, Layout.PADDED_ROWS, scale, ())
    if kept:
        rows = single[..., list(kept), :]
        plan.add_packed(f"{of}.kept", part, TensorType.U32, Layout.ROWS, np.array(kept, np.uint32), ())
        plan.add_packed(f"{of}.kept.weight", part, TensorType.F32, Layout.PANELS, rows, ())


def columns_to_int8(values: F32, kept: Sequence[int]) -> tuple[npt.NDArray[np.int8], F32]:
    """A matrix [..., in, out] as the integers and scales of its columns: [..., in, out], [..., out]; the rows `kept`
    are zeros."""
    q, scale = rows_to_int8(without(np.swapaxes(values, -1, -2), kept))
    return np.swapaxes(q, -1, -2).astype(np.int8), scale


def table_to_int8(rows: F32, table: TableConfig, first: int) -> tuple[npt.NDArray[np.int8], F32]:
    """Rows of a table, the first of them number `first`, as the file holds them; refuses what float32 cannot give back:
    the largest number that it holds, in steps that are rounded up."""
    q, scale = rows_to_int8(rows)
    with np.errstate(over="ignore"):
        lost = ~np.isfinite(np.float32(LARGEST) * scale)
    if lost.any():
        row = int(lost.argmax())
        largest = float(np.abs(rows[row]).max())
        refuse(f"tensor {table.tensor}", "numbers that float32 holds in int8 steps", f"{largest} in row {first + row}")
    return q.astype(np.int8), scale


def add_state(plan: Plan, sequence: SequenceConfig, keys: F64) -> None:
    """What the option state makes of a sequence with an attention of kind dot: which of its keys, made by weights
    [..., out, in], are kept twice."""
    if plan.parts.options.state != "int8":
        return
    name = f"{sequence.prefix}.attention.k"
    fine = fine_keys(round32(keys, f"{name}.weight")) if plan.parts.state_is_int8(sequence) else ()
    if fine:
        plan.add_packed(f"{name}.fine", "attention", TensorType.U32, Layout.ROWS, np.array(fine, np.uint32), ())
    plan.int8("state", sequence.prefix, plan.parts.why_state_fp32(sequence), fine=fine)
