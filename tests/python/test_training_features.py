"""Features of every kind in the exact inference: numbers worked out by hand, and what is refused."""

import copy

import pytest
import torch
import xxhash
from test_training_predict import CONFIG

from vqrank_train.config import Config, ConfigError
from vqrank_train.model import Ranker
from vqrank_train.predict import Encoder, RequestError, predict


def features_module(features):
    """A module whose events have these features over tables `item` (direct), `keys` (vocabulary) and `hashed`."""
    config = copy.deepcopy(CONFIG)
    config["tables"]["hashed"] = {"rows": 1000, "dim": 1, "ids": "hash"}
    attention = {"kind": "dot", "heads": 1, "dim": 1}
    config |= {"event": features, "sequences": [{"name": "short", "kind": "din", "last": 1, "attention": attention}]}
    torch.manual_seed(1)
    module = Ranker(Config.read(config)).double().eval()
    with torch.no_grad():
        module.tables["item"].weight.copy_(torch.tensor([[0.5, 0.25], [1.0, 0.0], [0.0, 2.0], [3.0, -8.0]]))
        module.tables["hashed"].weight.copy_(torch.arange(1000.0)[:, None])
    return module


def embedded(module, event):
    encoder = Encoder(module.config)
    return module.embed("event", encoder.columns("event", [event], "events"), (1,))[0].tolist()


def test_float_rounding_of_a_vector():
    """Each number of a vector is rounded once to fp32, from double."""
    module = features_module([{"name": "v", "kind": "vector", "dim": 2}])
    found = embedded(module, {"v": [30.1, -7]})
    assert found == [torch.tensor(30.1).double().item(), -7.0]
    assert embedded(module, {}) == embedded(module, {"v": None}) == [0.0, 0.0]


def test_pooled_ids():
    pools = [{"name": pool, "kind": "ids", "table": "item", "pool": pool} for pool in ("sum", "mean")]
    module = features_module(pools)
    assert embedded(module, {"sum": [1, 3, 3], "mean": [1, 3, 3, 2]}) == [7.0, -16.0, 7 / 4, -14 / 4]
    assert embedded(module, {"sum": [1, 99], "mean": [-1, 2]}) == [1.5, 0.25, 0.25, 1.125]  # unknown: row 0, counted
    assert embedded(module, {"sum": [0], "mean": [0]}) == [0.5, 0.25, 0.5, 0.25]
    for nothing in ({}, {"sum": None, "mean": []}):
        assert embedded(module, nothing) == [0.0, 0.0, 0.0, 0.0]
    encoder = Encoder(module.config)
    values = [{"sum": [1, 99, -1]}, {}, {"mean": [2, 3]}]  # one batch of lists of different lengths
    rows = module.embed("event", encoder.columns("event", values, "events"), (3,))
    assert rows.tolist() == [[2.0, 0.5, 0.0, 0.0], [0.0] * 4, [0.0, 0.0, 1.5, -3.0]]
    assert encoder.unknown == 2


def test_hashed_ids():
    """XXH3 of the reference implementation, seed 0: of 8 bytes 01 00 ... 00, of b"", and of the bytes of a string."""
    module = features_module([{"name": "h", "kind": "id", "table": "hashed"}])
    assert embedded(module, {"h": ""}) == [1 + 0x2D06800538D394C2 % 999]
    for value, data in ((1, b"\x01" + bytes(7)), (-2, b"\xfe" + b"\xff" * 7), ("ключ", "ключ".encode()), ("1", b"1")):
        assert embedded(module, {"h": value}) == [1 + xxhash.xxh3_64_intdigest(data) % 999]
    assert embedded(module, {}) == [0.0]
    assert embedded(module, {"h": 1}) != embedded(module, {"h": "1"})


def test_sums_of_ids_that_exact_sums_cannot_hold():
    """Room for 256 ids of the largest magnitude, and to the next power of two; means and candidates are not summed."""
    feature = {"name": "f", "kind": "ids", "table": "item", "pool": "sum"}
    module = features_module([feature])  # its largest magnitude is 8, a power of two
    request = {"id": "r", "candidates": [{}]}
    predict(module, request | {"events": [{"f": [3] * 256}]})
    with pytest.raises(RequestError, match=r"events\[1\]\.f") as error:
        predict(module, request | {"events": [{}, {"f": [3] * 257}]})
    assert error.value.code == "range"
    predict(features_module([feature | {"pool": "mean"}]), request | {"events": [{"f": [3] * 300}]})


@pytest.mark.parametrize(
    ("event", "code", "where"),
    [
        ({"f": 1}, "type", r"events\[1\]\.f: expected an array of ids"),
        ({"f": [1, None]}, "type", r"events\[1\]\.f\[1\]"),
        ({"f": [1.0]}, "type", r"events\[1\]\.f\[0\]"),
        ({"f": ["1"]}, "type", "expected an integer"),
        ({"f": [2**63]}, "range", "64-bit"),
        ({"v": 1}, "type", "array of 2 numbers"),
        ({"v": [1]}, "type", "array of 2 numbers, found 1"),
        ({"v": [1, None]}, "type", r"events\[1\]\.v\[1\]"),
        ({"v": [True, 0]}, "type", r"events\[1\]\.v\[0\]"),
        ({"v": [4096.5, 0]}, "range", r"events\[1\]\.v\[0\]"),
        ({"v": [0, 10**400]}, "range", r"events\[1\]\.v\[1\]"),
        ({"h": 1.5}, "type", r"events\[1\]\.h"),
        ({"h": -(2**63) - 1}, "range", "64-bit"),
    ],
)
def test_refusals_of_values(event, code, where):
    module = features_module(
        [
            {"name": "f", "kind": "ids", "table": "item", "pool": "sum"},
            {"name": "v", "kind": "vector", "dim": 2},
            {"name": "h", "kind": "id", "table": "hashed"},
        ]
    )
    with pytest.raises(RequestError, match=where) as error:
        predict(module, {"id": "r", "events": [{}, event], "candidates": []})
    assert error.value.code == code


REFUSED = [
    ({"kind": "ids", "table": "item"}, '"pool" is required'),
    ({"kind": "ids", "table": "item", "pool": "max"}, "one of sum, mean"),
    ({"kind": "ids", "table": "none", "pool": "sum"}, "no table"),
    ({"kind": "id", "table": "item", "pool": "sum"}, 'unknown key "pool"'),
    ({"kind": "vector"}, '"dim" is required'),
    ({"kind": "vector", "dim": 0}, "at least 1"),
    ({"kind": "vector", "dim": 2, "std": 2}, 'unknown key "std"'),
    ({"kind": "semantic_id"}, '"quantizer" is required'),
    ({"kind": "semantic_id", "quantizer": "none"}, 'no quantizer is named "none"'),
]


def refused_config(feature):
    config = copy.deepcopy(CONFIG)
    config["user"] = [{"name": "new", **feature}]
    return config


@pytest.mark.parametrize(("feature", "message"), REFUSED)
def test_config_refusals_of_features(feature, message):
    with pytest.raises(ConfigError, match=message):
        Config.read(refused_config(feature))


def test_config_of_hashed_ids():
    config = copy.deepcopy(CONFIG)
    config["tables"]["hashed"] = {"rows": 1, "dim": 1, "ids": "hash"}
    with pytest.raises(ConfigError, match=r"hashed\.rows: expected an integer of at least 2"):
        Config.read(config)
