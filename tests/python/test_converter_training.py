"""Two readings of the specification, by different hands: the NumPy reference and the training package's PyTorch."""

import json

import numpy as np
import pytest
from converter_support import (
    CASES,
    CONFIG,
    HSTU_CASES,
    KIND_CASES,
    SEARCH_CASES,
    VQL_CASES,
    config_of_every_kind,
    config_of_hstu,
    config_of_sdim,
    config_of_vql,
    config_with,
    search_case,
    set_at,
    weights,
    write,
)
from test_converter_last_and_hashed import CONFIG_CASES as BASELINE_CASES
from test_converter_refusals import CONFIG_CASES, edited
from test_converter_search import SEARCH_CONFIG_CASES, edited_search
from test_converter_vql import VQL_CONFIG_CASES, edited_vql

from vqrank_convert import golden, reference
from vqrank_convert.errors import ConversionError

pytest.importorskip("torch")
pytest.importorskip("vqrank_train")

BOTH_EMPTY = {**CASES, "zero toeplitz": {"sequence": {"empty": "zero"}, "hstu": {"bias": "toeplitz", "norm": "group"}}}


def agree(path, config, seed, bias_heads=1):
    """Outputs and assignments of both for the golden request, in float64, from a checkpoint with random weights."""
    import torch

    from vqrank_train.checkpoint import load_checkpoint
    from vqrank_train.predict import predict

    tensors = weights(config, seed=seed, bias_heads=bias_heads)
    module = load_checkpoint(write(path, config, tensors), dtype=torch.float64)
    parsed = reference.resolve(reference.parse_config(config), {key: value.shape for key, value in tensors.items()})
    request = json.loads(golden.make(parsed, tensors).request)
    expected = predict(module, request)
    found = reference.score(config, tensors, request)
    clusters = [expected.assignments[s["name"]] for s in config["sequences"] if s["name"] in expected.assignments]
    if clusters:
        np.testing.assert_array_equal(found.assignments, np.concatenate(clusters).T)
    for output in config["head"]["outputs"]:
        np.testing.assert_allclose(found.outputs[output], expected.outputs[output], rtol=0, atol=1e-12)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", BOTH_EMPTY)
def test_float64_outputs_agree(tmp_path, name, heads):
    config = config_with(**BOTH_EMPTY[name])
    hstu_heads = config["sequences"][0]["hstu"]["heads"]
    agree(tmp_path / "m.safetensors", config, seed=heads, bias_heads=min(heads, hstu_heads))


@pytest.mark.parametrize("name", KIND_CASES)
def test_every_kind(tmp_path, name):
    """Features, id mappings, sequences, attention and activations of every kind."""
    agree(tmp_path / "m.safetensors", config_of_every_kind(**KIND_CASES[name]), seed=3)


@pytest.mark.parametrize("name", VQL_CASES)
def test_vql(tmp_path, name):
    """Quantised keys alone, and last between the sequences of other kinds."""
    config = config_of_vql(**VQL_CASES[name])
    agree(tmp_path / "m.safetensors", config, seed=3)
    every = config_of_every_kind()
    every["sequences"].insert(1, config["sequences"][0])
    agree(tmp_path / "m.safetensors", every, seed=3)


@pytest.mark.parametrize("name", SEARCH_CASES)
def test_search(tmp_path, name):
    agree(tmp_path / "m.safetensors", search_case(name), seed=3)


@pytest.mark.parametrize("name", HSTU_CASES)
def test_hstu(tmp_path, name):
    agree(tmp_path / "m.safetensors", config_of_hstu(**HSTU_CASES[name]), seed=3)


def test_sdim(tmp_path):
    agree(tmp_path / "m.safetensors", config_of_sdim(), seed=3)


def test_training_refuses_what_cannot_be_converted():
    """So that nobody trains for hours what no model file can hold."""
    from vqrank_train.config import Config, ConfigError

    Config.read(CONFIG)
    configs = [edited(path, value) for path, value, _ in CONFIG_CASES]
    configs += [edited_search(kind, path, value) for kind, path, value, _ in SEARCH_CONFIG_CASES]
    configs += [set_at(base(), ("sequences", 0, *path), value) for base, path, value, _ in BASELINE_CASES]
    for config in configs + [edited_vql(path, value) for path, value, _ in VQL_CONFIG_CASES]:
        with pytest.raises(ConfigError, match=r"^config.*[^\n]$"):
            pytest.fail(f"trained: {Config.read(config)}")


def test_conversion_refuses_what_cannot_be_trained():
    """A checkpoint of another program is held to the same specification."""
    import test_training_attention as attention
    import test_training_baselines as baselines
    import test_training_features as features
    import test_training_quantizers as quantizers

    for legal in (baselines.SDIM, baselines.SIM, baselines.TWIN, baselines.HSTU):
        reference.parse_config(baselines.with_sequence(legal))
    for legal in (attention.refused_config({}), features.CONFIG, quantizers.CONFIG):
        reference.parse_config(legal)
    configs = [baselines.with_sequence(sequence) for sequence, _ in baselines.REFUSED]
    for module in (attention, features, quantizers):
        configs += [module.refused_config(change) for change, _ in module.REFUSED]
    assert len(configs) > 40
    for config in configs:
        with pytest.raises(ConversionError, match=r"^config.*[^\n]$"):
            pytest.fail(f"converted: {reference.parse_config(config)}")
