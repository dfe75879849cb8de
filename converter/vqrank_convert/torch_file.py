"""Reads a .pt file of torch.save: {"config": ..., "state_dict": ...}, or a state_dict alone where --config is given.

A .pt file holds a pickle, and a pickle may run any code. It is therefore read with weights only: PyTorch's own
unpickler then builds tensors and plain containers and nothing else, and what asks for more is refused by name.
"""

import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from vqrank_convert.checkpoint import DTYPES, Checkpoint, Real, TensorInfo, widen_bfloat16
from vqrank_convert.errors import ConversionError, one_line, quote, refuse

ZIP_START = b"PK\x03\x04"
SUFFIXES = (".pt", ".pth")
# Before this version, loading with weights only could be made to run code all the same (CVE-2025-32434).
TORCH_MIN = (2, 6)
TORCH_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
# As PyTorch's refusals name it, on whichever grounds they refuse.
CALLABLE = re.compile(r"GLOBAL ([\w.]+)")


def is_torch_file(start: bytes, path: Path) -> bool:
    """By its first 9 bytes and its name: a zip archive, or a bare pickle of protocol 2 to 5 (a .safetensors file has a
    brace at byte 8)."""
    pickled = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and start[8:9] != b"{"
    return start.startswith(ZIP_START) or pickled or path.suffix in SUFFIXES


class TorchFile(Checkpoint):
    """`foreign`: the config is given apart, and the state_dict may be the whole content or stand beside anything."""

    def __init__(self, path: Path, foreign: bool) -> None:
        self.path = path
        self.config_text = None
        _check_archive(path)
        content = _load(path)
        if not isinstance(content, dict):
            refuse(str(path), 'a dict {"config": ..., "state_dict": ...}', f"a {type(content).__name__}")
        state = self._foreign_state(content) if foreign else self._native_state(content)
        if not isinstance(state, dict):
            refuse(f"{path}: state_dict", "a dict of tensors", f"a {type(state).__name__}")
        self._torch_tensors: dict[str, Any] = {}
        self.tensors = {}
        for name, tensor in state.items():
            if not isinstance(name, str):
                refuse(f"{path}: state_dict", "names of tensors as keys", f"a key of type {type(name).__name__}")
            self.tensors[name] = self._info(name, tensor)

    def _native_state(self, content: dict[Any, Any]) -> Any:
        if set(content) != {"config", "state_dict"}:
            found = ", ".join(quote(str(key)) for key in list(content)[:5]) or "no keys"
            refuse(str(self.path), 'the keys "config" and "state_dict" (or a state_dict and --config)', found)
        config = content["config"]
        self.config_text = config if isinstance(config, str) else _config_text(config, self.path)
        return content["state_dict"]

    def _foreign_state(self, content: dict[Any, Any]) -> Any:
        """The state_dict of another program's checkpoint, by the names it usually has, or else the whole content."""
        if set(content) == {"config", "state_dict"}:
            refuse(
                "--config",
                "a checkpoint that has no config of its own",
                f"one in {self.path}; leave --config out, or save the state_dict alone",
            )
        found = [key for key in ("state_dict", "model_state_dict") if key in content]
        if len(found) > 1:
            refuse(
                str(self.path),
                "state_dict or model_state_dict",
                "both; save the one to convert alone",
            )
        return content[found[0]] if found else content

    def _info(self, name: str, tensor: Any) -> TensorInfo:
        """What a tensor is; what is not a plain one gets a dtype that says so, for `check_tensors` to refuse unless a
        map leaves it out."""
        import torch

        if not isinstance(tensor, torch.Tensor):
            return TensorInfo(name, f"no tensor but a value of type {type(tensor).__name__}", ())
        if tensor.is_nested:  # of no one shape, which PyTorch refuses to tell
            return TensorInfo(name, "a nested tensor", ())
        shape = tuple(tensor.shape)
        if tensor.layout != torch.strided:
            return TensorInfo(name, str(tensor.layout).removeprefix("torch."), shape)
        if tensor.device.type != "cpu":
            return TensorInfo(name, f"no values, on the device {tensor.device.type}", shape)
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype in TORCH_DTYPES and tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            return TensorInfo(name, f"a view that repeats its {dtype} values", shape)  # it could be of any size
        self._torch_tensors[name] = tensor.detach()
        return TensorInfo(name, TORCH_DTYPES.get(dtype, dtype), shape)

    def raw(self, name: str, first: int, count: int) -> Real:
        import torch

        tensor = self._torch_tensors[name]
        if not tensor.is_contiguous():
            tensor = self._torch_tensors[name] = tensor.contiguous()  # the one copy that is made
        piece = tensor.view(-1)[first : first + count].resolve_neg()
        if piece.dtype == torch.bfloat16:
            return widen_bfloat16(piece.view(torch.int16).numpy().view(np.uint16))
        with np.errstate(invalid="ignore"):  # a signalling NaN is refused by the check for finite values
            values: Real = piece.numpy() if piece.dtype == torch.float64 else piece.numpy().astype(np.float32)
        return values


def _config_text(config: Any, path: Path) -> str:
    """A config kept as Python values, as the JSON that it would have been."""
    try:
        return json.dumps(config)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: config: expected what JSON can hold, found {one_line(error)}") from None


def _check_archive(path: Path) -> None:
    """Refuses what torch.save's zip format is not, before PyTorch is asked to read it."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
            if start[8:9] == b"{" and 8 + int.from_bytes(start[:8], "little") <= path.stat().st_size:
                refuse(
                    str(path),
                    f"the zip format of torch.save in a file named {path.suffix}",
                    "a safetensors file; name it .safetensors",
                )
            if not start.startswith(ZIP_START):
                refuse(
                    str(path),
                    "the zip format of torch.save",
                    "something else, perhaps a pickle of PyTorch before 1.6; load it there with weights_only=True and "
                    "save it again",
                )
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
                refuse(str(path), "a state_dict", "a TorchScript archive; save its state_dict() instead")
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED:
                    refuse(str(path), "an archive as torch.save writes it", f"{quote(entry.filename)} compressed")
            pickles = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
            if len(pickles) != 1:
                refuse(str(path), "one data.pkl in the archive, as torch.save writes it", str(len(pickles)))
            archive.read(pickles[0])  # checks its CRC, which PyTorch does not
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ConversionError(f"{path}: expected a file of torch.save, found damage: {one_line(error)}") from None


def _load(path: Path) -> Any:
    """The unpickled content, tensors mapped from the file."""
    torch = _import_torch(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever a hostile pickle makes of PyTorch's unpickler
        _refuse_pickle(path, error)


def _import_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise ConversionError(
            f"{path}: expected PyTorch to read a .pt file with, found it is not installed; "
            "pip install 'vqrank-convert[torch]', or save the checkpoint as .safetensors"
        ) from None
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < TORCH_MIN:
        least = ".".join(str(part) for part in TORCH_MIN)
        refuse(
            f"{path}: PyTorch",
            f"version {least} or newer, as older ones can be made to run code from a .pt file",
            str(torch.__version__),
        )
    return torch


def _refuse_pickle(path: Path, error: Exception) -> NoReturn:
    """Names the callable that a pickle asked for, if that was it, or what else PyTorch made of the file."""
    called = CALLABLE.search(str(error))
    if called is not None:
        raise ConversionError(
            f"{path}: expected tensors, numbers, strings, lists and dicts alone, found a pickle that would call "
            f"{called.group(1)}, which could run any code; save {{'config': ..., 'state_dict': model.state_dict()}}"
        ) from None
    said = one_line(error)
    raise ConversionError(f"{path}: expected a file of torch.save, found damage: {said[:200]}") from None


assert set(TORCH_DTYPES.values()) == set(DTYPES)
