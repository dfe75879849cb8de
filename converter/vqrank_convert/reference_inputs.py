"""What a request's values are as embeddings, in the reference: rows of tables, pooled lists, numbers."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xxhash

from vqrank_convert import reference_quantizers
from vqrank_convert.config import INT64_MAX, INT64_MIN, Config, FeatureConfig, TableConfig
from vqrank_convert.reference_layers import Array, Real

VALUE_LIMIT = 4096.0


class RequestError(ValueError):
    """A request that the specification refuses."""


class Inputs:
    """Embeds what a request says, in one precision. A table may be anything that gives a row by `[row]`."""

    def __init__(self, config: Config, tensors: Mapping[str, Any], dtype: Real) -> None:
        self.config = config
        self.tensors = tensors
        self.dtype = dtype
        self.rows = {name: {key: i + 1 for i, key in enumerate(table.keys)} for name, table in config.tables.items()}

    def row(self, table: TableConfig, value: Any) -> int:
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise RequestError(f"table {table.name}: an id is an integer or a string")
        if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
            raise RequestError(f"table {table.name}: an integer has 64 bits")
        if table.ids == "vocabulary":
            return self.rows[table.name].get(value, 0)
        if table.ids == "hash":
            raw = value.encode() if isinstance(value, str) else struct.pack("<q", value)
            return 1 + int(xxhash.xxh3_64_intdigest(raw)) % (table.rows - 1)
        if isinstance(value, str):
            raise RequestError(f"table {table.name}: its ids are integers")
        return value if 0 <= value < table.rows else 0

    def embed(self, group: str, values: Mapping[str, Any]) -> Array:
        """One event, candidate, user or context: [width of the group]."""
        features = self.config.groups[group]
        unknown = set(values) - {feature.name for feature in features}
        if unknown:
            raise RequestError(f"{group}: unknown keys {sorted(unknown)}")
        parts = [self.embed_feature(feature, values.get(feature.name), group) for feature in features]
        return np.concatenate([np.zeros(0, self.dtype), *parts])

    def embed_feature(self, feature: FeatureConfig, value: Any, group: str) -> Array:
        if feature.kind == "id":
            return self.table_row(feature, value)
        if feature.kind == "time":
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise RequestError(f"{group}.{feature.name}: a time is an integer")
            return np.zeros(0, self.dtype)
        if feature.kind == "semantic_id":
            return self.combine(feature, value, group)
        if value is None:
            return np.zeros(feature.width, self.dtype)
        if feature.kind == "ids":
            return self.pool(feature, value)
        if feature.kind == "vector":
            return self.numbers(feature, value, group).astype(self.dtype)
        return np.array([self.number(feature, value, group)], self.dtype)

    def table_row(self, feature: FeatureConfig, value: Any) -> Array:
        table = self.config.tables[str(feature.table)]
        return np.asarray(self.tensors[table.tensor][self.row(table, value)], self.dtype)

    def pool(self, feature: FeatureConfig, values: Any) -> Array:
        """Sum or mean of the rows of a list of ids, of which unknown ones count as row 0. (The library refuses an event
        whose sum leaves the range of the exact sums; what that is depends on the whole table, so it is not known here.)
        """
        if not isinstance(values, list) or None in values:
            raise RequestError(f"{feature.name}: expected a list of ids")
        total = np.zeros(feature.width, self.dtype)
        for value in values:
            total = total + self.table_row(feature, value)
        return total / self.dtype(len(values)) if feature.pool == "mean" and values else total

    def numbers(self, feature: FeatureConfig, value: Any, group: str) -> Array:
        """An array of numbers, rounded to float32."""
        if not isinstance(value, list) or len(value) != feature.numbers:
            raise RequestError(f"{group}.{feature.name}: expected {feature.numbers} numbers")
        return np.array([self.number(feature, x, group) for x in value], np.float32)

    def combine(self, feature: FeatureConfig, value: Any, group: str) -> Array:
        """A semantic id: one row per level, side by side or summed. Codes are those of float64 in any precision."""
        assert feature.semantic is not None
        semantic = feature.semantic
        rows = [0] * len(semantic.tables)
        if value is not None:
            x = self.numbers(feature, value, group).astype(np.float64)
            coded = reference_quantizers.encode(semantic.quantizer, self.tensors, x[np.newaxis])
            rows = [int(code) + 1 for code in coded.codes[0]]
        tables = (self.tensors[self.config.tables[name].tensor] for name in semantic.tables)
        parts = [np.asarray(table[row], self.dtype) for table, row in zip(tables, rows, strict=True)]
        if semantic.combine == "concat":
            return np.concatenate(parts)
        total: Array = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def number(self, feature: FeatureConfig, value: Any, group: str) -> np.float32:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RequestError(f"{group}.{feature.name}: expected a number")
        result = np.float32((float(value) - feature.mean) / feature.std)
        if not np.isfinite(result) or (group == "event" and abs(result) > VALUE_LIMIT):
            raise RequestError(f"{group}.{feature.name}: out of range")
        return result

    def embed_all(self, group: str, values: Sequence[Mapping[str, Any]]) -> Array:
        """[len(values), width of the group]"""
        rows = [self.embed(group, value) for value in values]
        return np.array(rows, self.dtype).reshape(len(rows), self.config.width(group))
