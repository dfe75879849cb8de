"""Sequences of kind vql in the converter: what the file holds of them, and what of them is refused."""

import copy
from fractions import Fraction

import numpy as np
import pytest
from converter_support import VQL_CASES, config_of_every_kind, config_of_vql, set_at, shapes, weights
from test_converter_parts import convert, refused

P = "sequences.keys.vql"

# ---- what the file holds ----


@pytest.mark.parametrize("case", VQL_CASES)
def test_header(tmp_path, case):
    config = config_of_vql(**VQL_CASES[case])
    header = convert(tmp_path, config, weights(config, out=3)).header
    (given,), (sequence,) = config["sequences"], header.sequences
    assert (header.formatVersion, sequence.name, sequence.kindType) == (6, b"keys", 3)
    vql = sequence.kind
    assert [{"heads": list(g.heads), "codewords": g.codewords} for g in vql.groups] == given["groups"]
    assert (vql.heads, vql.dim, vql.vDim) == (given["heads"], given["dim"], given["v_dim"])
    assert (vql.decayTerms, vql.out) == (given.get("decay_terms", 0), 3 if given.get("out") else 0)
    assert len(vql.exponents) == given["heads"]


@pytest.mark.parametrize("case", VQL_CASES)
def test_every_tensor(tmp_path, case):
    """Products with the codebook folded in float64, in the groups' order of heads; values group by group."""
    config = config_of_vql(**VQL_CASES[case])
    tensors = weights(config, seed=3)
    file = convert(tmp_path, config, tensors)
    (s,) = config["sequences"]
    keys = tensors[f"{P}.k.weight"].astype(float).reshape(s["heads"], s["dim"], -1)
    values = tensors[f"{P}.v.weight"].reshape(s["heads"], s["v_dim"], -1)
    expected = {f"{P}.v.weight": np.concatenate([values[g["heads"]].reshape(-1, 18) for g in s["groups"]]).T}
    for g, group in enumerate(s["groups"]):
        codebook = tensors[f"{P}.groups.{g}.codebook"]
        exact = codebook.astype(float)
        expected[f"{P}.groups.{g}.fold"] = (exact @ keys[group["heads"]].reshape(-1, 18)).T
        expected[f"{P}.groups.{g}.offset"] = -(exact**2).sum(1) / 2
        expected[f"{P}.groups.{g}.codebook"] = codebook
    expected |= {f"{P}.{part}.weight": tensors[f"{P}.{part}.weight"].T for part in ("q", "out") if s.get("out")}
    expected |= {f"{P}.q.weight": tensors[f"{P}.q.weight"].T}
    expected |= {f"{P}.{part}": tensors[f"{P}.{part}"] for part in ("decay", "mix") if s.get("decay_terms")}
    assert {name for name in file.tensors if name.startswith("sequences.")} == set(expected)
    for name, value in expected.items():
        rounded = np.asarray(value, np.float32)
        if name.endswith(("fold", "offset")):  # summed in another order in float64: rounding may fall the other way
            np.testing.assert_allclose(file.values(name), rounded, rtol=2.0**-23, err_msg=name)
        else:
            np.testing.assert_array_equal(file.values(name), rounded, err_msg=name)


def test_exponents(tmp_path):
    """The largest under which no event that the tables allow has a value beyond 2^30, of each head's largest column."""
    config = config_of_vql(config=config_of_every_kind())
    tensors = weights(config)
    tensors["tables.item.weight"][:] *= 1e-3
    tensors["tables.tag.weight"][:] = 0  # weighs nothing, however large its weights
    header = convert(tmp_path, config, tensors).header
    reach = []
    for feature in header.event:
        room = Fraction(3, 2) if feature.kind == 3 and feature.pool == 1 else 1  # a mean rounds past its rows
        reach += [room * Fraction(2) ** int(30 - feature.exponent)] * feature.width
    columns = [
        sum(Fraction(float(abs(w))) * r for w, r in zip(row, reach, strict=True)) for row in tensors[f"{P}.v.weight"]
    ]
    found = header.sequences[0].kind.exponents
    for head in range(3):
        bound = max(columns[5 * head : 5 * head + 5])
        assert bound * Fraction(2) ** int(found[head]) <= 2**30 < bound * Fraction(2) ** int(found[head] + 1)
        assert bound < 2**17  # of numbers to 4096, and not of a table of zeros


# ---- refusals ----

GROUPS = ("sequences", 0, "groups")
VQL_CONFIG_CASES = [
    *[(("sequences", 0, key), ..., f"config.sequences.keys.{key}:") for key in ("heads", "dim", "v_dim", "groups")],
    *[((*GROUPS, 1, key), ..., f"config.sequences.keys.groups[1].{key}:") for key in ("heads", "codewords")],
    (("sequences", 0, "codebooks"), 4, "config.sequences.keys: expected only the keys"),
    (("sequences", 0, "attention"), {"kind": "dot", "heads": 1, "dim": 2}, 'found "attention"'),
    ((*GROUPS, 0, "dim"), 4, 'config.sequences.keys.groups[0]: expected only the keys codewords, heads, found "dim"'),
    (("sequences", 0, "heads"), 0, "config.sequences.keys.heads:"),
    (("sequences", 0, "heads"), 1025, "config.sequences.keys.heads: expected an integer from 1 to 1024, found 1025"),
    (("sequences", 0, "heads"), True, "config.sequences.keys.heads:"),
    (("sequences", 0, "heads"), 4, "every head from 0 to 3 in exactly one group, found [0, 1, 2]"),
    (("sequences", 0, "heads"), 2, "config.sequences.keys.groups[0].heads[0]:"),
    (("sequences", 0, "dim"), 0, "config.sequences.keys.dim:"),
    (("sequences", 0, "v_dim"), 2.0, "config.sequences.keys.v_dim:"),
    (("sequences", 0, "decay_terms"), -1, "config.sequences.keys.decay_terms:"),
    (("sequences", 0, "decay_terms"), 65, "config.sequences.keys.decay_terms:"),
    (("sequences", 0, "out"), 12, "config.sequences.keys.out: expected true or false, found 12"),
    (GROUPS, [], "config.sequences.keys.groups: expected every head from 0 to 2 in exactly one group, found []"),
    (GROUPS, {}, "config.sequences.keys.groups: expected an array"),
    ((*GROUPS, 0), [0, 2], "config.sequences.keys.groups[0]: expected an object"),
    ((*GROUPS, 0, "heads"), [2, 1], "in exactly one group, found [1, 1, 2]"),
    ((*GROUPS, 0, "heads"), [2, 0, 0], "in exactly one group, found [0, 0, 1, 2]"),
    ((*GROUPS, 0, "heads"), [2], "in exactly one group, found [1, 2]"),
    ((*GROUPS, 0, "heads"), [2, 3], "groups[0].heads[1]: expected an integer from 0 to 2, found 3"),
    ((*GROUPS, 0, "heads"), [2, -1], "config.sequences.keys.groups[0].heads[1]:"),
    ((*GROUPS, 0, "heads"), [2, False], "config.sequences.keys.groups[0].heads[1]:"),
    ((*GROUPS, 0, "heads"), 2, "config.sequences.keys.groups[0].heads: expected an array"),
    ((*GROUPS, 0, "heads"), [], "config.sequences.keys.groups[0].heads: expected at least one head, found none"),
    ((*GROUPS, 0, "codewords"), 0, "config.sequences.keys.groups[0].codewords:"),
    ((*GROUPS, 0, "codewords"), "8", 'groups[0].codewords: expected an integer from 1 to 1048576, found "8"'),
]


def edited_vql(path, value):
    """The default of config_of_vql with the entry at `path` set, or removed if value is ..."""
    return set_at(copy.deepcopy(config_of_vql()), path, value)


@pytest.mark.parametrize(("path", "value", "message"), VQL_CONFIG_CASES)
def test_config(tmp_path, capsys, path, value, message):
    assert message in refused(tmp_path, capsys, edited_vql(path, value), weights(config_of_vql()))


def own_tensors(config):
    return [name for name in shapes(config) if name.startswith(P)]


def test_missing_misshapen_and_not_finite(tmp_path, capsys):
    config = config_of_vql(**VQL_CASES["fading by three, out"])
    full = weights(config)
    for name in own_tensors(config):
        shape = "[Do, heads * v_dim]" if name.endswith("out.weight") else str(list(full[name].shape))
        missing = {other: value for other, value in full.items() if other != name}
        message = refused(tmp_path, capsys, config, missing)
        assert message.startswith(f"tensor {name}: expected shape {shape}") and message.endswith("found none"), message
        for wrong in (full[name][None], full[name][..., :-1]):
            message = refused(tmp_path, capsys, config, {**full, name: wrong})
            assert message.startswith(f"tensor {name}: expected shape") and f"{list(wrong.shape)}" in message, message
        bad = full[name].copy()
        bad[-1, 0] = np.nan
        message = refused(tmp_path, capsys, config, {**full, name: bad})
        assert message == f"tensor {name}: expected finite numbers, found nan at [{len(bad) - 1}, 0]"


def test_tensors_that_nothing_reads(tmp_path, capsys):
    config = config_of_vql()
    for name in ("decay", "mix", "out.weight", "q.bias", "groups.2.codebook"):
        tensors = {**weights(config), f"{P}.{name}": np.zeros((3, 1), np.float32)}
        assert "nothing in the config reads it" in refused(tmp_path, capsys, config, tensors)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("decay", -1e-300, f"tensor {P}.decay: expected values of at least 0, found -1e-300 at [1, 0]"),
        ("mix", 0.0, f"tensor {P}.mix: expected values of more than 0, found 0.0 at [1, 0]"),
        ("mix", -1.0, "found -1.0 at [1, 0]"),
        ("mix", 1e-60, "expected values of more than 0, found 1e-60"),  # 0 in float32
        ("v.weight", 1e38, f"tensor {P}.v.weight: expected values of at most 1.70141e+38 for any event"),
    ],
)
def test_values(tmp_path, capsys, part, value, message):
    config = config_of_vql(decay_terms=1)
    tensors = weights(config, dtype=np.float64)
    tensors[f"{P}.{part}"][1, 0] = value
    assert message in refused(tmp_path, capsys, config, tensors)
