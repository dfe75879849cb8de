"""The reference's newer parts against the specification's sentences, written a second time in plain Python numbers."""

import copy
import math
import struct

import numpy as np
import pytest
import xxhash
from converter_support import KIND_CASES, config_of_every_kind, request_of, weights, width

from vqrank_convert.reference import RequestError, quantize, score

# ---- a second writing: one number at a time ----


def activate(kind, x, p):
    """One number through an activation; p gives its parameters."""
    if kind == "relu":
        return max(x, 0.0)
    if kind == "leaky_relu":
        return x if x > 0 else 0.01 * x
    if kind == "prelu":
        return x if x > 0 else p["alpha"] * x
    if kind == "silu":
        return x / (1 + math.exp(-x))
    if kind == "gelu":  # x times the normal distribution's function
        return x * math.erfc(-x / math.sqrt(2)) / 2
    if kind == "tanh":
        return math.tanh(x)
    share = 1 / (1 + math.exp(-(x - p["mean"]) / math.sqrt(p["var"] + 1e-9)))
    return share * x + (1 - share) * p["alpha"] * x


class Model:
    def __init__(self, config, tensors):
        self.config = config
        self.t = {name: np.asarray(value, np.float64).tolist() for name, value in tensors.items()}

    def part(self, name, j):
        value = self.t.get(name)
        return value if value is None or j is None else value[j if len(value) > 1 else 0]

    def linear(self, name, x, j=None):
        weight, bias = self.part(f"{name}.weight", j), self.part(f"{name}.bias", j)
        bias = bias or [0.0] * len(weight)
        return [b + math.fsum(w * v for w, v in zip(row, x, strict=True)) for row, b in zip(weight, bias, strict=True)]

    def mlp(self, name, x, hidden, kind, j=None):
        for layer in range(len(hidden)):
            p = f"{name}.{layer}"
            values = self.linear(p, x, j)
            own = {part: self.part(f"{p}.{part}", j) for part in ("alpha", "mean", "var")}
            x = [activate(kind, v, {k: a[i] for k, a in own.items() if a}) for i, v in enumerate(values)]
        return self.linear(f"{name}.{len(hidden)}", x, j)

    def row(self, table, value):
        entry = self.config["tables"][table]
        rows = self.t[f"tables.{table}.weight"]
        if value is None:
            return rows[0]
        if entry["ids"] == "hash":
            raw = value.encode() if isinstance(value, str) else struct.pack("<q", value)
            return rows[1 + xxhash.xxh3_64_intdigest(raw, seed=0) % (len(rows) - 1)]
        if entry["ids"] == "vocabulary":
            found = [i for i, key in enumerate(entry["keys"]) if key == value and type(key) is type(value)]
            return rows[found[0] + 1 if found else 0]
        return rows[value if 0 <= value < len(rows) else 0]

    def embed(self, group, item):
        result = []
        for f in self.config[group]:
            value, kind = item.get(f["name"]), f["kind"]
            if kind == "id":
                result += self.row(f["table"], value)
            elif kind == "ids":
                rows = [self.row(f["table"], v) for v in value or []]
                total = [math.fsum(column) for column in zip(*rows, strict=True)]
                total = total or [0.0] * self.config["tables"][f["table"]]["dim"]
                result += [x / len(rows) for x in total] if rows and f["pool"] == "mean" else total
            elif kind == "vector":
                result += [float(np.float32(x)) for x in value] if value else [0.0] * f["dim"]
            elif kind == "float":
                result.append(float(np.float32((value - f["mean"]) / f["std"])) if value is not None else 0.0)
        return result

    def attend(self, attention, p, j, y, counts, t):
        q = self.linear(f"{p}.q", t, j)
        if attention["kind"] == "din":
            a = []
            for token in y:
                difference = [c - e for c, e in zip(q, token, strict=True)]
                product = [c * e for c, e in zip(q, token, strict=True)]
                pair = [*q, *token, *difference, *product]
                a += self.mlp(f"{p}.mlp", pair, attention["hidden"], attention["activation"], j)
            if attention.get("softmax"):
                a = soft(a)
            return [math.fsum(w * token[i] for w, token in zip(a, y, strict=True)) for i in range(len(q))]
        d, o = attention["dim"], []
        k, v = ([self.linear(f"{p}.{part}", token, j) for token in y] for part in "kv")
        bias = [math.log(max(n, 1)) if attention.get("count_bias") else 0.0 for n in counts]
        for h in range(attention["heads"]):
            columns = slice(h * d, (h + 1) * d)
            own = (q[columns], [key[columns] for key in k], [value[columns] for value in v])
            o += self.head(*own, bias, f"{p}.k", h)
        return self.linear(f"{p}.out", o, j) if attention.get("out") else o

    def head(self, q, k, v, bias, layer, h):
        """Softmax attention of one query over keys and values: head h of the keys that a layer makes."""
        logits = [math.fsum(a * b for a, b in zip(q, key, strict=True)) / math.sqrt(len(q)) for key in k]
        w = soft([x + b for x, b in zip(logits, bias, strict=True)])
        return [math.fsum(wk * x for wk, x in zip(w, column, strict=True)) for column in zip(*v, strict=True)]

    def codewords(self, p, j, e):
        """Of every event e, in codebook j of the sequence with prefix p."""
        fold = np.array(self.t[f"{p}.projection"][j]) @ np.array(self.t[f"{p}.codebook"][j]).T
        return (np.array(e) @ fold).argmax(axis=1)

    def interest(self, s, e, t):
        """Without HSTU layers."""
        p = f"sequences.{s['name']}"
        if s["kind"] == "din":
            y = e[-s["last"] :]
            return self.attend(s["attention"], f"{p}.attention", None, y, [1] * len(y), t)
        result = []
        for j in range(s["codebooks"]):
            z = self.codewords(p, j, e)
            members = [[x for x, k in zip(e, z, strict=True) if k == w] for w in range(s["codewords"])]
            if s.get("empty", "masked") == "masked":
                members = [m for m in members if m]
            zero = [[0.0] * len(e[0])]
            y = [[math.fsum(c) / max(len(m), 1) for c in zip(*(m or zero), strict=True)] for m in members]
            result += self.attend(s["attention"], f"{p}.attention", j, y, [len(m) for m in members], t)
        return result

    def score(self, request):
        e = [self.embed("event", event) for event in request["events"]]
        once = self.embed("user", request["user"]) + self.embed("context", request["context"])
        outputs = []
        for candidate in request["candidates"]:
            t = self.embed("candidate", candidate)
            x = once + t + [v for s in self.config["sequences"] for v in self.interest(s, e, t)]
            head = self.config["head"]
            logits = self.mlp("head", x, head["hidden"], head["activation"])
            outputs.append([1 / (1 + math.exp(-v)) for v in logits])
        return np.array(outputs)


def soft(x):
    e = [math.exp(v - max(x)) for v in x]
    return [v / math.fsum(e) for v in e]


@pytest.mark.parametrize("case", KIND_CASES)
def test_second_writing(case):
    config = config_of_every_kind(**KIND_CASES[case], hstu={"layers": 0})
    tensors = weights(config, seed=1)
    request = request_of(config, seed=2, events=11, candidates=3)
    request["events"][1].update(tags=[], parts=[], image=None)
    request["events"][2].update(tags=None, tag=None, parts=["?", 99, "A", "A"])
    request["candidates"][1].update(words=[0, 20, -1, 5], cover=None)
    expected = Model(config, tensors).score(request)
    np.testing.assert_allclose(score(config, tensors, request).outputs["ctr"], expected[:, 0], rtol=0, atol=1e-12)
    assert expected.std() > 1e-3, "a test that every model passes"


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "prelu", "silu", "gelu", "tanh", "dice"])
def test_activations_against_pytorch(activation):
    torch = pytest.importorskip("torch")
    from vqrank_convert.reference_layers import Layers

    x = np.concatenate([np.linspace(-8, 8, 101), [0.0, 1e-300, -40.0, 40.0]])
    alpha, mean, var = (np.full(len(x), v) for v in (0.3, 0.2, 1.7))
    found = Layers({"l.alpha": alpha, "l.mean": mean, "l.var": var}, np.float64).activate(x, activation, "l", None)
    t = torch.from_numpy(x)
    gate = torch.sigmoid((t - 0.2) / math.sqrt(1.7 + 1e-9))
    expected = {
        "relu": torch.relu, "leaky_relu": torch.nn.functional.leaky_relu, "silu": torch.nn.functional.silu,
        "gelu": torch.nn.functional.gelu, "tanh": torch.tanh,
        "prelu": lambda y: torch.nn.functional.prelu(y, torch.tensor([0.3], dtype=torch.float64)),
        "dice": lambda y: gate * y + (1 - gate) * 0.3 * y,
    }[activation](t)  # fmt: skip
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-13, atol=1e-15)


# ---- sentences of the specification ----


def only_short(activation="dice", **short):
    """A model of one sequence of last events."""
    config = config_of_every_kind(activation)
    config["sequences"] = [{**config["sequences"][0], **short}]
    return config


def test_only_the_last_events_count_in_their_order():
    """With `last` 6, the seventh from the end changes nothing; later in the list is more recent, whatever its time."""
    config = only_short()
    tensors, request = weights(config), request_of(config, events=20)
    first = score(config, tensors, request)
    assert first.assignments.shape == first.margins.shape == (20, 0)
    for count in (6, 7, 15):
        cut = {**request, "events": request["events"][-count:]}
        assert score(config, tensors, cut).outputs == first.outputs
    five = {**request, "events": request["events"][-5:]}
    assert score(config, tensors, five).outputs != first.outputs
    longer = only_short(last=5)
    assert score(longer, tensors, request).outputs == score(config, tensors, five).outputs
    assert quantize(config, tensors, request["events"]).margins.shape == (20, 0)


@pytest.mark.parametrize("case", ["dice", "dot over both"])
def test_no_events_is_a_zero_interest(case):
    config = config_of_every_kind(**KIND_CASES[case])
    tensors, request = weights(config), request_of(config, events=0)
    found = score(config, tensors, request).outputs
    first = sum(width(config, group) for group in ("user", "context", "candidate"))
    assert tensors["head.0.weight"].shape[1] > first + 40
    tensors["head.0.weight"][:, first:] = 1e9
    assert score(config, tensors, request).outputs == found


def test_lists_are_pooled():
    config = only_short()
    tensors, base = weights(config), request_of(config, events=1, candidates=2)

    def outputs(**changes):
        return score(config, tensors, {**base, "events": [{**base["events"][0], **changes}]}).outputs["ctr"]

    nothing = outputs(parts=None, tags=None)
    assert outputs(parts=[], tags=[]) == nothing
    assert outputs(parts=["no such key"], tags=None) != nothing  # row 0 counts
    assert outputs(parts=["A"], tags=None) == outputs(parts=["A", "A", "A"], tags=None)  # a mean
    assert outputs(parts=None, tags=["x"]) != outputs(parts=None, tags=["x", "x"])  # a sum
    np.testing.assert_allclose(outputs(tags=["x", 5, "y"]), outputs(tags=[5, "y", "x"]), rtol=0, atol=1e-14)
    assert outputs(tag=7) != outputs(tag="7") and outputs(tag=None) != outputs(tag="")


@pytest.mark.parametrize(
    "event",
    [
        {"tags": "x"}, {"tags": 5}, {"tags": [None]}, {"tags": [True]}, {"tags": [1.5]}, {"tags": [["x"]]},
        {"tags": [2**63]}, {"tag": -(2**63) - 1}, {"tag": ["x"]}, {"image": [1, 2, 3, 4]}, {"image": [1] * 6},
        {"image": []}, {"image": 1}, {"image": [1, 2, 3, 4, "5"]}, {"image": [1, 2, 3, 4, True]},
        {"image": [1, 2, 3, 4, None]}, {"image": [1, 2, 3, 4, 4097]}, {"image": [1, 2, 3, 4, 1e300]},
    ],
)  # fmt: skip
def test_refused_values(event):
    config = only_short()
    with np.errstate(over="ignore"), pytest.raises(RequestError):
        score(config, weights(config), {"id": 1, "events": [event], "candidates": []})


def test_vectors_beyond_the_limit_are_refused_in_events_only():
    config = only_short()
    tensors = weights(config)
    score(config, tensors, {"id": 1, "context": {"place": [1e6, 0, 0]}, "candidates": [{"cover": [5000, 1]}]})
    score(config, tensors, {"id": 1, "events": [{"image": [4096, -4096, 0, 0, 0]}], "candidates": []})


def test_sharing_is_repeating():
    """A shared din attention equals N copies of itself."""
    one = config_of_every_kind(**KIND_CASES["shared din"])
    each = copy.deepcopy(one)
    each["sequences"][1]["attention"]["share"] = False
    tensors, request = weights(one), request_of(one)
    copies = {
        name: np.repeat(value, 3, axis=0) if name.startswith("sequences.long.attention.") else value
        for name, value in tensors.items()
    }
    assert score(one, tensors, request).outputs == score(each, copies, request).outputs
