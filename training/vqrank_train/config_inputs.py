"""Tables and features of a config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vqrank_train.config_reader import ConfigError, Reader

FEATURE_KINDS = ("id", "float", "time")


@dataclass(frozen=True)
class Table:
    """An embedding table: `rows` x `dim`; row 0 is the unknown row."""

    rows: int
    dim: int
    ids: str
    keys: tuple[int | str, ...] = ()

    @classmethod
    def read(cls, value: Any, where: str) -> Table:
        reader = Reader(value, where)
        rows, dim = reader.count("rows", 1), reader.count("dim", 1)
        ids = reader.choice("ids", ("direct", "vocabulary"))
        keys: tuple[int | str, ...] = ()
        if ids == "vocabulary":
            keys = tuple(reader.take("keys", list))
            for key in keys:
                if isinstance(key, bool) or not isinstance(key, int | str):
                    raise ConfigError(f"{where}.keys: expected integers or strings, found {key!r}")
            if len(set(keys)) != len(keys):
                raise ConfigError(f"{where}.keys: duplicate keys")
            if rows != len(keys) + 1:
                raise ConfigError(f"{where}.rows: expected {len(keys) + 1} (keys + 1), found {rows}")
        reader.close()
        return cls(rows, dim, ids, keys)


@dataclass(frozen=True)
class Feature:
    """One input of a group. `table` for kind id; `mean` and `std` for kind float."""

    name: str
    kind: str
    table: str = ""
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def read(cls, value: Any, where: str, group: str, tables: dict[str, Table]) -> Feature:
        reader = Reader(value, where)
        name, kind = reader.name(), reader.choice("kind", FEATURE_KINDS)
        table, mean, std = "", 0.0, 1.0
        if kind == "id":
            table = reader.take("table", str)
            if table not in tables:
                raise ConfigError(f"{where}.table: no table is named {table!r}")
        elif kind == "float":
            mean = float(reader.take("mean", (int, float), 0.0))
            std = float(reader.take("std", (int, float), 1.0))
            if not std > 0 or std == float("inf") or not abs(mean) < float("inf"):
                raise ConfigError(f"{where}: expected a finite mean and std > 0, found {mean!r} and {std!r}")
        elif kind == "time" and group != "event":
            raise ConfigError(f"{where}: a time feature belongs in event")
        reader.close()
        return cls(name, kind, table, mean, std)

    def width(self, tables: dict[str, Table]) -> int:
        """Numbers that this feature adds to its group's embedding."""
        return tables[self.table].dim if self.kind == "id" else {"float": 1, "time": 0}[self.kind]
