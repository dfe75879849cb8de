"""The weights that vqr_explain gives, against target attention written out in float64.

Models without HSTU layers: the tokens then are the means of each cluster's events, and the last events themselves.
"""

import converter_support as support
import numpy as np
import pytest
from command_support import convert
from explain_support import attention_weights
from library import Library

from vqrank_convert.config import parse_config
from vqrank_convert.reference_inputs import Inputs

LAST = 6  # of the short sequence in support.config_of_every_kind
DOT = {"kind": "dot", "heads": 3, "dim": 6}
DIN = {"kind": "din", "hidden": [12, 7], "activation": "prelu"}


def clusters_weights(sequence, tensors, clusters, e, t):
    """Of a dmqn sequence whose events e [L, D] fall to clusters [N, L]: [C, N, W]."""
    weights = np.zeros((len(t), sequence["codebooks"], sequence["codewords"]))
    for j, z in enumerate(clusters):
        counts = np.bincount(z, minlength=sequence["codewords"])
        means = np.zeros((sequence["codewords"], e.shape[1]))
        np.add.at(means, z, e)
        means /= np.maximum(counts, 1)[:, None]
        kept = np.flatnonzero(counts) if sequence["empty"] == "masked" else np.arange(len(counts))
        name = f"sequences.{sequence['name']}.attention"
        weights[:, j, kept] = attention_weights(sequence["attention"], tensors, name, j, means[kept], counts[kept], t)
    return weights


def last_events_weights(sequence, tensors, e, t):
    """Of a sequence of last events: [C, 1, last], the newest event's is the last."""
    weights, kept = np.zeros((len(t), 1, sequence["last"])), e[-sequence["last"] :]
    name = f"sequences.{sequence['name']}.attention"
    weights[:, 0, sequence["last"] - len(kept) :] = attention_weights(
        sequence["attention"], tensors, name, None, kept, None, t
    )
    return weights


CASES = {
    "dot": ({**DOT, "count_bias": True}, {**DOT, "heads": 2}, {"empty": "masked"}),
    "dot, shared": ({**DOT, "share": True}, {**DOT, "heads": 1}, {"empty": "zero"}),
    "din": (DIN, {**DIN, "hidden": [9]}, {"empty": "masked"}),
    "din, softmax": ({**DIN, "softmax": True, "share": True}, {**DIN, "softmax": True}, {"empty": "zero"}),
    "din, no hidden layers": ({**DIN, "hidden": []}, {**DIN, "hidden": []}, {"empty": "masked"}),
}


@pytest.mark.parametrize("case", CASES)
def test_weights(tmp_path, case):
    attention, short, changes = CASES[case]
    config = support.config_of_every_kind(attention=attention, short=short, hstu={"layers": 0}, sequence=changes)
    tensors = support.weights(config, seed=3)
    model = convert(tmp_path, config, tensors)
    inputs = Inputs(parse_config(config), tensors, np.float64)
    latest, long = config["sequences"]
    assert (latest["last"], long["kind"]) == (LAST, "dmqn")
    for events in (1, LAST - 2, LAST, LAST + 1, 40):  # fewer than `last`, as many, more
        request = support.request_of(config, seed=events, events=events, candidates=4)
        found = Library().weights(model, config, request)
        e, t = (inputs.embed_all(group, request[f"{group}s"]) for group in ("event", "candidate"))
        clusters = Library().assignments(model, config, request["events"])["long"]
        want = {
            "short": last_events_weights(latest, tensors, e, t),
            "long": clusters_weights(long, tensors, clusters, e, t),
        }
        for name, weights in want.items():
            assert found[name].shape == weights.shape
            scale = max(1, np.abs(weights).max())
            np.testing.assert_allclose(found[name], weights, rtol=0, atol=2e-6 * scale, err_msg=f"{name}, {events}")
            assert (found[name] == 0).tolist() == (weights == 0).tolist()  # the same tokens take part


def vql_weights(sequence, tensors, clusters, e, kernel, t):
    """Of a vql sequence: softmax over every event with its quantised key, `kernel` [A, L] times the exponentials; its
    events' weights by codeword, the mean over the heads of each group: [C, G, W]."""
    name, d = f"sequences.{sequence['name']}.vql", sequence["dim"]
    weights = np.zeros((len(t), len(sequence["groups"]), max(group["codewords"] for group in sequence["groups"])))
    q = (t @ tensors[f"{name}.q.weight"].astype(float).T).reshape(len(t), -1, d)
    for g, group in enumerate(sequence["groups"]):
        keys = tensors[f"{name}.groups.{g}.codebook"].astype(float)[clusters[g]].reshape(len(e), -1, d)
        for place, head in enumerate(group["heads"]):
            scores = np.exp(q[:, head] @ keys[:, place].T / np.sqrt(d)) * kernel[head]
            share = scores / scores.sum(-1, keepdims=True) / len(group["heads"])
            for w in range(group["codewords"]):
                weights[:, g, w] += share[:, clusters[g] == w].sum(-1)
    return weights


@pytest.mark.parametrize("case", support.VQL_CASES)
def test_weights_of_vql(tmp_path, case):
    config = support.config_of_vql(**support.VQL_CASES[case])
    tensors = support.weights(config, seed=3)
    model = convert(tmp_path, config, tensors)
    inputs = Inputs(parse_config(config), tensors, np.float64)
    (sequence,) = config["sequences"]
    for events, now in ((1, 10**9), (60, None), (60, 10**9 + 10**7)):
        request = support.request_of(config, seed=events, events=events, candidates=4) | {"time": now}
        found = Library().weights(model, config, request)["keys"]
        e, t = (inputs.embed_all(group, request[f"{group}s"]) for group in ("event", "candidate"))
        clusters = Library().assignments(model, config, request["events"])["keys"]
        kernel = np.ones((sequence["heads"], events))
        if sequence.get("decay_terms"):
            times = np.array([event["time"] for event in request["events"]], float)
            ago = max(now or 0, times.max()) - times
            decay, mix = (tensors[f"sequences.keys.vql.{part}"].astype(float) for part in ("decay", "mix"))
            kernel = (mix[:, :, None] * np.exp(-decay[:, :, None] * ago)).sum(1)
        want = vql_weights(sequence, tensors, clusters, e, kernel, t)
        assert found.shape == want.shape
        np.testing.assert_allclose(found, want, rtol=0, atol=2e-6, err_msg=str((events, now)))


@pytest.mark.parametrize("attention", [DOT, DIN, {**DIN, "softmax": True}])
def test_weights_of_hstu(tmp_path, attention):
    """Without layers attention is over the events, scaled, and their positions."""
    block = {"layers": 0}
    config = support.config_of_hstu(hstu=block, attention=attention, positions=True, scale="sqrt", last=LAST)
    tensors = support.weights(config, seed=3)
    model = convert(tmp_path, config, tensors)
    inputs = Inputs(parse_config(config), tensors, np.float64)
    for events in (1, LAST, 40):
        request = support.request_of(config, seed=events, events=events, candidates=4)
        e, t = (inputs.embed_all(group, request[f"{group}s"]) for group in ("event", "candidate"))
        x = e[-LAST:] * np.sqrt(e.shape[1]) + tensors["sequences.all.position"][: min(events, LAST)]
        want = np.zeros((4, 1, LAST))
        own = attention_weights(attention, tensors, "sequences.all.attention", None, x, None, t)
        want[:, 0, LAST - len(x) :] = own
        found = Library().weights(model, config, request)["all"]
        np.testing.assert_allclose(found, want, rtol=0, atol=4e-6 * max(1, np.abs(want).max()), err_msg=str(events))


def test_weights_of_hashed_events(tmp_path):
    """1/G of each bucket that holds events and the candidate."""
    config = support.config_of_sdim(hashes=7, bits=2)
    tensors = support.weights(config, seed=3)
    model = convert(tmp_path, config, tensors)
    inputs = Inputs(parse_config(config), tensors, np.float64)
    directions, q = (tensors[f"sequences.hashed.sdim.{name}"].astype(float) for name in ("hash", "q.weight"))
    request = support.request_of(config, seed=5, events=9, candidates=20)
    e, t = (inputs.embed_all(group, request[f"{group}s"]) for group in ("event", "candidate"))
    own = t @ q.T + tensors["sequences.hashed.sdim.q.bias"]
    codes, met = (((x @ directions.T >= 0).reshape(len(x), 7, 2) * [1, 2]).sum(2) for x in (e, own))
    want = np.zeros((20, 7, 4), np.float32)
    for c, g in np.ndindex(20, 7):
        want[c, g, met[c, g]] = np.float32(1 / 7) * (met[c, g] in codes[:, g])
    np.testing.assert_array_equal(Library().weights(model, config, request)["hashed"], want)
    assert (want.sum((1, 2)) < 0.9).any()
    np.testing.assert_array_equal(Library().assignments(model, config, request["events"])["hashed"], codes.T)
