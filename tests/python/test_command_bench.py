"""`vqrank bench` runs and says what it measured. How long anything takes is no test's business."""

import json
import math
import subprocess
import sys
from pathlib import Path

import converter_support as support
import numpy as np
import pytest
from command_support import VQRANK, convert, run

BENCH = Path(__file__).parents[2] / "bench"


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
    script = BENCH / "make_workloads.py"
    beside = {"PATH": str(VQRANK.parent)}
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=120, env=beside)
    for name in ("paper", "mobile", "vql"):
        for file in (f"{name}.vqr", f"{name}-stored.vqr"):
            done = run("bench", tmp_path / file, "--events=9", "--candidates=2", "--seconds=0", "--json")
            assert done.returncode == 0 and json.loads(done.stdout)["model"] == name


STAGES = {
    "append": ["all", "gather", "assign", "accumulate"],
    "refresh": ["all", "means", "HSTU", "keys, values"],
    "score": ["all", "gather", "attention", "head"],
}
RATES = {"flops": "gflops", "int8_ops": "gops", "exps": "gexps", "bytes": "gbytes_s"}


def check_work(row, peaks, milliseconds):
    """Rates are work over time, and the roofline is that of the slowest part: computed here once more."""
    for amount, rate in RATES.items():
        assert row[amount] >= 0 and (not milliseconds or row[rate] == pytest.approx(row[amount] / milliseconds / 1e6))
    levels = [level for level in peaks["levels"] if level.get("holds_bytes", math.inf) >= row["set_bytes"]]
    assert row["level"] == levels[0]["name"]
    dot = peaks["dot_gops"]
    operations = [row["flops"] / peaks["fma_gflops"], row["exps"] / peaks["exp_gexps"]]
    operations.append(row["int8_ops"] / (dot or peaks["fma_gflops"]))
    assert row["serial_ms"] == pytest.approx(1e-6 * sum(operations))
    slowest = max(operations) if dot else max(operations[0] + operations[2], operations[1])
    assert row["roofline_ms"] >= 1e-6 * slowest * (1 - 1e-9)
    if row["bound"] in ("fma", "dot", "exp"):
        assert row["roofline_ms"] == pytest.approx(1e-6 * slowest)
    else:
        fastest = max(max(level["read_gbytes_s"], level["mixed_gbytes_s"]) for level in peaks["levels"])
        assert row["bound"] in ("bytes", "none", *(level["name"] for level in peaks["levels"]))
        assert row["roofline_ms"] >= 1e-6 * row["bytes"] / fastest * (1 - 1e-9)


def check_peaks(peaks):
    assert [level["name"] for level in peaks["levels"]] == ["L1", "L2", "L3", "DRAM"]
    assert peaks["fma_gflops"] > 0 and peaks["exp_gexps"] > 0 and (peaks["dot_gops"] is None or peaks["dot_gops"] > 0)
    assert all(level["read_gbytes_s"] > 0 and level["mixed_gbytes_s"] > 0 for level in peaks["levels"])


def stages_of(model, *options):
    done = run("bench", model, "--stages", "--seconds", "0", "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_stages(model):
    """Parts of each stage, whose work is that of the shapes; the whole's is their sum."""
    told = stages_of(model, "--events", "0,100", "--candidates", "1,60", "--isa", "ref")
    check_peaks(told["peaks"])
    rows = [(r["stage"], r["events"], r.get("candidates"), r["part"]) for r in told["results"]]
    each = [("append", None), ("refresh", None), ("score", 1), ("score", 60)]
    assert rows == [(s, events, c, part) for events in (0, 100) for s, c in each for part in STAGES[s]]
    whole, parts = None, []
    for row in told["results"]:
        assert row["repeats"] >= 5 and 0 <= row["least_ms"] <= row["median_ms"]
        if row["part"] != "all":
            check_work(row, told["peaks"], row["median_ms"])
            parts.append(row)
            continue
        whole, parts = row, []
        assert row["bound"] == "parts"
    assert whole is not None and len(parts) == 3
    for key in ("flops", "int8_ops", "exps", "bytes", "roofline_ms"):
        assert whole[key] == pytest.approx(sum(row[key] for row in parts))
    assert whole["parts_ms"] == pytest.approx(sum(row["median_ms"] for row in parts))
    assert [one["events"] for one in told["one_event"]] == [0, 100]


def test_stages_count_the_workloads_operations(tmp_path):
    """The products of `paper`, worked out by hand: 3 features of 64 numbers in all, 4 codebooks of 128, and so on."""
    raw = json.loads((BENCH / "workloads" / "paper.json").read_text())
    model = convert(tmp_path, raw, support.weights(raw))
    told = stages_of(model, "--events", "10000", "--candidates", "100")
    work = {(row["stage"], row["part"]): row for row in told["results"]}
    assert work["append", "assign"]["flops"] == 2 * 10000 * 32 * 4 * 128  # the item's; the others' are looked up
    head = 2 * 32 * 256 + 100 * 2 * ((48 + 4 * 64) * 256 + 256 * 128 + 128 * 1)
    assert (work["score", "head"]["flops"], work["score", "head"]["exps"]) == (head, 100)
    assert work["append", "assign"]["int8_ops"] == 0
    # Clusters that hold events: keys and values are two products of [tokens, 64] by [64, 64] each.
    tokens = work["refresh", "keys, values"]["flops"] / (2 * 2 * 64 * 64)
    assert tokens == int(tokens) and 4 <= tokens <= 4 * 128
    assert work["score", "attention"]["exps"] == 100 * 4 * tokens
    assert work["score", "attention"]["flops"] == 100 * 2 * 48 * 64 + 100 * tokens * 2 * 2 * 64
    assert work["refresh", "means"]["flops"] == 2 * tokens * 64


def test_stages_of_int8(tmp_path):
    """Layers in int8 count as such, and the parts still give the library's scores."""
    raw = json.loads((BENCH / "workloads" / "paper.json").read_text())
    model = convert(tmp_path, raw, support.weights(raw), "--preset", "server", "--state", "int8")
    work = {(r["stage"], r["part"]): r for r in stages_of(model, "--events=500", "--candidates=50")["results"]}
    assert work["append", "assign"]["int8_ops"] + work["append", "assign"]["flops"] == 2 * 500 * 64 * 4 * 128
    assert work["refresh", "HSTU"]["int8_ops"] > 0


def test_stages_table(model):
    done = run("bench", model, "--stages", "--events", "1000", "--candidates", "3", "--seconds", "0")
    assert (done.returncode, done.stderr) == (0, "")
    heading, peaks, columns, *rows = done.stdout.splitlines()
    assert heading.startswith("example, instruction set ") and peaks.startswith("peaks: ")
    assert columns.split()[:3] == ["events", "stage", "part"]
    parts = [row[35:48].strip() for row in rows if "event more" not in row]
    assert parts == [part for own in STAGES.values() for part in own]
    assert sum("one event more, and refresh" in row for row in rows) == 1


def test_stages_of_other_kinds_are_refused(tmp_path):
    done = run("bench", convert(tmp_path, support.config_of_vql()), "--stages", "--seconds=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vqrank: --stages: sequence ") and done.stderr.count("\n") == 1


def test_threads(model):
    done = run("bench", model, "--threads", "2", "--events", "0,200", "--seconds", "0", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    results = json.loads(done.stdout)["results"]
    assert [(r["stage"], r["threads"], r["events"]) for r in results] == [("encode_batch", 2, n) for n in (0, 200)]
    for result in results:
        assert result["histories"] % 2 == 0 and result["ratio"] > 0
        assert result["one_thread"]["median_ms"] > 0 and result["all_threads"]["median_ms"] > 0
    table = run("bench", model, "--threads", "3", "--events", "200", "--seconds", "0").stdout.splitlines()
    assert " by one thread and by 3, " in table[0] and len(table) == 3 and table[2].split()[0] == "200"


def test_kernels():
    done = run("bench", "--kernels", "gemm_f32,gemm_i8,exp_f32", "--seconds", "0", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    check_peaks(told["peaks"])
    assert {row["kernel"] for row in told["kernels"]} == {"gemm_f32", "gemm_i8", "exp_f32"}
    assert "model" not in told and told["compiler"].split()[0] in ("gcc", "clang")
    for row in told["kernels"]:
        check_work(row, told["peaks"], 1e-6 * row["median_ns"])
        if row["kernel"].startswith("gemm"):
            rows, k, n = (int(part.split()[1]) for part in row["shape"].split(", "))
            assert row["flops"] + row["int8_ops"] == 2 * rows * k * n
    table = run("bench", "--kernels", "exp_f32", "--seconds", "0", "--isa", "ref").stdout.splitlines()
    assert table[0].startswith("instruction set ref, ") and table[3].split()[:4] == ["exp_f32", "ref", "n", "256"]


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--kernels", "x"], "gemm_f32"), (["--kernels", "all", "MODEL"], "MODEL"), ([], "--kernels all"),
     (["MODEL", "--threads", "1"], "--threads 1"), (["MODEL", "--threads", "-2"], "--threads -2"),
     (["MODEL", "--threads", "65"], "--threads 65"), (["MODEL", "--stages", "--threads", "2"], "--stages"),
     (["--kernels", "all", "--seconds", "-1"], "--seconds -1")],
)  # fmt: skip
def test_unusable_together(model, options, word):
    done = run("bench", *[str(model) if option == "MODEL" else option for option in options])
    assert (done.returncode, done.stdout) == (2, "")
    word = str(model) if word == "MODEL" else word
    assert done.stderr.startswith("vqrank: ") and done.stderr.count("\n") == 1 and word in done.stderr
