"""Reads a checkpoint: a .safetensors file whose metadata key `vqrank` holds the JSON config.

The safetensors library checks the file (header, offsets, coverage); the values are then read here, piece by piece,
because its NumPy loader has no BF16 and holds whole tensors at once.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from vqrank_convert.errors import ConversionError, not_supported, one_line, quote, refuse
from vqrank_convert.jsontext import parse

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Raw storage type of each dtype that a checkpoint may use.
DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies in the checkpoint. `offset` is in bytes from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


class Checkpoint:
    """An opened checkpoint: `config_text` and `tensors` by name; values are read on demand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_other_formats(path)
        try:
            with safe_open(str(path), framework="np") as opened:
                metadata = opened.metadata() or {}
        except (SafetensorError, OSError, ValueError, OverflowError) as error:
            raise ConversionError(f"{path}: expected a safetensors file, found damage: {one_line(error)}") from None
        if "vqrank" not in metadata:
            found = ", ".join(quote(key) for key in sorted(metadata)) or "no metadata"
            refuse(str(path), "the JSON config in the metadata key vqrank", found)
        self.config_text: str = metadata["vqrank"]
        self._file = path.open("rb")
        self.tensors = self._directory()

    def _directory(self) -> dict[str, TensorInfo]:
        (length,) = struct.unpack("<Q", self._file.read(8))
        header = parse(self._file.read(length).decode("utf-8"), f"{self.path}: header")
        header.pop("__metadata__", None)
        return {
            name: TensorInfo(name, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0])
            for name, entry in header.items()
        }

    def _raw(self, info: TensorInfo, first: int, count: int) -> npt.NDArray[np.float32 | np.float64]:
        """`count` elements from element `first`, as float32, or float64 where that is what the file holds."""
        storage = np.dtype(DTYPES[info.dtype])
        self._file.seek(info.offset + first * storage.itemsize)
        values = np.fromfile(self._file, storage, count)
        if len(values) < count:
            refuse(str(self.path), f"tensor {info.name} in it to its end", "the file cut short while it was read")
        if info.dtype == "BF16":
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        with np.errstate(invalid="ignore"):  # a signalling NaN is refused by the check for finite values
            return values if info.dtype == "F64" else values.astype(np.float32)

    def read(self, name: str) -> F64:
        """A whole tensor in float64, which every dtype fits exactly; refuses a value that is not finite."""
        info = self.tensors[name]
        count = int(np.prod(info.shape, dtype=np.int64))
        with np.errstate(invalid="ignore"):
            values = self._raw(info, 0, count).reshape(info.shape).astype(np.float64)
        check_finite(values, name)
        return values

    def chunks(self, name: str) -> Iterator[F32]:
        """A matrix [rows, dim] in float32, rounded once, some megabytes of rows at a time."""
        info = self.tensors[name]
        rows, dim = info.shape
        step = max(1, CHUNK_BYTES // (4 * dim))
        for first in range(0, rows, step):
            yield self._rows32(info, first, min(step, rows - first))

    def _rows32(self, info: TensorInfo, first: int, count: int) -> F32:
        dim = info.shape[1]
        values = self._raw(info, first * dim, count * dim).reshape(count, dim)
        check_finite(values, info.name, first)
        return round32(values, info.name, first)

    def table(self, name: str) -> "LazyTable":
        return LazyTable(self, self.tensors[name])


class LazyTable:
    """A matrix [rows, dim] of a checkpoint of which single rows are read, in float64."""

    def __init__(self, checkpoint: Checkpoint, info: TensorInfo) -> None:
        self._checkpoint = checkpoint
        self._info = info
        self.shape = info.shape

    def __getitem__(self, row: int) -> F64:
        dim = self.shape[1]
        values = self._checkpoint._raw(self._info, row * dim, dim).astype(np.float64)
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


def _refuse_other_formats(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ConversionError(f"{path}: expected a checkpoint, found {error.strerror or error}") from None
    if start == b"PK\x03\x04" or path.suffix in (".pt", ".pth"):
        not_supported(str(path), "a .pt checkpoint (save it as .safetensors)")
