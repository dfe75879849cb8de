"""The same trials for every row of the table: each of the data set's settings, on the validation part.

A trial is a quarter of a run with a seed that no run of the table has. The best setting of a row is written into
training/configs/table/*.json by hand: what a table was made with does not change by itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tqdm import tqdm

from vqrank_train.experiments.runs import last_line, run_all
from vqrank_train.experiments.table import load, read_table, slug, spec_of
from vqrank_train.trainer.fit import Trainer

SHARE = 0.25  # of a run's steps
SEED = 100


def folder_of(out: Path, name: str, row: str, setting: str) -> Path:
    """Where a trial lies."""
    return out / "tune" / name / slug(row) / slug(setting)


def run_trial(name: str, data_folder: Path, configs: Path, row: str, setting: str, out: Path) -> None:
    """One trial, in this process; its validation AUC is in the last line of log.jsonl."""
    torch.set_num_threads(1)
    spec = spec_of(read_table(name, configs), row, setting)
    steps = round(spec["training"]["steps"] * SHARE)
    spec["training"] |= {"steps": steps, "validate": steps}
    out.mkdir(parents=True, exist_ok=True)
    Trainer(load(name, data_folder), spec, out, SEED, torch.device("cpu")).run()
    for file in ("state.pt", "model.safetensors"):
        (out / file).unlink()


def tune_lines(name: str, configs: Path, out: Path) -> list[str]:
    """Markdown: validation AUC of every trial that is done; the setting that the config has for a row is marked."""
    table = read_table(name, configs)
    lines = [f"| | {' | '.join(table['settings'])} |", "|---|" + "---|" * len(table["settings"])]
    for row, own in table["rows"].items():
        cells = []
        for setting in table["settings"]:
            log = folder_of(out, name, row, setting) / "log.jsonl"
            auc = f"{json.loads(last_line(log))['auc']:.4f}" if log.exists() else ""
            cells.append(f"**{auc}**" if auc and setting == own["setting"] else auc)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def write_tuning(data: Path, configs: Path, out: Path, names: list[str], jobs: int, only: list[str]) -> list[str]:
    """Run the trials that are missing, `jobs` at a time; returns their table in Markdown."""
    plan = []
    for name in names:
        table = read_table(name, configs)
        for row in table["rows"]:
            for setting in table["settings"]:
                folder = folder_of(out, name, row, setting)
                if (only and row not in only) or (folder / "log.jsonl").exists():
                    continue
                arguments = ["table", "--data", str(data), "--out", str(out), "--trial", name, row, setting]
                plan.append((folder, arguments))
    for (folder, _), done in zip(plan, run_all(plan, jobs), strict=True):
        if done:
            tqdm.write(f"{folder.relative_to(out)}: {json.loads(last_line(folder / 'log.jsonl'))['auc']:.4f}")
    lines = []
    for name in names:
        lines += [f"## {name}, validation", "", *tune_lines(name, configs, out), ""]
    return lines
