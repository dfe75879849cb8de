"""Random configurations, weights and requests that between them turn every switch of the specification."""

import random

import torch

from vqrank_train.config import Config
from vqrank_train.model import Ranker

ACTIVATIONS = ["relu", "leaky_relu", "prelu", "silu", "gelu", "tanh", "dice"]
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 12, 16, 19, 31, 32, 33, 48, 64]


def random_quantizers(rng: random.Random, tables: dict) -> dict:
    """None, or one or two, with a table for each level."""
    quantizers = {}
    for i in range(rng.choice([0, 1, 1, 2])):
        quantizer = {
            "kind": rng.choice(["rq_gmm", "rq_kmeans"]), "levels": rng.randint(1, 3),
            "codes": rng.choice([1, 3, 15, 16, 17, 40, 130]), "dim": rng.choice(WIDTHS[:11]),
        }
        quantizers[f"q{i}"] = quantizer
        dim = rng.choice([None, rng.choice(WIDTHS[:9])])  # None: every level has a dim of its own
        for level in range(quantizer["levels"]):
            rows = quantizer["codes"] + 1 + rng.choice([0, 0, 2])
            tables[f"q{i}-{level}"] = {"rows": rows, "dim": dim or rng.choice(WIDTHS[:9]), "ids": "direct"}
    return quantizers


def random_semantic_id(rng: random.Random, tables: dict, quantizers: dict) -> dict:
    name = rng.choice(list(quantizers))
    levels = [f"{name}-{level}" for level in range(quantizers[name]["levels"])]
    equal = len({tables[level]["dim"] for level in levels}) == 1
    combine = rng.choice(["concat", "sum"]) if equal else "concat"
    return {"quantizer": name, "tables": levels, "combine": combine}


def random_tables(rng: random.Random) -> dict:
    tables = {}
    for i in range(rng.randint(1, 4)):
        rows, dim = rng.choice([1, 2, 7, 50, 300]), rng.choice(WIDTHS)
        kind = rng.random()
        if kind < 0.35:
            keys = [rng.choice([k, f"k{k}", -k - 1, f"ключ {k}"]) for k in range(rows)]
            tables[f"t{i}"] = {"rows": rows + 1, "dim": dim, "ids": "vocabulary", "keys": keys}
        elif kind < 0.6:
            tables[f"t{i}"] = {"rows": rows + 1, "dim": dim, "ids": "hash"}
        else:
            tables[f"t{i}"] = {"rows": rows, "dim": dim, "ids": "direct"}
    return tables


def random_features(rng: random.Random, tables: dict, quantizers: dict, low: int, time: bool = False) -> list[dict]:
    features = []
    plain = [name for name in tables if not name.startswith("q")]
    for i in range(rng.randint(low, 4)):
        weights = [5, 3, 2, 2, 3 if quantizers else 0]
        kind = rng.choices(["id", "ids", "float", "vector", "semantic_id"], weights)[0]
        feature = {"name": f"f{i}", "kind": kind}
        if kind == "float" and rng.random() < 0.7:
            feature |= {"mean": rng.uniform(-5, 5), "std": rng.uniform(0.1, 9)}
        elif kind == "vector":
            feature["dim"] = rng.choice(WIDTHS[:11])
        elif kind in ("id", "ids"):
            feature["table"] = rng.choice(plain)
        elif kind == "semantic_id":
            feature |= random_semantic_id(rng, tables, quantizers)
        if kind == "ids":
            feature["pool"] = rng.choice(["sum", "mean"])
        features.append(feature)
    if time and rng.random() < 0.5:
        features.insert(rng.randint(0, len(features)), {"name": "time", "kind": "time"})
    return features


def random_hstu(rng: random.Random, layers: int, clusters: bool = True) -> dict:
    """`clusters`: with the switches that only HSTU over clusters has."""
    if layers == 0:
        return {"layers": 0}
    qk_dim, v_dim = rng.choice(WIDTHS[:13]), rng.choice(WIDTHS[:13])
    hstu = {"layers": layers, "heads": rng.randint(1, 4), "qk_dim": qk_dim, "v_dim": v_dim}
    switches = {
        "pre_norm": [True, False], "affine": [True, False], "activate": ["all", "u"], "alpha": ["one", "rsqrt"],
        "bias": ["none", "dense", "toeplitz"], "normalize": ["one", "tokens", "attended", {"constant": 200}],
        "norm": ["layer", "group"], "output": ["gated", "concat", "concat_raw"], "residual": [True, False],
        "share": [True, False], "eps": [1e-5, 1e-6],
    }
    if not clusters:
        del switches["share"]
        switches["bias"] = ["none", "toeplitz"]
    return hstu | {name: rng.choice(values) for name, values in switches.items() if rng.random() < 0.7}


def width(features: list[dict], tables: dict) -> int:
    return sum(feature_width(f, tables) for f in features)


def feature_width(f: dict, tables: dict) -> int:
    if f["kind"] == "semantic_id":
        dims = [tables[name]["dim"] for name in f["tables"]]
        return sum(dims) if f["combine"] == "concat" else dims[0]
    return tables[f["table"]]["dim"] if "table" in f else f.get("dim", f["kind"] == "float")


def random_attention(rng: random.Random, clusters: bool) -> dict:
    """Of either kind; `clusters`: with the switches that only attention over clusters has."""
    if rng.random() < 0.5:
        attention = {"kind": "dot", "heads": rng.randint(1, 4), "dim": rng.choice(WIDTHS[:12])}
        switches = ["out", "count_bias"] if clusters else ["out"]
    else:
        hidden = rng.choice([[], [5], [16, 9], [36]])
        attention = {"kind": "din", "hidden": hidden, "activation": rng.choice(ACTIVATIONS)}
        switches = ["softmax"]
    if clusters:
        attention["share"] = rng.random() < 0.5
    return attention | {name: True for name in switches if rng.random() < 0.4}


def random_sequence(rng: random.Random, name: str, codewords: list[int], codebooks: list[int]) -> dict:
    return {
        "name": name, "kind": "dmqn", "codebooks": rng.choice(codebooks), "codewords": rng.choice(codewords),
        "empty": rng.choice(["masked", "zero"]), "hstu": random_hstu(rng, rng.choice([0, 1, 1, 2])),
        "attention": random_attention(rng, clusters=True),
    }


def random_latest(rng: random.Random, name: str) -> dict:
    return {"name": name, "kind": "din", "last": rng.randint(1, 60), "attention": random_attention(rng, clusters=False)}


def random_vql(rng: random.Random, name: str, codewords: list[int]) -> dict:
    heads = rng.randint(1, 5)
    left, groups = rng.sample(range(heads), heads), []
    while left:
        own = [left.pop() for _ in range(rng.randint(1, len(left)))]
        groups.append({"heads": own, "codewords": rng.choice(codewords)})
    sequence = {
        "name": name, "kind": "vql", "heads": heads, "dim": rng.choice(WIDTHS[:12]), "v_dim": rng.choice(WIDTHS[:12]),
        "groups": groups,
    }
    if rng.random() < 0.6:
        sequence["decay_terms"] = rng.randint(0, 3)
    return sequence | ({"out": True} if rng.random() < 0.4 else {})


def random_sdim(rng: random.Random, name: str) -> dict:
    return {"name": name, "kind": "sdim", "hashes": rng.choice([1, 3, 16, 33]), "bits": rng.randint(1, 6)}


def random_hstu_last(rng: random.Random, name: str) -> dict:
    sequence = {
        "name": name, "kind": "hstu", "last": rng.choice([1, 11, 12, 13, 40, 60]), "positions": rng.random() < 0.5,
        "scale": rng.choice(["one", "sqrt"]), "hstu": random_hstu(rng, rng.choice([1, 1, 2, 3]), clusters=False),
    }
    if rng.random() < 0.6:
        sequence["time_buckets"] = rng.choice([1, 20, 128, 144])
    return sequence | ({"attention": random_attention(rng, clusters=False)} if rng.random() < 0.6 else {})


def random_baselines(rng: random.Random) -> list[dict]:
    """Of the papers that the others are compared with; seldom any."""
    kinds = {"hashed": random_sdim, "all": random_hstu_last}
    return [draw(rng, name) for name, draw in kinds.items() if rng.random() < 0.3]


def random_sequences(rng: random.Random, codewords: list[int], codebooks: list[int]) -> list[dict]:
    """Of all kinds, in any order; sometimes one kind alone."""
    sequences = []
    if rng.random() < 0.85:
        sequences.append(random_sequence(rng, "long", codewords, codebooks))
        if rng.random() < 0.25:
            sequences.append(random_sequence(rng, "second", codewords, codebooks))
    if rng.random() < 0.4:
        sequences.append(random_vql(rng, "keys", codewords))
    if not sequences or rng.random() < 0.5:
        sequences.append(random_latest(rng, "short"))
        if rng.random() < 0.2:
            sequences.append(random_latest(rng, "shorter"))
    rng.shuffle(sequences)
    return sequences


def random_searches(rng: random.Random, event: list[dict], candidate: list[dict]) -> list[dict]:
    """Sequences that search the last events; where no two features could be matched, none that matches."""
    pairs = [(e, c) for e in event for c in candidate if (e["kind"], c["kind"]) == ("id", "id")]
    pairs = [(e["name"], c["name"]) for e, c in pairs if e["table"] == c["table"]]
    searches = []
    for kind in ["twin"] * (rng.random() < 0.3) + ["sim_hard"] * (rng.random() < 0.6 and len(pairs) > 0):
        last, attention = rng.randint(1, 60), random_attention(rng, clusters=False)
        while kind == "twin" and attention["kind"] != "dot":
            attention = random_attention(rng, clusters=False)
        searches.append({"name": kind, "kind": kind, "last": last, "top": rng.randint(1, last), "attention": attention})
        if kind == "sim_hard":
            searches[-1]["match"] = dict(zip(("event", "candidate"), rng.choice(pairs), strict=True))
    return searches


def random_config(seed: int, codewords: list[int], codebooks: list[int], sequences: list[dict] | None = None) -> dict:
    """`sequences`: those to use in place of random ones."""
    rng = random.Random(seed)
    while True:
        tables = random_tables(rng)
        quantizers = random_quantizers(rng, tables)
        event = random_features(rng, tables, quantizers, 1, time=True)
        candidate = random_features(rng, tables, quantizers, 1)
        if 4 <= width(event, tables) <= 200 and width(candidate, tables) >= 1:
            break
    user, context = (random_features(rng, tables, quantizers, 0) for _ in range(2))
    if sequences is None:  # the last come from numbers of their own, so that what came before they were stays as it was
        own = random.Random(seed + 10**6)
        sequences = random_sequences(rng, codewords, codebooks) + random_searches(own, event, candidate)
        sequences += random_baselines(own)
        own.shuffle(sequences)
    used = {name for f in event + candidate + user + context for name in f.get("tables", [f.get("table")]) if name}
    return {
        "format": 1, "name": f"random-{seed}", "tables": {name: tables[name] for name in sorted(used)},
        "user": user, "context": context, "event": event, "candidate": candidate, "quantizers": quantizers,
        "sequences": sequences,
        "head": {
            "hidden": rng.choice([[], [5], [32, 17], [64, 33, 16]]), "activation": rng.choice(ACTIVATIONS),
            "outputs": rng.choice([["ctr"], ["ctr"], ["ctr", "like", "share"]]),
        },
    }


def random_int8(seed: int) -> dict[str, str]:
    """What of a model is int8, as the converter's options have it; never nothing."""
    rng = random.Random(seed)
    while True:
        options = {name: rng.choice(["fp32", "int8"]) for name in ("tables", "weights", "state")}
        options["codebook"] = rng.choice(["fp32", "int8", "int8-exact"])
        if set(options.values()) != {"fp32"}:
            return options


def random_shapes(config: dict, seed: int) -> dict[str, tuple[int, ...]]:
    """Shapes that the configuration leaves to the checkpoint: the output projection's width, one bias or one a head."""
    rng, shapes = random.Random(seed), {}
    for sequence in config["sequences"]:
        prefix = f"sequences.{sequence['name']}"
        if sequence["kind"] == "vql":
            if sequence.get("out"):
                shapes[f"{prefix}.vql.out.weight"] = (rng.choice(WIDTHS), sequence["heads"] * sequence["v_dim"])
            continue
        attention = sequence.get("attention", {})
        clusters = sequence["kind"] == "dmqn"
        if attention.get("out"):
            lead = [1 if attention.get("share") else sequence["codebooks"]] if clusters else []
            width_in = attention["heads"] * attention["dim"]
            shapes[f"{prefix}.attention.out.weight"] = (*lead, rng.choice(WIDTHS), width_in)
        if not clusters:
            continue
        hstu = sequence["hstu"]
        n, w = 1 if hstu.get("share") else sequence["codebooks"], sequence["codewords"]
        tail = (2 * w - 1,) if hstu.get("bias") == "toeplitz" else (w, w)
        for layer in range(hstu["layers"]):
            if hstu.get("bias") != "none":
                shapes[f"{prefix}.hstu.{layer}.bias"] = (n, rng.choice([1, hstu["heads"]]), *tail)
    return shapes


def random_module(config: dict, seed: int) -> Ranker:
    """Weights of the size that training leaves: rows N(0, 1), linear layers N(0, 1 / in), norms near 1."""
    generator = torch.Generator().manual_seed(seed)
    module = Ranker(Config.read(config), shapes=random_shapes(config, seed)).eval()
    with torch.no_grad():
        for name, p in module.state_dict().items():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("norm.weight"):
                p.copy_(1 + 0.1 * noise)
            elif name.startswith("quantizers."):
                p.copy_(noise.exp() if name.endswith((".variance", ".weight")) else noise)
            elif name.startswith("tables."):
                p.copy_(noise)
            elif name.endswith(".var"):
                p.copy_(0.1 + noise.square())
            elif name.endswith(".decay"):  # from fast to slow against the times that requests draw
                p.copy_(10 ** (3 * noise.clamp(-1, 1) - 11))
            elif name.endswith(".mix"):
                p.copy_(noise.exp())
            elif name.endswith(".alpha"):
                p.copy_(0.25 + 0.3 * noise)
            elif p.dim() >= 2 and name.endswith(("weight", "projection")):
                p.copy_(noise / p.shape[-1] ** 0.5)
            elif name.endswith("codebook"):
                p.copy_(noise)
            else:
                p.copy_(0.1 * noise)
    return module


def random_id(rng: random.Random, table: dict):
    if table["ids"] == "direct":
        return rng.choice([rng.randrange(table["rows"]), rng.randrange(table["rows"]), table["rows"] + 3, -1])
    if table["ids"] == "hash":
        number = rng.choice([rng.randint(0, 500), -(2**63), 2**63 - 1])
        return rng.choice([number, str(number), f"ключ {number % 100}", ""])
    return rng.choice([*rng.choices(table["keys"], k=4), "no such key", 2**62])


def random_number(rng: random.Random) -> float:
    return rng.choice([rng.uniform(-20, 20), rng.gauss(0, 1), 3])


def random_value(rng: random.Random, feature: dict, config: dict):
    """A value of a feature; null now and then, and empty lists."""
    if rng.random() < 0.15:
        return None
    tables = config["tables"]
    if feature["kind"] == "id":
        return random_id(rng, tables[feature["table"]])
    if feature["kind"] == "ids":
        return [random_id(rng, tables[feature["table"]]) for _ in range(rng.choice([0, 1, 1, 2, 3, 7]))]
    if feature["kind"] == "float":
        return random_number(rng)
    if feature["kind"] == "vector":
        return [rng.gauss(0, 1) for _ in range(feature["dim"] - 1)] + [random_number(rng) / 10]
    if feature["kind"] == "semantic_id":
        scale = rng.choice([0.3, 1, 3])
        return [rng.gauss(0, scale) for _ in range(config["quantizers"][feature["quantizer"]]["dim"])]
    return rng.randint(0, 2**40)


def random_row(rng: random.Random, features: list[dict], config: dict) -> dict:
    row = {}
    for feature in features:
        value = random_value(rng, feature, config)
        if value is not None or rng.random() < 0.5:  # null and absent mean the same
            row[feature["name"]] = value
    return row


def random_request(config: dict, seed: int, events: int, candidates: int) -> dict:
    rng = random.Random(seed)
    request = {
        "id": f"r{seed}",
        "user": random_row(rng, config["user"], config),
        "context": random_row(rng, config["context"], config),
        "events": [random_row(rng, config["event"], config) for _ in range(events)],
        "candidates": [random_row(rng, config["candidate"], config) for _ in range(candidates)],
    }
    return request | ({"time": rng.randint(0, 2**41)} if rng.random() < 0.7 else {})
