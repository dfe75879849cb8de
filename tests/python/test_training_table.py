"""The table of models on small made-up data: every row is run once, what is there is kept, figures are the runs'."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from converter_support import set_at
from sklearn.metrics import roc_auc_score
from training_data import write_commits, write_kuairand

from vqrank_train.checkpoint import read_checkpoint
from vqrank_train.cli import main as command_line
from vqrank_train.config import Config, ConfigError
from vqrank_train.experiments.config import DATA_SETS, check_table, read_table, spec_of
from vqrank_train.experiments.runs import begin, finished, run_all
from vqrank_train.experiments.table import BASELINES, load, run_baseline, table_lines
from vqrank_train.experiments.table import test_sample as draw_test
from vqrank_train.experiments.tune import folder_of as trial_folder
from vqrank_train.experiments.tune import tune_lines
from vqrank_train.kuairand.vectors import write_codes
from vqrank_train.model import Ranker
from vqrank_train.trainer.inputs import Inputs, fill_template
from vqrank_train.trainer.plan import check_plan
from vqrank_train.trainer.quantizers import place
from vqrank_train.trainer.spec import check_options

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "training" / "configs" / "table"
SMALL = {"validation_moments": 20}
KUAIRAND = ("--sets", "kuairand", "--seeds", "0,1", "--row", "popularity", "--row", "DMQN")


def small_configs(folder: Path) -> None:
    """The real tables with runs of a few steps and small codebooks."""
    folder.mkdir()
    for name in DATA_SETS:
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
    assert [line.split(" | ")[0].strip("| ") for line in text.splitlines()[6:8]] == ["popularity", "DMQN"]
    assert (folder / "out" / "table.md").read_text() == text


def test_a_cell_is_the_mean_and_the_spread_of_its_seeds(made):
    folder, text = made
    auc = [results(folder)[f"kuairand/DMQN/{seed}"]["auc"][0] for seed in (0, 1)]
    assert auc[0] != auc[1]
    line = next(line for line in text.splitlines() if line.startswith("| DMQN"))
    assert line.split(" | ")[1] == f"{sum(auc) / 2:.4f} ({max(auc) - min(auc):.4f})"
    assert line.split(" | ")[2:4] == ["2", "8"]  # seeds, steps


def test_a_cell_without_a_spread(made):
    """Of one run, and of runs that are equal whatever their seeds."""
    folder, text = made
    single = table_lines("kuairand", folder / "configs", ["DMQN"], [1], folder / "out")[-1]
    assert single.split(" | ")[1] == f"{results(folder)['kuairand/DMQN/1']['auc'][0]:.4f}"
    popularity = next(line for line in text.splitlines() if line.startswith("| popularity"))
    auc = [results(folder)[f"kuairand/popularity/{seed}"]["auc"][0] for seed in (0, 1)]
    assert auc[0] == auc[1] and popularity.split(" | ")[1] == f"{auc[0]:.4f} (-)"
    assert "in brackets the highest less the lowest" in text.splitlines()[0]


def test_a_bucket_without_moments_has_no_figure(made):
    folder, _ = made
    auc = results(folder)["commits/DMQN/0"]["auc"]
    assert 0 <= auc[0] <= 1 and auc[-1] is None  # nobody here has 5,000 events
    path = folder / "out" / "commits" / "DMQN" / "0" / "result.json"
    text, lines = path.read_text(), table_lines("commits", folder / "configs", ["DMQN"], [0], folder / "out")
    assert lines[-1].split(" | ")[len(auc)] == ""
    path.write_text(text.replace("null", "NaN"))  # as older results have it
    older = table_lines("commits", folder / "configs", ["DMQN"], [0], folder / "out")
    path.write_text(text)
    assert older == lines


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
    # Until it is run again it is no figure of the table.
    current = table_lines("kuairand", folder / "configs", ["DMQN"], [0, 1], folder / "out")
    assert current == table_lines("kuairand", folder / "configs", ["DMQN"], [1], folder / "out")
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
    (trial_folder(folder / "out", "kuairand", "DIN, last 50", settings[1]) / "spec.json").write_text("{}")
    row = next(line for line in tune_lines("kuairand", folder / "configs", folder / "out") if line.startswith("| DIN"))
    assert [cell.strip(" |") for cell in row.split(" | ")[1:]] == [cells[0], "", *cells[2:]]


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
        (["--sets", "comits"], "--sets: expected commits, kuairand, content, found 'comits'"),
        (["--sets", "commits,commits"], "--sets: expected each once, found 'commits' twice"),
        (["--row", "DIMQN"], "found 'DIMQN'"),
        (["--row", "DMQN", "--row", "DMQN"], "--row: expected each once, found 'DMQN' twice"),
        (["--tune", "--row", "popularity"], "--row: expected DIN, last 50, DMQN, found 'popularity'"),
        (["--seeds", "0,a"], "argument --seeds: expected an integer from 0 to 2147483647, found 'a'"),
        (["--seeds", "1,-1"], "argument --seeds: expected an integer from 0 to 2147483647, found '-1'"),
        (["--seeds", "0,1,0"], "--seeds: expected each once, found 0 twice"),
        (["--seeds", "0,100"], "--seeds: expected others than 100, which is that of --tune, found 100"),
        (["--jobs", "0"], "argument --jobs: expected an integer from 1 to 2147483647, found '0'"),
    ],
)
def test_bad_arguments_are_named(made, monkeypatch, capsys, arguments, named):
    monkeypatch.setattr(sys, "argv", command(made[0], *arguments)[2:])
    with pytest.raises(SystemExit) as stopped:
        command_line()
    usage, *_, last = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and last.endswith(named)
    assert " table " in usage and " table: error: " in last


@pytest.mark.parametrize("name", BASELINES)
def test_every_row_and_setting_of_the_real_tables_is_a_config(made, name):
    table = read_table(name, CONFIGS)
    for entry in table.get("content", {}).values():
        for path in entry.get("codes", {}).values():
            file = place(path, "codes", made[0], 0)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_codes(file, ["0", "1"], np.zeros((2, 3), np.int64))
    for row in table["rows"]:
        data = load(name, made[0] / "data", spec_of(table, row), made[0])
        for setting in ("", *table["settings"]):
            spec = spec_of(table, row, setting)
            config = Config.read(fill_template(spec["model"], data))
            Inputs(data, config, quantizers=Ranker(config).quantizers).context(data.parts()[0].context)
            check_plan(config, spec["start"])
            check_options(spec["training"])
            assert spec["training"]["steps"] == table["rows"][row]["steps"]


DMQN = ("rows", "DMQN")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("rows",), ..., "the table.rows: expected this required key"),
        (("data",), "comits", 'data: expected "commits", as the file is named, found "comits"'),
        (("model", "head"), ..., "model.head: expected an object, found null"),
        (("trial_share",), 2, "trial_share: expected a number above 0, at most 1, found 2"),
        (("trial_share",), 1e-6, "rows.*: training.steps: expected an integer of at least 1, found 0"),
        (("training",), [], r"training: expected an object, found \[\]"),
        (("training", "batsh"), 1, 'rows.*: training: expected steps, .*, found "batsh"'),
        (("sequences", "hstu", "start"), ..., "sequences.hstu.start: expected this required key"),
        (("sequences", "hstu", "sequence", "name"), 1, "sequences.hstu.sequence.name: expected a name"),
        (("settings", "rate 0.001"), 3, "settings.rate 0.001: expected an object, found 3"),
        ((*DMQN, "steps"), "8", 'rows.DMQN: training.steps: expected an integer of at least 1, found "8"'),
        ((*DMQN, "sequences", 0), "hsut", 'rows.DMQN.sequences: expected one of short, .*, found "hsut"'),
        ((*DMQN, "setting"), "fast", 'rows.DMQN.setting: expected one of rate 0.0003, .*, found "fast"'),
        ((*DMQN, "width"), 1, 'rows.DMQN: expected sequences, hidden, steps, setting, content, without, found "width"'),
        ((*DMQN, "content"), "vectors", 'rows.DMQN.content: expected one of , found "vectors"'),
        ((*DMQN, "without"), ["itme"], 'rows.DMQN.without: expected one of item, .*, found "itme"'),
        ((*DMQN, "without"), "item", 'rows.DMQN.without: expected an array, found "item"'),
        (("content",), {"a": {}}, "content.a.features: expected this required key"),
        (("content",), {"a": {"features": {}}}, "content.a.features: expected an array"),
        (("content",), {"a": {"features": [], "files": []}}, r"content.a.files: expected an object, found \[\]"),
    ],
)
def test_a_damaged_table_is_refused(path, value, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        check_table(set_at(read_table("commits", CONFIGS), path, value), "commits")


def test_a_row_of_content_takes_its_files_by_seed(made):
    folder, _ = made
    own = json.loads((CONFIGS / "content.json").read_text())
    row = own["rows"]["graph RQ-VAE only"] | {"steps": 8}
    table = own | {"rows": {"codes": row}, "training": read_table("kuairand", folder / "configs")["training"]}
    (folder / "configs" / "content.json").write_text(json.dumps(table))
    path = place(own["content"]["graph RQ-VAE"]["codes"]["content"], "codes", folder, 3)
    path.parent.mkdir(parents=True)
    write_codes(path, ["0", "1"], np.array([[5, 6, 7], [8, 6, 7]]))
    text = run(folder, "--sets", "content", "--seeds", "3", "--quantizers", str(folder))
    head, _, line = text.splitlines()[4:7]
    assert head.startswith("| | all | videos shown up to 5 times | other videos |") and line.startswith("| codes |")
    config, _ = read_checkpoint(folder / "out" / "content" / "codes" / "3" / "model.safetensors")
    assert config["tables"]["content0"]["keys"] == ["5", "8"] and "item" not in config["tables"]


def test_a_table_on_another_ones_base(tmp_path):
    small_configs(tmp_path / "configs")
    path = tmp_path / "configs" / "content.json"
    path.write_text(json.dumps({"base": "kuairand", "data": "content", "trial_share": 0.5}))
    own, base = read_table("content", tmp_path / "configs"), read_table("kuairand", tmp_path / "configs")
    assert own == base | {"data": "content", "trial_share": 0.5}
    path.write_text(json.dumps({"base": "content"}))
    with pytest.raises(ConfigError, match=r'content\.json: base: expected one of commits, kuairand, found "content"'):
        read_table("content", tmp_path / "configs")


@pytest.mark.parametrize("text", ["", "{", '{"auc": 1}'])
def test_damaged_files_of_runs_are_named(tmp_path, text):
    folder = tmp_path / "kuairand" / "popularity" / "0"
    begin(folder, {"a": 1})
    (folder / "result.json").write_text(text)
    with pytest.raises(ConfigError, match=r"result\.json: expected [^\n]*$"):
        table_lines("kuairand", CONFIGS, ["popularity"], [0], tmp_path)
    if text != '{"auc": 1}':
        (folder / "spec.json").write_text(text)
        with pytest.raises(ConfigError, match=r"spec\.json: expected JSON, found [^\n]*; remove the folder[^\n]*$"):
            finished(folder, {"a": 1})


def test_a_spec_is_replaced_whole(tmp_path, monkeypatch):
    begin(tmp_path / "run", {"a": 1})

    def stopped(path, *_):
        Path(path).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path / "run", {"a": 2})
    assert json.loads((tmp_path / "run" / "spec.json").read_text()) == {"a": 1}


def test_runs_are_told_as_they_end(monkeypatch, tmp_path):
    """The first of the plan waits until the second was told."""
    told = threading.Event()

    def process(command, **_):
        failed = command[-1] == "slow" and not told.wait(5)
        return subprocess.CompletedProcess(command, int(failed or command[-1] == "fails"))

    monkeypatch.setattr("vqrank_train.experiments.runs.subprocess.run", process)
    plan = [(tmp_path / name, [name]) for name in ("slow", "fails")]
    found = []
    for i, done in run_all(plan, 2):
        found.append((i, done))
        told.set()
    assert found == [(1, False), (0, True)]
