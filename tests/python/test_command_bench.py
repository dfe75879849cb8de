"""`vqrank bench` runs and says what it measured. How long anything takes is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

import converter_support as support
import numpy as np
import pytest
from command_support import VQRANK, convert, run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("bench"), support.CONFIG)


def test_json(model):
    done = run("bench", model, "--events", "0,30", "--candidates", "1,5", "--seconds", "0", "--isa", "ref", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["model"], told["isa"], told["seconds"]) == ("example", "ref", 0)
    stages = [(r["stage"], r["events"], r.get("candidates")) for r in told["results"]]
    each = [("append", None), ("refresh", None), ("score", 1), ("score", 5)]
    assert stages == [(stage, events, candidates) for events in (0, 30) for stage, candidates in each]
    for result in told["results"]:
        quartiles = [result[key] for key in ("least_ms", "lower_quartile_ms", "median_ms", "upper_quartile_ms")]
        assert result["repeats"] >= 5 and quartiles == sorted(quartiles) and quartiles[0] >= 0


def test_vql(tmp_path):
    """Synthetic histories have the times that decay asks for."""
    fading = convert(tmp_path, support.config_of_vql(decay_terms=2))
    done = run("bench", fading, "--events", "0,300", "--candidates", "3", "--seconds", "0", "--json")
    assert (done.returncode, done.stderr) == (0, "") and len(json.loads(done.stdout)["results"]) == 6


def test_table(model):
    done = run("bench", model, "--events", "1000", "--candidates", "1,2000", "--seconds", "0")
    assert (done.returncode, done.stderr) == (0, "")
    heading, columns, *rows = done.stdout.splitlines()
    assert heading.startswith("example, instruction set ") and columns.split()[:3] == ["events", "stage", "median"]
    assert [row[14:40].strip() for row in rows] == ["append", "refresh", "score 1 candidate", "score 2,000 candidates"]
    assert rows[0].startswith("       1,000  append ")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--events", "x"), ("--events", "5,,6"), ("--events", "99999999"), ("--events", "-5"), ("--candidates", "0"),
     ("--candidates", ",".join(["1"] * 17)), ("--seconds", "-1"), ("--seconds", "nan")],
)  # fmt: skip
def test_unusable(model, option, value):
    done = run("bench", model, f"{option}={value}")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("vqrank: ") and done.stderr.count("\n") == 1 and option in done.stderr


def test_a_damaged_vocabulary_is_refused(model, tmp_path):
    """Histories are drawn from the file's keys: one that points outside the text must not be followed."""
    told = json.loads(run("inspect", model, "--json").stdout)
    (keys,) = [t for t in told["tensors"] if t["name"] == "tables.action.keys"]
    content, broken = bytearray(model.read_bytes()), tmp_path / "broken.vqr"
    content[keys["offset"] : keys["offset"] + keys["bytes"]] = np.array([[2**31, 2**31, 8, 1]] * 5, "<u4").tobytes()
    broken.write_bytes(content)
    done = run("bench", broken, "--seconds=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f'vqrank: {broken}: table "action"') and done.stderr.count("\n") == 1


def test_workloads_convert(tmp_path):
    """The standard workloads are models that this command can measure."""
    script = Path(__file__).parents[2] / "bench" / "make_workloads.py"
    beside = {"PATH": str(VQRANK.parent)}
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=120, env=beside)
    for name in ("paper", "mobile", "vql"):
        for file in (f"{name}.vqr", f"{name}-stored.vqr"):
            done = run("bench", tmp_path / file, "--events=9", "--candidates=2", "--seconds=0", "--json")
            assert done.returncode == 0 and json.loads(done.stdout)["model"] == name
