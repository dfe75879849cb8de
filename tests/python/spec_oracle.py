"""What a model computes, in NumPy, from the specification alone: sections 1 to 6.

Nothing of the project is imported.
"""

import math
import struct
from typing import Any

import numpy as np
import xxhash
from spec_checkpoints import HSTU_DEFAULTS, Array, Checkpoint, Json, width


class Oracle:
    """The model of a checkpoint, in float64 or (to see what rounding does) float32."""

    def __init__(self, checkpoint: Checkpoint, dtype: type = np.float64) -> None:
        self.config = checkpoint.config
        self.dtype = dtype
        self.tensors: dict[str, Array] = {name: values.astype(dtype) for name, values in checkpoint.tensors.items()}
        self.exact = checkpoint.tensors
        self.vql = [s for s in self.config["sequences"] if s["kind"] == "vql"]
        self.sdim = [s for s in self.config["sequences"] if s["kind"] == "sdim"]
        self.dmqn = [s for s in self.config["sequences"] if s["kind"] == "dmqn"]
        self.folded: dict[str, Array] = {}  # always in float64
        for s in self.dmqn:
            base = f"sequences.{s['name']}."
            codebook = checkpoint.tensors[base + "codebook"]
            self.folded[s["name"]] = checkpoint.tensors[base + "projection"] @ np.swapaxes(codebook, 1, 2)

    def row(self, name: str, value: Any) -> Array:
        """The row of an id; row 0 of an unknown or absent one."""
        return np.asarray(self.tensors[f"tables.{name}.weight"][self.index(name, value)])

    def index(self, name: str, value: Any) -> int:
        """The number of that row."""
        table, row = self.config["tables"][name], 0
        if table["ids"] == "hash" and value is not None:
            data = value.encode() if isinstance(value, str) else struct.pack("<q", value)
            row = 1 + xxhash.xxh3_64_intdigest(data, seed=0) % (table["rows"] - 1)
        elif table["ids"] == "direct":
            row = value if value is not None and 0 <= value < table["rows"] else 0
        elif value is not None:
            keys = [(type(key), key) for key in table["keys"]]
            row = keys.index((type(value), value)) + 1 if (type(value), value) in keys else 0
        return int(row)

    def embed(self, part: str, values: Json) -> Array:
        """The concatenated embeddings of the features of one part."""
        pieces: list[Array] = [np.zeros(0, self.dtype)]
        for f in self.config.get(part, []):
            value = values.get(f["name"])
            if f["kind"] == "id":
                pieces.append(self.row(f["table"], value))
            elif f["kind"] == "ids":
                total = np.zeros(self.config["tables"][f["table"]]["dim"], self.dtype)
                for one in value or []:
                    total = total + self.row(f["table"], one)
                pieces.append(total / self.dtype(len(value)) if value and f["pool"] == "mean" else total)
            elif f["kind"] == "float":
                x = 0.0 if value is None else (value - f.get("mean", 0)) / f.get("std", 1)
                pieces.append(np.array([np.float32(x)], self.dtype))
            elif f["kind"] == "vector":
                pieces.append(np.array(value or [0] * f["dim"], np.float32).astype(self.dtype))
            elif f["kind"] == "semantic_id":
                codes = [-1] * len(f["tables"]) if value is None else self.codes(f["quantizer"], value)[0]
                tables = (self.tensors[f"tables.{name}.weight"] for name in f["tables"])
                rows = [table[code + 1] for table, code in zip(tables, codes, strict=True)]
                pieces += rows if f["combine"] == "concat" else [np.sum(rows, axis=0, dtype=self.dtype)]
        return np.concatenate(pieces)

    def codes(self, name: str, value: list[float]) -> tuple[list[int], float]:
        """The codes of a vector in float64 (section 5), and the smallest lead over the second best of any level, as a
        share of their magnitudes."""
        base, least, codes = f"quantizers.{name}.", np.inf, []
        r = np.array(value, np.float32).astype(np.float64)
        for level, mean in enumerate(self.exact[base + "mean"]):
            x = r - mean
            scores = -(x * x).sum(1) / 2
            if base + "variance" in self.exact:
                variance, weight = self.exact[base + "variance"][level], self.exact[base + "weight"][level]
                scores = np.log(weight) - np.log(variance).sum(1) / 2 - (x * x / variance).sum(1) / 2
            codes.append(int(scores.argmax()))
            r = r - mean[codes[-1]]
            best, *others = np.sort(scores)[::-1]
            if others:
                least = min(least, float((best - others[0]) / (1 + abs(best) + abs(others[0]))))
        return codes, least

    def clear(self, part: str, values: Json) -> bool:
        """Whether rounding decides none of the codes of a part's vectors."""
        features = [f for f in self.config.get(part, []) if f["kind"] == "semantic_id"]
        found = [(f["quantizer"], values.get(f["name"])) for f in features]
        hashed = self.sdim if part == "candidate" else []
        return all(value is None or self.codes(name, value)[1] > 1e-4 for name, value in found) and all(
            lead(self.candidate_products(s, self.embed(part, values))) > 1e-4 for s in hashed
        )

    def margins(self, event: Json) -> float:
        """The smallest margin, over all codebooks, between an event's best two codewords."""
        e, least = self.embed("event", event), np.inf
        for folded in self.folded.values():
            scores = np.sort(np.einsum("d,ndw->nw", e, folded), axis=1)
            if scores.shape[1] > 1:
                least = min(least, float((scores[:, -1] - scores[:, -2]).min()))
        for s in self.vql:
            for group in self.key_scores(s, e[None]):
                best = np.sort(group[0])
                if len(best) > 1:
                    least = min(least, float(best[-1] - best[-2]))
        for s in self.sdim:
            least = min(least, lead(self.exact[f"sequences.{s['name']}.sdim.hash"] @ e))
        return least

    def candidate_products(self, s: Json, t: Array) -> Array:
        """What decides a candidate's bits in an sdim sequence, in float64."""
        base = f"sequences.{s['name']}.sdim."
        own = self.exact[base + "q.weight"] @ t.astype(np.float64) + self.exact.get(base + "q.bias", 0)
        return np.asarray(self.exact[base + "hash"] @ own)

    def hashed(self, s: Json, events: list[Json], t: Array) -> Array:
        """The mean, over hash functions, of the direction of the sum of events in the candidate's bucket."""
        e = np.array([self.embed("event", event) for event in events], np.float64)
        exact, total = self.summed(e), np.zeros(e.shape[1], self.dtype)
        products = e @ self.exact[f"sequences.{s['name']}.sdim.hash"].T
        bits, own = ((x >= 0).reshape(-1, s["hashes"], s["bits"]) for x in (products, self.candidate_products(s, t)))
        for met in (bits == own).all(2).T:
            length = np.sqrt((exact[met].sum(0) ** 2).sum())
            total = total + (exact[met].sum(0) / length if length > 0 else 0 * total).astype(self.dtype)
        return np.asarray(total / self.dtype(s["hashes"]))

    def last_events(self, s: Json, events: list[Json]) -> Array:
        """The last events, each as HSTU makes it of itself and of those before it, [T, D]."""
        h, base = HSTU_DEFAULTS | {"bias": "toeplitz"} | s["hstu"], f"sequences.{s['name']}."
        events = events[-s["last"] :]
        x: Array = np.array([self.embed("event", event) for event in events], self.dtype)
        if s.get("scale") == "sqrt":
            x = x * self.dtype(x.shape[1] ** 0.5)
        if s.get("positions"):
            x = x + self.tensors[base + "position"][: len(x)]
        name = next((f["name"] for f in self.config["event"] if f["kind"] == "time"), "")
        known = [event[name] for event in events if event.get(name) is not None]
        times = [max(known, default=0) if event.get(name) is None else event[name] for event in events]
        buckets = np.zeros((len(x), len(x)), np.int64)
        for i, after in enumerate([*times[1:], times[-1]]):
            ago = [max(1, abs(after - time)) for time in times]
            buckets[i] = [min(s.get("time_buckets", 0), int(math.log(dt) / 0.301)) for dt in ago]
        for layer in range(h["layers"]):
            here = f"{base}hstu.{layer}."
            bias = np.zeros(buckets.shape, self.dtype)
            if h["bias"] == "toeplitz":
                place = np.arange(len(x))
                bias = bias + self.tensors[here + "bias"][s["last"] - 1 + place[None, :] - place[:, None]]
            if s.get("time_buckets"):
                bias = bias + self.tensors[here + "time_bias"][buckets]
            x = self.hstu(here, None, x, place_bias=bias, h=h, w=s["last"])
        return x

    def key_scores(self, s: Json, e: Array) -> list[Array]:
        """What decides the codewords of events e [L, D] in each group of a vql sequence: k . c - |c|^2 / 2, float64."""
        base, scores = f"sequences.{s['name']}.vql.", []
        keys = (e.astype(np.float64) @ self.exact[base + "k.weight"].T).reshape(len(e), s["heads"], s["dim"])
        for g, group in enumerate(s["groups"]):
            codebook = self.exact[f"{base}groups.{g}.codebook"]
            own = keys[:, group["heads"]].reshape(len(e), -1)
            scores.append(own @ codebook.T - (codebook**2).sum(1) / 2)
        return scores

    def kernel(self, s: Json, events: list[Json], now: int | None) -> Array:
        """K of every event in every head of a vql sequence but for a factor that all share, [A, L]."""
        name = next((f["name"] for f in self.config["event"] if f["kind"] == "time"), "")
        times = [event.get(name) for event in events]
        if not s.get("decay_terms"):
            return np.ones((s["heads"], len(events)))
        last = max((time for time in times if time is not None), default=None)
        later = 0 if last is None or now is None else max(0, now - last)
        ago = np.array([later + (0 if time is None else last - time) for time in times], np.float64)
        decay, mix = (self.exact[f"sequences.{s['name']}.vql.{part}"][:, :, None] for part in ("decay", "mix"))
        slowest = decay.min(1, keepdims=True) * later  # K over the slowest term's part, as K itself may be too small
        return np.asarray((mix * np.exp(slowest - decay * ago)).sum(1))

    def keys(self, s: Json, events: list[Json], now: int | None, t: Array) -> Array:
        """Softmax attention of candidate t over all events, each with the codeword that is nearest to its key."""
        e = np.array([self.embed("event", event) for event in events])
        base, heads = f"sequences.{s['name']}.vql.", s["heads"]
        q, v = self.linear(base + "q", None, t).reshape(heads, -1), self.linear(base + "v", None, e)
        v, weight = v.reshape(len(e), heads, -1), self.kernel(s, events, now).astype(self.dtype)
        o = np.zeros((heads, s["v_dim"]), self.dtype)
        for g, (group, scores) in enumerate(zip(s["groups"], self.key_scores(s, e), strict=True)):
            codewords = self.tensors[f"{base}groups.{g}.codebook"][np.round(scores, 9).argmax(1)]
            for place, head in enumerate(group["heads"]):
                key = codewords[:, place * s["dim"] : (place + 1) * s["dim"]]
                logits = key @ q[head] / self.dtype(s["dim"] ** 0.5)
                power = np.exp(logits - logits.max()) * weight[head]
                o[head] = power @ v[:, head] / power.sum()
        return self.linear(base + "out", None, o.reshape(-1)) if s.get("out") else o.reshape(-1)

    def found(self, s: Json, events: list[Json], candidate: Json) -> Array:
        """sim_hard: which of the last events a candidate finds."""
        part: dict[str, Json] = {}
        for group, name in s["match"].items():
            part[group] = next(f for f in self.config[group] if f["name"] == name)
        table = part["event"]["table"]
        rows = np.array([self.index(table, event.get(part["event"]["name"])) for event in events[-s["last"] :]])
        row = self.index(table, candidate.get(part["candidate"]["name"]))
        return np.flatnonzero((rows == row) & (row != 0))[-s["top"] :]

    def found_width(self, s: Json) -> int:
        """Of what a sequence gives where a candidate finds nothing."""
        a = s["attention"]
        if a["kind"] == "din":
            return width(self.config, "event")
        out = self.tensors.get(f"sequences.{s['name']}.attention.out.weight")
        return a["heads"] * a["dim"] if out is None else len(out)

    def far_scores(self, s: Json, e: Array, t: Array) -> Array:
        """twin: what events e score in each head, in float64, [A, T]."""
        base, a = f"sequences.{s['name']}.attention.", s["attention"]
        exact = Oracle.__new__(Oracle)
        exact.tensors = self.exact
        q = exact.linear(base + "q", None, t.astype(np.float64)).reshape(a["heads"], a["dim"])
        k = exact.linear(base + "k", None, e.astype(np.float64)).reshape(len(e), a["heads"], a["dim"])
        return np.einsum("hd,khd->hk", q, k) / a["dim"] ** 0.5

    def far(self, s: Json, e: Array, t: Array) -> Array:
        """twin: each head's softmax over the events of its largest scores."""
        base, a, o = f"sequences.{s['name']}.attention.", s["attention"], []
        q = self.linear(base + "q", None, t).reshape(a["heads"], a["dim"])
        k, v = (self.linear(base + name, None, e).reshape(len(e), a["heads"], a["dim"]) for name in "kv")
        for h, scores in enumerate(np.round(self.far_scores(s, e, t), 9)):
            kept = sorted(range(len(e)), key=lambda i: (-scores[i], i))[: s["top"]]
            o.append(softmax(k[kept, h] @ q[h] / self.dtype(a["dim"] ** 0.5)) @ v[kept, h])
        flat = np.concatenate(o)
        return self.linear(base + "out", None, flat) if a.get("out") else flat

    def choices(self, events: list[Json], candidate: Json) -> float:
        """How far, at least, the score of the last event that a twin head keeps is from any other that differs."""
        least = np.inf
        for s in self.config["sequences"]:
            if s["kind"] != "twin" or len(events[-s["last"] :]) <= s["top"]:
                continue
            e = np.array([self.embed("event", event) for event in events[-s["last"] :]])
            for scores in self.far_scores(s, e, self.embed("candidate", candidate)):
                apart = np.abs(scores - np.sort(scores)[::-1][s["top"] - 1])
                least = min(least, float(apart[apart > 1e-9].min(initial=np.inf)))
        return least

    def linear(self, name: str, j: int | None, x: Array) -> Array:
        """A linear layer; one of several codebooks', or the only one where it is shared; a missing bias is zero."""
        weight, bias = self.tensors[name + ".weight"], self.tensors.get(name + ".bias")
        if j is not None:
            weight = weight[min(j, len(weight) - 1)]
            bias = None if bias is None else bias[min(j, len(bias) - 1)]
        return np.asarray(x @ weight.T + (0 if bias is None else bias))

    def layer_norm(self, name: str, j: int | None, x: Array, h: Json, groups: int = 1) -> Array:
        """LayerNorm over each of `groups` parts of the rows, then weight and bias if affine."""
        parts = x.reshape(len(x), groups, -1)
        parts = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + self.dtype(h["eps"]))
        x = parts.reshape(x.shape)
        if h["affine"]:
            weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
            if j is not None:
                weight, bias = weight[min(j, len(weight) - 1)], bias[min(j, len(bias) - 1)]
            x = x * weight + bias
        return x

    def cluster_bias(self, base: str, j: int, tokens: Array, h: Json, w: int) -> Array | float:
        """What is added to the scores of an HSTU block of codebook j between `tokens`, which are codewords."""
        if h["bias"] == "none":
            return 0
        bias = self.tensors[base + "bias"]
        bias = bias[min(j, len(bias) - 1)]
        if h["bias"] == "toeplitz":
            bias = bias[:, w - 1 + np.arange(w)[None, :] - np.arange(w)[:, None]]
        return np.asarray(bias[:, tokens[:, None], tokens[None, :]])

    def hstu(self, base: str, j: int | None, x: Array, place_bias: Array | float, h: Json, w: int) -> Array:
        """One HSTU block (section 4) on at most w tokens: of codebook j, or of none, in order."""
        heads, dv, dqk = h["heads"], h["v_dim"], h["qk_dim"]
        normed = self.layer_norm(base + "pre_norm", j, x, h) if h["pre_norm"] else x
        flat = self.linear(base + "f1", j, normed)
        if h["activate"] == "all":
            flat = silu(flat)
        u, v, q, k = np.split(flat, np.cumsum([heads * dv, heads * dv, heads * dqk]), axis=1)
        u = silu(u) if h["activate"] == "u" else u
        v, q, k = (part.reshape(len(x), heads, -1).swapaxes(0, 1) for part in (v, q, k))
        s = q @ k.swapaxes(1, 2) * self.dtype(dqk**-0.5 if h["alpha"] == "rsqrt" else 1)
        s = s + place_bias
        count = {"one": 1, "tokens": w, "attended": len(x)}
        divisor = h["normalize"]["constant"] if isinstance(h["normalize"], dict) else count[h["normalize"]]
        weights = silu(s) if j is not None else np.tril(silu(s))
        o = (weights / self.dtype(divisor) @ v).swapaxes(0, 1).reshape(len(x), -1)
        g = self.layer_norm(base + "norm", j, o, h, heads if h["norm"] == "group" else 1)
        z = {"gated": [u * g], "concat": [u, g, u * g], "concat_raw": [u, o, u * g]}[h["output"]]
        return self.linear(base + "f2", j, np.concatenate(z, axis=1)) + (x if h["residual"] else 0)

    def activate(self, kind: str, x: Array, name: str, j: int | None) -> Array:
        """The activation after layer `name`."""

        def own(parameter: str) -> Array:
            values = self.tensors[f"{name}.{parameter}"]
            return np.asarray(values if j is None else values[min(j, len(values) - 1)])

        if kind == "dice":
            p = sigmoid((x - own("mean")) / np.sqrt(own("var") + self.dtype(1e-9)))
            return np.asarray(p * x + (1 - p) * own("alpha") * x)
        if kind in ("relu", "leaky_relu", "prelu"):
            slope = own("alpha") if kind == "prelu" else self.dtype({"relu": 0, "leaky_relu": 0.01}[kind])
            return np.where(x > 0, x, slope * x)
        if kind == "gelu":
            return np.asarray(x * (1 + np.vectorize(math.erf)(x * self.dtype(0.5**0.5))) / 2, self.dtype)
        return np.tanh(x) if kind == "tanh" else silu(x)

    def mlp(self, name: str, hidden: int, kind: str, x: Array, j: int | None) -> Array:
        """`hidden` layers with their activation, and a linear one."""
        for layer in range(hidden):
            x = self.activate(kind, self.linear(f"{name}.{layer}", j, x), f"{name}.{layer}", j)
        return self.linear(f"{name}.{hidden}", j, x)

    def attention(self, s: Json, j: int | None, y: Array, n: Array, t: Array) -> Array:
        """Target attention of candidate t over tokens y, clusters of n events, of codebook j or of none."""
        a, base = s["attention"], f"sequences.{s['name']}.attention."
        if a["kind"] == "din":
            target = np.broadcast_to(self.linear(base + "q", j, t), y.shape)
            x = np.concatenate([target, y, target - y, target * y], axis=1)
            weights = self.mlp(base + "mlp", len(a["hidden"]), a["activation"], x, j)[:, 0]
            return np.asarray((softmax(weights) if a.get("softmax") else weights) @ y)
        q = self.linear(base + "q", j, t).reshape(a["heads"], a["dim"])
        k, v = (self.linear(base + name, j, y).reshape(len(y), a["heads"], a["dim"]) for name in "kv")
        logits = np.einsum("hd,khd->hk", q, k) / self.dtype(a["dim"] ** 0.5)
        if a.get("count_bias"):
            logits = logits + np.log(np.maximum(n, 1)).astype(self.dtype)
        o = np.einsum("hk,khd->hd", softmax(logits), v).reshape(-1)
        return self.linear(base + "out", j, o) if a.get("out") else o

    def summed(self, e: Array) -> Array:
        """Events as exact sums hold them: numbers that are no table's in steps of 2^-18."""
        exact, at = e.copy(), 0
        for f in self.config["event"]:
            end = at + width({"tables": self.config["tables"], "event": [f]}, "event")
            if f["kind"] in ("float", "vector"):
                exact[:, at:end] = np.rint(e[:, at:end] * 2**18) / 2**18
            at = end
        return exact

    def clusters(self, s: Json, events: list[Json]) -> list[tuple[Array, Array]]:
        """Per codebook the tokens Y_j and the numbers of events in them."""
        h, w = HSTU_DEFAULTS | s["hstu"], s["codewords"]
        e = np.array([self.embed("event", event) for event in events], np.float64)
        exact, result = self.summed(e), []
        for j in range(s["codebooks"]):
            z = np.round(e @ self.folded[s["name"]][j], 9).argmax(1)  # a tie in exact arithmetic is one here too
            n = np.bincount(z, minlength=w)
            tokens = np.flatnonzero(n) if s.get("empty", "masked") == "masked" else np.arange(w)
            y: Array = np.array([exact[z == k].mean(0) if n[k] else 0 * e[0] for k in tokens], self.dtype)
            for layer in range(h["layers"]):
                base = f"sequences.{s['name']}.hstu.{layer}."
                y = self.hstu(base, j, y, self.cluster_bias(base, j, tokens, h, w), h, w)
            result.append((y, n[tokens]))
        return result

    def logits(self, request: Json) -> Array:
        """The values before the last sigmoid, [candidates, outputs]."""
        head, events = self.config["head"], request.get("events") or []
        states: dict[str, list[tuple[int | None, Array, Array]]] = {}
        for s in self.config["sequences"] if events else []:
            if s["kind"] == "dmqn":
                states[s["name"]] = [(j, *state) for j, state in enumerate(self.clusters(s, events))]
            elif s["kind"] == "hstu":
                last = self.last_events(s, events)
                states[s["name"]] = [(None, last, np.ones(len(last)))]
            elif s["kind"] not in ("vql", "sdim"):
                last = np.array([self.embed("event", event) for event in events[-s["last"] :]], self.dtype)
                states[s["name"]] = [(None, last, np.ones(len(last)))]
        rows = []
        for candidate in request["candidates"]:
            t = self.embed("candidate", candidate)
            x = [*(self.embed(part, request.get(part, {})) for part in ("user", "context")), t]
            for s in self.config["sequences"] if events else []:
                if s["kind"] == "vql":
                    x.append(self.keys(s, events, request.get("time"), t))
                elif s["kind"] == "sdim":
                    x.append(self.hashed(s, events, t))
                elif s["kind"] == "hstu" and "attention" not in s:
                    x.append(states[s["name"]][0][1][-1])
                elif s["kind"] == "twin":
                    x.append(self.far(s, states[s["name"]][0][1], t))
                elif s["kind"] == "sim_hard":
                    y = states[s["name"]][0][1][self.found(s, events, candidate)]
                    o = self.attention(s, None, y, np.ones(len(y)), t) if len(y) else None
                    size = self.found_width(s)
                    x.append(np.zeros(size, self.dtype) if o is None else o)
                else:
                    x += [self.attention(s, j, y, n, t) for j, y, n in states[s["name"]]]
            if not events:  # zeros for every sequence
                x.append(np.zeros(self.tensors["head.0.weight"].shape[1] - sum(map(len, x)), self.dtype))
            rows.append(self.mlp("head", len(head["hidden"]), head["activation"], np.concatenate(x), None))
        return np.array(rows, np.float64).reshape(-1, len(head["outputs"]))


def lead(products: Array) -> float:
    """How far the nearest product is from 0, where its sign is decided; exact zeros are decided."""
    return float(np.abs(products[products != 0]).min(initial=np.inf))


def softmax(x: Array) -> Array:
    """exp(x) over its sum, along the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def silu(x: Array) -> Array:
    """x / (1 + exp(-x))."""
    with np.errstate(over="ignore"):
        return np.asarray(x / (1 + np.exp(-x)))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))
