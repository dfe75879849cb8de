"""Test moments as requests, and what int8 costs on them: the command scores what the trainer does."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_support import convert_checkpoint
from library import is_sanitized, score_lines
from sklearn.metrics import roc_auc_score
from training_data import write_commits, write_kuairand

from vqrank_train.checkpoint import load_checkpoint, save_checkpoint
from vqrank_train.cli import main as command_line
from vqrank_train.config import Config
from vqrank_train.experiments.config import read_table, spec_of
from vqrank_train.experiments.table import load
from vqrank_train.experiments.table import test_sample as draw_test
from vqrank_train.model import Ranker
from vqrank_train.trainer.inputs import Inputs, fill_template
from vqrank_train.trainer.scoring import score

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "training" / "configs" / "table"
ROWS = [("commits", "DMQN"), ("commits", "DIN, last 50"), ("kuairand", "DMQN")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small data sets, and a run of a model that is as it starts for each of ROWS."""
    made = tmp_path_factory.mktemp("requests")
    write_commits(made)
    write_kuairand(made)
    torch.manual_seed(0)
    for name, row in ROWS:
        data = load(name, made)
        module = Ranker(Config.read(fill_template(spec_of(read_table(name, CONFIGS), row)["model"], data)))
        out = made / name / row.replace(", ", "-").replace(" ", "_") / "0"
        out.mkdir(parents=True)
        save_checkpoint(out / "model.safetensors", module)
    return made


def run_of(folder, name, row):
    return folder / name / row.replace(", ", "-").replace(" ", "_") / "0"


def export(monkeypatch, folder, name, row, *arguments):
    """The requests that the command writes."""
    out = folder / "requests.jsonl"
    given = ["requests", name, str(run_of(folder, name, row)), "--data", str(folder), "--out", str(out), *arguments]
    monkeypatch.setattr(sys, "argv", ["vqrank-train", *given])
    command_line()
    return [json.loads(line) for line in out.read_text().splitlines()]


def expected(folder, name, row, count=None, seed=7):
    """The sample, and the trainer's scores of it."""
    data = load(name, folder)
    test = data.parts()[2]
    sample = draw_test(name, data, test, count, seed)
    module = load_checkpoint(run_of(folder, name, row) / "model.safetensors")
    logits = score(module, Inputs(data, module.config), test, sample)
    return test, sample, 1 / (1 + np.exp(-logits.astype(np.float64)))


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_scores_of_requests_are_the_trainers(folder, monkeypatch, tmp_path, name, row):
    """Of all kinds of features; and labels are the sample's."""
    requests = export(monkeypatch, folder, name, row)
    test, sample, scores = expected(folder, name, row)
    assert np.ptp(scores) > 1e-3
    assert [request["id"] for request in requests] == np.unique(sample.moment).tolist()
    labels = [next(iter(request.pop("labels").values())) for request in requests]
    assert np.concatenate(labels).tolist() == sample.label.tolist()
    model = convert_checkpoint(tmp_path, run_of(folder, name, row) / "model.safetensors")
    found = [json.loads(line) for line in score_lines(model, requests)]
    assert all("error" not in response for response in found)
    values = np.concatenate([next(iter(response["outputs"].values())) for response in found])
    np.testing.assert_allclose(values, scores, rtol=0, atol=1e-5)
    longest = max(len(request["events"]) for request in requests)
    assert longest == (50 if "last 50" in row else test.history[sample.moment].max())


def test_moments_seed_and_labels_are_chosen(folder, monkeypatch):
    requests = export(monkeypatch, folder, *ROWS[0], "--moments", "9", "--seed", "3", "--no-labels")
    _, sample, _ = expected(folder, *ROWS[0], count=9, seed=3)
    assert [request["id"] for request in requests] == np.unique(sample.moment).tolist() and len(requests) == 9
    assert not any("labels" in request for request in requests)
    assert sum(len(request["candidates"]) for request in requests) == len(sample.item)


def test_a_checkpoint_of_another_data_set_is_refused(folder, monkeypatch):
    out = run_of(folder, *ROWS[2])
    given = ["requests", "commits", str(out), "--data", str(folder), "--out", str(folder / "x.jsonl")]
    monkeypatch.setattr(sys, "argv", ["vqrank-train", *given])
    with pytest.raises(SystemExit, match=r"^vqrank-train: error: config\.[^\n]*expected[^\n]*found[^\n]*$"):
        command_line()
    assert not (folder / "x.jsonl").exists()


@pytest.fixture
def script(monkeypatch):
    """bench/int8_auc.py as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import int8_auc

    return int8_auc


@pytest.mark.skipif(is_sanitized(), reason="AddressSanitizer does not let Python load the library")
def test_what_int8_costs(folder, monkeypatch, tmp_path, capsys, script):
    """A run of the script: AUC of fp32 is the trainer's, variants that change nothing have no figure."""
    given = ["--data", str(folder), "--runs", str(folder), "--out", str(tmp_path), "--seeds", "0", "--moments", "0"]
    monkeypatch.setattr(sys, "argv", ["int8_auc.py", *given, "--sets", "commits"])
    script.main()
    text = capsys.readouterr().out
    assert text == (tmp_path / "table.md").read_text() + "\n"
    for name, row in ROWS[:2]:
        _, sample, scores = expected(folder, name, row, count=0)
        found = json.loads((run_of(tmp_path, name, row) / "result.json").read_text())
        assert found["auc"] == pytest.approx(roc_auc_score(sample.label, scores), abs=1e-4)
        variants = found["variants"]
        assert ("codebook" in variants) == (row == "DMQN") and {"tables", "weights", "mobile"} <= set(variants)
        assert 0 < variants["tables"]["largest_score_difference"] < 0.05
        if row == "DMQN":
            assert 0 <= variants["codebook"]["codewords_changed"][0] < 0.5
    before = (tmp_path / "table.json").stat().st_mtime_ns
    monkeypatch.setattr(script, "measure", None)  # finished: not run again
    script.main()
    assert (tmp_path / "table.json").stat().st_mtime_ns > before


def test_standard_errors_are_those_of_a_bootstrap(script):
    rng = np.random.default_rng(1)
    moment = np.repeat(np.arange(300), 8)
    label = (rng.random(len(moment)) < 0.3).astype(int)
    score_ = label + rng.normal(0, 1.5, len(moment)) + np.repeat(rng.normal(0, 1, 300), 8)
    other = np.round(score_ + rng.normal(0, 0.5, len(moment)), 1)  # with ties
    first, second = script.Auc.of(label, score_), script.Auc.of(label, other)
    assert (first.value, second.value) == pytest.approx((roc_auc_score(label, score_), roc_auc_score(label, other)))
    error = np.sqrt(np.square(script.influence(label, second.part - first.part, moment)).sum())
    draws = []
    for _ in range(400):
        index = (rng.integers(0, 300, 300)[:, None] * 8 + np.arange(8)).ravel()
        draws.append(roc_auc_score(label[index], other[index]) - roc_auc_score(label[index], score_[index]))
    assert error == pytest.approx(np.std(draws), rel=0.15)
