"""The sequences of a config: what a user's events are turned into, and the target attention over it.

A target attention is of kind "dot" or "din" wherever it stands; what it attends to is the sequence's matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from vqrank_convert.activations import ACTIVATIONS
from vqrank_convert.config_hstu import HstuLastConfig, parse_hstu_last
from vqrank_convert.config_named import Named, OverEvents
from vqrank_convert.config_sdim import SdimConfig, parse_sdim
from vqrank_convert.config_search import Feature, SimHardConfig, TwinConfig, parse_match, parse_search
from vqrank_convert.config_vql import OUT_FROM_TENSOR, VqlConfig, parse_vql, resolve_vql
from vqrank_convert.errors import ConversionError, quote, refuse
from vqrank_convert.jsontext import COUNT_MAX, UINT32_MAX, Fields, check_array, check_distinct, check_integer

# Far beyond any model; it keeps a mistaken config from asking for millions of tensors.
LAYERS_MAX = 1024


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
        """Columns of o_j, what one attention gives."""
        return self.out or self.heads * self.dim


@dataclass(frozen=True)
class DinAttentionConfig:
    """Target attention of kind "din": an MLP of widths `hidden` and one linear output weighs each token. `width` is D,
    the columns of a token, of t' and of o_j."""

    width: int
    hidden: tuple[int, ...]
    activation: str
    softmax: bool = False
    share: bool = False

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of the MLP's linear layers; the input is [t', y, t' - y, t' * y]."""
        return tuple(pairwise((4 * self.width, *self.hidden, 1)))


AttentionConfig = DotAttentionConfig | DinAttentionConfig


@dataclass(frozen=True)
class DmqnConfig(Named):
    """A sequence of kind "dmqn": N = codebooks, W = codewords."""

    name: str
    codebooks: int
    codewords: int
    empty: str
    hstu: HstuConfig
    attention: AttentionConfig

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.codebooks * self.attention.width

    @property
    def parts(self) -> tuple[int, ...]:
        """The leading dimension J of the attention's checkpoint tensors: 1 where all codebooks share them, else N."""
        return (1 if self.attention.share else self.codebooks,)


@dataclass(frozen=True)
class DinConfig(OverEvents):
    """A sequence of kind "din": target attention over the last events themselves, `last` of them at most."""

    name: str
    last: int
    attention: AttentionConfig

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.attention.width


# Those that may have a target attention.
AttendingConfig = DmqnConfig | DinConfig | SimHardConfig | TwinConfig | HstuLastConfig
SequenceConfig = AttendingConfig | VqlConfig | SdimConfig


def parse_sequences(
    values: list[Any], event_width: int, groups: Mapping[str, Sequence[Feature]]
) -> tuple[SequenceConfig, ...]:
    """Checks `config.sequences`; `event_width` is D, the columns of an event's embedding."""
    sequences = tuple(_sequence(value, i, event_width, groups) for i, value in enumerate(values))
    check_distinct([sequence.name for sequence in sequences], "config.sequences")
    if not sequences:
        raise ConversionError("config.sequences: expected at least one sequence, found none")
    return sequences


def resolve_out(sequence: SequenceConfig, shapes: Mapping[str, Sequence[int]]) -> SequenceConfig:
    """Fills in the one width that a config may leave to a tensor: Do of an attention with `"out": true`."""
    if isinstance(sequence, VqlConfig):
        return resolve_vql(sequence, shapes)
    if not isinstance(sequence, AttendingConfig):
        return sequence
    attention = sequence.attention
    if not isinstance(attention, DotAttentionConfig) or attention.out != OUT_FROM_TENSOR:
        return sequence
    name = f"{sequence.prefix}.attention.out.weight"
    shape = shapes.get(name)
    rank = len(sequence.parts) + 2
    if shape is None or len(shape) != rank or shape[-2] < 1:
        leading = "N or 1, " if sequence.parts else ""
        found = "none" if shape is None else f"shape {list(shape)}"
        refuse(f"tensor {name}", f"shape [{leading}Do, heads * dim] with any Do", found)
    return replace(sequence, attention=replace(attention, out=int(shape[-2])))


def _sequence(value: Any, i: int, event_width: int, groups: Mapping[str, Sequence[Feature]]) -> SequenceConfig:
    fields = Fields(value, f"config.sequences[{i}]")
    name = fields.name("name")
    fields.path = f"config.sequences.{name}"
    kind = fields.choice("kind", ("dmqn", "din", "vql", "sdim", "sim_hard", "twin", "hstu"))
    result: SequenceConfig
    if kind == "vql":
        result = parse_vql(name, fields)
    elif kind == "sdim":
        result = parse_sdim(name, fields, event_width)
    elif kind == "hstu":
        hstu = _hstu(Fields(fields.take("hstu"), fields.where("hstu")), clusters=False)
        attention = _attention(fields, event_width, codebooks=False) if fields.has("attention") else None
        result = parse_hstu_last(name, fields, hstu, attention, event_width)
    elif kind == "din":
        last = fields.integer("last", 1, COUNT_MAX)
        result = DinConfig(name, last, _attention(fields, event_width, codebooks=False))
    elif kind == "sim_hard":
        last, top = parse_search(fields)
        match = parse_match(fields, groups)
        result = SimHardConfig(name, last, top, *match, _attention(fields, event_width, codebooks=False))
    elif kind == "twin":
        last, top = parse_search(fields)
        attention = _attention(fields, event_width, codebooks=False, kinds=("dot",))
        assert isinstance(attention, DotAttentionConfig)
        result = TwinConfig(name, last, top, attention)
    else:
        codebooks = fields.integer("codebooks", 1, COUNT_MAX)
        codewords = fields.integer("codewords", 1, COUNT_MAX)
        empty = fields.choice("empty", ("masked", "zero"), default="masked")
        hstu = _hstu(Fields(fields.take("hstu"), fields.where("hstu")), clusters=True)
        attention = _attention(fields, event_width, codebooks=True)
        result = DmqnConfig(name, codebooks, codewords, empty, hstu, attention)
    fields.finish()
    return result


def _hstu(fields: Fields, clusters: bool) -> HstuConfig:
    """HSTU over a codebook's `clusters`, or over events in order, which have no codebooks to share weights among."""
    layers = fields.integer("layers", 0, LAYERS_MAX)
    absent = 0 if layers == 0 else None
    least = 1 if layers else 0
    heads = fields.integer("heads", least, COUNT_MAX, default=absent)
    qk_dim = fields.integer("qk_dim", least, COUNT_MAX, default=absent)
    v_dim = fields.integer("v_dim", least, COUNT_MAX, default=absent)
    normalize, constant = fields.take_or("normalize", "one"), 0
    if isinstance(normalize, dict):
        inner = Fields(normalize, fields.where("normalize"))
        constant = inner.integer("constant", 1)
        inner.finish()
        normalize = "constant"
    elif normalize not in ("one", "tokens", "attended"):
        refuse(fields.where("normalize"), '"one", "tokens", "attended" or {"constant": n}', quote(normalize))
    biases = ("none", "dense", "toeplitz") if clusters else ("none", "toeplitz")
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
        bias=fields.choice("bias", biases, default="dense" if clusters else "toeplitz"),
        normalize=normalize,
        normalize_constant=constant,
        norm=fields.choice("norm", ("layer", "group"), default="layer"),
        output=fields.choice("output", ("gated", "concat", "concat_raw"), default="gated"),
        residual=fields.boolean("residual"),
        eps=eps,
        share=clusters and fields.boolean("share"),
    )
    fields.finish()
    return result


def _attention(
    sequence: Fields, event_width: int, codebooks: bool, kinds: tuple[str, ...] = ("dot", "din")
) -> AttentionConfig:
    """The sequence's target attention. Only where there are `codebooks` may they share it and may it count events."""
    fields = Fields(sequence.take("attention"), sequence.where("attention"))
    kind = fields.choice("kind", kinds)
    share = codebooks and fields.boolean("share")
    result: AttentionConfig
    if kind == "din":
        hidden = parse_hidden(fields, COUNT_MAX)
        activation = fields.choice("activation", ACTIVATIONS)
        result = DinAttentionConfig(event_width, hidden, activation, fields.boolean("softmax"), share)
    else:
        heads = fields.integer("heads", 1, COUNT_MAX)
        dim = fields.integer("dim", 1, COUNT_MAX)
        out = OUT_FROM_TENSOR if fields.boolean("out") else 0  # as wide as the tensor says (`resolve_out`)
        count_bias = codebooks and fields.boolean("count_bias")
        result = DotAttentionConfig(heads, dim, share, out, count_bias)
    fields.finish()
    return result


def parse_hidden(fields: Fields, maximum: int = UINT32_MAX) -> tuple[int, ...]:
    """Widths of an MLP's hidden layers; there may be none."""
    path = fields.where("hidden")
    widths = check_array(fields.take("hidden"), path)
    if len(widths) >= LAYERS_MAX:  # the last layer is one more
        refuse(path, f"fewer than {LAYERS_MAX} layers", str(len(widths)))
    return tuple(check_integer(width, f"{path}[{i}]", 1, maximum) for i, width in enumerate(widths))
