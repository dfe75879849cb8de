"""What a model computes, in NumPy, written from docs/model.md alone and independently of the C library.

Used for the float64 outputs of a file's golden request, and by tests. Slow on purpose: every product is accumulated
term by term, so that equal codewords score exactly equal and ties fall to the lowest index, as they do in the library.
Computing the same in float32 (`dtype`) shows how much rounding a model amplifies.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqrank_convert import reference_codes, reference_search, reference_vql
from vqrank_convert.config import Config, parse_config, resolve
from vqrank_convert.config_search import SimHardConfig, TwinConfig
from vqrank_convert.config_sequences import DinConfig, DmqnConfig, HstuConfig
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.reference_codes import Quantized, side_by_side
from vqrank_convert.reference_inputs import Inputs, RequestError
from vqrank_convert.reference_layers import Array, Layers, Real, chain, sigmoid, silu

__all__ = ["Quantized", "RequestError", "Scored", "parse_config", "quantize", "resolve", "score"]


FLOAT_GRID = 2.0**18


class Scored(NamedTuple):
    """outputs: name -> one number per candidate.  assignments: codeword of each event, [L, N], the codebooks of the
    dmqn and vql sequences in order.  margins: how far the winning score lies above that of the next different
    codeword, [L, N] (inf if there is none).  clear: whether what a candidate's twin sequences choose is beyond what
    float32 may change, [C]."""

    outputs: dict[str, list[float]]
    assignments: npt.NDArray[np.int64]
    margins: npt.NDArray[np.float64]
    clear: npt.NDArray[np.bool_]


def score(
    config: Config | dict[str, Any], tensors: Mapping[str, Any], request: dict[str, Any], dtype: Real = np.float64
) -> Scored:
    """Scores a request (docs/command.md, as parsed JSON) by a checkpoint's config and tensors.

    A table may be anything that gives a row by `[row]`; the other tensors are arrays.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _Reference(config, tensors, dtype).score(request)


def quantize(config: Config | dict[str, Any], tensors: Mapping[str, Any], events: list[dict[str, Any]]) -> Quantized:
    """Assigns events to codewords in float64."""
    reference = _Reference(config, tensors, np.float64)
    e = reference.inputs.embed_all("event", events)
    return side_by_side([reference.assign(sequence, e) for sequence in reference.quantized], len(e))


class _Reference:
    def __init__(self, config: Config | dict[str, Any], tensors: Mapping[str, Any], dtype: Real) -> None:
        parsed = config if isinstance(config, Config) else parse_config(config)
        shapes = {name: np.shape(tensors[name]) for name in tensors if name.endswith(".out.weight")}
        self.config = resolve(parsed, shapes)
        self.tensors = tensors
        self.dtype = dtype
        self.inputs = Inputs(self.config, tensors, dtype)
        self.layers = Layers(tensors, dtype)
        self.quantized = [s for s in self.config.sequences if isinstance(s, DmqnConfig | VqlConfig)]

    def assign(self, sequence: DmqnConfig | VqlConfig, e: Array) -> Quantized:
        """The codewords of events e [L, D]."""
        if isinstance(sequence, DmqnConfig):
            return self.quantize(sequence, e)
        return reference_vql.assign(sequence, self.tensors, e, len(self.config.groups["event"]))

    # ---- DMQN ----

    def quantize(self, sequence: DmqnConfig, e: Array) -> Quantized:
        """z_i = argmax_k (e_i P_j) . c_k for every event and codebook; e is [L, D]."""
        terms = e.shape[1] + len(self.config.groups["event"]) + 4
        projections, codebooks = (
            np.asarray(self.tensors[f"{sequence.prefix}.{part}"], np.float64) for part in ("projection", "codebook")
        )
        pairs = zip(projections, codebooks, strict=True)
        return side_by_side([reference_codes.assign(e, *pair, terms) for pair in pairs], len(e))

    def clusters(self, sequence: DmqnConfig, e: Array, z: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """r_k = mean of the e_i with z_i = k, [W, D] (0 where there are none), and the counts n_k, [W]."""
        exact = e.astype(np.float64)
        if self.dtype is np.float32:  # the exact sums take these features' numbers on a grid of 2^-18
            at = 0
            for feature in self.config.groups["event"]:
                columns = slice(at, at + feature.width)
                if feature.kind in ("float", "vector"):
                    exact[:, columns] = np.rint(exact[:, columns] * FLOAT_GRID) / FLOAT_GRID
                at += feature.width
        sums = np.zeros((sequence.codewords, e.shape[1]))
        counts = np.bincount(z, minlength=sequence.codewords)
        np.add.at(sums, z, exact)
        return (sums / np.maximum(counts, 1)[:, None]).astype(self.dtype), counts

    def interest(self, sequence: DmqnConfig, e: Array, z: npt.NDArray[np.int64], t: Array) -> Array:
        """[o_1 .. o_N] for every candidate: t [C, Dc] -> [C, width]."""
        if len(e) == 0:
            return np.zeros((len(t), sequence.width), self.dtype)
        parts = []
        for j in range(sequence.codebooks):
            r, counts = self.clusters(sequence, e, z[:, j])
            kept = np.flatnonzero(counts) if sequence.empty == "masked" else np.arange(sequence.codewords)
            y = r[kept]
            for layer in range(sequence.hstu.layers):
                y = self.hstu(sequence, layer, j, y, kept)
            name = f"{sequence.prefix}.attention"
            parts.append(self.layers.attend(sequence.attention, name, j, y, counts[kept], t))
        return np.concatenate(parts, axis=1)

    def last_events(self, sequence: DinConfig, e: Array, t: Array) -> Array:
        """Target attention over the last events as the request lists them: t [C, Dc] -> [C, width]."""
        if len(e) == 0:
            return np.zeros((len(t), sequence.width), self.dtype)
        name = f"{sequence.prefix}.attention"
        return self.layers.attend(sequence.attention, name, None, e[-sequence.last :], None, t)

    def layer_norm(self, x: Array, hstu: HstuConfig, name: str, j: int, groups: int = 1) -> Array:
        """LayerNorm over each of `groups` equal parts of x's columns."""
        split = x.reshape(len(x), groups, -1)
        centred = split - split.mean(axis=2, keepdims=True)
        variance = (centred * centred).mean(axis=2, keepdims=True)
        result = (centred / np.sqrt(variance + self.dtype(hstu.eps))).reshape(x.shape)
        if hstu.affine:
            result = result * self.layers.tensor(f"{name}.weight", j) + self.layers.tensor(f"{name}.bias", j)
        return np.asarray(result)

    def hstu(self, sequence: DmqnConfig, layer: int, j: int, x: Array, kept: Array) -> Array:
        """One HSTU block (docs/model.md, section 3) over the tokens `kept` of codebook j: [T, D] -> [T, D]."""
        hstu, name = sequence.hstu, f"{sequence.prefix}.hstu.{layer}"
        heads, dv, dqk, tokens = hstu.heads, hstu.v_dim, hstu.qk_dim, len(x)
        inner = self.layer_norm(x, hstu, f"{name}.pre_norm", j) if hstu.pre_norm else x
        mixed = self.layers.linear(inner, f"{name}.f1", j)
        u, v, q, k = np.split(mixed, np.cumsum([heads * dv, heads * dv, heads * dqk]), axis=1)
        u = silu(u)
        if hstu.activate == "all":
            v, q, k = silu(v), silu(q), silu(k)
        constants = {
            "one": 1.0,
            "tokens": 1.0 / sequence.codewords,
            "attended": 1.0 / tokens,
            "constant": 1.0 / max(hstu.normalize_constant, 1),
        }
        c = self.dtype(constants[hstu.normalize])
        alpha = self.dtype(1.0 if hstu.alpha == "one" else 1.0 / math.sqrt(dqk))
        values = []
        for h in range(heads):
            s = alpha * chain(q[:, h * dqk : (h + 1) * dqk], k[:, h * dqk : (h + 1) * dqk].T)
            if hstu.bias != "none":
                s = s + self.position_bias(sequence, layer, j, h)[np.ix_(kept, kept)]
            values.append(chain(silu(s) * c, v[:, h * dv : (h + 1) * dv]))
        o = np.concatenate(values, axis=1)
        g = self.layer_norm(o, hstu, f"{name}.norm", j, heads if hstu.norm == "group" else 1)
        z = {"gated": [u * g], "concat": [u, g, u * g], "concat_raw": [u, o, u * g]}[hstu.output]
        y = self.layers.linear(np.concatenate(z, axis=1), f"{name}.f2", j)
        return y + x if hstu.residual else y

    def position_bias(self, sequence: DmqnConfig, layer: int, j: int, h: int) -> Array:
        """B of one head, [W, W]."""
        bias = self.layers.tensor(f"{sequence.prefix}.hstu.{layer}.bias", j)
        bias = bias[h if bias.shape[0] > 1 else 0]
        if sequence.hstu.bias == "dense":
            return np.asarray(bias)
        row, column = np.indices((sequence.codewords, sequence.codewords))
        return np.asarray(bias[sequence.codewords - 1 + column - row])

    def match_rows(self, group: str, feature: int, values: list[dict[str, Any]]) -> list[int]:
        """The table rows of one feature's ids."""
        described = self.config.groups[group][feature]
        table = self.config.tables[str(described.table)]
        return [self.inputs.row(table, value.get(described.name)) for value in values]

    def search(self, sequence: SimHardConfig, request: dict[str, Any], e: Array, t: Array) -> Array:
        """The interest vectors of a sim_hard sequence."""
        rows = self.match_rows("event", sequence.event, request.get("events", []))
        wanted = self.match_rows("candidate", sequence.candidate, request["candidates"])
        return reference_search.search(sequence, self.layers, e, rows, t, wanted)

    def times(self, request: dict[str, Any]) -> list[int | None]:
        """The events' times; None for an event without one."""
        name = next((feature.name for feature in self.config.groups["event"] if feature.kind == "time"), None)
        return [None if name is None else event.get(name) for event in request.get("events", [])]

    # ---- the whole ----

    def score(self, request: dict[str, Any]) -> Scored:
        unknown = set(request) - {"id", "time", "user", "context", "events", "candidates"}
        if unknown:
            raise RequestError(f"request: unknown keys {sorted(unknown)}")
        candidates = request["candidates"]
        e = self.inputs.embed_all("event", request.get("events", []))
        t = self.inputs.embed_all("candidate", candidates)
        once = np.concatenate([self.inputs.embed(group, request.get(group, {})) for group in ("user", "context")])
        x = [np.broadcast_to(once, (len(t), once.size)), t]
        quantized, clear = [], np.ones(len(t), np.bool_)
        for sequence in self.config.sequences:
            if isinstance(sequence, DinConfig):
                x.append(self.last_events(sequence, e, t))
                continue
            if isinstance(sequence, SimHardConfig):
                x.append(self.search(sequence, request, e, t))
                continue
            if isinstance(sequence, TwinConfig):
                o, chosen = reference_search.attend(sequence, self.tensors, self.layers, e, t)
                x.append(o)
                clear &= chosen
                continue
            quantized.append(self.assign(sequence, e))
            z = quantized[-1].assignments
            if isinstance(sequence, DmqnConfig):
                x.append(self.interest(sequence, e, z, t))
            else:
                kernel = reference_vql.event_weights(sequence, self.tensors, self.times(request), request.get("time"))
                x.append(reference_vql.attend(sequence, self.layers, e, z, kernel, t, self.dtype))
        head = self.config.head
        result = sigmoid(self.layers.mlp(np.concatenate(x, axis=1), "head", len(head.hidden), head.activation, None))
        outputs = {name: [float(y) for y in result[:, i]] for i, name in enumerate(self.config.head.outputs)}
        found = side_by_side(quantized, len(e))
        return Scored(outputs, found.assignments, found.margins, clear)
