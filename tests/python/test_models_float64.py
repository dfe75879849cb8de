"""Whole models, from checkpoint through converter and library, against PyTorch in float64.

The library's error may be at most max(1e-5, 4 times that of PyTorch's own fp32). Clusters are compared where the
float64 margin exceeds the rounding bound of the fp32 chains; elsewhere the library's choice is adopted.
"""

import copy
import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from library import Library, build_folder, score_lines
from random_models import (
    random_config,
    random_hstu_last,
    random_module,
    random_request,
    random_sdim,
    random_sequence,
)

from vqrank_convert.config_quantizers import QuantizerConfig
from vqrank_convert.reference import Reference
from vqrank_convert.reference_quantizers import encode
from vqrank_train.checkpoint import save_checkpoint
from vqrank_train.predict import Encoder, Prediction, predict

SMALL = {"codewords": [1, 2, 3, 15, 16, 17, 31, 40], "codebooks": [1, 2, 3, 5, 8]}
LARGE = {"codewords": [64, 128, 200, 257], "codebooks": [1, 2, 4]}
ISAS = ["ref", "avx2", "avx512", "neon"]


def convert(checkpoint, model, *options):
    """Runs the converter as a user does, golden request included."""
    command = [sys.executable, "-m", "vqrank_convert", str(checkpoint), "-o", str(model), "--quiet", *options]
    command += ["--vqrank", str(build_folder() / "bin" / "vqrank")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def module_keys(vql, group):
    """k.weight's rows of a group's heads, [H d, D]."""
    return vql.vql.k.weight.unflatten(0, (-1, vql.sequence.dim))[list(group.heads)].flatten(0, 1)


@torch.no_grad()
def rounding_bound(module, request, codes):
    """[N, L] per sequence with codebooks: twice the largest error of one event's fp32 scores. A score of D products in
    F chains has at most D + F roundings, the fold one more per element, and a pool of K ids K before them, each of at
    most 2^-24 of the sum of magnitudes: those of the rows, for a pool."""
    columns = Encoder(module.config).columns("event", request["events"], "events")
    magnitudes = copy.deepcopy(module)
    for name in module.config.tables:
        magnitudes.tables[name].weight.abs_()
    for (group, name), own in codes.items():
        if group == "event":
            absent = columns[name].isnan().any(-1, keepdim=True)
            columns[name] = torch.where(absent, 0, own + 1)
    # Rows are whole numbers, -1 where a list has ended; what is a float is a value.
    columns = {name: c.abs() if c.is_floating_point() else c for name, c in columns.items()}
    e = magnitudes.embed("event", columns, (len(request["events"]),))
    features = module.config.groups["event"]
    longest = max((columns[f.name].shape[-1] for f in features if f.kind == "ids"), default=0)
    levels = max((len(f.tables) for f in features if f.combine == "sum"), default=0)
    bounds = {}
    for sequence in module.config.sequences:
        own = module.sequences[sequence.name]
        if sequence.kind == "dmqn":
            fold = torch.einsum("ndc,nwc->ndw", own.projection, own.codebook).abs()
            magnitude = torch.einsum("ld,ndw->nlw", e, fold).amax(-1)
        elif sequence.kind == "vql":  # and the offset, which is rounded and added last
            folds = [(module_keys(own, group).mT @ c.mT, c.square().sum(-1) / 2) for group, c in own.groups]
            magnitude = torch.stack([(e @ fold.abs() + offset).amax(-1) for fold, offset in folds])
        elif sequence.kind == "sdim":
            directions = own.sdim.get_buffer("hash").abs()
            magnitude = (e @ directions.mT).unflatten(-1, (sequence.hashes, sequence.bits)).amax(-1).mT
        else:
            continue
        bounds[sequence.name] = 2 * (e.shape[-1] + len(features) + 4 + longest + levels) * 2.0**-24 * magnitude
    return bounds


def check_clusters(own: Prediction, found, bounds):
    assert set(found) == set(own.assignments)
    for name, clusters in found.items():
        differ = own.assignments[name] != clusters
        assert (own.margins[name][differ] <= bounds[name][differ]).all(), f"{name}: a clear margin was lost"


def library_codes(module, model, config, request):
    """The library's codes of every semantic id, by group and feature; refuses any that differs from float64's where
    rounding cannot be why."""
    found = {}
    tensors = {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}
    for group, key in (("user", "user"), ("context", "context"), ("event", "events"), ("candidate", "candidates")):
        rows = request[key] if isinstance(request[key], list) else [request[key]]
        for feature in (f for f in config[group] if f["kind"] == "semantic_id"):
            name = feature["quantizer"]
            quantizer = module.config.quantizers[name]
            x = np.zeros((len(rows), quantizer.dim), np.float32)
            for i, row in enumerate(rows):
                x[i] = row.get(feature["name"]) or 0
            number = list(config["quantizers"]).index(name)
            codes = Library().quantize(model, number, quantizer.levels, x)
            own, _ = module.double().quantizers[name].encode(torch.from_numpy(x).double())
            one = QuantizerConfig(name, quantizer.kind, quantizer.levels, quantizer.codes, quantizer.dim)
            sure = np.logical_and.accumulate(encode(one, tensors, x.astype(np.float64)).clear, axis=1)
            assert (codes == own.numpy())[sure].all(), f"{group}.{feature['name']}: a clear code was lost"
            found[group, feature["name"]] = torch.from_numpy(codes.astype("int64"))
    return found


def clear_candidates(module, config, request):
    """The request without candidates of which float32's rounding decides a hash, or what a twin sequence's heads
    choose."""
    reference = Reference(config, {name: tensor.double().numpy() for name, tensor in module.state_dict().items()})
    e, t = (reference.inputs.embed_all(group, request[f"{group}s"]) for group in ("event", "candidate"))
    kept = [candidate for candidate, keep in zip(request["candidates"], reference.clear(e, t), strict=True) if keep]
    assert len(kept) * 2 >= len(request["candidates"])
    return request | {"candidates": kept}


def compare(module, model, config, request, isas=("",)):
    """One request on the library against float64; returns the largest error."""
    double, single = module.double(), None
    request = clear_candidates(double, config, request)
    codes = library_codes(double, model, config, request)
    clusters = Library().assignments(model, config, request["events"])
    found = {name: torch.from_numpy(z.astype("int64")) for name, z in clusters.items()}
    with torch.no_grad():
        check_clusters(predict(double, request, codes=codes), found, rounding_bound(double, request, codes))
        want = predict(double, request, assignments=found, codes=codes).outputs
        single = predict(module.float(), request, assignments=found, codes=codes).outputs
    lines = {isa: score_lines(model, [request], isa) for isa in isas}
    assert len({tuple(line) for line in lines.values()}) == 1, "instruction sets differ"
    got = json.loads(next(iter(lines.values()))[0])
    assert "error" not in got, got
    worst = 0.0
    for name, values in want.items():
        want64 = torch.tensor(values, dtype=torch.float64)
        error = (torch.tensor(got["outputs"][name], dtype=torch.float64) - want64).abs()
        own = (torch.tensor(single[name], dtype=torch.float64) - want64).abs()
        tolerance = max(1e-5, 4 * own.max().item() if len(values) else 0)
        assert error.numel() == len(values)
        if len(values):
            worst = max(worst, error.max().item())
            assert error.max().item() <= tolerance, f"{name}: error {error.max():.3g}, allowed {tolerance:.3g}"
    return worst


def usable_isas(model):
    """The instruction sets that this machine runs."""
    usable = []
    for isa in ISAS:
        try:
            score_lines(model, [], isa)
            usable.append(isa)
        except RuntimeError:
            continue
    return usable


def run(tmp_path, seed, sizes, events, candidates):
    run_config(tmp_path, seed, random_config(seed, **sizes), events, candidates)


def run_config(tmp_path, seed, config, events, candidates):
    module = random_module(config, seed)
    checkpoint, model = tmp_path / "c.safetensors", tmp_path / "m.vqr"
    save_checkpoint(checkpoint, module)
    convert(checkpoint, model)
    isas = usable_isas(model)
    assert "ref" in isas and len(isas) > 1
    for length in events:
        compare(module, model, config, random_request(config, seed + length, length, candidates), isas)


@pytest.mark.parametrize("seed", range(40))
def test_small(tmp_path, seed):
    run(tmp_path, seed, SMALL, [0, 1, 2, 60], candidates=1 + seed % 5)


@pytest.mark.parametrize("seed", range(100, 112))
def test_large(tmp_path, seed):
    run(tmp_path, seed, LARGE, [0, 7, 900], candidates=[1, 50, 100][seed % 3])


@pytest.mark.parametrize("seed", range(200, 203))
def test_long_history(tmp_path, seed):
    run(tmp_path, seed, {"codewords": [128], "codebooks": [4]}, [20000], candidates=3)


@pytest.mark.parametrize("seed", range(300, 312))
def test_hashed_or_last_events_alone(tmp_path, seed):
    rng = random.Random(seed)
    sequence = random_hstu_last(rng, "all") if seed % 3 else random_sdim(rng, "hashed")
    config = random_config(seed, [], [], sequences=[sequence])
    run_config(tmp_path, seed, config, [0, 1, 13, 200], candidates=5)


def test_no_candidates(tmp_path):
    config = random_config(7, **SMALL)
    save_checkpoint(tmp_path / "c.safetensors", random_module(config, 7))
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
    request = random_request(config, 7, 5, 0)
    (line,) = score_lines(tmp_path / "m.vqr", [request])
    assert json.loads(line)["outputs"] == {name: [] for name in config["head"]["outputs"]}


def test_tied_scores(tmp_path):
    """Equal codewords tie on every event: the lowest index wins, on every instruction set."""
    sequence = random_sequence(random.Random(11), "long", codewords=[40], codebooks=[2])
    config = random_config(11, [], [], sequences=[sequence])
    module = random_module(config, 11)
    codebook = module.sequences["long"].codebook
    with torch.no_grad():
        codebook.copy_(codebook[:, :1].expand_as(codebook).clone())
    save_checkpoint(tmp_path / "c.safetensors", module)
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
    request = random_request(config, 11, 30, 3)
    for isa in usable_isas(tmp_path / "m.vqr"):
        clusters = Library().assignments(tmp_path / "m.vqr", config, request["events"], isa)["long"]
        assert (clusters == 0).all()
