"""What a .vqr file holds: placement, layouts, folded and expanded tensors, exponents, number formats, determinism."""

import json
import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from converter_support import CONFIG, File, config_with, weights, write, write_raw

from vqrank_convert.cli import main
from vqrank_convert.fold import exponent_for


def convert(tmp_path, config, tensors, name="model"):
    source = write(tmp_path / f"{name}.safetensors", config, tensors)
    assert main([str(source), "-o", str(tmp_path / f"{name}.vqr"), "--no-golden", "--quiet"]) == 0
    return File(tmp_path / f"{name}.vqr")


# ---- the file as a whole ----


def test_frame(tmp_path):
    file = convert(tmp_path, CONFIG, weights(CONFIG))
    assert file.bytes[8:12] == b"VQRM"
    assert file.header.formatVersion == 6
    assert file.header.fileLength == len(file.bytes)
    assert file.header.producer.decode().startswith("vqrank-convert ")
    assert file.header.name == b"example"
    assert json.loads(file.header.config) == CONFIG
    end = 4 + file.prefix
    for tensor in file.header.tensors:
        assert tensor.offset % 64 == 0
        assert tensor.offset >= end
        assert not any(file.bytes[end : tensor.offset])
        end = tensor.offset + tensor.length
    assert end == len(file.bytes)
    offsets = [tensor.offset for tensor in file.header.tensors]
    assert offsets == sorted(set(offsets))


def test_tensors_are_the_documented_ones(tmp_path):
    config = config_with(hstu={"pre_norm": True}, attention={"out": True})
    file = convert(tmp_path, config, weights(config))
    expected = {f"tables.{name}.weight" for name in config["tables"]}
    expected |= {f"tables.action.{part}" for part in ("keys", "text", "slots")}
    expected |= {f"head.{layer}.{part}" for layer in range(3) for part in ("weight", "bias")}
    expected |= {f"sequences.long.attention.{p}.{q}" for p in ("q", "k", "v", "out") for q in ("weight", "bias")}
    for part in ("f1", "f2", "norm", "pre_norm"):
        expected |= {f"sequences.long.hstu.0.{part}.weight", f"sequences.long.hstu.0.{part}.bias"}
    expected |= {"sequences.long.fold", "sequences.long.hstu.0.bias"}
    assert set(file.tensors) == expected
    for tensor in file.header.tensors:
        name = tensor.name.decode()
        rows = name.startswith("tables.")
        panels = name.endswith((".weight", ".fold")) and "norm" not in name
        assert tensor.layout == (0 if rows else 2 if panels else 1), name
        assert tensor.type == {"text": 1, "keys": 2, "slots": 2}.get(name.split(".")[-1] if rows else "", 0), name


def test_same_checkpoint_same_bytes(tmp_path):
    first = convert(tmp_path, CONFIG, weights(CONFIG))
    second = convert(tmp_path, CONFIG, weights(CONFIG), "again")
    assert first.bytes == second.bytes
    shuffled = dict(reversed(CONFIG.items()))
    assert convert(tmp_path, shuffled, weights(CONFIG), "shuffled").bytes == first.bytes


def test_file_is_replaced_and_not_written_into(tmp_path):
    source = write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))
    target = tmp_path / "m.vqr"
    target.write_bytes(b"the file that a server has open")
    with target.open("rb") as mapped:
        assert main([str(source), "-o", str(target), "--no-golden", "--quiet"]) == 0
        assert mapped.read() == b"the file that a server has open"
    assert File(target).header.fileLength == target.stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors", "m.vqr"]


def test_link_stays_a_link(tmp_path):
    source = write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))
    (tmp_path / "store").mkdir()
    (tmp_path / "m.vqr").symlink_to(tmp_path / "store" / "m-1.vqr")
    assert main([str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden", "--quiet"]) == 0
    assert (tmp_path / "m.vqr").is_symlink() and (tmp_path / "store" / "m-1.vqr").stat().st_size > 0


def test_names_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))
    assert main(["m.safetensors", "-o", "m.vqr", "--no-golden", "--quiet"]) == 0


# ---- layouts ----


def test_linear_layers_are_transposed_into_panels(tmp_path):
    tensors = weights(CONFIG)
    file = convert(tmp_path, CONFIG, tensors)
    names = [f"head.{layer}" for layer in range(3)] + [f"sequences.long.attention.{p}" for p in ("q", "k", "v")]
    for name in [*names, "sequences.long.hstu.0.f1", "sequences.long.hstu.0.f2"]:
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        *outer, outputs, inputs = weight.shape
        assert file.shape(f"{name}.weight") == (*outer, inputs, outputs)
        np.testing.assert_array_equal(file.values(f"{name}.weight"), np.swapaxes(weight, -1, -2))
        np.testing.assert_array_equal(file.values(f"{name}.bias"), bias)


def test_panel_by_hand(tmp_path):
    """head.0: 32 inputs, 20 outputs, so 2 panels; output 18 of input 5 is lane 2 of row 5 of panel 1."""
    tensors = weights(CONFIG)
    inputs = tensors["head.0.weight"].shape[1]
    file = convert(tmp_path, CONFIG, tensors)
    flat = file.flat("head.0.weight")
    assert flat.size == 2 * inputs * 16
    assert flat[inputs * 16 + 5 * 16 + 2] == tensors["head.0.weight"][18, 5]
    assert not flat.reshape(2, inputs, 16)[1, :, 4:].any()


def test_norms_tables_and_bias_are_kept(tmp_path):
    config = config_with(hstu={"pre_norm": True, "layers": 2})
    tensors = weights(config)
    file = convert(tmp_path, config, tensors)
    for name in tensors:
        if name.startswith("tables.") or "norm." in name or name.endswith((".0.bias", ".1.bias")):
            np.testing.assert_array_equal(file.values(name), tensors[name])


def test_missing_biases_are_written_as_zeros(tmp_path):
    tensors = weights(CONFIG)
    names = ["head.0", "head.2", "sequences.long.hstu.0.f1", "sequences.long.hstu.0.f2"]
    names += [f"sequences.long.attention.{part}" for part in "qkv"]
    for name in names:
        del tensors[f"{name}.bias"]
    file = convert(tmp_path, CONFIG, tensors)
    for name in names:
        assert file.shape(f"{name}.bias") == tensors[f"{name}.weight"].shape[:-1]
        assert not file.flat(f"{name}.bias").any()


def test_no_layers(tmp_path):
    config = config_with(hstu={"layers": 0})
    del config["sequences"][0]["hstu"]["heads"], config["sequences"][0]["hstu"]["qk_dim"]
    del config["sequences"][0]["hstu"]["v_dim"]
    file = convert(tmp_path, config, weights(config))
    assert not any(".hstu." in name for name in file.tensors)
    assert file.header.sequences[0].kind.hstu.layers == 0


def test_optional_groups_may_be_absent(tmp_path):
    config = config_with(head={"hidden": []})
    for key in ("user", "context", "quantizers"):
        del config[key]
    file = convert(tmp_path, config, weights(config))
    assert not file.header.user and not file.header.context
    assert file.shape("head.0.weight") == (13 + 3 * 18, 1)


# ---- what is computed ----


def round_once(value: Fraction) -> np.float32:
    """The float32 nearest to an exact value, through double only where that is exact enough to tell."""
    near = np.float32(float(value))
    steps = (np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf)))
    return min(steps, key=lambda x: abs(Fraction(float(x)) - value))


def test_fold_is_the_product_rounded_once(tmp_path):
    tensors = weights(CONFIG)
    file = convert(tmp_path, CONFIG, tensors)
    projection, codebook = tensors["sequences.long.projection"], tensors["sequences.long.codebook"]
    n, d, _ = projection.shape
    w = codebook.shape[1]
    assert file.shape("sequences.long.fold") == (n, d, w)
    fold = file.values("sequences.long.fold")
    for j, i, k in [(0, 0, 0), (1, 4, 18), (2, 17, 16), (2, 3, 7), (0, 11, 15)]:
        exact = sum(
            Fraction(float(a)) * Fraction(float(b)) for a, b in zip(projection[j, i], codebook[j, k], strict=True)
        )
        assert fold[j, i, k] == round_once(exact)
    expected = np.einsum("jdk,jwk->jdw", projection.astype(float), codebook.astype(float))
    np.testing.assert_allclose(fold, expected, rtol=1e-6, atol=1e-7)


def test_fold_uses_float64_values(tmp_path):
    """Values that float32 cannot hold must not be rounded before the product: (1 + 2^-30) - 1 is not 0."""
    tensors = {name: value.astype(np.float64) for name, value in weights(CONFIG).items()}
    projection, codebook = tensors["sequences.long.projection"], tensors["sequences.long.codebook"]
    projection[0, 0], codebook[0, 0] = 0, 0
    projection[0, 0, :2] = 1 + 2.0**-30, 1
    codebook[0, 0, :2] = 1, -1
    fold = convert(tmp_path, CONFIG, tensors).values("sequences.long.fold")
    assert fold[0, 0, 0] == np.float32(2.0**-30)


def test_fold_adds_in_ascending_order(tmp_path):
    """2^60 + 1 - 2^60 in double: the 1 is lost in this order and in no order that starts with the two large terms."""
    tensors = {name: value.astype(np.float64) for name, value in weights(CONFIG).items()}
    projection, codebook = tensors["sequences.long.projection"], tensors["sequences.long.codebook"]
    projection[0], codebook[0] = 0, 0
    projection[0, 0, :3], codebook[0, 0, :3] = (2.0**60, 1, -(2.0**60)), 1
    projection[0, 1, :3], codebook[0, 1, :3] = (2.0**60, -(2.0**60), 1), 1
    fold = convert(tmp_path, CONFIG, tensors).values("sequences.long.fold")
    assert fold[0, 0, 0] == 0 and fold[0, 1, 0] == 1


def test_toeplitz_is_expanded(tmp_path):
    config = config_with(hstu={"bias": "toeplitz"})
    tensors = weights(config)
    file = convert(tmp_path, config, tensors)
    w = tensors["sequences.long.hstu.0.bias"]
    assert file.shape("sequences.long.hstu.0.bias") == (3, 1, 19, 19)
    bias = file.values("sequences.long.hstu.0.bias")
    for i in range(19):
        for j in range(19):
            np.testing.assert_array_equal(bias[:, :, i, j], w[:, :, 19 - 1 + j - i])
    assert file.header.sequences[0].kind.hstu.bias == 1


@pytest.mark.parametrize(("heads", "kind"), [(1, 1), (2, 2)])
def test_relative_bias_per_head(tmp_path, heads, kind):
    tensors = weights(CONFIG, bias_heads=heads)
    file = convert(tmp_path, CONFIG, tensors)
    assert file.header.sequences[0].kind.hstu.bias == kind
    np.testing.assert_array_equal(file.values("sequences.long.hstu.0.bias"), tensors["sequences.long.hstu.0.bias"])


def test_layers_that_differ_in_bias_heads(tmp_path):
    config = config_with(hstu={"layers": 2})
    tensors = weights(config)
    second = weights(config, seed=1, bias_heads=2)["sequences.long.hstu.1.bias"]
    tensors["sequences.long.hstu.1.bias"] = second
    file = convert(tmp_path, config, tensors)
    first = file.values("sequences.long.hstu.0.bias")
    assert first.shape == second.shape and file.header.sequences[0].kind.hstu.bias == 2
    for head in range(2):
        np.testing.assert_array_equal(first[:, head], tensors["sequences.long.hstu.0.bias"][:, 0])


def test_configuration_reaches_the_header(tmp_path):
    config = config_with(
        hstu={
            "pre_norm": True, "affine": False, "activate": "u", "alpha": "rsqrt", "bias": "none", "residual": True,
            "normalize": {"constant": 211}, "norm": "group", "output": "concat_raw", "eps": 1e-6, "share": True,
        },
        attention={"share": False, "out": True, "count_bias": True},
        sequence={"empty": "zero"},
        head={"activation": "silu", "outputs": ["ctr", "cvr"]},
    )  # fmt: skip
    header = convert(tmp_path, config, weights(config)).header
    dmqn = header.sequences[0].kind
    assert (header.sequences[0].kindType, dmqn.codebooks, dmqn.codewords, dmqn.empty) == (1, 3, 19, 1)
    h = dmqn.hstu
    assert (h.layers, h.heads, h.qkDim, h.vDim) == (1, 2, 5, 9)
    assert (h.preNorm, h.affine, h.activate, h.alpha, h.bias, h.residual) == (True, False, 1, 1, 0, True)
    assert (h.normalize, h.normalizeConstant, h.norm, h.output, h.share) == (3, 211, 1, 2, True)
    assert np.float32(h.eps) == np.float32(1e-6)
    a = dmqn.attention
    assert (a.heads, a.dim, a.share, a.out, a.countBias) == (3, 6, False, 10, True)
    assert (header.head.activation, list(header.head.hidden), header.head.outputs) == (1, [20, 11], [b"ctr", b"cvr"])
    events = [(f.name, f.kind, f.width, f.table) for f in header.event]
    assert events[0] == (b"item", 0, 8, 0) and events[2] == (b"action", 0, 4, 3)
    assert events[3:] == [(b"dwell", 1, 1, -1), (b"time", 2, 0, -1)]
    assert (header.event[3].mean, header.event[3].std) == (3.0, 2.0)
    tables = [(t.name, t.rows, t.dim, t.ids, t.keys) for t in header.tables]
    assert tables[0] == (b"item", 50, 8, 0, 0) and tables[3] == (b"action", 6, 4, 1, 5)


@pytest.mark.parametrize("empty", ["masked", "zero"])
@pytest.mark.parametrize("normalize", ["one", "tokens", "attended"])
@pytest.mark.parametrize("output", ["gated", "concat", "concat_raw"])
def test_enums_by_number(tmp_path, empty, normalize, output):
    config = config_with(hstu={"normalize": normalize, "output": output}, sequence={"empty": empty})
    dmqn = convert(tmp_path, config, weights(config)).header.sequences[0].kind
    assert dmqn.empty == ["masked", "zero"].index(empty)
    assert dmqn.hstu.normalize == ["one", "tokens", "attended"].index(normalize)
    assert dmqn.hstu.output == ["gated", "concat", "concat_raw"].index(output)


def test_out_given_as_a_flag(tmp_path):
    config = config_with(attention={"out": True})
    tensors = weights(config, out=10)
    header = convert(tmp_path, config, tensors).header
    assert header.sequences[0].kind.attention.out == 10


# ---- exponents ----


def largest_exponent(m: float) -> int:
    """By trying: the largest s in [-98, 120] with rne(m * 2^s) <= 2^30, in exact arithmetic."""
    for s in range(120, -99, -1):
        if round(Fraction(m) * Fraction(2) ** s) <= 2**30:  # round() of a Fraction goes to even
            return s
    raise AssertionError(m)


BITS = [0, 1, 2, 3, 0x00800000, 0x007FFFFF, 0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x7F7FFFFF, 0x7F000000]


@pytest.mark.parametrize("bits", BITS)
def test_exponent_bounds(bits):
    m = float(np.uint32(bits).view(np.float32))
    assert exponent_for(m) == largest_exponent(m)


def test_exponent_of_random_magnitudes():
    rng = np.random.default_rng(3)
    for bits in rng.integers(1, 0x7F800000, 2000, dtype=np.uint32):
        m = float(bits.view(np.float32))
        assert exponent_for(m) == largest_exponent(m), m


def test_exponents_are_of_the_whole_table(tmp_path, monkeypatch):
    """The largest magnitude in any row counts, in row 0, in the last row and when negative; chunks must not matter."""
    monkeypatch.setattr("vqrank_convert.checkpoint.CHUNK_BYTES", 100)
    tensors = weights(CONFIG)
    tensors["tables.item.weight"][49, 7] = -1000.0
    tensors["tables.directory.weight"][0, 0] = 5.0
    tensors["tables.action.weight"][...] = 0
    file = convert(tmp_path, CONFIG, tensors)
    assert [f.exponent for f in file.header.event] == [20, 27, 120, 18, 0]
    assert [f.exponent for f in file.header.candidate] == [0, 0]
    for name in ("item", "directory"):
        np.testing.assert_array_equal(file.values(f"tables.{name}.weight"), tensors[f"tables.{name}.weight"])
    assert 1000 * 2**20 <= 2**30 < 1000 * 2**21


# ---- number formats ----


def bfloat16(values):
    """float32 -> the upper 16 bits, truncated: any bit pattern will do for a test."""
    return (values.view(np.uint32) >> 16).astype("<u2")


def test_formats(tmp_path):
    """BF16, F16, F32 and F64 in one checkpoint written by hand."""
    tensors = weights(CONFIG)
    raw, exact = {}, {}
    for i, (name, value) in enumerate(sorted(tensors.items())):
        dtype = ("BF16", "F16", "F32", "F64")[i % 4]
        if dtype == "BF16":
            stored = bfloat16(value)
            exact[name] = (stored.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        else:
            stored = value.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype])
            if dtype == "F64":
                stored = stored * (1 + 2.0**-26)
            exact[name] = stored.astype(np.float64)
        raw[name] = (dtype, value.shape, stored.tobytes())
    source = write_raw(tmp_path / "mixed.safetensors", CONFIG, raw)
    assert main([str(source), "-o", str(tmp_path / "mixed.vqr"), "--no-golden", "--quiet"]) == 0
    file = File(tmp_path / "mixed.vqr")
    seen = set()
    for name, value in exact.items():
        if name in file.tensors:
            swapped = np.swapaxes(value, -1, -2) if file.tensors[name].layout == 2 else value
            np.testing.assert_array_equal(file.values(name), swapped.astype(np.float32))
            seen.add(raw[name][0])
    assert seen == {"BF16", "F16", "F32", "F64"}
    projection, codebook = exact["sequences.long.projection"], exact["sequences.long.codebook"]
    np.testing.assert_allclose(
        file.values("sequences.long.fold"), np.einsum("jdk,jwk->jdw", projection, codebook), rtol=1e-6, atol=1e-7
    )


def test_float64_is_rounded_once(tmp_path):
    """1 + 2^-24 + 2^-50 rounds up; through any narrower step it would tie and go down."""
    tensors = {name: value.astype(np.float64) for name, value in weights(CONFIG).items()}
    value = 1 + 2.0**-24 + 2.0**-50
    for name in ("tables.item.weight", "head.0.bias"):
        tensors[name].flat[0] = value
    file = convert(tmp_path, CONFIG, tensors)
    for name in ("tables.item.weight", "head.0.bias"):
        assert file.flat(name)[0] == np.float32(1 + 2.0**-23)


def test_large_config_text_leaves_the_keys_out(tmp_path):
    config = config_with()
    keys = [f"a rather long key to make the text large {i}" for i in range(30000)]
    config["tables"]["action"] = {"rows": 30001, "dim": 4, "ids": "vocabulary", "keys": keys}
    file = convert(tmp_path, config, weights(config))
    stored = json.loads(file.header.config)
    del config["tables"]["action"]["keys"]
    assert stored == config
    assert file.prefix < 1 << 16
    assert math.prod(file.shape("tables.action.keys")) == 30000 * 4


# ---- what is printed ----


def test_summary_quiet_and_progress(tmp_path, capsys, monkeypatch):
    source = write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))
    arguments = [str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for word in ("tables", "vocabularies", "fold", "hstu", "attention", "head", "item 28", "--no-golden"):
        assert word in printed.out
    file = File(tmp_path / "m.vqr")
    assert f"{len(file.bytes):,} bytes" in printed.out
    monkeypatch.setattr("vqrank_convert.cli.LARGE_TABLE_BYTES", 1000)
    assert main(arguments) == 0
    bars = capsys.readouterr().err
    assert "tables.item.weight" in bars and "tables.repository.weight" not in bars
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_reader_of_the_summary_gone(tmp_path):
    source = write(tmp_path / "m.safetensors", CONFIG, weights(CONFIG))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "vqrank_convert", str(source), "-o", str(tmp_path / "m.vqr"), "--no-golden"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_large_tables_are_streamed(tmp_path):
    """A table of 320 MB (zeros, which the file system need not store) converts in a fraction of its size."""
    config = config_with()
    config["tables"]["item"]["rows"] = 10_000_000
    small = {name: value for name, value in weights(CONFIG).items() if name != "tables.item.weight"}
    raw = {name: ("F32", value.shape, value.tobytes()) for name, value in small.items()}
    source = write_raw(tmp_path / "large.safetensors", config, raw, last=("tables.item.weight", "F32", (10_000_000, 8)))
    # VmHWM and not ru_maxrss, which a process takes over from the one that started it.
    code = (
        "import sys; from vqrank_convert.cli import main; status = main(sys.argv[1:]); "
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, str(source), "-o", str(tmp_path / "l.vqr"), "--no-golden", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 160_000, "KB"
    assert (tmp_path / "l.vqr").stat().st_size > 320_000_000
    (tmp_path / "l.vqr").unlink()
