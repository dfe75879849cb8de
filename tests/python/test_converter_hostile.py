"""Damaged and hostile checkpoints: one line on standard error, exit status 2, no traceback, no file left behind."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from converter_support import CONFIG, weights, write


def run(path, target):
    """The command in a process of its own, as a crash would show there."""
    command = [sys.executable, "-m", "vqrank_convert", str(path), "-o", str(target), "--no-golden"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def refused(tmp_path, content, name="bad.safetensors"):
    path = tmp_path / name
    path.write_bytes(content)
    done = run(path, tmp_path / "bad.vqr")
    assert done.returncode == 2, done
    assert done.stdout == "" and "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vqrank-convert: error: "), done.stderr
    assert os.listdir(tmp_path) == [name]
    return lines[0]


@pytest.fixture
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    return write(path, CONFIG, weights(CONFIG)).read_bytes()


def with_header(good, change):
    """The checkpoint with its header put through `change` (a function of the parsed header, or new text)."""
    (length,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + length])
    text = change(header)
    if not isinstance(text, str):
        text = json.dumps(header)
    return struct.pack("<Q", len(text.encode())) + text.encode() + good[8 + length :]


def test_the_good_one_is_good(tmp_path, good):
    (tmp_path / "g.safetensors").write_bytes(with_header(good, lambda header: None))
    done = run(tmp_path / "g.safetensors", tmp_path / "g.vqr")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "fold" in done.stdout and "exponents" in done.stdout


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1, -64, -10_000])
def test_truncated(tmp_path, good, length):
    refused(tmp_path, good[:length])


def test_more_than_the_header_says(tmp_path, good):
    refused(tmp_path, good + b"\0" * 16)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 100_000_001, 0, 1])
def test_header_length(tmp_path, good, length):
    refused(tmp_path, struct.pack("<Q", length) + good[8:])


def test_not_utf8_and_not_json(tmp_path, good):
    refused(tmp_path, struct.pack("<Q", 4) + b"\xff\xfe{}" + good)
    refused(tmp_path, struct.pack("<Q", 3) + b"abc")
    refused(tmp_path, struct.pack("<Q", 2) + b"[]")
    refused(tmp_path, struct.pack("<Q", 100_000) + b"[" * 100_000)
    refused(tmp_path, b"just a text file, longer than eight bytes\n" * 100)
    refused(tmp_path, np.random.default_rng(0).bytes(5000))


def entry(**changes):
    def change(header):
        header["head.0.weight"].update(changes)

    return change


@pytest.mark.parametrize(
    "changes",
    [
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [2**62, 2**62 + 4]},
        {"data_offsets": [64, 0]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [0, 4]},
        {"data_offsets": [0]},
        {"data_offsets": "0"},
        {"shape": [2**40, 2**40]},
        {"shape": [2**63, 2]},
        {"shape": [-1, 4]},
        {"shape": 4},
        {"dtype": "F31"},
        {"dtype": "I64"},
        {"dtype": 3},
    ],
)
def test_entries(tmp_path, good, changes):
    refused(tmp_path, with_header(good, entry(**changes)))


def test_overlapping_tensors(tmp_path, good):
    def overlap(header):
        header["head.2.weight"]["data_offsets"] = header["head.1.weight"]["data_offsets"]

    refused(tmp_path, with_header(good, overlap))


def test_names(tmp_path, good):
    """A tensor whose name holds a line break, a terminal's escape and much else is named on one line of ASCII."""

    def rename(header):
        header["head\n\u001b[31m.0.weight\u2028"] = header.pop("head.0.weight")

    message = refused(tmp_path, with_header(good, rename))
    assert message.isascii() and message.isprintable()


def test_duplicate_tensor(tmp_path, good):
    def twice(header):
        text = json.dumps(header)
        name = json.dumps("head.0.bias") + ": " + json.dumps(header["head.0.bias"])
        return "{" + name + ", " + text[1:]

    refused(tmp_path, with_header(good, twice))


def test_metadata(tmp_path, good):
    refused(tmp_path, with_header(good, lambda header: header.pop("__metadata__") and None))
    refused(tmp_path, with_header(good, lambda header: header["__metadata__"].clear()))
    message = refused(tmp_path, with_header(good, lambda header: header.update(__metadata__={"vqrnk": "{}"})))
    assert '"vqrnk"' in message
    refused(tmp_path, with_header(good, lambda header: header.update(__metadata__={"vqrank": {}})))
    refused(tmp_path, with_header(good, lambda header: header.update(__metadata__={"vqrank": "[" * 50_000})))


def test_sizes_that_only_the_config_claims(tmp_path, good):
    """A config that asks for petabytes is refused by its tensors' shapes, at once and without memory."""
    for path, value in (
        (("tables", "item", "rows"), 2**62),
        (("sequences", 0, "codewords"), 2**20),
        (("sequences", 0, "codebooks"), 2**20),
        (("sequences", 0, "hstu", "layers"), 1024),
        (("sequences", 0, "attention", "heads"), 2**20),
        (("head", "hidden"), [2**32 - 1] * 3),
    ):
        config = json.loads(json.dumps(CONFIG))
        at = config
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        refused(tmp_path, with_header(good, lambda h, c=config: h["__metadata__"].update(vqrank=json.dumps(c))))


def test_random_damage(tmp_path, good):
    """Bytes of the header overwritten at random: whatever happens, no traceback and no half a file."""
    from vqrank_convert.cli import main

    rng = np.random.default_rng(11)
    (length,) = struct.unpack("<Q", good[:8])
    path, target = tmp_path / "bad.safetensors", tmp_path / "bad.vqr"
    statuses = set()
    for _ in range(300):
        damaged = bytearray(good)
        for at in rng.integers(0, 8 + length, rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged)
        statuses.add(main([str(path), "-o", str(target), "--no-golden", "--quiet"]))
        target.unlink(missing_ok=True)
        assert os.listdir(tmp_path) == ["bad.safetensors"]
    assert statuses <= {0, 2} and 2 in statuses
