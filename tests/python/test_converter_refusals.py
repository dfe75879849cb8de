"""Every refusal of the converter: exit status 2, one line that names the place, the expected and the found."""

import copy
import json

import numpy as np
import pytest
from converter_support import CONFIG, config_with, set_at, weights, write

from vqrank_convert.cli import main


def refused(tmp_path, capsys, config, tensors, text=None):
    """Converts what must be refused; returns the message."""
    source = write(tmp_path / "bad.safetensors", config, tensors, text)
    target = tmp_path / "bad.vqr"
    target.write_bytes(b"what was here before")
    status = main([str(source), "-o", str(target), "--no-golden"])
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert output.err.startswith("vqrank-convert: error: ") and output.err.count("\n") == 1, output.err
    assert target.read_bytes() == b"what was here before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.safetensors", "bad.vqr"]
    return output.err.removeprefix("vqrank-convert: error: ").strip()


def edited(path, value):
    """CONFIG with the entry at `path` set, or removed if value is ..."""
    return set_at(copy.deepcopy(CONFIG), path, value)


SEQUENCE, HSTU, ATTENTION = ("sequences", 0), ("sequences", 0, "hstu"), ("sequences", 0, "attention")
ITEM = ("tables", "item")
LATER = "not supported yet by this version"

CONFIG_CASES = [
    # missing keys
    *[
        ((key,), ..., f"config.{key}:")
        for key in ("format", "name", "tables", "event", "candidate", "sequences", "head")
    ],
    *[((*ITEM, key), ..., f"config.tables.item.{key}:") for key in ("rows", "dim", "ids")],
    (("tables", "action", "keys"), ..., "config.tables.action.keys:"),
    (("event", 0, "kind"), ..., "config.event.item.kind:"),
    (("event", 0, "table"), ..., "config.event.item.table:"),
    (("event", 0, "name"), ..., "config.event[0].name:"),
    *[((*SEQUENCE, key), ..., f".{key}:") for key in ("name", "kind", "codebooks", "codewords", "hstu", "attention")],
    *[((*HSTU, key), ..., f"config.sequences.long.hstu.{key}:") for key in ("layers", "heads", "qk_dim", "v_dim")],
    *[((*ATTENTION, key), ..., f"config.sequences.long.attention.{key}:") for key in ("kind", "heads", "dim")],
    *[(("head", key), ..., f"config.head.{key}:") for key in ("hidden", "activation", "outputs")],
    # unknown keys
    (("surprise",), 1, '"surprise"'),
    ((*ITEM, "surprise"), 1, 'config.tables.item: expected only the keys dim, ids, rows, found "surprise"'),
    ((*ITEM, "keys"), [1], '"keys"'),
    (("event", 0, "mean"), 1.0, 'found "mean"'),
    ((*SEQUENCE, "surprise"), 1, "config.sequences.long: expected only the keys"),
    ((*HSTU, "surprise"), 1, "config.sequences.long.hstu: expected only the keys"),
    ((*ATTENTION, "hidden"), [36], "config.sequences.long.attention: expected only the keys"),
    (("head", "surprise"), 1, "config.head: expected only the keys"),
    # wrong types and values
    (("format",), 2, "config.format: expected at most 1"),
    (("format",), True, "config.format:"),
    (("format",), 1.0, "config.format:"),
    (("format",), 0, "config.format:"),
    (("name",), 3, "config.name: expected a string, found 3"),
    (("name",), "two\nlines", "config.name: expected a string without control characters"),
    (("name",), "\u00e9" * 501, "config.name: expected at most 1000 bytes"),
    (("name",), "\ud800", "config.name: expected text that UTF-8 can hold"),
    (("tables",), [], "config.tables: expected an object, found []"),
    (("user",), {}, "config.user: expected an array"),
    ((*ITEM, "rows"), 0, "config.tables.item.rows:"),
    ((*ITEM, "rows"), 50.0, "config.tables.item.rows:"),
    ((*ITEM, "rows"), True, "config.tables.item.rows:"),
    ((*ITEM, "rows"), 2**64, "config.tables.item.rows:"),
    ((*ITEM, "dim"), 0, "config.tables.item.dim:"),
    ((*ITEM, "dim"), 2**32, "config.tables.item.dim:"),
    ((*ITEM, "dim"), "8", 'found "8"'),
    ((*ITEM, "ids"), "indirect", 'found "indirect"'),
    ((*ITEM, "ids"), ["direct"], 'found ["direct"]'),
    (("event", 3, "std"), 0, "config.event.dwell.std: expected a number above 0, found 0.0"),
    (("event", 3, "std"), -1.5, "found -1.5"),
    (("event", 3, "std"), "1", 'found "1"'),
    (("event", 3, "mean"), True, "config.event.dwell.mean: expected a number, found true"),
    (("event", 3, "mean"), 10**400, "config.event.dwell.mean: expected a finite number"),
    (("event", 0, "kind"), "word", 'found "word"'),
    (("event", 0, "table"), "nowhere", 'config.event.item.table: expected a table of config.tables, found "nowhere"'),
    (("event", 0), "item", 'config.event[0]: expected an object, found "item"'),
    ((*SEQUENCE, "empty"), "skip", 'config.sequences.long.empty: expected "masked" or "zero", found "skip"'),
    ((*SEQUENCE, "codebooks"), 0, "config.sequences.long.codebooks:"),
    ((*SEQUENCE, "codewords"), -4, "config.sequences.long.codewords:"),
    *[((*SEQUENCE, key), 2**20 + 1, f"config.sequences.long.{key}:") for key in ("codebooks", "codewords")],
    *[((*HSTU, key), 2**20 + 1, f"config.sequences.long.hstu.{key}:") for key in ("heads", "qk_dim", "v_dim")],
    *[((*ATTENTION, key), 2**20 + 1, f"config.sequences.long.attention.{key}:") for key in ("heads", "dim")],
    (ATTENTION, {"kind": "din", "hidden": [2**20 + 1], "activation": "relu"}, ".long.attention.hidden[0]:"),
    ((*HSTU, "layers"), 10**9, "config.sequences.long.hstu.layers:"),
    ((*HSTU, "layers"), -1, "config.sequences.long.hstu.layers:"),
    ((*HSTU, "heads"), 0, "config.sequences.long.hstu.heads:"),
    ((*HSTU, "pre_norm"), 1, "config.sequences.long.hstu.pre_norm: expected true or false, found 1"),
    ((*HSTU, "share"), "yes", "config.sequences.long.hstu.share:"),
    ((*HSTU, "normalize"), {"constant": 0}, "config.sequences.long.hstu.normalize.constant:"),
    ((*HSTU, "normalize"), {"constant": 2.5}, "config.sequences.long.hstu.normalize.constant:"),
    ((*HSTU, "normalize"), {"constant": 2**32}, "config.sequences.long.hstu.normalize.constant:"),
    ((*HSTU, "normalize"), {"constant": 5, "more": 1}, 'found "more"'),
    ((*HSTU, "normalize"), "constant", 'found "constant"'),
    ((*HSTU, "normalize"), 5, "found 5"),
    ((*HSTU, "bias"), True, "config.sequences.long.hstu.bias:"),
    ((*HSTU, "output"), "gate", 'found "gate"'),
    ((*HSTU, "activate"), "v", 'found "v"'),
    ((*HSTU, "alpha"), 0.5, "found 0.5"),
    ((*HSTU, "norm"), "rms", 'found "rms"'),
    ((*HSTU, "eps"), 0, "config.sequences.long.hstu.eps:"),
    ((*HSTU, "eps"), -1e-5, "config.sequences.long.hstu.eps:"),
    ((*HSTU, "eps"), 1e-40, "config.sequences.long.hstu.eps:"),
    ((*HSTU, "eps"), 1e39, "config.sequences.long.hstu.eps:"),
    ((*ATTENTION, "out"), "yes", "config.sequences.long.attention.out:"),
    ((*ATTENTION, "out"), 6.5, "config.sequences.long.attention.out:"),
    ((*ATTENTION, "count_bias"), None, "config.sequences.long.attention.count_bias:"),
    (("head", "hidden"), [20, 0], "config.head.hidden[1]:"),
    (("head", "hidden"), 20, "config.head.hidden:"),
    (("head", "hidden"), [2**32], "config.head.hidden[0]:"),
    (("head", "hidden"), [1] * 1024, "config.head.hidden: expected fewer than 1024 layers, found 1024"),
    (("head", "outputs"), [], "config.head.outputs:"),
    (("head", "outputs"), ["a b"], "config.head.outputs[0]:"),
    (("head", "outputs"), ["a" * 151], "config.head.outputs[0]:"),
    (("head", "outputs"), ["ctr", 1], "config.head.outputs[1]:"),
    (("head", "outputs"), "ctr", "config.head.outputs: expected an array"),
    # names
    (("event", 0, "name"), "it em", "config.event[0].name: expected a name"),
    (("event", 0, "name"), "", "config.event[0].name: expected a name"),
    (("event", 0, "name"), "\u00e9", "config.event[0].name: expected a name"),
    (("event", 0, "name"), "item\n", "config.event[0].name: expected a name"),
    ((*SEQUENCE, "name"), "a/b", "config.sequences[0].name: expected a name"),
    ((*SEQUENCE, "name"), "a" * 151, "at most 150 characters"),
    (("event", 1, "name"), "item", 'config.event: expected distinct names, found "item" twice'),
    (("candidate", 1, "name"), "item", 'config.candidate: expected distinct names, found "item" twice'),
    (("head", "outputs"), ["ctr", "cvr", "ctr"], 'config.head.outputs: expected distinct names, found "ctr" twice'),
    # vocabulary
    (("tables", "action", "rows"), 5, "config.tables.action.rows: expected 6, one more than the 5 keys, found 5"),
    (("tables", "action", "rows"), 7, "config.tables.action.rows: expected 6, one more than the 5 keys, found 7"),
    (("tables", "action", "keys"), ["A", "M", "D", 7, "A"], 'expected distinct keys, found "A" twice'),
    (("tables", "action", "keys"), [1, "1", 7, 7, 8], "expected distinct keys, found 7 twice"),
    (("tables", "action", "keys"), ["A", "M", "D", 7, 1.0], "config.tables.action.keys[4]:"),
    (("tables", "action", "keys"), ["A", "M", "D", 7, True], "config.tables.action.keys[4]:"),
    (("tables", "action", "keys"), ["A", "M", "D", 7, 2**63], "config.tables.action.keys[4]:"),
    (("tables", "action", "keys"), ["A", "M", "D", 7, "\ud800"], "config.tables.action.keys[4]:"),
    (("tables", "action", "keys"), "AMD", "config.tables.action.keys: expected an array"),
    # time
    (
        ("candidate", 1),
        {"name": "when", "kind": "time"},
        "config.candidate.when.kind: expected time in config.event only",
    ),
    (("user", 0), {"name": "when", "kind": "time"}, "config.user.when.kind:"),
    (("event", 3), {"name": "again", "kind": "time"}, "config.event: expected at most one feature of kind time"),
    (("event",), [{"name": "time", "kind": "time"}], "config.event: expected at least one feature with an embedding"),
    (("candidate",), [], "config.candidate: expected at least one feature"),
    # in the specification, not in this release
    (("event", 0, "kind"), "semantic_id", f'config.event.item.kind: "semantic_id" is {LATER}'),
    ((*SEQUENCE, "kind"), "vql", "config.sequences.long.heads: expected this required key, found nothing"),
    (("sequences",), [], "config.sequences: expected at least one sequence, found none"),
    (("quantizers",), {"content": {"kind": "rq_gmm"}}, f"config.quantizers.content: a quantizer is {LATER}"),
]


@pytest.mark.parametrize(("path", "value", "message"), CONFIG_CASES)
def test_config(tmp_path, capsys, path, value, message):
    assert message in refused(tmp_path, capsys, edited(path, value), weights(CONFIG))


def test_two_sequences_of_one_name(tmp_path, capsys):
    config = copy.deepcopy(CONFIG)
    config["sequences"] *= 2
    assert 'expected distinct names, found "long" twice' in refused(tmp_path, capsys, config, weights(CONFIG))


TEXT_CASES = [
    ('{"format": 1, "format": 1}', 'config: expected each key once, found "format" twice'),
    ('{"format": 1, "tables": {"item": {}, "item": {}}}', 'found "item" twice'),
    ("{", "config: expected JSON"),
    ("", "config: expected JSON"),
    ("[" * 100000, "config: expected JSON, found it nested too deeply"),
    ("[1]", "config: expected an object, found [1]"),
    ('{"format": NaN}', "config: expected finite numbers, found NaN"),
    ('{"format": -Infinity}', "config: expected finite numbers, found -Infinity"),
    ("1" * 5000, "config: expected JSON"),
    ('"a\\nb"', 'config: expected an object, found "a\\nb"'),
]


@pytest.mark.parametrize(("text", "message"), TEXT_CASES)
def test_config_text(tmp_path, capsys, text, message):
    assert message in refused(tmp_path, capsys, None, weights(CONFIG), text)


@pytest.mark.parametrize("depth", [50, 200, *range(900, 1000, 3)])
def test_deep_values(tmp_path, capsys, depth):
    text = '{"format": 1, "name": ' + "[" * depth + "]" * depth + "}"
    message = refused(tmp_path, capsys, None, weights(CONFIG), text)
    assert message.startswith(("config.name: expected a string", "config: expected JSON, found it nested too deeply"))


def test_number_beyond_double(tmp_path, capsys):
    text = json.dumps(edited(("event", 3, "mean"), 12345.0)).replace("12345.0", "1e999")
    assert "config.event.dwell.mean: expected a finite number" in refused(tmp_path, capsys, None, weights(CONFIG), text)


# ---- tensors ----


def says_expected_shape(message, name, shape):
    """Whether a refusal names the tensor and the shape it should have; an output projection has a width of its own, so
    where there is none to go by its shape is said in words."""
    shapes = [str(list(shape))]
    if name.endswith("attention.out.weight"):
        shapes.append("[N or 1, Do, heads * dim]")
    return any(message.startswith(f"tensor {name}: expected shape {text}") for text in shapes)


def test_every_required_tensor_is_missed(tmp_path, capsys):
    config = config_with(hstu={"pre_norm": True}, attention={"out": True})
    full = weights(config)
    optional = {name for name in full if name.endswith(".bias") and ".hstu.0.bias" not in name and "norm" not in name}
    assert len(optional) == 2 + 4 + 3
    for name in set(full) - optional:
        tensors = {other: value for other, value in full.items() if other != name}
        message = refused(tmp_path, capsys, config, tensors)
        assert says_expected_shape(message, name, full[name].shape), message
        assert message.endswith(", found none"), message


def test_every_tensor_in_a_wrong_shape(tmp_path, capsys):
    config = config_with(hstu={"pre_norm": True}, attention={"out": True})
    full = weights(config)
    for name, value in full.items():
        for wrong in (np.concatenate([value, value], axis=-1), value[None], value[..., :-1]):
            message = refused(tmp_path, capsys, config, {**full, name: wrong})
            assert says_expected_shape(message, name, value.shape), message
            assert f"{list(wrong.shape)}" in message, message


def test_every_tensor_not_finite(tmp_path, capsys):
    config = config_with(hstu={"pre_norm": True}, attention={"out": True})
    full = weights(config)
    for value in (np.nan, np.inf, -np.inf):
        for name in full:
            tensors = {key: array.copy() for key, array in full.items()}
            index = tuple(size // 2 for size in tensors[name].shape)
            tensors[name][index] = value
            message = refused(tmp_path, capsys, config, tensors)
            assert message == f"tensor {name}: expected finite numbers, found {value} at {list(index)}", message


def test_not_finite_in_the_last_chunk_of_a_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vqrank_convert.checkpoint.CHUNK_BYTES", 4 * 8 * 7)
    tensors = weights(CONFIG)
    tensors["tables.item.weight"][49, 3] = np.nan
    message = refused(tmp_path, capsys, CONFIG, tensors)
    assert message == "tensor tables.item.weight: expected finite numbers, found nan at [49, 3]"


@pytest.mark.parametrize("name", ["tables.item.weight", "sequences.long.projection", "head.0.weight"])
def test_float64_beyond_float32(tmp_path, capsys, name):
    tensors = weights(CONFIG)
    tensors[name] = tensors[name].astype(np.float64)
    tensors[name].flat[0] = 1e200
    message = refused(tmp_path, capsys, CONFIG, tensors)
    if name.endswith("projection"):  # its product with the codebook is what does not fit
        assert message.startswith("tensor sequences.long.fold: expected numbers that float32 holds"), message
    else:
        index = [0] * tensors[name].ndim
        assert message == f"tensor {name}: expected numbers that float32 holds, found 1e+200 at {index}"


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_, np.int64])
def test_wrong_dtype(tmp_path, capsys, dtype):
    tensors = weights(CONFIG)
    tensors["head.0.weight"] = tensors["head.0.weight"].astype(dtype)
    message = refused(tmp_path, capsys, CONFIG, tensors)
    assert message.startswith("tensor head.0.weight: expected dtype F32, F16, BF16, F64, found "), message


def test_tensor_that_nothing_reads(tmp_path, capsys):
    for name in ("head.3.weight", "sequences.long.hstu.1.f1.weight", "sequences.other.codebook", "optimizer\n.step"):
        message = refused(tmp_path, capsys, CONFIG, {**weights(CONFIG), name: np.zeros(3, np.float32)})
        assert "nothing in the config reads it, found F32 [3]" in message and name.split("\n")[0] in message


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"hstu": {"affine": False}}, "sequences.long.hstu.0.norm.bias"),
        ({"hstu": {"bias": "none"}}, "sequences.long.hstu.0.bias"),
        ({"hstu": {"pre_norm": True, "affine": False}}, "sequences.long.hstu.0.pre_norm.weight"),
        ({}, "sequences.long.attention.out.weight"),
        ({"hstu": {"layers": 0}}, "sequences.long.hstu.0.f1.weight"),
    ],
)
def test_tensor_that_a_switch_turns_off(tmp_path, capsys, changes, name):
    config = config_with(**changes)
    message = refused(tmp_path, capsys, config, {**weights(config), name: np.zeros(3, np.float32)})
    assert message.startswith(f"tensor {name}: expected no such tensor"), message


def test_shared_and_separate_mixed(tmp_path, capsys):
    for share, part in ((True, "hstu"), (False, "hstu"), (True, "attention"), (False, "attention")):
        config = config_with(**{part: {"share": share}})
        full = weights(config)
        for name in full:
            if not name.startswith(f"sequences.long.{part}."):
                continue
            wrong = full[name][:1] if not share else np.concatenate([full[name]] * 3)
            message = refused(tmp_path, capsys, config, {**full, name: wrong})
            assert message.startswith(f"tensor {name}: expected shape"), message
            assert f"({part}.share is {str(share).lower()})" in message, message


def test_codebooks_are_never_shared(tmp_path, capsys):
    config = config_with(hstu={"share": True})
    full = weights(config)
    for name in ("sequences.long.projection", "sequences.long.codebook"):
        message = refused(tmp_path, capsys, config, {**full, name: full[name][:1]})
        assert message.startswith(f"tensor {name}: expected shape"), message


def test_relative_bias_of_a_wrong_number_of_heads(tmp_path, capsys):
    config = config_with(hstu={"heads": 3})
    for heads in (2, 4):
        message = refused(tmp_path, capsys, config, weights(config, bias_heads=heads))
        assert "expected shape [3, 1, 19, 19] or [3, 3, 19, 19]" in message, message


def test_toeplitz_where_dense_is_said(tmp_path, capsys):
    full = weights(config_with(hstu={"bias": "toeplitz"}))
    assert "sequences.long.hstu.0.bias" in refused(tmp_path, capsys, CONFIG, full)


def test_out_true_takes_its_width_from_the_tensor(tmp_path, capsys):
    config = config_with(attention={"out": True})
    message = refused(tmp_path, capsys, config, weights(CONFIG))
    assert message.startswith("tensor sequences.long.attention.out.weight:") and "found none" in message


# ---- arguments ----


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert status == 2 and error.count("\n") == 1, error
    return error


def test_places(tmp_path, capsys):
    source = write(tmp_path / "good.safetensors", CONFIG, weights(CONFIG))
    assert "No such file" in run(capsys, tmp_path / "none.safetensors", "-o", tmp_path / "m.vqr", "--no-golden")
    assert "expected a checkpoint" in run(capsys, tmp_path, "-o", tmp_path / "m.vqr", "--no-golden")
    assert "expected a file or nothing" in run(capsys, source, "-o", tmp_path, "--no-golden")
    assert "No such file" in run(capsys, source, "-o", tmp_path / "none" / "m.vqr", "--no-golden")
    before = source.read_bytes()
    assert "found the checkpoint" in run(capsys, source, "-o", source, "--no-golden")
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["good.safetensors"]


def test_no_arguments(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
