"""Quantizers of a model that is trained: fixed inputs, from the files that `vqrank-train quantizer fit` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqrank_train.config import Config, ConfigError
from vqrank_train.errors import RunError
from vqrank_train.model.quantizer import ResidualQuantizer
from vqrank_train.quantizers.file import load_quantizer
from vqrank_train.trainer.plan import check_keys

SEED = "{seed}"  # in a file's path: the run's seed


def place(path: Any, where: str, files: Path, seed: int) -> Path:
    """The file that a training config names, in the folder `files`."""
    if not isinstance(path, str) or not path:
        raise ConfigError(f"{where}: expected the path of a file, found {path!r}")
    return files / path.replace(SEED, str(seed))


def read_quantizers(config: Config, plan: Any, files: Path, seed: int) -> dict[str, ResidualQuantizer]:
    """The quantizers of a config from the files that the plan's `quantizers` names."""
    named = plan.get("quantizers", {}) if isinstance(plan, dict) else {}
    check_keys(named, "start.quantizers", list(config.quantizers))
    found = {}
    for name, expected in config.quantizers.items():
        path = place(named[name], f"start.quantizers.{name}", files, seed)
        _, module = load_quantizer(path)
        if module.config != expected:
            raise ConfigError(
                f"config.quantizers.{name}: expected {asdict(module.config)}, as {path} has, found {asdict(expected)}"
            )
        found[name] = module
    return found


def check_same(quantizers: Mapping[str, ResidualQuantizer], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors of a run or checkpoint with other quantizers: the inputs' rows were made by these."""
    for name, module in quantizers.items():
        for part, own in module.state_dict().items():
            found = tensors.get(f"quantizers.{name}.{part}")
            if found is None or not torch.equal(found.to(own), own):
                raise RunError(
                    f"{path}: expected quantizer {name} as its file in start.quantizers has it, found another; give "
                    "the file that it was trained with"
                )
