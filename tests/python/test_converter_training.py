"""Two readings of the specification, by different hands: the NumPy reference and the training package's PyTorch."""

import json

import numpy as np
import pytest
from converter_support import CASES, config_with, weights, write

from vqrank_convert import golden, reference

pytest.importorskip("torch")
pytest.importorskip("vqrank_train")

BOTH_EMPTY = {**CASES, "zero toeplitz": {"sequence": {"empty": "zero"}, "hstu": {"bias": "toeplitz", "norm": "group"}}}


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", BOTH_EMPTY)
def test_float64_outputs_agree(tmp_path, name, heads):
    import torch

    from vqrank_train.checkpoint import load_checkpoint
    from vqrank_train.predict import predict

    config = config_with(**BOTH_EMPTY[name])
    out = config["sequences"][0]["attention"].get("out")
    tensors = weights(config, seed=heads, bias_heads=min(heads, config["sequences"][0]["hstu"]["heads"]))
    if out:  # a width in the config is the converter's own; the specification's is true or false
        config["sequences"][0]["attention"]["out"] = True
    module = load_checkpoint(write(tmp_path / "m.safetensors", config, tensors), dtype=torch.float64)
    parsed = reference.resolve(reference.parse_config(config), {key: value.shape for key, value in tensors.items()})
    request = json.loads(golden.make(parsed, tensors).request)
    expected = predict(module, request)
    found = reference.score(config, tensors, request)
    np.testing.assert_array_equal(found.assignments, expected.assignments["long"].numpy().T)
    for output in config["head"]["outputs"]:
        np.testing.assert_allclose(found.outputs[output], expected.outputs[output], rtol=0, atol=1e-12)
