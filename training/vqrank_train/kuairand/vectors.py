"""The item vectors beside KuaiRand-Pure: what other models learned of its videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vqrank_train.errors import DataError
from vqrank_train.trainer.dataset import reading

VECTORS = {"twotower": "twotower_item_embeddings.npz", "graph": "graph_emb_item_embeddings.npz"}


def read_vectors(folder: Path, name: str) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Raw ids of videos and their vectors [videos, n], one of VECTORS.

    The files have unit vectors; times the root of n their numbers have a root mean square of 1, as other inputs have.
    """
    path = folder / VECTORS[name]
    with reading(path), np.load(path, allow_pickle=False) as file:
        ids, vectors = file["item_ids"], file["item_vectors"]
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or len(np.unique(ids)) != len(ids):
        raise DataError(
            f"{path}: item_ids: expected different integers of shape [videos], found {ids.dtype} of shape "
            f"{list(ids.shape)}, {len(np.unique(ids))} different ones"
        )
    if vectors.ndim != 2 or len(vectors) != len(ids) or vectors.dtype.kind != "f" or 0 in vectors.shape:
        raise DataError(
            f"{path}: item_vectors: expected floats of shape [{len(ids)}, numbers], found {vectors.dtype} of shape "
            f"{list(vectors.shape)}"
        )
    scaled = (vectors.astype(np.float64) * np.sqrt(vectors.shape[1])).astype(np.float32)
    if not np.isfinite(scaled).all():
        raise DataError(f"{path}: item_vectors: expected finite numbers, found others")
    return ids.astype(str).tolist(), scaled
