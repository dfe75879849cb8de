"""Tables and features of a config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vqrank_train.config_reader import INT64_MAX, INT64_MIN, ConfigError, Reader, check_unicode
from vqrank_train.errors import quote

FEATURE_KINDS = ("id", "ids", "float", "time", "vector", "semantic_id")
QUANTIZER_KINDS = ("rq_gmm", "rq_kmeans")
# What readers of a model file accept.
LEVELS_MAX, CODES_MAX, DIM_MAX = 64, 1 << 20, 1 << 16


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
                    raise ConfigError(f"{where}.keys: expected integers or strings, found {quote(key)}")
                if isinstance(key, int) and not INT64_MIN <= key <= INT64_MAX:
                    raise ConfigError(f"{where}.keys: expected integers of 64 bits, found {quote(key)}")
                if isinstance(key, str):
                    check_unicode(key, f"{where}.keys")
            if len(set(keys)) != len(keys):
                raise ConfigError(f"{where}.keys: duplicate keys")
            if rows != len(keys) + 1:
                raise ConfigError(f"{where}.rows: expected {len(keys) + 1} (keys + 1), found {rows}")
        reader.close()
        return cls(rows, dim, ids, keys)


@dataclass(frozen=True)
class Quantizer:
    """A residual quantizer of vectors of `dim` numbers: `levels` Q of `codes` K components each."""

    kind: str
    levels: int
    codes: int
    dim: int

    @classmethod
    def read(cls, value: Any, where: str) -> Quantizer:
        reader = Reader(value, where)
        kind = reader.choice("kind", QUANTIZER_KINDS)
        levels, codes = reader.count("levels", 1, high=LEVELS_MAX), reader.count("codes", 1, high=CODES_MAX)
        dim = reader.count("dim", 1, high=DIM_MAX)
        reader.close()
        return cls(kind, levels, codes, dim)


@dataclass(frozen=True)
class Feature:
    """One input of a group. `table` for id and ids, `pool` for ids; `mean` and `std` for float; `dim` for vector and
    semantic_id, the numbers of a value; `quantizer`, `tables` by level and `combine` for semantic_id."""

    name: str
    kind: str
    table: str = ""
    mean: float = 0.0
    std: float = 1.0
    pool: str = ""
    dim: int = 0
    quantizer: str = ""
    tables: tuple[str, ...] = ()
    combine: str = ""

    @classmethod
    def read(
        cls, value: Any, where: str, group: str, tables: dict[str, Table], quantizers: dict[str, Quantizer]
    ) -> Feature:
        reader = Reader(value, where)
        name, kind = reader.name(), reader.choice("kind", FEATURE_KINDS)
        table, pool, dim, mean, std = "", "", 0, 0.0, 1.0
        if kind in ("id", "ids"):
            table = reader.take("table", str)
            if table not in tables:
                raise ConfigError(f"{where}.table: no table is named {quote(table)}")
            if kind == "ids":
                pool = reader.choice("pool", ("sum", "mean"))
        elif kind == "semantic_id":
            found = cls.read_semantic_id(reader, name, tables, quantizers)
            reader.close()
            return found
        elif kind == "vector":
            dim = reader.count("dim", 1)
        elif kind == "float":
            mean, std = reader.number("mean", 0.0), reader.number("std", 1.0)
            if not std > 0:
                raise ConfigError(f"{where}.std: expected a number above 0, found {quote(std)}")
        elif kind == "time" and group != "event":
            raise ConfigError(f"{where}: a time feature belongs in event")
        reader.close()
        return cls(name, kind, table, mean, std, pool, dim)

    @classmethod
    def read_semantic_id(
        cls, reader: Reader, name: str, tables: dict[str, Table], quantizers: dict[str, Quantizer]
    ) -> Feature:
        """The rest of a feature of kind semantic_id."""
        quantizer = reader.take("quantizer", str)
        if quantizer not in quantizers:
            raise ConfigError(f"{reader.where}.quantizer: no quantizer is named {quote(quantizer)}")
        levels, codes = quantizers[quantizer].levels, quantizers[quantizer].codes
        listed, combine = reader.take("tables", list), reader.choice("combine", ("concat", "sum"))
        if len(listed) != levels:
            raise ConfigError(f"{reader.where}.tables: expected {levels}, one per level, found {len(listed)}")
        for table in listed:
            if not isinstance(table, str) or table not in tables:
                raise ConfigError(f"{reader.where}.tables: no table is named {quote(table)}")
            if tables[table].ids != "direct" or tables[table].rows < codes + 1:
                raise ConfigError(
                    f"{reader.where}.tables: expected direct ids and at least {codes + 1} rows, found "
                    f"{quote(table)} with {tables[table].ids} and {tables[table].rows}"
                )
        dims = [tables[table].dim for table in listed]
        if combine == "sum" and len(set(dims)) > 1:
            raise ConfigError(f"{reader.where}.tables: expected equal dims, as combine is sum, found {quote(dims)}")
        dim = quantizers[quantizer].dim
        return cls(name, "semantic_id", dim=dim, quantizer=quantizer, tables=tuple(listed), combine=combine)

    def width(self, tables: dict[str, Table]) -> int:
        """Numbers that this feature adds to its group's embedding."""
        if self.kind == "semantic_id":
            dims = [tables[table].dim for table in self.tables]
            return sum(dims) if self.combine == "concat" else dims[0]
        if self.table:
            return tables[self.table].dim
        return {"float": 1, "time": 0, "vector": self.dim}[self.kind]
