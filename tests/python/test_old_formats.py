"""Model files that older releases wrote open for good, and give the bits that they gave then."""

import json
import subprocess
from pathlib import Path

import pytest
from library import build_folder, score_lines

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
# As the release that wrote format-1.vqr scored it.
FORMAT_1 = {"ctr": [0.386207193, 0.317607105, 0.45088315], "like": [0.723334491, 0.797420681, 0.653254092]}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("format-*.vqr")), ids=lambda path: path.stem)
def test_selftest(path):
    done = subprocess.run([build_folder() / "bin" / "vqrank", "selftest", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ref ok" in done.stdout


def test_format_1_gives_the_scores_it_gave():
    (line,) = score_lines(GOLDEN / "format-1.vqr", [REQUEST])
    assert json.loads(line)["outputs"] == FORMAT_1
