"""Running the command `vqrank` of the build under test, and models for it."""

import json
import subprocess
import sys

import converter_support as support
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


def convert(folder, config, weights=None):
    """Converts a configuration with random weights (or the given ones), and returns the model file."""
    if not VQRANK.exists():
        pytest.fail(f"{VQRANK} is missing: build it first (./demo.sh), or set VQRANK_BUILD")
    weights = support.weights(config) if weights is None else weights
    checkpoint = support.write(folder / "model.safetensors", config, weights)
    command = [sys.executable, "-m", "vqrank_convert", "--vqrank", VQRANK, checkpoint, "-o", folder / "model.vqr"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "model.vqr"
