"""The same trials for every row of the table: each of the data set's settings, on the validation part.

A trial is a run, or `trial_share` of its steps, with a seed that no run of the table has. The best setting of a row is
written into training/configs/table/*.json by hand: what a table was made with does not change by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vqrank_train.config import ConfigError
from vqrank_train.experiments.config import read_table, spec_of
from vqrank_train.experiments.runs import RESULT, begin, finished, run_all, say, write_json
from vqrank_train.experiments.table import load, shared_arguments, slug
from vqrank_train.trainer.fit import Trainer
from vqrank_train.trainer.spec import read_json

WARM_UP = 12  # steps, of trials
SEED = 100


def folder_of(out: Path, name: str, row: str, setting: str) -> Path:
    """Where a trial lies."""
    return out / "tune" / name / slug(row) / slug(setting)


def trial_spec(table: dict[str, Any], row: str, setting: str) -> dict[str, Any]:
    """The training config of a trial: a run's with the table's share of its steps, and a shorter warm-up."""
    spec = spec_of(table, row, setting)
    steps = max(1, round(spec["training"]["steps"] * table["trial_share"]))
    spec["training"] |= {"steps": steps, "validate": steps, "warm_up": WARM_UP}
    return spec


def run_trial(name: str, data_folder: Path, configs: Path, row: str, setting: str, out: Path, files: Path) -> None:
    """One trial, in this process; writes result.json: its validation AUC."""
    torch.set_num_threads(1)
    spec = trial_spec(read_table(name, configs), row, setting)
    begin(out, spec)
    auc = Trainer(load(name, data_folder, spec, files, SEED), spec, out, SEED, torch.device("cpu"), files).run()
    write_json(out / RESULT, {"auc": auc})
    for file in ("state.pt", "model.safetensors"):
        (out / file).unlink()


def auc_of(folder: Path) -> float:
    """Validation AUC of a finished trial."""
    path = folder / RESULT
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("auc"), float):
        raise ConfigError(f"{path}: expected the auc of a trial, found none; remove the file to run it again")
    return float(found["auc"])


def tune_lines(name: str, configs: Path, out: Path) -> list[str]:
    """Markdown: validation AUC of every trial that is done with the config as it is; a row's own setting is marked."""
    table = read_table(name, configs)
    lines = [f"| | {' | '.join(table['settings'])} |", "|---|" + "---|" * len(table["settings"])]
    for row, own in table["rows"].items():
        cells = []
        for setting in table["settings"]:
            folder = folder_of(out, name, row, setting)
            auc = f"{auc_of(folder):.4f}" if finished(folder, trial_spec(table, row, setting)) else ""
            cells.append(f"**{auc}**" if auc and setting == own["setting"] else auc)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def write_tuning(
    data: Path, configs: Path, out: Path, names: list[str], jobs: int, only: list[str], files: Path
) -> tuple[list[str], int]:
    """Run the trials that are missing, `jobs` at a time; returns their table in Markdown, and how many failed."""
    plan = []
    for name in names:
        table = read_table(name, configs)
        for row in table["rows"]:
            for setting in table["settings"]:
                folder = folder_of(out, name, row, setting)
                if (only and row not in only) or finished(folder, trial_spec(table, row, setting)):
                    continue
                plan.append((folder, [*shared_arguments(data, configs, out, files), "--trial", name, row, setting]))
    failed = 0
    for i, done in run_all(plan, jobs):
        failed += not done
        if done:
            folder = plan[i][0]
            say(f"{folder.relative_to(out)}: {auc_of(folder):.4f}")
    lines = []
    for name in names:
        lines += [f"## {name}, validation", "", *tune_lines(name, configs, out), ""]
    return lines, failed
