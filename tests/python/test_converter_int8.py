"""int8 in the converter: the rule, what files hold of it, which parts become so, what is said and what is refused."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
from converter_support import (
    CONFIG,
    File,
    config_of_every_kind,
    config_of_hstu,
    config_of_sdim,
    config_of_search,
    config_of_vql,
    config_with,
    quantized,
    weights,
    width,
    write,
)

from vqrank_convert import checkpoint, int8
from vqrank_convert.cli import main
from vqrank_convert.config import parse_config
from vqrank_convert.int8_rows import rows_to_int8

# Presets, but for codebooks that they would leave, whose scores are looked up.
SERVER, MOBILE = ("--preset", "server", "--codebook", "int8"), ("--preset", "mobile", "--codebook", "int8")
WORKLOAD = json.loads((Path(__file__).parents[2] / "bench" / "workloads" / "paper.json").read_text())

LARGEST = float(np.finfo(np.float32).max)
# The columns of CONFIG's events and candidates that are of one number; of the latter once they have a size.
DWELL, SIZE = (17,), (8,)


RNG = np.random.default_rng(5)
ROWS = {
    "normal": RNG.normal(0, 1, 300),
    "ties": np.array([127, 0.5, 1.5, -0.5, -2.5, 63.5, 62.5, -126.5]),
    "ties in steps of another": np.array([254, 1, 3, -1, -5, 127, 125, -253]) * 2.0**-40,
    "one": np.array([-3.7]),
    "none": np.array([]),
    "equal": np.full(9, 0.1),
    "zeros": np.zeros(7),
    "minus zeros": np.array([-0.0, 0.0, 1.0, -1.0]),
    "denormals": np.array([1e-45, -1e-40, 0]),
    "a denormal beside": np.array([1e-45, 1.0, -1e-42]),
    "least": np.array([2.0**-100, -(2.0**-101), 2.0**-108]),
    "below the least": np.array([np.nextafter(np.float32(2.0**-100), np.float32(0)), 2.0**-101]),
    "huge": np.array([LARGEST, -LARGEST, 1e38, 1.0, LARGEST / 254]),
}


@pytest.mark.parametrize("row", ROWS)
def test_rows_to_int8(row):
    x = ROWS[row].astype(np.float32)
    q, scale = rows_to_int8(np.stack([x, x[::-1]]))
    assert q.dtype == scale.dtype == np.float32
    integers, step = quantized(x.tolist())
    assert q.tolist() == [integers, integers[::-1]]
    assert scale.tolist() == [step, step]
    assert len(x) == 0 or max(map(abs, integers)) == (127 if step else 0)


def test_a_million_rows():
    """Of numbers of all sizes, half of them on or beside a tie."""
    x = RNG.normal(0, 1, (40_000, 25)).astype(np.float32)
    x[:, 0] = 127
    x[:, 1:13] = np.rint(x[:, 1:13] * 40) + np.float32(0.5)
    x[:, 4:8] = np.nextafter(x[:, 4:8], np.float32(0))
    x *= 2.0 ** RNG.integers(-90, 90, (len(x), 1))
    x = x.astype(np.float32) * RNG.uniform(1, 2, (len(x), 1)).astype(np.float32)
    q, scale = rows_to_int8(x)
    for i in range(0, len(x), 97):
        assert (q[i].tolist(), scale[i]) == quantized(x[i].tolist())
    assert (np.abs(q * scale[:, None] - x) <= 0.5000001 * scale[:, None] + 2.0**-22 * np.abs(x)).all()


# ---- files ----


def wide(**changes):
    """A model whose head's first two layers gain by int8, and its last does not."""
    return config_with(head={"hidden": [40, 33]}, **changes)


def convert(tmp_path, config, tensors, *options, name="m"):
    source = write(tmp_path / f"{name}.safetensors", config, tensors)
    assert main([str(source), "-o", str(tmp_path / f"{name}.vqr"), "--no-golden", *options]) == 0
    return File(tmp_path / f"{name}.vqr")


def check_columns(file, name, scale, values, kept=()):
    """An int8 matrix [..., in, out] and the scales of its columns, against `values` in float32, of which rows are kept
    so."""
    tensor, steps = file.tensors[name], file.tensors[scale]
    beside = scale.removesuffix(".scale") + ".kept"
    assert (beside in file.tensors, f"{beside}.weight" in file.tensors) == (len(kept) > 0, len(kept) > 0)
    if kept:
        assert (file.tensors[beside].type, file.tensors[beside].layout) == (2, 0)
        assert file.values(beside).tolist() == list(kept)
        assert (file.tensors[f"{beside}.weight"].type, file.tensors[f"{beside}.weight"].layout) == (0, 2)
        np.testing.assert_array_equal(file.values(f"{beside}.weight"), values[..., list(kept), :])
        values = values.copy()
        values[..., list(kept), :] = 0
    assert (tensor.type, tensor.layout, file.shape(name)) == (3, 3, values.shape)
    *outer, inputs, outputs = values.shape
    assert (steps.type, steps.layout, file.shape(scale)) == (0, 1, (*outer, outputs))
    assert tensor.length == math.prod(outer) * -(-inputs // 4) * 4 * -(-outputs // 16) * 16
    q, s = file.values(name), file.values(scale)
    for index in np.ndindex(*outer, outputs):
        *place, o = index
        assert (q[(*place, slice(None), o)].tolist(), s[index]) == quantized(values[(*place, slice(None), o)].tolist())


def head_of(tensors, layer):
    return tensors[f"head.{layer}.weight"].T


def test_server(tmp_path):
    config = wide()
    tensors = weights(config)
    plain, file = convert(tmp_path, config, tensors), convert(tmp_path, config, tensors, *SERVER)
    changed = {name for name in file.tensors if name not in plain.tensors or file.tensors[name].type == 3}
    assert changed == {
        "sequences.long.fold", "sequences.long.fold.scale", "sequences.long.fold.kept",
        "sequences.long.fold.kept.weight", "head.0.shared", "head.0.weight", "head.0.scale",
        "head.1.weight", "head.1.scale",
    }  # fmt: skip
    check_columns(file, "sequences.long.fold", "sequences.long.fold.scale", plain.values("sequences.long.fold"), DWELL)
    shared = 4  # age and repository
    check_columns(file, "head.0.weight", "head.0.scale", head_of(tensors, 0)[shared:])
    assert (file.tensors["head.0.shared"].type, file.tensors["head.0.shared"].layout) == (0, 2)
    np.testing.assert_array_equal(file.values("head.0.shared"), head_of(tensors, 0)[:shared])
    check_columns(file, "head.1.weight", "head.1.scale", head_of(tensors, 1))
    for name in set(plain.tensors) - changed:
        assert file.flat(name).tobytes() == plain.flat(name).tobytes(), name
    (sequence,) = file.header.sequences
    assert (sequence.kind.scores, sequence.kind.attention.state) == (1, 0)
    assert [f.exponent for f in file.header.event] == [f.exponent for f in plain.header.event]


def test_mobile(tmp_path):
    config = wide()
    tensors = weights(config)
    tensors["tables.item.weight"][3] = 0
    tensors["tables.item.weight"][4] *= 2.0**-110
    plain, file = convert(tmp_path, config, tensors), convert(tmp_path, config, tensors, *MOBILE)
    (sequence,) = file.header.sequences
    assert (sequence.kind.scores, sequence.kind.attention.state) == (1, 0)  # its heads are narrow
    for table in ("item", "directory", "action"):
        name = f"tables.{table}"
        assert (file.tensors[f"{name}.weight"].type, file.tensors[f"{name}.weight"].layout) == (3, 0)
        assert (file.tensors[f"{name}.scale"].type, file.tensors[f"{name}.scale"].layout) == (0, 0)
        assert file.shape(f"{name}.weight") == plain.shape(f"{name}.weight")
        q, s = file.values(f"{name}.weight"), file.values(f"{name}.scale")
        for row, want in enumerate(tensors[f"{name}.weight"].tolist()):
            assert (q[row].tolist(), s[row]) == quantized(want)
    # Of what the rows stand for, the largest magnitude fills 30 bits; of twice as much it would not fit.
    for feature, table in ((0, "item"), (1, "directory"), (2, "action")):
        largest = float(
            (np.abs(file.values(f"tables.{table}.weight")).max(1) * file.values(f"tables.{table}.scale")).max()
        )
        assert 2**29 < largest * 2.0 ** file.header.event[feature].exponent <= 2**30
    assert file.tensors["tables.repository.weight"].type == 0 and "tables.repository.scale" not in file.tensors
    assert file.values("tables.item.scale")[3] == file.values("tables.item.scale")[4] == 0


@pytest.mark.parametrize(("dim", "preset"), [(31, 0), (32, 1)])
def test_narrow_heads(tmp_path, dim, preset):
    """A preset leaves their state in fp32; who asks for it in int8 gets that, in any order."""
    config = config_of_every_kind(short={"kind": "dot", "heads": 2, "dim": dim})
    for options, state in {
        ("--preset", "mobile"): preset,
        ("--preset", "mobile", "--tables", "fp32"): preset,
        ("--preset", "mobile", "--state", "int8"): 1,
        ("--state", "int8", "--preset", "mobile"): 1,
        ("--state", "int8"): 1,
        ("--preset", "server", "--state", "int8"): 1,
    }.items():
        file = convert(tmp_path, config, weights(config), *options)
        assert file.header.sequences[0].kind.attention.state == state, options


def test_chunks_do_not_show(tmp_path, monkeypatch):
    whole = convert(tmp_path, CONFIG, weights(CONFIG), "--tables", "int8")
    monkeypatch.setattr(checkpoint, "CHUNK_BYTES", 7 * 8 * 4)
    assert convert(tmp_path, CONFIG, weights(CONFIG), "--tables", "int8").bytes == whole.bytes


def test_exact_codewords_have_the_file_of_fp32(tmp_path):
    config = config_of_vql(config=wide())
    config["sequences"].append(copy.deepcopy(CONFIG["sequences"][0]))
    plain = convert(tmp_path, config, weights(config))
    file = convert(tmp_path, config, weights(config), "--codebook", "int8-exact")
    assert [sequence.kind.scores for sequence in plain.header.sequences] == [0, 0]
    assert [sequence.kind.scores for sequence in file.header.sequences] == [2, 2]
    first = min(tensor.offset for tensor in file.header.tensors)
    assert file.bytes[first:] == plain.bytes[first:]


def test_vql_in_int8(tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)
    config = config_of_vql(out=True)
    tensors = weights(config)
    plain, file = convert(tmp_path, config, tensors), convert(tmp_path, config, tensors, *SERVER)
    for group in range(2):
        name = f"sequences.keys.vql.groups.{group}"
        check_columns(file, f"{name}.fold", f"{name}.fold.scale", plain.values(f"{name}.fold"), DWELL)
        assert file.flat(f"{name}.offset").tobytes() == plain.flat(f"{name}.offset").tobytes()
    name = "sequences.keys.vql.out"
    check_columns(file, f"{name}.weight", f"{name}.scale", tensors[f"{name}.weight"].T)
    name = "sequences.keys.vql.q"
    check_columns(file, f"{name}.weight", f"{name}.scale", tensors[f"{name}.weight"].T)
    assert file.tensors["sequences.keys.vql.v.weight"].type == 0
    assert file.tensors["sequences.keys.vql.groups.0.codebook"].type == 0
    assert file.header.sequences[0].kind.scores == 1


def test_layers_of_every_codebook(tmp_path, monkeypatch):
    """Leading dimensions, and what stays fp32 of a din attention."""
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)
    config = config_of_every_kind("dice")
    tensors = weights(config)
    file = convert(tmp_path, config, tensors, "--weights", "int8")
    layers = {"hstu.0.f1": (34,), "hstu.0.f2": (), "attention.q": (), "attention.mlp.1": (), "attention.mlp.2": ()}
    for layer, kept in layers.items():
        name = f"sequences.long.{layer}"
        check_columns(file, f"{name}.weight", f"{name}.scale", np.swapaxes(tensors[f"{name}.weight"], -1, -2), kept)
    assert {file.tensors[f"sequences.long.attention.mlp.0.{p}"].type for p in ("target", "event", "product")} == {0}
    name = "sequences.short.attention.q"
    check_columns(file, f"{name}.weight", f"{name}.scale", tensors[f"{name}.weight"].T[np.newaxis])


# Of each sequence the layers and folds that read events, tokens of their columns or candidates, and what they keep.
READS = {
    "dmqn": (
        CONFIG,
        {"long.fold": DWELL, "long.hstu.0.f1": DWELL, "long.attention.q": SIZE, "long.attention.k": DWELL,
         "long.attention.v": DWELL},
    ),
    "dmqn, din": (
        config_of_every_kind(hstu={"layers": 2}),
        {"short.attention.q": SIZE, "long.attention.q": SIZE, "long.fold": (34,), "long.hstu.0.f1": (34,),
         "long.hstu.1.f1": (34,)},
    ),
    "din, dot": (
        config_of_every_kind(short={"kind": "dot", "heads": 2, "dim": 5, "out": True}, hstu={"layers": 0}),
        {"short.attention.q": SIZE, "short.attention.k": (34,), "short.attention.v": (34,), "long.attention.q": SIZE,
         "long.fold": (34,)},
    ),
    "vql": (
        config_of_vql(out=True),
        {"keys.vql.groups.0.fold": DWELL, "keys.vql.groups.1.fold": DWELL, "keys.vql.q": SIZE},
    ),
    "sim_hard": (
        config_of_search("sim_hard"),
        {"search.attention.q": SIZE, "search.attention.k": DWELL, "search.attention.v": DWELL},
    ),
    "sim_hard, din": (
        config_of_search("sim_hard", {"kind": "din", "hidden": [7], "activation": "relu"}), {"search.attention.q": SIZE}
    ),
    "twin": (config_of_search("twin", {"kind": "dot", "heads": 2, "dim": 5}), {"search.attention.v": DWELL}),
    "hstu": (
        config_of_hstu(hstu={"layers": 2}, attention={"kind": "dot", "heads": 2, "dim": 5}),
        {"all.hstu.0.f1": DWELL, "all.hstu.1.f1": DWELL, "all.attention.q": SIZE, "all.attention.k": DWELL,
         "all.attention.v": DWELL},
    ),
    "hstu, din": (
        config_of_hstu(attention={"kind": "din", "hidden": [7], "activation": "relu"}),
        {"all.hstu.0.f1": DWELL, "all.attention.q": SIZE},
    ),
    "sdim": (config_of_sdim(), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", READS)
def test_float_features_are_kept(tmp_path, monkeypatch, case):
    """And nothing else is: vectors become int8 whole, as do values between the layers of HSTU and outputs of heads."""
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)
    config, reads = copy.deepcopy(READS[case])
    config["candidate"].insert(1, {"name": "size", "kind": "float"})
    config["candidate"].append({"name": "age", "kind": "float", "std": 2.0})
    file = convert(tmp_path, config, weights(config), *SERVER)
    last = width(config, "candidate") - 1
    want = {f"sequences.{name}": [*kept, last] if kept == SIZE else list(kept) for name, kept in reads.items()}
    want["head.0"] = [*SIZE, last]
    found = {name.removesuffix(".kept"): file.values(name).tolist() for name in file.tensors if name.endswith(".kept")}
    assert found == want
    for name, kept in want.items():
        assert file.shape(f"{name}.kept.weight")[-2] == len(kept)
    narrow = {name.removesuffix(".weight") for name, tensor in file.tensors.items() if tensor.type == 3}
    assert set(want) <= narrow


def test_large_columns_are_kept(tmp_path, monkeypatch):
    """At most one in eight, the largest; of the head's first layer counted behind what candidates share."""
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)
    config = config_with()
    tensors = weights(config)
    shared, inputs = width(config, "user") + width(config, "context"), tensors["head.0.weight"].shape[1]
    head, value = tensors["head.0.weight"], tensors["sequences.long.attention.v.weight"]
    head[:, 0] *= 1000.0  # shared: not int8 in any case
    head[2, shared + 2] = -9 * np.median(np.abs(head[:, shared:]).max(axis=0))
    value[:, :, 3:9] *= 100.0
    value[-1, 4, 5] = 1e6
    file = convert(tmp_path, config, tensors, "--weights", "int8")
    assert shared + 2 < inputs and file.values("head.0.kept").tolist() == [2]
    assert file.values("head.0.kept.weight")[0].tobytes() == head[:, shared + 2].astype(np.float32).tobytes()
    kept = file.values("sequences.long.attention.v.kept").tolist()
    assert kept[-1:] == list(DWELL)
    large = kept[:-1]
    assert len(large) == value.shape[-1] // 8 and 5 in large and set(large) <= set(range(3, 9))
    dead = np.zeros((3, 40), np.float32)
    dead[:, 7] = 1.0
    assert int8.large_columns(dead) == ()  # where most columns are 0 there is nothing to be larger than
    dead[:, :30] = [[8.0]] * 3
    dead[0, 7], dead[1, 9] = 64.0, -65.0
    assert int8.large_columns(dead) == (9,)
    with np.errstate(over="raise"):
        assert int8.large_columns(np.full((2, 9), LARGEST, np.float32)) == ()


def test_fine_keys(tmp_path, capsys):
    """Where the state is int8, outputs of far larger weights, over inputs and codebooks: at most one in eight."""
    dot = {"kind": "dot", "heads": 2, "dim": 13}
    config = config_of_every_kind(short=dot, attention={"kind": "dot", "heads": 3, "dim": 6, "count_bias": True})
    config["sequences"] += [dict(config["sequences"][0], name="plain")]
    tensors = weights(config)
    short, long = (tensors[f"sequences.{name}.attention.k.weight"] for name in ("short", "long"))
    short[[25, 3, 9, 14], :] *= np.array([[50.0], [20.0], [60.0], [70.0]])  # 26 / 8 of them
    median = np.median(np.abs(long).max(axis=(0, 2)))
    long[1, 16, 4], long[2, 5, 4] = -8.5 * median, 7.5 * median
    capsys.readouterr()
    file = convert(tmp_path, config, tensors, "--state", "int8")
    assert "  int8      state int8: short (3 fine keys), long (1 fine key), plain\n" in capsys.readouterr().out
    found = {name: file.values(name).tolist() for name in file.tensors if name.endswith(".fine")}
    assert found == {"sequences.short.attention.k.fine": [9, 14, 25], "sequences.long.attention.k.fine": [16]}
    assert {(file.tensors[name].type, file.tensors[name].layout) for name in found} == {(2, 0)}
    for options in (("--weights", "int8"), ("--preset", "mobile")):  # the state stays fp32; of the latter for its heads
        file = convert(tmp_path, config, tensors, *options)
        assert not [name for name in file.tensors if name.endswith(".fine")]


def test_inputs_that_are_all_kept(tmp_path, capsys, monkeypatch):
    """Nothing of them could be int8: neither layers nor folds are."""
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)
    numbers = [{"name": f"n{i}", "kind": "float"} for i in range(3)]
    config = config_of_every_kind() | {"event": numbers, "candidate": numbers}
    lines = summary(tmp_path, capsys, config, *SERVER)
    assert lines[0] == "codebook int8: nothing to do; kept in fp32: long (events of numbers alone)"
    assert "short.attention.q, long.attention.q (too small: 0 x 3)" in lines[1]
    file = File(tmp_path / "m.vqr")
    assert [sequence.kind.scores for sequence in file.header.sequences if hasattr(sequence.kind, "scores")] == [0]
    exact = convert(tmp_path, config, weights(config), "--codebook", "int8-exact")
    assert exact.header.sequences[1].kind.scores == 2


def test_nothing_shared(tmp_path):
    config = wide(user=[], context=[])
    file = convert(tmp_path, config, weights(config), "--weights", "int8")
    assert "head.0.shared" not in file.tensors and file.tensors["head.0.weight"].type == 3


def test_overrides(tmp_path):
    """An option beside a preset goes before it."""
    config = wide()
    options = ("--preset", "mobile", "--state", "fp32", "--codebook", "int8-exact", "--tables", "fp32")
    file = convert(tmp_path, config, weights(config), *options)
    (sequence,) = file.header.sequences
    assert (sequence.kind.scores, sequence.kind.attention.state) == (2, 0)
    assert [name for name, tensor in file.tensors.items() if tensor.type == 3] == ["head.0.weight", "head.1.weight"]


@pytest.mark.parametrize(("inputs", "outputs", "small"), [(31, 32, True), (32, 31, True), (32, 32, False)])
def test_what_gains(inputs, outputs, small):
    parts = int8.Parts(parse_config(CONFIG), int8.Int8Options(weights="int8"))
    assert parts.layer_is_int8("head.0", inputs, outputs) is not small
    for layer in ("head.0", "sequences.long.hstu.0.f1"):  # kept columns, which the second has, count too
        assert parts.why_fp32(layer, 2**17 + 1, 64) == "more than 131072 inputs"
    assert not int8.Parts(parse_config(CONFIG), int8.FP32).layer_is_int8("head.0", inputs, outputs)


# ---- what is said ----


def summary(tmp_path, capsys, config, *options):
    capsys.readouterr()
    convert(tmp_path, config, weights(config), *options)
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("  int8      ") for line in lines if line.startswith("  int8 ")]


def test_summary(tmp_path, capsys):
    config = wide()
    config["candidate"] += [{"name": "size", "kind": "float"}, {"name": "age", "kind": "float"}]
    assert summary(tmp_path, capsys, config) == []
    plain = (tmp_path / "m.vqr").stat().st_size
    lines = summary(tmp_path, capsys, config, *MOBILE)
    size = (tmp_path / "m.vqr").stat().st_size
    assert lines == [
        "codebook int8: long (keeps 1 column)",
        "tables int8: item, directory, action; kept in fp32: repository (too narrow: 3)",
        "weights int8: head.0 (keeps 2 columns), head.1; kept in fp32: long.hstu.0.f1 (too small: 17 x 56); "
        "long.hstu.0.f2 (too small: 18 x 18); long.attention.q (too small: 13 x 18); "
        "long.attention.k, long.attention.v (too small: 17 x 18); head.2 (too small: 33 x 1)",
        "state int8: nothing to do; kept in fp32: long (heads too narrow: 6)",
        f"{size:,} bytes, in fp32 about {plain:,}",
    ]
    assert size < plain
    assert summary(tmp_path, capsys, config, *MOBILE, "--state", "int8")[3] == "state int8: long"


@pytest.mark.parametrize(("rows", "looked_up"), [(10_000, 32), (40, 64), (1_000, 64), (1_996, 64), (1_997, 32)])
def test_presets_leave_codebooks_whose_scores_are_looked_up(tmp_path, capsys, rows, looked_up):
    """Of 4 MiB a row of 4 codebooks of 128 takes 2,052 bytes: 2,044 rows fit, the smallest tables first."""
    config = copy.deepcopy(WORKLOAD)
    config["tables"]["item"]["rows"] = rows
    config["tables"]["category"]["rows"] = 40
    parsed = parse_config(config)
    assert int8.looked_up_columns(parsed, parsed.sequences[0]) == looked_up
    lines = summary(tmp_path, capsys, config, "--preset", "server")
    kept = "nothing to do; kept in fp32: long (too small: 0 columns are not looked up)"
    assert lines[0] == f"codebook int8: {kept if looked_up == 64 else 'long'}"
    assert summary(tmp_path, capsys, config, "--codebook", "int8")[0] == "codebook int8: long"


def test_summary_of_what_cannot_be(tmp_path, capsys):
    options = ("--codebook", "int8-exact", "--weights", "int8", "--state", "int8")
    codebook, layers, state, _ = summary(tmp_path, capsys, config_of_search("twin"), *options)
    assert codebook == "codebook int8-exact: nothing to do"
    decides = "search.attention.q, search.attention.k (decides which events take part)"
    assert layers.startswith(f"weights int8: nothing to do; kept in fp32: {decides}; search.attention.v (too small")
    assert state == "state int8: nothing to do; kept in fp32: search (searches events)"


def test_a_model_of_narrow_tables(tmp_path, capsys):
    """Of width 1 each row's scale would take more than the row."""
    config = config_with()
    for table in config["tables"].values():
        table["dim"] = 1
    assert summary(tmp_path, capsys, config, "--tables", "int8")[0] == (
        "tables int8: nothing to do; kept in fp32: item, directory, repository, action (too narrow: 1)"
    )
    file = File(tmp_path / "m.vqr")
    assert not [tensor for tensor in file.header.tensors if tensor.type == 3]
    assert convert(tmp_path, config, weights(config), name="plain").bytes == file.bytes


# ---- what is refused ----


def test_rows_that_float32_does_not_give_back(tmp_path, capsys, monkeypatch):
    """The largest number of all, in steps that are rounded up."""
    monkeypatch.setattr(checkpoint, "CHUNK_BYTES", 7 * 8 * 4)
    tensors = weights(CONFIG)
    tensors["tables.item.weight"][41, 2] = -LARGEST
    source = write(tmp_path / "m.safetensors", CONFIG, tensors)
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden", "--tables", "int8"]) == 2
    assert capsys.readouterr().err == (
        "vqrank-convert: error: tensor tables.item.weight: expected numbers that float32 holds in int8 steps, "
        f"found {LARGEST} in row 41\n"
    )
    assert not (tmp_path / "m.vqr").exists()
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden", "--quiet"]) == 0


@pytest.mark.parametrize("options", [["--tables", "int8-exact"], ["--codebook", "int4"], ["--preset", "phone"]])
def test_unknown_choices(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as status:
        main([str(tmp_path / "m.safetensors"), "-o", str(tmp_path / "m.vqr"), *options])
    assert status.value.code == 2 and f"invalid choice: '{options[1]}'" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "found"), [(math.nan, "nan"), (math.inf, "inf")])
def test_what_is_not_finite_is_refused_as_in_fp32(tmp_path, capsys, value, found):
    tensors = weights(CONFIG)
    tensors["tables.item.weight"][41, 2] = value
    source = write(tmp_path / "m.safetensors", CONFIG, tensors)
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden", "--preset", "mobile"]) == 2
    assert f"tables.item.weight: expected finite numbers, found {found} at [41, 2]" in capsys.readouterr().err
