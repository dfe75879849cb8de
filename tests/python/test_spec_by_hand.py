"""Checks the commands against the specification alone: checkpoints written byte by byte, a model computed in NumPy.

Nothing of the project is imported. What is compared is written down in the model specification, sections 1 to 8:
random configurations over every switch go through `vqrank-convert` and `vqrank score`, and the outputs must be
within max(1e-5, 4 times the error of the same formulas in float32) of those computed here in float64. Events whose best
two codewords are almost equally good are not used: there, rounding may decide.

The commands: `vqrank` in bin/ of the folder that VQRANK_BUILD names (default build/release of the repository),
`vqrank-convert` beside the Python that runs this.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spec_checkpoints import (
    Checkpoint,
    Draw,
    Json,
    random_checkpoint,
    random_config,
    random_dmqn,
    random_hstu,
    random_sdim,
    random_search,
    random_vql,
)
from spec_oracle import Oracle, sigmoid

BUILD = Path(os.environ.get("VQRANK_BUILD", Path(__file__).resolve().parents[2] / "build" / "release"))
VQRANK = BUILD / "bin" / "vqrank"
CONVERT = Path(sys.executable).parent / "vqrank-convert"
TOLERANCE = 1e-5
LEAST_MARGIN = 1e-4  # between the best two codeword scores of an event


def random_id(table: Json, rng: np.random.Generator) -> Any:
    """An id that the table holds, or (seldom) one that it does not."""
    value: Any = int(rng.integers(0, table["rows"]))
    if table["ids"] == "vocabulary" and table["keys"]:
        value = table["keys"][rng.integers(len(table["keys"]))]
    if table["ids"] == "hash" and rng.random() < 0.5:
        value = ["", f"kéy {value}", str(value)][rng.integers(3)]
    if rng.random() < 0.1:
        value = [table["rows"], -1, 2**63 - 1, -(2**63)][rng.integers(4)]
    if rng.random() < 0.1 and table["ids"] != "direct":
        value = "no such key"
    return value


def random_features(config: Json, part: str, rng: np.random.Generator) -> Json:
    """Values for one part of a request: known and unknown ids, numbers, some absent, some null."""
    result: Json = {}
    for f in config.get(part, []):
        value: Any = int(rng.integers(0, 2**40))  # of a time
        if f["kind"] == "id":
            value = random_id(config["tables"][f["table"]], rng)
        elif f["kind"] == "ids":
            value = [random_id(config["tables"][f["table"]], rng) for _ in range(rng.integers(6))]
        elif f["kind"] == "float":
            value = float(np.round(rng.normal(), 4))
        elif f["kind"] == "semantic_id":
            value = [float(x) for x in 1.2 * rng.normal(size=config["quantizers"][f["quantizer"]]["dim"])]
        elif f["kind"] == "vector":
            value = [float(x) for x in rng.normal(size=f["dim"])]
        if rng.random() < 0.9:
            result[f["name"]] = None if rng.random() < 0.1 else value
    return result


def clear_features(oracle: Oracle, part: str, rng: np.random.Generator) -> Json:
    """The same, with codes that do not depend on rounding."""
    while True:
        values = random_features(oracle.config, part, rng)
        if oracle.clear(part, values):
            return values


def random_request(oracle: Oracle, rng: np.random.Generator, request_id: str) -> Json:
    """A request whose events have a clear best codeword in every codebook."""
    count = int(rng.choice([0, 1, 3, 20, 100]))
    events = [clear_features(oracle, "event", rng) for _ in range(count)]
    request: Json = {"id": request_id, "events": [e for e in events if oracle.margins(e) > LEAST_MARGIN]}
    candidates = [clear_features(oracle, "candidate", rng) for _ in range(int(rng.integers(0, 6)))]
    request["candidates"] = [c for c in candidates if oracle.choices(request["events"], c) > LEAST_MARGIN]
    if rng.random() < 0.7:  # before, among and after the events, and much later
        request["time"] = int(rng.integers(0, 2 ** int(rng.choice([30, 40, 41, 44]))))
    return request | {part: clear_features(oracle, part, rng) for part in ("user", "context") if rng.random() < 0.8}


def convert(checkpoint: Checkpoint, folder: Path) -> Path:
    """Writes and converts a checkpoint; returns the model file."""
    checkpoint.write(folder / "model.safetensors")
    model = folder / "model.vqr"
    command = [str(CONVERT), "--vqrank", str(VQRANK), str(folder / "model.safetensors"), "-o", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return model


def score(model: Path, requests: list[Json], *options: str) -> str:
    """The lines that `vqrank score` answers."""
    text = "".join(json.dumps(request) + "\n" for request in requests)
    command = [str(VQRANK), "score", str(model), *options]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stderr, done.stdout[:1000])
    return done.stdout


def usable_isas(model: Path) -> list[str]:
    """The instruction sets that --isa takes on this machine, as its refusal of another lists them."""
    command = [str(VQRANK), "score", str(model), "--isa", "none"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=120, check=False)
    isas = done.stderr.strip().rpartition("usable here: ")[2].split(", ")
    assert "ref" in isas
    return isas


def check_model(config: Json, rng: np.random.Generator, folder: Path) -> None:
    """Conversion and scores of a model with random weights, and the same bytes from every ISA of this processor."""
    checkpoint = random_checkpoint(config, rng)
    exact, rounded = Oracle(checkpoint), Oracle(checkpoint, np.float32)
    requests = [random_request(exact, rng, f"r{i}") for i in range(8)]
    model = convert(checkpoint, folder)
    answer = score(model, requests)
    for isa in usable_isas(model):
        assert score(model, requests, "--isa", isa) == answer
    for request, line in zip(requests, answer.splitlines(), strict=True):
        response = json.loads(line)
        assert response["id"] == request["id"]
        assert list(response["outputs"]) == checkpoint.config["head"]["outputs"]
        expected, rough = sigmoid(exact.logits(request)), sigmoid(rounded.logits(request))
        found = np.array(list(response["outputs"].values())).T.reshape(expected.shape)
        bound = max(TOLERANCE, 4 * float(np.abs(rough - expected).max(initial=0)))
        assert np.abs(found - expected).max(initial=0) <= bound, (checkpoint.config, request["id"])


@pytest.mark.parametrize("seed", range(24))
def test_a_random_model_scores_as_the_specification_says(seed: int, tmp_path: Path) -> None:
    """Every switch of the specification."""
    rng = np.random.default_rng(seed)
    check_model(random_config(rng), rng, tmp_path)


@pytest.mark.parametrize("terms", range(4))
def test_quantised_keys_score_as_attention_over_all_events(terms: int, tmp_path: Path) -> None:
    """Section 3 alone: events with and without times, requests with and without one."""
    rng = np.random.default_rng(100 + terms)
    config = random_config(rng)
    config["event"] = [f for f in config["event"] if f["kind"] != "time"] + [{"name": "when", "kind": "time"}]
    config["sequences"] = [random_vql(Draw(rng), "keys") | {"decay_terms": terms}]
    check_model(config, rng, tmp_path)


@pytest.mark.parametrize("seed", range(300, 308))
def test_hashed_events_score_as_the_specification_says(seed: int, tmp_path: Path) -> None:
    """SDIM alone, and beside other kinds."""
    rng = np.random.default_rng(seed)
    config = random_config(rng)
    others = [s for s in config["sequences"] if seed % 2]
    config["sequences"] = [random_sdim(Draw(rng), "hashed"), *others]
    check_model(config, rng, tmp_path)


@pytest.mark.parametrize("seed", range(400, 416))
def test_hstu_over_the_last_events_scores_as_the_specification_says(seed: int, tmp_path: Path) -> None:
    """Alone and beside other kinds, with and without times, with attention and without."""
    rng = np.random.default_rng(seed)
    config = random_config(rng)
    others = [s for s in config["sequences"] if seed % 4 == 3]
    if seed % 4 == 1:
        config["event"] = [f for f in config["event"] if f["kind"] != "time"] + [{"name": "when", "kind": "time"}]
    config["sequences"] = [*others, random_hstu(Draw(rng), "all")]
    check_model(config, rng, tmp_path)


@pytest.mark.parametrize("seed", range(300, 316))
def test_candidates_find_and_choose_events_as_the_specification_says(seed: int, tmp_path: Path) -> None:
    """The kinds that search the last events, both in turn, alone and together."""
    rng = np.random.default_rng(seed)
    config = random_config(rng)
    config["sequences"] = []
    for name in ("one", "two")[: 1 + seed % 2]:
        config["sequences"].append(random_search(Draw(rng), name, config))
    check_model(config, rng, tmp_path)


@pytest.mark.parametrize("seed", range(200, 212))
def test_semantic_ids_score_as_the_specification_says(seed: int, tmp_path: Path) -> None:
    """Section 5, among the other kinds of features and every kind of sequence."""
    rng = np.random.default_rng(seed)
    check_model(random_config(rng, semantic=True), rng, tmp_path)


def test_the_lowest_index_wins_a_tie(tmp_path: Path) -> None:
    """Equal codewords: only the first of them gets events, which the scores show where HSTU's bias differs by token."""
    rng = np.random.default_rng(1)
    config = random_config(rng)
    sequence = random_dmqn(Draw(rng), "long") | {"codebooks": 1, "codewords": 20, "empty": "masked"}
    config["sequences"] = [sequence | {"hstu": {"layers": 1, "heads": 2, "qk_dim": 3, "v_dim": 5}}]
    checkpoint = random_checkpoint(config, rng)
    codebook = checkpoint.tensors["sequences.long.codebook"]
    codebook[:, 10:] = codebook[:, :10]
    oracle = Oracle(checkpoint)
    events = [random_features(config, "event", rng) for _ in range(60)]
    candidates = [random_features(config, "candidate", rng) for _ in range(5)]
    request = {"id": "r", "events": events, "candidates": candidates}
    answer = json.loads(score(convert(checkpoint, tmp_path), [request]))["outputs"]
    found = np.array(list(answer.values())).T
    assert np.abs(found - sigmoid(oracle.logits(request))).max() <= TOLERANCE
