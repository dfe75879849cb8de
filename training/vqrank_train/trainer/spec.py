"""A training config as read from its file: {"model": ..., "start": ..., "training": ...}."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from vqrank_train.config import ConfigError
from vqrank_train.errors import quote
from vqrank_train.trainer.fit import Options
from vqrank_train.trainer.plan import check_keys, check_number


def read_json(path: Path, nan: bool = False) -> Any:
    """A JSON file's content; `nan` takes NaN and infinities, which older results hold."""

    def constant(name: str) -> float:
        if nan:
            return float(name)
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: expected JSON, found text that is not: {error}") from None


def read_spec(path: Path) -> dict[str, Any]:
    """The file's content. Its `training` is checked here, `start` and `model` by who makes the model."""
    spec = read_json(path)
    check_keys(spec, str(path), ("model", "start"), ("training",))
    check_options(spec.get("training", {}))
    return dict(spec)


def check_options(found: Any) -> None:
    """Refuse what `Options` does not have, and values of other types than its own."""
    known = {option.name: option.default for option in fields(Options)}
    check_keys(found, "training", (), known)
    for name, value in found.items():
        where, default = f"training.{name}", known[name]
        if isinstance(default, tuple):
            if not isinstance(value, list) or len(value) != len(default):
                raise ConfigError(f"{where}: expected an array of {len(default)} numbers, found {quote(value)}")
            for i, number in enumerate(value):
                check_number(number, f"{where}[{i}]")
                if not number > 0:
                    raise ConfigError(f"{where}[{i}]: expected a number above 0, found {quote(number)}")
        elif isinstance(default, int):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{where}: expected an integer of at least 1, found {quote(value)}")
        else:
            check_number(value, where)
            if value < 0:
                raise ConfigError(f"{where}: expected a number of at least 0, found {quote(value)}")
