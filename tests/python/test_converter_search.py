"""Sequences of kinds sim_hard and twin in the converter: what the file holds of them, what of them is refused, and that
the library scores as the reference does."""

import copy
import json

import numpy as np
import pytest
from converter_support import SEARCH_CASES, config_of_search, request_of, search_case, set_at, shapes, weights
from test_converter_library import assert_close, scores
from test_converter_library import convert as convert_with_golden
from test_converter_parts import convert, refused

from vqrank_convert import golden, reference

SEARCH = ("sequences", 0)
A = "sequences.search.attention"

# ---- what the file holds ----


@pytest.mark.parametrize("case", SEARCH_CASES)
def test_header_and_tensors(tmp_path, case):
    """Tensors are those of the attention, with a leading 1."""
    config = search_case(case)
    tensors = weights(config, out=3, seed=3)
    file = convert(tmp_path, config, tensors)
    (given,), (sequence,) = config["sequences"], file.header.sequences
    kind = sequence.kind
    assert (file.header.formatVersion, sequence.name) == (6, b"search")
    assert sequence.kindType == {"sim_hard": 5, "twin": 6}[given["kind"]]
    assert (kind.last, kind.top) == (given["last"], given["top"])
    if given["kind"] == "sim_hard":
        places = {"directory": (1, 1), "action": (2, 2)}
        assert (kind.event, kind.candidate) == places[given["match"]["event"]]
        assert (kind.din is None) == (given["attention"]["kind"] == "dot")
    if given["attention"]["kind"] == "dot":
        out = 3 if given["attention"].get("out") else 0
        dot = kind.attention
        assert (dot.heads, dot.dim, dot.out) == (given["attention"]["heads"], given["attention"]["dim"], out)
        for part in ("q", "k", "v", *(("out",) if out else ())):
            np.testing.assert_array_equal(file.values(f"{A}.{part}.weight"), tensors[f"{A}.{part}.weight"].T[None])
            np.testing.assert_array_equal(file.values(f"{A}.{part}.bias"), tensors[f"{A}.{part}.bias"][None])


# ---- what they compute ----


@pytest.mark.parametrize("case", SEARCH_CASES)
def test_library(tmp_path, case):
    """No events, fewer than `last`, many; candidates whose choice rounding might change are left out, which few are."""
    config = search_case(case)
    tensors = weights(config, seed=4)
    model = convert_with_golden(tmp_path, config, tensors)
    requests = []
    for seed, events in enumerate([0, 1, 5, 30, 31, 300]):
        request = request_of(config, seed=seed, events=events, candidates=12)
        for event in request["events"][::5]:
            event["directory"] = None
        clear = reference.score(config, tensors, request).clear
        assert clear.sum() >= 10
        request["candidates"] = [c for c, keep in zip(request["candidates"], clear, strict=True) if keep]
        request["candidates"] += [{"item": 3, "directory": -1}, {"item": 4}]
        requests.append(request)
    text, outputs = scores(model, requests, ("--isa", "ref"))
    assert scores(model, requests)[0] == text
    for request, found in zip(requests, outputs, strict=True):
        assert_close(config, tensors, request, found)


def test_the_golden_request_finds_events(tmp_path):
    """Several of a candidate's category, so that the attention weighs them against each other."""
    config = search_case("sim_hard")
    parsed = reference.parse_config(config)
    request = json.loads(golden.make(parsed, weights(config)).request)
    rows = [event.get("directory") for event in request["events"]]
    assert max(rows.count(candidate.get("directory", -1)) for candidate in request["candidates"]) > 1


@pytest.mark.parametrize("kind", ["sim_hard", "twin"])
def test_the_golden_request_chooses_among_events(kind):
    """Of a workload's `top`, too: the outputs are others when all events may be kept."""
    config = config_of_search(kind, last=1000, top=50)
    tensors = weights(config)
    made = golden.make(reference.parse_config(config), tensors)
    assert made.events == {"sim_hard": 95, "twin": 70}[kind]
    every = config_of_search(kind, last=1000, top=1000)
    found = reference.score(every, tensors, json.loads(made.request)).outputs["ctr"]
    assert abs(found[0] - made.float64[0]) > 1e-6


def test_candidates_of_unclear_choices_are_left_out():
    """Every known item is at right angles to what heads tell events apart by, but for the roundings of float32."""
    config = config_of_search("twin")
    tensors = {name: value.astype(np.float64) for name, value in weights(config).items()}
    rows, q, k = (tensors[name] for name in ("tables.item.weight", f"{A}.q.weight", f"{A}.k.weight"))
    item = rows.shape[1]  # the first columns
    q[:, item:] = 0
    tensors[f"{A}.q.bias"][:] = tensors[f"{A}.k.bias"][:] = 0
    directions = []
    for head in (slice(0, 6), slice(6, 12)):
        k[head] = np.outer(k[head][:, 0], k[head][0])  # so that scores of a candidate differ by a factor alone
        directions.append(k[head][:, 0] @ q[head, :item])
    basis = np.linalg.qr(np.array(directions).T)[0]
    rows[1:] -= rows[1:] @ basis @ basis.T
    made = golden.make(reference.parse_config(config), tensors)
    request = json.loads(made.request)
    assert made.events == len(request["events"]) == 40
    items = [candidate.get("item", 0) for candidate in request["candidates"]]
    assert len(items) > 1 and not any(0 < item < len(rows) for item in items)
    assert reference.score(config, tensors, request).clear.all()


def test_near_ties_stay_out_of_the_golden_request():
    """Keys that differ by less than float32 can tell leave as many events as a head may keep."""
    config = search_case("twin")
    tensors = {name: value.astype(np.float64) for name, value in weights(config).items()}
    parsed = reference.parse_config(config)
    made = golden.make(parsed, tensors)
    assert made.events == 40
    assert reference.score(config, tensors, json.loads(made.request)).clear.all()
    tensors[f"{A}.k.weight"] *= 1e-9
    made = golden.make(parsed, tensors)
    assert made.events == len(json.loads(made.request)["events"]) == 4
    tensors[f"{A}.k.weight"][...] = 0  # all scores are the same in any precision, but that takes knowing them
    tensors[f"{A}.q.weight"][...] = tensors[f"{A}.q.bias"][...] = 0  # and all are 0
    assert golden.make(parsed, tensors).events == 40


# ---- refusals ----

DOT = {"kind": "dot", "heads": 2, "dim": 3}
ONLY = "config.sequences.search: expected only the keys"
SEARCH_CONFIG_CASES = [
    *[(kind, (*SEARCH, key), ..., f"config.sequences.search.{key}: expected this required key")
      for kind in ("sim_hard", "twin") for key in ("last", "top", "attention")],
    *[(kind, (*SEARCH, "last"), value, "config.sequences.search.last: expected an integer from 1 to 1048576")
      for kind in ("sim_hard", "twin") for value in (0, 2**20 + 1, True, 2.0)],
    *[(kind, (*SEARCH, "top"), value, "config.sequences.search.top: expected an integer from 1 to 30")
      for kind in ("sim_hard", "twin") for value in (0, 31, None)],
    ("sim_hard", (*SEARCH, "codebooks"), 1, f'{ONLY} attention, kind, last, match, name, top, found "codebooks"'),
    ("twin", (*SEARCH, "match"), {"event": "directory", "candidate": "directory"}, 'found "match"'),
    ("twin", (*SEARCH, "attention"), {"kind": "din", "hidden": [], "activation": "relu"},
     'config.sequences.search.attention.kind: expected "dot", found "din"'),
    ("twin", (*SEARCH, "attention"), {**DOT, "share": False}, 'found "share"'),
    ("twin", (*SEARCH, "attention"), {**DOT, "count_bias": True}, 'found "count_bias"'),
    ("sim_hard", (*SEARCH, "attention"), {**DOT, "share": False}, 'found "share"'),
    ("sim_hard", (*SEARCH, "match"), ..., "config.sequences.search.match: expected this required key"),
    ("sim_hard", (*SEARCH, "match"), "directory", "config.sequences.search.match: expected an object"),
    ("sim_hard", (*SEARCH, "match", "event"), ..., "config.sequences.search.match.event: expected this required key"),
    ("sim_hard", (*SEARCH, "match", "candidate"), ..., "config.sequences.search.match.candidate: expected this"),
    ("sim_hard", (*SEARCH, "match", "user"), "age", "config.sequences.search.match: expected only the keys"),
    ("sim_hard", (*SEARCH, "match", "event"), "age",
     'config.sequences.search.match.event: expected a feature of config.event, found "age"'),
    ("sim_hard", (*SEARCH, "match", "candidate"), "action",
     'config.sequences.search.match.candidate: expected a feature of config.candidate, found "action"'),
    ("sim_hard", (*SEARCH, "match", "event"), "dwell",
     'config.sequences.search.match.event: expected a feature of kind id, found "dwell" of kind float'),
    ("sim_hard", (*SEARCH, "match", "event"), "time", 'expected a feature of kind id, found "time" of kind time'),
    ("sim_hard", (*SEARCH, "match", "event"), 3, "config.sequences.search.match.event:"),
    ("sim_hard", (*SEARCH, "match", "event"), "item",
     'config.sequences.search.match: expected two features of one table, found tables "item" and "directory"'),
]  # fmt: skip


def edited_search(kind, path, value):
    """The default of config_of_search with the entry at `path` set, or removed if value is ..."""
    return set_at(copy.deepcopy(config_of_search(kind)), path, value)


@pytest.mark.parametrize(("kind", "path", "value", "message"), SEARCH_CONFIG_CASES)
def test_config(tmp_path, capsys, kind, path, value, message):
    assert message in refused(tmp_path, capsys, edited_search(kind, path, value), weights(config_of_search(kind)))


@pytest.mark.parametrize("case", ["sim_hard, din", "twin, out"])
def test_missing_and_misshapen(tmp_path, capsys, case):
    config = search_case(case)
    full = weights(config)
    for name in (name for name in shapes(config) if name.startswith(A) and not name.endswith(".bias")):
        missing = {other: value for other, value in full.items() if other != name}
        message = refused(tmp_path, capsys, config, missing)
        assert message.startswith(f"tensor {name}: expected shape") and message.endswith("found none"), message
        wrong = full[name][None]
        message = refused(tmp_path, capsys, config, {**full, name: wrong})
        assert message.startswith(f"tensor {name}: expected shape") and str(list(wrong.shape)) in message, message
