"""Attention by an MLP, sequences of last events and activations against sections 2 and 6 of the specification, in loops
over plain Python numbers; and what training adds to them."""

import copy
import itertools
import math
import re

import pytest
import torch
from random_models import ACTIVATIONS, random_module

from vqrank_train.checkpoint import CheckpointError, build
from vqrank_train.config import Config, ConfigError
from vqrank_train.model import Ranker
from vqrank_train.model.activations import DICE_MOMENTUM, activate, add_activation
from vqrank_train.predict import predict

CONFIG = {
    "format": 1,
    "name": "attention",
    "tables": {"item": {"rows": 9, "dim": 3, "ids": "direct"}},
    "event": [{"name": "item", "kind": "id", "table": "item"}, {"name": "age", "kind": "float"}],
    "candidate": [{"name": "price", "kind": "float"}, {"name": "item", "kind": "id", "table": "item"}],
    "sequences": [],
    "head": {"hidden": [4, 3], "activation": "relu", "outputs": ["a", "b"]},
}
SHORT = {"name": "short", "kind": "din", "last": 3}
LONG = {"name": "long", "kind": "dmqn", "codebooks": 2, "codewords": 4, "hstu": {"layers": 0}}
EVENTS = [{"item": i, "age": age} for i, age in ((1, 0.5), (2, -1), (8, 2), (3, 0.25), (2, 1))]
REQUEST = {"id": "r", "events": EVENTS, "candidates": [{"item": 2, "price": 0.75}, {"item": 7}, {"price": -2}]}


def with_sequences(sequences, activation="relu"):
    config = copy.deepcopy(CONFIG)
    config["sequences"] = sequences
    config["head"]["activation"] = activation
    return config


def act(kind, x, name, state, place):
    """The activation of one number: `place` is its unit, or codebook and unit."""
    own = {p: state[f"{name}.{p}"][place].item() for p in ("alpha", "mean", "var") if f"{name}.{p}" in state}
    if kind == "dice":
        p = 1 / (1 + math.exp(-(x - own["mean"]) / math.sqrt(own["var"] + 1e-9)))
        return p * x + (1 - p) * own["alpha"] * x
    return {
        "relu": lambda: x if x > 0 else 0.0,
        "leaky_relu": lambda: x if x > 0 else 0.01 * x,
        "prelu": lambda: x if x > 0 else own["alpha"] * x,
        "silu": lambda: x / (1 + math.exp(-x)),
        "gelu": lambda: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
        "tanh": lambda: math.tanh(x),
    }[kind]()


def linear(x, name, state, j=()):
    weight, bias = state[f"{name}.weight"][j].tolist(), state[f"{name}.bias"][j].tolist()
    return [b + sum(w * v for w, v in zip(row, x, strict=True)) for row, b in zip(weight, bias, strict=True)]


def mlp(x, name, layers, activation, state, j=()):
    for layer in range(layers):
        place = f"{name}.{layer}"
        x = linear(x, place, state, j)
        if layer < layers - 1:
            x = [act(activation, v, place, state, (*j, unit)) for unit, v in enumerate(x)]
    return x


def softmax(logits):
    powers = [math.exp(v - max(logits)) for v in logits]
    return [p / sum(powers) for p in powers]


def weighted(weights, rows):
    return [sum(w * row[i] for w, row in zip(weights, rows, strict=True)) for i in range(len(rows[0]))]


def attend(attention, name, tokens, t, state, j=()):
    """One candidate's interest in the tokens, of codebook `j` or of a sequence without codebooks."""
    if attention["kind"] == "din":
        target = linear(t, f"{name}.q", state, j)
        weights = []
        for y in tokens:
            pairs = list(zip(target, y, strict=True))
            x = [*target, *y, *(a - b for a, b in pairs), *(a * b for a, b in pairs)]
            layers = len(attention["hidden"]) + 1
            weights += mlp(x, f"{name}.mlp", layers, attention["activation"], state, j)
        return weighted(softmax(weights) if attention.get("softmax") else weights, tokens)
    q = linear(t, f"{name}.q", state, j)
    keys, values = ([linear(y, f"{name}.{part}", state, j) for y in tokens] for part in "kv")
    d, o = attention["dim"], []
    for head in range(attention["heads"]):
        rows = slice(head * d, (head + 1) * d)
        logits = [sum(a * b for a, b in zip(q[rows], k[rows], strict=True)) / math.sqrt(d) for k in keys]
        o += weighted(softmax(logits), [v[rows] for v in values])
    return linear(o, f"{name}.out", state, j) if attention.get("out") else o


def expected(config, state, request, assignments):
    """Outputs of every candidate, [C][outputs]."""
    item = state["tables.item.weight"].tolist()
    e = [[*item[event["item"]], event["age"]] for event in request["events"]]
    found = []
    for candidate in request["candidates"]:
        t = [candidate.get("price", 0), *item[candidate.get("item", 0)]]
        x = list(t)
        for sequence in config["sequences"]:
            attention, name = sequence["attention"], f"sequences.{sequence['name']}.attention"
            if sequence["kind"] == "din":
                x += attend(attention, name, e[-sequence["last"] :], t, state)
                continue
            for j, assigned in enumerate(assignments[sequence["name"]].tolist()):
                tokens = []
                for k in sorted(set(assigned)):
                    own = [row for row, cluster in zip(e, assigned, strict=True) if cluster == k]
                    tokens.append([sum(column) / len(own) for column in zip(*own, strict=True)])
                x += attend(attention, name, tokens, t, state, (0 if attention["share"] else j,))
        head = config["head"]
        logits = mlp(x, "head", len(head["hidden"]) + 1, head["activation"], state)
        found.append([1 / (1 + math.exp(-v)) for v in logits])
    return found


def check(config, seed=1):
    module = random_module(config, seed).double()
    found = predict(module, REQUEST)
    rows = expected(config, module.state_dict(), REQUEST, found.assignments)
    for i, name in enumerate(config["head"]["outputs"]):
        assert found.outputs[name] == pytest.approx([row[i] for row in rows], rel=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [[], [5], [6, 3]])
@pytest.mark.parametrize("softmax_", [False, True])
def test_din_attention(activation, hidden, softmax_):
    attention = {"kind": "din", "hidden": hidden, "activation": activation, "softmax": softmax_}
    longs = [LONG | {"name": f"l{share:d}", "attention": attention | {"share": share}} for share in (False, True)]
    check(with_sequences([longs[0], SHORT | {"attention": attention}, longs[1]], activation))


@pytest.mark.parametrize("last", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("out", [False, True])
def test_din_sequence_with_dot_attention(last, out):
    attention = {"kind": "dot", "heads": 2, "dim": 3, "out": out}
    long = LONG | {"attention": {"kind": "dot", "heads": 1, "dim": 2, "share": False}}
    check(with_sequences([SHORT | {"last": last, "attention": attention}, long]))


DIN = {"kind": "din", "hidden": [4], "activation": "dice"}


@pytest.mark.parametrize("attention", [{"kind": "dot", "heads": 2, "dim": 3}, DIN, DIN | {"softmax": True}])
def test_padding_and_batches_change_nothing(attention):
    """States of different lengths in one batch, absent events anywhere, with values that may not be looked at."""
    module = random_module(with_sequences([SHORT | {"attention": attention}]), 3).double().sequences["short"]
    e, t = torch.randn(3, 5, 4).double(), torch.randn(3, 2, 4).double()
    present = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    together = module(torch.where(present[..., None], e, 1e9), present, t)
    assert not together[1].any()
    for b in (0, 2):
        own = e[b, present[b]][None]
        alone = module(own, torch.ones(own.shape[:2]).bool(), t[b : b + 1])
        torch.testing.assert_close(together[b], alone[0], rtol=1e-12, atol=0)


def test_no_events_is_a_zero_interest():
    din = {"kind": "din", "hidden": [], "activation": "relu"}
    for attention in (din, din | {"softmax": True}, {"kind": "dot", "heads": 1, "dim": 2, "out": True}):
        config = with_sequences([SHORT | {"attention": attention}, LONG | {"attention": attention}])
        module = random_module(config, 5).double()
        found = predict(module, REQUEST | {"events": []}).outputs
        for name in module.state_dict():
            if name.startswith("sequences."):
                module.state_dict()[name].zero_()
        assert predict(module, REQUEST | {"events": []}).outputs == found


def test_tensor_names():
    attention = {"kind": "din", "hidden": [5], "activation": "dice"}
    config = with_sequences([SHORT | {"attention": attention}, LONG | {"attention": attention}], "prelu")
    shapes = {name: list(tensor.shape) for name, tensor in Ranker(Config.read(config)).state_dict().items()}
    found = {name.removeprefix("sequences.short.attention."): s for name, s in shapes.items() if ".short." in name}
    layers = {"mlp.0.weight": [5, 16], "mlp.1.weight": [1, 5], "mlp.1.bias": [1]}
    hidden = {f"mlp.0.{name}": [5] for name in ("bias", "alpha", "mean", "var")}
    assert found == {"q.weight": [4, 4], "q.bias": [4], **layers, **hidden}
    stacked = {name.replace(".long.", ".short."): s for name, s in shapes.items() if ".long.attention." in name}
    assert stacked == {f"sequences.short.attention.{name}": [2, *shape] for name, shape in found.items()}
    head = {name: shape for name, shape in shapes.items() if name.startswith("head.")}
    assert [head[f"head.{layer}.alpha"] for layer in (0, 1)] == [[4], [3]] and "head.2.alpha" not in head


@pytest.mark.parametrize(("part", "value", "least"), [("decay", -1e-9, "at least 0"), ("mix", 0.0, "above 0")])
def test_a_temporal_kernel_that_is_none_is_refused(part, value, least):
    vql = {"name": "keys", "kind": "vql", "heads": 2, "dim": 3, "v_dim": 2, "decay_terms": 2}
    config = with_sequences([vql | {"groups": [{"heads": [1, 0], "codewords": 3}]}])
    state = random_module(config, 1).state_dict()
    build(config, state)
    state[f"sequences.keys.vql.{part}"][1, 0] = value
    with pytest.raises(CheckpointError, match=rf"sequences\.keys\.vql\.{part}: expected .*{least}, found"):
        build(config, state)


def test_negative_variance_is_refused():
    config = with_sequences([SHORT | {"attention": {"kind": "dot", "heads": 1, "dim": 1}}], "dice")
    state = random_module(config, 1).state_dict()
    state["head.1.var"][2] = -0.5
    with pytest.raises(CheckpointError, match=r"head\.1\.var: .* -0\.5"):
        build(config, state)


REFUSED = [
    ({"last": 0}, "last"),
    ({"codebooks": 2}, 'unknown key "codebooks"'),
    ({"attention": {"kind": "dot", "heads": 1, "dim": 1, "share": True}}, 'unknown key "share"'),
    ({"attention": {"kind": "dot", "heads": 1, "dim": 1, "count_bias": True}}, 'unknown key "count_bias"'),
    ({"attention": {"kind": "din", "hidden": [4], "activation": "dice", "heads": 1}}, 'unknown key "heads"'),
    ({"attention": {"kind": "din", "hidden": [4]}}, '"activation" is required'),
    ({"attention": {"kind": "din", "hidden": [0], "activation": "relu"}}, "integers from 1 to 1048576, found 0"),
    ({"attention": {"kind": "din", "hidden": [], "activation": "sigmoid"}}, "one of relu"),
    ({"kind": "gru"}, "one of dmqn, din, vql"),
    ({"name": "sh ort"}, "letters, digits"),
]


def refused_config(change):
    return with_sequences([SHORT | {"attention": {"kind": "dot", "heads": 1, "dim": 1}} | change])


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_config_refusals(change, message):
    with pytest.raises(ConfigError, match=message):
        Config.read(refused_config(change))


def test_refusals_are_short():
    """One line, of what JSON calls things, however much stands where it should not."""
    keys = ("name", "kind", "last", "attention", "x" * 5000)
    for key, value in itertools.product(keys, ([0] * 5000, "\n" * 5000, {"a": [{}] * 5000}, -(10**9000), None)):
        with pytest.raises(ConfigError, match=r"^config\.sequences\[0\][^\n]{,180}\Z") as error:
            Config.read(refused_config({key: value}))
        assert not re.search(r"\b(dict|list|str|int|bool|float|None)\b", str(error.value))


# ---- Training ----


def layer_with(activation, shape):
    layer = torch.nn.Module()
    add_activation(layer, activation, shape)
    return layer.double()


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 3)])
def test_dice_keeps_the_statistics_of_rows_that_exist(shape):
    layer = layer_with("dice", shape).train()
    x = torch.randn(4, 2, 5, 3).double() * 3 + 1
    present = torch.rand(4, 2, 5) < 0.6
    y = activate(layer, "dice", x, present)
    for j in range(shape[0] if len(shape) == 2 else 1):
        own = slice(j, j + 1) if shape == (2, 3) else slice(None)
        rows = x[:, own][present[:, own]]
        place = (j,) if len(shape) == 2 else ()
        mean, var = rows.mean(0), rows.var(0, unbiased=False)
        torch.testing.assert_close(layer.mean[place], DICE_MOMENTUM * mean)
        torch.testing.assert_close(layer.var[place], 1 - DICE_MOMENTUM + DICE_MOMENTUM * var)
        p = torch.sigmoid((x[:, own] - mean) / var.sqrt())  # alpha starts at 0
        torch.testing.assert_close(y[:, own], p * x[:, own], rtol=1e-6, atol=1e-8)
    before = layer.mean.clone()
    activate(layer.eval(), "dice", x)
    assert torch.equal(layer.mean, before)


@pytest.mark.parametrize("kind", ["dot", "din"])
def test_every_parameter_learns(kind):
    """A step of training in float32 reaches every parameter but those that a loss of this kind cannot."""
    attention = {"dot": {"kind": "dot", "heads": 2, "dim": 3, "out": True}}.get(
        kind, {"kind": "din", "hidden": [5, 4], "activation": "dice"}
    )
    config = with_sequences([SHORT | {"attention": attention}, LONG | {"attention": attention}], "prelu")
    module = random_module(config, 2).train()
    # So many candidates that every unit of the head meets both signs.
    e, t = torch.randn(3, 6, 4), torch.randn(3, 16, 4)
    dmqn = module.dmqn("long")
    interests = dmqn.interests(torch.randn(3, 2, 4, 4), torch.randint(0, 3, (3, 2, 4)))
    found = [module.sequences["short"](e, torch.ones(3, 6).bool(), t), dmqn.attention(interests, t)]
    module.logits(torch.zeros(3, 0), torch.zeros(3, 0), t, found).square().sum().backward()
    # Tables and codewords are not in this loss; bk moves all of a softmax's logits alike.
    untouched = {n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-6}
    unreachable = {"tables.item.weight", "sequences.long.projection", "sequences.long.codebook"}
    assert untouched - {f"sequences.{s}.attention.k.bias" for s in ("short", "long")} == unreachable


def test_din_attention_starts_on_matches():
    """A new sequence of last events attends most to the event that is the candidate's item."""
    config = with_sequences([SHORT | {"attention": {"kind": "dot", "heads": 2, "dim": 8}}])
    torch.manual_seed(0)
    module = Ranker(Config.read(config)).eval()
    attention = module.sequences["short"].attention
    e = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
    for a, b in itertools.permutations(range(50), 2):
        q = attention.q(torch.cat([torch.zeros(1), e[a]]))
        same, other = (attention.k(torch.cat([row, torch.zeros(1)])) for row in (e[a], e[b]))
        for head in (slice(0, 8), slice(8, 16)):
            match, miss = ((q[head] @ k[head]).item() / math.sqrt(8) for k in (same, other))
            assert match == pytest.approx(4.0, rel=1e-4) and miss < match
