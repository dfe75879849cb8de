"""Reads a .safetensors file, whose metadata key `vqrank` may hold the JSON config.

The safetensors library checks the file (header, offsets, coverage); the values are then read here, piece by piece,
because its NumPy loader has no BF16 and holds whole tensors at once.
"""

import struct
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from vqrank_convert.checkpoint import Checkpoint, Real, TensorInfo, widen_bfloat16
from vqrank_convert.errors import ConversionError, one_line, quote, refuse
from vqrank_convert.jsontext import parse

STORAGE = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}


class SafetensorsFile(Checkpoint):
    """`foreign`: the config is given apart, so the file must not have one."""

    def __init__(self, path: Path, foreign: bool) -> None:
        self.path = path
        try:
            with safe_open(str(path), framework="np") as opened:
                metadata: dict[str, str] = opened.metadata() or {}
        except (SafetensorError, OSError, ValueError, OverflowError) as error:
            raise ConversionError(f"{path}: expected a safetensors file, found damage: {one_line(error)}") from None
        self.config_text = metadata.get("vqrank")
        if foreign and self.config_text is not None:
            refuse("--config", "a checkpoint that has no config of its own", f"one in the metadata of {path}")
        if not foreign and self.config_text is None:
            found = ", ".join(quote(key) for key in sorted(metadata)) or "no metadata"
            refuse(str(path), "the JSON config in the metadata key vqrank (or --config)", found)
        self._file = path.open("rb")
        self._offsets: dict[str, int] = {}  # in bytes from the start of the file
        self.tensors = self._directory()

    def _directory(self) -> dict[str, TensorInfo]:
        (length,) = struct.unpack("<Q", self._file.read(8))
        header = parse(self._file.read(length).decode("utf-8"), f"{self.path}: header")
        header.pop("__metadata__", None)
        for name, entry in header.items():
            self._offsets[name] = 8 + length + entry["data_offsets"][0]
        return {name: TensorInfo(name, entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}

    def raw(self, name: str, first: int, count: int) -> Real:
        dtype = self.tensors[name].dtype
        storage = np.dtype(STORAGE[dtype])
        self._file.seek(self._offsets[name] + first * storage.itemsize)
        values = np.fromfile(self._file, storage, count)
        if len(values) < count:
            refuse(str(self.path), f"tensor {name} in it to its end", "the file cut short while it was read")
        if dtype == "BF16":
            return widen_bfloat16(values)
        with np.errstate(invalid="ignore"):  # a signalling NaN is refused by the check for finite values
            return values if dtype == "F64" else values.astype(np.float32)
