"""Model files that older releases wrote open for good, and give the bits that they gave then."""

import json
import subprocess
from pathlib import Path

import pytest
from library import build_folder, score_lines

from vqrank_convert.header import FORMAT_VERSION

GOLDEN = Path(__file__).parents[1] / "golden"
REQUEST = {
    "id": 1,
    "user": {"age": 41},
    "events": [
        {"item": 3, "action": "A", "time": 5},
        {"item": 4, "action": 7},
        {"item": 99},
        {"item": 3, "action": "M"},
        {"item": 11, "action": "A"},
    ],
    "candidates": [{"item": 3}, {"item": 5}, {}],
}
# What the second format has besides: lists of ids, of strings and integers, in a hashed table.
TAGGED = REQUEST | {"events": [*REQUEST["events"]]}
TAGGED["events"][0] = {"item": 3, "action": "A", "time": 5, "tags": ["a", 5]}
TAGGED["events"][4] = {"item": 11, "action": "A", "tags": ["b"]}
# What the third has: kind vql, with decay and without, and quantizers.
FADING = {
    "id": 1,
    "time": 90000000000,
    "events": [
        {"item": 3, "content": [0.5, -1, 2], "time": 5},
        {"item": 4},
        {"item": 99, "content": [0, 0, 0.25], "time": 40000000000},
        {"item": 11, "content": [-2, 1, 1], "time": 70000000000},
    ],
    "candidates": [{"item": 3}, {"item": 5, "content": [1, 1, -1]}, {}],
}
# What the fourth has: sdim, sim_hard, twin and hstu, over repeated, unknown and undated events.
SEARCHED = {
    "id": 1,
    "time": 90000,
    "events": [
        {"item": 3, "time": 5},
        {"item": 4},
        {"item": 7, "time": 300},
        {"item": 3, "time": 20000},
        {"item": 99, "time": 40000},
        {"item": 11, "time": 70000},
        {"item": 3, "time": 89999},
    ],
    "candidates": [{"item": 3}, {"item": 5}, {}],
}
# As the releases that wrote the files scored them.
SCORES = {
    1: (REQUEST, {"ctr": [0.386207193, 0.317607105, 0.45088315], "like": [0.723334491, 0.797420681, 0.653254092]}),
    2: (TAGGED, {"ctr": [0.644321263, 0.632678688, 0.620599985], "like": [0.853614509, 0.858172953, 0.863131344]}),
    3: (FADING, {"ctr": [0.517994106, 0.531987309, 0.525717556], "like": [0.400832176, 0.347524583, 0.238889262]}),
    4: (SEARCHED, {"ctr": [0.435761333, 0.493441433, 0.490415841], "like": [0.416001469, 0.41961503, 0.417207181]}),
    5: (REQUEST, {"ctr": [0.469002724, 0.47023803, 0.423738927], "like": [0.555003107, 0.549456, 0.560580254]}),
}


def test_every_older_format_is_here():
    assert {path.stem for path in GOLDEN.glob("*.vqr")} == {f"format-{version}" for version in range(1, FORMAT_VERSION)}
    assert len(SCORES) == FORMAT_VERSION - 1


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("format-*.vqr")), ids=lambda path: path.stem)
def test_selftest(path):
    done = subprocess.run([build_folder() / "bin" / "vqrank", "selftest", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ref ok" in done.stdout


@pytest.mark.parametrize("version", SCORES)
def test_a_file_gives_the_scores_it_gave(version):
    """1: dmqn, dot attention; 2: last events with din attention beside it, ids of every mapping; 3: vql, quantizers;
    4: the other kinds; 5: everything in int8 that can be."""
    request, outputs = SCORES[version]
    path = GOLDEN / f"format-{version}.vqr"
    (line,) = score_lines(path, [request])
    assert json.loads(line)["outputs"] == outputs
    done = subprocess.run([build_folder() / "bin" / "vqrank", "inspect", path], capture_output=True, text=True)
    assert done.returncode == 0 and f"format version {version}," in done.stdout
