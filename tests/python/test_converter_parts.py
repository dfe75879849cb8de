"""What a file holds of pooled ids, vectors, hashed ids, activations, din attention and sequences of the last events,
and what of them is refused."""

import copy
from fractions import Fraction

import numpy as np
import pytest
from converter_support import (
    KIND_CASES,
    PARAMETERS,
    File,
    config_of_every_kind,
    config_with,
    set_at,
    shapes,
    weights,
    write,
)

from vqrank_convert.cli import main
from vqrank_convert.fold import pooled_exponent

ACTIVATIONS = ("relu", "silu", "leaky_relu", "prelu", "gelu", "tanh", "dice")  # in the schema's order


def convert(tmp_path, config, tensors):
    source = write(tmp_path / "m.safetensors", config, tensors)
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden", "--quiet"]) == 0
    return File(tmp_path / "m.vqr")


def refused(tmp_path, capsys, config, tensors):
    source = write(tmp_path / "bad.safetensors", config, tensors)
    assert main([str(source), "-o", str(tmp_path / "bad.vqr"), "--no-golden"]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and not (tmp_path / "bad.vqr").exists()
    return output.err.removeprefix("vqrank-convert: error: ").strip()


# ---- the header ----


def test_features_in_the_header(tmp_path):
    header = convert(tmp_path, config := config_of_every_kind(), weights(config)).header
    assert [(t.name, t.ids, t.keys, t.maxProbe) for t in header.tables][-1] == (b"tag", 2, 0, 0)
    tag = len(header.tables) - 1
    events = [(f.name, f.kind, f.width, f.table, f.pool) for f in header.event]
    assert events[2:6] == [
        (b"tags", 3, 4, tag, 0),
        (b"image", 4, 5, -1, 0),
        (b"parts", 3, 4, 3, 1),
        (b"tag", 0, 4, tag, 0),
    ]
    assert [(f.name, f.kind, f.width, f.pool) for f in header.user][1:] == [(b"tags", 3, 4, 1)]
    assert [(f.name, f.kind, f.width, f.table) for f in header.candidate][2:] == [
        (b"words", 3, 5, 1),
        (b"cover", 4, 2, -1),
    ]


def test_exponents_of_the_new_kinds(tmp_path):
    """ids summed: the table's exponent minus 8; pooled by mean: the table's; a vector: 18; outside events: 0."""
    config = config_of_every_kind()
    tensors = weights(config)
    tensors["tables.tag.weight"][3, 1] = 1000.0
    tensors["tables.action.weight"][...] = 0
    header = convert(tmp_path, config, tensors).header
    found = {f.name.decode(): f.exponent for f in header.event}
    assert (found["tag"], found["tags"], found["image"], found["parts"], found["time"]) == (20, 12, 18, 120, 0)
    assert not any(f.exponent for group in (header.user, header.context, header.candidate) for f in group)


@pytest.mark.parametrize(("table", "pooled"), [(20, 12), (120, 112), (-90, -98), (-91, -98), (-98, -98), (0, -8)])
def test_pooled_exponent(table, pooled):
    assert pooled_exponent(table, "sum") == pooled
    assert pooled_exponent(table, "mean") == pooled_exponent(table, None) == table


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_in_the_header(tmp_path, activation):
    config = config_of_every_kind(activation)
    header = convert(tmp_path, config, weights(config)).header
    short, long = header.sequences
    number = ACTIVATIONS.index(activation)
    assert (header.head.activation, short.kind.din.activation, long.kind.din.activation) == (number, number, number)


def test_sequences_in_the_header(tmp_path):
    config = config_of_every_kind()
    config["sequences"].append({"name": "dots", "kind": "din", "last": 2**20,
                                "attention": {"kind": "dot", "heads": 2, "dim": 5, "out": True}})  # fmt: skip
    header = convert(tmp_path, config, weights(config, out=3)).header
    short, long, dots = header.sequences
    assert [(s.name, s.kindType) for s in header.sequences] == [(b"short", 2), (b"long", 1), (b"dots", 2)]
    assert short.kind.last == 6 and short.kind.attention is None
    assert (list(short.kind.din.hidden), short.kind.din.softmax, short.kind.din.share) == ([9], True, False)
    assert (long.kind.codebooks, long.kind.attention, long.kind.hstu.layers) == (3, None, 1)
    assert (list(long.kind.din.hidden), long.kind.din.softmax, long.kind.din.share) == ([12, 7], False, False)
    assert dots.kind.last == 2**20 and dots.kind.din is None
    a = dots.kind.attention
    assert (a.heads, a.dim, a.out, a.share, a.countBias) == (2, 5, 3, False, False)


# ---- tensors ----


@pytest.mark.parametrize("case", KIND_CASES)
def test_every_tensor(tmp_path, case):
    """Each checkpoint tensor in its layout: linear layers transposed, a leading 1 where there are no codebooks."""
    config = config_of_every_kind(**KIND_CASES[case])
    tensors = weights(config, seed=3)
    file = convert(tmp_path, config, tensors)
    expected = {f"tables.action.{part}" for part in ("keys", "text", "slots")} | {"sequences.long.fold"}
    for name, value in tensors.items():
        if name.endswith((".projection", ".codebook", ".mlp.0.weight")):
            continue
        if name.startswith("sequences.short."):
            value = value[None]
        if name.endswith(".var"):
            name = name.removesuffix("var") + "inv_std"
            value = (1 / np.sqrt(value.astype(np.float64) + 1e-9)).astype(np.float32)
        if file.tensors[name].layout == 2:
            value = np.swapaxes(value, -1, -2)
        linear = name.endswith(".weight") and "norm" not in name and not name.startswith("tables.")
        assert file.tensors[name].layout == (0 if name.startswith("tables.") else 2 if linear else 1), name
        np.testing.assert_array_equal(file.values(name), value, err_msg=name)
        expected.add(name)
    for sequence in config["sequences"]:
        if sequence["attention"]["kind"] == "din":
            mlp = f"sequences.{sequence['name']}.attention.mlp.0"
            expected |= {f"{mlp}.{part}" for part in ("target", "event", "product")}
    assert set(file.tensors) == expected


def nearest(value: Fraction) -> np.float32:
    """The float32 nearest to an exact value that is a double."""
    assert Fraction(float(value)) == value
    return np.float32(float(value))


@pytest.mark.parametrize("case", ["dice", "shared din", "no hidden layers"])
def test_first_layer_is_folded_in_float64(tmp_path, case):
    """Values that float32 cannot hold are added before they are rounded: (1 + 2^-30) - 1 is 2^-30."""
    config = config_of_every_kind(**KIND_CASES[case])
    tensors = {name: value.astype(np.float64) for name, value in weights(config, seed=5).items()}
    d = shapes(config)["sequences.long.codebook"][2]
    for sequence in config["sequences"]:
        name = f"sequences.{sequence['name']}.attention.mlp.0.weight"
        if name in tensors:
            tensors[name][..., 0, d], tensors[name][..., 0, 2 * d] = 1 + 2.0**-30, 1
            tensors[name][..., 0, 0] = -1 + 2.0**-30
    file = convert(tmp_path, config, tensors)
    for sequence in config["sequences"]:
        prefix = f"sequences.{sequence['name']}.attention.mlp.0"
        if f"{prefix}.weight" not in tensors:
            continue
        weight = tensors[f"{prefix}.weight"]
        weight = weight[None] if weight.ndim == 2 else weight
        found = {part: file.values(f"{prefix}.{part}") for part in ("target", "event", "product")}
        assert found["event"][0, 0, 0] == found["target"][0, 0, 0] == np.float32(2.0**-30)
        for j, o, i in np.ndindex(len(weight), weight.shape[1], d):
            t, y, difference, product = (weight[j, o, i + part * d] for part in range(4))
            assert found["target"][j, i, o] == np.float32(t + difference)
            assert found["event"][j, i, o] == np.float32(y - difference)
            assert found["product"][j, i, o] == nearest(Fraction(product))
        assert {file.tensors[f"{prefix}.{part}"].layout for part in found} == {2}


def test_biases_that_are_missing_are_zeros(tmp_path):
    config = config_of_every_kind("dice")
    tensors = weights(config)
    names = [f"sequences.{s}.attention.{part}.bias" for s in ("short", "long") for part in ("q", "mlp.0", "mlp.1")]
    lead = {"short": 1, "long": 3}
    before = {name: tensors.pop(name) for name in names}
    file = convert(tmp_path, config, tensors)
    for name, value in before.items():
        assert file.shape(name) == (lead[name.split(".")[1]], value.shape[-1])
        assert not file.flat(name).any()


def test_only_sequences_of_last_events(tmp_path):
    config = config_of_every_kind()
    del config["sequences"][1]
    file = convert(tmp_path, config, weights(config))
    assert [s.kindType for s in file.header.sequences] == [2] and "sequences.long.fold" not in file.tensors


# ---- refusals ----


def changed(path, value, activation="dice", **kwargs):
    """A config of every kind with the entry at `path` set, or removed if value is ..."""
    return set_at(config_of_every_kind(activation, **kwargs), path, value)


SHORT, LONG = ("sequences", 0), ("sequences", 1)
DOT = {"kind": "dot", "heads": 2, "dim": 3}
ONLY = "expected only the keys"
CONFIG_CASES = [
    ((*SHORT, "last"), ..., "config.sequences.short.last: expected this required key"),
    ((*SHORT, "last"), 0, "config.sequences.short.last: expected an integer from 1 to 1048576, found 0"),
    ((*SHORT, "last"), 2**20 + 1, "config.sequences.short.last:"),
    ((*SHORT, "last"), True, "config.sequences.short.last:"),
    ((*SHORT, "attention"), ..., "config.sequences.short.attention: expected this required key"),
    ((*SHORT, "codebooks"), 1, f'config.sequences.short: {ONLY} attention, kind, last, name, found "codebooks"'),
    ((*SHORT, "empty"), "zero", 'found "empty"'),
    ((*SHORT, "hstu"), {"layers": 0}, 'found "hstu"'),
    ((*SHORT, "attention", "share"), True, f'short.attention: {ONLY} activation, hidden, kind, softmax, found "share"'),
    ((*SHORT, "attention"), {**DOT, "share": False}, f'.short.attention: {ONLY} dim, heads, kind, out, found "share"'),
    ((*SHORT, "attention"), {**DOT, "count_bias": False}, 'found "count_bias"'),
    ((*SHORT, "attention"), {**DOT, "heads": 0}, "config.sequences.short.attention.heads:"),
    ((*SHORT, "kind"), "vql", "config.sequences.short.heads: expected this required key, found nothing"),
    ((*SHORT, "kind"), "din2", 'config.sequences.short.kind: expected "dmqn" or "din" or "vql" or'),
    ((*LONG, "last"), 4, 'found "last"'),
    ((*LONG, "attention", "hidden"), ..., "config.sequences.long.attention.hidden: expected this required key"),
    ((*LONG, "attention", "activation"), ..., "config.sequences.long.attention.activation: expected this required key"),
    ((*LONG, "attention", "hidden"), 36, "config.sequences.long.attention.hidden: expected an array, found 36"),
    ((*LONG, "attention", "hidden"), [36, 0], "config.sequences.long.attention.hidden[1]: expected an integer"),
    ((*LONG, "attention", "hidden"), [1] * 1024, "long.attention.hidden: expected fewer than 1024 layers"),
    ((*LONG, "attention", "activation"), "elu", 'config.sequences.long.attention.activation: expected "relu" or'),
    ((*LONG, "attention", "softmax"), 1, "config.sequences.long.attention.softmax: expected true or false, found 1"),
    ((*LONG, "attention", "share"), None, "config.sequences.long.attention.share: expected true or false"),
    ((*LONG, "attention", "heads"), 2, f"config.sequences.long.attention: {ONLY}"),
    ((*LONG, "attention", "dim"), 2, 'found "dim"'),
    ((*LONG, "attention", "out"), True, 'found "out"'),
    ((*LONG, "attention", "count_bias"), True, 'found "count_bias"'),
    ((*LONG, "attention", "kind"), "mlp", 'config.sequences.long.attention.kind: expected "dot" or "din", found "mlp"'),
    (("head", "activation"), "swish", 'config.head.activation: expected "relu" or "leaky_relu" or'),
    (("tables", "tag", "rows"), 1, "config.tables.tag.rows: expected an integer from 2 to"),
    (("tables", "tag", "keys"), ["a"], 'config.tables.tag: expected only the keys dim, ids, rows, found "keys"'),
    (("event", 2, "pool"), ..., "config.event.tags.pool: expected this required key"),
    (("event", 2, "pool"), "max", 'config.event.tags.pool: expected "sum" or "mean", found "max"'),
    (("event", 2, "table"), "nowhere", "config.event.tags.table: expected a table of config.tables"),
    (("event", 2, "dim"), 4, 'config.event.tags: expected only the keys kind, name, pool, table, found "dim"'),
    (("event", 3, "dim"), ..., "config.event.image.dim: expected this required key"),
    (("event", 3, "dim"), 0, "config.event.image.dim: expected an integer from 1"),
    (("event", 3, "dim"), 2.0, "config.event.image.dim:"),
    (("event", 3, "table"), "tag", 'config.event.image: expected only the keys dim, kind, name, found "table"'),
    (("event", 3, "mean"), 0.5, 'found "mean"'),
    (("event", 5, "pool"), "sum", 'config.event.tag: expected only the keys kind, name, table, found "pool"'),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), CONFIG_CASES)
def test_config(tmp_path, capsys, path, value, message):
    assert message in refused(tmp_path, capsys, changed(path, value), weights(config_with()))


def test_sequences_of_one_name(tmp_path, capsys):
    config = changed((*SHORT, "name"), "long")
    assert 'expected distinct names, found "long" twice' in refused(tmp_path, capsys, config, weights(config_with()))


OPTIONAL = (".q.bias", ".k.bias", ".v.bias", ".out.bias", ".f1.bias", ".f2.bias")


@pytest.mark.parametrize("case", ["prelu", "dice", "shared din", "dot over both"])
def test_tensors_missing_misshapen_and_not_finite(tmp_path, capsys, case):
    config = config_of_every_kind(**KIND_CASES[case])
    full = weights(config)
    for name, value in full.items():
        if ".attention." not in name and not name.startswith("head."):
            continue
        linear_bias = name.endswith(OPTIONAL) or (name.endswith(".bias") and (".mlp." in name or "head." in name))
        if not linear_bias:
            rest = {other: kept for other, kept in full.items() if other != name}
            message = refused(tmp_path, capsys, config, rest)
            assert message.startswith(f"tensor {name}: expected shape [") and message.endswith(", found none"), message
        for wrong in (value[None], np.concatenate([value, value], axis=-1)):
            message = refused(tmp_path, capsys, config, {**full, name: wrong})
            assert message.startswith(f"tensor {name}: expected shape ["), message
        broken = value.copy()
        broken.flat[-1] = np.nan
        message = refused(tmp_path, capsys, config, {**full, name: broken})
        assert message.startswith(f"tensor {name}: expected finite numbers, found nan at ["), message


def test_parameters_of_other_activations_and_of_the_output_layer(tmp_path, capsys):
    for activation in ("relu", "gelu", "prelu", "dice"):
        config = config_of_every_kind(activation)
        full = weights(config)
        extra = {f"head.{n}.{part}" for n in (0, 2) for part in ("alpha", "mean", "var", "inv_std")}
        extra |= {f"sequences.long.attention.mlp.{n}.{part}" for n in (0, 2) for part in ("alpha", "mean", "var")}
        for name in extra - set(full):
            message = refused(tmp_path, capsys, config, {**full, name: np.zeros(3, np.float32)})
            assert message.startswith(f"tensor {name}: expected no such tensor"), message
        kept = [name for name in extra if name in full]
        assert len(kept) == 2 * len(PARAMETERS.get(activation, ()))


def test_share_decides_the_leading_dimension(tmp_path, capsys):
    for share in (True, False):
        attention = {"kind": "din", "hidden": [4], "activation": "prelu", "share": share}
        config = config_of_every_kind(attention=attention)
        full = weights(config)
        for part in ("q.weight", "mlp.0.weight", "mlp.0.alpha", "mlp.1.bias"):
            name = f"sequences.long.attention.{part}"
            wrong = np.concatenate([full[name]] * 3) if share else full[name][:1]
            message = refused(tmp_path, capsys, config, {**full, name: wrong})
            assert message.startswith(f"tensor {name}: expected shape ["), message
            assert f"(attention.share is {str(share).lower()})" in message


@pytest.mark.parametrize(
    "name", ["head.1.var", "sequences.long.attention.mlp.0.var", "sequences.short.attention.mlp.0.var"]
)
def test_negative_variance(tmp_path, capsys, name):
    config = config_of_every_kind("dice")
    full = weights(config)
    full[name].flat[2] = -1e-12
    message = refused(tmp_path, capsys, config, full)
    assert message.startswith(f"tensor {name}: expected variances of at least 0, found -"), message
    full[name].flat[2] = 0
    file = convert(tmp_path, config, full)
    stored = file.values(name.removesuffix("var") + "inv_std")
    assert stored.flat[2] == np.float32(1 / np.sqrt(1e-9))


def test_width_of_the_output_projection_of_last_events(tmp_path, capsys):
    config = copy.deepcopy(config_of_every_kind(**KIND_CASES["dot over both"]))
    full = weights(config)
    name = "sequences.short.attention.out.weight"
    missing = {other: value for other, value in full.items() if other != name}
    message = refused(tmp_path, capsys, config, missing)
    assert message == f"tensor {name}: expected shape [Do, heads * dim] with any Do, found none"
    message = refused(tmp_path, capsys, config, {**full, name: full[name][None]})
    assert message == f"tensor {name}: expected shape [Do, heads * dim] with any Do, found shape [1, 10, 18]"
