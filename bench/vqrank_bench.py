"""What the scripts of this folder share: running `vqrank bench`, models of changed configurations, files of figures."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from make_workloads import random_tensor
from safetensors.numpy import save_file

from vqrank_convert.cli import main as convert
from vqrank_convert.config import parse_config
from vqrank_convert.tensors import expected_tensors

Json = dict[str, Any]


def told(vqrank: str, *arguments: str) -> Json:
    """What one run of a command says in JSON; its own complaint, and an exception, where it fails."""
    done = subprocess.run([vqrank, *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def make_model(config: Json, path: Path) -> Path:
    """Writes the model file of a checkpoint's configuration, with the weights that make_workloads.py draws."""
    tensors = {one.name: random_tensor(one.name, one.shapes[0]) for one in expected_tensors(parse_config(config))}
    checkpoint = path.with_suffix(".safetensors")
    save_file(tensors, checkpoint, metadata={"vqrank": json.dumps(config)})
    if convert([str(checkpoint), "-o", str(path), "--quiet", "--no-golden"]) != 0:
        raise SystemExit(f"{checkpoint}: not converted")
    checkpoint.unlink()
    return path


def rounded(value: Any) -> Any:
    """The same with floats of five significant digits: more than any measurement here has."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def write_figures(path: Path, figures: Json) -> None:
    """JSON in which each innermost object is one line: figures are compared by diff."""

    def text(value: Any, indent: str) -> str:
        deep = isinstance(value, dict | list) and any(isinstance(one, dict | list) for one in _members(value))
        if not deep:
            return json.dumps(value)
        inner = indent + " "
        if isinstance(value, list):
            return "[\n" + ",\n".join(inner + text(one, inner) for one in value) + f"\n{indent}]"
        lines = [f"{inner}{json.dumps(key)}: {text(one, inner)}" for key, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(rounded(figures), "") + "\n", encoding="utf-8")


def _members(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)


def local_slopes(x: list[float], y: list[float]) -> list[float]:
    """d log y / d log x between neighbours: 1 where cost is in proportion, 0 where it is flat, far more at a cliff."""
    return [float(slope) for slope in np.diff(np.log(y)) / np.diff(np.log(x))]
