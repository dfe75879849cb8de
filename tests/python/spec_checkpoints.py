"""Random configurations and checkpoints, from the specification alone: sections 1 to 7, written byte by byte.

Nothing of the project is imported.
"""

import itertools
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Json = dict[str, Any]

NUMPY_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
ACTIVATIONS = ["relu", "leaky_relu", "prelu", "silu", "gelu", "tanh", "dice"]
HSTU_DEFAULTS: Json = {
    "share": False, "pre_norm": False, "residual": False, "affine": True, "activate": "all", "alpha": "one",
    "bias": "dense", "normalize": "one", "norm": "layer", "eps": 1e-5, "output": "gated",
}  # fmt: skip


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
    features, tables = config.get(part, []), config["tables"]
    total = 0
    for f in features:
        if f["kind"] == "semantic_id":
            dims = [tables[name]["dim"] for name in f["tables"]]
            total += sum(dims) if f["combine"] == "concat" else dims[0]
        else:
            total += tables[f["table"]]["dim"] if "table" in f else f.get("dim", int(f["kind"] == "float"))
    return total


class Draw:
    """Random choices."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def pick(self, *choices: Any) -> Any:
        """One of them."""
        return choices[self.rng.integers(len(choices))]

    def size(self, low: int, end: int) -> int:
        """low ... end - 1."""
        return int(self.rng.integers(low, end))

    def optional(self, target: Json, key: str, value: Any) -> None:
        """Sets a key, or leaves it out."""
        if self.rng.random() < 0.7:
            target[key] = value


def random_tables(draw: Draw) -> Json:
    """Three tables, with every way to find an id's row."""
    tables: Json = {}
    for name in ("item", "dir-1", "Action_2"):
        rows = draw.size(2, 40)
        tables[name] = {"rows": rows, "dim": draw.size(1, 20), "ids": draw.pick("direct", "vocabulary", "hash")}
        if tables[name]["ids"] == "vocabulary":
            keys = [draw.pick(k, str(k), f"kéy {k}", 2**63 - 1 - k, -k) for k in range(1, rows)]
            tables[name]["keys"] = keys
    return tables


def random_quantizers(draw: Draw, tables: Json) -> Json:
    """One or two, with tables for their levels, some with more rows than codes."""
    quantizers: Json = {}
    for name in ("content", "Look_2")[: draw.size(1, 3)]:
        quantizer = {"levels": draw.size(1, 4), "codes": draw.size(1, 40), "dim": draw.size(1, 18)}
        quantizers[name] = {"kind": draw.pick("rq_gmm", "rq_kmeans")} | quantizer
        dim = draw.size(1, 12)
        for level in range(quantizer["levels"]):
            rows = quantizer["codes"] + draw.size(1, 4)
            tables[f"{name}{level}"] = {"rows": rows, "dim": draw.pick(dim, dim, draw.size(1, 12)), "ids": "direct"}
    return quantizers


def random_feature(draw: Draw, name: str, tables: Json, quantizers: Json) -> Json:
    """A feature of any kind but time."""
    kinds = ["id", "id", "ids", "float", "vector"] + ["semantic_id"] * 2 * bool(quantizers)
    feature: Json = {"name": name, "kind": draw.pick(*kinds)}
    if feature["kind"] == "semantic_id":
        feature["quantizer"] = draw.pick(*quantizers)
        levels = range(quantizers[feature["quantizer"]]["levels"])
        feature["tables"] = [f"{feature['quantizer']}{level}" for level in levels]
        equal = len({tables[table]["dim"] for table in feature["tables"]}) == 1
        feature["combine"] = draw.pick("concat", "sum") if equal else "concat"
    if feature["kind"] in ("id", "ids"):
        feature["table"] = draw.pick(*tables)
    if feature["kind"] == "ids":
        feature["pool"] = draw.pick("sum", "mean")
    elif feature["kind"] == "vector":
        feature["dim"] = draw.size(1, 18)
    elif feature["kind"] == "float":
        draw.optional(feature, "mean", float(np.round(draw.rng.normal(), 3)))
        draw.optional(feature, "std", float(np.round(draw.rng.uniform(0.3, 3), 3)))
    return feature


def random_attention(draw: Draw, clusters: bool) -> Json:
    """Target attention of either kind, over clusters or over the last events."""
    attention: Json = {"kind": draw.pick("dot", "din")}
    if attention["kind"] == "dot":
        attention |= {"heads": draw.size(1, 4), "dim": draw.size(1, 20)}
        switches = ["out", "count_bias", "share"] if clusters else ["out"]
    else:
        hidden = [draw.size(1, 40) for _ in range(draw.size(0, 3))]
        attention |= {"hidden": hidden, "activation": draw.pick(*ACTIVATIONS)}
        switches = ["softmax", "share"] if clusters else ["softmax"]
    for key in switches:
        draw.optional(attention, key, draw.pick(True, False))
    return attention


def random_block(draw: Draw, biases: tuple[str, ...], switches: tuple[str, ...]) -> Json:
    """HSTU layers, of what they may have."""
    hstu: Json = {"layers": draw.size(0, 4)}
    if hstu["layers"] or draw.rng.random() < 0.3:
        hstu |= {key: draw.size(1, end) for key, end in (("heads", 4), ("qk_dim", 18), ("v_dim", 18))}
        for key in switches:
            draw.optional(hstu, key, draw.pick(True, False))
        draw.optional(hstu, "activate", draw.pick("all", "u"))
        draw.optional(hstu, "alpha", draw.pick("one", "rsqrt"))
        draw.optional(hstu, "bias", draw.pick(*biases))
        draw.optional(hstu, "normalize", draw.pick("one", "tokens", "attended", {"constant": draw.size(1, 300)}))
        draw.optional(hstu, "norm", draw.pick("layer", "group"))
        draw.optional(hstu, "output", draw.pick("gated", "concat", "concat_raw"))
        draw.optional(hstu, "eps", draw.pick(1e-6, 1e-5, 1e-3))
    return hstu


def random_dmqn(draw: Draw, name: str) -> Json:
    """A sequence of kind dmqn."""
    hstu: Json = random_block(draw, ("none", "dense", "toeplitz"), ("share", "pre_norm", "residual", "affine"))
    sequence: Json = {"name": name, "kind": "dmqn", "codebooks": draw.size(1, 5), "codewords": draw.size(1, 40)}
    sequence |= {"hstu": hstu, "attention": random_attention(draw, clusters=True)}
    draw.optional(sequence, "empty", draw.pick("masked", "zero"))
    return sequence


def random_hstu(draw: Draw, name: str) -> Json:
    """A sequence of kind hstu."""
    sequence: Json = {"name": name, "kind": "hstu", "last": draw.size(1, 60)}
    draw.optional(sequence, "positions", draw.pick(True, False))
    draw.optional(sequence, "scale", draw.pick("one", "sqrt"))
    draw.optional(sequence, "time_buckets", draw.pick(0, 1, 20, 128, 144))
    sequence["hstu"] = random_block(draw, ("none", "toeplitz"), ("pre_norm", "residual", "affine"))
    if draw.pick(True, False):
        sequence["attention"] = random_attention(draw, clusters=False)
    return sequence


def random_sdim(draw: Draw, name: str) -> Json:
    """A sequence of kind sdim."""
    return {"name": name, "kind": "sdim", "hashes": draw.size(1, 20), "bits": draw.size(1, 7)}


def random_vql(draw: Draw, name: str) -> Json:
    """A sequence of kind vql: its heads, in any order, in one group after another."""
    heads = draw.size(1, 7)
    left, groups = [int(head) for head in draw.rng.permutation(heads)], []
    while left:
        own = draw.size(1, len(left) + 1)
        groups.append({"heads": left[:own], "codewords": draw.size(1, 40)})
        left = left[own:]
    sequence: Json = {"name": name, "kind": "vql", "heads": heads, "groups": groups}
    sequence |= {"dim": draw.size(1, 18), "v_dim": draw.size(1, 18)}
    draw.optional(sequence, "decay_terms", draw.size(0, 4))
    draw.optional(sequence, "out", draw.pick(True, False))
    return sequence


def random_search(draw: Draw, name: str, config: Json) -> Json:
    """A sequence of kind sim_hard or twin; what sim_hard matches becomes features of the configuration."""
    last = draw.size(1, 60)
    sequence: Json = {"name": name, "kind": draw.pick("sim_hard", "twin"), "last": last}
    sequence |= {"top": draw.size(1, 1 + draw.pick(last, min(last, 4))), "attention": random_attention(draw, False)}
    if sequence["kind"] == "sim_hard":
        table = draw.pick(*(table for table in config["tables"] if table in ("item", "dir-1", "Action_2")))
        sequence["match"] = {part: f"match {name}".replace(" ", "-") + part[0] for part in ("event", "candidate")}
        for part, feature in sequence["match"].items():
            config[part].insert(draw.size(0, len(config[part]) + 1), {"name": feature, "kind": "id", "table": table})
    while sequence["kind"] == "twin" and sequence["attention"]["kind"] != "dot":
        sequence["attention"] = random_attention(draw, False)
    return sequence


def random_config(rng: np.random.Generator, semantic: bool = False) -> Json:
    """A legal configuration; every optional key is sometimes left out. `semantic`: with quantizers and semantic ids."""
    draw = Draw(rng)
    tables = random_tables(draw)
    quantizers = random_quantizers(draw, tables) if semantic else {}
    parts: dict[str, list[Json]] = {}
    for part, least in (("user", 0), ("context", 0), ("event", 1), ("candidate", 1)):
        parts[part] = [random_feature(draw, f"{part[0]}{i}", tables, quantizers) for i in range(draw.size(least, 5))]
    parts["event"] += [{"name": "when", "kind": "time"}] * draw.size(0, 2)

    orders = ["long", "keys", "long short", "short long", "short", "long short more", "keys long", "short keys keys2"]
    orders += ["same", "long far", "same short far"]
    short = {"name": "short", "kind": "din", "last": draw.size(1, 30), "attention": random_attention(draw, False)}
    kinds = {"long": random_dmqn, "more": random_dmqn, "keys": random_vql, "keys2": random_vql}
    config: Json = {"format": 1, "name": "by hand", "tables": tables, **parts, "sequences": []}
    for name in draw.pick(*orders).split():
        searched = name in ("same", "far")
        sequence = random_search(draw, name, config) if searched else short if name == "short" else None
        config["sequences"].append(sequence or kinds[name](draw, name))
    for part in ("user", "context"):
        if not config[part] and rng.random() < 0.5:
            del config[part]
    if semantic:
        config["quantizers"] = quantizers
    else:
        draw.optional(config, "quantizers", {})
    hidden = [int(n) for n in rng.integers(1, 40, size=rng.integers(0, 3))]
    outputs = ["ctr", "cvr", "p(buy)"][: draw.size(1, 4)]
    config["head"] = {"hidden": hidden, "activation": draw.pick(*ACTIVATIONS), "outputs": outputs}
    return config


class RandomTensors:
    """Tensors for a configuration, of moderate size, some biases missing, in the four types."""

    def __init__(self, config: Json, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        self.checkpoint = Checkpoint(config)

    def add(self, name: str, shape: list[int], scale: float, center: float = 0) -> None:
        """Normal values in one of the types."""
        kind = str(self.rng.choice(["F32", "F32", "F16", "BF16", "F64"]))
        self.checkpoint.add(name, center + scale * self.rng.normal(size=shape), kind)

    def linear(self, name: str, lead: list[int], out: int, inp: int) -> None:
        """A linear layer."""
        self.add(name + ".weight", [*lead, out, inp], (1 / max(inp, 1)) ** 0.5)
        if self.rng.random() < 0.7:
            self.add(name + ".bias", [*lead, out], 0.3)

    def mlp(self, name: str, lead: list[int], widths: list[int], activation: str) -> None:
        """Layers between `widths`, those but the last with the parameters of their activation."""
        for layer, (inp, out) in enumerate(itertools.pairwise(widths)):
            self.linear(f"{name}.{layer}", lead, out, inp)
            if layer == len(widths) - 2:
                return
            if activation in ("prelu", "dice"):
                self.add(f"{name}.{layer}.alpha", [*lead, out], 0.3, 0.2)
            if activation == "dice":
                self.add(f"{name}.{layer}.mean", [*lead, out], 0.3)
                variance = 0.05 + self.rng.exponential(size=[*lead, out])
                self.checkpoint.add(f"{name}.{layer}.var", variance, str(self.rng.choice(["F32", "F16", "F64"])))

    def dmqn(self, s: Json) -> int:
        """A dmqn sequence's tensors; returns the width that it gives to the head."""
        n, w, d = s["codebooks"], s["codewords"], width(self.config, "event")
        base = f"sequences.{s['name']}."
        self.add(base + "projection", [n, d, d], d**-0.5)
        self.add(base + "codebook", [n, w, d], 1)
        h = HSTU_DEFAULTS | s["hstu"]
        lead = [1 if h["share"] else n]
        for layer in range(h["layers"]):
            here = f"{base}hstu.{layer}."
            if h["bias"] != "none":
                shape = [w, w] if h["bias"] == "dense" else [2 * w - 1]
                self.add(here + "bias", [*lead, int(self.rng.choice([1, h["heads"]])), *shape], 0.5)
            self.block(here, h, lead)
        return n * self.attention(s, [1 if s["attention"].get("share") else n])

    def block(self, here: str, h: Json, lead: list[int]) -> None:
        """One HSTU layer's tensors but for its scores' biases."""
        d, v = width(self.config, "event"), h["heads"] * h["v_dim"]
        self.linear(here + "f1", lead, 2 * v + 2 * h["heads"] * h["qk_dim"], d)
        self.linear(here + "f2", lead, d, v if h["output"] == "gated" else 3 * v)
        if h["affine"]:
            for name, size in [("norm", v)] + [("pre_norm", d)] * h["pre_norm"]:
                self.add(f"{here}{name}.weight", [*lead, size], 0.3, 1)
                self.add(f"{here}{name}.bias", [*lead, size], 0.3)

    def hstu(self, s: Json) -> int:
        """An hstu sequence's tensors; returns the width that it gives to the head."""
        d, base = width(self.config, "event"), f"sequences.{s['name']}."
        h = HSTU_DEFAULTS | {"bias": "toeplitz"} | s["hstu"]
        if s.get("positions"):
            self.add(base + "position", [s["last"], d], 0.5)
        for layer in range(h["layers"]):
            here = f"{base}hstu.{layer}."
            if h["bias"] != "none":
                self.add(here + "bias", [2 * s["last"] - 1], 0.5)
            if s.get("time_buckets"):
                self.add(here + "time_bias", [s["time_buckets"] + 1], 0.5)
            self.block(here, h, [])
        return self.attention(s, []) if "attention" in s else d

    def sdim(self, s: Json) -> int:
        """An sdim sequence's tensors; returns the width that it gives to the head."""
        d, base = width(self.config, "event"), f"sequences.{s['name']}.sdim."
        self.add(base + "hash", [s["hashes"] * s["bits"], d], 1)
        self.linear(base + "q", [], d, width(self.config, "candidate"))
        return d

    def quantizer(self, name: str, q: Json) -> None:
        """A quantizer's tensors."""
        shape, base = [q["levels"], q["codes"], q["dim"]], f"quantizers.{name}."
        self.add(base + "mean", shape, 1)
        for part, own in (("variance", shape), ("weight", shape[:2])) if q["kind"] == "rq_gmm" else ():
            kind = str(self.rng.choice(["F32", "BF16", "F64"]))
            self.checkpoint.add(base + part, np.exp(self.rng.normal(size=own)), kind)

    def vql(self, s: Json) -> int:
        """A vql sequence's tensors; returns the width that it gives to the head."""
        d, dc, base = width(self.config, "event"), width(self.config, "candidate"), f"sequences.{s['name']}.vql."
        values, terms = s["heads"] * s["v_dim"], s.get("decay_terms", 0)
        for name, out, inp in (("k", s["heads"] * s["dim"], d), ("v", values, d), ("q", s["heads"] * s["dim"], dc)):
            self.add(f"{base}{name}.weight", [out, inp], inp**-0.5)
        for g, group in enumerate(s["groups"]):
            self.add(f"{base}groups.{g}.codebook", [group["codewords"], len(group["heads"]) * s["dim"]], 1)
        if terms:  # from slow to fast against times of up to 2^40
            for name, low, high in (("decay", -13, -10), ("mix", -1, 1)):
                values_of = 10 ** self.rng.uniform(low, high, size=[s["heads"], terms])
                self.checkpoint.add(base + name, values_of, str(self.rng.choice(["F32", "BF16", "F64"])))
        if not s.get("out"):
            return values
        size = int(self.rng.integers(1, 20))
        self.add(base + "out.weight", [size, values], values**-0.5)
        return size

    def attention(self, s: Json, lead: list[int]) -> int:
        """The tensors of target attention; returns its width, of one codebook."""
        a, base = s["attention"], f"sequences.{s['name']}.attention."
        d, dc = width(self.config, "event"), width(self.config, "candidate")
        if a["kind"] == "din":
            self.linear(base + "q", lead, d, dc)
            self.mlp(base + "mlp", lead, [4 * d, *a["hidden"], 1], a["activation"])
            return d
        inner = a["heads"] * a["dim"]
        for name, inp in (("q", dc), ("k", d), ("v", d)):
            self.linear(base + name, lead, inner, inp)
        if not a.get("out"):
            return inner
        size = int(self.rng.integers(1, 20))
        self.linear(base + "out", lead, size, inner)
        return size


def random_checkpoint(config: Json, rng: np.random.Generator) -> Checkpoint:
    """A checkpoint of a configuration."""
    tensors = RandomTensors(config, rng)
    for name, table in config["tables"].items():
        tensors.add(f"tables.{name}.weight", [table["rows"], table["dim"]], 0.7)
    for name, quantizer in config.get("quantizers", {}).items():
        tensors.quantizer(name, quantizer)
    inp = sum(width(config, part) for part in ("user", "context", "candidate"))
    for s in config["sequences"]:
        kinds = {"dmqn": tensors.dmqn, "vql": tensors.vql, "sdim": tensors.sdim, "hstu": tensors.hstu}
        inp += kinds[s["kind"]](s) if s["kind"] in kinds else tensors.attention(s, [])
    head = config["head"]
    tensors.mlp("head", [], [inp, *head["hidden"], len(head["outputs"])], head["activation"])
    return tensors.checkpoint
