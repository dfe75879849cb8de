"""Checkpoints of other programs: names, transposes, interleaved heads; the guide's example end to end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from converter_support import CONFIG, config_of_hstu, config_with, weights, write
from library import build_folder
from safetensors.numpy import save_file

from vqrank_convert.cli import main
from vqrank_convert.config_sequences import HstuConfig
from vqrank_convert.foreign import uninterleaved

EXAMPLES = Path(__file__).parents[2] / "examples"
GUIDE = Path(__file__).parents[2] / "docs" / "foreign-checkpoints.md"


def convert(source, target, *options):
    return main([str(source), "-o", str(target), "--no-golden", "--quiet", *map(str, options)])


def refusal(capsys, source, *options):
    """The one line that refuses a conversion."""
    assert convert(source, source.parent / "never.vqr", *options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and not (source.parent / "never.vqr").exists(), error
    return error


def same_model(one, other):
    """Files but for what says where they came from: the golden request is left out, so all bytes are the model's."""
    return one.read_bytes() == other.read_bytes()


# ---- names ----


def write_map(tmp_path, entries):
    (tmp_path / "names.json").write_text(json.dumps(entries))
    return tmp_path / "names.json"


def foreign(tmp_path, rename=lambda name: f"model.{name}"):
    """A checkpoint with other names and no config."""
    save_file({rename(name): value for name, value in weights(CONFIG).items()}, tmp_path / "f.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path / "f.safetensors"


def test_patterns_exact_names_and_null(tmp_path):
    source = foreign(tmp_path, lambda name: "odd" if name == "head.0.bias" else f"model.{name}")
    extra = weights(CONFIG)
    names = write_map(tmp_path, {"model.*": "*", "odd": "head.0.bias"})
    write(tmp_path / "m.safetensors", CONFIG, extra)
    assert convert(source, tmp_path / "a.vqr", "--config", tmp_path / "config.json", "--map", names) == 0
    assert convert(tmp_path / "m.safetensors", tmp_path / "b.vqr") == 0
    assert same_model(tmp_path / "a.vqr", tmp_path / "b.vqr")


def test_map_refusals(tmp_path, capsys):
    source, config = foreign(tmp_path), tmp_path / "config.json"

    def said(entries):
        return refusal(capsys, source, "--config", config, "--map", write_map(tmp_path, entries))

    assert "an entry for it, null to leave it out" in said({"model.head.*": "head.*"})
    assert "that this entry is for, found none" in said({"model.*": "*", "none": "x"})
    assert "one tensor under this name" in said({"model.*": "same"})
    assert "at most one *" in said({"*.*": "*"})
    assert "no more *" in said({"model.x": "*"})
    assert "expected shape" in said({"model.*": "*", "model.head.0.bias": None, "model.head.0.weight": None})
    assert "two dimensions or more to transpose" in said(
        {"model.*": "*", "model.head.0.bias": {"name": "head.0.bias", "transpose": True}}
    )
    assert "null" in said({"model.*": {"name": None}})
    assert "No such file" in refusal(capsys, source, "--config", config, "--map", tmp_path / "no.json")
    assert "No such file" in refusal(capsys, source, "--config", tmp_path / "no.json")


@pytest.mark.parametrize("what", ["config", "map"])
def test_what_is_given_is_not_written_over(tmp_path, capsys, what):
    given = {"config": tmp_path / "config.json", "map": write_map(tmp_path, {"model.*": "*"})}
    source = foreign(tmp_path)
    before, target = given[what].read_text(), given[what]
    assert convert(source, target, "--config", given["config"], "--map", given["map"]) == 2
    assert f"{target}: expected a file other than the {what}, found the {what}" in capsys.readouterr().err
    assert target.read_text() == before


def test_transpose(tmp_path):
    values = weights(CONFIG)
    values["head.0.weight"] = np.ascontiguousarray(values["head.0.weight"].T)
    save_file(values, tmp_path / "f.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    names = write_map(tmp_path, {"*": "*", "head.0.weight": {"name": "head.0.weight", "transpose": True}})
    write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))
    options = ("--config", tmp_path / "config.json", "--map", names)
    assert convert(tmp_path / "f.safetensors", tmp_path / "a.vqr", *options) == 0
    assert convert(tmp_path / "m.safetensors", tmp_path / "b.vqr") == 0
    assert same_model(tmp_path / "a.vqr", tmp_path / "b.vqr")


# ---- interleaved heads ----


def test_uninterleaved_by_hand():
    """Two heads, dv 2, dqk 1: stored u0 u0 v0 v0 q0 k0 u1 u1 v1 v1 q1 k1."""
    order = uninterleaved(HstuConfig(layers=1, heads=2, qk_dim=1, v_dim=2))
    assert order.tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 10, 5, 11]


@pytest.mark.parametrize("name", ["long", "all"])
def test_interleaved_heads(tmp_path, name):
    """Over clusters, whose tensors have a leading N, and over the last events."""
    block = {"layers": 2, "heads": 3, "qk_dim": 5, "v_dim": 4}
    config = config_with(hstu=block) if name == "long" else config_of_hstu(hstu=block)
    plain = weights(config)
    stored = dict(plain)
    order = uninterleaved(HstuConfig(layers=2, heads=3, qk_dim=5, v_dim=4))
    for layer in range(2):
        for part, axis in (("weight", -2), ("bias", -1)):
            tensor = f"sequences.{name}.hstu.{layer}.f1.{part}"
            mixed = np.empty_like(plain[tensor])
            index = [slice(None)] * mixed.ndim
            index[axis] = order
            mixed[tuple(index)] = plain[tensor]
            stored[tensor] = mixed
    write(tmp_path / "a.safetensors", config, stored)
    write(tmp_path / "b.safetensors", config, plain)
    assert convert(tmp_path / "a.safetensors", tmp_path / "a.vqr", "--interleaved-heads") == 0
    assert convert(tmp_path / "b.safetensors", tmp_path / "b.vqr") == 0
    assert same_model(tmp_path / "a.vqr", tmp_path / "b.vqr")


def test_interleaved_heads_need_hstu(tmp_path, capsys):
    config = config_with(hstu={"layers": 0})
    write(tmp_path / "a.safetensors", config, weights(config))
    assert "whose f1 it reorders" in refusal(capsys, tmp_path / "a.safetensors", "--interleaved-heads")


# ---- the guide ----


def test_the_guides_commands(tmp_path):
    """As the guide has them, line by line: the module's own float64 scores, then those of the converted model."""
    section = GUIDE.read_text(encoding="utf-8").split("## A foreign HSTU layer, end to end")[1]
    shown = re.findall(r"^    (.+)$", section, re.MULTILINE)
    commands = [line for line in shown if line[0] not in "[{"]
    outputs = [line for line in shown if line[0] in "[{"]
    assert len(commands) == 4 and len(outputs) == 2
    (tmp_path / "examples").symlink_to(EXAMPLES)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "venv").symlink_to(sys.prefix)
    (tmp_path / "build" / "release").symlink_to(build_folder().resolve())
    environment = os.environ | {"PATH": f"{build_folder().resolve() / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-e"],
        input="\n".join(commands),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [line for line in done.stdout.splitlines() if line[:1] in ("[", "{")]

    def scores(lines):
        own, model = map(json.loads, lines)
        return [own, model["outputs"]["ctr"]]

    np.testing.assert_allclose(scores(printed), scores(outputs), atol=1e-7, rtol=0)
    np.testing.assert_allclose(*scores(printed), atol=1e-5, rtol=0)
