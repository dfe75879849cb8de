"""Random configurations, weights and requests that between them turn every switch of the specification."""

import random

import torch

from vqrank_train.config import Config
from vqrank_train.model import Ranker

WIDTHS = [1, 2, 3, 4, 5, 7, 8, 12, 16, 19, 31, 32, 33, 48, 64]


def random_tables(rng: random.Random) -> dict:
    tables = {}
    for i in range(rng.randint(1, 4)):
        rows, dim = rng.choice([1, 2, 7, 50, 300]), rng.choice(WIDTHS)
        if rng.random() < 0.4:
            keys = [rng.choice([k, f"k{k}", -k - 1, f"ключ {k}"]) for k in range(rows)]
            tables[f"t{i}"] = {"rows": rows + 1, "dim": dim, "ids": "vocabulary", "keys": keys}
        else:
            tables[f"t{i}"] = {"rows": rows, "dim": dim, "ids": "direct"}
    return tables


def random_features(rng: random.Random, tables: dict, low: int, time: bool = False) -> list[dict]:
    features = []
    for i in range(rng.randint(low, 4)):
        if rng.random() < 0.25:
            feature = {"name": f"f{i}", "kind": "float"}
            if rng.random() < 0.7:
                feature |= {"mean": rng.uniform(-5, 5), "std": rng.uniform(0.1, 9)}
        else:
            feature = {"name": f"f{i}", "kind": "id", "table": rng.choice(list(tables))}
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
    return sum(tables[f["table"]]["dim"] if f["kind"] == "id" else f["kind"] == "float" for f in features)


def random_sequence(rng: random.Random, name: str, codewords: list[int], codebooks: list[int]) -> dict:
    attention = {"kind": "dot", "heads": rng.randint(1, 4), "dim": rng.choice(WIDTHS[:12]), "share": rng.random() < 0.5}
    if rng.random() < 0.4:
        attention["out"] = True
    if rng.random() < 0.4:
        attention["count_bias"] = True
    return {
        "name": name, "kind": "dmqn", "codebooks": rng.choice(codebooks), "codewords": rng.choice(codewords),
        "empty": rng.choice(["masked", "zero"]), "hstu": random_hstu(rng, rng.choice([0, 1, 1, 2])),
        "attention": attention,
    }


def random_config(seed: int, codewords: list[int], codebooks: list[int]) -> dict:
    rng = random.Random(seed)
    while True:
        tables = random_tables(rng)
        event, candidate = random_features(rng, tables, 1, time=True), random_features(rng, tables, 1)
        if 4 <= width(event, tables) <= 200 and width(candidate, tables) >= 1:
            break
    sequences = [random_sequence(rng, "long", codewords, codebooks)]
    if rng.random() < 0.25:
        sequences.append(random_sequence(rng, "second", codewords, codebooks))
    used = {f["table"] for f in event + candidate if f["kind"] == "id"}
    user, context = random_features(rng, tables, 0), random_features(rng, tables, 0)
    used |= {f["table"] for f in user + context if f["kind"] == "id"}
    return {
        "format": 1, "name": f"random-{seed}", "tables": {name: tables[name] for name in sorted(used)},
        "user": user, "context": context, "event": event, "candidate": candidate, "quantizers": {},
        "sequences": sequences,
        "head": {
            "hidden": rng.choice([[], [5], [32, 17], [64, 33, 16]]), "activation": rng.choice(["relu", "silu"]),
            "outputs": rng.choice([["ctr"], ["ctr"], ["ctr", "like", "share"]]),
        },
    }


def random_shapes(config: dict, seed: int) -> dict[str, tuple[int, ...]]:
    """Shapes that the configuration leaves to the checkpoint: the output projection's width, one bias or one a head."""
    rng, shapes = random.Random(seed), {}
    for sequence in config["sequences"]:
        prefix, attention, hstu = f"sequences.{sequence['name']}", sequence["attention"], sequence["hstu"]
        if attention.get("out"):
            n = 1 if attention.get("share") else sequence["codebooks"]
            width_in = attention["heads"] * attention["dim"]
            shapes[f"{prefix}.attention.out.weight"] = (n, rng.choice(WIDTHS), width_in)
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
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("norm.weight"):
                p.copy_(1 + 0.1 * noise)
            elif name.startswith("tables."):
                p.copy_(noise)
            elif p.dim() >= 2 and name.endswith(("weight", "projection")):
                p.copy_(noise / p.shape[-1] ** 0.5)
            elif name.endswith("codebook"):
                p.copy_(noise)
            else:
                p.copy_(0.1 * noise)
    return module


def random_id(rng: random.Random, table: dict):
    if table["ids"] == "direct":
        return rng.choice([rng.randrange(table["rows"]), rng.randrange(table["rows"]), table["rows"] + 3, -1, None])
    return rng.choice([*rng.choices(table["keys"], k=4), "no such key", 2**62, None])


def random_row(rng: random.Random, features: list[dict], tables: dict) -> dict:
    row = {}
    for feature in features:
        if feature["kind"] == "id":
            value = random_id(rng, tables[feature["table"]])
        elif feature["kind"] == "float":
            value = rng.choice([rng.uniform(-20, 20), rng.gauss(0, 1), 3, None])
        else:
            value = rng.randint(0, 2**40)
        if value is not None or rng.random() < 0.5:  # null and absent mean the same
            row[feature["name"]] = value
    return row


def random_request(config: dict, seed: int, events: int, candidates: int) -> dict:
    rng, tables = random.Random(seed), config["tables"]
    return {
        "id": f"r{seed}",
        "user": random_row(rng, config["user"], tables),
        "context": random_row(rng, config["context"], tables),
        "events": [random_row(rng, config["event"], tables) for _ in range(events)],
        "candidates": [random_row(rng, config["candidate"], tables) for _ in range(candidates)],
    }
