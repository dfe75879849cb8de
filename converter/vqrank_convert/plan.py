"""What a model file will hold: its tensors in file order, made from the checkpoint's.

Small tensors are made here and kept; embedding tables are streamed while the file is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.activations import DICE_EPS, parameters
from vqrank_convert.assignments import Stored
from vqrank_convert.checkpoint import Checkpoint, LazyTable, round32
from vqrank_convert.config import Config, TableConfig
from vqrank_convert.config_hstu import HstuLastConfig, time_edges
from vqrank_convert.config_sdim import SdimConfig
from vqrank_convert.config_sequences import AttendingConfig, DmqnConfig, DotAttentionConfig, HstuConfig
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.errors import refuse
from vqrank_convert.fold import expand_toeplitz, fold, fold_differences, inverse_deviation
from vqrank_convert.int8 import FP32, Int8Options, Parts
from vqrank_convert.int8_rows import LARGEST
from vqrank_convert.layout import Layout, TensorType, byte_length, pack
from vqrank_convert.plan_int8 import add_fold, add_state, add_weight, table_to_int8
from vqrank_convert.plan_quantizers import plan_quantizer
from vqrank_convert.plan_vql import plan_vql
from vqrank_convert.vocabulary import build

F64 = npt.NDArray[np.float64]
# What readers of the file accept.
TENSORS_MAX = 16384


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the file. `data` is its bytes as an array; None for the embedding table `table` and its scales,
    which are streamed. `part` is the row of the summary that counts it. `fp32_shape`: its shape in a file without int8,
    empty where that has no such tensor, None where it has the same."""

    name: str
    part: str
    type: TensorType
    layout: Layout
    shape: tuple[int, ...]
    data: npt.NDArray[Any] | None = None
    table: TableConfig | None = None
    fp32_shape: tuple[int, ...] | None = None

    @property
    def length(self) -> int:
        return byte_length(self.type, self.layout, self.shape)


@dataclass
class Plan:
    """The tensors in file order, the longest probe of each vocabulary by table, columns that events are multiplied with
    ([D, n]: a vql sequence's values, an sdim sequence's directions) by the sequence's name, notes on what was computed,
    by option what became int8 and what was asked to and did not, and what is stored per item."""

    config: Config
    parts: Parts
    tensors: list[PlannedTensor] = field(default_factory=list)
    max_probe: dict[str, int] = field(default_factory=dict)
    columns: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    became: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    stored: Stored | None = None

    def add(self, name: str, part: str, layout: Layout, values: F64, fp32_shape: tuple[int, ...] | None = None) -> None:
        """A float32 tensor from float64 values, rounded once."""
        self.add_packed(name, part, TensorType.F32, layout, round32(values, name), fp32_shape)

    def add_packed(
        self,
        name: str,
        part: str,
        kind: TensorType,
        layout: Layout,
        values: npt.NDArray[Any],
        fp32_shape: tuple[int, ...] | None = None,
    ) -> None:
        """A tensor whose values are already those of the file."""
        data = pack(values, layout)
        self.tensors.append(PlannedTensor(name, part, kind, layout, values.shape, data, fp32_shape=fp32_shape))

    def add_raw(self, name: str, part: str, kind: TensorType, data: npt.NDArray[Any]) -> None:
        self.tensors.append(PlannedTensor(name, part, kind, Layout.ROWS, data.shape, data))

    def store(self, stored: Stored) -> None:
        """Adds stored assignments, before the tables: events read them as they read these."""
        own = [
            PlannedTensor(name, "assignments", kind, Layout.ROWS, data.shape, data)
            for name, (kind, data) in stored.tensors.items()
        ]
        first = next(i for i, tensor in enumerate(self.tensors) if tensor.part == "tables")
        self.tensors[first:first] = own
        self.stored = stored
        if len(self.tensors) > TENSORS_MAX:
            refuse("model", f"at most {TENSORS_MAX} tensors", str(len(self.tensors)))

    def int8(
        self, option: str, name: str, reason: str | None = None, kept: Sequence[int] = (), fine: Sequence[int] = ()
    ) -> None:
        """Notes that `name` became int8 by an option, but for the columns `kept` and with the keys `fine` kept twice,
        or why it did not."""
        name = name.removeprefix("sequences.")
        if reason is None:
            columns = f" (keeps {len(kept)} column{'s' if len(kept) > 1 else ''})" if kept else ""
            keys = f" ({len(fine)} fine key{'s' if len(fine) > 1 else ''})" if fine else ""
            self.became.setdefault(option, []).append(name + columns + keys)
        else:
            self.kept.setdefault(option, []).append((name, reason))

    def in_fp32(self) -> "Plan":
        """The tensors of the same model in a file without int8, without their bytes."""
        tensors = []
        for tensor in self.tensors:
            shape = tensor.shape if tensor.fp32_shape is None else tensor.fp32_shape
            if tensor.fp32_shape != ():
                narrow = tensor.type is TensorType.I8
                kind = TensorType.F32 if narrow else tensor.type
                layout = Layout.PANELS if tensor.layout is Layout.QUADS else tensor.layout
                tensors.append(replace(tensor, type=kind, layout=layout, shape=shape, data=None))
        return replace(self, parts=Parts(self.config, FP32), tensors=tensors)


class Weights(dict[str, Any]):
    """The checkpoint's tensors in float64, and its tables row by row: what `reference.score` takes."""


def load(checkpoint: Checkpoint, config: Config) -> Weights:
    """Reads every tensor but the embedding tables; refuses values that are not finite."""
    tables = {table.tensor for table in config.tables.values()}
    weights = Weights()
    for name in checkpoint.tensors:
        weights[name] = LazyTable(checkpoint, checkpoint.tensors[name]) if name in tables else checkpoint.read(name)
    return weights


def make_plan(config: Config, weights: Weights, bar_from: float, int8: Int8Options = FP32) -> Plan:
    """Computes everything but the embedding tables. Tables come last in the file: the rest then shares few pages."""
    plan = Plan(config, Parts(config, int8))
    if int8.weights == "int8":
        for name, reason in plan.parts.fixed.items():
            plan.int8("weights", name, reason)
    for quantizer in config.quantizers.values():
        plan_quantizer(plan, quantizer, weights)
    for sequence in config.sequences:
        if isinstance(sequence, VqlConfig):
            plan_vql(plan, sequence, weights)
            continue
        if isinstance(sequence, SdimConfig):
            _plan_sdim(plan, sequence, weights)
            continue
        if isinstance(sequence, DmqnConfig):
            _plan_dmqn(plan, sequence, weights)
        elif isinstance(sequence, HstuLastConfig):
            _plan_hstu_last(plan, sequence, weights)
        _plan_attention(plan, sequence, weights)
    hidden = len(config.head.hidden)
    for layer in range(hidden + 1):
        _add_linear(plan, f"head.{layer}", "head", weights)
        if layer < hidden:
            _add_parameters(plan, f"head.{layer}", "head", config.head.activation, weights)
    for table in config.tables.values():
        if table.ids == "vocabulary":
            vocabulary = build(table, bar_from)
            prefix = f"tables.{table.name}"
            plan.add_raw(f"{prefix}.keys", "vocabularies", TensorType.U32, vocabulary.keys)
            plan.add_raw(f"{prefix}.text", "vocabularies", TensorType.U8, vocabulary.text)
            plan.add_raw(f"{prefix}.slots", "vocabularies", TensorType.U32, vocabulary.slots)
            plan.max_probe[table.name] = vocabulary.max_probe
    for table in config.tables.values():
        _plan_table(plan, table)
    if len(plan.tensors) > TENSORS_MAX:
        refuse("model", f"at most {TENSORS_MAX} tensors", str(len(plan.tensors)))
    return plan


def _plan_table(plan: Plan, table: TableConfig) -> None:
    shape = (table.rows, table.dim)
    if plan.parts.options.tables == "int8":
        narrow = None if plan.parts.table_is_int8(table) else f"too narrow: {table.dim}"
        plan.int8("tables", table.name, narrow)
    if not plan.parts.table_is_int8(table):
        plan.tensors.append(PlannedTensor(table.tensor, "tables", TensorType.F32, Layout.ROWS, shape, table=table))
        return
    plan.tensors += [
        PlannedTensor(table.tensor, "tables", TensorType.I8, Layout.ROWS, shape, table=table),
        PlannedTensor(table.scale, "tables", TensorType.F32, Layout.ROWS, (table.rows,), table=table, fp32_shape=()),
    ]


def _add_linear(plan: Plan, name: str, part: str, weights: Weights) -> None:
    """A linear layer, stored [..., out, in] in the checkpoint and [..., in, out] in the file; its bias always."""
    weight: F64 = weights[f"{name}.weight"]
    add_weight(plan, name, part, np.swapaxes(weight, -1, -2))
    _add_bias(plan, name, part, weight, weights)


def _add_bias(plan: Plan, name: str, part: str, weight: F64, weights: Weights) -> None:
    """The bias of a layer with weight [..., out, in]; zeros if the checkpoint has none."""
    bias: F64 | None = weights.get(f"{name}.bias")
    values = np.zeros(weight.shape[:-1]) if bias is None else bias
    plan.add(f"{name}.bias", part, Layout.PADDED_ROWS, values)


def _add_parameters(plan: Plan, layer: str, part: str, activation: str, weights: Weights) -> None:
    """The activation's parameters beside a hidden layer; dice's variance as what it is divided by, turned over."""
    for parameter in parameters(activation):
        name = f"{layer}.{parameter}"
        values: F64 = weights[name]
        if parameter == "var":
            values, name = inverse_deviation(values, DICE_EPS, name), f"{layer}.inv_std"
        plan.add(name, part, Layout.PADDED_ROWS, values)


def _plan_dmqn(plan: Plan, sequence: DmqnConfig, weights: Weights) -> None:
    prefix, hstu = sequence.prefix, sequence.hstu
    folded = fold(weights[f"{prefix}.projection"], weights[f"{prefix}.codebook"])
    add_fold(plan, f"{prefix}.fold", sequence, folded)
    plan.notes.append(f"{prefix}.fold = projection codebook^T, {sequence.codebooks} x {folded.shape[1:]}")
    biases = _relative_biases(sequence, weights)
    for layer in range(hstu.layers):
        if hstu.bias != "none":
            plan.add(f"{prefix}.hstu.{layer}.bias", "hstu", Layout.PADDED_ROWS, biases[layer])
        _plan_block(plan, hstu, f"{prefix}.hstu.{layer}", weights)
    if hstu.bias == "toeplitz" and hstu.layers:
        plan.notes.append(f"{prefix}.hstu bias expanded from toeplitz, {list(biases[0].shape)} a layer")


def _plan_block(plan: Plan, hstu: HstuConfig, p: str, weights: Weights) -> None:
    """One layer's tensors but for the biases of its scores."""
    if hstu.affine and hstu.pre_norm:
        _add_norm(plan, f"{p}.pre_norm", weights)
    _add_linear(plan, f"{p}.f1", "hstu", weights)
    if hstu.affine:
        _add_norm(plan, f"{p}.norm", weights)
    _add_linear(plan, f"{p}.f2", "hstu", weights)


def _leading(weights: Weights, prefix: str) -> Weights:
    """Tensors without a leading J, which the file has everywhere, with a J of 1."""
    return Weights({name: weights[name][np.newaxis] for name in weights if name.startswith(f"{prefix}.")})


def _plan_hstu_last(plan: Plan, sequence: HstuLastConfig, weights: Weights) -> None:
    prefix, hstu = sequence.prefix, sequence.hstu
    if sequence.positions:
        plan.add(f"{prefix}.position", "hstu", Layout.PADDED_ROWS, weights[f"{prefix}.position"])
    if sequence.time_buckets:
        edges = np.array(time_edges(sequence.time_buckets), np.uint64)
        plan.add_raw(f"{prefix}.time_edges", "hstu", TensorType.U32, edges.astype("<u8").view("<u4").reshape(-1, 2))
    for layer in range(hstu.layers):
        p = f"{prefix}.hstu.{layer}"
        if hstu.bias != "none":
            plan.add(f"{p}.bias", "hstu", Layout.PADDED_ROWS, weights[f"{p}.bias"])
        if sequence.time_buckets:
            plan.add(f"{p}.time_bias", "hstu", Layout.PADDED_ROWS, weights[f"{p}.time_bias"])
        _plan_block(plan, hstu, p, _leading(weights, p))


def _plan_sdim(plan: Plan, sequence: SdimConfig, weights: Weights) -> None:
    p = f"{sequence.prefix}.sdim"
    hashes = weights[f"{p}.hash"].T
    plan.columns[sequence.name] = round32(hashes, f"{p}.hash")
    plan.add(f"{p}.hash", "attention", Layout.PANELS, hashes)
    _add_linear(plan, f"{p}.q", "attention", weights)


def _plan_attention(plan: Plan, sequence: AttendingConfig, weights: Weights) -> None:
    attention, prefix = sequence.attention, f"{sequence.prefix}.attention"
    if attention is None:
        return
    if not sequence.parts:
        weights = _leading(weights, prefix)
    if isinstance(attention, DotAttentionConfig):
        for part in ("q", "k", "v", *(("out",) if attention.out else ())):
            _add_linear(plan, f"{prefix}.{part}", "attention", weights)
        add_state(plan, sequence, weights[f"{prefix}.k.weight"])
        return
    _add_linear(plan, f"{prefix}.q", "attention", weights)
    first: F64 = weights[f"{prefix}.mlp.0.weight"]
    for name, values in zip(("target", "event", "product"), fold_differences(first), strict=True):
        plan.add(f"{prefix}.mlp.0.{name}", "attention", Layout.PANELS, values)
    _add_bias(plan, f"{prefix}.mlp.0", "attention", first, weights)
    plan.notes.append(f"{prefix}.mlp.0 folded from [t', y, t' - y, t' * y], {len(first)} x {first.shape[1:]}")
    for layer in range(1, len(attention.layers)):
        _add_linear(plan, f"{prefix}.mlp.{layer}", "attention", weights)
    for layer in range(len(attention.hidden)):
        _add_parameters(plan, f"{prefix}.mlp.{layer}", "attention", attention.activation, weights)


def _add_norm(plan: Plan, name: str, weights: Weights) -> None:
    plan.add(f"{name}.weight", "hstu", Layout.PADDED_ROWS, weights[f"{name}.weight"])
    plan.add(f"{name}.bias", "hstu", Layout.PADDED_ROWS, weights[f"{name}.bias"])


def _relative_biases(sequence: DmqnConfig, weights: Weights) -> list[F64]:
    """B of every layer, [J, 1 or H, W, W]: toeplitz expanded, and H planes in all layers once one layer has them, as
    the file says per sequence whether heads share B."""
    hstu = sequence.hstu
    if hstu.bias == "none":
        return []
    names = [f"{sequence.prefix}.hstu.{layer}.bias" for layer in range(hstu.layers)]
    biases: list[F64] = [weights[name] for name in names]
    if hstu.bias == "toeplitz":
        biases = [expand_toeplitz(bias, name) for bias, name in zip(biases, names, strict=True)]
    heads = max((bias.shape[1] for bias in biases), default=1)
    return [np.repeat(bias, heads, axis=1) if bias.shape[1] < heads else bias for bias in biases]


def bias_is_per_head(plan: Plan, sequence: DmqnConfig) -> bool:
    """Whether B has a plane for each head in the file."""
    name = f"{sequence.prefix}.hstu.0.bias"
    return any(tensor.name == name and tensor.shape[1] > 1 for tensor in plan.tensors)


def table_chunks(
    checkpoint: Checkpoint, table: TableConfig, int8: bool
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.float32], float]]:
    """The rows of a table as the file holds them, some megabytes at a time: the rows, their scales (none in fp32), and
    the greatest magnitude of what they stand for."""
    row = 0
    for chunk in checkpoint.chunks(table.tensor):
        if int8:
            q, scale = table_to_int8(chunk, table, row)
            yield q, scale, float(np.float32(LARGEST) * scale.max())
        else:
            yield chunk, chunk[:0, 0], float(np.abs(chunk).max())
        row += len(chunk)
