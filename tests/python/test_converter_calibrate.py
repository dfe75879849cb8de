"""vqrank-convert --calibrate: its figures against the same computed apart, what it shows when, and what it refuses."""

import json
import math
import re
import sys

import numpy as np
import pytest
from command_support import VQRANK, run
from converter_support import config_with, fake_vqrank, request_of, weights, write

from vqrank_convert import int8
from vqrank_convert.calibrate import Answers, Labels, Variant, measure, rank_correlation, variants
from vqrank_convert.cli import main
from vqrank_convert.int8 import CHOICES, FP32, PRESETS, Int8Options

CONFIG = config_with(head={"outputs": ["ctr", "like"]})
CANDIDATES = 7


@pytest.fixture
def everything_gains(monkeypatch):
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)


@pytest.fixture
def checkpoint(tmp_path):
    return write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))


def labelled(seed, **labels):
    request = request_of(CONFIG, seed, events=80, candidates=CANDIDATES)
    return request | {"id": f"\N{SNOWMAN} {seed}"} | ({"labels": labels} if labels else {})


def requests_file(tmp_path, *requests):
    path = tmp_path / "requests.jsonl"
    text = (r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in requests)
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def calibrate(checkpoint, requests, *options, vqrank=VQRANK):
    target = checkpoint.with_suffix(".vqr")
    return main([str(checkpoint), "-o", str(target), "--vqrank", str(vqrank), "--calibrate", str(requests), *options])


def table(text):
    """The table's cells by the name of their row."""
    lines = text[text.index("calibration: ") :].splitlines()[4:]
    split = [re.split("  +", line.strip()) for line in lines]
    return {name: cells for name, *cells in split}


# ---- figures ----


def ranks(x):
    return [sum(a < b for a in x) + (sum(a == b for a in x) + 1) / 2 for b in x]


def area(truth, scores):
    """The share of pairs of a 1 and a 0 whose scores are in that order, half of one where they are the same."""
    ones, zeros = ([x for t, x in zip(truth, scores, strict=True) if t == wanted] for wanted in (1, 0))
    return sum((a > b) + (a == b) / 2 for a in ones for b in zeros) / (len(ones) * len(zeros))


def expected_row(tmp_path, requests, model, plain):
    """A row's cells after the sizes, from what the command says of two files."""
    copy = tmp_path / "plain.jsonl"
    copy.write_text("".join(json.dumps({k: v for k, v in r.items() if k != "labels"}) + "\n" for r in requests))
    scores, base = (
        [json.loads(x)["outputs"] for x in run("score", m, copy).stdout.splitlines()] for m in (model, plain)
    )
    z, z_base = (
        np.array([json.loads(x)["clusters"]["long"] for x in run("clusters", m, copy).stdout.splitlines()])
        for m in (model, plain)
    )
    pairs = [(own[name], fp32[name]) for own, fp32 in zip(scores, base, strict=True) for name in ("ctr", "like")]
    moved = np.abs(np.subtract(*np.moveaxis(np.array(pairs), 1, 0)))
    rho = np.mean([np.corrcoef(ranks(own), ranks(fp32))[0, 1] for own, fp32 in pairs])
    cells = [f"{(z != z_base).mean():.3%}", f"{moved.max():.2e}", f"{moved.mean():.2e}", f"{rho:.6f}"]
    for name in ("ctr", "like"):
        truth = [t for r in requests for t in r.get("labels", {}).get(name, [None] * CANDIDATES)]
        own, fp32 = (area(truth, [x for answer in found for x in answer[name]]) for found in (scores, base))
        cells += [f"{own:.5f}", f"{own - fp32:+.5f}"]
    return cells


@pytest.mark.usefixtures("everything_gains")
def test_figures(tmp_path, checkpoint, capsys):
    """Of every row: sizes, codewords, differences, ranks, AUC; labels of one output, of both, of none, and nulls."""
    rng = np.random.default_rng(3)
    draw = lambda: [[0, 1, None][i] for i in rng.integers(0, 3, CANDIDATES)]  # noqa: E731
    requests = [labelled(1, ctr=draw(), like=draw()), labelled(2), labelled(3, like=draw()), labelled(4, ctr=draw())]
    source = requests_file(tmp_path, *requests[:2], "", " \r", *requests[2:])
    assert calibrate(checkpoint, source, "--codebook", "int8", "--weights", "int8", "--tables", "int8") == 0
    said = capsys.readouterr().out
    assert f"calibration: 4 requests of {source}, 320 events, 28 candidates" in said.splitlines()
    found = table(said)
    rows = {
        "fp32": [], "codebook int8": ["--codebook", "int8"], "tables int8": ["--tables", "int8"],
        "weights int8": ["--weights", "int8"],
        "together": ["--codebook", "int8", "--tables", "int8", "--weights", "int8"],
    }  # fmt: skip
    assert list(found) == ["option", *rows]
    assert found["option"][2:] == ["changed", "largest", "mean", "rank", "AUC ctr", "by", "AUC like", "by"]
    plain = tmp_path / "fp32.vqr"
    for name, options in rows.items():
        model = tmp_path / f"{name}.vqr"
        assert main([str(checkpoint), "-o", str(model), "--no-golden", "--quiet", *options]) == 0
        state = json.loads(run("inspect", "--json", model).stdout)["state_bytes"]
        assert found[name][:2] == [f"{model.stat().st_size:,}", f"{state:,}"]
        expected = expected_row(tmp_path, requests, model, plain)
        assert name == "fp32" or (expected[1] != "0.00e+00" and expected[0] != "0.000%") or name == "weights int8"
        if name == "fp32":
            expected = ["-", "-", "-", "-", expected[4], "-", expected[6], "-"]
        assert found[name][2:] == expected, name


@pytest.mark.parametrize(
    ("own", "fp32", "rank"),
    [
        ([1, 2, 3], [4, 5, 9], 1.0), ([3, 2, 1], [4, 5, 9], -1.0), ([1, 1, 2], [1, 2, 3], math.sqrt(3) / 2),
        ([1, 1, 1], [1, 2, 3], 0.0), ([1, 2, 3], [2, 2, 2], math.nan), ([5], [6], math.nan), ([], [], math.nan),
    ],
)  # fmt: skip
def test_rank_correlation(own, fp32, rank):
    """That all scores have become the same is the worst that can be, not a request to leave out."""
    np.testing.assert_allclose(rank_correlation(np.array(own, float), np.array(fp32, float)), rank, atol=1e-15)


def answered(*outputs, clusters=None):
    scores = [x if isinstance(x, str) else {"ctr": np.array(x, float)} for x in outputs]
    return Answers(1, 1, scores, clusters or {})


def test_only_what_both_answer_counts(tmp_path):
    labels = Labels(
        tmp_path, [1, 2, 4], [{"ctr": np.array(x)} for x in ([0.0, 1.0], [1.0, 0.0], [math.nan, 1.0])], 3, 6
    )
    z = {1: np.array([[0, 1, 2]]), 2: np.array([[3, 3, 3]]), 4: np.array([[0, 0, 0]])}
    own = answered(
        [0.1, 0.2], "overflow", [0.4, 0.5], clusters={n: {"long": x + (n == 4)} for n, x in z.items() if n != 2}
    )
    fp32 = answered([0.2, 0.1], [0.3, 0.4], [0.1, 0.7], clusters={n: {"long": x} for n, x in z.items() if n != 1})
    found = measure(Variant("x", FP32), own, fp32, labels)
    assert (found.refused, found.changed) == (1, 1.0)
    np.testing.assert_allclose((found.largest, found.mean, found.rank), (0.3, 0.175, 0.0), atol=1e-15)
    np.testing.assert_allclose(found.auc["ctr"], (1.0, 0.5))
    none = measure(Variant("x", FP32), answered("a", "b", "c"), fp32, labels)
    assert none.refused == 3
    assert all(math.isnan(x) for x in (none.changed, none.largest, none.mean, none.rank, *none.auc["ctr"]))


# ---- what is shown ----


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (FP32, ["fp32", "codebook int8", "codebook int8-exact", "tables int8", "weights int8", "state int8",
                "preset server", "preset mobile"]),
        (PRESETS["server"], ["fp32", "codebook int8", "weights int8", "together"]),
        (PRESETS["mobile"], ["fp32", "codebook int8", "tables int8", "weights int8", "state int8", "together"]),
        (Int8Options(state="int8"), ["fp32", "state int8"]),
    ],
)  # fmt: skip
def test_variants(options, names):
    found = variants(options)
    assert [variant.name for variant in found] == names
    assert found[0].options == FP32
    for variant in found[1:]:
        part, _, choice = variant.name.partition(" ")
        limits = {"narrowest": options.narrowest, "fewest": options.fewest}
        alone = Int8Options(**{part: choice}, **limits) if part in CHOICES else None
        assert variant.options == (alone or (options if part == "together" else PRESETS[choice]))


def test_without_labels_and_quiet(tmp_path, checkpoint, capsys):
    """The table stays: it is what was asked for."""
    source = requests_file(tmp_path, labelled(1))
    assert calibrate(checkpoint, source, "--codebook", "int8-exact", "--quiet") == 0
    said, error = capsys.readouterr()
    assert error == "" and said.startswith("calibration: 1 requests") and "AUC" not in said
    assert table(said)["codebook int8-exact"][2:] == ["0.000%", "0.00e+00", "0.00e+00", "1.000000"]
    assert main([str(checkpoint), "-o", str(tmp_path / "x.vqr"), "--no-golden", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_labels_that_are_all_the_same(tmp_path, checkpoint, capsys):
    source = requests_file(tmp_path, labelled(1, ctr=[1, None] * 3 + [1]))
    assert calibrate(checkpoint, source, "--codebook", "int8") == 0
    found = table(capsys.readouterr().out)
    assert found["fp32"][-2:] == found["codebook int8"][-2:] == ["-", "-"]


def test_refused_requests_are_counted(tmp_path, checkpoint, capsys):
    wrong = labelled(2, ctr=[1] * CANDIDATES) | {"user": {"height": 1}}
    source = requests_file(tmp_path, labelled(1, ctr=[0] * CANDIDATES), wrong, labelled(3))
    assert calibrate(checkpoint, source, "--tables", "int8") == 0
    said = capsys.readouterr().out
    assert "  tables int8: 1 requests refused, in fp32 1: left out of the comparison" in said.splitlines()
    assert table(said)["tables int8"][-2:] == ["-", "-"]  # of the labels 1 alone is not there


# ---- what is refused ----


REFUSED = {
    "empty": (["", " "], "SOURCE: expected requests, one JSON object a line, found none"),
    "not JSON": (
        ["{}", "{'id': 1}"],
        "SOURCE, line 2: expected JSON, found text that is not: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
    ),
    "twice": (['{"id": 1, "id": 2}'], 'SOURCE, line 1: expected each key once, found "id" twice'),
    "no object": (["", "[1]"], "SOURCE, line 2: expected an object, found [1]"),
    "labels": ([{"labels": [1]}], "SOURCE, line 1: labels: expected an object of arrays by output, found [1]"),
    "fewer": (
        [labelled(1, ctr=[1, 0])],
        f"SOURCE, line 1: labels.ctr: expected an array of {CANDIDATES}, a label for each candidate, found 2",
    ),
    "no array": (
        [labelled(1, ctr="1")],
        f'SOURCE, line 1: labels.ctr: expected an array of {CANDIDATES}, a label for each candidate, found "1"',
    ),
    "a share": (
        [labelled(1, ctr=[0, 1, None, 0.5, 0, 0, 0])],
        "SOURCE, line 1: labels.ctr[3]: expected 0, 1 or null, found 0.5",
    ),
    "true": (
        [labelled(1, ctr=[True] * CANDIDATES)], "SOURCE, line 1: labels.ctr[0]: expected 0, 1 or null, found true"
    ),
    "unknown output": (
        [labelled(1), labelled(2, cvr=[1] * CANDIDATES)],
        'SOURCE, line 2: labels: expected outputs of the model (ctr, like), found "cvr"',
    ),
    "unknown keys": (
        [{"id": 1, "candidates": [], "users": {}}, {"candidates": []}],
        "SOURCE: expected requests that the model answers, found all 2 refused; line 1: ",
    ),
    "half a surrogate pair": (
        ['{"id": 1, "candidates": [{"item": "\\ud800"}]}'],
        "SOURCE: expected requests that the model answers, found all 1 refused; line 1: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(tmp_path, checkpoint, capsys, case):
    requests, message = REFUSED[case]
    source = requests_file(tmp_path, *requests)
    assert calibrate(checkpoint, source, "--tables", "int8") == 2
    said, error = capsys.readouterr()
    message = f"vqrank-convert: error: {message.replace('SOURCE', str(source))}"
    assert said == "" and (error == f"{message}\n" or (message.endswith(": ") and error.startswith(message)))
    assert error.count("\n") == 1 and not checkpoint.with_suffix(".vqr").exists()


def refusal(checkpoint, capsys, requests, **kwargs):
    assert calibrate(checkpoint, requests, "--tables", "int8", **kwargs) == 2
    assert not checkpoint.with_suffix(".vqr").exists()
    return capsys.readouterr().err


def test_no_file(tmp_path, checkpoint, capsys):
    error = refusal(checkpoint, capsys, tmp_path / "none.jsonl")
    assert "none.jsonl: expected requests, found [Errno 2] No such file or directory" in error
    source = tmp_path / "latin.jsonl"
    source.write_bytes(b'{"id": "\xe9"}')
    assert f"{source}: expected requests, found 'utf-8' codec can't decode" in refusal(checkpoint, capsys, source)


@pytest.mark.parametrize(("module", "name"), [("scipy", "scipy.stats"), ("sklearn", "sklearn.metrics")])
def test_without_the_extra(tmp_path, checkpoint, capsys, monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    error = refusal(checkpoint, capsys, requests_file(tmp_path, labelled(1)))
    assert error.startswith("vqrank-convert: error: --calibrate: expected scipy and scikit-learn, found ")
    assert error.endswith("; pip install scipy scikit-learn\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('{')", "score: expected answers, found Expecting property name"),
        ("sys.exit(1)", "score: expected 1 answers, found 0"),
        ("print('vqrank: no such\\nprocessor', file=sys.stderr); sys.exit(2)",
         "score: expected answers, found vqrank: no such processor"),
        ("import os; os.kill(os.getpid(), 9)", "score: expected answers, found exit status -9"),
    ],
)  # fmt: skip
def test_a_command_that_fails(tmp_path, checkpoint, capsys, body, message):
    vqrank = fake_vqrank(tmp_path / "vqrank", body)
    error = refusal(checkpoint, capsys, requests_file(tmp_path, labelled(1)), vqrank=vqrank)
    assert error.startswith(f"vqrank-convert: error: {vqrank} {message}") and error.count("\n") == 1


def test_no_command(tmp_path, checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = [str(checkpoint), "-o", str(tmp_path / "m.vqr"), "--no-golden", "--calibrate", "requests.jsonl"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "as it answers the requests of --calibrate, found none" in error and "golden" not in error
