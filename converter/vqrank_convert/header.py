"""The FlatBuffers header of a .vqr file (schema/model.fbs).

Every field is written even where it has its default value. The header's size then depends on the names and shapes
alone: it is known before the offsets, exponents and golden bits that go into it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers

from vqrank_convert.config import GROUPS, Config, FeatureConfig
from vqrank_convert.config_hstu import HstuLastConfig
from vqrank_convert.config_sdim import SdimConfig
from vqrank_convert.config_search import SimHardConfig, TwinConfig
from vqrank_convert.config_sequences import (
    DinAttentionConfig,
    DmqnConfig,
    DotAttentionConfig,
    HstuConfig,
    SequenceConfig,
)
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.errors import refuse
from vqrank_convert.exponents import event_bounds, feature_exponents
from vqrank_convert.plan import Plan, bias_is_per_head
from vqrank_convert.plan_vql import value_exponents
from vqrank_convert.version import __version__
from vqrank_schema.Activate import Activate
from vqrank_schema.Activation import Activation
from vqrank_schema.Alpha import Alpha
from vqrank_schema.Assignments import AssignmentsT
from vqrank_schema.AttentionBias import AttentionBias
from vqrank_schema.Combine import Combine
from vqrank_schema.Din import DinT
from vqrank_schema.DinAttention import DinAttentionT
from vqrank_schema.Dmqn import DmqnT
from vqrank_schema.DotAttention import DotAttentionT
from vqrank_schema.EmbeddingTable import EmbeddingTableT
from vqrank_schema.Empty import Empty
from vqrank_schema.Feature import FeatureT
from vqrank_schema.FeatureKind import FeatureKind
from vqrank_schema.Golden import GoldenT
from vqrank_schema.Head import HeadT
from vqrank_schema.Hstu import HstuT
from vqrank_schema.HstuLast import HstuLastT
from vqrank_schema.IdMapping import IdMapping
from vqrank_schema.Kept import Kept
from vqrank_schema.Model import ModelT
from vqrank_schema.Norm import Norm
from vqrank_schema.Normalize import Normalize
from vqrank_schema.Output import Output
from vqrank_schema.Pool import Pool
from vqrank_schema.Quantizer import QuantizerT
from vqrank_schema.QuantizerKind import QuantizerKind
from vqrank_schema.Scale import Scale
from vqrank_schema.Scores import Scores
from vqrank_schema.Sdim import SdimT
from vqrank_schema.Sequence import SequenceT
from vqrank_schema.SequenceKind import SequenceKind
from vqrank_schema.SimHard import SimHardT
from vqrank_schema.Tensor import TensorT
from vqrank_schema.Twin import TwinT
from vqrank_schema.Vql import VqlT
from vqrank_schema.VqlGroup import VqlGroupT

FORMAT_VERSION = 6
IDENTIFIER = b"VQRM"
HEADER_LIMIT = 64 << 20
# The config's text is for people: past this many bytes the vocabularies' keys, which are in tensors, are left out.
CONFIG_TEXT_LIMIT = 64 << 10

ID_MAPPING = {"direct": IdMapping.Direct, "vocabulary": IdMapping.Vocabulary, "hash": IdMapping.Hash}
FEATURE_KIND = {
    "id": FeatureKind.Id,
    "ids": FeatureKind.Ids,
    "float": FeatureKind.Float,
    "time": FeatureKind.Time,
    "vector": FeatureKind.Vector,
    "semantic_id": FeatureKind.SemanticId,
}
SCORES = {"fp32": Scores.F32, "int8": Scores.Int8, "int8-exact": Scores.Int8Exact}
QUANTIZER_KIND = {"rq_gmm": QuantizerKind.RqGmm, "rq_kmeans": QuantizerKind.RqKmeans}
ACTIVATION = {
    "relu": Activation.Relu,
    "silu": Activation.Silu,
    "leaky_relu": Activation.LeakyRelu,
    "prelu": Activation.Prelu,
    "gelu": Activation.Gelu,
    "tanh": Activation.Tanh,
    "dice": Activation.Dice,
}


@dataclass(frozen=True)
class GoldenEntry:
    """A golden request as the file holds it; `bits` and `float64` are row-major [candidates, outputs], and differ by at
    most `bound`."""

    request: str
    bits: Sequence[int]
    float64: Sequence[float]
    bound: float


def config_text(config: Config) -> str:
    """The config in one canonical form: keys sorted, no spaces."""

    def dump(raw: dict[str, Any]) -> str:
        return json.dumps(raw, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    text = dump(config.raw)
    if len(text.encode("utf-8")) > CONFIG_TEXT_LIMIT:
        tables = {
            name: {key: value for key, value in table.items() if key != "keys"}
            for name, table in config.raw["tables"].items()
        }
        text = dump({**config.raw, "tables": tables})
    return text


def build_header(
    plan: Plan,
    offsets: Sequence[int],
    file_length: int,
    exponents: Mapping[str, int],
    golden: GoldenEntry | None,
) -> bytes:
    """The header's bytes, size prefix included. `offsets` are in the order of plan.tensors, `exponents` by table."""
    config = plan.config
    model = ModelT()
    model.formatVersion = FORMAT_VERSION
    model.name = config.name
    model.producer = f"vqrank-convert {__version__}"
    model.tables = _tables(plan)
    model.quantizers = _quantizers(config)
    for group in GROUPS:
        features = [_feature(config, feature, group, exponents) for feature in config.groups[group]]
        setattr(model, group, features)
    model.sequences = [_sequence(plan, sequence, exponents) for sequence in config.sequences]
    model.head = _head(config)
    model.tensors = []
    for planned, offset in zip(plan.tensors, offsets, strict=True):
        tensor = TensorT()
        tensor.name, tensor.type, tensor.layout = planned.name, int(planned.type), int(planned.layout)
        tensor.shape, tensor.offset, tensor.length = list(planned.shape), offset, planned.length
        model.tensors.append(tensor)
    if plan.stored is not None:
        model.assignments = AssignmentsT()
        model.assignments.key, model.assignments.determined = plan.stored.key, plan.stored.determined
    model.fileLength = file_length
    model.config = config_text(config)
    model.golden = [] if golden is None else [_golden(golden)]
    builder = flatbuffers.Builder(1 << 16)
    builder.ForceDefaults(True)
    builder.FinishSizePrefixed(model.Pack(builder), IDENTIFIER)
    header = bytes(builder.Output())
    if len(header) > HEADER_LIMIT:
        refuse("model header", f"at most {HEADER_LIMIT} bytes", str(len(header)))
    return header


def _tables(plan: Plan) -> list[Any]:
    result = []
    for table in plan.config.tables.values():
        entry = EmbeddingTableT()
        entry.name, entry.rows, entry.dim = table.name, table.rows, table.dim
        entry.ids = ID_MAPPING[table.ids]
        entry.keys = len(table.keys)
        entry.maxProbe = plan.max_probe.get(table.name, 0)
        result.append(entry)
    return result


def _quantizers(config: Config) -> list[Any]:
    result = []
    for quantizer in config.quantizers.values():
        entry = QuantizerT()
        entry.name, entry.kind = quantizer.name, QUANTIZER_KIND[quantizer.kind]
        entry.levels, entry.codes, entry.dim = quantizer.levels, quantizer.codes, quantizer.dim
        result.append(entry)
    return result


def _feature(config: Config, feature: FeatureConfig, group: str, exponents: Mapping[str, int]) -> Any:
    tables = list(config.tables)
    entry = FeatureT()
    entry.name, entry.width = feature.name, feature.width
    entry.kind = FEATURE_KIND[feature.kind]
    entry.table = -1 if feature.table is None else tables.index(feature.table)
    entry.mean, entry.std = feature.mean, feature.std
    entry.pool = Pool.Mean if feature.pool == "mean" else Pool.Sum
    entry.exponent = 0
    found = feature_exponents(config, feature, exponents) if group == "event" and feature.width else []
    if feature.semantic is not None:
        semantic = feature.semantic
        entry.quantizer = list(config.quantizers).index(semantic.quantizer.name)
        entry.levels = [tables.index(name) for name in semantic.tables]
        entry.combine = Combine.Sum if semantic.combine == "sum" else Combine.Concat
        if semantic.combine == "concat":
            entry.exponents, found = [s for s, _ in found], []
    if found:
        entry.exponent = found[0][0]
    return entry


def _sequence(plan: Plan, sequence: SequenceConfig, exponents: Mapping[str, int]) -> Any:
    entry = SequenceT()
    entry.name = sequence.name
    if isinstance(sequence, VqlConfig):
        entry.kindType, entry.kind = SequenceKind.Vql, _vql(plan, sequence, exponents)
        return entry
    if isinstance(sequence, SdimConfig):
        event_bounds(plan.config, plan.columns[sequence.name], exponents, f"tensor {sequence.prefix}.sdim.hash")
        sdim = SdimT()
        sdim.hashes, sdim.bits = sequence.hashes, sequence.bits
        entry.kindType, entry.kind = SequenceKind.Sdim, sdim
        return entry
    if isinstance(sequence, HstuLastConfig):
        entry.kindType, entry.kind = SequenceKind.HstuLast, _hstu_last(sequence)
    elif isinstance(sequence, DmqnConfig):
        dmqn = DmqnT()
        dmqn.codebooks, dmqn.codewords = sequence.codebooks, sequence.codewords
        dmqn.empty = {"masked": Empty.Masked, "zero": Empty.Zero}[sequence.empty]
        dmqn.hstu = _hstu(sequence.hstu, bias_is_per_head(plan, sequence))
        dmqn.scores = SCORES[plan.parts.scores(sequence)]
        entry.kindType, entry.kind = SequenceKind.Dmqn, dmqn
    elif isinstance(sequence, SimHardConfig):
        entry.kindType, entry.kind = SequenceKind.SimHard, SimHardT()
        entry.kind.last, entry.kind.top = sequence.last, sequence.top
        entry.kind.event, entry.kind.candidate = sequence.event, sequence.candidate
    elif isinstance(sequence, TwinConfig):
        entry.kindType, entry.kind = SequenceKind.Twin, TwinT()
        entry.kind.last, entry.kind.top = sequence.last, sequence.top
    else:
        din = DinT()
        din.last = sequence.last
        entry.kindType, entry.kind = SequenceKind.Din, din
    if isinstance(sequence.attention, DotAttentionConfig):
        entry.kind.attention = _dot_attention(sequence.attention)
        entry.kind.attention.state = Kept.Int8 if plan.parts.state_is_int8(sequence) else Kept.F32
    elif sequence.attention is not None:
        entry.kind.din = _din_attention(sequence.attention)
    return entry


def _hstu_last(sequence: HstuLastConfig) -> Any:
    entry = HstuLastT()
    entry.last, entry.positions, entry.timeBuckets = sequence.last, sequence.positions, sequence.time_buckets
    entry.scale = {"one": Scale.One, "sqrt": Scale.Sqrt}[sequence.scale]
    entry.hstu = _hstu(sequence.hstu, per_head=False)
    return entry


def _vql(plan: Plan, sequence: VqlConfig, exponents: Mapping[str, int]) -> Any:
    entry = VqlT()
    entry.heads, entry.dim, entry.vDim = sequence.heads, sequence.dim, sequence.v_dim
    entry.decayTerms, entry.out = sequence.decay_terms, sequence.out
    entry.scores = SCORES[plan.parts.scores(sequence)]
    entry.groups = []
    for group in sequence.groups:
        one = VqlGroupT()
        one.heads, one.codewords = list(group.heads), group.codewords
        entry.groups.append(one)
    entry.exponents = value_exponents(plan.config, sequence, plan.columns[sequence.name], exponents)
    return entry


def _dot_attention(attention: DotAttentionConfig) -> Any:
    entry = DotAttentionT()
    entry.heads, entry.dim, entry.out = attention.heads, attention.dim, attention.out
    entry.share, entry.countBias = attention.share, attention.count_bias
    return entry


def _din_attention(attention: DinAttentionConfig) -> Any:
    entry = DinAttentionT()
    entry.hidden, entry.activation = list(attention.hidden), ACTIVATION[attention.activation]
    entry.softmax, entry.share = attention.softmax, attention.share
    return entry


def _hstu(hstu: HstuConfig, per_head: bool) -> Any:
    entry = HstuT()
    entry.layers, entry.heads, entry.qkDim, entry.vDim = hstu.layers, hstu.heads, hstu.qk_dim, hstu.v_dim
    entry.preNorm, entry.affine, entry.residual, entry.share = hstu.pre_norm, hstu.affine, hstu.residual, hstu.share
    entry.activate = {"all": Activate.All, "u": Activate.U}[hstu.activate]
    entry.alpha = {"one": Alpha.One, "rsqrt": Alpha.Rsqrt}[hstu.alpha]
    entry.bias = AttentionBias.PerHead if per_head else AttentionBias.Shared
    if hstu.bias == "none":
        entry.bias = AttentionBias.None_
    entry.normalize = {
        "one": Normalize.One,
        "tokens": Normalize.Tokens,
        "attended": Normalize.Attended,
        "constant": Normalize.Constant,
    }[hstu.normalize]
    entry.normalizeConstant = hstu.normalize_constant
    entry.norm = {"layer": Norm.Layer, "group": Norm.Group}[hstu.norm]
    entry.output = {"gated": Output.Gated, "concat": Output.Concat, "concat_raw": Output.ConcatRaw}[hstu.output]
    entry.eps = hstu.eps
    return entry


def _head(config: Config) -> Any:
    entry = HeadT()
    entry.hidden = list(config.head.hidden)
    entry.activation = ACTIVATION[config.head.activation]
    entry.outputs = list(config.head.outputs)
    return entry


def _golden(golden: GoldenEntry) -> Any:
    entry = GoldenT()
    entry.request, entry.bits, entry.float64 = golden.request, list(golden.bits), list(golden.float64)
    entry.bound = golden.bound
    return entry
