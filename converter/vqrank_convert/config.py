"""The checkpoint's JSON config, checked and typed (docs/model.md, section 5).

Everything here is about the configuration alone; whether tensors fit it is `tensors.py`. What the specification has and
this release does not run is refused by name here, so that no later module has to think of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vqrank_convert.activations import ACTIVATIONS
from vqrank_convert.config_quantizers import QuantizerConfig, SemanticId, parse_quantizers, parse_semantic_id
from vqrank_convert.config_sequences import SequenceConfig, parse_hidden, parse_sequences, resolve_out
from vqrank_convert.errors import ConversionError, quote, refuse
from vqrank_convert.jsontext import (
    UINT32_MAX,
    Fields,
    check_array,
    check_distinct,
    check_integer,
    check_name,
    check_object,
    check_output_name,
    check_unicode,
    parse,
)

FORMAT = 1
GROUPS = ("user", "context", "event", "candidate")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class TableConfig:
    """An embedding table [rows, dim]; row 0 is the unknown row. `ids` is "direct", "vocabulary" or "hash"; `keys[i]` is
    row i + 1 (vocabulary only)."""

    name: str
    rows: int
    dim: int
    ids: str
    keys: tuple[int | str, ...] = ()

    @property
    def tensor(self) -> str:
        return f"tables.{self.name}.weight"

    @property
    def scale(self) -> str:
        """The tensor of the rows' scales in a file where the table is int8."""
        return f"tables.{self.name}.scale"


@dataclass(frozen=True)
class FeatureConfig:
    """One feature of a group; `width` is its columns of the group's embedding (time: 0). `pool` is of kind ids,
    `semantic` of kind semantic_id."""

    name: str
    kind: str
    width: int
    table: str | None = None
    mean: float = 0.0
    std: float = 1.0
    pool: str | None = None
    semantic: SemanticId | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it reads."""
        if self.semantic is not None:
            return self.semantic.tables
        return () if self.table is None else (self.table,)

    @property
    def numbers(self) -> int:
        """How many numbers one of its values is; 0 where it is not an array of them."""
        if self.semantic is not None:
            return self.semantic.quantizer.dim
        return self.width if self.kind == "vector" else 0


@dataclass(frozen=True)
class HeadConfig:
    """The MLP: widths of the hidden layers, their activation, one sigmoid output per name."""

    hidden: tuple[int, ...]
    activation: str
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    name: str
    tables: dict[str, TableConfig]
    groups: dict[str, tuple[FeatureConfig, ...]]
    sequences: tuple[SequenceConfig, ...]
    head: HeadConfig
    raw: dict[str, Any]
    quantizers: dict[str, QuantizerConfig] = field(default_factory=dict)

    def width(self, group: str) -> int:
        """Columns of a group's embedding: D for "event", Dc for "candidate"."""
        return sum(feature.width for feature in self.groups[group])

    @property
    def head_widths(self) -> tuple[int, ...]:
        """Widths from x0 through the hidden layers to the outputs."""
        x0 = sum(self.width(g) for g in ("user", "context", "candidate")) + sum(s.width for s in self.sequences)
        return (x0, *self.head.hidden, len(self.head.outputs))


def parse_config_text(text: str) -> Config:
    """Parses the text of the checkpoint's metadata key `vqrank`."""
    return parse_config(parse(text, "config"))


def parse_config(raw: Any) -> Config:
    """Checks a parsed config and gives it types."""
    top = Fields(raw, "config")
    version = top.take("format")
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT:
        refuse("config.format", f"at most {FORMAT}, the newest that this version reads", quote(version))
    check_integer(version, "config.format", FORMAT, FORMAT)
    name = top.text("name")
    tables = _tables(top.take("tables"))
    quantizers = parse_quantizers(top.take_or("quantizers", {}))
    groups = {}
    for group in GROUPS:
        values = top.array(group) if group in ("event", "candidate") else top.array_or_empty(group)
        groups[group] = _features(values, group, tables, quantizers)
    sequences = parse_sequences(top.array("sequences"), sum(feature.width for feature in groups["event"]), groups)
    head = _head(top.take("head"))
    top.finish()
    for group in ("event", "candidate"):
        if sum(feature.width for feature in groups[group]) == 0:
            refuse(f"config.{group}", "at least one feature with an embedding", f"{len(groups[group])} features")
    return Config(name, tables, groups, sequences, head, raw, quantizers)


def resolve(config: Config, shapes: Mapping[str, Sequence[int]]) -> Config:
    """Fills in what a config leaves to the shapes of its checkpoint's tensors: widths of output projections."""
    return replace(config, sequences=tuple(resolve_out(sequence, shapes) for sequence in config.sequences))


def _tables(value: Any) -> dict[str, TableConfig]:
    entries = check_object(value, "config.tables")
    return {check_name(name, "config.tables"): _table(name, entry) for name, entry in entries.items()}


def _table(name: str, value: Any) -> TableConfig:
    fields = Fields(value, f"config.tables.{name}")
    ids = fields.choice("ids", ("direct", "vocabulary", "hash"))
    # Row 0 is no id's row in a table that hashes, so there has to be another.
    rows = fields.integer("rows", 2 if ids == "hash" else 1, INT64_MAX)
    dim = fields.integer("dim", 1)
    keys: tuple[int | str, ...] = ()
    if ids == "vocabulary":
        keys = _keys(fields.array("keys"), fields.where("keys"))
        if rows != len(keys) + 1:
            refuse(fields.where("rows"), f"{len(keys) + 1}, one more than the {len(keys)} keys", str(rows))
    fields.finish()
    return TableConfig(name, rows, dim, ids, keys)


def _keys(values: list[Any], path: str) -> tuple[int | str, ...]:
    if len(values) >= UINT32_MAX // 2:
        refuse(path, f"fewer than {UINT32_MAX // 2} keys", str(len(values)))
    seen: set[int | str] = set()
    for i, key in enumerate(values):
        if isinstance(key, bool) or not isinstance(key, int | str):
            refuse(f"{path}[{i}]", "an integer or a string", quote(key))
        if isinstance(key, int) and not INT64_MIN <= key <= INT64_MAX:
            refuse(f"{path}[{i}]", "an integer of 64 bits", quote(key))
        if isinstance(key, str):
            check_unicode(key, f"{path}[{i}]")
        if key in seen:
            refuse(path, "distinct keys", f"{quote(key)} twice (the second is keys[{i}])")
        seen.add(key)
    return tuple(values)


def _features(
    values: list[Any], group: str, tables: dict[str, TableConfig], quantizers: dict[str, QuantizerConfig]
) -> tuple[FeatureConfig, ...]:
    features = tuple(_feature(value, group, i, tables, quantizers) for i, value in enumerate(values))
    check_distinct([feature.name for feature in features], f"config.{group}")
    times = [quote(feature.name) for feature in features if feature.kind == "time"]
    if len(times) > 1:
        refuse(f"config.{group}", "at most one feature of kind time", " and ".join(times))
    return features


def _feature(
    value: Any, group: str, i: int, tables: dict[str, TableConfig], quantizers: dict[str, QuantizerConfig]
) -> FeatureConfig:
    fields = Fields(value, f"config.{group}[{i}]")
    name = fields.name("name")
    fields.path = f"config.{group}.{name}"
    kind = fields.choice("kind", ("id", "ids", "float", "time", "vector", "semantic_id"))
    table: str | None = None
    pool: str | None = None
    semantic: SemanticId | None = None
    mean, std, width = 0.0, 1.0, 0
    if kind in ("id", "ids"):
        table = fields.name("table")
        if table not in tables:
            refuse(fields.where("table"), "a table of config.tables", quote(table))
        width = tables[table].dim
        if kind == "ids":
            pool = fields.choice("pool", ("sum", "mean"))
    elif kind == "vector":
        width = fields.integer("dim", 1)
    elif kind == "semantic_id":
        semantic, width = parse_semantic_id(fields, tables, quantizers)
    elif kind == "float":
        mean, std, width = fields.number("mean", 0.0), fields.number("std", 1.0), 1
        if not std > 0:
            refuse(fields.where("std"), "a number above 0", quote(std))
    elif group != "event":
        refuse(fields.where("kind"), "time in config.event only", quote(kind))
    fields.finish()
    return FeatureConfig(name, kind, width, table, mean, std, pool, semantic)


def _head(value: Any) -> HeadConfig:
    fields = Fields(value, "config.head")
    hidden = parse_hidden(fields)
    activation = fields.choice("activation", ACTIVATIONS)
    outputs = [
        check_output_name(name, f"config.head.outputs[{i}]")
        for i, name in enumerate(check_array(fields.take("outputs"), "config.head.outputs"))
    ]
    fields.finish()
    if not outputs:
        raise ConversionError("config.head.outputs: expected at least one output, found none")
    check_distinct(outputs, "config.head.outputs")
    return HeadConfig(hidden, activation, tuple(outputs))
