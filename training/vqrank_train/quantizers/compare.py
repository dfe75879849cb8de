"""Quantizers side by side on the item vectors of KuaiRand-Pure: every kind, size and seed.

Each fit is a run with a folder of its own, SET/KIND/LEVELSxCODES/SEED, as the table of models has: a finished one is
not run again. It leaves result.json, the codes of all items as codes.npz and, of kinds that a model can hold, the
quantizer.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vqrank_train.config import ConfigError, Quantizer
from vqrank_train.experiments.runs import RESULT, begin, finished, run_all, say, write_json
from vqrank_train.kuairand.data import FOLDER, first_tag, read_rows
from vqrank_train.kuairand.vectors import read_vectors, write_codes
from vqrank_train.quantizers import fit
from vqrank_train.quantizers.file import save_quantizer
from vqrank_train.quantizers.kinds import RQ_VAE, SPHERICAL
from vqrank_train.quantizers.report import measure, measure_codes, root_mean_square
from vqrank_train.quantizers.rq_vae import RqVaeOptions, fit_rq_vae
from vqrank_train.trainer.spec import read_json

QUANTIZER, CODES = "quantizer.safetensors", "codes.npz"  # of a run, in its folder

LEGEND = (
    "The mean over the seeds, in brackets the highest less the lowest; figures of levels one after the other. Used: "
    "codes that some item has; perplexity / K: exp(entropy) of the items' codes by the number of codes; RMSE of what "
    "the first levels leave of the vectors, of the items' own spread; purity: items whose first tag is the most "
    "frequent of those with the same codes so far; IDs: different ones by items; seconds of processor time of the fit."
)


@dataclass(frozen=True)
class Cell:
    """One fit."""

    vectors: str
    kind: str
    levels: int
    codes: int
    seed: int

    def folder(self, out: Path) -> Path:
        """Where it lies."""
        return out / self.vectors / self.kind / f"{self.levels}x{self.codes}" / str(self.seed)

    def spec(self) -> dict[str, Any]:
        """What the result depends on, the data apart."""
        if self.kind == RQ_VAE:
            return asdict(self) | {"options": asdict(RqVaeOptions())}
        if self.kind == "rq_kmeans":
            return asdict(self)
        return asdict(self) | {"variance_floor": fit.VARIANCE_FLOOR, "iterations": fit.ITERATIONS}


def read_set(data: Path, name: str) -> tuple[list[str], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Ids and vectors of a set, and for each the number of the video's first tag; no tag is one of its own."""
    ids, vectors = read_vectors(data / FOLDER, name)
    tags = {row["video_id"]: first_tag("tag", row["tag"]) for row in read_rows(data, "video_features_basic_pure")}
    return ids, vectors, np.unique([tags.get(own, "") for own in ids], return_inverse=True)[1].reshape(-1)


def run_one(data: Path, cell: Cell, out: Path) -> None:
    """One fit, in this process; writes result.json."""
    torch.set_num_threads(1)
    folder = cell.folder(out)
    begin(folder, cell.spec())
    ids, x, labels = read_set(data, cell.vectors)
    began = time.process_time()
    if cell.kind == RQ_VAE:
        vae = fit_rq_vae(cell.levels, cell.codes, x, cell.seed, RqVaeOptions())
        seconds = time.process_time() - began
        every, left = vae.encode(torch.from_numpy(x))
        codes = every.numpy()
        found = {"kind": RQ_VAE}
        found |= measure_codes(codes, [root_mean_square(r.double()) for r in left], cell.codes, x, labels)
    else:
        kind, covariance = ("rq_gmm", "spherical") if cell.kind == SPHERICAL else (cell.kind, "diagonal")
        config = Quantizer(kind, cell.levels, cell.codes, x.shape[1])
        module = fit.fit_quantizer(config, x, cell.seed, covariance=covariance)
        seconds = time.process_time() - began
        codes = module.encode(torch.from_numpy(x))[0].numpy()
        found = measure(module, x, labels)
        save_quantizer(folder / QUANTIZER, "content", module)
    write_codes(folder / CODES, ids, codes)
    write_json(folder / RESULT, found | {"seconds": seconds})


def read_result(folder: Path, levels: int) -> dict[str, list[float]]:
    """A finished run's figures, by level where there is one of each."""
    path = folder / RESULT
    found = read_json(path)
    try:
        by_level = {key: [float(level[key]) for level in found["levels"]] for key in BY_LEVEL}
        whole = {key: [float(found[key])] for key in ("unique_ids", "seconds")}
    except (KeyError, TypeError, ValueError):
        by_level = whole = {}
    if not whole or any(len(values) != levels for values in by_level.values()):
        raise ConfigError(f"{path}: expected figures of {levels} levels, found others; remove it to run again")
    return by_level | whole


BY_LEVEL = ("used", "perplexity", "rmse_of_spread", "purity")
DIGITS = {"used": 3, "perplexity": 3, "rmse_of_spread": 3, "purity": 3, "unique_ids": 4, "seconds": 1}
HEADS = ("used", "perplexity / K", "RMSE of spread", "purity", "IDs", "seconds")


def figure(values: Sequence[float], digits: int) -> str:
    """Mean and, of several, the range."""
    text = f"{mean(values):.{digits}f}"
    return text + (f" ({max(values) - min(values):.{digits}f})" if len(values) > 1 else "")


def row_line(cells: Sequence[Cell], out: Path) -> str | None:
    """A line of the table: the finished runs among cells that differ by their seed alone; none without one."""
    one = cells[0]
    done = [read_result(cell.folder(out), one.levels) for cell in cells if finished(cell.folder(out), cell.spec())]
    if not done:
        return None
    columns = [
        " / ".join(figure([run[key][i] for run in done], DIGITS[key]) for i in range(len(done[0][key])))
        for key in DIGITS
    ]
    return f"| {one.levels} x {one.codes} | {one.kind} | {' | '.join(columns)} | {len(done)} |"


def rows_of(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Cells that differ by their seed alone, together."""
    rows: dict[tuple[str, int, int, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.vectors, cell.levels, cell.codes, cell.kind), []).append(cell)
    yield from rows.values()


def table_lines(cells: Sequence[Cell], out: Path) -> list[str]:
    """Markdown of what is finished, a table for each set of vectors."""
    lines = [LEGEND, ""]
    for name, own in itertools.groupby(rows_of(cells), lambda row: row[0].vectors):
        lines += [f"## {name}", "", f"| levels x codes | | {' | '.join(HEADS)} | seeds |", "|---|" + "---|" * 8]
        lines += [line for row in own if (line := row_line(row, out))]
        lines.append("")
    return lines


def cells_of(
    sets: Sequence[str], kinds: Sequence[str], levels: Sequence[int], codes: Sequence[int], seeds: Sequence[int]
) -> list[Cell]:
    """Every cell, in the table's order."""
    every = itertools.product(sets, levels, codes, kinds, seeds)
    return [Cell(name, kind, depth, size, seed) for name, depth, size, kind, seed in every]


def compare(data: Path, cells: Sequence[Cell], out: Path, jobs: int) -> tuple[list[str], int]:
    """Run what is missing, `jobs` at a time; returns the table in Markdown, and how many runs failed.

    Seeds go round robin: after the first round every row has a figure.
    """
    missing = [cell for cell in cells if not finished(cell.folder(out), cell.spec())]
    missing.sort(key=lambda cell: cell.seed)  # stable: the table's order within a seed
    shared = ["quantizer", "compare", "--data", str(data), "--out", str(out)]
    plan = [
        (
            cell.folder(out),
            [*shared, "--one", cell.vectors, cell.kind, str(cell.levels), str(cell.codes), str(cell.seed)],
        )
        for cell in missing
    ]
    failed = 0
    for i, done in run_all(plan, jobs):
        failed += not done
        if done and (line := row_line([missing[i]], out)):
            say(f"{missing[i].vectors}: {line}")
    return table_lines(cells, out), failed
