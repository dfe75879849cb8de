"""What a model computes, in NumPy, written from docs/model.md alone and independently of the C library.

Used for the float64 outputs of a file's golden request, and by tests. Slow on purpose: every product is accumulated
term by term, so that equal codewords score exactly equal and ties fall to the lowest index, as they do in the library.
Computing the same in float32 (`dtype`) shows how much rounding a model amplifies. `int8`: which parts are so in the
file (docs/int8.md); `shaken`: as `reference_int8.Rounding` has it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqrank_convert import (
    reference_codes,
    reference_hstu,
    reference_int8,
    reference_sdim,
    reference_search,
    reference_vql,
)
from vqrank_convert.config import Config, parse_config, resolve
from vqrank_convert.config_hstu import HstuLastConfig
from vqrank_convert.config_sdim import SdimConfig
from vqrank_convert.config_search import SimHardConfig, TwinConfig
from vqrank_convert.config_sequences import DinConfig, DmqnConfig
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.fold import fold
from vqrank_convert.int8 import FP32, Int8Options
from vqrank_convert.reference_codes import Quantized, side_by_side
from vqrank_convert.reference_inputs import Inputs, RequestError
from vqrank_convert.reference_int8 import Rounding
from vqrank_convert.reference_layers import Array, Layers, Real, sigmoid

__all__ = [
    "Quantized", "Reference", "RequestError", "Scored", "hash_candidates", "parse_config", "quantize", "resolve",
    "score",
]  # fmt: skip


FLOAT_GRID = 2.0**18

F64 = npt.NDArray[np.float64]
# Those whose events are decided on by products.
QuantizingConfig = DmqnConfig | VqlConfig | SdimConfig


class Scored(NamedTuple):
    """outputs: name -> one number per candidate.  assignments: codeword of each event, [L, N], the codebooks of the
    dmqn and vql sequences and the hashes of sdim sequences in order.  margins: how far the winning score lies above
    that of the next different codeword, [L, N] (inf if there is none), or a hash's product from 0.  clear: as
    `Reference.clear` has it, [C]."""

    outputs: dict[str, list[float]]
    assignments: npt.NDArray[np.int64]
    margins: npt.NDArray[np.float64]
    clear: npt.NDArray[np.bool_]


def score(
    config: Config | dict[str, Any],
    tensors: Mapping[str, Any],
    request: dict[str, Any],
    dtype: Real = np.float64,
    int8: Int8Options = FP32,
    shaken: int | None = None,
) -> Scored:
    """Scores a request (docs/command.md, as parsed JSON) by a checkpoint's config and tensors.

    A table may be anything that gives a row by `[row]`; the other tensors are arrays.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return Reference(config, tensors, dtype, int8, shaken).score(request)


def quantize(
    config: Config | dict[str, Any],
    tensors: Mapping[str, Any],
    events: list[dict[str, Any]],
    int8: Int8Options = FP32,
) -> Quantized:
    """Assigns events to codewords in float64."""
    reference = Reference(config, tensors, int8=int8)
    e = reference.inputs.embed_all("event", events)
    return side_by_side([reference.assign(sequence, e) for sequence in reference.quantized], len(e))


def hash_candidates(
    config: Config | dict[str, Any], tensors: Mapping[str, Any], candidates: list[dict[str, Any]]
) -> Quantized:
    """The codes that sdim sequences give candidates, in float64: [C, hashes of all such sequences]."""
    reference = Reference(config, tensors)
    t = reference.inputs.embed_all("candidate", candidates)
    hashing = [s for s in reference.quantized if isinstance(s, SdimConfig)]
    return side_by_side([reference.hash_candidates(sequence, t) for sequence in hashing], len(t))


class Reference:
    """A model in one precision, some of its parts in int8."""

    def __init__(
        self,
        config: Config | dict[str, Any],
        tensors: Mapping[str, Any],
        dtype: Real = np.float64,
        int8: Int8Options = FP32,
        shaken: int | None = None,
    ) -> None:
        parsed = config if isinstance(config, Config) else parse_config(config)
        shapes = {name: np.shape(tensors[name]) for name in tensors if name.endswith(".out.weight")}
        self.config = resolve(parsed, shapes)
        self.rounding = Rounding(self.config, int8, shaken)
        self.tensors = tensors = self.rounding.tables(self.config, tensors)
        self.dtype = dtype
        self.inputs = Inputs(self.config, tensors, dtype)
        self.layers = Layers(tensors, dtype, self.rounding)
        self.quantized = [s for s in self.config.sequences if isinstance(s, QuantizingConfig)]

    def assign(self, sequence: QuantizingConfig, e: Array) -> Quantized:
        """The codewords, or codes of hashes, of events e [L, D]."""
        if isinstance(sequence, DmqnConfig):
            return self.quantize(sequence, e)
        if isinstance(sequence, SdimConfig):
            return reference_sdim.assign(sequence, self.tensors, e, len(self.config.groups["event"]))
        if self.rounding.parts.scores(sequence) == "int8":
            return reference_vql.assign_int8(sequence, self.tensors, e, self.rounding.parts)
        return reference_vql.assign(sequence, self.tensors, e, len(self.config.groups["event"]))

    def hash_candidates(self, sequence: SdimConfig, t: Array) -> Quantized:
        """The codes of candidates t [C, Dc], always of what float64 makes of them."""
        layers = Layers(self.tensors, np.float64)
        return reference_sdim.assign_candidates(sequence, layers, t, len(self.config.groups["candidate"]))

    @np.errstate(over="ignore", under="ignore", invalid="ignore")
    def clear(self, e: Array, t: Array) -> npt.NDArray[np.bool_]:
        """Whether the hashes of candidates t [C, Dc], and which of the events e [L, D] their twin sequences choose, are
        beyond what float32 may change, [C]."""
        result = np.ones(len(t), np.bool_)
        for sequence in self.config.sequences:
            if isinstance(sequence, SdimConfig):
                found = self.hash_candidates(sequence, t)
                result &= (found.margins >= 2 * found.bounds).all(axis=1)
            elif isinstance(sequence, TwinConfig) and len(e):
                result &= reference_search.choose(sequence, self.tensors, e, t)[1]
        return result

    # ---- DMQN ----

    def quantize(self, sequence: DmqnConfig, e: Array) -> Quantized:
        """z_i = argmax_k (e_i P_j) . c_k for every event and codebook; e is [L, D]."""
        projections, codebooks = (
            np.asarray(self.tensors[f"{sequence.prefix}.{part}"], np.float64) for part in ("projection", "codebook")
        )
        if self.rounding.parts.scores(sequence) == "int8":
            name, folds = f"{sequence.prefix}.fold", fold(projections, codebooks)
            kept = self.rounding.parts.kept(name)
            return side_by_side([reference_int8.assign(e, one, None, name, kept) for one in folds], len(e))
        terms = e.shape[1] + len(self.config.groups["event"]) + 4
        pairs = zip(projections, codebooks, strict=True)
        return side_by_side([reference_codes.assign(e, *pair, terms) for pair in pairs], len(e))

    def summed(self, e: Array) -> F64:
        """Events e [L, D] as they enter the exact sums."""
        exact = e.astype(np.float64)
        if self.dtype is np.float32:  # the exact sums take these features' numbers on a grid of 2^-18
            at = 0
            for feature in self.config.groups["event"]:
                columns = slice(at, at + feature.width)
                if feature.kind in ("float", "vector"):
                    exact[:, columns] = np.rint(exact[:, columns] * FLOAT_GRID) / FLOAT_GRID
                at += feature.width
        return exact

    def clusters(self, sequence: DmqnConfig, e: Array, z: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """r_k = mean of the e_i with z_i = k, [W, D] (0 where there are none), and the counts n_k, [W]."""
        sums = np.zeros((sequence.codewords, e.shape[1]))
        counts = np.bincount(z, minlength=sequence.codewords)
        np.add.at(sums, z, self.summed(e))
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
                bias = self.position_bias(sequence, layer, j, kept)
                block = f"{sequence.prefix}.hstu.{layer}"
                y = reference_hstu.block(
                    self.layers, sequence.hstu, block, j, y, sequence.codewords, bias, causal=False
                )
            name = f"{sequence.prefix}.attention"
            parts.append(self.layers.attend(sequence.attention, name, j, y, counts[kept], t))
        return np.concatenate(parts, axis=1)

    def last_events(self, sequence: DinConfig, e: Array, t: Array) -> Array:
        """Target attention over the last events as the request lists them: t [C, Dc] -> [C, width]."""
        if len(e) == 0:
            return np.zeros((len(t), sequence.width), self.dtype)
        name = f"{sequence.prefix}.attention"
        return self.layers.attend(sequence.attention, name, None, e[-sequence.last :], None, t)

    def position_bias(self, sequence: DmqnConfig, layer: int, j: int, kept: Array) -> Array | None:
        """B between the tokens `kept` of codebook j, [1 or H, T, T]."""
        if sequence.hstu.bias == "none":
            return None
        bias = self.layers.tensor(f"{sequence.prefix}.hstu.{layer}.bias", j)
        if sequence.hstu.bias == "toeplitz":
            row, column = np.indices((sequence.codewords, sequence.codewords))
            bias = bias[:, sequence.codewords - 1 + column - row]
        return np.asarray(bias[:, kept[:, None], kept[None, :]])

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
        quantized = []
        for sequence in self.config.sequences:
            if isinstance(sequence, DinConfig):
                x.append(self.last_events(sequence, e, t))
                continue
            if isinstance(sequence, HstuLastConfig):
                x.append(reference_hstu.interest(sequence, self.layers, e, self.times(request), t))
                continue
            if isinstance(sequence, SimHardConfig):
                x.append(self.search(sequence, request, e, t))
                continue
            if isinstance(sequence, TwinConfig):
                x.append(reference_search.attend(sequence, self.tensors, self.layers, e, t))
                continue
            quantized.append(self.assign(sequence, e))
            z = quantized[-1].assignments
            if isinstance(sequence, DmqnConfig):
                x.append(self.interest(sequence, e, z, t))
            elif isinstance(sequence, SdimConfig):
                found = self.hash_candidates(sequence, t).assignments
                x.append(reference_sdim.attend(sequence, self.summed(e), z, found, self.dtype))
            else:
                kernel = reference_vql.event_weights(sequence, self.tensors, self.times(request), request.get("time"))
                x.append(reference_vql.attend(sequence, self.layers, e, z, kernel, t, self.dtype))
        head, hidden = self.config.head, len(self.config.head.hidden)
        logits = self.layers.mlp(np.concatenate(x, axis=1), "head", hidden, head.activation, None, once.size)
        result = sigmoid(logits)
        outputs = {name: [float(y) for y in result[:, i]] for i, name in enumerate(self.config.head.outputs)}
        all_found = side_by_side(quantized, len(e))
        return Scored(outputs, all_found.assignments, all_found.margins, self.clear(e, t))
