"""The vocabulary's hash table: a reader that follows schema/model.fbs word by word finds every key and nothing else."""

import struct

import numpy as np
import pytest
import xxhash
from converter_support import File, config_with, weights, write

from vqrank_convert.cli import main
from vqrank_convert.config import TableConfig
from vqrank_convert.vocabulary import build

KEYS = [
    "A",
    "M",
    "D",
    7,
    -1,
    "7",
    "-1",
    "",
    "\u65e5\u672c\u8a9e",
    "nul\0inside",
    2**63 - 1,
    -(2**63),
    0,
    "A ",
    "AA",
    2**40,
]


def walk(keys, text, slots, max_probe, key):
    """Row of a key, as schema/model.fbs says; asserts that no key is found past max_probe."""
    raw = struct.pack("<q", key) if isinstance(key, int) else key.encode()
    home = xxhash.xxh3_64_intdigest(raw) % len(slots)
    for probe in range(len(slots)):
        row = int(slots[(home + probe) % len(slots)])
        if row == 0:
            return 0
        low, high, length, kind = (int(x) for x in keys[row - 1])
        if kind == 0:
            assert length == 0
            same = isinstance(key, int) and (high << 32 | low) == key % 2**64
        else:
            assert kind == 1
            same = isinstance(key, str) and text[(high << 32 | low) :][:length] == raw
        if same:
            assert probe <= max_probe
            return row
    return 0


def find(file, table, key):
    """The row of a key in a table of a file."""
    entry = next(t for t in file.header.tables if t.name.decode() == table)
    keys, text = file.values(f"tables.{table}.keys"), file.flat(f"tables.{table}.text").tobytes()
    return walk(keys, text, file.flat(f"tables.{table}.slots"), entry.maxProbe, key)


def lookup(built, key):
    """The row of a key in a vocabulary that is in no file yet."""
    return walk(built.keys, built.text.tobytes(), built.slots, built.max_probe, key)


def vocabulary_file(tmp_path, keys):
    config = config_with()
    config["tables"]["action"] = {"rows": len(keys) + 1, "dim": 4, "ids": "vocabulary", "keys": keys}
    source = write(tmp_path / "v.safetensors", config, weights(config))
    assert main([str(source), "-o", str(tmp_path / "v.vqr"), "--no-golden", "--quiet"]) == 0
    return File(tmp_path / "v.vqr")


def test_every_key_and_no_other(tmp_path):
    file = vocabulary_file(tmp_path, KEYS)
    for i, key in enumerate(KEYS):
        assert find(file, "action", key) == i + 1
    for key in ("a", "B", 1, "0", str(2**40), -7, "nul", "\u65e5", "A\0"):
        assert find(file, "action", key) == 0


def test_shapes(tmp_path):
    file = vocabulary_file(tmp_path, KEYS)
    assert file.shape("tables.action.keys") == (16, 4)
    assert file.shape("tables.action.slots") == (32,)
    assert file.shape("tables.action.text") == (sum(len(k.encode()) for k in KEYS if isinstance(k, str)),)
    assert sorted(x for x in file.flat("tables.action.slots") if x) == list(range(1, 17))


def test_offsets_ascend_past_an_empty_text(tmp_path):
    file = vocabulary_file(tmp_path, [3, 1, 2])
    assert file.shape("tables.action.text") == (0,) and file.tensors["tables.action.text"].length == 0
    offsets = [tensor.offset for tensor in file.header.tensors]
    assert offsets == sorted(set(offsets))


@pytest.mark.parametrize("keys", [[], ["only"], [5], [1, 2, 3]])
def test_small(tmp_path, keys):
    file = vocabulary_file(tmp_path, keys)
    slots = file.shape("tables.action.slots")[0]
    assert slots >= 1 and slots & (slots - 1) == 0 and slots >= 2 * len(keys)
    for i, key in enumerate(keys):
        assert find(file, "action", key) == i + 1
    assert find(file, "action", "other") == find(file, "action", 99) == 0


def test_many_keys():
    """20,000 keys: the table stays at least half empty, and max_probe is the longest way that any key took."""
    keys = (*range(10_000), *(str(i) for i in range(10_000)))
    vocabulary = build(TableConfig("t", len(keys) + 1, 1, "vocabulary", keys))
    assert len(vocabulary.slots) == 65536 and np.count_nonzero(vocabulary.slots) == 20_000
    longest = 0
    for slot in np.flatnonzero(vocabulary.slots):
        key = keys[vocabulary.slots[slot] - 1]
        raw = struct.pack("<q", key) if isinstance(key, int) else key.encode()
        longest = max(longest, (int(slot) - xxhash.xxh3_64_intdigest(raw)) % 65536)
    assert vocabulary.max_probe == longest > 0
    for i in range(0, len(keys), 7):
        assert lookup(vocabulary, keys[i]) == i + 1
    assert lookup(vocabulary, 10_000) == lookup(vocabulary, "x") == 0


def test_probing_wraps_around():
    """Keys whose home is the last slot go on at the first."""
    chosen: list[int | str] = []
    for key in range(100_000):
        if xxhash.xxh3_64_intdigest(struct.pack("<q", key)) % 8 == 7:
            chosen.append(key)
        if len(chosen) == 3:
            break
    vocabulary = build(TableConfig("t", 5, 1, "vocabulary", (*chosen, "x")))
    assert [int(vocabulary.slots[slot]) for slot in (7, 0, 1)] == [1, 2, 3]
    assert [lookup(vocabulary, key) for key in chosen] == [1, 2, 3]
    assert vocabulary.max_probe >= 2
