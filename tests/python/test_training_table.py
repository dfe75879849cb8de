"""The table of models on small made-up data: every row is run once, what is there is kept, figures are the runs'."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from training_data import write_commits, write_kuairand

from vqrank_train.experiments.table import BASELINES, load, read_table, run_baseline, spec_of
from vqrank_train.experiments.table import test_sample as draw_test

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "training" / "configs" / "table"
SMALL = {"validation_moments": 20}
KUAIRAND = ("--sets", "kuairand", "--seeds", "0,1", "--row", "popularity", "--row", "DMQN")


def small_configs(folder: Path) -> None:
    """The real tables with runs of a few steps and small codebooks."""
    folder.mkdir()
    for name in BASELINES:
        table = read_table(name, CONFIGS)
        table["training"] |= SMALL | {"batch": 2}
        table["rows"] = {row: table["rows"][row] | {"steps": 8} for row in ("DIN, last 50", "DMQN")}
        table["settings"] = {setting: table["settings"][setting] for setting in list(table["settings"])[:2]}
        for row in table["rows"].values():
            row["setting"] = next(iter(table["settings"]))
        for sequence in table["sequences"].values():
            if sequence["sequence"]["kind"] == "dmqn":
                sequence["sequence"]["codewords"] = 16
        (folder / f"{name}.json").write_text(json.dumps(table), encoding="utf-8")


def command(folder: Path, *arguments: str) -> list[str]:
    """The command on the folder's data and tables."""
    return [
        sys.executable, "-m", "vqrank_train.cli", "table", "--data", str(folder / "data"),
        "--configs", str(folder / "configs"), "--out", str(folder / "out"), *arguments,
    ]  # fmt: skip


def run(folder: Path, *arguments: str) -> str:
    """What the command prints."""
    return subprocess.run(command(folder, *arguments), capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which parts of the table were made, and what was printed for KuaiRand."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "data").mkdir()
    write_commits(folder / "data")
    write_kuairand(folder / "data")
    small_configs(folder / "configs")
    run(folder, "--sets", "commits", "--seeds", "0", "--row", "DMQN", "--row", "logistic counts, both")
    return folder, run(folder, *KUAIRAND)


def results(folder: Path) -> dict[str, dict]:
    """Every result by its place."""
    found = sorted((folder / "out").glob("*/*/*/result.json"))
    return {str(path.parent.relative_to(folder / "out")): json.loads(path.read_text()) for path in found}


def test_every_row_has_every_seed(made):
    folder, text = made
    assert set(results(folder)) == {
        "commits/DMQN/0", "commits/logistic_counts-both/0",
        "kuairand/DMQN/0", "kuairand/DMQN/1", "kuairand/popularity/0", "kuairand/popularity/1",
    }  # fmt: skip
    assert [line.split(" | ")[0].strip("| ") for line in text.splitlines()[4:6]] == ["popularity", "DMQN"]
    assert (folder / "out" / "table.md").read_text() == text


def test_a_cell_is_the_mean_and_the_spread_of_its_seeds(made):
    folder, text = made
    auc = [results(folder)[f"kuairand/DMQN/{seed}"]["auc"][0] for seed in (0, 1)]
    assert auc[0] != auc[1]
    line = next(line for line in text.splitlines() if line.startswith("| DMQN"))
    assert line.split(" | ")[1] == f"{sum(auc) / 2:.4f} ({max(auc) - min(auc):.4f})"


def test_a_bucket_without_moments_has_no_figure(made):
    auc = results(made[0])["commits/DMQN/0"]["auc"]
    assert 0 <= auc[0] <= 1 and np.isnan(auc[-1])  # nobody here has 5,000 events


def test_a_result_is_the_measure_of_the_rows_logits(made):
    data = load("commits", made[0] / "data")
    training, _, test = data.parts()
    sample = draw_test("commits", data, test)
    logits = run_baseline("commits", data, "logistic counts, both", 0, training, test, sample)
    found = results(made[0])["commits/logistic_counts-both/0"]["auc"][0]
    assert found == pytest.approx(roc_auc_score(sample.label, logits))
    assert found > 0.6  # developers here keep to their own files


def test_only_what_is_missing_or_of_another_config_is_run_again(made):
    folder, text = made
    lost, old = (folder / "out" / "kuairand" / name / "0" for name in ("popularity", "DMQN"))
    (lost / "result.json").unlink()
    (old / "spec.json").write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("result.json")}
    assert run(folder, *KUAIRAND) == text
    assert [path.parent for path, time in before.items() if path.stat().st_mtime_ns != time] == [old]
    assert (lost / "result.json").exists()


def test_tuning_tries_every_setting(made):
    folder, _ = made
    text = run(folder, "--tune", "--sets", "kuairand", "--row", "DIN, last 50")
    settings = list(read_table("kuairand", folder / "configs")["settings"])
    row = next(line for line in text.splitlines() if line.startswith("| DIN"))
    cells = [cell.strip(" |") for cell in row.split(" | ")[1:]]
    assert len(cells) == len(settings) and cells[0].startswith("**")
    assert all(0 <= float(cell.strip("*")) <= 1 for cell in cells)


def test_a_run_that_fails_is_told(made):
    folder, _ = made
    table = folder / "configs" / "commits.json"
    text = table.read_text()
    broken = json.loads(text)
    broken["model"]["tables"]["item"]["dim"] = -1
    table.write_text(json.dumps(broken))
    done = subprocess.run(
        command(folder, "--sets", "commits", "--seeds", "5", "--row", "DMQN"), capture_output=True, text=True
    )
    table.write_text(text)
    assert done.returncode == 1
    assert "failed: see" in done.stderr and "1 run failed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--sets", "comits"], "comits"),
        (["--row", "DIMQN"], "DIMQN"),
        (["--seeds", "a"], "--seeds"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_bad_arguments_are_named(made, arguments, named):
    done = subprocess.run(command(made[0], *arguments), capture_output=True, text=True)
    assert done.returncode == 2 and named in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", BASELINES)
def test_every_row_and_setting_of_the_real_tables_is_a_config(name):
    table = read_table(name, CONFIGS)
    for row in table["rows"]:
        for setting in ("", *table["settings"]):
            spec = spec_of(table, row, setting)
            assert spec["training"]["steps"] == table["rows"][row]["steps"]
            assert {s["name"] for s in spec["model"]["sequences"]} <= set(spec["start"])
