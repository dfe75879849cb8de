"""`vqrank inspect --codebooks`: figures against NumPy's, warnings for codebooks made to be bad, and the picture."""

import importlib.util
import json
from pathlib import Path

import converter_support as support
import numpy as np
import pytest
from command_support import convert, convert_with_infinite_weights, lines, run
from library import Library

CONFIG = support.config_with(sequence={"codebooks": 2, "codewords": 5})
REQUESTS = [support.request_of(CONFIG, seed, events=70, candidates=60) for seed in range(3)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("codebooks"), CONFIG)


def codebooks_of(model, *requests):
    done = run("inspect", model, "--json", "--codebooks", *(["-"] if requests else []), stdin=lines(*requests))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_figures(model):
    told = codebooks_of(model, *REQUESTS)["codebooks"]
    assert (told["requests"], told["events"], told["candidates"]) == (3, 210, 180)
    events = [event for request in REQUESTS for event in request["events"]]
    clusters = Library().assignments(model, CONFIG, events)["long"]
    weights = support.weights(CONFIG)
    assert [(c["sequence"], c["codebook"], c["codewords"]) for c in told["list"]] == [("long", 0, 5), ("long", 1, 5)]
    for j, codebook in enumerate(told["list"]):
        counts, use = np.bincount(clusters[j], minlength=5), codebook["use"]
        assert use["events_per_cluster"] == counts.tolist() and use["events"] == 210
        shares = counts[counts > 0] / 210
        assert use["perplexity"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
        assert use["perplexity_share"] == pytest.approx(use["perplexity"] / 5)
        assert use["used_share"] == pytest.approx((counts > 0).mean())
        assert (use["least"], use["median"], use["most"]) == (counts.min(), np.median(counts), counts.max())
        assert use["largest_share"] == pytest.approx(counts.max() / 210)
        fold = weights["sequences.long.projection"][j].astype(float) @ weights["sequences.long.codebook"][j].T
        fold /= np.linalg.norm(fold, axis=0)
        cosines = fold.T @ fold - 3 * np.eye(5)
        assert codebook["nearest_cosine"] == pytest.approx(cosines.max(0), abs=1e-6)
        a, b = codebook["nearest_pairs"][0]["clusters"]
        assert cosines[a, b] == cosines.max() == pytest.approx(codebook["nearest_pairs"][0]["cosine"], abs=1e-6)
        assert len(codebook["nearest_pairs"]) == codebook["compared_codewords"] == 5 and codebook["warnings"] == []
        attention = codebook["attention"]
        assert attention["candidates"] == 180 and 0.2 < attention["mean_largest_weight"] <= 1
        assert 0.2 <= attention["usual_cluster_share"] <= 1


def test_groups_of_vql_are_codebooks_of_their_own_size(tmp_path):
    config = support.config_of_vql(groups=((2, 0), (1,)), codewords=(4, 9))
    weights, requests = support.weights(config), [support.request_of(config, seed, 70, 60) for seed in range(3)]
    model = convert(tmp_path, config, weights)
    events = [event for request in requests for event in request["events"]]
    clusters = Library().assignments(model, config, events)["keys"]
    attention = [Library().weights(model, config, request)["keys"] for request in requests]
    told = codebooks_of(model, *requests)["codebooks"]
    assert [(c["sequence"], c["codebook"], c["codewords"]) for c in told["list"]] == [("keys", 0, 4), ("keys", 1, 9)]
    for g, codebook in enumerate(told["list"]):
        w = codebook["codewords"]
        assert codebook["use"]["events_per_cluster"] == np.bincount(clusters[g], minlength=w).tolist()
        largest = np.concatenate([weights[:, g].max(-1) for weights in attention])
        assert codebook["attention"]["mean_largest_weight"] == pytest.approx(largest.mean())
        heaviest = [np.bincount(weights[:, g].argmax(-1)) for weights in attention]
        assert codebook["attention"]["usual_cluster_share"] == sum(n.max() for n in heaviest) / 180
        # An event with a 1 after it is multiplied with the folded codeword and -|c|^2 / 2.
        keys = weights["sequences.keys.vql.k.weight"].reshape(3, 6, -1)[config["sequences"][0]["groups"][g]["heads"]]
        codewords = weights[f"sequences.keys.vql.groups.{g}.codebook"].astype(float)
        columns = np.c_[codewords @ np.concatenate(keys), -(codewords**2).sum(1) / 2].T
        columns /= np.linalg.norm(columns, axis=0)
        assert codebook["nearest_cosine"] == pytest.approx((columns.T @ columns - 3 * np.eye(w)).max(0), abs=1e-6)


def test_figures_of_int8(tmp_path):
    """A fold in int8 is compared as it scores events, with the numbers that it keeps in fp32."""
    config = support.config_with(sequence={"codebooks": 2, "codewords": 20})
    weights, dwell = support.weights(config), 17  # the column of the float feature
    told = codebooks_of(convert(tmp_path, config, weights, "--codebook", "int8"))["codebooks"]
    for j, codebook in enumerate(told["list"]):
        projection, codewords = (weights[f"sequences.long.{part}"][j] for part in ("projection", "codebook"))
        fold = (projection.astype(float) @ codewords.T.astype(float)).astype(np.float32)
        kept, fold[dwell] = fold[dwell].copy(), 0
        largest = np.abs(fold).max(0)
        columns = np.rint(fold * (np.float32(127) / largest)).astype(float) * (largest / np.float32(127))
        columns[dwell] = kept
        columns /= np.linalg.norm(columns, axis=0)
        assert codebook["nearest_cosine"] == pytest.approx((columns.T @ columns - 3 * np.eye(20)).max(0), abs=1e-6)


def test_clusters_of_each_event(model, tmp_path):
    done = run("clusters", model, "-", stdin=lines(*REQUESTS, {"id": "none", "candidates": []}))
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["id"] for line in told] == [*(request["id"] for request in REQUESTS), "none"]
    for request, line in zip(REQUESTS, told, strict=False):
        expected = Library().assignments(model, CONFIG, request["events"])["long"]
        assert line["clusters"] == {"long": np.asarray(expected).tolist()}
    assert told[-1]["clusters"] == {"long": [[], []]}
    config = support.config_of_vql(groups=((2, 0), (1,)), codewords=(4, 9))
    request = support.request_of(config, 0, 20, 1)
    model = convert(tmp_path, config)
    line = json.loads(run("clusters", model, stdin=lines(request)).stdout)
    expected = Library().assignments(model, config, request["events"])["keys"]
    assert line["clusters"] == {"keys": np.asarray(expected).tolist()}
    done = run("clusters", model, stdin=lines(request, "{"))
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 1 and "line 2 refused" in done.stderr


def test_without_requests(model):
    told = codebooks_of(model)["codebooks"]
    assert told["requests"] == 0
    assert all(c["use"] is None and c["attention"] is None and len(c["nearest_cosine"]) == 5 for c in told["list"])
    assert "codebooks" not in json.loads(run("inspect", model, "--json").stdout)
    assert "as the file tells" in run("inspect", model, "--codebooks").stdout


def bad_weights():
    """Codebook 0: one codeword wins whatever the event; codebook 1: two codewords the same; and a query of zeros, so
    that attention cannot tell candidates apart."""
    weights = support.weights(CONFIG)
    weights["tables.item.weight"][:, 0] = 1 + np.abs(weights["tables.item.weight"][:, 0])
    weights["sequences.long.projection"][0] = np.eye(weights["sequences.long.projection"].shape[-1])
    weights["sequences.long.codebook"][0] *= 1e-3
    weights["sequences.long.codebook"][0, 3] = 0
    weights["sequences.long.codebook"][0, 3, 0] = 1
    weights["sequences.long.codebook"][1, 4] = weights["sequences.long.codebook"][1, 1]
    weights["sequences.long.attention.q.weight"][:] = 0
    return weights


def test_warnings(tmp_path):
    model = convert(tmp_path, CONFIG, bad_weights())
    first, second = codebooks_of(model, *REQUESTS)["codebooks"]["list"]
    always = "attention always picks one cluster: 100.0 % of a user's candidates weigh the same one most"
    assert first["warnings"] == ["collapsed: one cluster holds 100 % of the events", always]
    assert second["warnings"] == [always, "2 codewords nearly repeat another one (cosine at least 0.9999)"]
    assert second["nearest_pairs"][0]["clusters"] == [1, 4]
    requests = tmp_path / "requests.jsonl"
    requests.write_text(lines(*REQUESTS, "{"))
    done = run("inspect", model, "--codebooks", requests)
    assert done.returncode == 1 and done.stderr.startswith("vqrank: line 4 refused, json: ")
    assert "as used by 3 requests with 210 events and 180 candidates" in done.stdout
    assert done.stdout.count("WARNING") == 4 and "long/0  used 1 of 5 codewords (20 %)" in done.stdout


def test_perplexity_warns_of_a_large_collapsed_codebook(tmp_path):
    """Two of 64 clusters, half of the events each: no cluster holds more than half, yet the codebook is wasted."""
    config = support.config_with(sequence={"codebooks": 1, "codewords": 64})
    weights = support.weights(config)
    weights["sequences.long.projection"][0] = np.eye(weights["sequences.long.projection"].shape[-1])
    weights["sequences.long.codebook"][:] *= 1e-3
    weights["sequences.long.codebook"][0, 5:7] = 0
    weights["sequences.long.codebook"][0, 5:7, 0] = 1, -1
    weights["tables.item.weight"][:, 0] = np.where(np.arange(50) % 2, 1, -1)
    model = convert(tmp_path, config, weights)
    events = [{"item": i % 50} for i in range(640)]
    (codebook,) = codebooks_of(model, {"id": 1, "events": events, "candidates": []})["codebooks"]["list"]
    assert codebook["use"]["used_share"] == 2 / 64 and codebook["attention"] is None
    assert codebook["warnings"] == ["collapsed: events spread as over 2.0 equal clusters (perplexity), of 64"]


def test_weights_that_are_not_finite_refuse_the_request(tmp_path):
    """All of it: no figure counts half of a request."""
    model = convert_with_infinite_weights(tmp_path)
    event = {"item": 1, "directory": 2, "action": "M", "dwell": 9.0}
    requests = [{"id": 1, "events": [event] * 3, "candidates": candidates} for candidates in ([{"item": 9}], [])]
    done = run("inspect", model, "--json", "--codebooks", "-", stdin=lines(*requests))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith('vqrank: line 1 refused, overflow: candidate 0: a weight of sequence "long"')
    told = json.loads(done.stdout)["codebooks"]
    assert (told["requests"], told["events"], told["list"][0]["use"]["events"]) == (1, 3, 3)


@pytest.mark.parametrize("arguments", [["requests.jsonl"], ["--codebooks", "/nowhere.jsonl"]])
def test_unusable(model, arguments):
    done = run("inspect", model, *arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


def drawing():
    """vqrank_train.codebooks, which needs no other part of the training package."""
    pytest.importorskip("matplotlib")
    path = Path(__file__).parents[2] / "training" / "vqrank_train" / "codebooks.py"
    spec = importlib.util.spec_from_file_location("codebooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_picture(model, tmp_path):
    codebooks, report = drawing(), tmp_path / "report.json"
    report.write_text(json.dumps(codebooks_of(model, *REQUESTS)))
    codebooks.draw(report, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    report.write_text(json.dumps(codebooks_of(model)))
    with pytest.raises(codebooks.ReportError, match=r"REQUESTS\.jsonl"):
        codebooks.draw(report, tmp_path / "other.png")
    report.write_text("{}")
    with pytest.raises(codebooks.ReportError, match=r"report\.json"):
        codebooks.draw(report, tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()
