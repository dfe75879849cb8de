"""Tables and features of a config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vqrank_train.config_reader import INT64_MAX, INT64_MIN, ConfigError, Reader, check_unicode

FEATURE_KINDS = ("id", "ids", "float", "time", "vector")  # next: semantic_id


@dataclass(frozen=True)
class Table:
    """An embedding table: `rows` x `dim`; row 0 is the unknown row. `ids`: direct, vocabulary (of `keys`) or hash."""

    rows: int
    dim: int
    ids: str
    keys: tuple[int | str, ...] = ()

    @classmethod
    def read(cls, value: Any, where: str) -> Table:
        reader = Reader(value, where)
        ids = reader.choice("ids", ("direct", "vocabulary", "hash"))
        # Row 0 is no id's row in a table that hashes, so there has to be another.
        rows, dim = reader.count("rows", 2 if ids == "hash" else 1, high=INT64_MAX), reader.count("dim", 1)
        keys: tuple[int | str, ...] = ()
        if ids == "vocabulary":
            keys = tuple(reader.take("keys", list))
            for key in keys:
                if isinstance(key, bool) or not isinstance(key, int | str):
                    raise ConfigError(f"{where}.keys: expected integers or strings, found {key!r}")
                if isinstance(key, int) and not INT64_MIN <= key <= INT64_MAX:
                    raise ConfigError(f"{where}.keys: expected integers of 64 bits, found {key}")
                if isinstance(key, str):
                    check_unicode(key, f"{where}.keys")
            if len(set(keys)) != len(keys):
                raise ConfigError(f"{where}.keys: duplicate keys")
            if rows != len(keys) + 1:
                raise ConfigError(f"{where}.rows: expected {len(keys) + 1} (keys + 1), found {rows}")
        reader.close()
        return cls(rows, dim, ids, keys)


@dataclass(frozen=True)
class Feature:
    """One input of a group. `table` for id and ids, `pool` for ids; `mean` and `std` for float; `dim` for vector."""

    name: str
    kind: str
    table: str = ""
    mean: float = 0.0
    std: float = 1.0
    pool: str = ""
    dim: int = 0

    @classmethod
    def read(cls, value: Any, where: str, group: str, tables: dict[str, Table]) -> Feature:
        reader = Reader(value, where)
        name, kind = reader.name(), reader.choice("kind", FEATURE_KINDS)
        table, pool, dim, mean, std = "", "", 0, 0.0, 1.0
        if kind in ("id", "ids"):
            table = reader.take("table", str)
            if table not in tables:
                raise ConfigError(f"{where}.table: no table is named {table!r}")
            if kind == "ids":
                pool = reader.choice("pool", ("sum", "mean"))
        elif kind == "vector":
            dim = reader.count("dim", 1)
        elif kind == "float":
            mean, std = reader.number("mean", 0.0), reader.number("std", 1.0)
            if not std > 0:
                raise ConfigError(f"{where}.std: expected a number above 0, found {std!r}")
        elif kind == "time" and group != "event":
            raise ConfigError(f"{where}: a time feature belongs in event")
        reader.close()
        return cls(name, kind, table, mean, std, pool, dim)

    def width(self, tables: dict[str, Table]) -> int:
        """Numbers that this feature adds to its group's embedding."""
        if self.table:
            return tables[self.table].dim
        return {"float": 1, "time": 0, "vector": self.dim}[self.kind]
