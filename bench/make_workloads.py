"""Makes the model files that docs/bench.md measures: the configurations of bench/workloads with random weights.

    build/venv/bin/python bench/make_workloads.py build/bench

Weights are the same on every machine. Their sizes are those that training leaves: rows and codewords N(0, 1), linear
layers N(0, 1 / inputs), so that events spread over the clusters and outputs stay away from 0 and 1. Workloads whose
events have items with a category are converted once more, into NAME-stored.vqr, with the codewords of all items:
NAME-items.jsonl gives each item a category.
"""

import argparse
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from vqrank_convert.cli import main as convert
from vqrank_convert.config import parse_config
from vqrank_convert.tensors import expected_tensors

WORKLOADS = Path(__file__).parent / "workloads"
# Of which the codewords of items are stored too.
STORED = ("paper", "vql", "mobile")


def random_tensor(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The tensor of this name: its seed is the name, so that one more tensor changes none of the others."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    if name.endswith("norm.weight"):
        return (1 + 0.1 * values).astype(np.float32)
    if name.startswith("tables.") or name.endswith(".codebook"):
        return values
    return (values / np.sqrt(shape[-1])).astype(np.float32)


def write_items(path: Path, tables: dict[str, dict[str, int]]) -> None:
    """A category for each item, drawn evenly."""
    items, categories = tables["item"]["rows"], tables["category"]["rows"]
    drawn = np.random.default_rng(zlib.crc32(b"categories of items")).integers(categories, size=items)
    lines = (json.dumps({"item": item, "category": int(category)}) for item, category in enumerate(drawn))
    path.write_text("".join(f"{line}\n" for line in lines))


def make_workload(path: Path, folder: Path) -> int:
    """Writes checkpoint and model files of one configuration into `folder`; returns the converter's exit status."""
    raw = json.loads(path.read_text())
    tensors = {entry.name: random_tensor(entry.name, entry.shapes[0]) for entry in expected_tensors(parse_config(raw))}
    checkpoint = folder / f"{path.stem}.safetensors"
    save_file(tensors, checkpoint, metadata={"vqrank": json.dumps(raw)})
    status = convert([str(checkpoint), "-o", str(folder / f"{path.stem}.vqr"), "--quiet"])
    if path.stem not in STORED:
        return status
    items = folder / f"{path.stem}-items.jsonl"
    write_items(items, raw["tables"])
    stored = folder / f"{path.stem}-stored.vqr"
    return max(status, convert([str(checkpoint), "-o", str(stored), "--assignments", str(items), "--quiet"]))


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Makes the model files that docs/bench.md measures: bench/workloads/*.json with random weights.",
        epilog="example: build/venv/bin/python bench/make_workloads.py build/bench",
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        help="where to write NAME.safetensors, NAME.vqr and, of some, NAME-stored.vqr",
    )
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    return max(make_workload(path, folder) for path in sorted(WORKLOADS.glob("*.json")))


if __name__ == "__main__":
    sys.exit(main())
