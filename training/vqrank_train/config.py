"""The JSON config of a checkpoint as typed objects: defaults filled in, everything unknown refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

NAME = re.compile(r"[A-Za-z0-9_-]+")
ACTIVATIONS = ("relu", "silu")  # the runtime's list grows: prelu, dice, gelu, tanh, leaky_relu come next
FEATURE_KINDS = ("id", "float", "time")  # next: ids, vector, semantic_id
GROUPS = ("user", "context", "event", "candidate")

MISSING = object()


class ConfigError(ValueError):
    """A config that the specification does not allow; the message names the place, the expected and the found."""


class Reader:
    """Takes the keys of one JSON object one by one, with type checks; `close` refuses what nobody took."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected an object, found {value!r}")
        self.left = dict(value)
        self.where = where

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = MISSING) -> Any:
        """The value of `key`; booleans are not numbers here."""
        if key not in self.left:
            if default is MISSING:
                raise ConfigError(f"{self.where}: {key!r} is required")
            return default
        value = self.left.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            raise ConfigError(f"{self.where}.{key}: expected {wanted}, found {value!r}")
        return value

    def count(self, key: str, low: int, default: Any = MISSING) -> int:
        """An integer of at least `low`."""
        value = self.take(key, int, default)
        if value is not None and value < low:
            raise ConfigError(f"{self.where}.{key}: expected an integer of at least {low}, found {value!r}")
        return value

    def choice(self, key: str, options: tuple[str, ...], default: Any = MISSING) -> str:
        """One of `options`."""
        value = self.take(key, str, default)
        if value not in options:
            raise ConfigError(f"{self.where}.{key}: expected one of {', '.join(options)}, found {value!r}")
        return value

    def name(self, key: str = "name") -> str:
        """A name of letters, digits, _ and -."""
        return check_name(self.take(key, str), f"{self.where}.{key}")

    def close(self) -> None:
        """Refuse keys that nobody took."""
        if self.left:
            raise ConfigError(f"{self.where}: unknown key {sorted(self.left)[0]!r}")


def check_name(name: str, where: str) -> str:
    """`name` itself when it is legal."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: expected letters, digits, _ and -, found {name!r}")
    return name


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


@dataclass(frozen=True)
class Hstu:
    """HSTU layers of a sequence; defaults are DMQN's own equations."""

    layers: int = 0
    heads: int = 0
    qk_dim: int = 0
    v_dim: int = 0
    share: bool = False
    pre_norm: bool = False
    affine: bool = True
    activate: str = "all"
    alpha: str = "one"
    bias: str = "dense"
    normalize: Literal["one", "tokens", "attended"] | float = "one"  # a number: the constant
    norm: str = "layer"
    eps: float = 1e-5
    output: str = "gated"
    residual: bool = False

    @classmethod
    def read(cls, value: Any, where: str) -> Hstu:
        reader = Reader(value, where)
        layers = reader.count("layers", 0)
        width = MISSING if layers else 0
        heads, qk_dim, v_dim = (reader.count(key, 1 if layers else 0, width) for key in ("heads", "qk_dim", "v_dim"))
        normalize = reader.take("normalize", (str, dict), "one")
        if isinstance(normalize, dict):
            inner = Reader(normalize, f"{where}.normalize")
            normalize = inner.take("constant", (int, float))
            inner.close()
            if not 0 < normalize < float("inf"):
                raise ConfigError(f"{where}.normalize.constant: expected a positive number, found {normalize!r}")
        elif normalize not in ("one", "tokens", "attended"):
            raise ConfigError(f"{where}.normalize: expected one, tokens, attended or a constant, found {normalize!r}")
        found = cls(
            layers, heads, qk_dim, v_dim,
            share=reader.take("share", bool, False),
            pre_norm=reader.take("pre_norm", bool, False),
            affine=reader.take("affine", bool, True),
            activate=reader.choice("activate", ("all", "u"), "all"),
            alpha=reader.choice("alpha", ("one", "rsqrt"), "one"),
            bias=reader.choice("bias", ("none", "dense", "toeplitz"), "dense"),
            normalize=normalize,
            norm=reader.choice("norm", ("layer", "group"), "layer"),
            eps=float(reader.take("eps", (int, float), 1e-5)),
            output=reader.choice("output", ("gated", "concat", "concat_raw"), "gated"),
            residual=reader.take("residual", bool, False),
        )  # fmt: skip
        if not 0 <= found.eps < float("inf"):
            raise ConfigError(f"{where}.eps: expected a number of at least 0, found {found.eps!r}")
        reader.close()
        return found


@dataclass(frozen=True)
class Attention:
    """Target attention of kind dot: `heads` A of width `dim` d."""

    heads: int
    dim: int
    share: bool = False
    out: bool = False
    count_bias: bool = False

    @classmethod
    def read(cls, value: Any, where: str) -> Attention:
        reader = Reader(value, where)
        reader.choice("kind", ("dot",))  # next: din
        found = cls(
            reader.count("heads", 1), reader.count("dim", 1),
            share=reader.take("share", bool, False),
            out=reader.take("out", bool, False),
            count_bias=reader.take("count_bias", bool, False),
        )  # fmt: skip
        reader.close()
        return found


@dataclass(frozen=True)
class Sequence:
    """A DMQN sequence: `codebooks` N of `codewords` W."""

    name: str
    codebooks: int
    codewords: int
    empty: str
    hstu: Hstu
    attention: Attention

    @classmethod
    def read(cls, value: Any, where: str) -> Sequence:
        reader = Reader(value, where)
        name = reader.name()
        reader.choice("kind", ("dmqn",))  # next: vql
        found = cls(
            name, reader.count("codebooks", 1), reader.count("codewords", 1),
            reader.choice("empty", ("masked", "zero"), "masked"),
            Hstu.read(reader.take("hstu", dict), f"{where}.hstu"),
            Attention.read(reader.take("attention", dict), f"{where}.attention"),
        )  # fmt: skip
        reader.close()
        return found


@dataclass(frozen=True)
class Head:
    """The MLP on top: one sigmoid output per name."""

    hidden: tuple[int, ...]
    activation: str
    outputs: tuple[str, ...]

    @classmethod
    def read(cls, value: Any, where: str) -> Head:
        reader = Reader(value, where)
        hidden, outputs = reader.take("hidden", list), reader.take("outputs", list)
        for width in hidden:
            if isinstance(width, bool) or not isinstance(width, int) or width < 1:
                raise ConfigError(f"{where}.hidden: expected positive integers, found {width!r}")
        if not outputs or len(set(map(str, outputs))) != len(outputs):
            raise ConfigError(f"{where}.outputs: expected different names, found {outputs!r}")
        for output in outputs:
            if not isinstance(output, str):
                raise ConfigError(f"{where}.outputs: expected names, found {output!r}")
        found = cls(tuple(hidden), reader.choice("activation", ACTIVATIONS), tuple(outputs))
        reader.close()
        return found


@dataclass(frozen=True)
class Config:
    """A whole model. `source` is the JSON object it was read from, kept as it was for the checkpoint."""

    name: str
    tables: dict[str, Table]
    groups: dict[str, tuple[Feature, ...]]
    sequences: tuple[Sequence, ...]
    head: Head
    source: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, value: Any) -> Config:
        """Config from a parsed JSON object; raises ConfigError."""
        reader = Reader(value, "config")
        version = reader.take("format", int)
        if version != 1:
            raise ConfigError(f"config.format: expected 1, found {version}")
        name = reader.take("name", str)
        tables = {
            check_name(key, "config.tables"): Table.read(table, f"config.tables.{key}")
            for key, table in reader.take("tables", dict).items()
        }
        groups = {}
        for group in GROUPS:
            listed = reader.take(group, list, [] if group in ("user", "context") else MISSING)
            features = tuple(Feature.read(f, f"config.{group}[{i}]", group, tables) for i, f in enumerate(listed))
            check_distinct([f.name for f in features], f"config.{group}")
            if sum(f.kind == "time" for f in features) > 1:
                raise ConfigError(f"config.{group}: at most one time feature")
            groups[group] = features
        if reader.take("quantizers", dict, {}):
            raise ConfigError("config.quantizers: not supported yet, expected {}")
        sequences = tuple(
            Sequence.read(s, f"config.sequences[{i}]") for i, s in enumerate(reader.take("sequences", list))
        )
        check_distinct([s.name for s in sequences], "config.sequences")
        head = Head.read(reader.take("head", dict), "config.head")
        reader.close()
        config = cls(name, tables, groups, sequences, head, value)
        if sequences and not (config.width("event") and config.width("candidate")):
            raise ConfigError("config: a sequence needs event and candidate features with a width")
        return config

    def width(self, group: str) -> int:
        """Width of a group's embedding: D for event, Dc for candidate."""
        return sum(feature.width(self.tables) for feature in self.groups[group])


def check_distinct(names: list[str], where: str) -> None:
    """Refuse a name that stands twice in a list."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: the name {name!r} stands twice")
