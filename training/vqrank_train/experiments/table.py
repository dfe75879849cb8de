"""One table of models and baselines on two data sets, row by row, over several seeds.

Each run (data set, row, seed) has a folder of its own under `out`: it goes on where it stopped, and one that is
finished has a result.json and is not run again. Runs are processes, so several go side by side on one core each.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from vqrank_train.checkpoint import load_checkpoint
from vqrank_train.commits import baselines as commits_baselines
from vqrank_train.commits.data import BUCKETS, Commits
from vqrank_train.commits.report import (
    LOGISTIC_MOMENTS,
    LOGISTIC_POSITIVES,
    bucket_masks,
    bucket_name,
    draw,
    measured,
)
from vqrank_train.config import ConfigError
from vqrank_train.experiments.config import CONTENT, read_table, rows_of, spec_of
from vqrank_train.experiments.runs import RESULT, begin, finished, last_line, run_all, say, write_json
from vqrank_train.kuairand import baselines as kuairand_baselines
from vqrank_train.kuairand.data import KuaiRand
from vqrank_train.trainer.dataset import Sample
from vqrank_train.trainer.fit import Trainer
from vqrank_train.trainer.inputs import Inputs
from vqrank_train.trainer.quantizers import place
from vqrank_train.trainer.scoring import score
from vqrank_train.trainer.spec import read_json

TEST_MOMENTS = {"commits": 2500, "kuairand": 0, CONTENT: 0}  # scored; 0: all
TEST_SEED = 7  # of the negatives and of the moments: the same for every row and seed
BASELINES = {
    "commits": ("popularity", "logistic counts, last 50", "logistic counts, whole history", "logistic counts, both"),
    "kuairand": (
        "popularity",
        "logistic click rates",
        "logistic click rates, validation too",
        "logistic click rates and counts",
    ),
    CONTENT: (),
}
RARE = 5  # impressions of the training part up to which a video is one of which its id says little
# Parts of the test sample that have a figure of their own.
PARTS = {
    "commits": [bucket_name(*bucket) for bucket in BUCKETS],
    "kuairand": [],
    CONTENT: [f"videos shown up to {RARE} times", "other videos"],
}

EQUAL = ("kuairand",)  # data sets on which a baseline knows no chance: its runs are equal
LEGEND = (
    "AUC on the test part: the mean over the seeds, in brackets the highest less the lowest. There is no bracket for a "
    "single seed, and - in it where runs are equal because nothing in them is drawn: the baselines of kuairand."
)


def load(name: str, data: Path, spec: dict[str, Any] | None = None, files: Path = Path(), seed: int = 0) -> Any:
    """The data set of a table, with the columns of codes that a row's training config names."""
    coded = (spec or {}).get("codes", {})
    found = {key: place(path, f"codes.{key}", files, seed) for key, path in coded.items()}
    return Commits(data) if name == "commits" else KuaiRand(data, found)


def test_sample(name: str, data: Any, test: Any, count: int | None = None, seed: int = TEST_SEED) -> Sample:
    """What is scored of the test moments: of so many at random (0: all), unless told what the table scores."""
    which = draw(test, TEST_MOMENTS[name] if count is None else count, seed + 3)
    return data.sample(test, np.random.default_rng(seed), which)


def parts_of(name: str, data: Any, test: Any, sample: Sample) -> list[np.ndarray]:
    """The parts of a test sample that PARTS names, [S] bool each."""
    if name == "commits":
        return bucket_masks(test.history[sample.moment])
    if name == CONTENT:
        shown = np.bincount(data.training.item, minlength=len(data.candidate["item"]))[sample.item]
        return [shown <= RARE, shown > RARE]
    return []


def run_model(
    data: Any, spec: dict[str, Any], seed: int, out: Path, test: Any, sample: Sample, files: Path
) -> np.ndarray:
    """Train one row with one seed, or go on with it; logits of the test sample by the best checkpoint, [S]."""
    out.mkdir(parents=True, exist_ok=True)
    begin(out, spec)
    trainer = Trainer(data, spec, out, seed, torch.device("cpu"), files)
    if (out / "state.pt").exists():
        trainer.resume()
    trainer.run()
    module = load_checkpoint(out / "model.safetensors")
    (out / "state.pt").unlink()  # finished: only the checkpoint is needed
    return score(module, Inputs(data, module.config, torch.device("cpu"), trainer.quantizers), test, sample)


def run_baseline(name: str, data: Any, row: str, seed: int, training: Any, test: Any, sample: Sample) -> np.ndarray:
    """Logits of the test sample by a baseline, [S]; on commits fitted on a sample that the seed draws."""
    if name == "kuairand":
        return run_kuairand_baseline(data, row, training, test, sample)
    rng = np.random.default_rng(seed + 1)
    fitted = data.sample(training, rng, draw(training, LOGISTIC_MOMENTS, seed + 4), cap=LOGISTIC_POSITIVES)
    if row == "popularity":
        own, other = (
            np.log1p(commits_baselines.popularity(data, moments, drawn))[:, None]
            for moments, drawn in ((training, fitted), (test, sample))
        )
    else:
        own, other = (
            commits_baselines.logistic_inputs(
                row.split(", ")[1],
                commits_baselines.match_counts(data, moments, drawn),
                moments.history[drawn.moment],
            )
            for moments, drawn in ((training, fitted), (test, sample))
        )
    return np.asarray(commits_baselines.fit(own, fitted.label).decision_function(other))


def run_kuairand_baseline(data: Any, row: str, training: Any, test: Any, sample: Sample) -> np.ndarray:
    """Popularity as it is; rates, and matches with the history, in a logistic regression; no chance in any of them."""
    if row == "popularity":
        return kuairand_baselines.popularity(data, sample)
    rows = data.earlier if row.endswith("validation too") else data.training
    rates = kuairand_baselines.Rates(data, rows)
    own, label = rates.training(), rows.click
    other = rates.columns(test, sample)
    if row.endswith("counts"):
        # The training part in the order of its moments, which is what counts come in.
        order = np.lexsort((rows.time, rows.tab, rows.user))
        fitted = data.sample(training, np.random.default_rng(0))
        own, label = own[order], fitted.label
        own = np.column_stack([own, commits_baselines.inputs(kuairand_baselines.match_counts(data, training, fitted))])
        other = np.column_stack([other, commits_baselines.inputs(kuairand_baselines.match_counts(data, test, sample))])
    return np.asarray(commits_baselines.fit(own, label).decision_function(other))


def run_one(name: str, data_folder: Path, configs: Path, row: str, seed: int, out: Path, files: Path) -> None:
    """One run of the table, in this process; writes result.json."""
    torch.set_num_threads(1)
    spec = spec_or_none(name, configs, row)
    data = load(name, data_folder, spec, files, seed)
    training, _, test = data.parts()
    sample = test_sample(name, data, test)
    logits = (
        run_baseline(name, data, row, seed, training, test, sample)
        if spec is None
        else run_model(data, spec, seed, out, test, sample, files)
    )
    out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = dict(measured(sample.label, logits, parts_of(name, data, test, sample)))
    result["seconds"] = json.loads(last_line(out / "log.jsonl"))["seconds"] if (out / "log.jsonl").exists() else 0.0
    write_json(out / RESULT, result)


def slug(name: str) -> str:
    """A name of a row or setting as one of a folder."""
    return name.replace(", ", "-").replace(" ", "_")


def folder_of(out: Path, name: str, row: str, seed: int) -> Path:
    """Where a run lies."""
    return out / name / slug(row) / str(seed)


def read_result(folder: Path) -> tuple[list[float | None], float]:
    """AUC, of all and by bucket, and seconds of a finished run; None, or NaN in older results, is no figure."""
    path = folder / RESULT
    found = read_json(path, nan=True)
    try:
        auc = [None if value is None or math.isnan(value) else float(value) for value in found["auc"]]
        return auc, float(found["seconds"])
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{path}: expected auc and seconds of a run, found others; remove it to run again") from None


def cell(values: list[float | None], equal: bool) -> str:
    """Mean and spread of one figure of several runs, which may be `equal` by their making; empty if one has none."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return ""
    spread = "-" if equal else f"{max(known) - min(known):.4f}"
    return f"{mean(known):.4f}" + (f" ({spread})" if len(known) > 1 else "")


def table_lines(name: str, configs: Path, rows: list[str], seeds: list[int], out: Path) -> list[str]:
    """Markdown, as LEGEND says, of the results that were made with the config as it is."""
    columns = ["all", *PARTS[name]]
    lines = [f"| | {' | '.join(columns)} | seeds | steps | minutes a run |", "|---|" + "---|" * (len(columns) + 3)]
    for row in rows:
        spec = spec_or_none(name, configs, row)
        folders = [folder_of(out, name, row, seed) for seed in seeds]
        found = [read_result(folder) for folder in folders if finished(folder, spec)]
        if not found:
            continue
        equal = spec is None and name in EQUAL
        cells = [cell([auc[i] for auc, _ in found], equal) for i in range(len(columns))]
        steps = f"{spec['training']['steps']:,}" if spec else ""
        minutes = mean(seconds for _, seconds in found) / 60
        lines.append(f"| {row} | {' | '.join(cells)} | {len(found)} | {steps} | {minutes:.1f} |")
    return lines


def spec_or_none(name: str, configs: Path, row: str) -> dict[str, Any] | None:
    """The training config of a row; a baseline has none."""
    return None if row in BASELINES[name] else spec_of(read_table(name, configs), row)


def shared_arguments(data: Path, configs: Path, out: Path, files: Path) -> list[str]:
    """What every process of one table gets."""
    return ["table", "--data", str(data), "--configs", str(configs), "--out", str(out), "--quantizers", str(files)]


def write_table(
    data: Path,
    configs: Path,
    out: Path,
    names: list[str],
    seeds: list[int],
    jobs: int,
    only: list[str],
    files: Path,
) -> tuple[list[str], int]:
    """Run what is missing, `jobs` at a time, telling each row as its runs end; returns the whole in Markdown, and how
    many runs failed.

    Seeds go round robin: after the first round every row has a figure.
    """
    plan = [
        (name, row, seed)
        for seed in seeds
        for name in names
        for row in (*BASELINES[name], *rows_of(name, configs))
        if (not only or row in only) and not finished(folder_of(out, name, row, seed), spec_or_none(name, configs, row))
    ]
    runs = [
        (
            folder_of(out, name, row, seed),
            [*shared_arguments(data, configs, out, files), "--one", name, row, str(seed)],
        )
        for name, row, seed in plan
    ]
    failed = 0
    for i, done in run_all(runs, jobs):
        failed += not done
        if done:
            name, row, _ = plan[i]
            say(f"{name}: {table_lines(name, configs, [row], seeds, out)[-1]}")
    lines = [LEGEND, ""]
    for name in names:
        rows = [*BASELINES[name], *rows_of(name, configs)]
        lines += [f"## {name}", "", *table_lines(name, configs, rows, seeds, out), ""]
    return lines, failed
