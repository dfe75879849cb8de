"""Checkpoints for the converter's tests, written from the model specification with safetensors and NumPy alone."""

import copy
import json
import os
import shutil
import stat
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

# The specification's example (section 7), with small tables.
CONFIG = {
    "format": 1,
    "name": "example",
    "tables": {
        "item": {"rows": 50, "dim": 8, "ids": "direct"},
        "directory": {"rows": 20, "dim": 5, "ids": "direct"},
        "repository": {"rows": 7, "dim": 3, "ids": "direct"},
        "action": {"rows": 6, "dim": 4, "ids": "vocabulary", "keys": ["A", "M", "D", 7, -1]},
    },
    "user": [{"name": "age", "kind": "float", "mean": 30.0, "std": 10.0}],
    "context": [{"name": "repository", "kind": "id", "table": "repository"}],
    "event": [
        {"name": "item", "kind": "id", "table": "item"},
        {"name": "directory", "kind": "id", "table": "directory"},
        {"name": "action", "kind": "id", "table": "action"},
        {"name": "dwell", "kind": "float", "mean": 3.0, "std": 2.0},
        {"name": "time", "kind": "time"},
    ],
    "candidate": [
        {"name": "item", "kind": "id", "table": "item"},
        {"name": "directory", "kind": "id", "table": "directory"},
    ],
    "quantizers": {},
    "sequences": [
        {
            "name": "long",
            "kind": "dmqn",
            "codebooks": 3,
            "codewords": 19,
            "empty": "masked",
            "hstu": {"layers": 1, "heads": 2, "qk_dim": 5, "v_dim": 9},
            "attention": {"kind": "dot", "heads": 3, "dim": 6, "share": True},
        }
    ],
    "head": {"hidden": [20, 11], "activation": "relu", "outputs": ["ctr"]},
}


def config_with(hstu=None, attention=None, sequence=None, head=None, **top):
    """A copy of CONFIG with changes to its parts."""
    config = copy.deepcopy(CONFIG)
    config.update(top)
    config["sequences"][0].update(sequence or {})
    config["sequences"][0]["hstu"].update(hstu or {})
    config["sequences"][0]["attention"].update(attention or {})
    config["head"].update(head or {})
    return config


def set_at(config, path, value):
    """The config, changed in place: the entry at `path` set, or removed if value is ..."""
    at = config
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return config


# Changes to CONFIG (for config_with) that between them turn every switch of the specification.
CASES = {
    "example": {},
    "simple": {"hstu": {"layers": 0}},
    "zero": {"sequence": {"empty": "zero"}, "hstu": {"layers": 2, "residual": True}},
    "meta": {
        "hstu": {
            "pre_norm": True, "affine": False, "eps": 1e-6, "bias": "toeplitz", "normalize": {"constant": 211},
            "residual": True, "share": True,
        }
    },
    "meta-production": {
        "hstu": {"activate": "u", "alpha": "rsqrt", "bias": "none", "output": "concat_raw", "residual": True}
    },
    "tokens": {"hstu": {"normalize": "tokens", "norm": "group", "output": "concat"}},
    "attended": {"hstu": {"normalize": "attended", "pre_norm": True}, "attention": {"share": False}},
    "out": {"attention": {"out": True, "count_bias": True}, "head": {"activation": "silu"}},
    "outputs": {"head": {"hidden": [], "outputs": ["ctr", "cvr", "like"]}},
    "one": {"sequence": {"codebooks": 1, "codewords": 1}},
    "wide": {"sequence": {"codebooks": 2, "codewords": 130}, "hstu": {"heads": 1, "qk_dim": 16, "v_dim": 33}},
}  # fmt: skip


def config_of_every_kind(activation="relu", attention=None, short=None, **changes):
    """CONFIG with features and id mappings of every kind and a sequence of each kind, the short one first.

    attention: the long sequence's; short: that of the last events; both may leave the defaults below.
    """
    config = config_with(head={"activation": activation}, **changes)
    config["tables"]["tag"] = {"rows": 30, "dim": 4, "ids": "hash"}
    config["user"].append({"name": "tags", "kind": "ids", "table": "tag", "pool": "mean"})
    config["context"].append({"name": "place", "kind": "vector", "dim": 3})
    config["event"][2:2] = [
        {"name": "tags", "kind": "ids", "table": "tag", "pool": "sum"},
        {"name": "image", "kind": "vector", "dim": 5},
        {"name": "parts", "kind": "ids", "table": "action", "pool": "mean"},
        {"name": "tag", "kind": "id", "table": "tag"},
    ]
    config["candidate"].append({"name": "words", "kind": "ids", "table": "directory", "pool": "sum"})
    config["candidate"].append({"name": "cover", "kind": "vector", "dim": 2})
    config["sequences"][0]["attention"] = attention or {"kind": "din", "hidden": [12, 7], "activation": activation}
    short = short or {"kind": "din", "hidden": [9], "activation": activation, "softmax": True}
    config["sequences"].insert(0, {"name": "short", "kind": "din", "last": 6, "attention": short})
    return config


# Arguments for config_of_every_kind.
KIND_CASES = {
    **{name: {"activation": name} for name in ("relu", "leaky_relu", "prelu", "silu", "gelu", "tanh", "dice")},
    "shared din": {
        "attention": {"kind": "din", "hidden": [17], "activation": "dice", "softmax": True, "share": True},
        "short": {"kind": "dot", "heads": 2, "dim": 5},
    },
    "no hidden layers": {
        "attention": {"kind": "din", "hidden": [], "activation": "prelu", "share": False},
        "short": {"kind": "din", "hidden": [], "activation": "dice"},
        "sequence": {"empty": "zero"},
    },
    "dot over both": {
        "attention": {"kind": "dot", "heads": 3, "dim": 6, "count_bias": True},
        "short": {"kind": "dot", "heads": 1, "dim": 18, "out": True},
    },
}  # fmt: skip


def config_of_vql(groups=((2, 0), (1,)), codewords=(19, 5), config=None, **changes):
    """CONFIG with a sequence of kind vql in place of its own: one group for each tuple of heads."""
    config = config_with() if config is None else config
    listed = [{"heads": list(heads), "codewords": w} for heads, w in zip(groups, codewords, strict=True)]
    sequence = {"name": "keys", "kind": "vql", "heads": sum(map(len, groups)), "dim": 6, "v_dim": 5, "groups": listed}
    config["sequences"] = [sequence | changes]
    return config


# Arguments for config_of_vql.
VQL_CASES = {
    "vql": {},
    "one head": {"groups": ((0,),), "codewords": (33,), "dim": 1, "v_dim": 17},
    "fading": {"decay_terms": 1},
    "fading by three, out": {"decay_terms": 3, "out": True, "groups": ((1,), (3, 0), (2,)), "codewords": (16, 1, 40)},
}


def config_of_sdim(config=None, **changes):
    """CONFIG with a sequence of kind sdim in place of its own."""
    config = config_with() if config is None else config
    config["sequences"] = [{"name": "hashed", "kind": "sdim", "hashes": 5, "bits": 3} | changes]
    return config


def config_of_hstu(config=None, hstu=None, **changes):
    """CONFIG with a sequence of kind hstu in place of its own; `hstu` and the rest add to the defaults below."""
    config = config_with() if config is None else config
    block = {"layers": 1, "heads": 2, "qk_dim": 5, "v_dim": 6} | (hstu or {})
    config["sequences"] = [{"name": "all", "kind": "hstu", "last": 20, "hstu": block} | changes]
    return config


# Arguments for config_of_hstu.
HSTU_CASES = {
    "bare": {},
    "all of it": {
        "positions": True, "scale": "sqrt", "time_buckets": 128,
        "hstu": {"layers": 2, "pre_norm": True, "affine": False, "residual": True, "normalize": {"constant": 20}},
        "attention": {"kind": "dot", "heads": 2, "dim": 5, "out": True},
    },
    "times only": {
        "time_buckets": 1, "scale": "one", "hstu": {"bias": "none", "pre_norm": True, "output": "concat"},
        "attention": {"kind": "din", "hidden": [7], "activation": "prelu"},
    },
    "no layers": {"positions": True, "hstu": {"layers": 0}, "attention": {"kind": "dot", "heads": 2, "dim": 5}},
}  # fmt: skip


def config_of_search(kind, attention=None, config=None, **changes):
    """CONFIG with a sequence that searches the last events in place of its own."""
    config = config_with() if config is None else config
    attention = attention or {"kind": "dot", "heads": 2, "dim": 6}
    sequence = {"name": "search", "kind": kind, "last": 30, "top": 4, "attention": attention}
    if kind == "sim_hard":
        sequence["match"] = {"event": "directory", "candidate": "directory"}
    config["sequences"] = [sequence | changes]
    return config


# Arguments for config_of_search.
SEARCH_CASES = {
    "sim_hard": {"kind": "sim_hard"},
    "sim_hard, out": {"kind": "sim_hard", "attention": {"kind": "dot", "heads": 3, "dim": 5, "out": True}, "top": 30},
    "sim_hard, din": {
        "kind": "sim_hard", "attention": {"kind": "din", "hidden": [7], "activation": "prelu", "softmax": True},
        "match": {"event": "action", "candidate": "act"},
    },
    "twin": {"kind": "twin"},
    "twin, out": {"kind": "twin", "attention": {"kind": "dot", "heads": 4, "dim": 17, "out": True}, "top": 1},
}  # fmt: skip


def search_case(name, **changes):
    """The config of a case; its candidates have an action too, which few are."""
    config = config_with()
    config["candidate"].append({"name": "act", "kind": "id", "table": "action"})
    return config_of_search(**SEARCH_CASES[name], config=config, **changes)


PARAMETERS = {"prelu": ("alpha",), "dice": ("alpha", "mean", "var")}


def width(config, group):
    """Columns of a group's embedding."""
    widths = {"float": lambda f: 1, "time": lambda f: 0, "vector": lambda f: f["dim"]}
    table = lambda f: config["tables"][f["table"]]["dim"]  # noqa: E731
    return sum(widths.get(f["kind"], table)(f) for f in config.get(group, []))


def shapes(config, out=10, bias_heads=1):
    """Names and shapes of every tensor that section 7 asks for, optional biases included. `out` is the width of the
    output projection where the config has one."""
    result = {f"tables.{name}.weight": (t["rows"], t["dim"]) for name, t in config["tables"].items()}
    x0 = width(config, "user") + width(config, "context") + width(config, "candidate")
    for s in config["sequences"]:
        if s["kind"] == "vql":
            tensors, interest = vql_shapes(config, s, out)
            result |= tensors
            x0 += interest
            continue
        if s["kind"] == "sdim":
            d, p = width(config, "event"), f"sequences.{s['name']}.sdim"
            result |= {f"{p}.hash": (s["hashes"] * s["bits"], d), f"{p}.q.bias": (d,)}
            result |= {f"{p}.q.weight": (d, width(config, "candidate"))}
            x0 += d
            continue
        if s["kind"] == "dmqn":
            result |= hstu_shapes(config, s, bias_heads)
        elif s["kind"] == "hstu":
            result |= hstu_last_shapes(config, s)
            if "attention" not in s:
                x0 += width(config, "event")
                continue
        tensors, interest = attention_shapes(config, s, out)
        result |= tensors
        x0 += interest
    widths = [x0, *config["head"]["hidden"], len(config["head"]["outputs"])]
    result |= mlp_shapes("head", widths, config["head"]["activation"])
    return result


def hstu_shapes(config, s, bias_heads):
    """Projection, codebook and HSTU layers of a dmqn sequence."""
    d = width(config, "event")
    n, w, p = s["codebooks"], s["codewords"], f"sequences.{s['name']}"
    result = {f"{p}.projection": (n, d, d), f"{p}.codebook": (n, w, d)}
    hstu = s["hstu"]
    j = 1 if hstu.get("share") else n
    for layer in range(hstu["layers"]):
        kind = hstu.get("bias", "dense")
        bias = {} if kind == "none" else {"bias": (j, bias_heads, *((w, w) if kind == "dense" else (2 * w - 1,)))}
        result |= block_shapes(f"{p}.hstu.{layer}", hstu, d, (j,), bias)
    return result


def hstu_last_shapes(config, s):
    """Positions and HSTU layers of an hstu sequence."""
    d, p, buckets = width(config, "event"), f"sequences.{s['name']}", s.get("time_buckets", 0)
    result = {f"{p}.position": (s["last"], d)} if s.get("positions") else {}
    bias = {} if s["hstu"].get("bias") == "none" else {"bias": (2 * s["last"] - 1,)}
    bias |= {"time_bias": (buckets + 1,)} if buckets else {}
    for layer in range(s["hstu"]["layers"]):
        result |= block_shapes(f"{p}.hstu.{layer}", s["hstu"], d, (), bias)
    return result


def block_shapes(q, hstu, d, j, bias):
    """One HSTU layer; `j` leads the shapes of all but `bias`."""
    h, dqk, dv = hstu["heads"], hstu["qk_dim"], hstu["v_dim"]
    f1, z = 2 * h * dv + 2 * h * dqk, h * dv * (1 if hstu.get("output", "gated") == "gated" else 3)
    result = {f"{q}.f1.weight": (*j, f1, d), f"{q}.f1.bias": (*j, f1)}
    result |= {f"{q}.{name}": shape for name, shape in bias.items()}
    if hstu.get("affine", True):
        result[f"{q}.norm.weight"] = result[f"{q}.norm.bias"] = (*j, h * dv)
        if hstu.get("pre_norm"):
            result[f"{q}.pre_norm.weight"] = result[f"{q}.pre_norm.bias"] = (*j, d)
    result[f"{q}.f2.weight"], result[f"{q}.f2.bias"] = (*j, d, z), (*j, d)
    return result


def attention_shapes(config, s, out):
    """The target attention's tensors, led by N or 1 for dmqn only, and the width of the sequence's interest."""
    d, dc = width(config, "event"), width(config, "candidate")
    attention, p = s["attention"], f"sequences.{s['name']}.attention"
    parts = s.get("codebooks", 1)
    lead = () if s["kind"] != "dmqn" else (1,) if attention.get("share") else (parts,)
    result = {}
    if attention["kind"] == "din":
        linear, interest = [("q", d, dc)], d
        result |= mlp_shapes(f"{p}.mlp", [4 * d, *attention["hidden"], 1], attention["activation"], lead)
    else:
        a = attention["heads"] * attention["dim"]
        linear, interest = [("q", a, dc), ("k", a, d), ("v", a, d)], a
        if attention.get("out"):
            linear, interest = [*linear, ("out", out, a)], out
    for part, outputs, inputs in linear:
        result[f"{p}.{part}.weight"], result[f"{p}.{part}.bias"] = (*lead, outputs, inputs), (*lead, outputs)
    return result, parts * interest


def vql_shapes(config, s, out):
    """The tensors of a vql sequence, and the width of its interest."""
    d, dc = width(config, "event"), width(config, "candidate")
    a, p, values = s["heads"], f"sequences.{s['name']}.vql", s["heads"] * s["v_dim"]
    result = {f"{p}.k.weight": (a * s["dim"], d), f"{p}.v.weight": (values, d), f"{p}.q.weight": (a * s["dim"], dc)}
    for g, group in enumerate(s["groups"]):
        result[f"{p}.groups.{g}.codebook"] = (group["codewords"], len(group["heads"]) * s["dim"])
    if s.get("out"):
        result[f"{p}.out.weight"] = (out, values)
    if s.get("decay_terms"):
        result[f"{p}.decay"] = result[f"{p}.mix"] = (a, s["decay_terms"])
    return result, out if s.get("out") else values


def mlp_shapes(prefix, widths, activation, lead=()):
    """Linear layers, and beside the hidden ones the activation's parameters."""
    result = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        p = f"{prefix}.{layer}"
        result[f"{p}.weight"], result[f"{p}.bias"] = (*lead, outputs, inputs), (*lead, outputs)
        if layer < len(widths) - 2:
            result |= {f"{p}.{name}": (*lead, outputs) for name in PARAMETERS.get(activation, ())}
    return result


def weights(config, seed=0, dtype=np.float32, **kwargs):
    """Random tensors, scaled so that outputs stay away from 0 and 1."""
    rng = np.random.default_rng(seed)
    result = {}
    for name, shape in shapes(config, **kwargs).items():
        scale = 1.0 if name.startswith("tables.") else 1.0 / np.sqrt(shape[-1])
        values = rng.standard_normal(shape) * scale
        if name.endswith("norm.weight"):
            values = 1 + 0.1 * values
        if name.endswith(".var"):
            values = 0.1 + values * values
        if name.endswith(".vql.decay"):  # from slow to fast against the times that request_of draws
            values = 1e-8 * values * values
        if name.endswith(".vql.mix"):
            values = 0.1 + values * values
        result[name] = values.astype(dtype)
    return result


def request_of(config, seed=0, events=60, candidates=5):
    """A random request in which nothing is absent or unknown."""
    rng = np.random.default_rng(seed)
    keys = config["tables"]["action"]["keys"]

    def one_id(table):
        if table == "action":
            return keys[rng.integers(len(keys))]
        if config["tables"][table]["ids"] == "hash":
            return f"tag {rng.integers(40)}" if rng.integers(2) else int(rng.integers(-(10**15), 10**15))
        return int(rng.integers(config["tables"][table]["rows"]))

    def values(group):
        result = {}
        for feature in config.get(group, []):
            if feature["kind"] == "float":
                result[feature["name"]] = float(rng.normal(3, 2))
            elif feature["kind"] == "time":
                result[feature["name"]] = int(rng.integers(10**9))
            elif feature["kind"] == "vector":
                result[feature["name"]] = [float(x) for x in rng.normal(0, 1, feature["dim"])]
            elif feature["kind"] == "ids":
                result[feature["name"]] = [one_id(feature["table"]) for _ in range(rng.integers(5))]
            else:
                result[feature["name"]] = one_id(feature["table"])
        return result

    return {
        "id": 1,
        "time": 10**9 + 10**7,
        "user": values("user"),
        "context": values("context"),
        "events": [values("event") for _ in range(events)],
        "candidates": [values("candidate") for _ in range(candidates)],
    }


def write(path, config, tensors, text=None):
    """Writes a checkpoint; `text` stands in for the config's JSON."""
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(tensors, str(path), metadata={"vqrank": json.dumps(config) if text is None else text})
    return path


def write_raw(path, config, tensors, last=None):
    """Writes a checkpoint byte by byte, as the safetensors format says: tensors is name -> (dtype, shape, bytes).

    last: (name, dtype F32, shape) of one more tensor, all zeros, which takes no space on the disk.
    """
    header, data = {"__metadata__": {"vqrank": json.dumps(config)}}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    end = len(data)
    if last is not None:
        name, dtype, shape = last
        end += 4 * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    os.truncate(path, 8 + len(text) + end)
    return path


def fake_vqrank(path: Path, body: str) -> Path:
    """An executable that stands in for the command `vqrank`: Python statements with `argv` at hand."""
    path.write_text(f"#!{sys.executable}\nimport sys\nargv = sys.argv[1:]\n{textwrap.dedent(body)}")
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path


# Answers a request as the library would, by the converter's own reference: argv is score --isa ref MODEL REQUEST.
ANSWER = """
import json
import numpy as np
import converter_support
from vqrank_convert import reference
assert argv[:3] == ["score", "--isa", "ref"] and len(argv) == 5, argv
config, tensors = converter_support.checkpoint_of({checkpoint!r})
with open(argv[4]) as file:
    request = json.loads(file.read())
outputs = reference.score(config, tensors, request, np.float32).outputs
outputs = {{name: [float("%.9g" % np.float32(y)) for y in ys] for name, ys in outputs.items()}}
"""


def answering_vqrank(path: Path, checkpoint: Path, then="print(json.dumps({'id': 'golden', 'outputs': outputs}))"):
    """A stand-in for `vqrank` that scores by the converter's reference, then runs `then`."""
    body = f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + ANSWER.format(checkpoint=str(checkpoint))
    return fake_vqrank(path, body + textwrap.dedent(then))


def checkpoint_of(path):
    """Config and tensors of a float32 checkpoint."""
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        config = json.loads(file.metadata()["vqrank"])
        return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def single(x):
    """The float32 nearest to a double. What a division or a product of two float32 gives in double, it rounds right."""
    return float(np.float32(x))


def quantized(row):
    """docs/int8.md, one number at a time: (integers, scale) of float32 numbers."""
    m = max((abs(x) for x in row), default=0.0)
    if m < 2.0**-100:
        return [0] * len(row), 0.0
    steps = single(127 / m)
    return [round(single(x * steps)) for x in row], single(m / 127)


class File:
    """A .vqr file, read by the schema's generated code and by the layouts as schema/model.fbs words them."""

    def __init__(self, path):
        from vqrank_schema.Model import Model, ModelT

        self.bytes = Path(path).read_bytes()
        self.prefix = int.from_bytes(self.bytes[:4], "little")
        self.header = ModelT.InitFromObj(Model.GetRootAs(self.bytes, 4))
        self.tensors = {tensor.name.decode(): tensor for tensor in self.header.tensors}

    def flat(self, name):
        """The elements of a tensor as they lie in the file."""
        tensor = self.tensors[name]
        kind = {0: "<f4", 1: "u1", 2: "<u4", 3: "i1", 4: "<u2"}[tensor.type]
        return np.frombuffer(self.bytes, kind, tensor.length // np.dtype(kind).itemsize, tensor.offset)

    def shape(self, name):
        return tuple(int(size) for size in self.tensors[name].shape)

    def values(self, name):
        """A tensor without padding, element by element; asserts that the padding is zero."""
        flat, shape, layout = self.flat(name), self.shape(name), self.tensors[name].layout
        if layout == 0:
            return flat.reshape(shape)
        last = shape[-1]
        blocks = (last + 15) // 16
        result = np.zeros(shape, flat.dtype)
        used = np.zeros(flat.size, bool)
        for index in np.ndindex(*shape):
            if layout == 1:  # rows of ceil16(last)
                row = int(np.ravel_multi_index(index[:-1], shape[:-1])) if len(shape) > 1 else 0
                at = row * blocks * 16 + index[-1]
            else:  # per matrix: panel, row, 16 outputs; or panel, four rows, 16 outputs of them, each of the four
                *outer, i, o = index
                matrix = int(np.ravel_multi_index(outer, shape[:-2])) if outer else 0
                quads = (shape[-2] + 3) // 4
                at = (((matrix * blocks + o // 16) * quads + i // 4) * 16 + o % 16) * 4 + i % 4
            if layout == 2:
                at = ((matrix * blocks + o // 16) * shape[-2] + i) * 16 + o % 16
            result[index] = flat[at]
            used[at] = True
        assert not flat[~used].any()
        return result


def library():
    """The command `vqrank`, if it is built: of the build under test, where that is said."""
    build = os.environ.get("VQRANK_BUILD")
    beside = Path(build) / "bin" / "vqrank" if build else Path(sys.executable).parent / "vqrank"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("vqrank")
