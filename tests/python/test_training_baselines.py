"""Sequences of kinds sdim, sim_hard, twin and hstu against their formulas, in loops over plain Python numbers; and the
trainer's batched states against single requests."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training_attention import attend, linear, mlp, softmax, weighted
from test_training_commits import request_of
from training_data import write_commits

from vqrank_train.checkpoint import CheckpointError, build, load_checkpoint, save_checkpoint
from vqrank_train.commits.data import Commits
from vqrank_train.config import Config, ConfigError
from vqrank_train.model import Ranker
from vqrank_train.model.hstu_events import time_edges
from vqrank_train.predict import predict
from vqrank_train.trainer import baseline_interests
from vqrank_train.trainer.fit import Trainer, loss_of, parameter_groups
from vqrank_train.trainer.inputs import Inputs
from vqrank_train.trainer.scoring import score

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "format": 1,
    "name": "baselines",
    "tables": {
        "item": {"rows": 9, "dim": 3, "ids": "direct"},
        "group": {"rows": 4, "dim": 2, "ids": "vocabulary", "keys": ["a", "b", "c"]},
    },
    "event": [
        {"name": "item", "kind": "id", "table": "item"}, {"name": "group", "kind": "id", "table": "group"},
        {"name": "age", "kind": "float"}, {"name": "time", "kind": "time"},
    ],
    "candidate": [
        {"name": "price", "kind": "float"}, {"name": "group", "kind": "id", "table": "group"},
        {"name": "item", "kind": "id", "table": "item"},
    ],
    "sequences": [],
    "head": {"hidden": [4], "activation": "silu", "outputs": ["a", "b"]},
}  # fmt: skip
GROUPS = {"a": 1, "b": 2, "c": 3}
EVENTS = [
    {"item": item, "group": group, "age": age, "time": time}
    for item, group, age, time in (
        (1, "a", 0.5, 1_700_000_000), (2, "b", -1, 1_700_000_003), (8, "a", 2, 1_700_090_000), (3, "no", 0.25, None),
        (2, "a", 1, 1_699_000_000), (2, "b", 0.75, 1_700_090_000), (5, "a", -0.5, 1_705_000_000),
    )
]  # fmt: skip
CANDIDATES = [
    {"item": 2, "price": 0.75, "group": "a"}, {"item": 7, "group": "b"}, {"price": -2}, {"item": 8, "group": "c"},
]  # fmt: skip
DOT = {"kind": "dot", "heads": 2, "dim": 3}
DIN = {"kind": "din", "hidden": [5], "activation": "dice"}
MATCH = {"event": "group", "candidate": "group"}
SDIM = {"name": "x", "kind": "sdim", "hashes": 5, "bits": 2}
SIM = {"name": "x", "kind": "sim_hard", "last": 6, "top": 2, "match": MATCH, "attention": DOT}
TWIN = {"name": "x", "kind": "twin", "last": 6, "top": 2, "attention": DOT}
BLOCK = {"layers": 1, "heads": 2, "qk_dim": 3, "v_dim": 2}
HSTU = {"name": "x", "kind": "hstu", "last": 6, "hstu": BLOCK, "attention": DOT}


def with_sequence(sequence):
    config = copy.deepcopy(CONFIG)
    config["sequences"] = [sequence]
    return config


def random_module(config, seed):
    """Weights of about the size that training leaves."""
    torch.manual_seed(seed)
    module = Ranker(Config.read(config)).eval()
    with torch.no_grad():
        for name, p in module.state_dict().items():
            noise = torch.randn(p.shape)
            if name.endswith((".var", "norm.weight")):
                p.copy_(1 + 0.3 * noise.clamp(-2, 2))
            elif p.dim() > 1 and not name.endswith(("hash", "position")) and not name.startswith("tables."):
                p.copy_(noise / p.shape[-1] ** 0.5)
            else:
                p.copy_(noise if p.dim() > 1 or "bias" not in name else 0.3 * noise)
    return module


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def plain_sdim(sequence, e, events, t, candidate, state):
    directions = state["sequences.x.sdim.hash"].tolist()
    bits = sequence["bits"]

    def code(x, g):
        return sum(2**b for b in range(bits) if dot(directions[g * bits + b], x) >= 0)

    target, o = linear(t, "sequences.x.sdim.q", state), [0.0] * len(e[0])
    for g in range(sequence["hashes"]):
        own = [x for x in e if code(x, g) == code(target, g)]
        total = [sum(column) for column in zip(*own, strict=True)] if own else [0.0] * len(o)
        length = math.sqrt(dot(total, total))
        o = [a + (b / length if length else 0.0) / sequence["hashes"] for a, b in zip(o, total, strict=True)]
    return o


def plain_sim_hard(sequence, e, events, t, candidate, state):
    wanted = GROUPS.get(candidate.get("group"), 0)
    same = [wanted and GROUPS.get(event.get("group"), 0) == wanted for event in events]
    found = [x for x, match in zip(e, same, strict=True) if match][-sequence["top"] :]
    attention = sequence["attention"]
    if not found:
        return [0.0] * (len(e[0]) if attention["kind"] == "din" else attention["heads"] * attention["dim"])
    return attend(attention, "sequences.x.attention", found, t, state)


def plain_twin(sequence, e, events, t, candidate, state):
    attention, name, o = sequence["attention"], "sequences.x.attention", []
    d, q = attention["dim"], linear(t, f"{name}.q", state)
    keys, values = ([linear(y, f"{name}.{part}", state) for y in e] for part in "kv")
    for head in range(attention["heads"]):
        rows = slice(head * d, (head + 1) * d)
        scores = [dot(q[rows], k[rows]) / math.sqrt(d) for k in keys]
        best = sorted(range(len(e)), key=lambda i: (-scores[i], i))[: sequence["top"]]
        o += weighted(softmax([scores[i] for i in best]), [values[i][rows] for i in best])
    return linear(o, f"{name}.out", state) if attention.get("out") else o


def silu(x):
    return x / (1 + math.exp(-x))


def bucket(dt, most):
    return min(most, math.floor(math.log(max(dt, 1)) / 0.301))


def plain_block(sequence, layer, x, times, state):
    hstu = {"affine": True, "eps": 1e-5, "normalize": "one", "bias": "toeplitz", "norm": "layer", "output": "gated"}
    hstu, name, last = hstu | sequence["hstu"], f"sequences.x.hstu.{layer}", sequence["last"]

    def norm(y, part):
        mean = sum(y) / len(y)
        var = sum((v - mean) ** 2 for v in y) / len(y)
        y = [(v - mean) / math.sqrt(var + hstu["eps"]) for v in y]
        if not hstu["affine"] or not part:
            return y
        weight, bias = state[f"{name}.{part}.weight"].tolist(), state[f"{name}.{part}.bias"].tolist()
        return [v * a + b for v, a, b in zip(y, weight, bias, strict=True)]

    h, dqk, dv = hstu["heads"], hstu["qk_dim"], hstu["v_dim"]
    f = [linear(norm(y, "pre_norm") if hstu.get("pre_norm") else y, f"{name}.f1", state) for y in x]
    every = hstu.get("activate", "all") == "all"
    f = [[silu(v) if every or i < h * dv else v for i, v in enumerate(row)] for row in f]
    u, v, q, k = (
        [row[low:high] for row in f]
        for low, high in ((0, h * dv), (h * dv, 2 * h * dv), (2 * h * dv, 2 * h * dv + h * dqk), (-h * dqk, None))
    )
    c = {"one": 1, "tokens": 1 / last, "attended": 1 / len(x)}.get(str(hstu["normalize"]), 1 / 7)
    y = []
    for i in range(len(x)):
        heads = []
        for head in range(h):
            o = [0.0] * dv
            for j in range(i + 1):
                s = dot(q[i][head * dqk : (head + 1) * dqk], k[j][head * dqk : (head + 1) * dqk])
                s *= 1 / math.sqrt(dqk) if hstu.get("alpha") == "rsqrt" else 1
                if hstu["bias"] == "toeplitz":
                    s += state[f"{name}.bias"][last - 1 + j - i].item()
                if sequence.get("time_buckets"):
                    dt = abs(times[min(i + 1, len(x) - 1)] - times[j])
                    s += state[f"{name}.time_bias"][bucket(dt, sequence["time_buckets"])].item()
                o = [a + silu(s) * c * b for a, b in zip(o, v[j][head * dv : (head + 1) * dv], strict=True)]
            heads.append(o)
        o = [v for own in heads for v in own]
        g = [v for own in heads for v in norm(own, "")] if hstu["norm"] == "group" else norm(o, "norm")
        if hstu["norm"] == "group" and hstu["affine"]:
            weight, bias = state[f"{name}.norm.weight"].tolist(), state[f"{name}.norm.bias"].tolist()
            g = [v * a + b for v, a, b in zip(g, weight, bias, strict=True)]
        gated = [a * b for a, b in zip(u[i], g, strict=True)]
        z = {"gated": gated, "concat": u[i] + g + gated, "concat_raw": u[i] + o + gated}[hstu["output"]]
        y.append(linear(z, f"{name}.f2", state))
        if hstu.get("residual"):
            y[-1] = [a + b for a, b in zip(y[-1], x[i], strict=True)]
    return y


def plain_hstu(sequence, e, events, t, candidate, state):
    known = [event["time"] for event in events if event.get("time") is not None]
    times = [max(known, default=0) if event.get("time") is None else event["time"] for event in events]
    scale = math.sqrt(len(e[0])) if sequence.get("scale") == "sqrt" else 1
    x = [[v * scale for v in row] for row in e]
    if sequence.get("positions"):
        rows = state["sequences.x.position"].tolist()
        x = [[a + b for a, b in zip(row, rows[i], strict=True)] for i, row in enumerate(x)]
    for layer in range(sequence["hstu"]["layers"]):
        x = plain_block(sequence, layer, x, times, state)
    return attend(sequence["attention"], "sequences.x.attention", x, t, state) if "attention" in sequence else x[-1]


PLAIN = {"sdim": plain_sdim, "sim_hard": plain_sim_hard, "twin": plain_twin, "hstu": plain_hstu}


def expected(config, state, events):
    """Outputs of every candidate, [C][outputs]."""
    item, group = state["tables.item.weight"].tolist(), state["tables.group.weight"].tolist()
    sequence = config["sequences"][0]
    kept = events[-sequence.get("last", len(events)) :]
    e = [[*item[v["item"]], *group[GROUPS.get(v.get("group"), 0)], v["age"]] for v in kept]
    found = []
    for candidate in CANDIDATES:
        place = GROUPS.get(candidate.get("group"), 0)
        t = [candidate.get("price", 0), *group[place], *item[candidate.get("item", 0)]]
        width = state["head.0.weight"].shape[1] - len(t)
        o = PLAIN[sequence["kind"]](sequence, e, kept, t, candidate, state) if e else [0.0] * width
        logits = mlp(t + o, "head", 2, "silu", state)
        found.append([1 / (1 + math.exp(-v)) for v in logits])
    return found


def check(sequence, module=None, lengths=(0, 1, 4, 7)):
    config = with_sequence(sequence)
    module = (module or random_module(config, 1)).double()
    for length in lengths:
        request = {"id": "r", "events": EVENTS[:length], "candidates": CANDIDATES}
        found = predict(module, request).outputs
        rows = expected(config, module.state_dict(), EVENTS[:length])
        for i, name in enumerate(config["head"]["outputs"]):
            assert found[name] == pytest.approx([row[i] for row in rows], rel=1e-12)
    return module


@pytest.mark.parametrize(("hashes", "bits"), [(1, 1), (5, 2), (3, 12)])
def test_sdim(hashes, bits):
    check(SDIM | {"hashes": hashes, "bits": bits})


def test_a_hash_of_zeros_is_all_ones():
    module = random_module(with_sequence(SDIM), 1)
    with torch.no_grad():
        for name in ("q.weight", "q.bias"):
            module.state_dict()[f"sequences.x.sdim.{name}"].zero_()
        module.sequences["x"].sdim.hash.fill_(1.0)  # and every event has the code of its sum's sign
    check(SDIM, module)


@pytest.mark.parametrize("attention", [DOT, DOT | {"out": True}, DIN, DIN | {"softmax": True}])
@pytest.mark.parametrize(("last", "top"), [(6, 2), (3, 3), (7, 7), (1, 1)])
def test_sim_hard(attention, last, top):
    check(SIM | {"attention": attention, "last": last, "top": top})


@pytest.mark.parametrize("out", [False, True])
@pytest.mark.parametrize(("last", "top"), [(6, 2), (3, 3), (7, 1), (20, 5)])
def test_twin(out, last, top):
    check(TWIN | {"attention": DOT | {"out": out}, "last": last, "top": top})


def test_the_earlier_of_equal_scores_wins():
    module = random_module(with_sequence(TWIN | {"last": 7}), 1)
    with torch.no_grad():
        module.sequences["x"].attention.k.weight.zero_()  # equal scores; values differ
    check(TWIN | {"last": 7}, module)


SWITCHES = [
    {"hstu": BLOCK},
    {"hstu": BLOCK | {"bias": "none", "normalize": "tokens", "norm": "group"}, "positions": True},
    {"hstu": BLOCK | {"layers": 2, "pre_norm": True, "affine": False, "residual": True, "normalize": "attended"},
     "positions": True, "scale": "sqrt", "time_buckets": 128},
    {"hstu": {"layers": 0}, "positions": True},
    {"hstu": BLOCK | {"layers": 2, "activate": "u", "alpha": "rsqrt", "output": "concat_raw", "pre_norm": True},
     "time_buckets": 20},
    {"hstu": BLOCK | {"bias": "none", "output": "concat", "normalize": {"constant": 7}}, "time_buckets": 144},
]  # fmt: skip


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize("attention", [None, DOT | {"out": True}, DIN])
def test_hstu(switches, attention):
    sequence = HSTU | switches | {"attention": attention}
    check({key: value for key, value in sequence.items() if value is not None})


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("attention", [None, DOT])
def test_hstu_without_events(layers, attention):
    """What stands in the place of a moment's events, where it has none, are another's."""
    sequence = HSTU | {"hstu": BLOCK | {"layers": layers}, "positions": True, "attention": attention}
    config = with_sequence({key: value for key, value in sequence.items() if value is not None})
    own = random_module(config, 1).sequences["x"]
    e, t, present = torch.randn(2, 3, 6), torch.randn(2, 4, 6), torch.tensor([[False] * 3, [True] * 3])
    found = own(e, present, t)
    assert not found[0].any() and found[1].all()


def test_hstu_without_times():
    """Neither where no event has one, nor where events have no such feature."""
    sequence = HSTU | {"time_buckets": 10}
    config = with_sequence(sequence)
    module = random_module(config, 1).double()
    bare = [{key: value for key, value in event.items() if key != "time"} for event in EVENTS]
    rows = expected(config, module.state_dict(), bare)
    config["event"] = [feature for feature in config["event"] if feature["kind"] != "time"]
    other = build(config, module.state_dict(), torch.float64)
    for own in (module, other):
        found = predict(own, {"id": "r", "events": bare, "candidates": CANDIDATES}).outputs
        assert found["a"] == pytest.approx([row[0] for row in rows], rel=1e-12)


def test_time_buckets():
    edges = time_edges(144)
    assert edges[:6] == (2, 2, 3, 4, 5, 7) and edges[-1] < 2**63
    for b, edge in enumerate(edges, 1):
        assert math.floor(math.log(edge) / 0.301) >= b > math.floor(math.log(max(edge - 1, 1)) / 0.301)
    own = Ranker(Config.read(with_sequence(HSTU | {"time_buckets": 144}))).sequences["x"]
    times = [0, 1, 2, 86400, -(2**63), 2**63 - 1]
    found = own.buckets(torch.tensor([times]))[0]
    for i in range(len(times)):
        for j in range(len(times)):
            assert found[i, j] == bucket(abs(times[min(i + 1, 5)] - times[j]), 144)


def test_no_candidates():
    for sequence in (SDIM, SIM, TWIN, HSTU):
        module = random_module(with_sequence(sequence), 1)
        assert predict(module, {"id": "r", "events": EVENTS, "candidates": []}).outputs == {"a": [], "b": []}


def test_forced_codes():
    module = random_module(with_sequence(SDIM), 1).double()
    request = {"id": "r", "events": EVENTS, "candidates": CANDIDATES}
    found = predict(module, request)
    assert found.assignments["x"].shape == (5, 7) and (found.margins["x"] > 0).all()
    assert predict(module, request, assignments=found.assignments).outputs == found.outputs
    moved = {"x": (found.assignments["x"] + 1) % 4}
    assert predict(module, request, assignments=moved).outputs != found.outputs


def test_how_near_choices_were():
    """A hash's projections of 3, -2; scores of 2, 1, 0.5, -1 of which two are kept."""
    module = random_module(with_sequence(SDIM | {"hashes": 1}), 1).double()
    request = {"id": "r", "events": EVENTS[:4], "candidates": CANDIDATES[:1]}
    with torch.no_grad():
        module.sequences["x"].sdim.q.weight.zero_()
        module.sequences["x"].sdim.q.bias.copy_(torch.tensor([1.0, 0, 0, 0, 0, 0]))
        module.sequences["x"].sdim.hash[:, 0] = torch.tensor([3.0, -2.0])
    assert predict(module, request).choices["x"].tolist() == [[2.0]]
    for top, margin in ((2, 0.5), (4, math.inf)):
        config = with_sequence(TWIN | {"top": top, "attention": {"kind": "dot", "heads": 1, "dim": 1}})
        module = random_module(config, 1).double()
        with torch.no_grad():
            for name in ("q.weight", "k.weight", "k.bias"):
                module.state_dict()[f"sequences.x.attention.{name}"].zero_()
            module.state_dict()["sequences.x.attention.q.bias"].fill_(1.0)
            module.state_dict()["sequences.x.attention.k.weight"][0, 5] = 1.0  # the age
        events = [{"age": age} for age in (0.5, 2, -1, 1)]
        assert predict(module, request | {"events": events}).choices["x"].tolist() == [[margin]]


def test_tensor_names():
    def shapes(sequence):
        state = Ranker(Config.read(with_sequence(sequence))).state_dict()
        return {
            name.removeprefix("sequences.x."): list(tensor.shape)
            for name, tensor in state.items()
            if name.startswith("sequences.")
        }

    assert shapes(SDIM) == {"sdim.hash": [10, 6], "sdim.q.weight": [6, 6], "sdim.q.bias": [6]}
    attention = {f"attention.{part}.{name}": [6, 6][:n] for part in "qkv" for name, n in (("weight", 2), ("bias", 1))}
    assert shapes(SIM) == shapes(TWIN) == attention
    hstu = {
        "f1.weight": [20, 6], "f1.bias": [20], "f2.weight": [6, 4], "f2.bias": [6], "bias": [11], "time_bias": [33],
        "norm.weight": [4], "norm.bias": [4], "pre_norm.weight": [6], "pre_norm.bias": [6],
    }  # fmt: skip
    layers = {f"hstu.{layer}.{name}": shape for layer in (0, 1) for name, shape in hstu.items()}
    sequence = HSTU | {"hstu": BLOCK | {"layers": 2, "pre_norm": True}, "positions": True, "time_buckets": 32}
    assert shapes(sequence) == layers | {"position": [6, 6]} | attention
    del sequence["attention"]
    assert shapes(sequence) == layers | {"position": [6, 6]}


def test_checkpoint_round_trip(tmp_path):
    """The hash is in it: another start of the random numbers changes nothing."""
    for sequence in (SDIM, SIM, TWIN, HSTU | {"positions": True, "time_buckets": 3}):
        module = random_module(with_sequence(sequence), 2)
        save_checkpoint(tmp_path / "m.safetensors", module)
        again = load_checkpoint(tmp_path / "m.safetensors").state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in module.state_dict().items())
    module = random_module(with_sequence(SDIM), 2)
    save_checkpoint(tmp_path / "half.safetensors", module, dtype=torch.float16)
    again = load_checkpoint(tmp_path / "half.safetensors")
    assert torch.equal(again.sequences["x"].sdim.hash, module.sequences["x"].sdim.hash)
    module = random_module(with_sequence(sequence), 2)
    state = module.state_dict()
    for name in ("sequences.x.hstu.0.bias", "sequences.x.hstu.0.time_bias", "sequences.x.position"):
        with pytest.raises(CheckpointError, match=f"{name}: missing"):
            build(with_sequence(sequence), {key: value for key, value in state.items() if key != name})


REFUSED = [
    (SDIM | {"hashes": 0}, r"hashes: expected an integer of at least 1"),
    (SDIM | {"hashes": 1025}, r"hashes: expected an integer of at most 1024"),
    (SDIM | {"bits": 13}, r"bits: expected an integer of at most 12"),
    (SDIM | {"attention": DOT}, 'unknown key "attention"'),
    (SIM | {"top": 7}, r"top: expected an integer of at most 6, found 7"),
    (SIM | {"last": 2**20 + 1}, r"last: expected an integer of at most 1048576"),
    (SIM | {"match": {"event": "group"}}, r'match: "candidate" is required'),
    (SIM | {"match": MATCH | {"user": "group"}}, r'match: unknown key "user"'),
    (SIM | {"match": MATCH | {"event": "no"}}, r'match.event: expected a feature "no" of kind id, found none'),
    (SIM | {"match": MATCH | {"candidate": "price"}}, r"match.candidate: .* found one of kind float"),
    (SIM | {"match": MATCH | {"event": "item"}}, r'match: expected features of one table, found "item" and "gro'),
    (SIM | {"attention": DOT | {"count_bias": True}}, 'unknown key "count_bias"'),
    (TWIN | {"top": 0}, "top: expected an integer of at least 1"),
    (TWIN | {"attention": DIN}, r"attention.kind: expected dot, .* found din"),
    (TWIN | {"match": MATCH}, 'unknown key "match"'),
    (HSTU | {"time_buckets": 145}, "time_buckets: expected an integer of at most 144"),
    (HSTU | {"scale": "one_half"}, "scale: expected one of one, sqrt"),
    (HSTU | {"positions": 1}, "positions: expected true or false, found 1$"),
    (HSTU | {"hstu": BLOCK | {"bias": "dense"}}, "bias: expected one of none, toeplitz"),
    (HSTU | {"hstu": BLOCK | {"share": False}}, 'unknown key "share"'),
    (HSTU | {"hstu": BLOCK | {"layers": -1}}, "layers: expected an integer"),
    (HSTU | {"attention": DOT | {"share": True}}, 'unknown key "share"'),
]


@pytest.mark.parametrize(("sequence", "message"), REFUSED)
def test_config_refusals(sequence, message):
    with pytest.raises(ConfigError, match=message):
        Config.read(with_sequence(sequence))


# ---- Training ----


@pytest.fixture(scope="module")
def commits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_commits(folder)
    return Commits(folder)


HEADS = [{"item": 6, "cos1024": 30, "sin1024": 30}, {"folder": 6}]
STARTS = {
    "sdim": ({"hashes": 5, "bits": 3}, {"hashes": [{"item": 2}, {"folder": 1, "item": 1}]}),
    "sim_hard": ({"last": 60, "top": 7, "match": {"event": "folder", "candidate": "folder"}}, {"heads": HEADS}),
    "twin": ({"last": 60, "top": 7}, {"heads": HEADS}),
    "hstu": (
        {"last": 30, "positions": True, "time_buckets": 16,
         "hstu": {"layers": 2, "heads": 2, "qk_dim": 4, "v_dim": 4, "residual": True, "normalize": "attended"}},
        {"heads": HEADS},
    ),
}  # fmt: skip


def spec(kind, head="matches"):
    """The example's features over one sequence; after HSTU with attention, one without."""
    found = json.loads((ROOT / "training" / "configs" / "dmqn-simple.json").read_text())
    own, start = STARTS[kind]
    sequence = {"name": "own", "kind": kind, **own}
    if kind != "sdim":
        sequence["attention"] = {"kind": "dot", "heads": 2, "dim": 16}
    found["model"]["sequences"], found["start"] = [sequence], {"own": start, "head": head}
    if kind == "hstu":
        bare = {key: value for key, value in sequence.items() if key != "attention"}
        found["model"]["sequences"].append(bare | {"name": "bare"})
        found["start"]["bare"] = {}
    found["training"] |= {"steps": 4, "batch": 2, "validate": 2, "validation_moments": 20}
    return found


@pytest.fixture(scope="module", params=STARTS)
def trained(request, commits, tmp_path_factory):
    """A trainer after its few steps, and its checkpoint."""
    out = tmp_path_factory.mktemp("run")
    trainer = Trainer(commits, spec(request.param), out, 0, torch.device("cpu"))
    trainer.run()
    return trainer, out / "model.safetensors"


@pytest.mark.parametrize(("size", "room"), [(5, 1000), (5, 1 << 24), (1, 1 << 24)])
def test_batched_scores_are_those_of_single_requests(commits, trained, monkeypatch, size, room):
    monkeypatch.setattr(baseline_interests, "ROOM", room)  # 1000: a few candidates at a time
    module = load_checkpoint(trained[1]).double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if ".hstu." in name and name.endswith(("bias", "f2.weight")):
                parameter += 0.3 * torch.randn_like(parameter)
    _, _, test = commits.parts()
    sample = commits.sample(test, np.random.default_rng(0))
    scores = score(module, Inputs(commits, module.config), test, sample, size=size)
    for m in (0, 1, len(test) // 2, len(test) - 1):
        own = sample.moment == m
        found = predict(module, request_of(commits, module.config.source, test, m, sample.item[own]))
        assert found.outputs["touch"] == pytest.approx(1 / (1 + np.exp(-scores[own].astype(float))), rel=1e-4)


def test_everything_learns_but_the_hash(commits, trained):
    trainer = trained[0]
    sample = trainer.batches.sample(commits, 0, 0)
    loss = loss_of(trainer.module, trainer.inputs, trainer.training, sample, trainer.options, 0.1)
    trainer.optimizer.zero_grad()
    loss.backward()
    still = {
        name
        for name, parameter in trainer.module.named_parameters()
        if name.startswith("sequences.") and (parameter.grad is None or not parameter.grad.any())
    }
    # A bias of all keys moves no softmax; it has a gradient of rounding errors at most.
    assert still - {"sequences.own.attention.k.bias"} == (
        {"sequences.own.sdim.q.weight", "sequences.own.sdim.q.bias"} if hasattr(trainer.module.sequences["own"], "sdim")
        else set()
    )  # fmt: skip


def test_relative_biases_learn_as_fast_as_weights(commits, trained):
    module = trained[0].module
    names = {parameter: name for name, parameter in module.named_parameters()}
    _, plain, free = parameter_groups(module, trained[0].options)
    found = {names[p] for p in plain["params"] if "bias" in names[p]}
    blocks = 2 if hasattr(module.sequences["own"], "hstu") else 0
    wanted = {
        f"sequences.{s}.hstu.{i}.{b}" for s in ("own", "bare") for i in range(blocks) for b in ("bias", "time_bias")
    }
    assert found == wanted
    assert all("f1.bias" not in names[p] or p in set(free["params"]) for p in names)


def test_matches_are_found_from_the_start(commits, tmp_path):
    """An untrained model tells the developer's own files from others: as well as its kind of sequence can."""
    for kind, changes in (*((kind, {}) for kind in STARTS), ("hstu", {"scale": "sqrt"})):
        found = spec(kind)
        found["model"]["sequences"][0] |= changes
        found["training"] |= {"rate": 0.0, "table_rate": 0.0}
        out = tmp_path / "-".join((kind, *changes))
        out.mkdir()
        assert Trainer(commits, found, out, 0, torch.device("cpu")).run() > 0.6


@pytest.mark.parametrize(
    ("kind", "start", "message"),
    [
        ("sdim", {"heads": HEADS}, 'start.own: expected hashes, found "heads"'),
        ("sdim", {"hashes": [{"item": 1}] * 6}, "at most 5, one for each hash function, found 6"),
        ("sdim", {"hashes": []}, "expected an array of 1, found 0"),
        ("sdim", {"hashes": [{"item": 0}]}, "expected the weight of a feature, found none above 0"),
        ("sdim", {"hashes": [{"action": 1}]}, 'found "action"'),
        ("sdim", {"hashes": [{"extension": 1}]}, "at least 12 numbers, .* found extension of 8"),
        ("twin", {"heads": HEADS[:1]}, "start.own.heads: expected an array of 2, found 1"),
    ],
)
def test_start_refusals(commits, tmp_path, kind, start, message):
    found = spec(kind)
    found["start"]["own"] = start
    with pytest.raises(ConfigError, match=message):
        Trainer(commits, found, tmp_path, 0, torch.device("cpu"))


def test_a_head_on_matches_takes_events_as_they_are(commits, tmp_path):
    """Without the residual HSTU's outputs start at random, and attention would find no matches in them."""
    found = spec("hstu")
    block = found["model"]["sequences"][0]["hstu"] = {"layers": 1, "heads": 2, "qk_dim": 4, "v_dim": 4}
    with pytest.raises(ConfigError, match=r"own.hstu.residual: expected true, .* start.head may be plain"):
        Trainer(commits, found, tmp_path, 0, torch.device("cpu"))
    Trainer(commits, found | {"start": found["start"] | {"head": "plain"}}, tmp_path, 0, torch.device("cpu"))
    block.clear()
    block["layers"] = 0
    Trainer(commits, found, tmp_path, 0, torch.device("cpu"))
