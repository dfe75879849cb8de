"""The scripts that record, sweep and draw: what they write is what `vqrank bench` tells."""

import json
import re
import sys
from pathlib import Path

import pytest
from command_support import VQRANK

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))
pytest.importorskip("matplotlib")
import growth  # noqa: E402
import make_workloads  # noqa: E402
import record  # noqa: E402
import roofline  # noqa: E402
import vqrank_bench  # noqa: E402


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A record of the weakest instruction set, of short histories."""
    folder = tmp_path_factory.mktemp("record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(VQRANK.parent))
        patch.setattr(record, "STAGES", {"paper": ("100", "3"), "mobile": ("50", "2")})
        patch.setattr(record, "WHOLE", {"vql": ("100", "3")})
        for name in ("paper", "mobile", "vql"):
            assert make_workloads.make_workload(make_workloads.WORKLOADS / f"{name}.json", folder) == 0
        options = ["--isa", "ref", "--seconds", "0", "--date", "2001-02-03", "--out", folder / "out"]
        patch.setattr(sys, "argv", ["record", *map(str, [folder, *options, "--vqrank", VQRANK])])
        assert record.main() == 0
    (path,) = (folder / "out").glob("*/2001-02-03.json")
    return path


def test_record(recorded):
    told = json.loads(recorded.read_text())
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", recorded.parent.name)
    assert told["date"] == "2001-02-03" and told["version"] and told["compiler"] and told["load"]["after"] >= 0
    own = told["isas"]["ref"]
    names = set(re.findall(r"^VQR_KERNEL\((\w+),", (BENCH.parent / "simd/kernels.def").read_text(), re.MULTILINE))
    assert {row["kernel"] for row in own["kernels"]} == names and own["peaks"]["fma_gflops"] > 0
    parts = {(row["stage"], row["part"]) for row in own["paper"]["results"]}
    assert ("refresh", "HSTU") in parts and len(parts) == 12 and len(own["paper"]["one_event"]) == 1
    assert [row["stage"] for row in own["vql"]["results"]] == ["append", "refresh", "score"]
    assert {row["events"] for row in told["threads"]["results"]} == {1000, 10000}
    assert max(map(len, recorded.read_text().splitlines())) < 1000  # a figure a line


def test_isas_of_this_machine(recorded):
    isas = record.usable_isas(str(VQRANK), recorded.parents[2] / "paper.vqr")
    assert isas[0] == "ref" and len(isas) == len(set(isas))


def test_roofline(recorded, tmp_path, monkeypatch):
    picture = tmp_path / "new" / "roofline.svg"
    arguments = [recorded, "--events", 100, "-o", picture]
    monkeypatch.setattr(sys, "argv", ["roofline", *map(str, arguments)])
    assert roofline.main() == 0
    text = picture.read_text()
    for words in ("refresh: HSTU", "append: assign", "score: head", "DRAM", "fused multiply-adds", "ref, one thread"):
        assert words in text
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    monkeypatch.setattr(sys, "argv", ["roofline", str(recorded), "--isa", "x", "-o", str(picture)])
    with pytest.raises(SystemExit, match="--isa x: expected one of ref"):
        roofline.main()


def test_growth(tmp_path, monkeypatch, capsys):
    """Of two sweeps cut short; then drawn again from the figures alone."""
    monkeypatch.setenv("PATH", str(VQRANK.parent))
    sweeps = {sweep.name: sweep for sweep in growth.SWEEPS}
    few = [sweeps["events"], sweeps["codewords"], sweeps["width"]]
    for sweep, values in zip(few, [(10, 40), (16, 32), (16, 32)], strict=True):
        monkeypatch.setattr(sweep, "values", values)
    monkeypatch.setattr(growth, "SWEEPS", few)
    monkeypatch.setattr(growth, "EVENTS", 50)
    out = tmp_path / "growth"
    arguments = [tmp_path / "models", "-o", out, "--seconds", "0", "--rounds", "1", "--vqrank", VQRANK]
    monkeypatch.setattr(sys, "argv", ["growth", *map(str, arguments)])
    assert growth.main() == 0
    table = capsys.readouterr().out
    figures = json.loads(out.with_suffix(".json").read_text())
    assert [p["value"] for p in figures["sweeps"]["codewords"]] == [16, 32]
    state = [p["state_bytes"] for p in figures["sweeps"]["codewords"]]
    assert state[1] > 1.9 * state[0]  # sums, keys and values: a state is little else
    assert len({p["state_bytes"] for p in figures["sweeps"]["events"]}) == 1
    assert all(p[f"{stage}_ms"] > 0 for points in figures["sweeps"].values() for p in points for stage in growth.STAGES)
    picture = out.with_suffix(".svg").read_text()
    assert "codewords W" in picture and "KiB of memory" in picture
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--draw", "--vqrank", "/nowhere"])
    assert growth.main() == 0
    assert capsys.readouterr().out == table and out.with_suffix(".svg").read_text() == picture


def test_slopes():
    assert vqrank_bench.local_slopes([1, 10, 100], [5, 50, 5]) == pytest.approx([1, -1])


def test_figures_one_a_line(tmp_path):
    figures = {"a": [{"b": 1.23456789, "c": [1, 2]}, {"b": 1, "c": [0.1]}], "d": {"e": None}, "f": []}
    vqrank_bench.write_figures(tmp_path / "new" / "x.json", figures)
    text = (tmp_path / "new" / "x.json").read_text()
    assert json.loads(text) == {"a": [{"b": 1.2346, "c": [1, 2]}, {"b": 1, "c": [0.1]}], "d": {"e": None}, "f": []}
