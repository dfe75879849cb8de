"""The checkpoint's JSON config, checked and typed (docs/model.md, section 5).

Everything here is about the configuration alone; whether tensors fit it is `tensors.py`. What the specification has and
this release does not run is refused by name here, so that no later module has to think of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vqrank_convert.errors import ConversionError, not_supported, quote, refuse
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
OUT_FROM_TENSOR = -1
# Far beyond any model; it keeps a mistaken config from asking for millions of tensors.
LAYERS_MAX = 1024
GROUPS = ("user", "context", "event", "candidate")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class TableConfig:
    """An embedding table [rows, dim]; row 0 is the unknown row. `keys[i]` is row i + 1 (vocabulary only)."""

    name: str
    rows: int
    dim: int
    ids: str
    keys: tuple[int | str, ...] = ()

    @property
    def tensor(self) -> str:
        return f"tables.{self.name}.weight"


@dataclass(frozen=True)
class FeatureConfig:
    """One feature of a group; `width` is its columns of the group's embedding (time: 0)."""

    name: str
    kind: str
    width: int
    table: str | None = None
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True)
class HstuConfig:
    """HSTU blocks of a DMQN sequence (docs/model.md, section 3). Without layers the other values mean nothing."""

    layers: int
    heads: int = 0
    qk_dim: int = 0
    v_dim: int = 0
    pre_norm: bool = False
    affine: bool = True
    activate: str = "all"
    alpha: str = "one"
    bias: str = "dense"
    normalize: str = "one"
    normalize_constant: int = 0
    norm: str = "layer"
    output: str = "gated"
    residual: bool = False
    eps: float = 1e-5
    share: bool = False

    @property
    def z_width(self) -> int:
        """Columns of Z, the input of F2."""
        return self.heads * self.v_dim * (1 if self.output == "gated" else 3)

    @property
    def f1_width(self) -> int:
        """Columns of [U, V, Q, K], the output of F1."""
        return 2 * self.heads * self.v_dim + 2 * self.heads * self.qk_dim


@dataclass(frozen=True)
class DotAttentionConfig:
    """Target attention of kind "dot": `heads` of width `dim`; `out` is Do, 0 for no output projection, or
    OUT_FROM_TENSOR until `resolve`."""

    heads: int
    dim: int
    share: bool = False
    out: int = 0
    count_bias: bool = False

    @property
    def width(self) -> int:
        """Columns of o_j, one codebook's part of the interest vector."""
        return self.out or self.heads * self.dim


@dataclass(frozen=True)
class DmqnConfig:
    """A sequence of kind "dmqn": N = codebooks, W = codewords."""

    name: str
    codebooks: int
    codewords: int
    empty: str
    hstu: HstuConfig
    attention: DotAttentionConfig

    @property
    def prefix(self) -> str:
        return f"sequences.{self.name}"

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.codebooks * self.attention.width


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
    sequences: tuple[DmqnConfig, ...]
    head: HeadConfig
    raw: dict[str, Any]

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
    groups = {}
    for group in GROUPS:
        values = top.array(group) if group in ("event", "candidate") else top.array_or_empty(group)
        groups[group] = _features(values, group, tables)
    for quantizer in check_object(top.take_or("quantizers", {}), "config.quantizers"):
        not_supported(f"config.quantizers.{check_name(quantizer, 'config.quantizers')}", "a quantizer")
    sequences = _sequences(top.array("sequences"))
    head = _head(top.take("head"))
    top.finish()
    for group in ("event", "candidate"):
        if sum(feature.width for feature in groups[group]) == 0:
            refuse(f"config.{group}", "at least one feature with an embedding", f"{len(groups[group])} features")
    return Config(name, tables, groups, sequences, head, raw)


def resolve(config: Config, shapes: Mapping[str, Sequence[int]]) -> Config:
    """Fills in the one width that a config may leave to a tensor: Do of an attention with `"out": true`."""
    sequences = []
    for sequence in config.sequences:
        if sequence.attention.out == OUT_FROM_TENSOR:
            name = f"{sequence.prefix}.attention.out.weight"
            if name not in shapes or len(shapes[name]) != 3 or shapes[name][1] < 1:
                found = f"shape {list(shapes[name])}" if name in shapes else "none"
                refuse(f"tensor {name}", "shape [N or 1, Do, heads * dim] with any Do", found)
            attention = replace(sequence.attention, out=int(shapes[name][1]))
            sequence = replace(sequence, attention=attention)
        sequences.append(sequence)
    return replace(config, sequences=tuple(sequences))


def _tables(value: Any) -> dict[str, TableConfig]:
    entries = check_object(value, "config.tables")
    return {check_name(name, "config.tables"): _table(name, entry) for name, entry in entries.items()}


def _table(name: str, value: Any) -> TableConfig:
    fields = Fields(value, f"config.tables.{name}")
    rows = fields.integer("rows", 1, INT64_MAX)
    dim = fields.integer("dim", 1)
    ids = fields.choice("ids", ("direct", "vocabulary"), later=("hash",))
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


def _features(values: list[Any], group: str, tables: dict[str, TableConfig]) -> tuple[FeatureConfig, ...]:
    features = tuple(_feature(value, group, i, tables) for i, value in enumerate(values))
    check_distinct([feature.name for feature in features], f"config.{group}")
    times = [quote(feature.name) for feature in features if feature.kind == "time"]
    if len(times) > 1:
        refuse(f"config.{group}", "at most one feature of kind time", " and ".join(times))
    return features


def _feature(value: Any, group: str, i: int, tables: dict[str, TableConfig]) -> FeatureConfig:
    fields = Fields(value, f"config.{group}[{i}]")
    name = fields.name("name")
    fields.path = f"config.{group}.{name}"
    kind = fields.choice("kind", ("id", "float", "time"), later=("ids", "vector", "semantic_id"))
    table: str | None = None
    mean, std, width = 0.0, 1.0, 0
    if kind == "id":
        table = fields.name("table")
        if table not in tables:
            refuse(fields.where("table"), "a table of config.tables", quote(table))
        width = tables[table].dim
    elif kind == "float":
        mean, std, width = fields.number("mean", 0.0), fields.number("std", 1.0), 1
        if not std > 0:
            refuse(fields.where("std"), "a number above 0", quote(std))
    elif group != "event":
        refuse(fields.where("kind"), "time in config.event only", quote(kind))
    fields.finish()
    return FeatureConfig(name, kind, width, table, mean, std)


def _sequences(values: list[Any]) -> tuple[DmqnConfig, ...]:
    sequences = tuple(_sequence(value, i) for i, value in enumerate(values))
    check_distinct([sequence.name for sequence in sequences], "config.sequences")
    if not sequences:
        raise ConversionError("config.sequences: expected at least one sequence, found none")
    return sequences


def _sequence(value: Any, i: int) -> DmqnConfig:
    fields = Fields(value, f"config.sequences[{i}]")
    name = fields.name("name")
    fields.path = f"config.sequences.{name}"
    fields.choice("kind", ("dmqn",), later=("vql",))
    codebooks = fields.integer("codebooks", 1)
    codewords = fields.integer("codewords", 1)
    empty = fields.choice("empty", ("masked", "zero"), default="masked")
    hstu = _hstu(Fields(fields.take("hstu"), fields.where("hstu")))
    attention = _attention(Fields(fields.take("attention"), fields.where("attention")))
    fields.finish()
    return DmqnConfig(name, codebooks, codewords, empty, hstu, attention)


def _hstu(fields: Fields) -> HstuConfig:
    layers = fields.integer("layers", 0, LAYERS_MAX)
    absent = 0 if layers == 0 else None
    least = 1 if layers else 0
    heads = fields.integer("heads", least, default=absent)
    qk_dim = fields.integer("qk_dim", least, default=absent)
    v_dim = fields.integer("v_dim", least, default=absent)
    normalize, constant = fields.take_or("normalize", "one"), 0
    if isinstance(normalize, dict):
        inner = Fields(normalize, fields.where("normalize"))
        constant = inner.integer("constant", 1)
        inner.finish()
        normalize = "constant"
    elif normalize not in ("one", "tokens", "attended"):
        refuse(fields.where("normalize"), '"one", "tokens", "attended" or {"constant": n}', quote(normalize))
    eps = fields.number("eps", 1e-5)
    if not 1e-37 < eps < 1e37:
        refuse(fields.where("eps"), "a number above 0 that float32 holds", quote(eps))
    result = HstuConfig(
        layers,
        heads,
        qk_dim,
        v_dim,
        pre_norm=fields.boolean("pre_norm"),
        affine=fields.boolean("affine", True),
        activate=fields.choice("activate", ("all", "u"), default="all"),
        alpha=fields.choice("alpha", ("one", "rsqrt"), default="one"),
        bias=fields.choice("bias", ("none", "dense", "toeplitz"), default="dense"),
        normalize=normalize,
        normalize_constant=constant,
        norm=fields.choice("norm", ("layer", "group"), default="layer"),
        output=fields.choice("output", ("gated", "concat", "concat_raw"), default="gated"),
        residual=fields.boolean("residual"),
        eps=eps,
        share=fields.boolean("share"),
    )
    fields.finish()
    return result


def _attention(fields: Fields) -> DotAttentionConfig:
    fields.choice("kind", ("dot",), later=("din",))
    heads = fields.integer("heads", 1)
    dim = fields.integer("dim", 1)
    share = fields.boolean("share")
    out = OUT_FROM_TENSOR if fields.boolean("out") else 0  # as wide as the tensor says (`resolve`)
    count_bias = fields.boolean("count_bias")
    fields.finish()
    return DotAttentionConfig(heads, dim, share, out, count_bias)


def _head(value: Any) -> HeadConfig:
    fields = Fields(value, "config.head")
    hidden = tuple(
        check_integer(width, f"config.head.hidden[{i}]", 1, UINT32_MAX)
        for i, width in enumerate(fields.array("hidden"))
    )
    activation = fields.choice("activation", ("relu", "silu"), later=("leaky_relu", "prelu", "gelu", "tanh", "dice"))
    outputs = [
        check_output_name(name, f"config.head.outputs[{i}]")
        for i, name in enumerate(check_array(fields.take("outputs"), "config.head.outputs"))
    ]
    fields.finish()
    if not outputs:
        raise ConversionError("config.head.outputs: expected at least one output, found none")
    check_distinct(outputs, "config.head.outputs")
    return HeadConfig(hidden, activation, tuple(outputs))
