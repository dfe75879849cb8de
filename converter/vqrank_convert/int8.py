"""Which parts of a model become int8 (docs/int8.md): the options, their presets, and what gains by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from vqrank_convert.config import Config, TableConfig
from vqrank_convert.config_hstu import HstuLastConfig
from vqrank_convert.config_sdim import SdimConfig
from vqrank_convert.config_search import TwinConfig
from vqrank_convert.config_sequences import (
    DinAttentionConfig,
    DinConfig,
    DmqnConfig,
    DotAttentionConfig,
    SequenceConfig,
)
from vqrank_convert.config_vql import VqlConfig

F32 = npt.NDArray[np.float32]

# A row of n numbers takes n + 4 bytes in place of 4 n. Narrower tables gain little or grow.
TABLE_DIM_MIN = 4
# A smaller layer does not win back the time that its inputs take to become int8.
INPUTS_MIN, OUTPUTS_MIN = 32, 32
# What a session keeps of such scores at most, shared by its sequences: VQR_KNOWN_BYTES of runtime/known_scores.h.
LOOKED_UP_BYTES = 4 << 20
# Attention takes a little longer over int8: presets leave narrower heads, which keep little, in fp32.
HEAD_MIN = 32
# A longer sum of products might not fit an int32.
INPUTS_MAX = 2**17
# A column of a layer's input is kept in fp32 if its largest weight is more than this many times the median column's, as
# counts may have that stand beside embeddings: int8 would round the others to its steps. At most one in eight columns,
# the largest. So are the outputs told apart that are keys to be kept twice.
LARGE, LARGE_SHARE = 8.0, 8


@dataclass(frozen=True)
class Int8Options:
    """What each of the options is, as the command line spells it. `narrowest`: the width of the narrowest heads whose
    keys and values become int8 where `state` says so. `fewest`: the fewest columns of an event that have to be computed
    (the others are looked up) for codebook scores to become int8 where `codebook` says so."""

    codebook: str = "fp32"
    tables: str = "fp32"
    weights: str = "fp32"
    state: str = "fp32"
    narrowest: int = 1
    fewest: int = 0


FP32 = Int8Options()
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "codebook": ("fp32", "int8", "int8-exact"),
        "tables": ("fp32", "int8"),
        "weights": ("fp32", "int8"),
        "state": ("fp32", "int8"),
    }
)
PRESETS: Mapping[str, Int8Options] = MappingProxyType(
    {
        "server": Int8Options(codebook="int8", weights="int8", fewest=INPUTS_MIN),
        "mobile": Int8Options("int8", "int8", "int8", "int8", narrowest=HEAD_MIN, fewest=INPUTS_MIN),
    }
)


def too_small(inputs: int, outputs: int) -> bool:
    """Whether a linear layer is faster in fp32."""
    return inputs < INPUTS_MIN or outputs < OUTPUTS_MIN


def large_columns(weight: F32) -> tuple[int, ...]:
    """The inputs of a layer [..., out, in] whose weights are far larger than those of most."""
    return _far_larger(weight)


def fine_keys(weight: F32) -> tuple[int, ...]:
    """The outputs of a layer [..., out, in] that makes keys whose weights are far larger than those of most: of an int8
    state they are kept twice."""
    return _far_larger(np.swapaxes(weight, -1, -2))


def _far_larger(weights: F32) -> tuple[int, ...]:
    """Which columns of [..., n]."""
    largest = np.abs(weights).reshape(-1, weights.shape[-1]).max(axis=0)
    largest = largest.astype(np.float64)  # the limit may pass float32
    limit, most = LARGE * float(np.median(largest)), len(largest) // LARGE_SHARE
    order = np.argsort(-largest, kind="stable")[:most]
    return tuple(sorted(int(column) for column in order if largest[column] > limit > 0))


class Parts:
    """What the options make of one model."""

    def __init__(self, config: Config, options: Int8Options) -> None:
        self.options = options
        self._config = config
        self.fixed = dict(fixed for sequence in config.sequences for fixed in _fixed(sequence))
        self._kept = dict(kept for sequence in config.sequences for kept in _kept(config, sequence))
        self._kept["head.0"] = float_columns(config, "candidate")
        self._event_is_kept = len(float_columns(config, "event")) == config.width("event")

    def kept(self, name: str) -> tuple[int, ...]:
        """The columns that the layer or fold of this name, where it is int8, reads in fp32 whatever its weights; of the
        head's first layer counted from the first that candidates do not share."""
        return self._kept.get(name, ())

    def layer_kept(self, name: str, weight: F32) -> tuple[int, ...]:
        """The same of a layer with these weights, [..., out, in]."""
        return tuple(sorted({*self.kept(name), *large_columns(weight)}))

    def why_fp32(self, name: str, inputs: int, outputs: int) -> str | None:
        """Why the linear layer of this name stays fp32 when weights become int8; None where it does not. `inputs`: of
        the head's first layer without those that all candidates share."""
        if name in self.fixed:
            return self.fixed[name]
        if inputs > INPUTS_MAX:
            return f"more than {INPUTS_MAX} inputs"
        inputs -= len(self.kept(name))
        return f"too small: {inputs} x {outputs}" if too_small(inputs, outputs) else None

    def layer_is_int8(self, name: str, inputs: int, outputs: int) -> bool:
        return self.options.weights == "int8" and self.why_fp32(name, inputs, outputs) is None

    def table_is_int8(self, table: TableConfig) -> bool:
        return self.options.tables == "int8" and table.dim >= TABLE_DIM_MIN

    def scores(self, sequence: SequenceConfig) -> str:
        """How the scores of a sequence's codewords are computed: a choice of the option codebook."""
        quantizes = isinstance(sequence, DmqnConfig | VqlConfig)
        return self.options.codebook if quantizes and self.why_scores_fp32(sequence) is None else "fp32"

    def why_scores_fp32(self, sequence: SequenceConfig) -> str | None:
        """Why scores of the sequence's codewords stay fp32 when codebooks become int8; None where they do not."""
        if self.options.codebook != "int8" or not isinstance(sequence, DmqnConfig | VqlConfig):
            return None
        if self._event_is_kept:
            return "events of numbers alone"
        computed = self._config.width("event") - looked_up_columns(self._config, sequence)
        return f"too small: {computed} columns are not looked up" if computed < self.options.fewest else None

    def state_is_int8(self, sequence: SequenceConfig) -> bool:
        return self.options.state == "int8" and self.why_state_fp32(sequence) is None

    def why_state_fp32(self, sequence: SequenceConfig) -> str | None:
        """Why a sequence's keys and values stay fp32; None where they may be int8."""
        attention = getattr(sequence, "attention", None)
        if not has_state(sequence) or not isinstance(attention, DotAttentionConfig):
            return "searches events"
        return f"heads too narrow: {attention.dim}" if attention.dim < self.options.narrowest else None


def looked_up_columns(config: Config, sequence: DmqnConfig | VqlConfig) -> int:
    """Columns of an event whose part of the codewords' fp32 scores a session computes once per table row: those of the
    smallest tables, as long as their scores fit (runtime/known_scores.c)."""
    books = [group.codewords for group in sequence.groups] if isinstance(sequence, VqlConfig) else []
    if isinstance(sequence, DmqnConfig):
        books = [sequence.codewords] * sequence.codebooks
    row = len(books) + 4 * sum(-(-codewords // 16) * 16 for codewords in books)
    events = config.groups["event"]
    tables = [(config.tables[f.table].rows, f.width) for f in events if f.kind == "id" and f.table is not None]
    columns, left = 0, LOOKED_UP_BYTES // len(config.sequences)
    for rows, width in sorted(tables, key=lambda table: table[0]):
        left -= rows * row
        columns += width if left >= 0 else 0
    return columns


def has_state(sequence: SequenceConfig) -> bool:
    """Whether a user's state holds keys and values of the sequence that may be int8."""
    kinds = DmqnConfig | DinConfig | HstuLastConfig
    return isinstance(sequence, kinds) and isinstance(sequence.attention, DotAttentionConfig)


def shared_columns(config: Config) -> int:
    """The head's first inputs, user and context, which all candidates of a request share."""
    return config.width("user") + config.width("context")


def float_columns(config: Config, group: str) -> tuple[int, ...]:
    """The columns of a group's embedding that are features of kind float."""
    found, at = [], 0
    for feature in config.groups[group]:
        if feature.kind == "float":
            found.append(at)
        at += feature.width
    return tuple(found)


def _kept(config: Config, sequence: SequenceConfig) -> list[tuple[str, tuple[int, ...]]]:
    """The layers and folds of a sequence that read events, tokens of the same columns (means of clusters, outputs of
    HSTU) or candidates, and the columns kept of these."""
    prefix, attention = sequence.prefix, getattr(sequence, "attention", None)
    events, candidates = float_columns(config, "event"), float_columns(config, "candidate")
    if isinstance(sequence, VqlConfig):
        folds = [(f"{prefix}.vql.groups.{g}.fold", events) for g in range(len(sequence.groups))]
        return [*folds, (f"{prefix}.vql.q", candidates)]
    result = [(f"{prefix}.fold", events)] if isinstance(sequence, DmqnConfig) else []
    if attention is not None:
        result.append((f"{prefix}.attention.q", candidates))
    if isinstance(sequence, DmqnConfig | HstuLastConfig):
        result += [(f"{prefix}.hstu.{layer}.f1", events) for layer in range(sequence.hstu.layers)]
    if isinstance(attention, DotAttentionConfig):
        result += [(f"{prefix}.attention.{part}", events) for part in ("k", "v")]
    return result


def _fixed(sequence: SequenceConfig) -> list[tuple[str, str]]:
    """The linear layers that stay fp32 in any model, and why."""
    if isinstance(sequence, VqlConfig):
        return [(f"{sequence.prefix}.vql.v", "enters exact sums")]
    if isinstance(sequence, SdimConfig):
        return [(f"{sequence.prefix}.sdim.{part}", "decides which events take part") for part in ("hash", "q")]
    attention = f"{sequence.prefix}.attention"
    if isinstance(sequence, TwinConfig):
        return [(f"{attention}.{part}", "decides which events take part") for part in ("q", "k")]
    if isinstance(sequence.attention, DinAttentionConfig):
        return [(f"{attention}.mlp.0", "a product for each candidate")]
    return []
