"""Writes the plain module as ONNX, the way a user first does: torch.onnx.export with dynamic lengths.

build/peers/venv/bin/python bench/peers/export_plain.py paper.safetensors plain.onnx
"""

import sys
from pathlib import Path

import torch
from torch_modules import Plain
from workload import Workload, draw


def export(checkpoint: Path, path: Path) -> None:
    workload = Workload.load(checkpoint)
    user = draw(workload, 300, 20, seed=1)
    columns = tuple(torch.from_numpy(column) for column in (*user.user, *user.events, *user.candidates))
    rows = {
        "user": None,
        "events": torch.export.Dim("L", min=2, max=1 << 24),
        "candidates": torch.export.Dim("C", min=1, max=1 << 20),
    }
    sizes = [rows["user"]] * len(user.user) + [rows["events"]] * len(user.events)
    sizes += [rows["candidates"]] * len(user.candidates)
    shapes = tuple({0: size} if size is not None else {} for size in sizes)
    torch.onnx.export(
        Plain(workload).eval(), columns, path, dynamo=True, dynamic_shapes={"columns": shapes}, external_data=False
    )


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
