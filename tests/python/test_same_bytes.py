"""One request line gives the same response line, byte for byte, on every instruction set and processor."""

import copy
import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from library import score_lines
from random_models import (
    random_config,
    random_latest,
    random_module,
    random_request,
    random_sdim,
    random_sequence,
    random_vql,
)
from test_models_float64 import convert, usable_isas

from vqrank_train.checkpoint import save_checkpoint

ARM = Path(__file__).parents[2] / "build" / "aarch64" / "bin" / "vqrank"
SIZES = {"codewords": [7, 16, 33, 64], "codebooks": [1, 2, 3]}


@pytest.fixture(scope="module")
def arm_command():
    """The cross-built command under QEMU, or natively on such a machine."""
    if not ARM.exists() or not shutil.which("qemu-aarch64"):
        pytest.skip("build/aarch64 or qemu-aarch64 is missing: run ./test.sh aarch64 first")
    return ["qemu-aarch64", str(ARM)]


@pytest.mark.parametrize("seed", range(300, 312))
def test_arm_equals_x86(tmp_path, seed, arm_command):
    config = random_config(seed, **SIZES)
    save_checkpoint(tmp_path / "c.safetensors", random_module(config, seed))
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
    requests = [random_request(config, seed + n, n, 5) for n in (0, 1, 40)]
    requests.append({"id": "refused", "nonsense": 1, "candidates": []})
    native = {isa: score_lines(tmp_path / "m.vqr", requests, isa) for isa in usable_isas(tmp_path / "m.vqr")}
    arm = {isa: score_lines(tmp_path / "m.vqr", requests, isa, arm_command) for isa in ("ref", "neon")}
    assert len(native) > 1
    assert len({tuple(lines) for lines in (*native.values(), *arm.values())}) == 1
    assert len(native["ref"]) == 4


def converted(tmp_path, seed, sequences):
    """A random configuration with these sequences, and its model file."""
    config = random_config(seed, [], [], sequences=sequences)
    save_checkpoint(tmp_path / "c.safetensors", random_module(config, seed))
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
    return config, tmp_path / "m.vqr"


def outputs(model, requests):
    return [json.loads(line)["outputs"] for line in score_lines(model, requests)]


KINDS = {"dmqn", "vql", "sdim", "hstu", "sim_hard", "twin"}


@pytest.mark.parametrize("seed", [17, 18, 19, 29])
def test_candidates_do_not_see_each_other(tmp_path, seed):
    """A candidate's score does not depend on the others, nor on their order."""
    rng = random.Random(seed)
    sequences = [random_sequence(rng, "long", [33], [3]), random_latest(rng, "short")]
    if seed == 29:  # that draws every other kind, and features that sim_hard can match
        sequences = random_config(seed, [33], [3])["sequences"]
        assert {sequence["kind"] for sequence in sequences} >= KINDS
    config, model = converted(tmp_path, seed, sequences)
    request = random_request(config, seed, 200, 131)
    single = [request | {"candidates": [candidate]} for candidate in request["candidates"]]
    whole, backwards = outputs(model, [request, request | {"candidates": request["candidates"][::-1]}])
    ones = outputs(model, single)
    for name, scores in whole.items():
        assert scores == [one[name][0] for one in ones]
        assert scores == backwards[name][::-1]


@pytest.mark.parametrize("seed", [17, 18, 19])
def test_the_order_of_events(tmp_path, seed):
    """It changes no bit where every event is summed; where the last ones are attended to, that of the others."""
    rng = random.Random(seed)
    last = random_latest(rng, "short") | {"last": 7}
    summed = [random_sequence(rng, "long", [33], [3]), random_sdim(rng, "hashed")]
    config, model = converted(tmp_path, seed, summed)
    request = random_request(config, seed, 200, 20)
    backwards = request | {"events": request["events"][::-1]}
    assert len({json.dumps(found) for found in outputs(model, [request, backwards])}) == 1

    config, model = converted(tmp_path, seed, [last, *config["sequences"]])
    others = request | {"events": request["events"][:-7][::-1] + request["events"][-7:]}
    found = [json.dumps(one) for one in outputs(model, [request, others, backwards])]
    assert found[0] == found[1] != found[2]


def with_rows(module, config, seed, rows):
    """The same model with tables of `rows` rows, whose ids map to the rows that they had."""
    larger = copy.deepcopy(config)
    for table in larger["tables"].values():
        table["rows"] = rows
    weights = {name: p for name, p in module.state_dict().items() if not name.startswith("tables.")}
    for name in larger["tables"]:
        old = module.state_dict()[f"tables.{name}.weight"]
        weights[f"tables.{name}.weight"] = torch.cat([old, torch.zeros(rows - old.shape[0], old.shape[1])])
    other = random_module(larger, seed)
    other.load_state_dict(weights)
    return other


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_small_tables(tmp_path, seed):
    """A session keeps what rows of small tables score. That changes no bit: not against tables that are too large for
    it, nor between the first request that meets a row and a later one, whatever the codebooks."""
    rng = random.Random(seed)
    tables = {name: {"rows": 9, "dim": dim, "ids": "direct"} for name, dim in (("a", 3), ("b", 16), ("c", 17))}
    features = [{"name": name, "kind": "id", "table": name} for name in tables]
    event = [*features[:1], {"name": "x", "kind": "float"}, *features[1:]]
    sequences = [random_sequence(rng, "one", [33], [3]), random_vql(rng, "two", [7, 16, 20])]
    config = {
        "format": 1, "name": "small", "tables": tables, "user": [], "context": [], "event": event,
        "candidate": features, "quantizers": {}, "sequences": sequences,
        "head": {"hidden": [8], "activation": "relu", "outputs": ["ctr"]},
    }
    module = random_module(config, seed)
    found = []
    for rows in (9, 40_000):
        save_checkpoint(tmp_path / "c.safetensors", with_rows(module, config, seed, rows))
        convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
        requests = [random_request(config, seed * 100 + n, 5 * n, 3) for n in range(6)]
        for row in (row for request in requests for row in request["events"] + request["candidates"]):
            row.update({name: -1 for name in tables if (row.get(name) or 0) >= 9})  # unknown to both
        found.append(score_lines(tmp_path / "m.vqr", requests))
        found.append([line for request in requests for line in score_lines(tmp_path / "m.vqr", [request])])
    assert found[0] == found[1] == found[2] == found[3]
    assert len(set(found[0])) == 6
