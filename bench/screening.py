"""How many panels of 16 codewords the screening of --codebook int8-exact leaves to be computed in fp32.

    build/venv/bin/python bench/screening.py examples/commits/model.safetensors build/demo/requests.jsonl

The bound is that of simd/generic/screen.h, computed here in float64; what is printed is the mean over the events of the
requests' histories, codebook by codebook.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vqrank_convert import reference
from vqrank_convert.checkpoint import round32
from vqrank_convert.config_sequences import DmqnConfig
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.convert import open_checkpoint
from vqrank_convert.fold import fold
from vqrank_convert.int8_rows import rows_to_int8
from vqrank_convert.plan import load
from vqrank_convert.reference_vql import group_keys

F64 = npt.NDArray[np.float64]
PANEL, SLACK = 16, 1.01
EVENTS = 20_000  # of the last requests, at most


def surviving(e: F64, folded: F64, offset: F64 | None, features: int) -> float:
    """Panels of a fold [D, W] that an event of e [L, D] needs, on average."""
    codewords = np.ascontiguousarray(round32(folded.T, "fold"))
    q, steps = rows_to_int8(e.astype(np.float32))
    w, scale = rows_to_int8(codewords)
    own, near = q.astype(np.float64) * steps[:, None], w.astype(np.float64) * scale[:, None].astype(np.float64)
    shift = np.zeros(len(codewords)) if offset is None else offset
    scores = own @ near.T + shift
    panel = np.arange(len(codewords)) // PANEL
    most = [
        np.array([values[panel == p].max() for p in range(panel[-1] + 1)])
        for values in (
            np.linalg.norm(codewords.astype(np.float64), axis=1),
            np.linalg.norm(codewords - near, axis=1),
            np.abs(shift),
        )
    ]
    norm, error, shifts = most
    u, v = np.linalg.norm(e - own, axis=1)[:, None], np.linalg.norm(own, axis=1)[:, None]
    rounding = (e.shape[1] + features + 8) * 2.0**-24
    bound = SLACK * (u * norm + v * error + rounding * ((u + v) * (norm + error) + shifts))
    certain = (scores - bound[:, panel]).max(axis=1, keepdims=True)
    reaches = scores + bound[:, panel] >= certain
    return float(np.mean([reaches[:, panel == p].any(axis=1) for p in range(panel[-1] + 1)]) * (panel[-1] + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    parser.add_argument("requests", metavar="REQUESTS.jsonl", type=Path)
    options = parser.parse_args()
    checkpoint, config = open_checkpoint(options.checkpoint)
    tensors = load(checkpoint, config)
    model = reference.Reference(config, tensors)
    events = [event for line in options.requests.open(encoding="utf-8") for event in json.loads(line)["events"]]
    e = model.inputs.embed_all("event", events[-EVENTS:]).astype(np.float64)
    features = len(config.groups["event"])
    print(f"{len(e):,} events")
    for sequence in config.sequences:
        books: list[tuple[F64, F64 | None]] = []
        if isinstance(sequence, DmqnConfig):
            folds = fold(tensors[f"{sequence.prefix}.projection"], tensors[f"{sequence.prefix}.codebook"])
            books = [(one, None) for one in folds]
        elif isinstance(sequence, VqlConfig):
            weight = tensors[f"{sequence.prefix}.vql.k.weight"]
            for g, group in enumerate(sequence.groups):
                codebook = tensors[f"{sequence.prefix}.vql.groups.{g}.codebook"]
                keys = group_keys(sequence, weight, group)
                books.append((fold(keys.T[None], codebook[None])[0], -(codebook * codebook).sum(axis=1) / 2))
        for j, (folded, offset) in enumerate(books):
            panels = -(-folded.shape[1] // PANEL)
            found = surviving(e, folded, offset, features)
            print(f"{sequence.name}/{j}: {found:.2f} of {panels} panels ({folded.shape[0]} x {folded.shape[1]})")


if __name__ == "__main__":
    main()
