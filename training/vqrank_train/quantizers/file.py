"""Files of the quantizer commands: arrays of items in, a fitted quantizer out and in.

A fitted quantizer is a .safetensors file whose tensors have a checkpoint's names, quantizers.NAME.mean and so on, and
whose metadata key `vqrank_quantizer` holds {"name": ..., "kind": ..., "levels": ..., "codes": ..., "dim": ...}.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vqrank_train.config import ConfigError, Quantizer
from vqrank_train.config_reader import check_name
from vqrank_train.model.quantizer import ResidualQuantizer

METADATA = "vqrank_quantizer"


class QuantizerError(ValueError):
    """An array or a file that does not fit; the message names it, the expected and the found."""


def read_array(path: Path) -> npt.NDArray[np.generic]:
    """A .npy file, memory-mapped; pickles are refused."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        said = " ".join(str(error).split())[:200]
        raise QuantizerError(f"{path}: expected a .npy array, found otherwise: {said}") from None


def read_items(path: Path) -> npt.NDArray[np.float32]:
    """Vectors of items [items, n] as float32; finite, and at least one."""
    array = read_array(path)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating) or 0 in array.shape:
        raise QuantizerError(
            f"{path}: expected floats of shape [items, numbers], at least one of each, found {array.dtype} of "
            f"shape {list(array.shape)}"
        )
    items = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(items).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(items))[0])
        raise QuantizerError(f"{path}: expected finite numbers, found {items[row, column]} at [{row}, {column}]")
    return items


def read_labels(path: Path, items: int) -> npt.NDArray[np.int64]:
    """One label per item, integers or strings, as the number of the label among the different ones."""
    array = read_array(path)
    if array.ndim != 1 or len(array) != items or array.dtype.kind not in "iuUSb":
        raise QuantizerError(
            f"{path}: expected integers or strings of shape [{items}], one per item, found {array.dtype} of "
            f"shape {list(array.shape)}"
        )
    return np.unique(array, return_inverse=True)[1].reshape(-1)


def save_quantizer(path: Path, name: str, module: ResidualQuantizer) -> None:
    """Writes a fitted quantizer, replaced by rename."""
    tensors = {f"quantizers.{name}.{part}": tensor.contiguous() for part, tensor in module.state_dict().items()}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={METADATA: json.dumps({"name": name, **asdict(module.config)})})
    os.chmod(part, 0o644)
    os.replace(part, path)


def load_quantizer(path: Path) -> tuple[str, ResidualQuantizer]:
    """The name and the module of a fitted quantizer."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        entry = json.loads(text or "null")
    except (SafetensorError, json.JSONDecodeError) as error:
        said = " ".join(str(error).split())[:200]
        raise QuantizerError(f"{path}: expected a fitted quantizer, found damage: {said}") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise QuantizerError(f"{path}: expected a fitted quantizer, with metadata key {METADATA!r}, found none")
    try:
        name = check_name(entry.pop("name"), METADATA)
        module = ResidualQuantizer(Quantizer.read(entry, METADATA))
    except ConfigError as error:
        raise QuantizerError(f"{path}: {error}") from None
    put_tensors(module, name, tensors, path)
    return name, module


def put_tensors(module: ResidualQuantizer, name: str, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Copies a file's tensors into a module; refuses what does not fit it."""
    own = {f"quantizers.{name}.{part}": tensor for part, tensor in module.state_dict().items()}
    for key in sorted(set(own) | set(tensors)):
        expected, found = (list(of[key].shape) if key in of else "none" for of in (own, tensors))
        if expected != found:
            raise QuantizerError(f"{path}: tensor {key}: expected shape {expected}, found {found}")
        if not torch.isfinite(tensors[key]).all():
            raise QuantizerError(f"{path}: tensor {key}: expected finite numbers")
        if key.endswith((".variance", ".weight")) and not (tensors[key] > 0).all():
            raise QuantizerError(f"{path}: tensor {key}: expected numbers above 0, found {tensors[key].min():.9g}")
        own[key].copy_(tensors[key])
