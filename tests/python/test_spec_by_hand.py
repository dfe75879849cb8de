"""Checks the commands against the specification alone: checkpoints written byte by byte, a model computed in NumPy.

Nothing of the project is imported. What is compared is written down in the model specification, sections 1, 2, 4, 6, 7
and 8: random configurations over every switch go through `vqrank-convert` and `vqrank score`, and the outputs must be
within max(1e-5, 4 times the error of the same formulas in float32) of those computed here in float64. Events whose best
two codewords are almost equally good are not used: there, rounding may decide.

The commands: `vqrank` in bin/ of the folder that VQRANK_BUILD names (default build/release of the repository),
`vqrank-convert` beside the Python that runs this.
"""

import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]
Json = dict[str, Any]

BUILD = Path(os.environ.get("VQRANK_BUILD", Path(__file__).resolve().parents[2] / "build" / "release"))
VQRANK = BUILD / "bin" / "vqrank"
CONVERT = Path(sys.executable).parent / "vqrank-convert"
NUMPY_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
TOLERANCE = 1e-5
LEAST_MARGIN = 1e-4  # between the best two codeword scores of an event
HSTU_DEFAULTS: Json = {
    "share": False, "pre_norm": False, "residual": False, "affine": True, "activate": "all", "alpha": "one",
    "bias": "dense", "normalize": "one", "norm": "layer", "eps": 1e-5, "output": "gated",
}  # fmt: skip


# ---- Checkpoints ----


@dataclass
class Checkpoint:
    """A configuration and its tensors: the values as stored, and the type each is stored in."""

    config: Json
    tensors: dict[str, Array] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, values: Array, kind: str = "F32") -> None:
        """Adds a tensor rounded to its type, so that `tensors` holds what a reader of the file gets."""
        if kind == "BF16":
            bits = np.ascontiguousarray(values, "<f4").view("<u4")
            values = (bits & np.uint32(0xFFFF0000)).view("<f4")
        else:
            values = values.astype(NUMPY_TYPES[kind])
        self.tensors[name] = values.astype(np.float64)
        self.types[name] = kind

    def write(self, path: Path) -> None:
        """Writes a .safetensors file: length of the header, header, values."""
        header: Json = {"__metadata__": {"vqrank": json.dumps(self.config)}}
        data = b""
        for name, values in self.tensors.items():
            kind = self.types[name]
            if kind == "BF16":
                raw = (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
            else:
                raw = values.astype(NUMPY_TYPES[kind]).tobytes()
            offsets = [len(data), len(data) + len(raw)]
            header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": offsets}
            data += raw
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def width(config: Json, part: str) -> int:
    """The width of the concatenated embeddings of "user", "context", "event" or "candidate"."""
    features = config.get(part, [])
    return sum(config["tables"][f["table"]]["dim"] if f["kind"] == "id" else f["kind"] == "float" for f in features)


def random_config(rng: np.random.Generator) -> Json:
    """A legal configuration; every optional key is sometimes left out."""

    def pick(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    def optional(target: Json, key: str, value: Any) -> None:
        if rng.random() < 0.7:
            target[key] = value

    tables: Json = {}
    for name in ("item", "dir-1", "Action_2"):
        rows, dim = int(rng.integers(1, 40)), int(rng.integers(1, 20))
        tables[name] = {"rows": rows, "dim": dim, "ids": "direct"}
        if rng.random() < 0.4:
            keys = [pick(k, str(k), f"kéy {k}", 2**63 - 1 - k, -k) for k in range(1, rows)]
            tables[name] |= {"ids": "vocabulary", "keys": keys}
    parts: dict[str, list[Json]] = {}
    for part, least in (("user", 0), ("context", 0), ("event", 1), ("candidate", 1)):
        parts[part] = []
        for i in range(int(rng.integers(least, 4))):
            feature: Json = {"name": f"{part[0]}{i}", "kind": "id", "table": pick(*tables)}
            if rng.random() < 0.3:
                feature = {"name": f"{part[0]}{i}", "kind": "float"}
                optional(feature, "mean", float(np.round(rng.normal(), 3)))
                optional(feature, "std", float(np.round(rng.uniform(0.3, 3), 3)))
            parts[part].append(feature)
    parts["event"] += [{"name": "when", "kind": "time"}] * int(rng.integers(2))

    hstu: Json = {"layers": int(rng.integers(0, 4))}
    if hstu["layers"] or rng.random() < 0.3:
        hstu |= {key: int(rng.integers(1, end)) for key, end in (("heads", 4), ("qk_dim", 18), ("v_dim", 18))}
        for key in ("share", "pre_norm", "residual", "affine"):
            optional(hstu, key, pick(True, False))
        optional(hstu, "activate", pick("all", "u"))
        optional(hstu, "alpha", pick("one", "rsqrt"))
        optional(hstu, "bias", pick("none", "dense", "toeplitz"))
        optional(hstu, "normalize", pick("one", "tokens", "attended", {"constant": int(rng.integers(1, 300))}))
        optional(hstu, "norm", pick("layer", "group"))
        optional(hstu, "output", pick("gated", "concat", "concat_raw"))
        optional(hstu, "eps", pick(1e-6, 1e-5, 1e-3))
    attention: Json = {"kind": "dot", "heads": int(rng.integers(1, 4)), "dim": int(rng.integers(1, 20))}
    for key in ("share", "out", "count_bias"):
        optional(attention, key, pick(True, False))
    sequence: Json = {"name": "long", "kind": "dmqn", "codebooks": int(rng.integers(1, 5))}
    sequence |= {"codewords": int(rng.integers(1, 40)), "hstu": hstu, "attention": attention}
    optional(sequence, "empty", pick("masked", "zero"))

    config: Json = {"format": 1, "name": "by hand", "tables": tables, **parts, "sequences": [sequence]}
    for part in ("user", "context"):
        if not config[part] and rng.random() < 0.5:
            del config[part]
    optional(config, "quantizers", {})
    hidden = [int(n) for n in rng.integers(1, 40, size=rng.integers(0, 3))]
    outputs = ["ctr", "cvr", "p(buy)"][: int(rng.integers(1, 4))]
    config["head"] = {"hidden": hidden, "activation": pick("relu", "silu"), "outputs": outputs}
    return config


def random_checkpoint(config: Json, rng: np.random.Generator) -> Checkpoint:
    """Tensors for a configuration, of moderate size, some biases missing, in the four types."""
    result = Checkpoint(config)

    def add(name: str, shape: list[int], scale: float, center: float = 0) -> None:
        result.add(name, center + scale * rng.normal(size=shape), str(rng.choice(["F32", "F32", "F16", "BF16", "F64"])))

    def linear(name: str, lead: list[int], out: int, inp: int) -> None:
        add(name + ".weight", [*lead, out, inp], (1 / max(inp, 1)) ** 0.5)
        if rng.random() < 0.7:
            add(name + ".bias", [*lead, out], 0.3)

    for name, table in config["tables"].items():
        add(f"tables.{name}.weight", [table["rows"], table["dim"]], 0.7)
    (s,) = config["sequences"]
    n, w, d, dc = s["codebooks"], s["codewords"], width(config, "event"), width(config, "candidate")
    add("sequences.long.projection", [n, d, d], d**-0.5)
    add("sequences.long.codebook", [n, w, d], 1)
    h = HSTU_DEFAULTS | s["hstu"]
    lead = [1 if h["share"] else n]
    for layer in range(h["layers"]):
        base = f"sequences.long.hstu.{layer}."
        v = h["heads"] * h["v_dim"]
        linear(base + "f1", lead, 2 * v + 2 * h["heads"] * h["qk_dim"], d)
        linear(base + "f2", lead, d, v if h["output"] == "gated" else 3 * v)
        if h["bias"] != "none":
            shape = [w, w] if h["bias"] == "dense" else [2 * w - 1]
            add(base + "bias", [*lead, int(rng.choice([1, h["heads"]])), *shape], 0.5)
        if h["affine"]:
            for name, size in [("norm", v)] + [("pre_norm", d)] * h["pre_norm"]:
                add(f"{base}{name}.weight", [*lead, size], 0.3, 1)
                add(f"{base}{name}.bias", [*lead, size], 0.3)
    a = s["attention"]
    lead, inner = [1 if a.get("share") else n], a["heads"] * a["dim"]
    for name, inp in (("q", dc), ("k", d), ("v", d)):
        linear("sequences.long.attention." + name, lead, inner, inp)
    size = inner
    if a.get("out"):
        size = int(rng.integers(1, 20))
        linear("sequences.long.attention.out", lead, size, inner)
    inp = width(config, "user") + width(config, "context") + dc + n * size
    for layer, out in enumerate([*config["head"]["hidden"], len(config["head"]["outputs"])]):
        linear(f"head.{layer}", [], out, inp)
        inp = out
    return result


# ---- The model ----


class Oracle:
    """The model of a checkpoint, in float64 or (to see what rounding does) float32."""

    def __init__(self, checkpoint: Checkpoint, dtype: type = np.float64) -> None:
        self.config = checkpoint.config
        self.dtype = dtype
        self.tensors: dict[str, Array] = {name: values.astype(dtype) for name, values in checkpoint.tensors.items()}
        self.folded = checkpoint.tensors["sequences.long.projection"] @ np.swapaxes(
            checkpoint.tensors["sequences.long.codebook"], 1, 2
        )  # always in float64

    def embed(self, part: str, values: Json) -> Array:
        """The concatenated embeddings of the features of one part."""
        pieces: list[Array] = [np.zeros(0, self.dtype)]
        for f in self.config.get(part, []):
            value = values.get(f["name"])
            if f["kind"] == "id":
                table, row = self.config["tables"][f["table"]], 0
                if table["ids"] == "direct":
                    row = value if value is not None and 0 <= value < table["rows"] else 0
                elif value is not None:
                    keys = [(type(key), key) for key in table["keys"]]
                    row = keys.index((type(value), value)) + 1 if (type(value), value) in keys else 0
                pieces.append(self.tensors[f"tables.{f['table']}.weight"][row])
            elif f["kind"] == "float":
                x = 0.0 if value is None else (value - f.get("mean", 0)) / f.get("std", 1)
                pieces.append(np.array([np.float32(x)], self.dtype))
        return np.concatenate(pieces)

    def margins(self, event: Json) -> float:
        """The smallest margin, over the codebooks, between an event's best two codewords."""
        scores = np.sort(np.einsum("d,ndw->nw", self.embed("event", event), self.folded), axis=1)
        return float((scores[:, -1] - scores[:, -2]).min()) if scores.shape[1] > 1 else np.inf

    def linear(self, name: str, j: int | None, x: Array) -> Array:
        """A linear layer; one of several codebooks', or the only one where it is shared; a missing bias is zero."""
        weight, bias = self.tensors[name + ".weight"], self.tensors.get(name + ".bias")
        if j is not None:
            weight = weight[min(j, len(weight) - 1)]
            bias = None if bias is None else bias[min(j, len(bias) - 1)]
        return np.asarray(x @ weight.T + (0 if bias is None else bias))

    def layer_norm(self, name: str, j: int, x: Array, h: Json, groups: int = 1) -> Array:
        """LayerNorm over each of `groups` parts of the rows, then weight and bias if affine."""
        parts = x.reshape(len(x), groups, -1)
        parts = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + self.dtype(h["eps"]))
        x = parts.reshape(x.shape)
        if h["affine"]:
            weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
            x = x * weight[min(j, len(weight) - 1)] + bias[min(j, len(bias) - 1)]
        return x

    def hstu(self, base: str, j: int, x: Array, tokens: Array, h: Json, w: int) -> Array:
        """One HSTU block (section 4) on the tokens that are left; `tokens` are their codewords."""
        heads, dv, dqk = h["heads"], h["v_dim"], h["qk_dim"]
        normed = self.layer_norm(base + "pre_norm", j, x, h) if h["pre_norm"] else x
        flat = self.linear(base + "f1", j, normed)
        if h["activate"] == "all":
            flat = silu(flat)
        u, v, q, k = np.split(flat, np.cumsum([heads * dv, heads * dv, heads * dqk]), axis=1)
        u = silu(u) if h["activate"] == "u" else u
        v, q, k = (part.reshape(len(x), heads, -1).swapaxes(0, 1) for part in (v, q, k))
        s = q @ k.swapaxes(1, 2) * self.dtype(dqk**-0.5 if h["alpha"] == "rsqrt" else 1)
        if h["bias"] != "none":
            bias = self.tensors[base + "bias"]
            bias = bias[min(j, len(bias) - 1)]
            if h["bias"] == "toeplitz":
                bias = bias[:, w - 1 + np.arange(w)[None, :] - np.arange(w)[:, None]]
            s = s + bias[:, tokens[:, None], tokens[None, :]]
        count = {"one": 1, "tokens": w, "attended": len(x)}
        divisor = h["normalize"]["constant"] if isinstance(h["normalize"], dict) else count[h["normalize"]]
        o = (silu(s) / self.dtype(divisor) @ v).swapaxes(0, 1).reshape(len(x), -1)
        g = self.layer_norm(base + "norm", j, o, h, heads if h["norm"] == "group" else 1)
        z = {"gated": [u * g], "concat": [u, g, u * g], "concat_raw": [u, o, u * g]}[h["output"]]
        return self.linear(base + "f2", j, np.concatenate(z, axis=1)) + (x if h["residual"] else 0)

    def interests(self, events: list[Json], candidate: Array) -> list[Array]:
        """The interest vectors of a history, one for each codebook."""
        (s,) = self.config["sequences"]
        a, h, w = s["attention"], HSTU_DEFAULTS | s["hstu"], s["codewords"]
        base = "sequences.long.attention."
        e = np.array([self.embed("event", event) for event in events], np.float64)
        exact, at = e.copy(), 0
        for f in self.config["event"]:  # sums hold float features in steps of 2^-18
            if f["kind"] == "float":
                exact[:, at : at + 1] = np.rint(e[:, at : at + 1] * 2**18) / 2**18
            at += width({"tables": self.config["tables"], "event": [f]}, "event")
        result = []
        for j in range(s["codebooks"]):
            z = np.round(e @ self.folded[j], 9).argmax(1)  # a tie in exact arithmetic is one here too
            n = np.bincount(z, minlength=w)
            tokens = np.flatnonzero(n) if s.get("empty", "masked") == "masked" else np.arange(w)
            y: Array = np.array([exact[z == k].mean(0) if n[k] else 0 * e[0] for k in tokens], self.dtype)
            for layer in range(h["layers"]):
                y = self.hstu(f"sequences.long.hstu.{layer}.", j, y, tokens, h, w)
            q = self.linear(base + "q", j, candidate).reshape(a["heads"], a["dim"])
            k, v = (self.linear(base + name, j, y).reshape(len(y), a["heads"], a["dim"]) for name in "kv")
            logits = np.einsum("hd,khd->hk", q, k) / self.dtype(a["dim"] ** 0.5)
            if a.get("count_bias"):
                logits = logits + np.log(np.maximum(n[tokens], 1)).astype(self.dtype)
            weights = np.exp(logits - logits.max(1, keepdims=True))
            weights /= weights.sum(1, keepdims=True)
            o = np.einsum("hk,khd->hd", weights, v).reshape(-1)
            result.append(self.linear(base + "out", j, o) if a.get("out") else o)
        return result

    def logits(self, request: Json) -> Array:
        """The values before the last sigmoid, [candidates, outputs]."""
        (s,) = self.config["sequences"]
        a, head = s["attention"], self.config["head"]
        size = self.tensors["sequences.long.attention.out.weight"].shape[1] if a.get("out") else a["heads"] * a["dim"]
        rows = []
        for candidate in request["candidates"]:
            t = self.embed("candidate", candidate)
            interests = [np.zeros(s["codebooks"] * size, self.dtype)]  # of a user with no events
            if request.get("events"):
                interests = self.interests(request["events"], t)
            x = np.concatenate([*(self.embed(p, request.get(p, {})) for p in ("user", "context")), t, *interests])
            for layer in range(len(head["hidden"])):
                x = self.linear(f"head.{layer}", None, x)
                x = silu(x) if head["activation"] == "silu" else np.maximum(x, 0)
            rows.append(self.linear(f"head.{len(head['hidden'])}", None, x))
        return np.array(rows, np.float64).reshape(-1, len(head["outputs"]))


def silu(x: Array) -> Array:
    """x / (1 + exp(-x))."""
    with np.errstate(over="ignore"):
        return np.asarray(x / (1 + np.exp(-x)))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


# ---- Requests and commands ----


def random_features(config: Json, part: str, rng: np.random.Generator) -> Json:
    """Values for one part of a request: known and unknown ids, numbers, some absent, some null."""
    result: Json = {}
    for f in config.get(part, []):
        if f["kind"] == "id":
            table = config["tables"][f["table"]]
            value: Any = int(rng.integers(0, table["rows"]))
            if table["ids"] == "vocabulary" and table["keys"]:
                value = table["keys"][rng.integers(len(table["keys"]))]
            if rng.random() < 0.1:
                value = [table["rows"], -1, 2**63 - 1, -(2**63)][rng.integers(4)]
            if rng.random() < 0.1 and table["ids"] == "vocabulary":
                value = "no such key"
        else:
            value = float(np.round(rng.normal(), 4)) if f["kind"] == "float" else int(rng.integers(0, 2**40))
        if rng.random() < 0.9:
            result[f["name"]] = None if rng.random() < 0.1 else value
    return result


def random_request(oracle: Oracle, rng: np.random.Generator, request_id: str) -> Json:
    """A request whose events have a clear best codeword in every codebook."""
    config = oracle.config
    count = int(rng.choice([0, 1, 3, 20, 100]))
    events = [random_features(config, "event", rng) for _ in range(count)]
    request: Json = {"id": request_id, "events": [e for e in events if oracle.margins(e) > LEAST_MARGIN]}
    request["candidates"] = [random_features(config, "candidate", rng) for _ in range(int(rng.integers(0, 6)))]
    return request | {part: random_features(config, part, rng) for part in ("user", "context") if rng.random() < 0.8}


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


@pytest.mark.parametrize("seed", range(24))
def test_a_random_model_scores_as_the_specification_says(seed: int, tmp_path: Path) -> None:
    """Conversion and scores of a random configuration, and the same bytes from the scalar reference."""
    rng = np.random.default_rng(seed)
    checkpoint = random_checkpoint(random_config(rng), rng)
    exact, rounded = Oracle(checkpoint), Oracle(checkpoint, np.float32)
    requests = [random_request(exact, rng, f"r{i}") for i in range(8)]
    model = convert(checkpoint, tmp_path)
    answer = score(model, requests)
    assert score(model, requests, "--isa", "ref") == answer
    for request, line in zip(requests, answer.splitlines(), strict=True):
        response = json.loads(line)
        assert response["id"] == request["id"]
        assert list(response["outputs"]) == checkpoint.config["head"]["outputs"]
        expected, rough = sigmoid(exact.logits(request)), sigmoid(rounded.logits(request))
        found = np.array(list(response["outputs"].values())).T.reshape(expected.shape)
        bound = max(TOLERANCE, 4 * float(np.abs(rough - expected).max(initial=0)))
        assert np.abs(found - expected).max(initial=0) <= bound, (checkpoint.config, request["id"])


def test_the_lowest_index_wins_a_tie(tmp_path: Path) -> None:
    """Equal codewords: only the first of them gets events, which the scores show where HSTU's bias differs by token."""
    rng = np.random.default_rng(1)
    config = random_config(rng)
    config["sequences"][0] |= {"codebooks": 1, "codewords": 20, "empty": "masked"}
    config["sequences"][0]["hstu"] = {"layers": 1, "heads": 2, "qk_dim": 3, "v_dim": 5}
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
