"""Random configurations, weights and requests that between them turn every switch of the specification."""

import random

import torch

from vqrank_train.config import Config
from vqrank_train.model import Ranker

ACTIVATIONS = ["relu", "leaky_relu", "prelu", "silu", "gelu", "tanh", "dice"]
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 12, 16, 19, 31, 32, 33, 48, 64]


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


def random_features(rng: random.Random, tables: dict, low: int, time: bool = False) -> list[dict]:
    features = []
    for i in range(rng.randint(low, 4)):
        kind = rng.choices(["id", "ids", "float", "vector"], [5, 3, 2, 2])[0]
        feature = {"name": f"f{i}", "kind": kind}
        if kind == "float" and rng.random() < 0.7:
            feature |= {"mean": rng.uniform(-5, 5), "std": rng.uniform(0.1, 9)}
        elif kind == "vector":
            feature["dim"] = rng.choice(WIDTHS[:11])
        elif kind in ("id", "ids"):
            feature["table"] = rng.choice(list(tables))
        if kind == "ids":
            feature["pool"] = rng.choice(["sum", "mean"])
        features.append(feature)
    if time and rng.random() < 0.5:
        features.insert(rng.randint(0, len(features)), {"name": "time", "kind": "time"})
    return features


def random_hstu(rng: random.Random, layers: int) -> dict:
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
    return hstu | {name: rng.choice(values) for name, values in switches.items() if rng.random() < 0.7}


def width(features: list[dict], tables: dict) -> int:
    return sum(tables[f["table"]]["dim"] if "table" in f else f.get("dim", f["kind"] == "float") for f in features)


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


def random_config(seed: int, codewords: list[int], codebooks: list[int], sequences: list[dict] | None = None) -> dict:
    """`sequences`: those to use in place of random ones."""
    rng = random.Random(seed)
    while True:
        tables = random_tables(rng)
        event, candidate = random_features(rng, tables, 1, time=True), random_features(rng, tables, 1)
        if 4 <= width(event, tables) <= 200 and width(candidate, tables) >= 1:
            break
    user, context = random_features(rng, tables, 0), random_features(rng, tables, 0)
    used = {f["table"] for f in event + candidate + user + context if "table" in f}
    return {
        "format": 1, "name": f"random-{seed}", "tables": {name: tables[name] for name in sorted(used)},
        "user": user, "context": context, "event": event, "candidate": candidate, "quantizers": {},
        "sequences": random_sequences(rng, codewords, codebooks) if sequences is None else sequences,
        "head": {
            "hidden": rng.choice([[], [5], [32, 17], [64, 33, 16]]), "activation": rng.choice(ACTIVATIONS),
            "outputs": rng.choice([["ctr"], ["ctr"], ["ctr", "like", "share"]]),
        },
    }


def random_shapes(config: dict, seed: int) -> dict[str, tuple[int, ...]]:
    """Shapes that the configuration leaves to the checkpoint: the output projection's width, one bias or one a head."""
    rng, shapes = random.Random(seed), {}
    for sequence in config["sequences"]:
        prefix = f"sequences.{sequence['name']}"
        if sequence["kind"] == "vql":
            if sequence.get("out"):
                shapes[f"{prefix}.vql.out.weight"] = (rng.choice(WIDTHS), sequence["heads"] * sequence["v_dim"])
            continue
        attention = sequence["attention"]
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


def random_value(rng: random.Random, feature: dict, tables: dict):
    """A value of a feature; null now and then, and empty lists."""
    if rng.random() < 0.15:
        return None
    if feature["kind"] == "id":
        return random_id(rng, tables[feature["table"]])
    if feature["kind"] == "ids":
        return [random_id(rng, tables[feature["table"]]) for _ in range(rng.choice([0, 1, 1, 2, 3, 7]))]
    if feature["kind"] == "float":
        return random_number(rng)
    if feature["kind"] == "vector":
        return [rng.gauss(0, 1) for _ in range(feature["dim"] - 1)] + [random_number(rng) / 10]
    return rng.randint(0, 2**40)


def random_row(rng: random.Random, features: list[dict], tables: dict) -> dict:
    row = {}
    for feature in features:
        value = random_value(rng, feature, tables)
        if value is not None or rng.random() < 0.5:  # null and absent mean the same
            row[feature["name"]] = value
    return row


def random_request(config: dict, seed: int, events: int, candidates: int) -> dict:
    rng, tables = random.Random(seed), config["tables"]
    request = {
        "id": f"r{seed}",
        "user": random_row(rng, config["user"], tables),
        "context": random_row(rng, config["context"], tables),
        "events": [random_row(rng, config["event"], tables) for _ in range(events)],
        "candidates": [random_row(rng, config["candidate"], tables) for _ in range(candidates)],
    }
    return request | ({"time": rng.randint(0, 2**41)} if rng.random() < 0.7 else {})
