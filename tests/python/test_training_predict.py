"""The exact inference of one request against numbers worked out by hand, and its refusals."""

import copy
import json
import math

import numpy as np
import pytest
import torch

from vqrank_train.checkpoint import CheckpointError, build, load_checkpoint, read_checkpoint, save_checkpoint
from vqrank_train.config import Config, ConfigError
from vqrank_train.model import Ranker
from vqrank_train.predict import RequestError, predict

CONFIG = {
    "format": 1,
    "name": "tiny",
    "tables": {
        "item": {"rows": 4, "dim": 2, "ids": "direct"},
        "keys": {"rows": 3, "dim": 1, "ids": "vocabulary", "keys": ["A", 7]},
    },
    "user": [{"name": "age", "kind": "float", "mean": 30, "std": 10}],
    "event": [{"name": "item", "kind": "id", "table": "item"}, {"name": "time", "kind": "time"}],
    "candidate": [{"name": "item", "kind": "id", "table": "item"}, {"name": "key", "kind": "id", "table": "keys"}],
    "sequences": [
        {
            "name": "long",
            "kind": "dmqn",
            "codebooks": 1,
            "codewords": 2,
            "hstu": {"layers": 0},
            "attention": {"kind": "dot", "heads": 1, "dim": 2, "count_bias": True},
        }
    ],
    "head": {"hidden": [], "activation": "relu", "outputs": ["ctr"]},
}


def tiny(**sequence):
    config = copy.deepcopy(CONFIG)
    config["sequences"][0].update(sequence)
    state = {
        "tables.item.weight": [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 0.0]],
        "tables.keys.weight": [[0.0], [1.0], [-1.0]],
        "sequences.long.projection": [[[1.0, 0.0], [0.0, 1.0]]],
        "sequences.long.codebook": [[[1.0, 0.0], [0.0, 1.0]]],
        "sequences.long.attention.q.weight": [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]],
        "sequences.long.attention.k.weight": [[[1.0, 0.0], [0.0, 1.0]]],
        "sequences.long.attention.v.weight": [[[1.0, 0.0], [0.0, 1.0]]],
        "sequences.long.attention.v.bias": [[0.5, 0.0]],
        # user age, candidate item (2), key, interest (2)
        "head.0.weight": [[0.1, 0.0, 0.0, 1.0, 0.3, 0.4]],
    }
    return build(
        config, {name: torch.tensor(value, dtype=torch.float64) for name, value in state.items()}, torch.float64
    )


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_hand_computed():
    # Items 1 and 3 fall into cluster 0 (mean [2, 0]), item 2 into cluster 1 (mean [0, 2]).
    request = {
        "id": "r",
        "user": {"age": 50},
        "events": [{"item": 1, "time": 5}, {"item": 3}, {"item": 2}],
        "candidates": [{"item": 1, "key": "A"}, {"item": 9, "key": "7"}, {"key": 7}],
    }
    found = predict(tiny(), request)
    assert found.assignments["long"].tolist() == [[0, 0, 1]]
    assert found.margins["long"].tolist() == [[1.0, 3.0, 2.0]]
    assert found.unknown == 2  # item 9, and "7", which is not 7

    first = 2 * math.exp(2 / math.sqrt(2))  # candidate [1, 0]: q.K = 2 and 0, two events and one
    w = first / (first + 1)
    expected = [sigmoid(0.2 + 1.0 + 0.3 * (2 * w + 0.5) + 0.4 * (2 * (1 - w)))]
    for key in (0.0, -1.0):  # candidate [0, 0]: weights 2/3 and 1/3
        expected.append(sigmoid(0.2 + key + 0.3 * (4 / 3 + 0.5) + 0.4 * 2 / 3))
    assert found.outputs["ctr"] == pytest.approx(expected, rel=1e-14)


def test_forced_assignments():
    request = {"id": "r", "events": [{"item": 1}], "candidates": [{}]}
    forced = predict(tiny(), request, assignments={"long": torch.tensor([[1]])})
    assert forced.assignments["long"].tolist() == [[1]]
    assert forced.margins["long"].tolist() == [[1.0]]
    assert forced.outputs == predict(tiny(), request).outputs  # one cluster, wherever it is


def test_no_events_is_a_zero_interest():
    for empty in ("masked", "zero"):
        assert predict(tiny(empty=empty), {"id": "r", "candidates": [{}]}).outputs["ctr"] == [0.5]
    assert predict(tiny(), {"id": "r", "candidates": []}).outputs == {"ctr": []}


def test_empty_clusters():
    request = {"id": "r", "events": [{"item": 1}], "candidates": [{"item": 1}]}
    masked = sigmoid(0.3 * 1.5)
    w = sigmoid(1 / math.sqrt(2))
    zero = sigmoid(0.3 * (w + 0.5))
    assert predict(tiny(), request).outputs["ctr"] == pytest.approx([masked], rel=1e-14)
    assert predict(tiny(empty="zero"), request).outputs["ctr"] == pytest.approx([zero], rel=1e-14)


def test_lowest_index_wins_a_tie():
    module = tiny()
    found = predict(module, {"id": "r", "events": [{}, {"item": 0}], "candidates": []})
    assert found.assignments["long"].tolist() == [[0, 0]]
    assert found.margins["long"].tolist() == [[0.0, 0.0]]


def test_float_is_rounded_once_to_fp32():
    module = tiny()
    value = 30.1
    rounded = torch.tensor((value - 30) / 10, dtype=torch.float64).float().double().item()
    found = predict(module, {"id": "r", "user": {"age": value}, "candidates": [{}]})
    assert found.outputs["ctr"] == [torch.sigmoid(torch.tensor(0.1 * rounded, dtype=torch.float64)).item()]
    predict(module, {"id": "r", "user": {"age": 1e6}, "candidates": [{}]})  # the limit of 4096 is for events


def test_training_assigns_by_noisy_scores():
    """Logits s / tau plus Gumbel noise pick a codeword as often as softmax(s / tau) says; one-hot forward, and in the
    gradient the softmax of the same noisy logits."""
    dmqn = tiny().dmqn("long")
    scores = torch.tensor([2.0, 1.0, 0.0]).double().expand(1, 40000, 3).clone().requires_grad_()
    weights = torch.tensor([1.0, -2.0, 5.0]).double()
    for tau in (0.5, 2.0):
        torch.manual_seed(3)
        hard = dmqn.sample(scores, tau)
        assert ((hard == 0) | (hard == 1)).all() and (hard.sum(-1) == 1).all()
        expected = (torch.tensor([2.0, 1.0, 0.0]).double() / tau).softmax(-1)
        torch.testing.assert_close(hard.detach().mean((0, 1)), expected, rtol=0, atol=0.01)
        torch.manual_seed(3)
        noise = -torch.empty_like(scores).exponential_().log()
        soft = (scores / tau + noise).softmax(-1)
        found, wanted = (torch.autograd.grad((z * weights).sum(), scores)[0] for z in (hard, soft))
        torch.testing.assert_close(found, wanted)


def test_an_output_that_is_not_finite():
    module = tiny().float()
    with torch.no_grad():
        module.layers[0].weight[0, 1] = 3e38
        module.tables["item"].weight[3] = 3e38
    with pytest.raises(RequestError) as error:
        predict(module, {"id": "r", "candidates": [{"item": 3}]})
    assert error.value.code == "overflow"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"id": 1, "candidates": [{"item": 1.0}]}, "type"),
        ({"id": 1, "candidates": [{"item": True}]}, "type"),
        ({"id": 1, "candidates": [{"item": "1"}]}, "type"),
        ({"id": 1, "candidates": [{"itm": 1}]}, "unknown"),
        ({"id": 1, "candidates": [], "events": [{"time": 1.5}]}, "type"),
        ({"id": 1, "candidates": [], "user": {"age": 1e300}}, "range"),
        ({"id": 1, "candidates": [], "extra": 1}, "unknown"),
        ({"id": 1}, "missing"),
    ],
)
def test_refusals(request_, code):
    with pytest.raises(RequestError) as error:
        predict(tiny(), request_)
    assert error.value.code == code


OPTIONS = [
    {"bias": "none"},
    {"bias": "toeplitz", "normalize": "tokens", "norm": "group"},
    {"pre_norm": True, "affine": False, "normalize": {"constant": 7}, "residual": True, "share": True, "eps": 1e-6},
    {"activate": "u", "alpha": "rsqrt", "output": "concat_raw", "normalize": "attended", "pre_norm": True},
    {"output": "concat", "layers": 2},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("empty", ["masked", "zero"])
@pytest.mark.parametrize("per_head", [False, True])
def test_hstu_options_against_plain_loops(options, empty, per_head):
    config = copy.deepcopy(CONFIG)
    hstu = {"layers": 1, "heads": 2, "qk_dim": 3, "v_dim": 2, **options}
    config["sequences"][0].update(codebooks=3, codewords=5, empty=empty, hstu=hstu)
    config["sequences"][0]["attention"].update(out=True, share=True)
    config["head"] = {"hidden": [4], "activation": "silu", "outputs": ["a", "b"]}
    torch.manual_seed(1)
    module = Ranker(Config.read(config), bias_per_head=per_head).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter))
    request = {"id": "r", "events": [{"item": i} for i in (1, 2, 3, 3, 2)], "candidates": [{"item": 1}, {"key": "A"}]}
    found = predict(module, request)
    expected = plain(module.state_dict(), config, found.assignments["long"].tolist())
    assert [found.outputs["a"], found.outputs["b"]] == [pytest.approx(row, rel=1e-11) for row in expected]


def plain(state, config, clusters):
    """Section 2 and 4 of the specification once more, codebook by codebook, occupied tokens only, in loops."""
    sequence = config["sequences"][0]
    hstu = {"affine": True, "eps": 1e-5, "norm": "layer", "normalize": "one", "output": "gated", **sequence["hstu"]}
    item = state["tables.item.weight"]
    e = item[[1, 2, 3, 3, 2]]
    t = torch.cat([item[[1, 0]], state["tables.keys.weight"][[0, 1]]], 1)
    interests = []
    w = sequence["codewords"]
    for j, assigned in enumerate(clusters):

        def own(name, j=j):
            tensor = state[f"sequences.long.{name}"]
            return tensor[j if tensor.shape[0] > 1 else 0]

        tokens = [k for k in range(w) if k in assigned or sequence["empty"] == "zero"]
        counts = torch.tensor([float(assigned.count(k)) for k in tokens]).double()
        rows = [[i for i, k in enumerate(assigned) if k == token] for token in tokens]
        y = torch.stack([e[r].mean(0) if r else torch.zeros(2).double() for r in rows])
        for layer in range(hstu["layers"]):
            y = plain_hstu(hstu, y, tokens, w, lambda name, p=f"hstu.{layer}.": own(p + name))
        q = t @ own("attention.q.weight").T + own("attention.q.bias")
        key = y @ own("attention.k.weight").T + own("attention.k.bias")
        v = y @ own("attention.v.weight").T + own("attention.v.bias")
        weights = (q @ key.T / math.sqrt(2) + counts.clamp(min=1).log()).softmax(-1)
        interests.append(weights @ v @ own("attention.out.weight").T + own("attention.out.bias"))
    x = torch.cat([torch.zeros(2, 1).double(), t, *interests], 1)
    x = x @ state["head.0.weight"].T + state["head.0.bias"]
    x = x / (1 + torch.exp(-x))
    return torch.sigmoid(x @ state["head.1.weight"].T + state["head.1.bias"]).T.tolist()


def plain_hstu(hstu, x, tokens, w, own):
    def norm(y, name):
        y = (y - y.mean(-1, keepdim=True)) / torch.sqrt(y.var(-1, unbiased=False, keepdim=True) + hstu["eps"])
        return y * own(name + ".weight") + own(name + ".bias") if hstu["affine"] and name else y

    def silu(y):
        return y / (1 + torch.exp(-y))

    heads, dqk, dv = hstu["heads"], hstu["qk_dim"], hstu["v_dim"]
    f = (norm(x, "pre_norm") if hstu.get("pre_norm") else x) @ own("f1.weight").T + own("f1.bias")
    u, v, q, k = f.split([heads * dv, heads * dv, heads * dqk, heads * dqk], -1)
    u, v, q, k = (silu(u), v, q, k) if hstu.get("activate") == "u" else map(silu, (u, v, q, k))
    scale = {"one": 1, "tokens": w, "attended": len(tokens)}.get(str(hstu["normalize"]), 7)
    out = []
    for h in range(heads):
        s = q[:, h * dqk : (h + 1) * dqk] @ k[:, h * dqk : (h + 1) * dqk].T
        if hstu.get("alpha") == "rsqrt":
            s = s / math.sqrt(dqk)
        if hstu.get("bias", "dense") != "none":
            table = own("bias")
            table = table[h if table.shape[0] > 1 else 0]
            for a, i in enumerate(tokens):
                for b, j in enumerate(tokens):
                    s[a, b] += table[w - 1 + j - i] if hstu.get("bias") == "toeplitz" else table[i, j]
        out.append(silu(s) / scale @ v[:, h * dv : (h + 1) * dv])
    o = torch.cat(out, -1)
    if hstu["norm"] == "group":
        g = torch.cat([norm(y, "") for y in out], -1)
        g = g * own("norm.weight") + own("norm.bias") if hstu["affine"] else g
    else:
        g = norm(o, "norm")
    z = {"gated": [u * g], "concat": [u, g, u * g], "concat_raw": [u, o, u * g]}[hstu["output"]]
    y = torch.cat(z, -1) @ own("f2.weight").T + own("f2.bias")
    return y + x if hstu.get("residual") else y


def test_checkpoint_round_trip(tmp_path):
    module = tiny().float()
    save_checkpoint(tmp_path / "m.safetensors", module)
    again = load_checkpoint(tmp_path / "m.safetensors")
    assert again.config == module.config
    before = module.state_dict()
    assert list(again.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.state_dict().items())
    torch.save({"config": CONFIG, "state_dict": module.state_dict()}, tmp_path / "m.pt")
    assert predict(load_checkpoint(tmp_path / "m.pt"), {"id": 1, "candidates": [{}]}).outputs == {"ctr": [0.5]}
    torch.save({"config": json.dumps(CONFIG), "state_dict": module.state_dict()}, tmp_path / "m.pt")  # as JSON's text
    assert load_checkpoint(tmp_path / "m.pt").config == module.config


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_damaged_checkpoints(tmp_path, suffix):
    """Cut, or with bytes changed: a refusal of one line, or, where only weights changed, a model."""
    whole = tmp_path / f"whole.{suffix}"
    module = tiny().float()
    if suffix == "pt":
        torch.save({"config": CONFIG, "state_dict": module.state_dict()}, whole)
    else:
        save_checkpoint(whole, module)
    rng, content, refused = np.random.default_rng(3), whole.read_bytes(), 0
    path = tmp_path / f"bad.{suffix}"
    for cut in (0, 1, 8, *rng.integers(0, len(content), 40)):
        path.write_bytes(content[:cut])
        with pytest.raises(CheckpointError, match=r"^[^\n]*bad[^\n]*: expected a checkpoint, found damage: [^\n]+$"):
            read_checkpoint(path)
    for _ in range(60):
        bad = bytearray(content)
        for at in rng.integers(0, len(content), 4):
            bad[at] = rng.integers(0, 256)
        path.write_bytes(bad)
        try:
            load_checkpoint(path)
        except (CheckpointError, ConfigError) as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"config": CONFIG, "state_dict": [1]}, "state_dict: expected a dictionary of tensors, found a list"),
        ({"config": CONFIG, "state_dict": {"a": 1}}, "'a': expected a name and a plain tensor, found a int"),
        ({"config": CONFIG, "state_dict": {1: torch.zeros(1)}}, "1: expected a name and a plain tensor"),
        ({"config": CONFIG, "state_dict": {"a": torch.zeros(2).to_sparse()}}, "'a': expected a name and a plain "),
        ({"config": CONFIG, "state_dict": {"a": torch.zeros(2, device="meta")}}, "'a': expected a name and a plain "),
        ({"config": "{", "state_dict": {}}, "expected a checkpoint, found damage: JSONDecodeError"),
        ({"config": {(1, 2): 1}, "state_dict": {}}, "expected a checkpoint, found damage: TypeError"),
        ({"config": CONFIG}, "expected a dictionary of config and state_dict"),
    ],
)
def test_a_pt_file_of_other_content(tmp_path, content, message):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=rf"^[^\n]*m\.pt: {message}[^\n]*$"):
        load_checkpoint(tmp_path / "m.pt")


def test_a_file_that_is_not_there_is_no_damage(tmp_path):
    for name in ("m.pt", "m.safetensors"):
        with pytest.raises(FileNotFoundError):
            load_checkpoint(tmp_path / name)


def test_checkpoint_refusals():
    state = tiny().state_dict()
    with pytest.raises(CheckpointError, match=r"tables\.item\.weight: missing, expected shape \[4, 2\]"):
        build(CONFIG, {k: v for k, v in state.items() if "item" not in k})
    with pytest.raises(CheckpointError, match="extra"):
        build(CONFIG, {**state, "extra": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"expected shape \[1, 6\], found \[1, 5\]"):
        build(CONFIG, {**state, "head.0.weight": torch.zeros(1, 5)})
    with pytest.raises(CheckpointError, match="finite"):
        build(CONFIG, {**state, "head.0.bias": torch.tensor([math.nan])})
    with pytest.raises(CheckpointError, match="expected finite floating-point values"):
        build(CONFIG, {**state, "head.0.bias": torch.zeros(1, dtype=torch.complex64)})
    large = copy.deepcopy(CONFIG)
    for rows in (2**40, 2**62):  # more than there is memory, and than a tensor can have
        large["tables"]["item"]["rows"] = rows
        with pytest.raises(CheckpointError, match=r"tables\.item\.weight: expected shape|config: expected sizes"):
            build(large, state)


def test_config_refuses_unknown_keys():
    for path in ([], ["tables", "item"], ["sequences", 0], ["sequences", 0, "hstu"], ["head"], ["event", 0]):
        config = copy.deepcopy(CONFIG)
        place = config
        for key in path:
            place = place[key]
        place["surprise"] = 1
        with pytest.raises(ConfigError, match="surprise"):
            Config.read(config)
