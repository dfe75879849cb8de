"""Training of vql sequences: batched states are those of single requests, what learns, and dead codewords."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training_commits import request_of
from training_data import write_commits

from vqrank_train.checkpoint import load_checkpoint
from vqrank_train.commits.data import Commits
from vqrank_train.predict import predict
from vqrank_train.trainer.blocks import blocks
from vqrank_train.trainer.fit import Trainer, loss_of
from vqrank_train.trainer.inputs import Inputs
from vqrank_train.trainer.revive import EVERY, revive
from vqrank_train.trainer.scoring import logits, score

ROOT = Path(__file__).resolve().parents[2]
HEADS = [{"item": 6}, {"folder": 6}, {"stem": 6}]


@pytest.fixture(scope="module")
def commits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_commits(folder)
    return Commits(folder)


def spec(terms):
    """The example's features over one vql sequence of three heads in two groups, heads not in order."""
    found = json.loads((ROOT / "training" / "configs" / "dmqn-simple.json").read_text())
    groups = [{"heads": [2, 0], "codewords": 12}, {"heads": [1], "codewords": 5}]
    found["model"]["sequences"] = [
        {"name": "keys", "kind": "vql", "heads": 3, "dim": 16, "v_dim": 8, "groups": groups, "decay_terms": terms}
    ]
    found["start"] = {"keys": {"heads": HEADS}, "head": "plain"}
    found["training"] |= {"steps": 4, "batch": 2, "validate": 2, "validation_moments": 20, "gradient_events": 8}
    return found


@pytest.fixture(scope="module", params=[0, 1, 3])
def trained(request, commits, tmp_path_factory):
    """A trainer after its few steps, and its checkpoint."""
    out = tmp_path_factory.mktemp("run")
    trainer = Trainer(commits, spec(request.param), out, 0, torch.device("cpu"))
    trainer.run()
    return trainer, out / "model.safetensors"


def fast_kernel(module):
    """Half lives that matter over the few thousand seconds of the test's histories."""
    for name, parameter in module.named_parameters():
        if name.endswith(".decay"):
            with torch.no_grad():
                parameter.copy_(torch.tensor([1e-2, 1e-3, 0.0], dtype=parameter.dtype)[: parameter.shape[1]])


def test_batched_scores_are_those_of_single_requests(commits, trained):
    module = load_checkpoint(trained[1]).double()
    fast_kernel(module)
    _, _, test = commits.parts()
    test.history[0] = 0  # the first of a block: nothing to attend to yet
    sample = commits.sample(test, np.random.default_rng(0))
    scores = score(module, Inputs(commits, module.config), test, sample, size=5)
    for m in (0, 1, 4, len(test) // 2, len(test) - 1):
        own = sample.moment == m
        request = request_of(commits, module.config.source, test, m, sample.item[own])
        found = predict(module, request | {"time": int(test.time[m])})
        assert found.outputs["touch"] == pytest.approx(1 / (1 + np.exp(-scores[own].astype(float))), rel=1e-4)


def test_events_apart_from_their_clusters_change_no_value(commits, trained):
    """Straight-through in training: the forward pass is the exact attention."""
    module = load_checkpoint(trained[1]).double().eval()
    fast_kernel(module)
    training = trained[0].training
    which = np.arange(0, len(training), 40)
    batch = list(blocks(training, commits.sample(training, np.random.default_rng(1), which), 4))
    inputs, losses = Inputs(commits, module.config), []
    exact = logits(module, inputs, batch)
    with_gradient = logits(module, inputs, batch, tau=0.1, gradient_events=8, losses=losses)
    for a, b in zip(exact, with_gradient, strict=True):
        torch.testing.assert_close(a, b)
    assert len(losses) == 2 and all(loss > 0 for loss in losses)


def test_keys_and_codewords_learn(commits, trained):
    trainer = trained[0]
    sample = trainer.batches.sample(commits, 0, 0)
    loss = loss_of(trainer.module, trainer.inputs, trainer.training, sample, trainer.options, 0.1)
    trainer.optimizer.zero_grad()
    loss.backward()
    own = trainer.module.sequences["keys"].vql
    for name in ("k", "v", "q"):
        assert getattr(own, name).weight.grad.abs().max() > 0
    assert all(group.codebook.grad.abs().max() > 0 for group in own.groups)
    if trainer.module.config.sequences[0].decay_terms:
        assert own.mix.grad.abs().max() > 0 and own.decay.grad is None


def test_forgotten_clusters_have_gradients(commits, trained):
    """Events so old that their weight is hardly a number of float32, or none."""
    trainer = trained[0]
    if not trainer.module.config.sequences[0].decay_terms:
        return
    module = load_checkpoint(trained[1])
    for rate in (0.02, 0.1, 1.0):
        for name, parameter in module.named_parameters():
            if name.endswith(".decay"):
                torch.nn.init.constant_(parameter, rate)
        sample = trainer.batches.sample(commits, 0, 0)
        module.zero_grad()
        loss_of(module, trainer.inputs, trainer.training, sample, trainer.options, 0.1).backward()
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


def test_dead_codewords_take_the_key_of_an_event(trained):
    trainer = trained[0]
    vql = trainer.module.sequences["keys"]
    group, codebook = vql.groups[0]
    with torch.no_grad():
        codebook[3] = 1e6  # far from every key
    before = codebook.detach().clone()
    revive(trainer.module, trainer.inputs, EVERY - 1, 1000)
    assert torch.equal(codebook, before)
    revive(trainer.module, trainer.inputs, EVERY, 1000)
    keys = vql.keys(trainer.module.embed("event", trainer.inputs.events, (len(trainer.inputs.time),)), group)
    assert (keys - codebook[3]).abs().amax(-1).min() < 1e-5
