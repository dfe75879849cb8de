"""Which parts of a model become int8 (docs/int8.md): the options, their presets, and what gains by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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

# A row of n numbers takes n + 4 bytes in place of 4 n. Narrower tables gain little or grow.
TABLE_DIM_MIN = 4
# A smaller layer does not win back the time that its inputs take to become int8.
INPUTS_MIN, OUTPUTS_MIN = 32, 32
# A longer sum of products might not fit an int32.
INPUTS_MAX = 2**17


@dataclass(frozen=True)
class Int8Options:
    """What each of the options is, as the command line spells it."""

    codebook: str = "fp32"
    tables: str = "fp32"
    weights: str = "fp32"
    state: str = "fp32"


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
        "server": Int8Options(codebook="int8", weights="int8"),
        "mobile": Int8Options(codebook="int8", tables="int8", weights="int8", state="int8"),
    }
)


def too_small(inputs: int, outputs: int) -> bool:
    """Whether a linear layer is faster in fp32."""
    return inputs < INPUTS_MIN or outputs < OUTPUTS_MIN


class Parts:
    """What the options make of one model."""

    def __init__(self, config: Config, options: Int8Options) -> None:
        self.options = options
        self.fixed = dict(fixed for sequence in config.sequences for fixed in _fixed(sequence))

    def layer(self, name: str, inputs: int, outputs: int) -> str | None:
        """Why the linear layer of this name stays fp32 when weights become int8; None where it does not. `inputs` are
        those that may be int8: of the head's first layer not the ones that all candidates share."""
        if name in self.fixed:
            return self.fixed[name]
        if inputs > INPUTS_MAX:
            return f"more than {INPUTS_MAX} inputs"
        return f"too small: {inputs} x {outputs}" if too_small(inputs, outputs) else None

    def layer_is_int8(self, name: str, inputs: int, outputs: int) -> bool:
        return self.options.weights == "int8" and self.layer(name, inputs, outputs) is None

    def table_is_int8(self, table: TableConfig) -> bool:
        return self.options.tables == "int8" and table.dim >= TABLE_DIM_MIN

    def scores(self, sequence: SequenceConfig) -> str:
        """How the scores of a sequence's codewords are computed: a choice of the option codebook."""
        return self.options.codebook if isinstance(sequence, DmqnConfig | VqlConfig) else "fp32"

    def state_is_int8(self, sequence: SequenceConfig) -> bool:
        return self.options.state == "int8" and has_state(sequence)


def has_state(sequence: SequenceConfig) -> bool:
    """Whether a user's state holds keys and values of the sequence that may be int8."""
    kinds = DmqnConfig | DinConfig | HstuLastConfig
    return isinstance(sequence, kinds) and isinstance(sequence.attention, DotAttentionConfig)


def shared_columns(config: Config) -> int:
    """The head's first inputs, user and context, which all candidates of a request share."""
    return config.width("user") + config.width("context")


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
