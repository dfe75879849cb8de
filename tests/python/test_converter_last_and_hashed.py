"""Sequences of kinds hstu and sdim in the converter: what the file holds of them, and what of them is refused."""

import copy
import json
import math
import re

import numpy as np
import pytest
from converter_support import (
    HSTU_CASES,
    config_of_every_kind,
    config_of_hstu,
    config_of_sdim,
    set_at,
    shapes,
    weights,
)
from test_converter_parts import convert, refused

from vqrank_convert import reference
from vqrank_convert.config import parse_config
from vqrank_convert.config_hstu import TIME_BUCKETS_MAX, time_edges
from vqrank_convert.errors import ConversionError
from vqrank_convert.golden import make
from vqrank_convert.reference_inputs import Inputs

ALL, HASHED = "sequences.all", "sequences.hashed"

# ---- time ----


def test_edges_are_where_the_published_buckets_begin():
    """bucket = floor(log(max(dt, 1)) / 0.301), at every edge, at the seconds beside it, and far from any."""
    edges = time_edges(TIME_BUCKETS_MAX)
    assert edges[:8] == [2, 2, 3, 4, 5, 7, 9, 12] and edges[-1] < 2**64
    seconds = {dt for edge in edges for dt in (edge - 1, edge, edge + 1)} | set(range(3000)) | {2**62, 2**63, 2**64 - 1}
    for dt in seconds:
        published = math.floor(math.log(max(dt, 1)) / 0.301)
        assert sum(edge <= dt for edge in edges) == min(TIME_BUCKETS_MAX, published), dt
    assert math.floor(math.log(2**64 - 1) / 0.301) == 147  # no difference of two times lies further
    for buckets in (0, 1, 20):
        assert time_edges(buckets) == edges[:buckets]


# ---- what the file holds ----


@pytest.mark.parametrize("case", HSTU_CASES)
def test_hstu(tmp_path, case):
    config = config_of_hstu(**HSTU_CASES[case])
    tensors = weights(config)
    file = convert(tmp_path, config, tensors)
    (given,), (sequence,) = config["sequences"], file.header.sequences
    own, block = sequence.kind, given["hstu"]
    assert (file.header.formatVersion, sequence.name, sequence.kindType) == (6, b"all", 7)
    assert (own.last, own.scale, own.positions) == (20, given.get("scale") == "sqrt", given.get("positions", False))
    assert (own.timeBuckets, own.hstu.layers) == (given.get("time_buckets", 0), block["layers"])
    assert (own.hstu.bias, own.hstu.share) == (0 if block.get("bias") == "none" else 1, False)
    kind = given.get("attention", {}).get("kind")
    assert (own.attention is not None, own.din is not None) == (kind == "dot", kind == "din")
    for name, value in tensors.items():
        if not name.startswith(f"{ALL}.") or ".mlp.0.weight" in name:  # which is folded
            continue
        alone = re.fullmatch(rf"{ALL}.(position|hstu.\d.(bias|time_bias))", name)
        expected = value if alone else value[None]
        if name.endswith(".weight") and value.ndim == 2:
            expected = np.swapaxes(expected, -1, -2)
        np.testing.assert_array_equal(file.values(name), expected, err_msg=name)
    edges = f"{ALL}.time_edges"
    assert (edges in file.tensors) == (own.timeBuckets > 0)
    if own.timeBuckets:
        halves = file.values(edges)
        assert halves.dtype == np.uint32 and halves.shape == (own.timeBuckets, 2)
        assert [int(low) | int(high) << 32 for low, high in halves] == time_edges(own.timeBuckets)


def test_sdim(tmp_path):
    config = config_of_sdim()
    tensors = weights(config)
    file = convert(tmp_path, config, tensors)
    (sequence,) = file.header.sequences
    assert (file.header.formatVersion, sequence.name, sequence.kindType) == (6, b"hashed", 4)
    assert (sequence.kind.hashes, sequence.kind.bits) == (5, 3)
    for part, transposed in (("hash", True), ("q.weight", True), ("q.bias", False)):
        value = tensors[f"{HASHED}.sdim.{part}"]
        np.testing.assert_array_equal(file.values(f"{HASHED}.sdim.{part}"), value.T if transposed else value)
    del tensors[f"{HASHED}.sdim.q.bias"]
    assert not convert(tmp_path, config, tensors).values(f"{HASHED}.sdim.q.bias").any()


# ---- decisions ----


def test_golden_candidates_are_clear():
    """Two thirds of the rows give candidates at right angles to a direction, but for the roundings of float32, which
    then decides the bit: candidates of the golden request have other rows."""
    config = config_of_sdim()
    tensors = weights(config)
    rows, q = tensors["tables.item.weight"].astype(float), tensors[f"{HASHED}.sdim.q.weight"]
    item = rows.shape[1]  # the first columns
    q[:, item:] = 0
    tensors[f"{HASHED}.sdim.q.bias"][:] = 0
    v = tensors[f"{HASHED}.sdim.hash"][4].astype(float) @ q[:, :item]
    rows -= np.where(np.arange(len(rows)) % 3, 1, 0)[:, None] * np.outer(rows @ v, v) / (v @ v)
    tensors["tables.item.weight"] = rows.astype(np.float32)
    parsed = parse_config(config)
    request = json.loads(make(parsed, tensors).request)
    events = reference.quantize(parsed, tensors, request["events"])
    candidates = reference.hash_candidates(parsed, tensors, request["candidates"])
    assert (events.margins >= 2 * events.bounds).all() and (candidates.margins >= 2 * candidates.bounds).all()
    assert candidates.margins.shape == (4, 5)
    every = reference.hash_candidates(parsed, tensors, [{"item": i} for i in range(len(rows))])
    assert 0.6 < (every.margins < 2 * every.bounds).any(axis=1).mean() < 0.7


def test_no_candidate_is_clear(monkeypatch):
    """The refusal says how many were tried, and what the model says of all of them takes one reference."""
    config = config_of_sdim()
    tensors = weights(config)
    h = tensors[f"{HASHED}.sdim.hash"][4].astype(float)
    bias = np.random.default_rng(1).standard_normal(len(h))
    tensors[f"{HASHED}.sdim.q.weight"][:] = 0
    tensors[f"{HASHED}.sdim.q.bias"] = (bias - h * (bias @ h) / (h @ h)).astype(np.float32)
    built = []
    monkeypatch.setattr(reference, "Inputs", lambda *a: built.append(a) or Inputs(*a))
    with pytest.raises(ConversionError, match=r"^golden request: .* found none in 151 tried; check sdim\.q and"):
        make(parse_config(config), tensors)
    assert len(built) < 20


# ---- refusals ----

CONFIG_CASES = [
    (config_of_sdim, ("hashes",), ..., "config.sequences.hashed.hashes:"),
    (config_of_sdim, ("hashes",), 0, "config.sequences.hashed.hashes: expected an integer from 1 to 1024, found 0"),
    (config_of_sdim, ("hashes",), 1025, "found 1025"),
    (config_of_sdim, ("bits",), ..., "config.sequences.hashed.bits:"),
    (config_of_sdim, ("bits",), 0, "config.sequences.hashed.bits:"),
    (config_of_sdim, ("bits",), 13, "config.sequences.hashed.bits: expected an integer from 1 to 12, found 13"),
    (config_of_sdim, ("last",), 5, 'hashed: expected only the keys bits, hashes, kind, name, found "last"'),
    (config_of_hstu, ("last",), ..., "config.sequences.all.last:"),
    (config_of_hstu, ("last",), 0, "config.sequences.all.last:"),
    (config_of_hstu, ("hstu",), ..., "config.sequences.all.hstu:"),
    (config_of_hstu, ("scale",), "two", 'config.sequences.all.scale: expected "one" or "sqrt", found "two"'),
    (config_of_hstu, ("positions",), 1, "config.sequences.all.positions: expected true or false, found 1"),
    (config_of_hstu, ("time_buckets",), 145, "config.sequences.all.time_buckets: expected an integer from 0 to 144"),
    (config_of_hstu, ("time_buckets",), -1, "config.sequences.all.time_buckets:"),
    (config_of_hstu, ("attention",), None, "config.sequences.all.attention: expected an object, found null"),
    (config_of_hstu, ("attention",), {"kind": "dot", "heads": 1, "dim": 1, "share": True}, 'found "share"'),
    (config_of_hstu, ("attention",), {"kind": "dot", "heads": 1, "dim": 1, "count_bias": True}, 'found "count_bias"'),
    (config_of_hstu, ("hstu", "share"), False, 'found "share"'),
    (config_of_hstu, ("hstu", "bias"), "dense", 'hstu.bias: expected "none" or "toeplitz", found "dense"'),
    (config_of_hstu, ("codewords",), 5, "all: expected only the keys attention, hstu, kind, last, name"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "path", "value", "message"), CONFIG_CASES)
def test_config(tmp_path, capsys, base, path, value, message):
    config = set_at(copy.deepcopy(base()), ("sequences", 0, *path), value)
    assert message in refused(tmp_path, capsys, config, weights(base()))


@pytest.mark.parametrize("base", [config_of_sdim, lambda: config_of_hstu(**HSTU_CASES["all of it"])])
def test_missing_misshapen_and_not_finite(tmp_path, capsys, base):
    config = base()
    full = weights(config)
    for name in (name for name in shapes(config) if name.startswith("sequences.")):
        missing = {other: value for other, value in full.items() if other != name}
        if not name.endswith((".f1.bias", ".f2.bias", ".q.bias", ".k.bias", ".v.bias", ".out.bias")):
            message = refused(tmp_path, capsys, config, missing)
            assert message.startswith(f"tensor {name}: expected shape") and message.endswith("found none"), message
        if not name.endswith(".out.weight"):
            message = refused(tmp_path, capsys, config, {**full, name: full[name][None]})
            assert message.startswith(f"tensor {name}: expected shape {list(full[name].shape)}"), message
        bad = full[name].copy()
        bad.reshape(-1)[-1] = np.inf
        message = refused(tmp_path, capsys, config, {**full, name: bad})
        assert message.startswith(f"tensor {name}: expected finite numbers, found inf at"), message


def test_tensors_that_nothing_reads(tmp_path, capsys):
    config = config_of_hstu()
    for name in ("position", "time_edges", "hstu.0.time_bias", "attention.q.weight", "hstu.1.bias"):
        tensors = {**weights(config), f"{ALL}.{name}": np.zeros((3, 1), np.float32)}
        assert "nothing in the config reads it" in refused(tmp_path, capsys, config, tensors)


def test_hashes_that_overflow(tmp_path, capsys):
    """The library would not open a file whose events' products may pass what float32 holds."""
    config = config_of_sdim(config=config_of_every_kind())
    tensors = weights(config)
    tensors[f"{HASHED}.sdim.hash"][4, 1] = 3e38
    message = refused(tmp_path, capsys, config, tensors)
    assert message.startswith(f"tensor {HASHED}.sdim.hash: expected values of at most 1.70141e+38 for any event")
