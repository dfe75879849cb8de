"""Fitting quantizers and measuring their codes; semantic ids in training's models."""

import copy
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from quantizer_support import CONFIG, tensors_of

from vqrank_train.checkpoint import CheckpointError, build, save_checkpoint
from vqrank_train.config import Config, ConfigError, Quantizer
from vqrank_train.predict import RequestError, predict
from vqrank_train.quantizers.file import QuantizerError, load_quantizer, read_items, save_quantizer
from vqrank_train.quantizers.fit import fit_quantizer
from vqrank_train.quantizers.report import measure, measure_codes, purity, root_mean_square, usage
from vqrank_train.quantizers.rq_vae import RqVae, RqVaeOptions, fit_rq_vae


def blobs(items=600, centers=6, dim=5, seed=0):
    """Vectors around well-separated centres, each with a spread of its own, and the number of their centre."""
    rng = np.random.default_rng(seed)
    at, spread = rng.normal(0, 4, (centers, dim)), rng.uniform(0.05, 0.4, (centers, dim))
    labels = np.arange(items) % centers
    return (at[labels] + spread[labels] * rng.standard_normal((items, dim))).astype(np.float32), labels


@pytest.mark.parametrize("kind", ["rq_gmm", "rq_kmeans"])
def test_fit_finds_what_is_there(kind):
    x, labels = blobs()
    module = fit_quantizer(Quantizer(kind, 2, 6, 5), x)
    found = measure(module, x, labels)
    assert found["levels"][0]["used"] == 1.0
    assert found["levels"][0]["purity"] > 0.8
    first, second = (level["rmse"] for level in found["levels"])
    assert second < first < 0.5 * x.std()
    if kind == "rq_gmm":
        assert (module.variance > 0).all() and torch.allclose(module.weight.sum(1), torch.ones(2))


def test_spherical_components_have_one_variance():
    x, labels = blobs()
    module = fit_quantizer(Quantizer("rq_gmm", 2, 6, 5), x, covariance="spherical")
    assert torch.equal(module.variance, module.variance[..., :1].expand_as(module.variance))
    assert len(module.variance[0, :, 0].unique()) == 6
    assert measure(module, x, labels)["levels"][0]["purity"] > 0.8


SMALL = RqVaeOptions(hidden=16, latent=4, batch=128, steps=150)


def test_an_rq_vae_finds_what_is_there():
    x, labels = blobs()
    losses = []
    state = torch.get_rng_state()
    module = fit_rq_vae(2, 6, x, 3, SMALL, losses.append)
    assert torch.equal(torch.get_rng_state(), state)
    codes, left = module.encode(torch.from_numpy(x))
    assert codes.shape == (600, 2) and codes.min() >= 0 and codes.max() < 6
    found = measure_codes(codes.numpy(), [root_mean_square(r) for r in left], 6, x, labels)
    assert found["levels"][0]["purity"] > 0.8 and found["levels"][1]["rmse_of_spread"] < 0.5
    assert len(losses) == 150 and np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    again, other = (fit_rq_vae(2, 6, x, seed, SMALL).encode(torch.from_numpy(x))[0] for seed in (3, 4))
    assert torch.equal(again, codes) and not torch.equal(other, codes)


def test_what_an_rq_vae_leaves_is_of_its_decoder():
    x, _ = blobs()
    module = fit_rq_vae(2, 6, x, 0, SMALL)
    codes, left = module.encode(torch.from_numpy(x))
    words = sum(module.codebook[level][codes[:, level]] for level in range(2))
    decoded = module.decoder(words) * module.spread + module.mean
    assert torch.allclose(torch.from_numpy(x) - decoded, left[1], atol=1e-5)


def test_the_encoder_learns_from_the_decoder_through_the_codes():
    module = RqVae(2, 6, 5, SMALL)
    module.loss(torch.from_numpy(blobs()[0]), 0.0).backward()  # without commitment that is all it learns from
    assert module.encoder[0].weight.grad.abs().sum() > 0


def test_an_rq_vae_starts_from_k_means_of_its_first_batch():
    x, _ = blobs()
    module = fit_rq_vae(2, 6, x, 0, replace(SMALL, steps=0))
    assert len(module.encode(torch.from_numpy(x))[0][:, 0].unique()) == 6
    with pytest.raises(QuantizerError, match="expected at least 200 in the first batch, one per code, found 128"):
        fit_rq_vae(2, 200, x, 0, SMALL)


def test_fit_is_of_the_residuals_of_hard_codes():
    """Level 2 is what a fit of one level finds in what level 1 leaves."""
    x, _ = blobs()
    module = fit_quantizer(Quantizer("rq_gmm", 2, 6, 5), x, seed=3)
    one = fit_quantizer(Quantizer("rq_gmm", 1, 6, 5), x, seed=3).double()
    left = one.encode(torch.from_numpy(x).double())[1].float().numpy()
    again = fit_quantizer(Quantizer("rq_gmm", 1, 6, 5), left, seed=4)
    assert torch.allclose(module.mean[1], again.mean[0], atol=1e-4)


def test_equal_items_leave_codes_without_use():
    x = np.ones((40, 3), np.float32)
    found = measure(fit_quantizer(Quantizer("rq_gmm", 2, 4, 3), x), x)
    assert found["levels"][0]["used"] <= 0.25 and found["levels"][1]["rmse"] < 1e-5
    assert found["unique_ids"] == 1 / 40


def test_numbers_of_the_report():
    assert usage(np.array([0, 0, 1, 1]), 4) == {"used": 0.5, "perplexity": pytest.approx(0.5)}
    assert usage(np.array([2, 2, 2]), 4) == {"used": 0.25, "perplexity": pytest.approx(0.25)}
    codes = np.array([[0, 0], [0, 0], [0, 1], [1, 0]])
    assert purity(codes[:, :1], np.array([5, 5, 7, 7])) == 0.75
    assert purity(codes, np.array([5, 5, 7, 7])) == 1.0


def run(*arguments):
    command = [sys.executable, "-m", "vqrank_train.cli", "quantizer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands(tmp_path):
    x, labels = blobs()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "labels.npy", np.array([f"label {label}" for label in labels]))
    out = tmp_path / "q.safetensors"
    done = run("fit", tmp_path / "x.npy", "--levels", 2, "--codes", 6, "--name", "art", "-o", out)
    assert done.returncode == 0, done.stderr
    assert '"quantizers": {"art": {"kind": "rq_gmm", "levels": 2, "codes": 6, "dim": 5}}' in done.stdout
    name, module = load_quantizer(out)
    assert (name, module.config) == ("art", Quantizer("rq_gmm", 2, 6, 5))
    done = run("report", out, tmp_path / "x.npy", "--labels", tmp_path / "labels.npy", "--json")
    found = json.loads(done.stdout)
    assert found == {"name": "art", **measure(module, x, labels)}
    done = run("report", out, tmp_path / "x.npy")
    assert "different IDs" in done.stdout and "purity" not in done.stdout
    np.save(tmp_path / "x.npy", x[:, :4])
    done = run("report", out, tmp_path / "x.npy")
    assert done.returncode == 1 and "expected vectors of 5 numbers, as art has, found 4" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4, np.float32), "found float32 of shape [4]"),
        (np.zeros((4, 0), np.float32), "found float32 of shape [4, 0]"),
        (np.zeros((4, 2), np.int64), "found int64"),
        (np.array([[0, np.nan]], np.float32), "found nan at [0, 1]"),
        (np.array([{}]), "expected a .npy array"),
    ],
)
def test_items_that_are_refused(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(QuantizerError) as error:
        read_items(tmp_path / "x.npy")
    assert message in str(error.value)


def test_files_that_are_refused(tmp_path):
    path = tmp_path / "q.safetensors"
    module = fit_quantizer(Quantizer("rq_gmm", 1, 2, 3), blobs(dim=3)[0])
    with pytest.raises(QuantizerError, match="expected at least 900, one per code, found 600"):
        fit_quantizer(Quantizer("rq_gmm", 1, 900, 3), blobs(dim=3)[0])
    module.weight[0, 1] = 0
    save_quantizer(path, "q", module)
    with pytest.raises(QuantizerError, match=r"quantizers.q.weight: expected numbers above 0, found 0"):
        load_quantizer(path)
    path.write_bytes(b"x" * 20)
    with pytest.raises(QuantizerError, match="expected a fitted quantizer"):
        load_quantizer(path)


# ---- models ----


def module_of(tensors):
    state = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    return build(CONFIG, state)


def test_checkpoints_that_are_refused():
    for part in ("variance", "weight"):
        tensors = tensors_of(CONFIG)
        tensors[f"quantizers.content.{part}"].flat[3] = 0
        with pytest.raises(CheckpointError, match=f"quantizers.content.{part}: expected values above 0"):
            module_of(tensors)


def test_halving_a_checkpoint_leaves_quantizers_whole(tmp_path):
    module = module_of(tensors_of(CONFIG))
    save_checkpoint(tmp_path / "c.safetensors", module, dtype=torch.float16)
    from vqrank_train.checkpoint import read_checkpoint

    _, state = read_checkpoint(tmp_path / "c.safetensors")
    assert state["quantizers.content.variance"].dtype == torch.float32
    assert state["tables.c0.weight"].dtype == torch.float16


def test_quantizers_are_not_trained():
    module = module_of(tensors_of(CONFIG)).train()
    assert not [name for name, _ in module.named_parameters() if name.startswith("quantizers.")]
    x = torch.randn(4, 9)
    x[1] = torch.nan  # absent
    e = module.embed("candidate", {"item": torch.arange(4), "content": x}, (4,))
    e.sum().backward()
    assert torch.equal(e[1, 6:], torch.cat([module.tables["c0"].weight[0], module.tables["c1"].weight[0]]))
    assert module.tables["c0"].weight.grad.abs().sum() > 0
    rows = module.quantizers["content"].rows(x)
    assert torch.equal(module.embed("candidate", {"item": torch.arange(4), "content": rows}, (4,)), e)


REFUSED = [
    ({"quantizer": "none"}, 'no quantizer is named "none"'),
    ({"tables": ["c0"]}, "expected 2, one per level, found 1"),
    ({"tables": ["c0", "none"]}, 'no table is named "none"'),
    ({"tables": ["c0", "look0"]}, "expected direct ids and at least 18 rows"),
    ({"combine": "mean"}, "one of concat, sum"),
    ({"combine": "sum"}, "expected equal dims, as combine is sum"),
]


def refused_config(change):
    config = copy.deepcopy(CONFIG)
    config["candidate"][1].update(change)
    return config


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_configs_that_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        Config.read(refused_config(change))


def test_vectors_that_are_refused():
    module = module_of(tensors_of(CONFIG))
    for value, code in (([1.0] * 8, "type"), ([None] * 9, "type"), ([4097.0] * 9, "range"), (3, "type")):
        with pytest.raises(RequestError) as error:
            predict(module, {"id": 1, "events": [{"content": value}], "candidates": []})
        assert error.value.code == code
