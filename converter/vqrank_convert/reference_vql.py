"""Sequences of kind "vql" in the reference: attention over every event with its quantised key, one event at a time."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_convert import reference_codes, reference_int8
from vqrank_convert.config_vql import VqlConfig, VqlGroup
from vqrank_convert.fold import fold
from vqrank_convert.int8 import Parts
from vqrank_convert.reference_codes import Quantized, side_by_side
from vqrank_convert.reference_layers import Array, Layers, Real, chain

F64 = npt.NDArray[np.float64]


def group_keys(sequence: VqlConfig, weight: Array, group: VqlGroup) -> Array:
    """k.weight's rows of the group's heads in the group's order: [H_g d, D]."""
    return weight.reshape(sequence.heads, sequence.dim, -1)[list(group.heads)].reshape(-1, weight.shape[1])


def assign(sequence: VqlConfig, tensors: Mapping[str, Any], e: Array, features: int) -> Quantized:
    """z_gi = argmax_w k_i[g] . c_gw - |c_gw|^2 / 2 in float64; e is [L, D], of so many features."""
    weight = np.asarray(tensors[f"{sequence.prefix}.vql.k.weight"], np.float64)
    found = []
    for g, group in enumerate(sequence.groups):
        codebook = np.asarray(tensors[f"{sequence.prefix}.vql.groups.{g}.codebook"], np.float64)
        keys, offset = group_keys(sequence, weight, group).T, (codebook * codebook).sum(axis=1) / 2
        found.append(reference_codes.assign(e, keys, codebook, e.shape[1] + features + 6, offset))
    return side_by_side(found, len(e))


def assign_int8(sequence: VqlConfig, tensors: Mapping[str, Any], e: Array, parts: Parts) -> Quantized:
    """The same by int8 codebooks."""
    weight = np.asarray(tensors[f"{sequence.prefix}.vql.k.weight"], np.float64)
    found = []
    for g, group in enumerate(sequence.groups):
        name = f"{sequence.prefix}.vql.groups.{g}"
        codebook = np.asarray(tensors[f"{name}.codebook"], np.float64)
        folded = fold(group_keys(sequence, weight, group).T[np.newaxis], codebook[np.newaxis])[0]
        offset = -(codebook * codebook).sum(axis=1) / 2
        found.append(reference_int8.assign(e, folded, offset, f"{name}.fold", parts.kept(f"{name}.fold")))
    return side_by_side(found, len(e))


def event_weights(sequence: VqlConfig, tensors: Mapping[str, Any], times: list[int | None], now: int | None) -> F64:
    """What the temporal kernel gives each event in each head, [A, L]: sum over r of phi_ar psi_ar(t_i)."""
    weights = np.ones((sequence.heads, len(times)))
    known = [time for time in times if time is not None]
    if not sequence.decay_terms:
        return weights
    decay, mix = (np.asarray(tensors[f"{sequence.prefix}.vql.{part}"], np.float64) for part in ("decay", "mix"))
    last = max(known, default=0)
    since = max(0, now - last) if known and now is not None else 0
    phi = mix * np.exp(-(decay - decay.min(axis=1, keepdims=True)) * float(since))
    for i, time in enumerate(times):
        ago = 0.0 if time is None else float(last - time)
        weights[:, i] = (phi * np.exp(-decay * ago)).sum(axis=1)
    return weights


def attend(
    sequence: VqlConfig, layers: Layers, e: Array, z: npt.NDArray[np.int64], weights: F64, t: Array, dtype: Real
) -> Array:
    """The interest vectors of candidates t [C, Dc]: [C, width]. `weights` [A, L] as event_weights gives them."""
    if len(e) == 0:
        return np.zeros((len(t), sequence.width), dtype)
    name, d, dv = f"{sequence.prefix}.vql", sequence.dim, sequence.v_dim
    v = layers.linear(e, f"{name}.v", None)
    q = layers.linear(t, f"{name}.q", None)
    heads: list[Array] = [np.zeros(0)] * sequence.heads
    for g, group in enumerate(sequence.groups):
        codebook = layers.tensor(f"{name}.groups.{g}.codebook", None)
        for place, head in enumerate(group.heads):
            keys = codebook[z[:, g], place * d : (place + 1) * d]
            logits = chain(q[:, head * d : (head + 1) * d], keys.T) / dtype(math.sqrt(d))
            scores = np.exp(logits - logits.max(axis=1, keepdims=True)) * weights[head].astype(dtype)
            values = v[:, head * dv : (head + 1) * dv]
            heads[head] = chain(scores, values) / scores.sum(axis=1, keepdims=True)
    o = np.concatenate(heads, axis=1)
    return layers.linear(o, f"{name}.out", None) if sequence.out else o
