"""Checkpoints: .safetensors whose metadata key `vqrank` is the JSON config, or a weights-only .pt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vqrank_train.config import Config
from vqrank_train.errors import one_line
from vqrank_train.model import Ranker

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # as what tensors may be stored


class CheckpointError(ValueError):
    """Tensors that do not fit their config; the message names the tensor, the expected and the found."""


def save_checkpoint(
    path: str | Path, module: Ranker, config: dict[str, Any] | None = None, dtype: torch.dtype | None = None
) -> None:
    """Write `module` as .safetensors, replaced by rename. `config` defaults to the one the module was made from.

    `dtype` stores tensors in another type (float16 halves the file), codewords and hashes excepted, as the best of near
    neighbours must stay the best and signs what they are, dice's variances, which need float32's range, and quantizers,
    for all these reasons.
    """
    config = module.config.source if config is None else config
    Config.read(config)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    if dtype is not None:
        tensors = {
            n: tensor if n.endswith((".codebook", ".hash", ".var")) or n.startswith("quantizers.") else tensor.to(dtype)
            for n, tensor in tensors.items()
        }
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name}: not finite")
    part = f"{path}.part"
    save_file(tensors, part, metadata={"vqrank": json.dumps(config, ensure_ascii=False, separators=(",", ":"))})
    os.chmod(part, 0o644)
    os.replace(part, path)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config (parsed JSON) and the tensors of a .safetensors or .pt file."""
    with open(path, "rb"):
        pass  # a file that cannot be read is no damaged one
    try:
        return read_file(Path(path))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:  # whatever the libraries make of damage
        raise CheckpointError(f"{path}: expected a checkpoint, found damage: {one_line(error)}") from None


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """As `read_checkpoint`, with whatever the libraries raise for a damaged file."""
    if path.suffix in (".pt", ".pth"):
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or set(content) != {"config", "state_dict"}:
            raise CheckpointError("expected a dictionary of config and state_dict")
        config, state = content["config"], content["state_dict"]
        config = json.loads(config if isinstance(config, str) else json.dumps(config))
        if not isinstance(state, dict):
            raise CheckpointError(f"state_dict: expected a dictionary of tensors, found a {type(state).__name__}")
        for name, tensor in state.items():
            plain = isinstance(tensor, Tensor) and not tensor.is_nested and tensor.layout == torch.strided
            if not isinstance(name, str) or not plain or tensor.device.type != "cpu":
                raise CheckpointError(f"{name!r}: expected a name and a plain tensor, found a {type(tensor).__name__}")
        return config, state
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "vqrank" not in metadata:
            raise CheckpointError("no metadata key 'vqrank'")
        return json.loads(metadata["vqrank"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def build(config: dict[str, Any], state: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Ranker:
    """A module in evaluation mode with `state`'s values in `dtype`; linear biases that `state` lacks are zero."""
    read = Config.read(config)
    check_state(read, state)
    module = Ranker(read, shapes=shapes_of(state)).to(dtype)
    for name, tensor in module.state_dict().items():
        if name in state:
            tensor.copy_(state[name])
        else:
            tensor.zero_()
    return module.eval()


def shapes_of(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def check_state(config: Config, state: dict[str, Tensor]) -> None:
    """Refuse tensors that are not those of a model of this config."""
    try:
        with torch.device("meta"):  # shapes alone: a damaged config may ask for a model of any size
            own = Ranker(config, shapes=shapes_of(state)).state_dict()
    except (RuntimeError, OverflowError, ValueError) as error:
        raise CheckpointError(f"config: expected sizes that tensors can have, found {one_line(error)}") from None
    for name in state:
        if name not in own:
            raise CheckpointError(f"{name}: nothing reads this tensor")
    for name, tensor in own.items():
        found = state.get(name)
        if found is None:
            linear = name.endswith(".bias") and name.removesuffix("bias") + "weight" in own
            if not linear or name.endswith("norm.bias"):
                raise CheckpointError(f"{name}: missing, expected shape {list(tensor.shape)}")
            continue
        if found.shape != tensor.shape:
            raise CheckpointError(f"{name}: expected shape {list(tensor.shape)}, found {list(found.shape)}")
        if found.dtype not in DTYPES or not torch.isfinite(found).all():
            raise CheckpointError(f"{name}: expected finite floating-point values")
        if name.endswith(".var") and (found < 0).any():
            raise CheckpointError(f"{name}: expected a variance of at least 0, found {found.min():.9g}")
        if name.endswith(".vql.decay") and (found < 0).any():
            raise CheckpointError(f"{name}: expected decays of at least 0, found {found.min():.9g}")
        quantizer = name.startswith("quantizers.") and name.endswith((".variance", ".weight"))
        if (quantizer or name.endswith(".vql.mix")) and not (found > 0).all():
            raise CheckpointError(f"{name}: expected values above 0, found {found.min():.9g}")


def load_checkpoint(path: str | Path, dtype: torch.dtype = torch.float32) -> Ranker:
    """The module of a checkpoint file, in evaluation mode."""
    return build(*read_checkpoint(path), dtype=dtype)
