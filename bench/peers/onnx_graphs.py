"""The two graphs that favour ONNX Runtime, node by node, with the choices that were tried.

encode: int64 columns of events [L] each -> K [N, A, d, W] with the mask as one more row of d, V [N, A, W, d]
score:  int64 columns of the user [1] each and of candidates [C] each, K, V -> score [C]
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from workload import MASKED, Folded, Workload

OPSET = 18


@dataclass(frozen=True)
class EncodeChoice:
    """How to write encode. scoring: "one" matrix product for all codebooks, or "split" into one each. tabulated: which
    event features' parts of the scores are gathered from tables, [rows, N W]. argmax: "argmax", "topk" or "onehot".
    scatter: "nd" or "elements"."""

    scoring: str = "one"
    tabulated: tuple[int, ...] = ()
    argmax: str = "argmax"
    scatter: str = "nd"


@dataclass(frozen=True)
class ScoreChoice:
    """How to write score. mask: "key", a row of K that a constant 1 of the query meets, or "add". tabulated: gather the
    candidate's part of query and head from tables in place of embeddings. product: "matmul" or "gemm"."""

    mask: str = "key"
    tabulated: bool = False
    product: str = "matmul"


class Graph:
    """Nodes and constants as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.count = 0

    def constant(self, value: np.ndarray) -> str:
        self.count += 1
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"c{self.count}"))
        return f"c{self.count}"

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        self.count += 1
        output = name or f"t{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def ops(self, kind: str, count: int, *inputs: str, **attributes: object) -> list[str]:
        """A node of several outputs."""
        self.count += 1
        outputs = [f"t{self.count}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs

    def model(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model)
        return model


def column(name: str, length: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, [length])


def array(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def embed(g: Graph, tables: list[np.ndarray], columns: list[str]) -> list[str]:
    return [g.op("Gather", g.constant(table), name, axis=0) for table, name in zip(tables, columns, strict=True)]


def _products(
    g: Graph, tables: list[np.ndarray], columns: list[str], folded: np.ndarray, tabulated: tuple[int, ...]
) -> str:
    """Embedded columns times `folded`: features in `tabulated` by tables of products, others by one MatMul."""
    starts = np.cumsum([0] + [table.shape[1] for table in tables])
    parts = [folded[starts[i] : starts[i + 1]] for i in range(len(tables))]
    others = [i for i in range(len(tables)) if i not in tabulated]
    result = ""
    if others:
        rows = embed(g, [tables[i] for i in others], [columns[i] for i in others])
        joined = rows[0] if len(rows) == 1 else g.op("Concat", *rows, axis=1)
        result = g.op("MatMul", joined, g.constant(np.concatenate([parts[i] for i in others])))
    for i in tabulated:
        product = (tables[i].astype(np.float64) @ parts[i]).astype(np.float32)
        own = g.op("Gather", g.constant(product), columns[i], axis=0)
        result = g.op("Add", result, own) if result else own
    return result


def _counted(tables: list[np.ndarray]) -> list[np.ndarray]:
    """Tables whose rows side by side end in a 1, so that a sum of them is also a count."""
    return [*tables[:-1], np.concatenate([tables[-1], np.ones((len(tables[-1]), 1), np.float32)], axis=1)]


def _winners(g: Graph, scores: str, how: str) -> str:
    """The winner along the last axis, which is kept."""
    if how == "topk":
        return g.ops("TopK", 2, scores, g.ints(1), axis=-1)[1]
    return g.op("ArgMax", scores, axis=-1, keepdims=1)


def _each_scores(
    g: Graph, w: Workload, folded: Folded, choice: EncodeChoice, columns: list[str], events: str
) -> list[str]:
    """Scores of codewords: all in one [L, N, W], or one [L, W] a codebook."""
    n, k = w.codebooks, w.codewords
    fold = np.concatenate([folded.scores, np.zeros((1, n * k), np.float32)])  # the count scores nothing

    def product(own: np.ndarray) -> str:
        if choice.tabulated:
            return _products(g, w.tables("event"), columns, own[:-1], choice.tabulated)
        return g.op("MatMul", events, g.constant(own))

    if choice.scoring == "one":
        return [g.op("Reshape", product(fold), g.ints(-1, n, k))]
    return [product(part) for part in np.split(fold, n, axis=1)]


def _codewords(g: Graph, w: Workload, choice: EncodeChoice, scores: list[str]) -> list[str]:
    """z [L, 1] of each codebook."""
    winners = [_winners(g, s, choice.argmax) for s in scores]
    if choice.scoring == "split":
        return winners
    return g.ops("Split", w.codebooks, g.op("Squeeze", winners[0], g.ints(2)), axis=1, num_outputs=w.codebooks)


def _cluster_sums(g: Graph, w: Workload, folded: Folded, choice: EncodeChoice, columns: list[str]) -> str:
    """Sums and counts of the clusters, [N W, D + 1], the count last."""
    k, d = w.codewords, w.width
    events = g.op("Concat", *embed(g, _counted(w.tables("event")), columns), axis=1)
    scores = _each_scores(g, w, folded, choice, columns, events)
    if choice.argmax == "onehot":
        most = [g.op("ReduceMax", s, g.ints(-1), keepdims=1) for s in scores]
        hot = [g.op("Cast", g.op("Equal", s, m), to=TensorProto.FLOAT) for s, m in zip(scores, most, strict=True)]
        joined = g.op("Concat", *hot, axis=1) if len(hot) > 1 else g.op("Reshape", hot[0], g.ints(-1, w.codebooks * k))
        return g.op("MatMul", g.op("Transpose", joined, perm=[1, 0]), events)
    sums, zero = [], g.constant(np.zeros((k, d + 1), np.float32))
    for z in _codewords(g, w, choice, scores):
        if choice.scatter == "nd":
            sums.append(g.op("ScatterND", zero, z, events, reduction="add"))
        else:
            wide = g.op("Expand", z, g.op("Shape", events))
            sums.append(g.op("ScatterElements", zero, wide, events, axis=0, reduction="add"))
    return g.op("Concat", *sums, axis=0)


def assign(w: Workload, f: Folded, choice: EncodeChoice) -> onnx.ModelProto:
    """encode's codewords, by the same nodes: columns -> z [L, N]."""
    g = Graph()
    columns = [f"event{i}" for i in range(len(w.tables("event")))]
    events = g.op("Concat", *embed(g, _counted(w.tables("event")), columns), axis=1)
    found = _codewords(g, w, choice, _each_scores(g, w, f, choice, columns, events))
    g.op("Concat", *found, axis=1, name="z")
    outputs = [helper.make_tensor_value_info("z", TensorProto.INT64, ["L", w.codebooks])]
    return g.model([column(name, "L") for name in columns], outputs)


def _silu(g: Graph, x: str) -> str:
    return g.op("Mul", x, g.op("Sigmoid", x))


def _keys_and_values(g: Graph, w: Workload, f: Folded, sums: str, mask: str) -> None:
    """From the clusters' sums through HSTU to the outputs K and V."""
    n, k, d, h, a, dim = w.codebooks, w.codewords, w.width, w.hstu_heads, w.heads, w.head_dim
    total, counts = g.ops("Split", 2, g.op("Reshape", sums, g.ints(n, k, d + 1)), g.ints(d, 1), axis=2)
    one = g.constant(np.float32(1))
    empty = g.op("Less", counts, one)  # [N, W, 1]
    x = g.op("Div", total, g.op("Max", counts, one))
    mixed = _silu(g, g.op("Add", g.op("MatMul", x, g.constant(f.f1)), g.constant(f.f1_bias)))
    dv, dqk = w.sequence["hstu"]["v_dim"], w.sequence["hstu"]["qk_dim"]
    u, v, q, key = g.ops("Split", 4, mixed, g.ints(h * dv, h * dv, h * dqk, h * dqk), axis=2)
    v = g.op("Where", empty, g.constant(np.float32(0)), v)

    def by_head(part: str, width: int, perm: list[int]) -> str:
        return g.op("Transpose", g.op("Reshape", part, g.ints(n, k, h, width)), perm=perm)

    product = g.op("MatMul", by_head(q, dqk, [0, 2, 1, 3]), by_head(key, dqk, [0, 2, 3, 1]))
    weights = _silu(g, g.op("Add", product, g.constant(f.bias)))
    o = g.op("MatMul", weights, by_head(v, dv, [0, 2, 1, 3]))
    o = g.op("Reshape", g.op("Transpose", o, perm=[0, 2, 1, 3]), g.ints(n, k, h * dv))
    ones = g.constant(np.ones(h * dv, np.float32))
    normed = g.op("LayerNormalization", o, ones, axis=-1, epsilon=1e-5)
    normed = g.op("Add", g.op("Mul", normed, g.constant(f.norm)), g.constant(f.norm_bias))
    z = g.op("Mul", u, normed)
    kv = g.op("Add", g.op("MatMul", z, g.constant(f.kv)), g.constant(f.kv_bias))
    keys, values = g.ops("Split", 2, kv, axis=2, num_outputs=2)
    keys = g.op("Transpose", g.op("Reshape", keys, g.ints(n, k, a, dim)), perm=[0, 2, 3, 1])
    off = g.op("Where", empty, g.constant(MASKED), g.constant(np.float32(0)))
    off = g.op("Reshape", off, g.ints(n, 1, 1, k))
    if mask == "key":
        off = g.op("Expand", off, g.ints(n, a, 1, k))
        g.op("Concat", keys, off, axis=2, name="K")
    else:
        g.op("Identity", keys, name="K")
        g.op("Identity", off, name="M")
    g.op("Transpose", g.op("Reshape", values, g.ints(n, k, a, dim)), perm=[0, 2, 1, 3], name="V")


def state_outputs(w: Workload, mask: str) -> list[onnx.ValueInfoProto]:
    n, k, a, dim = w.codebooks, w.codewords, w.heads, w.head_dim
    keys = array("K", n, a, dim + (mask == "key"), k)
    extra = [array("M", n, 1, 1, k)] if mask == "add" else []
    return [keys, array("V", n, a, k, dim), *extra]


def encode(w: Workload, f: Folded, choice: EncodeChoice, mask: str = "key") -> onnx.ModelProto:
    g = Graph()
    columns = [f"event{i}" for i in range(len(w.tables("event")))]
    _keys_and_values(g, w, f, _cluster_sums(g, w, f, choice, columns), mask)
    return g.model([column(name, "L") for name in columns], state_outputs(w, mask))


def accumulate(w: Workload, f: Folded, choice: EncodeChoice) -> onnx.ModelProto:
    """encode's first half for a piece of the history: columns, sums so far [N W, D + 1] -> sums."""
    g = Graph()
    columns = [f"event{i}" for i in range(len(w.tables("event")))]
    g.op("Add", "before", _cluster_sums(g, w, f, choice, columns), name="sums")
    shape = (w.codebooks * w.codewords, w.width + 1)
    return g.model([*(column(name, "L") for name in columns), array("before", *shape)], [array("sums", *shape)])


def finish(w: Workload, f: Folded, mask: str = "key") -> onnx.ModelProto:
    """encode's second half."""
    g = Graph()
    _keys_and_values(g, w, f, "sums", mask)
    return g.model([array("sums", w.codebooks * w.codewords, w.width + 1)], state_outputs(w, mask))


def score(w: Workload, f: Folded, choice: ScoreChoice) -> onnx.ModelProto:
    g = Graph()
    n, a, d = w.codebooks, w.heads, w.head_dim
    hidden = f.head_user.shape[1]
    users = [f"user{i}" for i in range(len(w.tables("user")))]
    names = [f"candidate{i}" for i in range(len(w.tables("candidate")))]
    user = g.op("Concat", *embed(g, w.tables("user"), users), axis=1)
    start = g.op("Gemm", user, g.constant(f.head_user), g.constant(f.head_user_bias))  # [1, hidden]: once a request
    tables = w.tables("candidate")
    both = _products(g, tables, names, f.candidate, tuple(range(len(tables))) if choice.tabulated else ())
    q, first = g.ops("Split", 2, both, g.ints(a * d, hidden), axis=1)
    q = g.op("Add", q, g.constant(f.q_bias))
    q = g.op("Transpose", g.op("Reshape", q, g.ints(-1, a, d)), perm=[1, 0, 2])  # [A, C, d]
    if choice.mask == "key":
        q = g.op("Pad", q, g.ints(0, 0, 0, 0, 0, 1), g.constant(np.float32(1)))
    logits = g.op("MatMul", q, "K")  # [N, A, C, W]
    if choice.mask == "add":
        logits = g.op("Add", logits, "M")
    o = g.op("MatMul", g.op("Softmax", logits, axis=-1), "V")
    o = g.op("Reshape", g.op("Transpose", o, perm=[2, 0, 1, 3]), g.ints(-1, n * a * d))
    first = g.op("Add", first, start)
    if choice.product == "gemm":
        x = g.op("Relu", g.op("Gemm", o, g.constant(f.head_interest), first))
    else:
        x = g.op("Relu", g.op("Add", g.op("MatMul", o, g.constant(f.head_interest)), first))
    for weight, bias in f.layers[:-1]:
        x = g.op("Relu", g.op("Gemm", x, g.constant(weight), g.constant(bias)))
    weight, bias = f.layers[-1]
    x = g.op("Sigmoid", g.op("Gemm", x, g.constant(weight), g.constant(bias)))
    g.op("Reshape", x, g.ints(-1), name="score")
    inputs = [column(name, 1) for name in users] + [column(name, "C") for name in names]
    return g.model([*inputs, *state_outputs(w, choice.mask)], [array("score", "C")])


def identity() -> onnx.ModelProto:
    """What a call costs that computes nothing."""
    g = Graph()
    g.op("Identity", "x", name="y")
    return g.model([array("x", 1)], [array("y", 1)])
