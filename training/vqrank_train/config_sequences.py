"""Sequences of a config: what becomes of a history, and how a candidate attends to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vqrank_train.config_baselines import (
    HstuSequence,
    SdimSequence,
    SimHardSequence,
    TwinSequence,
    read_hstu,
    read_sdim,
    read_sim_hard,
    read_twin,
)
from vqrank_train.config_parts import Attention, Hstu
from vqrank_train.config_reader import COUNT_MAX, Reader
from vqrank_train.config_vql import VqlSequence, read_vql


@dataclass(frozen=True)
class DmqnSequence:
    """Kind dmqn: `codebooks` N of `codewords` W over the whole history."""

    name: str
    codebooks: int
    codewords: int
    empty: str
    hstu: Hstu
    attention: Attention
    kind: Literal["dmqn"] = "dmqn"


@dataclass(frozen=True)
class DinSequence:
    """Kind din: target attention over the `last` M events."""

    name: str
    last: int
    attention: Attention
    kind: Literal["din"] = "din"


WindowSequence = DinSequence | SimHardSequence | TwinSequence | HstuSequence  # read the `last` events and no others
Sequence = DmqnSequence | VqlSequence | SdimSequence | WindowSequence


def read_dmqn(name: str, reader: Reader) -> DmqnSequence:
    """The rest of a sequence's config once its kind is known."""
    return DmqnSequence(
        name, reader.count("codebooks", 1, high=COUNT_MAX), reader.count("codewords", 1, high=COUNT_MAX),
        reader.choice("empty", ("masked", "zero"), "masked"),
        Hstu.read(reader.take("hstu", dict), f"{reader.where}.hstu", clusters=True),
        Attention.read(reader.take("attention", dict), f"{reader.where}.attention", clusters=True),
    )  # fmt: skip


def read_din(name: str, reader: Reader) -> DinSequence:
    """The rest of a sequence's config once its kind is known."""
    return DinSequence(
        name, reader.count("last", 1, high=COUNT_MAX),
        Attention.read(reader.take("attention", dict), f"{reader.where}.attention", clusters=False),
    )  # fmt: skip


READERS: dict[str, Callable[[str, Reader], Sequence]] = {
    "dmqn": read_dmqn, "din": read_din, "vql": read_vql, "sdim": read_sdim, "sim_hard": read_sim_hard,
    "twin": read_twin, "hstu": read_hstu,
}  # fmt: skip


def read_sequence(value: Any, where: str) -> Sequence:
    """A sequence of any kind."""
    reader = Reader(value, where)
    name = reader.name()
    found = READERS[reader.choice("kind", tuple(READERS))](name, reader)
    reader.close()
    return found
