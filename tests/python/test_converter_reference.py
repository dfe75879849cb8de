"""The NumPy reference against the specification's sentences: small cases by hand, and a second, vectorised writing."""

import math

import numpy as np
import pytest
from converter_support import CONFIG, config_with, request_of, weights

from vqrank_convert.reference import RequestError, quantize, score

# ---- a second writing: whole tensors, einsum, all codebooks at once ----


def embedded(config, t, group, items):
    rows = []
    for item in items:
        row = []
        for feature in config.get(group, []):
            value = item[feature["name"]]
            if feature["kind"] == "float":
                row.append([float(np.float32((value - feature.get("mean", 0)) / feature.get("std", 1)))])
            elif feature["kind"] == "id":
                table = config["tables"][feature["table"]]
                index = table["keys"].index(value) + 1 if table["ids"] == "vocabulary" else value
                row.append(t[f"tables.{feature['table']}.weight"][index])
        rows.append(np.concatenate([np.zeros(0), *row]))
    return np.array(rows)


def swish(x):
    return x / (1 + np.exp(-x))


def norm(x, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def vectorised(config, tensors, request):
    """Outputs [candidates, outputs] for the `empty: zero` case, where every codebook has W tokens."""
    t = {name: np.asarray(value, np.float64) for name, value in tensors.items()}
    (sequence,) = config["sequences"]
    n, w, p = sequence["codebooks"], sequence["codewords"], f"sequences.{sequence['name']}"
    h = {"pre_norm": False, "affine": True, "activate": "all", "alpha": "one", "bias": "dense", "normalize": "one",
         "norm": "layer", "output": "gated", "residual": False, "eps": 1e-5, **sequence["hstu"]}  # fmt: skip
    e = embedded(config, t, "event", request["events"])
    scores = np.einsum("ld,jdk,jwk->jlw", e, t[f"{p}.projection"], t[f"{p}.codebook"])
    member = np.eye(w)[scores.argmax(-1)]  # [n, L, w]
    counts = member.sum(1)
    x = np.einsum("jlw,ld->jwd", member, e) / np.maximum(counts, 1)[:, :, None]
    heads = h["heads"]
    for layer in range(h["layers"]):
        q_ = f"{p}.hstu.{layer}"

        def lin(a, name):
            bias = t.get(f"{name}.bias", np.zeros(1))
            weight = np.broadcast_to(t[f"{name}.weight"], (n, *t[f"{name}.weight"].shape[1:]))
            return np.einsum("jti,joi->jto", a, weight) + (bias[:, None, :] if bias.ndim == 2 else 0)

        def affine(a, name):
            if not h["affine"]:
                return a
            return a * t[f"{name}.weight"][:, None] + t[f"{name}.bias"][:, None]

        a = affine(norm(x, h["eps"]), f"{q_}.pre_norm") if h["pre_norm"] else x
        m = lin(a, f"{q_}.f1")
        dv, dqk = h["v_dim"], h["qk_dim"]
        cuts = np.cumsum([heads * dv, heads * dv, heads * dqk])
        u, v, q, k = np.split(m, cuts, axis=-1)
        u = swish(u)
        if h["activate"] == "all":
            v, q, k = swish(v), swish(q), swish(k)
        q, k, v = (y.reshape(n, w, heads, -1) for y in (q, k, v))
        s = np.einsum("jihd,jkhd->jhik", q, k) * (dqk**-0.5 if h["alpha"] == "rsqrt" else 1)
        if h["bias"] != "none":
            bias = t[f"{q_}.bias"]
            if h["bias"] == "toeplitz":
                bias = np.stack([bias[..., w - 1 - i : 2 * w - 1 - i] for i in range(w)], axis=-2)
            s = s + bias
        c = {"one": 1, "tokens": 1 / w, "attended": 1 / w}.get(
            h["normalize"] if isinstance(h["normalize"], str) else ""
        )
        c = 1 / h["normalize"]["constant"] if c is None else c
        o = np.einsum("jhik,jkhd->jihd", swish(s) * c, v)
        g = norm(o, h["eps"]) if h["norm"] == "group" else norm(o.reshape(n, w, -1), h["eps"])
        o, g = o.reshape(n, w, -1), affine(g.reshape(n, w, -1), f"{q_}.norm")
        z = {
            "gated": u * g,
            "concat": np.concatenate([u, g, u * g], -1),
            "concat_raw": np.concatenate([u, o, u * g], -1),
        }
        x = lin(z[h["output"]], f"{q_}.f2") + (x if h["residual"] else 0)
    att = sequence["attention"]
    candidates = embedded(config, t, "candidate", request["candidates"])
    tokens = {"q": np.broadcast_to(candidates, (n, *candidates.shape)), "k": x, "v": x}
    parts = {}
    for part, value in tokens.items():
        weight, bias = (t[f"{p}.attention.{part}.{kind}"] for kind in ("weight", "bias"))
        y = np.einsum("jti,joi->jto", value, np.broadcast_to(weight, (n, *weight.shape[1:]))) + bias[:, None]
        parts[part] = y.reshape(n, len(value[0]), att["heads"], att["dim"])
    logits = np.einsum("jchd,jwhd->jchw", parts["q"], parts["k"]) / math.sqrt(att["dim"])
    if att.get("count_bias"):
        logits = logits + np.log(np.maximum(counts, 1))[:, None, None, :]
    share = np.exp(logits - logits.max(-1, keepdims=True))
    o = np.einsum("jchw,jwhd->jchd", share / share.sum(-1, keepdims=True), parts["v"]).reshape(n, len(candidates), -1)
    if att.get("out"):
        weight, bias = (t[f"{p}.attention.out.{kind}"] for kind in ("weight", "bias"))
        o = np.einsum("jci,joi->jco", o, np.broadcast_to(weight, (n, *weight.shape[1:]))) + bias[:, None]
    once = [embedded(config, t, group, [request[group]])[0] for group in ("user", "context")]
    once = np.broadcast_to(np.concatenate(once), (len(candidates), sum(map(len, once))))
    y = np.concatenate([once, candidates, np.moveaxis(o, 0, 1).reshape(len(candidates), -1)], axis=1)
    act = swish if config["head"]["activation"] == "silu" else lambda a: np.maximum(a, 0)
    for layer in range(len(config["head"]["hidden"]) + 1):
        y = (act(y) if layer else y) @ t[f"head.{layer}.weight"].T + t[f"head.{layer}.bias"]
    return 1 / (1 + np.exp(-y))


CASES = {
    "example": {},
    "two layers, separate attention": {"hstu": {"layers": 2}, "attention": {"share": False}},
    "meta research": {
        "hstu": {"pre_norm": True, "affine": False, "eps": 1e-6, "normalize": {"constant": 211}, "residual": True,
                 "share": True}
    },
    "meta production": {
        "hstu": {"activate": "u", "alpha": "rsqrt", "bias": "none", "output": "concat_raw", "residual": True,
                 "pre_norm": True}
    },
    "toeplitz": {"hstu": {"bias": "toeplitz", "normalize": "tokens", "norm": "group", "output": "concat"}},
    "out": {"attention": {"out": True, "count_bias": True}, "head": {"activation": "silu", "outputs": ["a", "b"]}},
    "attended": {"hstu": {"normalize": "attended", "norm": "group"}, "head": {"hidden": []}},
}  # fmt: skip


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_second_writing(name, heads):
    config = config_with(**{**CASES[name], "sequence": {"empty": "zero"}})
    tensors = weights(config, seed=heads, bias_heads=heads)
    request = request_of(config, seed=heads)
    found = score(config, tensors, request).outputs
    expected = vectorised(config, tensors, request)
    for i, output in enumerate(config["head"]["outputs"]):
        np.testing.assert_allclose(found[output], expected[:, i], rtol=0, atol=1e-12)
    assert expected.std() > 1e-3, "a test that every model passes"


def test_masked_equals_zero_when_no_cluster_is_empty():
    masked, zero = (config_with(sequence={"empty": empty, "codewords": 3}) for empty in ("masked", "zero"))
    tensors, request = weights(masked), request_of(masked)
    assert all(len(set(z)) == 3 for z in score(masked, tensors, request).assignments.T)
    assert score(masked, tensors, request).outputs == score(zero, tensors, request).outputs


@pytest.mark.parametrize("normalize", ["one", "tokens", "attended"])
def test_masked_tokens_are_not_there(normalize):
    """A masked model equals the zero model of the used codewords alone (but for 1/W, which counts all codewords)."""
    changes = {"attention": {"count_bias": True}}
    config = config_with(sequence={"codebooks": 1}, hstu={"normalize": normalize, "layers": 2}, **changes)
    tensors, request = weights(config), request_of(config, events=9)
    whole = score(config, tensors, request)
    used = np.unique(whole.assignments)
    assert 1 < len(used) < 19
    constant = {"one": "one", "tokens": {"constant": 19}, "attended": {"constant": len(used)}}[normalize]
    small = config_with(
        sequence={"codebooks": 1, "codewords": len(used), "empty": "zero"},
        hstu={"normalize": constant, "layers": 2},
        **changes,
    )
    cut = dict(tensors)
    cut["sequences.long.codebook"] = tensors["sequences.long.codebook"][:, used]
    for layer in range(2):
        name = f"sequences.long.hstu.{layer}.bias"
        cut[name] = tensors[name][:, :, used][:, :, :, used]
    np.testing.assert_allclose(score(small, cut, request).outputs["ctr"], whole.outputs["ctr"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("empty", ["masked", "zero"])
def test_no_events_is_a_zero_interest(empty):
    """Even attention's output bias is left out."""
    config = config_with(attention={"out": True}, sequence={"empty": empty})
    tensors, request = weights(config), request_of(config, events=0)
    found = score(config, tensors, request).outputs["ctr"]
    tensors["head.0.weight"] = tensors["head.0.weight"].copy()
    tensors["head.0.weight"][:, -30:] = 1e9
    assert score(config, tensors, request).outputs["ctr"] == found
    del request["events"]
    assert score(config, tensors, request).outputs["ctr"] == found


def test_order_of_events_does_not_matter_and_of_candidates_only_permutes():
    tensors, request = weights(CONFIG), request_of(CONFIG)
    first = score(CONFIG, tensors, request).outputs["ctr"]
    request["events"].reverse()
    request["candidates"].reverse()
    np.testing.assert_allclose(score(CONFIG, tensors, request).outputs["ctr"], first[::-1], rtol=0, atol=1e-14)


def test_unknown_absent_and_null_are_row_0():
    tensors = weights(CONFIG)
    base = request_of(CONFIG, events=1, candidates=1)
    event = base["events"][0]

    def outputs(**changes):
        changed = {key: value for key, value in {**event, **changes}.items() if value is not ...}
        return score(CONFIG, tensors, {**base, "events": [changed]}).outputs["ctr"]

    zero = outputs(item=0)
    assert zero != outputs(item=1)
    assert all(outputs(item=item) == zero for item in (..., None, -1, 50, 2**63 - 1))
    unknown = outputs(action=...)
    assert all(outputs(action=key) == unknown for key in (None, "a", "7", "-1", 8, ""))
    assert outputs(action=7) != unknown
    mean = outputs(dwell=3.0)
    assert outputs(dwell=...) == outputs(dwell=None) == mean != outputs(dwell=4.0)
    assert outputs(time=...) == outputs(time=5)


def test_value_is_rounded_to_float32_once():
    config = config_with()
    config["event"][3].update(mean=1000.0, std=0.7)
    request = request_of(config, events=1, candidates=1)
    request["events"][0]["dwell"] = 1000.1  # as a float32 it would have lost most of the difference
    expected = float(np.float32((1000.1 - 1000.0) / 0.7))
    plain = config_with()
    plain["event"][3].update(mean=0.0, std=1.0)
    same = {**request, "events": [{**request["events"][0], "dwell": expected}]}
    tensors = weights(config)
    assert score(config, tensors, request).outputs == score(plain, tensors, same).outputs


@pytest.mark.parametrize(
    "event",
    [
        {"item": "5"}, {"item": 5.0}, {"item": True}, {"item": [5]}, {"action": 7.0}, {"action": False},
        {"dwell": "1"}, {"dwell": True}, {"dwell": 1e30}, {"dwell": 8200.0}, {"time": 1.5}, {"time": "1"}, {"other": 1},
    ],
)  # fmt: skip
def test_refused_values(event):
    with pytest.raises(RequestError):
        score(CONFIG, weights(CONFIG), {"id": 1, "events": [event], "candidates": []})


def test_value_limit_is_for_events():
    config = config_with()
    config["user"][0].update(mean=0, std=1)
    tensors = weights(config)
    score(config, tensors, {"id": 1, "user": {"age": 5000.0}, "candidates": [{}]})
    score(config, tensors, {"id": 1, "events": [{"dwell": 3 + 2 * 4096.0}], "candidates": [{}]})
    with pytest.raises(RequestError):
        score(config, tensors, {"id": 1, "events": [{"dwell": 3 + 2 * 4096.01}], "candidates": [{}]})


def test_no_candidates():
    assert score(CONFIG, weights(CONFIG), {"id": 1, "candidates": []}).outputs == {"ctr": []}


def test_lowest_index_wins_a_tie():
    tensors = weights(CONFIG)
    codebook = tensors["sequences.long.codebook"]
    codebook[:, 10:] = codebook[:, 9:0:-1]
    found = quantize(CONFIG, tensors, request_of(CONFIG, events=200)["events"])
    assert found.assignments.max() < 10
    assert np.isfinite(found.margins).all() and (found.margins > 0).all()


def test_margin_of_a_single_codeword_is_infinite():
    config = config_with(sequence={"codewords": 1})
    found = quantize(config, weights(config), request_of(config)["events"])
    assert np.isinf(found.margins).all() and not found.assignments.any()


def test_bounds_hold_for_float32_chains():
    """Scores by one float32 chain per feature from the rounded fold stay within the bound that is claimed."""
    tensors = weights(CONFIG, seed=5)
    for name in tensors:
        tensors[name] = tensors[name] * np.float32(30)
    request = request_of(CONFIG, events=50)
    e = embedded(CONFIG, tensors, "event", request["events"]).astype(np.float32)
    found = quantize(CONFIG, tensors, request["events"])
    wide = {name: tensors[f"sequences.long.{name}"].astype(np.float64) for name in ("projection", "codebook")}
    worst = 0.0
    for j in range(3):
        exact = wide["projection"][j] @ wide["codebook"][j].T
        fold = exact.astype(np.float32)
        total = np.zeros((50, 19), np.float32)
        for columns in (slice(0, 8), slice(8, 13), slice(13, 17), slice(17, 18)):
            part = np.zeros((50, 19), np.float32)
            for d in range(columns.start, columns.stop):
                part = (part.astype(np.float64) + e[:, d, None].astype(np.float64) * fold[d]).astype(np.float32)
            total = total + part
        error = np.abs(total - e.astype(np.float64) @ exact).max(axis=1)
        assert (error <= found.bounds[:, j]).all()
        worst = max(worst, float((error / found.bounds[:, j]).max()))
    assert worst > 0.005, "a bound that nothing could ever exceed"
