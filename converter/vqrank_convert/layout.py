"""How values lie in a .vqr file (schema/model.fbs, enum Layout): Rows, PaddedRows, Panels, Quads."""

import math
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

PANEL = 16
QUAD = 4
ALIGN = 64


class TensorType(IntEnum):
    """Values of the schema's enum TensorType."""

    F32 = 0
    U8 = 1
    U32 = 2
    I8 = 3
    U16 = 4


class Layout(IntEnum):
    """Values of the schema's enum Layout."""

    ROWS = 0
    PADDED_ROWS = 1
    PANELS = 2
    QUADS = 3


ITEM_BYTES = {TensorType.F32: 4, TensorType.U8: 1, TensorType.U32: 4, TensorType.I8: 1, TensorType.U16: 2}


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def byte_length(kind: TensorType, layout: Layout, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor of this type, layout and shape takes in the file."""
    sizes = list(shape)
    if layout is not Layout.ROWS:
        sizes[-1] = round_up(sizes[-1], PANEL)
    if layout is Layout.QUADS:
        sizes[-2] = round_up(sizes[-2], QUAD)
    return math.prod(sizes) * ITEM_BYTES[kind]


def pack(values: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """The values in file order; zeros fill what a layout pads.

    PaddedRows: [..., n] -> [..., ceil16(n)].  Panels: [..., in, out] -> [..., ceil(out / 16), in, 16].
    Quads: [..., in, out] -> [..., ceil(out / 16), ceil(in / 4), 16, 4].
    """
    if layout is Layout.ROWS:
        return np.ascontiguousarray(values)
    if layout is Layout.QUADS:
        return _pack_quads(values)
    *leading, last = values.shape
    padded = np.zeros((*leading, round_up(last, PANEL)), values.dtype)
    padded[..., :last] = values
    if layout is Layout.PADDED_ROWS:
        return padded
    split = padded.reshape(*padded.shape[:-1], padded.shape[-1] // PANEL, PANEL)
    return np.ascontiguousarray(np.swapaxes(split, -2, -3))


def _pack_quads(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    *leading, inputs, outputs = values.shape
    quads, panels = round_up(inputs, QUAD) // QUAD, round_up(outputs, PANEL) // PANEL
    padded = np.zeros((*leading, quads * QUAD, panels * PANEL), values.dtype)
    padded[..., :inputs, :outputs] = values
    split = padded.reshape(*leading, quads, QUAD, panels, PANEL)
    return np.ascontiguousarray(np.moveaxis(split, (-2, -4, -1, -3), (-4, -3, -2, -1)))
