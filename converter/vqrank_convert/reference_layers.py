"""The reference's arithmetic: products term by term, activations, a network's layers by name, target attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.activations import DICE_EPS, LEAKY_SLOPE
from vqrank_convert.config_sequences import AttentionConfig, DinAttentionConfig, DotAttentionConfig
from vqrank_convert.int8_rows import without

if TYPE_CHECKING:
    from vqrank_convert.reference_int8 import Rounding

Array = npt.NDArray[Any]
Real = type[np.float64] | type[np.float32]

erf = np.vectorize(math.erf, otypes=[np.float64])


def chain(x: Array, w: Array, start: Array | None = None) -> Array:
    """x [..., K] times w [K, N], the terms added one by one, k ascending, onto `start` [N]."""
    result = np.zeros((*x.shape[:-1], w.shape[1]), x.dtype)
    if start is not None:
        result += start
    for k in range(w.shape[0]):
        result += x[..., k, None] * w[k]
    return result


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: Array) -> Array:
    """Over the last axis."""
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _at(values: Array, j: int) -> int:
    """Where codebook j is in what has one entry a codebook, or one for all."""
    return j if values.shape[0] > 1 else 0


class Layers:
    """The layers of a checkpoint by name, in one precision. Where tensors have a leading N, or 1 if all codebooks share
    them, `j` is the codebook; where they have none, it is None. `rounding`: of those that are int8."""

    def __init__(self, tensors: Mapping[str, Any], dtype: Real, rounding: Rounding | None = None) -> None:
        self.tensors = tensors
        self.dtype = dtype
        self.rounding = rounding

    def tensor(self, name: str, j: int | None) -> Array:
        values = np.asarray(self.tensors[name], self.dtype)
        return values if j is None else np.asarray(values[_at(values, j)])

    def linear(self, x: Array, name: str, j: int | None, shared: int = 0) -> Array:
        """x W^T + b with W stored [out, in]; a bias that is not there is zero. Of a layer that is int8 the first
        `shared` columns of x are not, nor those that it keeps."""
        bias = self.tensor(f"{name}.bias", j) if f"{name}.bias" in self.tensors else None
        *_, outputs, inputs = np.shape(self.tensors[f"{name}.weight"])
        if self.rounding is None or not self.rounding.parts.layer_is_int8(name, inputs - shared, outputs):
            return chain(x, self.tensor(f"{name}.weight", j).T, bias)
        w, scale, kept = self.rounding.weight(name, np.asarray(self.tensors[f"{name}.weight"])[..., shared:])
        exact = [*range(shared), *(shared + column for column in kept)]
        start = chain(x[..., exact], self.tensor(f"{name}.weight", j)[:, exact].T, bias)
        w, scale = (w, scale) if j is None else (w[_at(w, j)], scale[_at(w, j)])
        return self.rounding.linear(without(x[..., shared:], kept), w, scale, start)

    def activate(self, x: Array, activation: str, name: str, j: int | None) -> Array:
        """The activation after layer `name`; x is [..., out]."""
        if activation == "silu":
            return silu(x)
        if activation == "tanh":
            return np.asarray(np.tanh(x))
        if activation == "gelu":
            return np.asarray(x * (0.5 * (1 + erf(x / math.sqrt(2))))).astype(self.dtype)
        if activation == "dice":
            mean, variance = self.tensor(f"{name}.mean", j), self.tensor(f"{name}.var", j)
            p = sigmoid((x - mean) / np.sqrt(variance + self.dtype(DICE_EPS)))
            return np.asarray(p * x + (1 - p) * self.tensor(f"{name}.alpha", j) * x)
        slope = {"relu": self.dtype(0), "leaky_relu": self.dtype(LEAKY_SLOPE)}.get(activation)
        negative = (
            np.zeros_like(x)
            if activation == "relu"
            else x * (self.tensor(f"{name}.alpha", j) if slope is None else slope)
        )
        return np.where(x < 0, negative, x)

    def mlp(self, x: Array, name: str, hidden: int, activation: str, j: int | None, shared: int = 0) -> Array:
        """`hidden` layers with the activation, then a linear one: layers name.0 .. name.hidden. `shared`: of the first,
        as `linear` has it."""
        for layer in range(hidden):
            x = self.linear(x, f"{name}.{layer}", j, 0 if layer else shared)
            x = self.activate(x, activation, f"{name}.{layer}", j)
        return self.linear(x, f"{name}.{hidden}", j, 0 if hidden else shared)

    def attend(
        self, attention: AttentionConfig, name: str, j: int | None, y: Array, counts: Array | None, t: Array
    ) -> Array:
        """Target attention over the tokens y [T, D], at least one: o for every candidate, t [C, Dc] -> [C, width].
        counts [T]: the events behind each token."""
        if isinstance(attention, DinAttentionConfig):
            return self._attend_din(attention, name, j, y, t)
        return self._attend_dot(attention, name, j, y, counts, t)

    def _attend_dot(
        self, attention: DotAttentionConfig, name: str, j: int | None, y: Array, counts: Array | None, t: Array
    ) -> Array:
        d = attention.dim
        q, k, v = (self.linear(x, f"{name}.{part}", j) for part, x in (("q", t), ("k", y), ("v", y)))
        bias: Array | None = None
        if attention.count_bias and counts is not None:
            bias = np.log(np.maximum(counts, 1)).astype(self.dtype)
        heads = []
        for h in range(attention.heads):
            columns = slice(h * d, (h + 1) * d)
            if self.rounding is not None and self.rounding.keeps(name):
                own = (q[:, columns], k[:, columns], v[:, columns])
                fine = self.rounding.fine(f"{name}.k", self.tensors[f"{name}.k.weight"])
                in_head = [key - h * d for key in fine if key // d == h]
                heads.append(self.rounding.attend(*own, 1 / math.sqrt(d), bias, in_head))
                continue
            logits = chain(q[:, columns], k[:, columns].T) / self.dtype(math.sqrt(d))
            heads.append(chain(softmax(logits if bias is None else logits + bias), v[:, columns]))
        o = np.concatenate(heads, axis=1)
        return self.linear(o, f"{name}.out", j) if attention.out else o

    def _attend_din(self, attention: DinAttentionConfig, name: str, j: int | None, y: Array, t: Array) -> Array:
        shape = (len(t), *y.shape)
        t_, y_ = np.broadcast_to(self.linear(t, f"{name}.q", j)[:, None], shape), np.broadcast_to(y, shape)
        pairs = np.concatenate([t_, y_, t_ - y_, t_ * y_], axis=2)
        a = self.mlp(pairs, f"{name}.mlp", len(attention.hidden), attention.activation, j)[..., 0]
        return chain(softmax(a) if attention.softmax else a, y)
