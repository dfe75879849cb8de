"""One request line gives the same response line, byte for byte, on every instruction set and processor."""

import json
import shutil
from pathlib import Path

import pytest
from library import score_lines
from random_models import random_config, random_module, random_request
from test_models_float64 import convert, usable_isas

from vqrank_train.checkpoint import save_checkpoint

ARM = Path(__file__).parents[2] / "build" / "aarch64" / "bin" / "vqrank"
SIZES = {"codewords": [7, 16, 33, 64], "codebooks": [1, 2, 3]}


@pytest.fixture(scope="module")
def arm_command():
    """The cross-built command under QEMU, or natively on such a machine."""
    if not ARM.exists() or not shutil.which("qemu-aarch64"):
        pytest.skip("build/aarch64 or qemu-aarch64 is missing: run ./test.sh aarch64 first")
    return ["qemu-aarch64", str(ARM)]


@pytest.mark.parametrize("seed", range(300, 312))
def test_arm_equals_x86(tmp_path, seed, arm_command):
    config = random_config(seed, **SIZES)
    save_checkpoint(tmp_path / "c.safetensors", random_module(config, seed))
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
    requests = [random_request(config, seed + n, n, 5) for n in (0, 1, 40)]
    requests.append({"id": "refused", "nonsense": 1, "candidates": []})
    native = {isa: score_lines(tmp_path / "m.vqr", requests, isa) for isa in usable_isas(tmp_path / "m.vqr")}
    arm = {isa: score_lines(tmp_path / "m.vqr", requests, isa, arm_command) for isa in ("ref", "neon")}
    assert len(native) > 1
    assert len({tuple(lines) for lines in (*native.values(), *arm.values())}) == 1
    assert len(native["ref"]) == 4


def test_batch_and_order(tmp_path):
    """A candidate's score does not depend on the others, nor on their order."""
    config = random_config(17, codewords=[33], codebooks=[3])
    save_checkpoint(tmp_path / "c.safetensors", random_module(config, 17))
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
    request = random_request(config, 17, 200, 131)
    single = [request | {"candidates": [candidate]} for candidate in request["candidates"]]
    reverse = request | {"candidates": request["candidates"][::-1]}
    shuffled = request | {"events": request["events"][::-1]}
    lines = score_lines(tmp_path / "m.vqr", [request, reverse, shuffled])
    whole, backwards, other = map(json.loads, lines)
    ones = [json.loads(line) for line in score_lines(tmp_path / "m.vqr", single)]
    for name, scores in whole["outputs"].items():
        assert scores == [one["outputs"][name][0] for one in ones]
        assert scores == backwards["outputs"][name][::-1]
        assert scores == other["outputs"][name], "the order of events changed a bit"
