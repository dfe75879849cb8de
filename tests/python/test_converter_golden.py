"""The golden request: how it is made, how `vqrank` is asked, and that a model on which they disagree is not written."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from converter_support import (
    CASES,
    CONFIG,
    KIND_CASES,
    File,
    answering_vqrank,
    config_of_every_kind,
    config_with,
    fake_vqrank,
    library,
    weights,
    write,
)

from vqrank_convert import golden as goldens
from vqrank_convert import reference
from vqrank_convert.cli import main


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))


def refused(capsys, source, tool):
    target = source.with_suffix(".vqr")
    assert main([str(source), "-o", str(target), "--vqrank", str(tool)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert not [name for name in os.listdir(source.parent) if "vqr" in name and name != Path(tool).name]
    return error


def test_bits_and_float64_are_in_the_file(tmp_path, source):
    tool = answering_vqrank(tmp_path / "tool", source)
    target = tmp_path / "m.vqr"
    assert main([str(source), "-o", str(target), "--vqrank", str(tool), "--quiet"]) == 0
    file = File(target)
    (golden,) = file.header.golden
    request = json.loads(golden.request)
    expected = reference.score(CONFIG, weights(CONFIG), request).outputs["ctr"]
    assert list(golden.float64) == expected
    found = np.array(golden.bits, np.uint32).view(np.float32)
    np.testing.assert_array_equal(found, np.array(
        reference.score(CONFIG, weights(CONFIG), request, np.float32).outputs["ctr"], np.float32))  # fmt: skip
    assert file.header.fileLength == target.stat().st_size
    assert len(request["candidates"]) == len(found) == 4


def test_the_library_sees_the_whole_model_without_golden(tmp_path, source):
    """The file that `vqrank` is given equals the final one but for the header, and its header has no golden request."""
    tool = answering_vqrank(
        tmp_path / "tool",
        source,
        f"""
        import shutil
        shutil.copy(argv[3], {str(tmp_path / "seen.vqr")!r})
        print(json.dumps({{"id": "golden", "outputs": outputs}}))
        """,
    )
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--vqrank", str(tool), "--quiet"]) == 0
    seen, final = File(tmp_path / "seen.vqr"), File(tmp_path / "m.vqr")
    assert not seen.header.golden and len(final.header.golden) == 1
    assert seen.header.fileLength == final.header.fileLength == len(seen.bytes) == len(final.bytes)
    first = min(tensor.offset for tensor in final.header.tensors)
    assert seen.bytes[first:] == final.bytes[first:]
    assert not any(seen.bytes[4 + seen.prefix : first])
    assert [(t.name, t.offset) for t in seen.header.tensors] == [(t.name, t.offset) for t in final.header.tensors]


def test_deterministic(tmp_path, source):
    tool = answering_vqrank(tmp_path / "tool", source)
    for name in ("a.vqr", "b.vqr"):
        assert main([str(source), "-o", str(tmp_path / name), "--vqrank", str(tool), "--quiet"]) == 0
    assert (tmp_path / "a.vqr").read_bytes() == (tmp_path / "b.vqr").read_bytes()


@pytest.mark.parametrize("by", ["2e-5", "-2e-5", "0.5", "float('inf')", "float('nan')"])
def test_disagreement(tmp_path, capsys, source, by):
    tool = answering_vqrank(
        tmp_path / "tool",
        source,
        f"outputs['ctr'][2] += {by}\nprint(json.dumps({{'id': 'golden', 'outputs': outputs}}))",
    )
    error = refused(capsys, source, tool)
    if "e-5" in by or by == "0.5":
        assert 'golden request: expected output "ctr" of candidate 2 within 1e-05 of' in error


def test_rounding_is_not_disagreement(tmp_path, source):
    tool = answering_vqrank(
        tmp_path / "tool", source, "outputs['ctr'][2] += 8e-6\nprint(json.dumps({'id': 'g', 'outputs': outputs}))"
    )
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--vqrank", str(tool), "--quiet"]) == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('{}')", "found exit status 0, output"),
        ("", "found exit status 0, output"),
        ("print('[1]')", "output"),
        ("print('null')", "output"),
        ("sys.stderr.write('cannot\\nmap it\\n'); sys.exit(2)", 'found exit status 2, output "": cannot map it'),
        ('print(\'{"id": 1, "error": {"code": "overflow", "message": "m"}}\')', "synthetic input overflows"),
        ('print(\'{"id": 1, "outputs": {"ctr": [0.5]}}\')', "1 numbers where 4 are due"),
        ('print(\'{"id": 1, "outputs": {"ctr": [0.5, 0.5, 0.5, "x"]}}\')', "numbers that are not finite"),
        ('print(\'{"id": 1, "outputs": {"cvr": [0.5, 0.5, 0.5, 0.5]}}\')', "output"),
        ("import os; os.abort()", "exit status -6"),
    ],
)
def test_a_library_that_fails(tmp_path, capsys, source, body, message):
    assert message in refused(capsys, source, fake_vqrank(tmp_path / "tool", body))


def test_vqrank_is_looked_for(tmp_path, capsys, source, monkeypatch):
    """--vqrank, then beside Python, then PATH; none: how to get one."""
    target = tmp_path / "m.vqr"
    empty, bin_, path = tmp_path / "empty", tmp_path / "bin", tmp_path / "path"
    for folder in (empty, bin_, path):
        folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(bin_ / "python"))
    monkeypatch.setenv("PATH", str(empty))
    assert main([str(source), "-o", str(target)]) == 2
    error = capsys.readouterr().err
    assert "--no-golden" in error and "--vqrank PATH" in error and error.count("\n") == 1
    (path / "vqrank").write_text("")
    (path / "vqrank").chmod(0o755)
    monkeypatch.setenv("PATH", str(path))
    assert goldens.find_vqrank(None) == path / "vqrank"
    (bin_ / "vqrank").write_text("")
    assert goldens.find_vqrank(None) == path / "vqrank"  # not executable
    (bin_ / "vqrank").chmod(0o755)
    assert goldens.find_vqrank(None) == bin_ / "vqrank"
    assert main([str(source), "-o", str(target), "--vqrank", str(empty / "vqrank")]) == 2
    assert "--vqrank: expected an executable" in capsys.readouterr().err
    assert not target.exists()


# ---- the request ----


def made(config, tensors):
    return goldens.make(reference.parse_config(config), tensors)


def test_request_covers_the_ways_of_an_input():
    request = json.loads(made(CONFIG, weights(CONFIG)).request)
    events = request["events"]
    assert len(events) == 40 and set(request) == {"id", "time", "user", "context", "events", "candidates"}
    items = [event.get("item") for event in events]
    assert any(item is not None and not 0 <= item < 50 for item in items), "an unknown id"
    assert any("item" not in event for event in events), "an absent feature"
    assert any(event.get("item", 0) is None for event in events), "a null feature"
    actions = {repr(event.get("action")) for event in events}
    assert {"'A'", "7", "-1"} <= actions and actions - {"'A'", "'M'", "'D'", "7", "-1", "None"}, "every type of key"
    times = [event["time"] for event in events if event.get("time") is not None]
    assert len(set(times)) < len(times) and max(times) <= request["time"], "ties of time"
    assert request["candidates"][-1] == {}
    assert re.fullmatch(r"[^\n]*", made(CONFIG, weights(CONFIG)).request)


def test_request_covers_lists_vectors_and_hashed_ids():
    config = config_of_every_kind("dice")
    request = json.loads(made(config, weights(config)).request)
    events = request["events"]
    assert len(events) == 40
    lists = [event["parts"] for event in events if event.get("parts") is not None]
    keys = config["tables"]["action"]["keys"]
    assert [] in lists and max(map(len, lists)) > 2, "none and several"
    assert any(key not in keys for parts in lists for key in parts), "an unknown id"
    assert any(len(set(map(repr, parts))) < len(parts) for parts in lists), "an id twice"
    assert any("parts" not in event for event in events) and any(event.get("parts", 0) is None for event in events)
    hashed = [event["tag"] for event in events if event.get("tag") is not None]
    assert {type(value) for value in hashed} == {int, str} and not all(str(value).isascii() for value in hashed)
    assert all(-(2**63) <= value < 2**63 for value in hashed if isinstance(value, int))
    images = [event["image"] for event in events if event.get("image") is not None]
    assert {len(image) for image in images} == {5} and all(-2 <= x <= 2 for image in images for x in image)
    assert len(request["user"]["tags"]) <= 5 and len(request["context"]["place"]) == 3
    assert {"words", "cover"} <= set(request["candidates"][0])


@pytest.mark.parametrize(("dim", "events"), [(1, 40), (400, 40), (1000, 16), (5000, 4)])
def test_long_vectors_make_fewer_events(dim, events):
    config = config_of_every_kind()
    config["event"][3]["dim"] = dim
    config["sequences"] = config["sequences"][:1]
    config["sequences"][0]["attention"] = {"kind": "dot", "heads": 1, "dim": 2}
    golden = made(config, weights(config))
    assert golden.events == len(json.loads(golden.request)["events"]) == events
    assert len(golden.request) < 40 * 4000


def test_new_parts_are_in_the_file(tmp_path):
    """The golden path with everything new, a stand-in for the library giving the reference's float32."""
    for case, changes in KIND_CASES.items():
        config = config_of_every_kind(**changes)
        tensors = weights(config)
        source = write(tmp_path / "m.safetensors", config, tensors)
        tool = answering_vqrank(tmp_path / "tool", source)
        assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--vqrank", str(tool), "--quiet"]) == 0, case
        (golden,) = File(tmp_path / "m.vqr").header.golden
        request = json.loads(golden.request)
        assert list(golden.float64) == reference.score(config, tensors, request).outputs["ctr"]
        assert np.std(golden.float64) > 1e-3, "outputs that tell nothing"


def test_near_ties_stay_out():
    """Codewords that differ by less than float32 can tell leave no events; those of one bit pattern leave all."""
    tensors = weights(CONFIG)
    codebook = tensors["sequences.long.codebook"] = tensors["sequences.long.codebook"].astype(np.float64)
    codebook[:, 1::2] = codebook[:, :-1:2]
    same = made(CONFIG, tensors)
    assert same.events == 40
    codebook[:, 1::2] *= 1 + 1e-9
    near = made(CONFIG, tensors)
    kept = json.loads(near.request)["events"]
    assert near.events == len(kept) < 40
    found = reference.quantize(CONFIG, tensors, kept)
    assert (found.margins >= 2 * found.bounds).all()


def test_dead_projection_is_not_a_tie():
    """All scores exactly 0: index 0 wins in every arithmetic."""
    tensors = weights(CONFIG)
    tensors["sequences.long.projection"][...] = 0
    golden = made(CONFIG, tensors)
    assert golden.events == 40
    assert not reference.score(CONFIG, tensors, json.loads(golden.request)).assignments.any()


def test_bound_grows_with_the_model_s_own_rounding():
    """10^4 added and taken away again: float32 itself is off by more than 1e-5, and the bound says by how much."""
    tensors = weights(CONFIG)
    tensors["head.0.bias"] = tensors["head.0.bias"] + np.float32(1e4)
    tensors["head.1.bias"] = tensors["head.1.bias"] - 1e4 * tensors["head.1.weight"].astype(np.float64).sum(axis=1)
    golden = made(CONFIG, tensors)
    outputs = reference.score(CONFIG, tensors, json.loads(golden.request), np.float32).outputs["ctr"]
    moved = np.abs(np.array(outputs) - np.array(golden.float64)).max()
    assert golden.bound == max(1e-5, 4 * moved)
    assert 1e-5 < golden.bound < 1e-2


def test_overflowing_model_is_refused(tmp_path, capsys):
    config = config_with(hstu={"layers": 3}, head={"activation": "silu"})  # relu would turn NaN into 0
    tensors = weights(config)
    for layer in range(3):
        for part in ("f1.weight", "f2.weight", "norm.weight"):
            tensors[f"sequences.long.hstu.{layer}.{part}"] *= np.float32(1e38)
    source = write(tmp_path / "m.safetensors", config, tensors)
    error = refused(capsys, source, fake_vqrank(tmp_path / "tool", "print('never asked')"))
    assert "golden request: expected finite outputs" in error


@pytest.mark.parametrize("mean", [0.0, 1e308, -1e10, 1e-300])
@pytest.mark.parametrize("std", [1.0, 1e308, 1e-12, 5e-324])
def test_float_features_stay_in_range(mean, std):
    config = config_with()
    config["event"][3].update(mean=mean, std=std)
    golden = made(config, weights(config))
    assert golden.events > 0


def test_keys_that_need_escapes():
    config = config_with()
    keys = ['"', "\\", "\n", "\u65e5", "\u2028", "nul\0", "unknown", "unknown?"]
    config["tables"]["action"] = {"rows": 9, "dim": 4, "ids": "vocabulary", "keys": keys}
    text = made(config, weights(config)).request
    assert "\n" not in text
    used = {event.get("action") for event in json.loads(text)["events"]}
    assert "unknown??" in used and "nul\0" not in used


# ---- with the library ----


@pytest.mark.skipif(library() is None, reason="the command vqrank is not built")
@pytest.mark.parametrize("name", CASES)
def test_the_library_agrees(tmp_path, name):
    """The real `vqrank`: it opens the file, agrees with float64, and replays its own golden request."""
    config = config_with(**CASES[name])
    for seed in range(3):
        heads = config["sequences"][0]["hstu"].get("heads", 1) if seed == 1 else 1
        source = write(tmp_path / f"{seed}.safetensors", config, weights(config, seed=seed, bias_heads=heads))
        assert main([str(source), "-o", str(tmp_path / f"{seed}.vqr"), "--quiet"]) == 0
        (golden,) = File(tmp_path / f"{seed}.vqr").header.golden
        bits = struct.pack(f"<{len(golden.bits)}I", *golden.bits)
        assert np.abs(np.frombuffer(bits, "<f4") - golden.float64).max() < 1e-5


def test_a_conversion_that_is_stopped_leaves_nothing(tmp_path, source):
    """SIGTERM while the library computes: no half file, no temporary file, and the old model stays."""
    target, started = tmp_path / "m.vqr", tmp_path / "started"
    target.write_bytes(b"the old model")
    tool = fake_vqrank(tmp_path / "tool", f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(60)")
    command = [sys.executable, "-m", "vqrank_convert", str(source), "-o", str(target), "--vqrank", str(tool)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not started.exists() and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 128 + signal.SIGTERM
    assert target.read_bytes() == b"the old model"
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors", "m.vqr", "started", "tool"]
