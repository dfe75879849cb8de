"""HSTU in the reference: the block (docs/model.md, section 3), and sequences of kind "hstu" over the last events."""

import math

import numpy as np

from vqrank_convert.config_hstu import HstuLastConfig, unbounded_bucket
from vqrank_convert.config_sequences import HstuConfig
from vqrank_convert.reference_layers import Array, Layers, chain, silu


def layer_norm(layers: Layers, x: Array, hstu: HstuConfig, name: str, j: int | None, groups: int = 1) -> Array:
    """LayerNorm over each of `groups` equal parts of x's columns."""
    split = x.reshape(len(x), groups, -1)
    centred = split - split.mean(axis=2, keepdims=True)
    variance = (centred * centred).mean(axis=2, keepdims=True)
    result = (centred / np.sqrt(variance + layers.dtype(hstu.eps))).reshape(x.shape)
    if hstu.affine:
        result = result * layers.tensor(f"{name}.weight", j) + layers.tensor(f"{name}.bias", j)
    return np.asarray(result)


def block(
    layers: Layers, hstu: HstuConfig, name: str, j: int | None, x: Array, most: int, bias: Array | None, causal: bool
) -> Array:
    """One block over the tokens x [T, D] of at most `most`, with the weights of codebook j or the only ones: [T, D].
    `bias`: [1 or H, T, T]. `causal`: a token sees itself and those before it."""
    heads, dv, dqk, tokens = hstu.heads, hstu.v_dim, hstu.qk_dim, len(x)
    inner = layer_norm(layers, x, hstu, f"{name}.pre_norm", j) if hstu.pre_norm else x
    mixed = layers.linear(inner, f"{name}.f1", j)
    u, v, q, k = np.split(mixed, np.cumsum([heads * dv, heads * dv, heads * dqk]), axis=1)
    u = silu(u)
    if hstu.activate == "all":
        v, q, k = silu(v), silu(q), silu(k)
    constants = {
        "one": 1.0,
        "tokens": 1.0 / most,
        "attended": 1.0 / tokens,
        "constant": 1.0 / max(hstu.normalize_constant, 1),
    }
    c = layers.dtype(constants[hstu.normalize])
    alpha = layers.dtype(1.0 if hstu.alpha == "one" else 1.0 / math.sqrt(dqk))
    values = []
    for h in range(heads):
        s = alpha * chain(q[:, h * dqk : (h + 1) * dqk], k[:, h * dqk : (h + 1) * dqk].T)
        if bias is not None:
            s = s + bias[h if len(bias) > 1 else 0]
        a = silu(s) * c
        values.append(chain(np.tril(a) if causal else a, v[:, h * dv : (h + 1) * dv]))
    o = np.concatenate(values, axis=1)
    g = layer_norm(layers, o, hstu, f"{name}.norm", j, heads if hstu.norm == "group" else 1)
    z = {"gated": [u * g], "concat": [u, g, u * g], "concat_raw": [u, o, u * g]}[hstu.output]
    y = layers.linear(np.concatenate(z, axis=1), f"{name}.f2", j)
    return y + x if hstu.residual else y


def time_buckets(sequence: HstuLastConfig, times: list[int | None]) -> Array:
    """bucket(|t_{i+1} - t_j|), [T, T]; an event without a time counts as one at the latest."""
    latest = max((time for time in times if time is not None), default=0)
    known = [latest if time is None else time for time in times]
    after = [*known[1:], known[-1]]
    rows = [[min(sequence.time_buckets, unbounded_bucket(abs(a - t))) for t in known] for a in after]
    return np.array(rows, np.int64)


def score_bias(
    sequence: HstuLastConfig, layers: Layers, layer: int, buckets: Array | None, tokens: int
) -> Array | None:
    """What a layer adds to its scores, [1, T, T]."""
    name, bias = f"{sequence.prefix}.hstu.{layer}", None
    if sequence.hstu.bias != "none":
        row, column = np.indices((tokens, tokens))
        bias = layers.tensor(f"{name}.bias", None)[sequence.last - 1 + column - row]
    if buckets is not None:
        own = layers.tensor(f"{name}.time_bias", None)[buckets]
        bias = own if bias is None else bias + own
    return None if bias is None else np.asarray(bias)[None]


def interest(sequence: HstuLastConfig, layers: Layers, e: Array, times: list[int | None], t: Array) -> Array:
    """The interest vectors of candidates t [C, Dc] for a history e [L, D]: [C, width]."""
    x, times = e[-sequence.last :], times[-sequence.last :]
    if len(x) == 0:
        return np.zeros((len(t), sequence.width), layers.dtype)
    if sequence.scale == "sqrt":
        x = x * layers.dtype(math.sqrt(x.shape[1]))
    if sequence.positions:
        x = x + layers.tensor(f"{sequence.prefix}.position", None)[: len(x)]
    buckets = time_buckets(sequence, times) if sequence.time_buckets else None
    for layer in range(sequence.hstu.layers):
        bias = score_bias(sequence, layers, layer, buckets, len(x))
        name = f"{sequence.prefix}.hstu.{layer}"
        x = block(layers, sequence.hstu, name, None, x, sequence.last, bias, causal=True)
    if sequence.attention is None:
        return np.repeat(x[-1:], len(t), axis=0)
    return layers.attend(sequence.attention, f"{sequence.prefix}.attention", None, x, None, t)
