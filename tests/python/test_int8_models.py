"""Whole models in int8, from checkpoint through converter and library: the library agrees with the reference, every
instruction set gives the same bytes, and exact codewords give the bytes of fp32."""

import json
import os
import random

import numpy as np
import pytest
import torch
from converter_support import File
from library import Library, build_folder, score_lines
from random_models import (
    random_config,
    random_hstu_last,
    random_int8,
    random_latest,
    random_module,
    random_request,
    random_sequence,
    random_vql,
)

from vqrank_convert import int8
from vqrank_convert.convert import convert, open_checkpoint
from vqrank_convert.int8 import Int8Options
from vqrank_convert.plan import load
from vqrank_convert.reference import quantize
from vqrank_train.checkpoint import save_checkpoint

SMALL = {"codewords": [1, 2, 3, 15, 16, 17, 31, 40], "codebooks": [1, 2, 3, 5, 8]}
ISAS = ["ref", "avx2", "avx512", "avxvnni", "avx512vnni", "neon", "neondot", "i8mm"]
# 1000 take some minutes.
EXACT_MODELS = int(os.environ.get("VQRANK_INT8_EXACT_MODELS", "30"))


@pytest.fixture(autouse=True)
def everything_gains(monkeypatch):
    """Layers of any size become int8."""
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)


def made(tmp_path, config, seed, name="m.vqr", **options):
    """A model with random weights, and its golden request, which the converter has compared with float64."""
    checkpoint = tmp_path / "c.safetensors"
    if not checkpoint.exists():
        save_checkpoint(checkpoint, random_module(config, seed))
    convert(checkpoint, tmp_path / name, vqrank=str(build_folder() / "bin" / "vqrank"), int8=Int8Options(**options))
    return tmp_path / name


def answers(model, requests):
    """Response lines, which are the same on every instruction set of this machine."""
    found = {}
    for isa in ISAS:
        try:
            found[isa] = score_lines(model, requests, isa)
        except RuntimeError:
            continue
    assert "ref" in found and len(found) > 1
    assert len({tuple(lines) for lines in found.values()}) == 1, "instruction sets differ"
    assert not [line for line in found["ref"] if "error" in json.loads(line)]
    return found["ref"]


@pytest.mark.parametrize("seed", range(40))
def test_small(tmp_path, seed):
    config = random_config(seed, **SMALL)
    model = made(tmp_path, config, seed, **random_int8(seed))
    answers(model, [random_request(config, seed + events, events, 5) for events in (0, 1, 60)])


def test_fine_keys(tmp_path):
    """Models with keys that are kept twice: some heads have several, some none."""
    for seed in range(6):
        rng, folder, fine = random.Random(seed), tmp_path / str(seed), set()
        folder.mkdir()
        sequences = [
            random_sequence(rng, "long", [40, 130], [2, 3]), random_latest(rng, "short"), random_hstu_last(rng, "all")
        ]  # fmt: skip
        for sequence in sequences:
            sequence["attention"] = {"kind": "dot", "heads": rng.randint(1, 4), "dim": rng.choice([16, 19, 33])}
        config = random_config(seed, [], [], sequences=sequences)
        module = random_module(config, seed)
        with torch.no_grad():
            for name, weight in module.state_dict().items():
                if name.endswith("attention.k.weight"):
                    keys = rng.sample(range(weight.shape[-2]), weight.shape[-2] // 8)
                    weight[..., keys, :] *= 40
                    fine.add((f"{name.removesuffix('.weight')}.fine", *sorted(keys)))
        save_checkpoint(folder / "c.safetensors", module)
        model = made(folder, config, seed, **random_int8(seed) | {"state": "int8"})
        file = File(model)
        assert {(name, *file.values(name).tolist()) for name in file.tensors if name.endswith(".fine")} == fine
        answers(model, [random_request(config, seed + events, events, 70) for events in (0, 1, 60)])


def test_codewords(tmp_path):
    """By int8 scores, of every event whose codeword float32 does not decide; some are not those of fp32."""
    moved = 0
    for seed in range(100, 110):
        (tmp_path / str(seed)).mkdir()
        moved += check_codewords(tmp_path / str(seed), seed)
    assert moved > 10


def check_codewords(tmp_path, seed):
    """Returns how many are others than with fp32 scores."""
    rng = random.Random(seed)
    sequences = [random_sequence(rng, "long", [40, 130], [2, 3]), random_vql(rng, "keys", [17, 64])]
    config = random_config(seed, [], [], sequences=sequences)
    tables = rng.choice(["fp32", "int8"])
    model = made(tmp_path, config, seed, codebook="int8", tables=tables)
    checkpoint, parsed = open_checkpoint(tmp_path / "c.safetensors")
    weights = load(checkpoint, parsed)
    events = random_request(config, seed, 400, 0)["events"]
    own = quantize(parsed, weights, events, Int8Options(codebook="int8", tables=tables))
    clear = own.margins >= 2 * own.bounds
    found = Library().assignments(model, config, events)
    z = np.concatenate([found[sequence["name"]] for sequence in sequences]).T
    assert clear.mean() > 0.6
    assert (z == own.assignments)[clear].all()
    other = quantize(parsed, weights, events, Int8Options(tables=tables)).assignments
    return int((other != own.assignments).sum())


def test_exact_codewords_give_the_bytes_of_fp32(tmp_path):
    for seed in range(EXACT_MODELS):
        rng, folder = random.Random(seed), tmp_path / str(seed)
        folder.mkdir()
        sequences = [random_sequence(rng, "long", [1, 16, 40, 200], [1, 2, 4]), random_vql(rng, "keys", [1, 17, 100])]
        config = random_config(seed, [], [], sequences=sequences[seed % 2 :])
        rest = random_int8(seed) | {"codebook": "fp32"} if seed % 4 == 0 else {}
        plain = made(folder, config, seed, "plain.vqr", **rest)
        exact = made(folder, config, seed, "exact.vqr", **rest | {"codebook": "int8-exact"})
        requests = [random_request(config, seed + events, events, 5) for events in (0, 1, 400)]
        assert answers(exact, requests) == score_lines(plain, requests), seed
        assert exact.read_bytes() != plain.read_bytes()
