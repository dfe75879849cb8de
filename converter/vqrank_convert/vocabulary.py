"""The hash table of a vocabulary: open addressing, linear probing, XXH3_64bits with seed 0 (schema/model.fbs)."""

import math
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash
from tqdm import tqdm

from vqrank_convert.config import TableConfig

KIND_INTEGER, KIND_STRING = 0, 1


@dataclass(frozen=True)
class Vocabulary:
    """The three tensors of a vocabulary and the length of its longest probe.

    keys: uint32 [keys, 4] = {low, high, length, kind};  text: uint8 [bytes];  slots: uint32 [slots], row or 0.
    """

    keys: npt.NDArray[np.uint32]
    text: npt.NDArray[np.uint8]
    slots: npt.NDArray[np.uint32]
    max_probe: int


def key_bytes(key: int | str) -> bytes:
    """What is hashed: the 8 little-endian bytes of an int64 or the UTF-8 bytes of a string."""
    return struct.pack("<q", key) if isinstance(key, int) else key.encode("utf-8")


def build(table: TableConfig, bar_from: float = math.inf) -> Vocabulary:
    """Places the keys in their order; key i is row i + 1. Shows a progress bar if they make `bar_from` bytes."""
    count = len(table.keys)
    entries = np.zeros((count, 4), np.uint32)
    slot_count = 1
    while slot_count < 2 * count:
        slot_count *= 2
    slots = np.zeros(slot_count, np.uint32)
    mask = slot_count - 1
    text = bytearray()
    max_probe = 0
    hidden = entries.nbytes < bar_from
    for i, key in enumerate(tqdm(table.keys, desc=f"{table.name} keys", unit="key", disable=hidden, leave=False)):
        raw = key_bytes(key)
        if isinstance(key, int):
            word, length, kind = key & (2**64 - 1), 0, KIND_INTEGER
        else:
            word, length, kind = len(text), len(raw), KIND_STRING
            text += raw
        entries[i] = (word & 0xFFFFFFFF, word >> 32, length, kind)
        slot = xxhash.xxh3_64_intdigest(raw, seed=0) & mask
        probe = 0
        while slots[slot]:
            slot = (slot + 1) & mask
            probe += 1
        slots[slot] = i + 1
        max_probe = max(max_probe, probe)
    return Vocabulary(entries, np.frombuffer(bytes(text), np.uint8), slots, max_probe)
