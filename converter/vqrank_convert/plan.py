"""What a model file will hold: its tensors in file order, made from the checkpoint's.

Small tensors are made here and kept; embedding tables are streamed while the file is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.activations import DICE_EPS, parameters
from vqrank_convert.checkpoint import Checkpoint, LazyTable, round32
from vqrank_convert.config import Config, TableConfig
from vqrank_convert.config_sequences import AttendingConfig, DmqnConfig, DotAttentionConfig
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.errors import refuse
from vqrank_convert.fold import expand_toeplitz, fold, fold_differences, inverse_deviation
from vqrank_convert.layout import Layout, TensorType, byte_length, pack
from vqrank_convert.plan_quantizers import plan_quantizer
from vqrank_convert.plan_vql import plan_vql
from vqrank_convert.vocabulary import build

F64 = npt.NDArray[np.float64]
# What readers of the file accept.
TENSORS_MAX = 16384


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the file. `data` is its bytes as an array; None for the embedding table `table`, which is streamed.
    `part` is the row of the summary that counts it."""

    name: str
    part: str
    type: TensorType
    layout: Layout
    shape: tuple[int, ...]
    data: npt.NDArray[Any] | None = None
    table: TableConfig | None = None

    @property
    def length(self) -> int:
        return byte_length(self.type, self.layout, self.shape)


@dataclass
class Plan:
    """The tensors in file order, the longest probe of each vocabulary by table, the weights of each vql sequence's
    values by its name, and notes on what was computed."""

    config: Config
    tensors: list[PlannedTensor] = field(default_factory=list)
    max_probe: dict[str, int] = field(default_factory=dict)
    values: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, part: str, layout: Layout, values: F64) -> None:
        """A float32 tensor from float64 values, rounded once."""
        data = pack(round32(values, name), layout)
        self.tensors.append(PlannedTensor(name, part, TensorType.F32, layout, values.shape, data))

    def add_raw(self, name: str, part: str, kind: TensorType, data: npt.NDArray[Any]) -> None:
        self.tensors.append(PlannedTensor(name, part, kind, Layout.ROWS, data.shape, data))


class Weights(dict[str, Any]):
    """The checkpoint's tensors in float64, and its tables row by row: what `reference.score` takes."""


def load(checkpoint: Checkpoint, config: Config) -> Weights:
    """Reads every tensor but the embedding tables; refuses values that are not finite."""
    tables = {table.tensor for table in config.tables.values()}
    weights = Weights()
    for name in checkpoint.tensors:
        weights[name] = LazyTable(checkpoint, checkpoint.tensors[name]) if name in tables else checkpoint.read(name)
    return weights


def make_plan(config: Config, weights: Weights, bar_from: float) -> Plan:
    """Computes everything but the embedding tables. Tables come last in the file: the rest then shares few pages."""
    plan = Plan(config)
    for quantizer in config.quantizers.values():
        plan_quantizer(plan, quantizer, weights)
    for sequence in config.sequences:
        if isinstance(sequence, VqlConfig):
            plan_vql(plan, sequence, weights)
            continue
        if isinstance(sequence, DmqnConfig):
            _plan_dmqn(plan, sequence, weights)
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
        plan.tensors.append(
            PlannedTensor(
                table.tensor, "tables", TensorType.F32, Layout.ROWS, (table.rows, table.dim), data=None, table=table
            )
        )
    if len(plan.tensors) > TENSORS_MAX:
        refuse("model", f"at most {TENSORS_MAX} tensors", str(len(plan.tensors)))
    return plan


def _add_linear(plan: Plan, name: str, part: str, weights: Weights) -> None:
    """A linear layer, stored [..., out, in] in the checkpoint and [..., in, out] in the file; its bias always."""
    weight: F64 = weights[f"{name}.weight"]
    plan.add(f"{name}.weight", part, Layout.PANELS, np.swapaxes(weight, -1, -2))
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
    plan.add(f"{prefix}.fold", "fold", Layout.PANELS, folded)
    plan.notes.append(f"{prefix}.fold = projection codebook^T, {sequence.codebooks} x {folded.shape[1:]}")
    biases = _relative_biases(sequence, weights)
    for layer in range(hstu.layers):
        p = f"{prefix}.hstu.{layer}"
        if hstu.affine and hstu.pre_norm:
            _add_norm(plan, f"{p}.pre_norm", weights)
        _add_linear(plan, f"{p}.f1", "hstu", weights)
        if hstu.bias != "none":
            plan.add(f"{p}.bias", "hstu", Layout.PADDED_ROWS, biases[layer])
        if hstu.affine:
            _add_norm(plan, f"{p}.norm", weights)
        _add_linear(plan, f"{p}.f2", "hstu", weights)
    if hstu.bias == "toeplitz" and hstu.layers:
        plan.notes.append(f"{prefix}.hstu bias expanded from toeplitz, {list(biases[0].shape)} a layer")


def _plan_attention(plan: Plan, sequence: AttendingConfig, weights: Weights) -> None:
    attention, prefix = sequence.attention, f"{sequence.prefix}.attention"
    if not sequence.parts:  # the leading J, which the file has everywhere
        weights = Weights({name: weights[name][np.newaxis] for name in weights if name.startswith(f"{prefix}.")})
    if isinstance(attention, DotAttentionConfig):
        for part in ("q", "k", "v", *(("out",) if attention.out else ())):
            _add_linear(plan, f"{prefix}.{part}", "attention", weights)
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


def table_chunks(checkpoint: Checkpoint, table: TableConfig) -> Iterator[npt.NDArray[np.float32]]:
    """The rows of a table as the file holds them, some megabytes at a time."""
    yield from checkpoint.chunks(table.tensor)
