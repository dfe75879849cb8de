"""The converter's files in the hands of the library: `vqrank score` against the NumPy reference in float64."""

import json
import random
import subprocess

import numpy as np
import pytest
from converter_support import (
    KIND_CASES,
    VQL_CASES,
    config_of_every_kind,
    config_of_vql,
    config_with,
    library,
    request_of,
    weights,
    write,
)

from vqrank_convert import reference
from vqrank_convert.cli import main

pytestmark = pytest.mark.skipif(library() is None, reason="the command vqrank is not built")


def random_config(seed):
    """Any combination of the specification's switches, with widths on both sides of 16."""
    draw = random.Random(seed)
    pick, flag = draw.choice, lambda: draw.random() < 0.5
    config = config_with(
        hstu={
            "layers": pick([0, 1, 1, 2]), "heads": pick([1, 2, 3]), "qk_dim": pick([1, 5, 16, 20]),
            "v_dim": pick([1, 7, 16, 33]), "pre_norm": flag(), "affine": flag(), "activate": pick(["all", "u"]),
            "alpha": pick(["one", "rsqrt"]), "bias": pick(["none", "dense", "toeplitz"]),
            "normalize": pick(["one", "tokens", "attended", {"constant": 50}]), "norm": pick(["layer", "group"]),
            "output": pick(["gated", "concat", "concat_raw"]), "residual": flag(), "eps": pick([1e-5, 1e-6, 1e-2]),
            "share": flag(),
        },
        attention={
            "heads": pick([1, 2, 3]), "dim": pick([1, 6, 16, 17]), "share": flag(), "out": flag(),
            "count_bias": flag(),
        },
        sequence={
            "codebooks": pick([1, 2, 3, 5]), "codewords": pick([1, 2, 15, 16, 17, 64]),
            "empty": pick(["masked", "zero"]),
        },
        head={
            "hidden": pick([[], [1], [16], [20, 11], [33, 17, 5]]), "activation": pick(["relu", "silu"]),
            "outputs": pick([["ctr"], ["a", "b", "c"]]),
        },
    )  # fmt: skip
    if draw.random() < 0.3:
        config["user"] = []
    if draw.random() < 0.3:
        config["event"] = config["event"][:1]
    draw.shuffle(config["event"])
    return config


def convert(tmp_path, config, tensors):
    source, target = write(tmp_path / "m.safetensors", config, tensors), tmp_path / "m.vqr"
    assert main([str(source), "-o", str(target), "--vqrank", library(), "--quiet"]) == 0
    return target


def scores(model, requests, isa=()):
    """Outputs of each request; a request must not be refused."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    command = [library(), "score", *isa, str(model)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout[:500], done.stderr[:500])
    return done.stdout, [json.loads(line)["outputs"] for line in done.stdout.splitlines()]


def assert_close(config, tensors, request, found):
    """Within max(1e-5, 4 times the error of the same computation in float32)."""
    expected = reference.score(config, tensors, request).outputs
    rounded = reference.score(config, tensors, request, np.float32).outputs
    assert set(found) == set(expected)
    for name in expected:
        own = np.abs(np.array(rounded[name]) - expected[name]).max(initial=0)
        error = np.abs(np.array(found[name]) - expected[name]).max(initial=0)
        assert error <= max(1e-5, 4 * own), (name, error, own)


@pytest.mark.parametrize("seed", range(24))
def test_random_models(tmp_path, seed):
    config = random_config(seed)
    heads = config["sequences"][0]["hstu"]["heads"]
    tensors = weights(config, seed=seed, bias_heads=heads if seed % 2 else 1)
    model = convert(tmp_path, config, tensors)
    requests = []
    for i, (events, candidates) in enumerate([(0, 3), (1, 1), (7, 17), (300, 2), (5, 0)]):
        request = request_of(config, seed=100 * seed + i, events=events, candidates=candidates)
        found = reference.quantize(config, tensors, request["events"])
        clear = np.all(found.margins >= 2 * found.bounds, axis=1)
        request["events"] = [event for event, keep in zip(request["events"], clear, strict=True) if keep]
        assert len(request["events"]) >= 0.9 * events - 1
        requests.append(request)
    text, outputs = scores(model, requests, ("--isa", "ref"))
    assert scores(model, requests)[0] == text
    for request, found in zip(requests, outputs, strict=True):
        assert_close(config, tensors, request, found)


@pytest.mark.parametrize("case", VQL_CASES)
def test_vql(tmp_path, case):
    """Requests with and without a time, before and long after the events; events without one; no events."""
    config = config_of_vql(**VQL_CASES[case], config=config_of_every_kind())
    tensors = weights(config, seed=4)
    model = convert(tmp_path, config, tensors)
    requests = []
    for seed, events in enumerate([0, 1, 5, 60, 300]):
        request = request_of(config, seed=seed, events=events, candidates=3)
        found = reference.quantize(config, tensors, request["events"])
        clear = np.all(found.margins >= 2 * found.bounds, axis=1)
        request["events"] = [event for event, keep in zip(request["events"], clear, strict=True) if keep]
        assert len(request["events"]) >= 0.9 * events - 1
        request["events"][::7] = [{**event, "time": None} for event in request["events"][::7]]
        requests += [request | {"time": time} for time in (5, 10**9, 2 * 10**9)]
        requests.append({key: value for key, value in request.items() if key != "time"})
    text, outputs = scores(model, requests, ("--isa", "ref"))
    assert scores(model, requests)[0] == text
    for request, found in zip(requests, outputs, strict=True):
        assert_close(config, tensors, request, found)


@pytest.mark.parametrize("case", KIND_CASES)
def test_every_kind(tmp_path, case):
    """Features, id mappings, activations, attentions and sequences of every kind, golden request included."""
    config = config_of_every_kind(**KIND_CASES[case])
    tensors = weights(config, seed=4)
    model = convert(tmp_path, config, tensors)
    requests = []
    for seed, (events, candidates) in enumerate([(0, 3), (1, 1), (5, 17), (6, 2), (7, 2), (300, 3), (5, 0)]):
        request = request_of(config, seed=seed, events=events, candidates=candidates)
        found = reference.quantize(config, tensors, request["events"])
        clear = np.all(found.margins >= 2 * found.bounds, axis=1)
        request["events"] = [event for event, keep in zip(request["events"], clear, strict=True) if keep]
        assert len(request["events"]) >= 0.9 * events - 1
        requests.append(request)
    requests[3]["events"][0].update(tags=None, parts=[], image=None)
    requests[3]["events"][1].update(parts=["?", 99, "A", "A"], tag=None)
    requests[3]["candidates"][0].update(words=[0, 20, -1, 5], cover=None)
    text, outputs = scores(model, requests, ("--isa", "ref"))
    assert scores(model, requests)[0] == text
    for request, found in zip(requests, outputs, strict=True):
        assert_close(config, tensors, request, found)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 20_000])
def test_vocabularies(tmp_path, count):
    """The library finds the row of every key, integer or string, and no row for what is almost a key."""
    config = config_with(hstu={"layers": 0}, head={"hidden": []})
    keys = [key for i in range(count) for key in (i * 7919 - 5000, f"key {i}", f"\u65e5{i}\u672c")][:count]
    if count >= 1000:
        keys[:6] = ["", "7", 7, "-7", -7, 2**63 - 1]
        keys[6] = -(2**63)
    config["tables"]["action"] = {"rows": count + 1, "dim": 4, "ids": "vocabulary", "keys": keys}
    config["candidate"].append({"name": "action", "kind": "id", "table": "action"})
    tensors = weights(config)
    model = convert(tmp_path, config, tensors)
    almost = ["Key 0", "key 0 ", "key", 10**15, -1, "10**15", "\u65e5", "0", 2**62, None]
    asked = [*keys[:: max(1, count // 500)], *almost]
    request = {"id": 1, "candidates": [{"item": 1, "directory": 1, "action": key} for key in asked]}
    (found,) = scores(model, [request])[1]
    assert_close(config, tensors, request, found)
    rows = {key: row for row, key in enumerate(keys, 1)}
    for key, output in zip(asked, found["ctr"], strict=True):
        if key not in rows:
            assert output == found["ctr"][-1], key
    assert len(set(found["ctr"])) > 0.9 * len({rows.get(key, 0) for key in asked})


def test_extreme_but_finite_tables(tmp_path):
    """Exponents at both ends: tables of 1e30 and of 1e-30, a table of zeros, one of denormals."""
    for scale in (1e30, 1e-30, 0.0, 1e-42):
        config = config_with(hstu={"layers": 0}, head={"hidden": []})
        tensors = weights(config)
        name = "tables.directory.weight"
        tensors[name] = (tensors[name].astype(np.float64) * scale).astype(np.float32)
        if scale > 1:  # the rest of the model brings the values back to where a sigmoid can tell them apart
            for part in ("attention.k.weight", "attention.v.weight", "projection", "attention.q.weight"):
                key = f"sequences.long.{part}"
                axis = tensors[key].ndim - 1 if "attention" in part else 1
                width = tensors[key].shape[axis]
                columns = slice(8, 13) if width >= 13 else slice(0, 0)
                index = [slice(None)] * tensors[key].ndim
                index[axis] = columns
                tensors[key][tuple(index)] *= np.float32(1 / scale)
            tensors["head.0.weight"][:, 12:17] *= np.float32(1 / scale)
        model = convert(tmp_path, config, tensors)
        request = request_of(config, events=30)
        found = reference.quantize(config, tensors, request["events"])
        clear = np.all(found.margins >= 2 * found.bounds, axis=1)
        request["events"] = [event for event, keep in zip(request["events"], clear, strict=True) if keep]
        assert len(request["events"]) > 25
        assert_close(config, tensors, request, scores(model, [request])[1][0])
