"""How values lie in a .vqr file (schema/model.fbs, enum Layout): Rows, PaddedRows, Panels."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

PANEL = 16
ALIGN = 64


class TensorType(IntEnum):
    """Values of the schema's enum TensorType."""

    F32 = 0
    U8 = 1
    U32 = 2


class Layout(IntEnum):
    """Values of the schema's enum Layout."""

    ROWS = 0
    PADDED_ROWS = 1
    PANELS = 2


ITEM_BYTES = {TensorType.F32: 4, TensorType.U8: 1, TensorType.U32: 4}


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def byte_length(kind: TensorType, layout: Layout, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor of this type, layout and shape takes in the file."""
    count = 1
    for size in shape[:-1]:
        count *= size
    last = shape[-1] if layout is Layout.ROWS else round_up(shape[-1], PANEL)
    return count * last * ITEM_BYTES[kind]


def pack(values: npt.NDArray[np.float32], layout: Layout) -> npt.NDArray[np.float32]:
    """The values in file order; zeros fill what a layout pads.

    PaddedRows: [..., n] -> [..., ceil16(n)].  Panels: [..., in, out] -> [..., ceil(out / 16), in, 16].
    """
    if layout is Layout.ROWS:
        return np.ascontiguousarray(values)
    *leading, last = values.shape
    padded = np.zeros((*leading, round_up(last, PANEL)), np.float32)
    padded[..., :last] = values
    if layout is Layout.PADDED_ROWS:
        return padded
    split = padded.reshape(*padded.shape[:-1], padded.shape[-1] // PANEL, PANEL)
    return np.ascontiguousarray(np.swapaxes(split, -2, -3))
