"""The comparison of quantizers on small made-up vectors: every cell is run once, figures are the runs'."""

import json
import sys
from functools import partial

import numpy as np
import pytest
import torch
from training_data import WITH_VECTOR, write_kuairand

from vqrank_train.cli import main as command_line
from vqrank_train.config import ConfigError
from vqrank_train.kuairand.vectors import read_codes, read_vectors
from vqrank_train.quantizers import compare
from vqrank_train.quantizers.compare import Cell, cells_of, read_set, row_line, run_one, table_lines
from vqrank_train.quantizers.file import load_quantizer
from vqrank_train.quantizers.kinds import COMPARED_KINDS
from vqrank_train.quantizers.report import measure
from vqrank_train.quantizers.rq_vae import RqVaeOptions

GMM = Cell("graph", "rq_gmm", 2, 2, 0)
ASKED = ("--sets", "graph", "--kinds", "rq_kmeans", "--levels", "2", "--codes", "2", "--seeds", "0,1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set, and one run of every kind in out/."""
    made = tmp_path_factory.mktemp("compare")
    write_kuairand(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "RqVaeOptions", partial(RqVaeOptions, steps=5))
        for kind in COMPARED_KINDS:
            run_one(made, Cell("graph", kind, 2, 2, 0), made / "out")
    return made


def command(folder, monkeypatch, *arguments):
    shared = ["--data", str(folder), "-o", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", ["vqrank-train", "quantizer", "compare", *shared, *arguments])
    command_line()


def test_labels_are_first_tags(folder):
    ids, x, labels = read_set(folder, "graph")
    assert ids == ["999", *map(str, range(WITH_VECTOR))] and x.shape == (WITH_VECTOR + 1, 64)
    assert labels.tolist() == [0, 1, 2, 1, 2]  # 999 is no video, so it has no tag; the others' are "0" and "1" in turn


def test_a_run_leaves_its_codes_and_its_quantizer(folder):
    ids, x = read_vectors(folder / "kuairand-pure", "graph")
    for kind in COMPARED_KINDS:
        own = Cell("graph", kind, 2, 2, 0).folder(folder / "out")
        found_ids, codes = read_codes(own / "codes.npz")
        assert found_ids == ids and codes.shape == (len(ids), 2) and codes.max() < 2
        assert (own / "quantizer.safetensors").exists() == (kind != "rq_vae")
        if kind != "rq_vae":
            _, module = load_quantizer(own / "quantizer.safetensors")
            assert np.array_equal(module.encode(torch.from_numpy(x))[0].numpy(), codes)


def test_a_result_is_the_report_of_its_quantizer(folder):
    _, x, labels = read_set(folder, "graph")
    _, module = load_quantizer(GMM.folder(folder / "out") / "quantizer.safetensors")
    found = json.loads((GMM.folder(folder / "out") / "result.json").read_text())
    assert found.pop("seconds") > 0 and found == measure(module, x, labels)


def test_spherical_is_rq_gmm_with_one_variance(folder):
    spherical = Cell("graph", "rq_gmm_spherical", 2, 2, 0)
    _, module = load_quantizer(spherical.folder(folder / "out") / "quantizer.safetensors")
    assert module.config.kind == "rq_gmm" and module.variance[0, 0].unique().numel() == 1
    _, module = load_quantizer(GMM.folder(folder / "out") / "quantizer.safetensors")
    assert module.variance[0, 0].unique().numel() > 1


def test_the_command_runs_what_is_missing(folder, monkeypatch, capsys):
    kept = Cell("graph", "rq_kmeans", 2, 2, 0).folder(folder / "out") / "result.json"
    before = kept.stat().st_mtime_ns
    command(folder, monkeypatch, *ASKED)
    text = capsys.readouterr().out
    assert kept.stat().st_mtime_ns == before and (folder / "out" / "table.md").read_text() == text
    (line,) = [line for line in text.splitlines() if line.startswith("| 2 x 2")]
    runs = [
        json.loads((Cell("graph", "rq_kmeans", 2, 2, seed).folder(folder / "out") / "result.json").read_text())
        for seed in (0, 1)
    ]
    ids = [run["unique_ids"] for run in runs]
    rmse = [run["levels"][1]["rmse_of_spread"] for run in runs]
    cells = line.split(" | ")
    assert cells[1] == "rq_kmeans" and cells[-1] == "2 |"
    assert cells[4].split(" / ")[1] == f"{sum(rmse) / 2:.3f} ({max(rmse) - min(rmse):.3f})"
    assert cells[6] == f"{sum(ids) / 2:.4f} ({max(ids) - min(ids):.4f})"


def test_results_of_other_settings_are_no_figures(folder, monkeypatch):
    assert row_line([GMM], folder / "out")
    monkeypatch.setattr("vqrank_train.quantizers.fit.ITERATIONS", 7)
    assert row_line([GMM], folder / "out") is None
    assert not [line for line in table_lines([GMM], folder / "out") if "rq_gmm" in line]


def test_a_damaged_result_is_named(folder):
    path = GMM.folder(folder / "out") / "result.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {"levels": []}))
    with pytest.raises(ConfigError, match=r"result\.json: expected figures of 2 levels, found others; remove it"):
        row_line([GMM], folder / "out")
    path.write_text(text)


def test_a_run_that_fails_is_told(folder, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        command(folder, monkeypatch, *ASKED[:6], "--codes", "9", "--seeds", "0")  # more than items
    assert stopped.value.code == "vqrank-train: 1 run failed"
    log = Cell("graph", "rq_kmeans", 2, 9, 0).folder(folder / "out") / "log.txt"
    assert "items: expected at least 9, one per code, found 5" in log.read_text()


def test_every_cell_once():
    cells = cells_of(["a", "b"], ["x", "y"], [2, 3], [64], [0, 1, 2])
    assert len(cells) == len(set(cells)) == 24 and cells[0] == Cell("a", "x", 2, 64, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--sets", "graf"], "argument --sets: expected twotower, graph, found 'graf'"),
        (["--kinds", "rq_vae,rq_vae"], "argument --kinds: expected each once, found 'rq_vae' twice"),
        (["--codes", "0"], "argument --codes: expected an integer from 1 to 2147483647, found '0'"),
        (["--seeds", "1,1"], "argument --seeds: expected each once, found 1 twice"),
    ],
)
def test_bad_arguments_are_named(folder, monkeypatch, capsys, arguments, named):
    with pytest.raises(SystemExit) as stopped:
        command(folder, monkeypatch, *arguments)
    assert stopped.value.code == 2 and capsys.readouterr().err.splitlines()[-1].endswith(named)
