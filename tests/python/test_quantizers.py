"""Quantizers and semantic ids: checkpoint -> file -> codes, offline and inside scoring."""

import copy
import json
import struct

import numpy as np
import pytest
from command_support import change_tensor, convert, lines, run
from converter_support import File, set_at, write
from quantizer_support import CONFIG, tensors_of

from vqrank_convert import reference
from vqrank_convert.cli import main
from vqrank_convert.config import parse_config
from vqrank_convert.reference_quantizers import encode


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("content"), CONFIG, tensors_of(CONFIG))


def vectors(rows, dim, seed=1):
    return np.random.default_rng(seed).normal(0, 1.5, (rows, dim)).astype(np.float32)


def quantize(tmp_path, model, x, *arguments):
    np.save(tmp_path / "items.npy", x)
    done = run("quantize", model, tmp_path / "items.npy", "-o", tmp_path / "codes.npy", *arguments)
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "codes.npy"), done.stderr


# ---- the file ----


def test_tensors_of_the_file(model):
    file, t = File(model), tensors_of(CONFIG)
    variance = t["quantizers.content.variance"].astype(np.float64)
    inverse = file.values("quantizers.content.inverse_variance")
    np.testing.assert_array_equal(inverse, np.swapaxes((1 / variance).astype(np.float32), 1, 2))
    bias = np.log(t["quantizers.content.weight"].astype(np.float64)) - np.log(variance).sum(2) / 2
    np.testing.assert_array_equal(file.values("quantizers.content.bias"), bias.astype(np.float32))
    mean = np.swapaxes(t["quantizers.look.mean"], 1, 2)
    np.testing.assert_array_equal(file.values("quantizers.look.mean"), mean)


def test_exponents_hold_every_sum(model):
    """The largest that any code can give fills half the room at least, and never more than all."""
    t = tensors_of(CONFIG)
    _, look, content = File(model).header.event
    largest = {name: np.abs(t[f"tables.{name}.weight"]).max() for name in CONFIG["tables"]}
    for s, name in zip(content.exponents, ("c0", "c1"), strict=True):
        assert 2.0**29 < largest[name] * 2.0**s <= 2.0**30
    total = sum(largest[f"look{level}"] for level in range(3))
    assert 2.0**27 < total * 2.0**look.exponent <= 2.0**30


CONFIG_CASES = [
    (("quantizers", "content", "kind"), "pq", "config.quantizers.content.kind:"),
    (("quantizers", "content", "levels"), 0, "config.quantizers.content.levels: expected an integer from 1 to 64"),
    (("quantizers", "content", "codes"), 2**20 + 1, "config.quantizers.content.codes:"),
    (("quantizers", "content", "dim"), 0, "config.quantizers.content.dim:"),
    (("quantizers", "content", "bits"), 8, "config.quantizers.content:"),
    (("quantizers", "content"), ..., "config.context.content.quantizer: expected a quantizer of config.quantizers"),
    (("candidate", 1, "tables"), ["c0"], "config.candidate.content.tables: expected 2 tables"),
    (("candidate", 1, "tables"), ["c0", "c9"], 'expected tables of config.tables, found "c9"'),
    (("candidate", 1, "combine"), ..., "config.candidate.content.combine:"),
    (("candidate", 1, "combine"), "mean", "config.candidate.content.combine:"),
    (("candidate", 1, "combine"), "sum", "tables of equal dims"),
    (("tables", "c1", "rows"), 17, 'at least 18 rows, one more than the codes, found "c1" with "direct" and 17 rows'),
    (("tables", "c0", "ids"), "hash", 'found "c0" with "hash"'),
]


def refused(tmp_path, capsys, config, tensors):
    source = write(tmp_path / "c.safetensors", config, tensors)
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(("path", "value", "message"), CONFIG_CASES)
def test_configs_that_are_refused(tmp_path, capsys, path, value, message):
    assert message in refused(tmp_path, capsys, set_at(copy.deepcopy(CONFIG), path, value), tensors_of(CONFIG))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("variance", 0.0, "variance: expected variances above 0, found 0.0 at [1, 2, 3]"),
        ("variance", -1.0, "variances above 0, found -1.0"),
        ("variance", 1e-42, "variances whose inverse float32 holds"),
        ("variance", 1e46, "variances whose inverse float32 holds"),
        ("weight", 0.0, "weight: expected weights above 0, found 0.0 at [1, 2]"),
        ("weight", -0.5, "weights above 0, found -0.5"),
    ],
)
def test_tensors_that_are_refused(tmp_path, capsys, name, value, message):
    tensors = tensors_of(CONFIG)
    tensors[f"quantizers.content.{name}"] = tensors[f"quantizers.content.{name}"].astype(np.float64)
    tensors[f"quantizers.content.{name}"][(1, 2, 3)[: 3 if name == "variance" else 2]] = value
    assert message in refused(tmp_path, capsys, CONFIG, tensors)


def test_missing_and_needless_tensors(tmp_path, capsys):
    tensors = tensors_of(CONFIG)
    tensors["quantizers.look.weight"] = np.ones((3, 5), np.float32)
    assert "quantizers.look.weight: expected no such tensor" in refused(tmp_path, capsys, CONFIG, tensors)
    tensors = {name: value for name, value in tensors.items() if not name.endswith("content.variance")}
    assert "quantizers.content.variance: expected shape [2, 17, 9], found none" in refused(
        tmp_path, capsys, CONFIG, tensors
    )


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_a_file_with_no_variance(tmp_path, model, value):
    damaged = change_tensor(model, "quantizers.content.inverse_variance", value, tmp_path / "damaged.vqr")
    done = run("inspect", damaged)
    assert done.returncode == 2
    assert 'quantizer "content", level 0, component 0: an inverse variance is' in done.stderr


# ---- codes ----


def test_codes_are_those_of_float64(tmp_path, model):
    """And the same bytes by every instruction set."""
    x, t = vectors(5000, 9), tensors_of(CONFIG)
    codes, said = quantize(tmp_path, model, x, "--quantizer", "content")
    assert codes.dtype == np.uint16 and codes.shape == (5000, 2)
    assert "5,000 items" in said
    found = encode(parse_config(CONFIG).quantizers["content"], t, x.astype(np.float64))
    sure = np.logical_and.accumulate(found.clear, axis=1)
    assert sure.mean() > 0.99
    assert (codes == found.codes)[sure].all()
    for isa in ("ref", "avx2", "avx512", "neon"):
        if run("score", model, "--isa", isa).returncode == 0:
            again, _ = quantize(tmp_path, model, x, "--quantizer", "content", "--isa", isa)
            np.testing.assert_array_equal(codes, again)


def test_float64_items_round_once(tmp_path, model):
    x = vectors(300, 9).astype(np.float64) + 1e-12
    codes, _ = quantize(tmp_path, model, x, "--quantizer", "content")
    np.testing.assert_array_equal(codes, quantize(tmp_path, model, x.astype(np.float32), "--quantizer", "content")[0])


def test_no_items(tmp_path, model):
    assert quantize(tmp_path, model, np.zeros((0, 9), np.float32), "--quantizer", "content")[0].shape == (0, 2)


def test_many_codes_are_int32(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["quantizers"] = {"many": {"kind": "rq_kmeans", "levels": 1, "codes": 65537, "dim": 1}}
    config["tables"] = {"item": config["tables"]["item"], "c": {"rows": 65538, "dim": 7, "ids": "direct"}}
    feature = {"name": "content", "kind": "semantic_id", "quantizer": "many", "tables": ["c"], "combine": "sum"}
    config["context"], config["candidate"][1] = [feature], feature
    config["event"] = [config["event"][0], feature, {"name": "look", "kind": "vector", "dim": 5}]
    tensors = tensors_of(config)
    tensors["quantizers.many.mean"] = np.arange(65537, dtype=np.float32).reshape(1, -1, 1)
    model = convert(tmp_path, config, tensors)
    codes, _ = quantize(tmp_path, model, np.array([[65536.2], [3.4], [65535.9]], np.float32))
    assert codes.dtype == np.int32
    assert codes.tolist() == [[65536], [3], [65536]]


def test_scoring_uses_the_codes_made_offline(tmp_path, model):
    """A twin whose features are ids gets the offline codes as ids, and scores the same bits."""
    x, look = vectors(40, 9), vectors(40, 4, seed=2)
    codes, _ = quantize(tmp_path, model, x, "--quantizer", "content")
    twin = copy.deepcopy(CONFIG)
    del twin["quantizers"]["content"]
    ids = [{"name": f"c{level}", "kind": "id", "table": f"c{level}"} for level in range(2)]
    twin["context"], twin["candidate"][1:], twin["event"][2:] = ids, ids, ids
    tensors = {name: value for name, value in tensors_of(CONFIG).items() if not name.startswith("quantizers.content")}
    (tmp_path / "twin").mkdir()
    twin_model = convert(tmp_path / "twin", twin, tensors)

    def request(content):
        rows = [{"item": i % 31, "look": look[i].tolist()} | content(i) for i in range(40)]
        candidates = [{key: value for key, value in row.items() if key != "look"} for row in rows[:9]]
        return {"id": 1, "context": content(11), "events": rows, "candidates": [*candidates, {}]}

    def of_vectors(i):
        return {} if i % 7 == 3 else {"content": x[i].tolist()}

    def of_codes(i):
        return {} if i % 7 == 3 else {f"c{level}": int(codes[i, level]) + 1 for level in range(2)}

    found = run("score", model, stdin=lines(request(of_vectors)))
    want = run("score", twin_model, stdin=lines(request(of_codes)))
    assert "error" not in found.stdout
    assert len(json.loads(found.stdout)["outputs"]["ctr"]) == 10
    # A semantic id is one feature of the codebooks' scores and the ids are two: only there may bits differ.
    np.testing.assert_allclose(
        json.loads(found.stdout)["outputs"]["ctr"], json.loads(want.stdout)["outputs"]["ctr"], rtol=0, atol=2e-6
    )
    without = {"id": 1, "candidates": request(of_vectors)["candidates"], "context": of_vectors(11)}
    twin_without = {"id": 1, "candidates": request(of_codes)["candidates"], "context": of_codes(11)}
    found, want = run("score", model, stdin=lines(without)), run("score", twin_model, stdin=lines(twin_without))
    assert found.stdout == want.stdout


def test_equal_components_fall_to_the_lowest(tmp_path):
    tensors = tensors_of(CONFIG)
    for part in ("mean", "variance", "weight"):
        values = tensors[f"quantizers.content.{part}"]
        values[:, 3:] = values[:, 3:4]
    model = convert(tmp_path, CONFIG, tensors)
    codes, _ = quantize(tmp_path, model, vectors(500, 9), "--quantizer", "content")
    assert set(codes.reshape(-1).tolist()) == {0, 1, 2, 3}


# ---- requests ----


def test_reference_and_library_agree(model):
    x, look = vectors(30, 9), vectors(30, 4)
    rows = [{"item": i, "content": x[i].tolist(), "look": look[i].tolist() if i % 5 else None} for i in range(30)]
    candidates = [{"item": i, "content": x[i].tolist()} for i in range(8)] + [{}]
    request = {"id": 1, "context": {"content": None}, "events": rows, "candidates": candidates}
    want = reference.score(CONFIG, tensors_of(CONFIG), request).outputs["ctr"]
    got = json.loads(run("score", model, stdin=lines(request)).stdout)["outputs"]["ctr"]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "code", "message"),
    [
        ("candidates", [1.0] * 8, "type", "candidates[0].content: expected an array of 9 numbers, found one of 8"),
        ("candidates", 1, "type", "candidates[0].content: expected an array of 9 numbers"),
        ("candidates", [1.0] * 8 + ["2"], "type", "content[8]: expected a number"),
        ("candidates", [1e39] * 9, "range", "number 0 of 9 is 1e+39"),
        ("candidates", [3e38] * 9, "overflow", 'at level 0 of quantizer "content" no component has a finite distance'),
        ("events", [0.0] * 8 + [4097.0], "range", "number 8 of 9 is 4097, expected a finite one of at most 4096"),
    ],
)
def test_vectors_that_are_refused(model, key, value, code, message):
    request = {"id": 1, "candidates": [{}]} | {key: [{"content": value}]}
    (line,) = run("score", model, stdin=lines(request)).stdout.splitlines()
    error = json.loads(line)["error"]
    assert error["code"] == code
    assert message in error["message"]


def test_one_refused_vector_among_others(model):
    """The first refused candidate is told, whichever level refuses it."""
    good = {"content": [0.5] * 9}
    request = {"id": 1, "candidates": [good, good, {"content": [3e38] * 9}, {"content": [1e39] * 9}]}
    (line,) = run("score", model, stdin=lines(request)).stdout.splitlines()
    assert "candidate 2," in json.loads(line)["error"]["message"]


# ---- inspect ----


def test_inspect(model):
    found = json.loads(run("inspect", model, "--json").stdout)
    assert found["quantizers"][0] == {"name": "content", "kind": "rq_gmm", "levels": 2, "codes": 17, "dim": 9}
    feature = found["features"]["candidate"][1]
    assert feature == {
        "name": "content", "kind": "semantic_id", "width": 7, "quantizer": "content", "tables": ["c0", "c1"],
        "combine": "concat",
    }  # fmt: skip
    assert len(found["features"]["event"][2]["exponents"]) == 2 and "exponent" not in found["features"]["event"][2]
    text = run("inspect", model).stdout
    assert "rq_gmm of vectors of 9: 2 codes a vector, each of 17" in text
    assert "semantic_id by quantizer content, concat of rows in tables c0, c1, width 7" in text
    assert run("selftest", model).returncode == 0
    assert run("bench", model, "--events", "10", "--candidates", "2", "--seconds", "0").returncode == 0


# ---- hostile arrays ----


def npy(header, data=b"", version=1, length=None):
    text = header if isinstance(header, bytes) else header.encode()
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def form(descr="'<f4'", order="False", shape="(2, 9)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


DATA = bytes(2 * 9 * 4)
ARRAYS = [
    (b"", "expected a .npy file"),
    (b"PK\x03\x04" + bytes(60), "expected a .npy file"),
    (npy(form(), DATA, version=3), "expected .npy format version 1 or 2, found 3"),
    (npy(form(), DATA)[:9], "the header is cut off"),
    (npy(form(), length=1000), "the header is cut off"),
    (npy(form(), DATA, version=2, length=2**32 - 1), "the header says it has 4294967295 bytes"),
    (npy(form(), DATA[:-1]), "shape (2, 9) does not fit"),
    (npy(form(), DATA + b"\0"), "shape (2, 9) does not fit"),
    (npy(form(shape="(18446744073709551615, 9)"), DATA), "with descr, fortran_order and shape"),
    (npy(form(shape="(4611686018427387904, 9)"), DATA), "does not fit"),
    (npy(form(shape="(1000000000000000000, 0)")), "expected vectors of 9 numbers, as quantizer content has, found 0"),
    (npy(form(shape="(2, 8)"), bytes(64)), "expected vectors of 9 numbers, as quantizer content has, found 8"),
    (npy(form(shape="(18,)"), DATA), "2 dimensions, items and numbers, found 1"),
    (npy(form(shape="()"), DATA), "2 dimensions, items and numbers, found 0"),
    (npy(form(shape="(1, 2, 9)"), DATA), "2 dimensions, items and numbers, found 3"),
    (npy(form(shape="(2 9)"), DATA), "with descr, fortran_order and shape"),
    (npy(form(shape="(-2, 9)"), DATA), "with descr, fortran_order and shape"),
    (npy(form(shape="(2, 9"), DATA), "with descr, fortran_order and shape"),
    (npy(form(order="True"), DATA), "expected C order, found fortran_order True"),
    (npy(form(descr="'>f4'"), DATA), "numbers of type <f4 or <f8, found >f4"),
    (npy(form(descr="'|O'"), DATA), "numbers of type <f4 or <f8, found |O"),
    (npy(form(descr="[('x', '<f4')]"), DATA), "with descr, fortran_order and shape"),
    (npy(form(descr="'" + "f" * 60000 + "'"), DATA), "with descr, fortran_order and shape"),
    (npy(form() + "x", DATA), "with descr, fortran_order and shape"),
    (npy(form()[:-2] + "'shape': (2, 9)}", DATA), "with descr, fortran_order and shape"),
    (npy("{}", DATA), "with descr, fortran_order and shape"),
    (npy("{'descr': '<f4\0'}", DATA), "with descr, fortran_order and shape"),
    (npy("", DATA), "with descr, fortran_order and shape"),
    (npy(form(), struct.pack("<18f", *[0] * 13, float("nan"), *[0] * 4)), "item 1: number 4 is nan"),
    (npy(form("'<f8'"), struct.pack("<18d", *[0] * 17, 1e39)), "item 1: number 8 is inf, expected a finite float32"),
    (npy(form(), struct.pack("<18f", *[0] * 9, *[3e38] * 9)), "vector 1: at level 0 of quantizer"),
]


@pytest.mark.parametrize(("content", "message"), ARRAYS)
def test_arrays_that_are_refused(tmp_path, model, content, message):
    """In one line that names the file; nothing is written, and nothing left behind."""
    items, out = tmp_path / "items.npy", tmp_path / "codes.npy"
    items.write_bytes(content)
    out.write_bytes(b"as it was")
    done = run("quantize", model, items, "-o", out, "--quantizer", "content")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"vqrank: {items}"), done.stderr
    assert message in done.stderr
    assert out.read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.npy", "items.npy"]


def test_header_of_version_2_in_another_order(tmp_path, model):
    x = vectors(2, 9)
    header = '{"shape":(2,9),"descr":"<f4","fortran_order":False}'
    (tmp_path / "other.npy").write_bytes(npy(header, x.tobytes(), version=2))
    done = run("quantize", model, tmp_path / "other.npy", "-o", tmp_path / "o.npy", "--quantizer", "content")
    assert done.returncode == 0, done.stderr
    want, _ = quantize(tmp_path, model, x, "--quantizer", "content")
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), want)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "choose one with --quantizer NAME, of content, look"),
        (["--quantizer", "none"], "--quantizer none: expected one of content, look"),
        (["--isa", "none"], "--isa none"),
    ],
)
def test_arguments_that_are_refused(tmp_path, model, arguments, message):
    np.save(tmp_path / "items.npy", vectors(2, 9))
    done = run("quantize", model, tmp_path / "items.npy", "-o", tmp_path / "codes.npy", *arguments)
    assert done.returncode == 2 and message in done.stderr and not (tmp_path / "codes.npy").exists()


def test_places_that_are_refused(tmp_path, model):
    np.save(tmp_path / "items.npy", vectors(2, 9))
    items, which = tmp_path / "items.npy", ("--quantizer", "content")
    assert "needs -o CODES.npy" in run("quantize", model, items, *which).stderr
    assert "cannot open" in run("quantize", model, tmp_path / "none.npy", "-o", tmp_path / "c.npy", *which).stderr
    assert "cannot write" in run("quantize", model, items, "-o", tmp_path / "no" / "c.npy", *which).stderr
    assert "expected a" in run("quantize", model, tmp_path, "-o", tmp_path / "c.npy", *which).stderr
