"""A checkpoint, whatever file it came from: a config's text and tensors by name, of which pieces are read on demand."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vqrank_convert.errors import refuse

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Real = npt.NDArray[np.float32 | np.float64]

# What a checkpoint's tensors may be stored as.
DTYPES = ("F32", "F16", "BF16", "F64")
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class TensorInfo:
    """What a tensor is, without its values; `dtype` is one of DTYPES, or what else the file calls it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Checkpoint(ABC):
    """An opened checkpoint. `config_text` is the JSON config in it, None if the config is given apart."""

    path: Path
    config_text: str | None
    tensors: dict[str, TensorInfo]

    @abstractmethod
    def raw(self, name: str, first: int, count: int) -> Real:
        """`count` elements from element `first`, row-major, in float32, or in float64 where the file holds that."""

    def read(self, name: str) -> F64:
        """A whole tensor in float64, which every dtype fits exactly; refuses a value that is not finite."""
        info = self.tensors[name]
        count = int(np.prod(info.shape, dtype=np.int64))
        with np.errstate(invalid="ignore"):
            values = self.raw(name, 0, count).reshape(info.shape).astype(np.float64)
        check_finite(values, name)
        return values

    def chunks(self, name: str) -> Iterator[F32]:
        """A matrix [rows, dim] in float32, rounded once, some megabytes of rows at a time."""
        rows, dim = self.tensors[name].shape
        step = max(1, CHUNK_BYTES // (4 * dim))
        for first in range(0, rows, step):
            yield self._rows32(name, first, min(step, rows - first), dim)

    def _rows32(self, name: str, first: int, count: int, dim: int) -> F32:
        values = self.raw(name, first * dim, count * dim).reshape(count, dim)
        check_finite(values, name, first)
        return round32(values, name, first)

    def table(self, name: str) -> "LazyTable":
        return LazyTable(self, self.tensors[name])


def widen_bfloat16(stored: npt.NDArray[np.uint16]) -> F32:
    """BF16 as float32: the same bits with sixteen zeros after them."""
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


class LazyTable:
    """A matrix [rows, dim] of a checkpoint of which single rows are read, in float64."""

    def __init__(self, checkpoint: Checkpoint, info: TensorInfo) -> None:
        self._checkpoint = checkpoint
        self._info = info
        self.shape = info.shape

    def __getitem__(self, row: int) -> F64:
        dim = self.shape[1]
        values = self._checkpoint.raw(self._info.name, row * dim, dim).astype(np.float64)
        check_finite(values.reshape(1, dim), self._info.name, row)
        return values


def check_finite(values: npt.NDArray[np.floating], name: str, first_row: int = 0) -> None:
    """Refuses NaN and infinity and names the first; `first_row` is where a chunk of rows starts."""
    finite = np.isfinite(values)
    if not finite.all():
        index = [int(i) for i in np.argwhere(~finite)[0]]
        value = float(values[tuple(index)])
        if index:
            index[0] += first_row
        refuse(f"tensor {name}", "finite numbers", f"{value} at {index}")


def round32(values: npt.NDArray[np.floating], name: str, first_row: int = 0) -> F32:
    """Rounds to float32 once; refuses what float32 cannot hold."""
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(values, dtype=np.float32)
    if values.dtype == np.float64 and not np.isfinite(result).all():
        index = [int(i) for i in np.argwhere(~np.isfinite(result))[0]]
        value = float(values[tuple(index)])
        if index:
            index[0] += first_row
        refuse(f"tensor {name}", "numbers that float32 holds", f"{value} at {index}")
    return result
