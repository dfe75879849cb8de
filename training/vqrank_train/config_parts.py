"""Parts of sequences in a config: HSTU layers and target attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vqrank_train.config_reader import COUNT_MAX, LAYERS_MAX, MISSING, UINT32_MAX, ConfigError, Reader
from vqrank_train.errors import quote

ACTIVATIONS = ("relu", "leaky_relu", "prelu", "silu", "gelu", "tanh", "dice")


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
    normalize: Literal["one", "tokens", "attended"] | int = "one"  # a number: the constant
    norm: str = "layer"
    eps: float = 1e-5
    output: str = "gated"
    residual: bool = False

    @classmethod
    def read(cls, value: Any, where: str, clusters: bool) -> Hstu:
        """`clusters`: tokens are those of several codebooks, so that weights may be shared; else they are events."""
        reader = Reader(value, where)
        layers = reader.count("layers", 0, high=LAYERS_MAX)
        width = MISSING if layers else 0
        heads, qk_dim, v_dim = (
            reader.count(key, 1 if layers else 0, width, COUNT_MAX) for key in ("heads", "qk_dim", "v_dim")
        )
        normalize = reader.take("normalize", (str, dict), "one")
        if isinstance(normalize, dict):
            inner = Reader(normalize, f"{where}.normalize")
            normalize = inner.count("constant", 1)
            inner.close()
        elif normalize not in ("one", "tokens", "attended"):
            found_text = quote(normalize)
            raise ConfigError(f"{where}.normalize: expected one, tokens, attended or a constant, found {found_text}")
        found = cls(
            layers, heads, qk_dim, v_dim,
            share=clusters and reader.take("share", bool, False),
            pre_norm=reader.take("pre_norm", bool, False),
            affine=reader.take("affine", bool, True),
            activate=reader.choice("activate", ("all", "u"), "all"),
            alpha=reader.choice("alpha", ("one", "rsqrt"), "one"),
            bias=(
                reader.choice("bias", ("none", "dense", "toeplitz"), "dense")
                if clusters
                else reader.choice("bias", ("none", "toeplitz"), "toeplitz")
            ),
            normalize=normalize,
            norm=reader.choice("norm", ("layer", "group"), "layer"),
            eps=reader.number("eps", 1e-5),
            output=reader.choice("output", ("gated", "concat", "concat_raw"), "gated"),
            residual=reader.take("residual", bool, False),
        )  # fmt: skip
        if not 1e-37 < found.eps < 1e37:
            raise ConfigError(f"{where}.eps: expected a number above 0 that float32 holds, found {quote(found.eps)}")
        reader.close()
        return found


def read_hidden(reader: Reader, high: int = UINT32_MAX) -> tuple[int, ...]:
    """Widths of an MLP's hidden layers; none is legal."""
    hidden = reader.take("hidden", list)
    if len(hidden) >= LAYERS_MAX:  # the last layer is one more
        raise ConfigError(f"{reader.where}.hidden: expected fewer than {LAYERS_MAX} layers, found {len(hidden)}")
    for width in hidden:
        if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= high:
            raise ConfigError(f"{reader.where}.hidden: expected integers from 1 to {high}, found {quote(width)}")
    return tuple(hidden)


@dataclass(frozen=True)
class Attention:
    """Target attention. Kind dot: `heads` A of width `dim` d; kind din: an MLP with `hidden` layers."""

    kind: str
    heads: int = 0
    dim: int = 0
    share: bool = False
    out: bool = False
    count_bias: bool = False
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    softmax: bool = False

    @classmethod
    def read(cls, value: Any, where: str, clusters: bool) -> Attention:
        """`clusters`: tokens are those of several codebooks, so that weights may be shared and counts may matter."""
        reader = Reader(value, where)
        kind = reader.choice("kind", ("dot", "din"))
        share = clusters and reader.take("share", bool, False)
        if kind == "dot":
            found = cls(
                kind, reader.count("heads", 1, high=COUNT_MAX), reader.count("dim", 1, high=COUNT_MAX), share,
                out=reader.take("out", bool, False),
                count_bias=clusters and reader.take("count_bias", bool, False),
            )  # fmt: skip
        else:
            found = cls(
                kind, share=share, hidden=read_hidden(reader, COUNT_MAX),
                activation=reader.choice("activation", ACTIVATIONS),
                softmax=reader.take("softmax", bool, False),
            )  # fmt: skip
        reader.close()
        return found
