"""A small model with a quantizer of each kind and semantic ids, for the tests of both."""

import numpy as np

CONFIG = {
    "format": 1,
    "name": "content",
    "tables": {
        "item": {"rows": 30, "dim": 6, "ids": "direct"},
        "c0": {"rows": 20, "dim": 4, "ids": "direct"},
        "c1": {"rows": 18, "dim": 3, "ids": "direct"},
        "look0": {"rows": 6, "dim": 5, "ids": "direct"},
        "look1": {"rows": 6, "dim": 5, "ids": "direct"},
        "look2": {"rows": 6, "dim": 5, "ids": "direct"},
    },
    "context": [{"name": "content", "kind": "semantic_id", "quantizer": "content", "tables": ["c0", "c1"],
                 "combine": "concat"}],
    "event": [
        {"name": "item", "kind": "id", "table": "item"},
        {"name": "look", "kind": "semantic_id", "quantizer": "look", "tables": ["look0", "look1", "look2"],
         "combine": "sum"},
        {"name": "content", "kind": "semantic_id", "quantizer": "content", "tables": ["c0", "c1"],
         "combine": "concat"},
    ],
    "candidate": [
        {"name": "item", "kind": "id", "table": "item"},
        {"name": "content", "kind": "semantic_id", "quantizer": "content", "tables": ["c0", "c1"],
         "combine": "concat"},
    ],
    "quantizers": {
        "content": {"kind": "rq_gmm", "levels": 2, "codes": 17, "dim": 9},
        "look": {"kind": "rq_kmeans", "levels": 3, "codes": 5, "dim": 4},
    },
    "sequences": [{"name": "long", "kind": "dmqn", "codebooks": 2, "codewords": 7, "hstu": {"layers": 0},
                   "attention": {"kind": "dot", "heads": 2, "dim": 4, "share": True}}],
    "head": {"hidden": [8], "activation": "relu", "outputs": ["ctr"]},
}  # fmt: skip
D, DC, X = 6 + 5 + 7, 6 + 7, 7


def tensors_of(config, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {f"tables.{name}.weight": (table["rows"], table["dim"]) for name, table in config["tables"].items()}
    for name, q in config["quantizers"].items():
        full = (q["levels"], q["codes"], q["dim"])
        shapes[f"quantizers.{name}.mean"] = full
        if q["kind"] == "rq_gmm":
            shapes |= {f"quantizers.{name}.variance": full, f"quantizers.{name}.weight": full[:2]}
    shapes |= {"sequences.long.projection": (2, D, D), "sequences.long.codebook": (2, 7, D)}
    for part, width in (("q", DC), ("k", D), ("v", D)):
        shapes[f"sequences.long.attention.{part}.weight"] = (1, 8, width)
    shapes |= {"head.0.weight": (8, X + DC + 16), "head.1.weight": (1, 8)}
    result = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape)
        if name.endswith(("variance", "content.weight")) and name.startswith("quantizers"):
            values = np.exp(values)
        result[name] = values.astype(np.float32)
    return result
