"""Checkpoints for the converter's tests, written from the model specification with safetensors and NumPy alone."""

import copy
import json
import os
import stat
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

# The specification's example (section 7), with small tables.
CONFIG = {
    "format": 1,
    "name": "example",
    "tables": {
        "item": {"rows": 50, "dim": 8, "ids": "direct"},
        "directory": {"rows": 20, "dim": 5, "ids": "direct"},
        "repository": {"rows": 7, "dim": 3, "ids": "direct"},
        "action": {"rows": 6, "dim": 4, "ids": "vocabulary", "keys": ["A", "M", "D", 7, -1]},
    },
    "user": [{"name": "age", "kind": "float", "mean": 30.0, "std": 10.0}],
    "context": [{"name": "repository", "kind": "id", "table": "repository"}],
    "event": [
        {"name": "item", "kind": "id", "table": "item"},
        {"name": "directory", "kind": "id", "table": "directory"},
        {"name": "action", "kind": "id", "table": "action"},
        {"name": "dwell", "kind": "float", "mean": 3.0, "std": 2.0},
        {"name": "time", "kind": "time"},
    ],
    "candidate": [
        {"name": "item", "kind": "id", "table": "item"},
        {"name": "directory", "kind": "id", "table": "directory"},
    ],
    "quantizers": {},
    "sequences": [
        {
            "name": "long",
            "kind": "dmqn",
            "codebooks": 3,
            "codewords": 19,
            "empty": "masked",
            "hstu": {"layers": 1, "heads": 2, "qk_dim": 5, "v_dim": 9},
            "attention": {"kind": "dot", "heads": 3, "dim": 6, "share": True},
        }
    ],
    "head": {"hidden": [20, 11], "activation": "relu", "outputs": ["ctr"]},
}


def config_with(hstu=None, attention=None, sequence=None, head=None, **top):
    """A copy of CONFIG with changes to its parts."""
    config = copy.deepcopy(CONFIG)
    config.update(top)
    config["sequences"][0].update(sequence or {})
    config["sequences"][0]["hstu"].update(hstu or {})
    config["sequences"][0]["attention"].update(attention or {})
    config["head"].update(head or {})
    return config


def width(config, group):
    """Columns of a group's embedding."""
    features = config.get(group, [])
    return sum(
        config["tables"][f["table"]]["dim"] if f["kind"] == "id" else int(f["kind"] == "float") for f in features
    )


def shapes(config, out=None, bias_heads=1):
    """Names and shapes of every tensor that section 7 asks for, optional biases included."""
    result = {f"tables.{name}.weight": (t["rows"], t["dim"]) for name, t in config["tables"].items()}
    d, dc = width(config, "event"), width(config, "candidate")
    s = config["sequences"][0]
    n, w, p = s["codebooks"], s["codewords"], f"sequences.{s['name']}"
    result[f"{p}.projection"], result[f"{p}.codebook"] = (n, d, d), (n, w, d)
    hstu, attention = s["hstu"], s["attention"]
    j = 1 if hstu.get("share") else n
    for layer in range(hstu["layers"]):
        h, dqk, dv = hstu["heads"], hstu["qk_dim"], hstu["v_dim"]
        f1, z = 2 * h * dv + 2 * h * dqk, h * dv * (1 if hstu.get("output", "gated") == "gated" else 3)
        q = f"{p}.hstu.{layer}"
        result[f"{q}.f1.weight"], result[f"{q}.f1.bias"] = (j, f1, d), (j, f1)
        kind = hstu.get("bias", "dense")
        if kind != "none":
            result[f"{q}.bias"] = (j, bias_heads, w, w) if kind == "dense" else (j, bias_heads, 2 * w - 1)
        if hstu.get("affine", True):
            result[f"{q}.norm.weight"] = result[f"{q}.norm.bias"] = (j, h * dv)
            if hstu.get("pre_norm"):
                result[f"{q}.pre_norm.weight"] = result[f"{q}.pre_norm.bias"] = (j, d)
        result[f"{q}.f2.weight"], result[f"{q}.f2.bias"] = (j, d, z), (j, d)
    j = 1 if attention.get("share") else n
    a = attention["heads"] * attention["dim"]
    if type(attention.get("out")) is int:
        out = attention["out"]
    parts = [("q", a, dc), ("k", a, d), ("v", a, d)] + ([("out", out, a)] if out else [])
    for part, outputs, inputs in parts:
        result[f"{p}.attention.{part}.weight"] = (j, outputs, inputs)
        result[f"{p}.attention.{part}.bias"] = (j, outputs)
    x0 = width(config, "user") + width(config, "context") + dc + n * (out or a)
    widths = [x0, *config["head"]["hidden"], len(config["head"]["outputs"])]
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        result[f"head.{layer}.weight"], result[f"head.{layer}.bias"] = (outputs, inputs), (outputs,)
    return result


def weights(config, seed=0, dtype=np.float32, **kwargs):
    """Random tensors, scaled so that outputs stay away from 0 and 1."""
    rng = np.random.default_rng(seed)
    result = {}
    for name, shape in shapes(config, **kwargs).items():
        scale = 1.0 if name.startswith("tables.") else 1.0 / np.sqrt(shape[-1])
        values = rng.standard_normal(shape) * scale
        if name.endswith("norm.weight"):
            values = 1 + 0.1 * values
        result[name] = values.astype(dtype)
    return result


def write(path, config, tensors, text=None):
    """Writes a checkpoint; `text` stands in for the config's JSON."""
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(tensors, str(path), metadata={"vqrank": json.dumps(config) if text is None else text})
    return path


def fake_vqrank(path: Path, body: str) -> Path:
    """An executable that stands in for the command `vqrank`: Python statements with `argv` at hand."""
    path.write_text(f"#!{sys.executable}\nimport sys\nargv = sys.argv[1:]\n{textwrap.dedent(body)}")
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path
