"""Rows of numbers as integers of -127 to 127 in steps of one scale (docs/int8.md)."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Real = TypeVar("Real", np.float32, np.float64)

LARGEST = 127
# A row of smaller numbers becomes zeros.
LEAST = 2.0**-100


def without(x: npt.NDArray[Real], columns: Sequence[int]) -> npt.NDArray[Real]:
    """The rows x [..., n] with zeros in these columns."""
    if not columns:
        return x
    result = x.copy()
    result[..., list(columns)] = 0
    return result


def rows_to_int8(
    x: npt.NDArray[Real], shift: npt.NDArray[np.float64] | float = 0.0
) -> tuple[npt.NDArray[Real], npt.NDArray[Real]]:
    """The integers and scales of rows x [..., n], in x's precision throughout: [..., n] and [...].

    `shift`, in steps, is added before an element is rounded. A row that is not finite gives what is not finite.
    """
    one = x.dtype.type
    largest = np.abs(x).max(axis=-1, initial=0)
    held = ~(largest < LEAST)  # so that NaN is
    divisor = np.where(held, largest, one(1))
    steps = np.where(held, one(LARGEST) / divisor, one(0))
    scale = np.where(held, largest / one(LARGEST), one(0))
    scaled = np.asarray(x * steps[..., np.newaxis])
    moved = scaled + shift if np.any(shift) else scaled
    return np.clip(np.rint(moved), -LARGEST, LARGEST).astype(x.dtype), scale
