"""What the codes of a quantizer are worth: how they are used, what they lose, and how well they follow labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vqrank_train.model.quantizer import ResidualQuantizer

Codes = npt.NDArray[np.int64]


def measure(
    module: ResidualQuantizer, items: npt.NDArray[np.float32], labels: npt.NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """The report as a JSON object; `labels` [items], whole numbers from 0."""
    config = module.config
    x = torch.from_numpy(items).double()
    exact = ResidualQuantizer(config).double()
    exact.load_state_dict({name: tensor.double() for name, tensor in module.state_dict().items()})
    codes, rmse = np.zeros((len(items), config.levels), np.int64), []
    for level in range(config.levels):
        found, x = exact.step(level, x)
        codes[:, level] = found.numpy()
        rmse.append(root_mean_square(x))
    return {"kind": config.kind, **measure_codes(codes, rmse, config.codes, items, labels)}


def measure_codes(
    codes: Codes,
    rmse: list[float],
    size: int,
    items: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """What is told of any quantizer's codes [items, levels], each below `size`, that leave so much after each level."""
    x = torch.from_numpy(items).double()
    spread = root_mean_square(x - x.mean(0))
    levels = []
    for level, left in enumerate(rmse):
        entry: dict[str, Any] = {**usage(codes[:, level], size)}
        entry |= {"rmse": left, "rmse_of_spread": left / spread if spread > 0 else None}
        if labels is not None:
            entry["purity"] = purity(codes[:, : level + 1], labels)
        levels.append(entry)
    return {
        "codes": size, "dim": items.shape[1], "items": len(items), "levels": levels,
        "unique_ids": len(np.unique(codes, axis=0)) / len(items),
    }  # fmt: skip


def root_mean_square(x: Tensor) -> float:
    """Of all numbers."""
    return float(x.square().mean().sqrt())


def usage(codes: Codes, size: int) -> dict[str, float]:
    """The share of codes that items have, and exp(entropy) of the items' codes as a share of all codes."""
    share = np.bincount(codes, minlength=size) / len(codes)
    used = share[share > 0]
    return {"used": len(used) / size, "perplexity": float(np.exp(-(used * np.log(used)).sum())) / size}


def purity(codes: Codes, labels: npt.NDArray[np.int64]) -> float:
    """The share of items that have the most frequent label of those with the same codes [items, levels so far]."""
    groups = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    pairs, counts = np.unique(np.stack([groups, labels]), axis=1, return_counts=True)
    most = np.zeros(groups.max() + 1, np.int64)
    np.maximum.at(most, pairs[0], counts)
    return float(most.sum()) / len(labels)


def table(report: dict[str, Any]) -> list[str]:
    """The report as aligned lines."""
    labelled = "purity" in report["levels"][0]
    rows = [["level", "codes used", "perplexity / K", "RMSE", "of spread", *(["purity"] if labelled else [])]]
    for number, level in enumerate(report["levels"], 1):
        of_spread = level["rmse_of_spread"]
        rows.append([
            str(number), f"{100 * level['used']:.1f} %", f"{level['perplexity']:.3f}", f"{level['rmse']:.4g}",
            "-" if of_spread is None else f"{of_spread:.3f}", *([f"{level['purity']:.3f}"] if labelled else []),
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    head = f"{report['kind']}, {report['codes']} codes a level, {report['items']:,} items of {report['dim']} numbers"
    return [head, *lines, f"different IDs: {100 * report['unique_ids']:.1f} % of the items"]
