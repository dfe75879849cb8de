"""The item vectors beside KuaiRand-Pure, which other models learned of its videos, and codes made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_train.errors import DataError
from vqrank_train.trainer.dataset import reading

VECTORS = {"twotower": "twotower_item_embeddings.npz", "graph": "graph_emb_item_embeddings.npz"}


def read_vectors(folder: Path, name: str) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Raw ids of videos and their vectors [videos, n], one of VECTORS: of length 1 in the real files, and left so."""
    path = folder / VECTORS[name]
    with reading(path), np.load(path, allow_pickle=False) as file:
        ids, vectors = file["item_ids"], file["item_vectors"]
    check(path, ids, vectors, "f")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused
        vectors = vectors.astype(np.float32)
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: item_vectors: expected finite numbers, found others")
    return ids.astype(str).tolist(), vectors


def write_codes(path: Path, ids: list[str], codes: npt.NDArray[np.int64]) -> None:
    """Codes [videos, levels] beside the videos' raw ids."""
    np.savez(path, item_ids=np.array(ids, np.int64), codes=codes)


def read_codes(path: Path) -> tuple[list[str], npt.NDArray[np.int64]]:
    """What `write_codes` wrote."""
    with reading(path), np.load(path, allow_pickle=False) as file:
        ids, codes = file["item_ids"], file["codes"]
    check(path, ids, codes, "iu")
    return ids.astype(str).tolist(), codes.astype(np.int64)


def check(path: Path, ids: npt.NDArray[Any], values: npt.NDArray[Any], kind: str) -> None:
    """Refuse what are no different ids of videos with a row of values, floats or integers, each."""
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or len(np.unique(ids)) != len(ids):
        raise DataError(
            f"{path}: item_ids: expected different integers of shape [videos], found {ids.dtype} of shape "
            f"{list(ids.shape)}, {len(np.unique(ids))} different ones"
        )
    if values.ndim != 2 or len(values) != len(ids) or values.dtype.kind not in kind or 0 in values.shape:
        raise DataError(
            f"{path}: expected {'floats' if kind == 'f' else 'integers'} of shape [{len(ids)}, numbers], one row an "
            f"id, found {values.dtype} of shape {list(values.shape)}"
        )
