"""Running the command `vqrank` of the build under test, and models for it."""

import json
import subprocess
import sys

import converter_support as support
import numpy as np
import pytest
from library import build_folder

VQRANK = build_folder() / "bin" / "vqrank"


def run(*arguments, stdin="", **kwargs):
    """Runs the command; text in, text out."""
    command = [str(VQRANK), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False, **kwargs)


def lines(*requests):
    """Requests, given as objects or as text, one a line."""
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in requests)


def change_tensor(model, name, value, path):
    """Writes a copy of a model file in which the floats of tensor `name` other than 0 are `value`; returns its path."""
    (tensor,) = [t for t in json.loads(run("inspect", model, "--json").stdout)["tensors"] if t["name"] == name]
    content = bytearray(model.read_bytes())
    floats = np.frombuffer(content, "<f4", tensor["bytes"] // 4, tensor["offset"])
    floats[floats != 0] = value
    path.write_bytes(content)
    return path


def convert_with_infinite_weights(folder):
    """A model that scores, but whose attention's weights overflow: the interests are infinite, and tanh takes that."""
    attention = {"kind": "din", "hidden": [], "activation": "relu"}
    sequence = {"codebooks": 1, "codewords": 1, "attention": attention}
    config = support.config_with(sequence=sequence, hstu={"layers": 0}, head={"hidden": [4], "activation": "tanh"})
    weights = {name: np.abs(tensor) for name, tensor in support.weights(config).items()}
    model = convert(folder, config, weights)
    return change_tensor(model, "sequences.long.attention.mlp.0.event", 3e38, folder / "infinite.vqr")


def convert(folder, config, weights=None, *options):
    """Converts a configuration with random weights (or the given ones), and returns the model file."""
    weights = support.weights(config) if weights is None else weights
    return convert_checkpoint(folder, support.write(folder / "model.safetensors", config, weights), *options)


def convert_checkpoint(folder, checkpoint, *options):
    """Converts a checkpoint; returns the model file."""
    if not VQRANK.exists():
        pytest.fail(f"{VQRANK} is missing: build it first (./demo.sh), or set VQRANK_BUILD")
    command = [sys.executable, "-m", "vqrank_convert", "--vqrank", VQRANK, checkpoint, "-o", folder / "model.vqr"]
    command += options
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "model.vqr"
