"""What the reference computes in int8, against docs/int8.md written a second time in plain Python numbers, and what the
golden request is held to."""

import json
import math
import operator

import numpy as np
import pytest
from converter_support import (
    config_of_every_kind,
    config_of_search,
    config_of_vql,
    config_with,
    quantized,
    request_of,
    single,
    weights,
)
from test_converter_reference_parts import Model

from vqrank_convert import golden, int8, reference
from vqrank_convert.errors import ConversionError
from vqrank_convert.int8 import Int8Options
from vqrank_convert.reference_int8 import assign, near_a_step

EVERYTHING = Int8Options("int8", "int8", "int8", "int8")


@pytest.fixture
def everything_gains(monkeypatch):
    """Layers of any size become int8."""
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)


def integers(row):
    """A row as integers and their step, in double throughout."""
    m = max(map(abs, row), default=0.0)
    return ([round(x * (127 / m)) for x in row], m / 127) if m >= 2.0**-100 else ([0] * len(row), 0.0)


def in_steps(column):
    """What stays of a column of keys once its middle is taken off and it is quantized."""
    middle = max(column) / 2 + min(column) / 2
    q, step = integers([x - middle for x in column])
    return [x * step for x in q]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


class Int8Model(Model):
    """The options' parts in int8; of a width that is always enough."""

    def __init__(self, config, tensors, options):
        super().__init__(config, tensors)
        self.options = options

    def row(self, table, value):
        row = super().row(table, value)
        if self.options.tables == "fp32" or len(row) < 4:
            return row
        q, scale = quantized(row)
        return [single(x * scale) for x in q]

    def linear(self, name, x, j=None):
        if self.options.weights == "fp32" or name.endswith("mlp.0"):
            return super().linear(name, x, j)
        weight, bias = self.part(f"{name}.weight", j), self.part(f"{name}.bias", j)
        shared = len(self.embed("user", {}) + self.embed("context", {})) if name == "head.0" else 0
        exact = [*range(shared), *(shared + i for i in self.kept(name))]
        own = [0.0 if i in exact else value for i, value in enumerate(x)][shared:]
        a, s = integers(own)
        result = []
        for row, b in zip(weight, bias, strict=True):
            w, t = quantized([0.0 if i in exact else value for i, value in enumerate(row)][shared:])
            result.append(dot(a, w) * (s * t) + math.fsum([b, *(row[i] * x[i] for i in exact)]))
        return result

    def kept(self, name):
        """Where a layer or fold reads events, their clusters or candidates, the columns that are of one number."""
        groups = {"head.0": "candidate", "q": "candidate", "long.projection": "event"}
        groups |= {f"attention.{part}": "event" for part in "kv"}
        found = [group for end, group in groups.items() if name.endswith(f".{end}") or name == end]
        widths = {"float": lambda f: 1, "time": lambda f: 0, "vector": lambda f: f["dim"]}
        table = lambda f: self.config["tables"][f["table"]]["dim"]  # noqa: E731
        kinds = (
            [f["kind"] for f in self.config[found[0]] for _ in range(widths.get(f["kind"], table)(f))] if found else []
        )
        return [i for i, kind in enumerate(kinds) if kind == "float"]

    def head(self, q, k, v, bias, layer, h):
        if self.options.state == "fp32":
            return super().head(q, k, v, bias, layer, h)
        alpha, v = 1 / math.sqrt(len(q)), [integers(value) for value in v]
        moved = [in_steps(column) for column in zip(*k, strict=True)]
        for i in (key - h * len(q) for key in FINE[layer] if key // len(q) == h):
            left = [key[i] - x for key, x in zip(k, moved[i], strict=True)]
            q, moved = [*q, q[i]], [*moved, in_steps(left)]
        logits = [alpha * math.fsum(map(operator.mul, q, key)) + b for *key, b in zip(*moved, bias, strict=True)]
        e = [math.exp(x - max(logits)) for x in logits]
        return [
            math.fsum(weight * step * value[i] for weight, (value, step) in zip(e, v, strict=True)) / math.fsum(e)
            for i in range(len(v[0][0]))
        ]

    def codewords(self, p, j, e):
        if self.options.codebook != "int8":
            return super().codewords(p, j, e)
        fold = np.array(self.t[f"{p}.projection"][j]) @ np.array(self.t[f"{p}.codebook"][j]).T
        columns, kept = fold.T.astype(np.float32).tolist(), self.kept(f"{p}.projection")
        return [first_of_largest(event, columns, [0.0] * len(columns), kept) for event in e]


def first_of_largest(event, columns, offset, kept):
    (a, s), scores = integers([0.0 if i in kept else x for i, x in enumerate(event)]), []
    for column, o in zip(columns, offset, strict=True):
        w, t = quantized([0.0 if i in kept else x for i, x in enumerate(column)])
        scores.append(dot(a, w) * (s * t) + math.fsum([o, *(column[i] * event[i] for i in kept)]))
    return scores.index(max(scores))


OPTIONS = {
    "codebook": Int8Options(codebook="int8"), "exact codebook": Int8Options(codebook="int8-exact"),
    "tables": Int8Options(tables="int8"), "weights": Int8Options(weights="int8"), "state": Int8Options(state="int8"),
    "everything": EVERYTHING,
}  # fmt: skip
# Keys of large weights, which are kept twice; the last of them so in one of three codebooks.
FINE = {"sequences.short.attention.k": [4, 12], "sequences.long.attention.k": [0, 17]}
DOT = {"kind": "dot", "heads": 3, "dim": 6, "count_bias": True}


@pytest.mark.usefixtures("everything_gains")
@pytest.mark.parametrize("kind", ["dot", "din"])
@pytest.mark.parametrize("options", OPTIONS)
def test_second_writing(options, kind):
    short = {"kind": "dot", "heads": 2, "dim": 9, "out": True}
    attention = DOT if kind == "dot" else {"kind": "din", "hidden": [7, 5], "activation": "silu"}
    config = config_of_every_kind("dice", attention, short, hstu={"layers": 0})
    config["candidate"].insert(1, {"name": "size", "kind": "float", "mean": 1.0, "std": 2.0})
    tensors = weights(config, seed=1)
    for layer, keys in FINE.items():
        if f"{layer}.weight" in tensors:
            tensors[f"{layer}.weight"][-1 if "long" in layer else ..., keys, :] *= 20
    request = request_of(config, seed=2, events=9, candidates=3)
    request["events"][1].update(tags=[], parts=[], image=None)
    expected = Int8Model(config, tensors, OPTIONS[options]).score(request)[:, 0]
    found = reference.score(config, tensors, request, int8=OPTIONS[options]).outputs["ctr"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    plain = np.array(reference.score(config, tensors, request).outputs["ctr"])
    moved = np.abs(plain - found).max()
    if options == "exact codebook":
        assert moved == 0
    elif options != "codebook":  # where that moves no event it moves nothing
        assert 1e-6 < moved < 0.1


def test_codewords_of_vql():
    """With offsets, two equal codewords, an event of zeros and one that is on a step."""
    config = config_of_vql()
    tensors = weights(config, seed=3)
    book = tensors["sequences.keys.vql.groups.0.codebook"]
    book[7] = book[2]
    request = request_of(config, events=200)
    found = reference.quantize(config, tensors, request["events"], Int8Options(codebook="int8"))
    model = reference.Reference(config, tensors)
    e = model.inputs.embed_all("event", request["events"])
    key = tensors["sequences.keys.vql.k.weight"].astype(np.float64).reshape(3, 6, -1)
    for g, heads in enumerate([[2, 0], [1]]):
        c = tensors[f"sequences.keys.vql.groups.{g}.codebook"].astype(np.float64)
        fold = c @ np.concatenate([key[head] for head in heads])
        columns, dwell = fold.astype(np.float32).tolist(), [17]
        offset = (-(c * c).sum(axis=1) / 2).astype(np.float32).tolist()
        expected = [first_of_largest(row, columns, offset, dwell) for row in e.tolist()]
        assert found.assignments[:, g].tolist() == expected
    assert 7 not in found.assignments[:, 0] and 2 in found.assignments[:, 0]
    clear = (found.margins >= 2 * found.bounds).all(axis=1)
    assert clear.mean() > 0.9
    assert (found.bounds[clear] < 1e-4).all()


def test_which_events_are_clear():
    fold = np.array([[1.0, 0.5, 1.0], [0.0, 1.0, 0.0]])
    rows = {(127.0, 3.0): True, (127.0, 3.5): False, (127.0, -3.50009): False, (127.0, 3.5002): True, (0.0, 0.0): True}
    rows |= {(1.0, 0.5): False, (2.0**-100, 0.0): False, (2.0**-101, 2.0**-102): True}
    found = assign(np.array(list(rows)), fold, None, "fold", ())
    assert (found.margins >= 2 * found.bounds)[:, 0].tolist() == list(rows.values())
    assert near_a_step(np.array(list(rows))).tolist() == [not clear for clear in rows.values()]
    # Of scores that are equal but for what float32 rounds, neither has won.
    e = np.array([[127.0, 0.0]])
    for apart, clear in ((0.0, True), (2.0**-23, False), (2.0**-16, True)):
        found = assign(e, np.array([[1.0, 1.0 + apart], [0.0, 0.0]]), None, "fold", ())
        assert bool((found.margins >= 2 * found.bounds).all()) is clear


@pytest.mark.usefixtures("everything_gains")
def test_shaking():
    """It moves what becomes int8 on the way, always in the same way, and neither codewords nor what is fp32."""
    config = config_with(sequence={"codewords": 90})
    tensors, request = weights(config), request_of(config, events=300, candidates=30)
    score = lambda options, shaken: reference.score(config, tensors, request, int8=options, shaken=shaken)  # noqa: E731
    for name, options in OPTIONS.items():
        still, *runs = (score(options, shaken) for shaken in (None, 1, 2, 3, 4))
        assert score(options, 3).outputs == runs[2].outputs
        for run in runs:
            np.testing.assert_array_equal(run.assignments, still.assignments)
        moved = max(np.abs(np.array(run.outputs["ctr"]) - still.outputs["ctr"]).max() for run in runs)
        assert 0 < moved < 1e-2 if name in ("weights", "state", "everything") else moved == 0


@pytest.mark.usefixtures("everything_gains")
@pytest.mark.parametrize("options", ["tables", "everything"])
def test_bound_of_the_golden_request(options):
    config, own = reference.parse_config(config_with()), OPTIONS[options]
    tensors = weights(config_with(), seed=6)
    made = golden.make(config, tensors, own)
    assert made == golden.make(config, tensors, own)
    request = json.loads(made.request)

    def moved(*arguments, shaken=None):
        outputs = reference.score(config, tensors, request, *arguments, int8=own, shaken=shaken).outputs["ctr"]
        return float(np.abs(np.array(outputs) - made.float64).max())

    assert moved() == 0
    shaken = max(moved(shaken=golden.SEED + run) for run in range(4))
    assert made.bound == max(1e-5, 4 * moved(np.float32), 2 * shaken)
    assert made.bound == 1e-5 if options == "tables" else made.bound > 1e-4
    found = reference.quantize(config, tensors, request["events"], own)
    assert len(request["events"]) == 40 and (found.margins >= 2 * found.bounds).all()


@pytest.mark.usefixtures("everything_gains")
def test_what_decides_is_not_int8():
    """A twin sequence chooses the same events; what is made of them differs."""
    config = config_of_search("twin", top=3)
    tensors, request = weights(config), request_of(config)
    plain, found = (reference.Reference(config, tensors, int8=own) for own in (int8.FP32, Int8Options(weights="int8")))
    e, t = (plain.inputs.embed_all(group, request[f"{group}s"]) for group in ("event", "candidate"))
    for part, same in (("q", True), ("k", True), ("v", False)):
        x = t if part == "q" else e
        name = f"sequences.search.attention.{part}"
        assert np.array_equal(plain.layers.linear(x, name, None), found.layers.linear(x, name, None)) is same


def model_of_one_row(row, sequence, **more):
    """A model whose events and candidates all have this embedding, with a sequence and its tensors."""
    config = config_with(user=[], context=[], head={"hidden": []})
    item = {"name": "item", "kind": "id", "table": "item"}
    config["event"], config["candidate"], config["sequences"] = [item], [item], [sequence]
    config["tables"] = {"item": {"rows": 6, "dim": len(row), "ids": "direct"}}
    tensors = {"tables.item.weight": np.tile(np.array(row, np.float32), (6, 1)), **more}
    own = weights(config) | tensors
    return reference.parse_config(config), own


def test_events_on_a_step_are_left_out_of_the_golden_request():
    """Only where the codebook is int8: what it makes of a half is for float32 to decide."""
    sequence = config_with(hstu={"layers": 0})["sequences"][0]
    model = model_of_one_row([127.0, 0.5, 3.0, -1.0], sequence)
    events = {
        codebook: golden.make(*model, Int8Options(codebook)).events for codebook in ("fp32", "int8", "int8-exact")
    }
    assert events == {"fp32": 40, "int8": 0, "int8-exact": 40}


def test_what_is_clear_is_so_of_int8_tables():
    """A row whose hash is decided by rounding in fp32 and not in int8, where the row is another."""
    sequence = {"name": "hashed", "kind": "sdim", "hashes": 1, "bits": 1}
    row, name = np.array([1.0, 0.503, 0.0, 0.0], np.float32), "sequences.hashed.sdim"
    direction = np.array([[row[1], -1, 0, 0]], np.float32)
    more = {f"{name}.hash": direction, f"{name}.q.weight": np.eye(4), f"{name}.q.bias": np.zeros(4)}
    model = model_of_one_row(row, sequence, **more)
    with pytest.raises(ConversionError, match="expected a candidate whose hashes float32 rounding does not decide"):
        golden.make(*model)
    made = golden.make(*model, Int8Options(tables="int8"))
    assert made.events == 40 and len(made.float64) == 4
