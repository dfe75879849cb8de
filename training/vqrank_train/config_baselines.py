"""Sequences of the kinds that DMQN and VQL are compared with: sdim, sim_hard, twin and hstu."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vqrank_train.config_inputs import Feature
from vqrank_train.config_parts import Attention, Hstu
from vqrank_train.config_reader import COUNT_MAX, ConfigError, Reader
from vqrank_train.errors import quote

HASHES_MAX, BITS_MAX = 1024, 12
TIME_BUCKETS_MAX = 144  # the last of them begins below 2^63 seconds


@dataclass(frozen=True)
class SdimSequence:
    """Kind sdim: G = `hashes` hash functions of tau = `bits` bits over the whole history."""

    name: str
    hashes: int
    bits: int
    kind: Literal["sdim"] = "sdim"

    @property
    def buckets(self) -> int:
        """Of one hash function."""
        return int(2**self.bits)


@dataclass(frozen=True)
class SimHardSequence:
    """Kind sim_hard: the latest `top` of the `last` events whose feature `match_event` has the row of the candidate's
    `match_candidate`."""

    name: str
    last: int
    top: int
    match_event: str
    match_candidate: str
    attention: Attention
    kind: Literal["sim_hard"] = "sim_hard"


@dataclass(frozen=True)
class TwinSequence:
    """Kind twin: of the `last` events each head keeps the `top` of its largest scores."""

    name: str
    last: int
    top: int
    attention: Attention
    kind: Literal["twin"] = "twin"


@dataclass(frozen=True)
class HstuSequence:
    """Kind hstu: HSTU's causal layers over the `last` events; without `attention` the interest is their last output."""

    name: str
    last: int
    hstu: Hstu
    positions: bool = False
    scale: str = "one"
    time_buckets: int = 0
    attention: Attention | None = None
    kind: Literal["hstu"] = "hstu"


def read_sdim(name: str, reader: Reader) -> SdimSequence:
    """The rest of a sequence's config once its kind is known."""
    return SdimSequence(name, reader.count("hashes", 1, high=HASHES_MAX), reader.count("bits", 1, high=BITS_MAX))


def read_search(reader: Reader) -> tuple[int, int]:
    """`last` and `top` of a sequence that searches."""
    last = reader.count("last", 1, high=COUNT_MAX)
    return last, reader.count("top", 1, high=last)


def read_sim_hard(name: str, reader: Reader) -> SimHardSequence:
    """As `read_sdim`; that the features are there `check_match` says."""
    last, top = read_search(reader)
    match = Reader(reader.take("match", dict), f"{reader.where}.match")
    event, candidate = match.name("event"), match.name("candidate")
    match.close()
    attention = Attention.read(reader.take("attention", dict), f"{reader.where}.attention", clusters=False)
    return SimHardSequence(name, last, top, event, candidate, attention)


def read_twin(name: str, reader: Reader) -> TwinSequence:
    """As `read_sdim`."""
    last, top = read_search(reader)
    where = f"{reader.where}.attention"
    attention = Attention.read(reader.take("attention", dict), where, clusters=False)
    if attention.kind != "dot":
        raise ConfigError(f"{where}.kind: expected dot, whose scores twin searches by, found {attention.kind}")
    return TwinSequence(name, last, top, attention)


def read_hstu(name: str, reader: Reader) -> HstuSequence:
    """As `read_sdim`."""
    attention = reader.take("attention", dict, None)
    return HstuSequence(
        name,
        reader.count("last", 1, high=COUNT_MAX),
        Hstu.read(reader.take("hstu", dict), f"{reader.where}.hstu", clusters=False),
        positions=reader.take("positions", bool, False),
        scale=reader.choice("scale", ("one", "sqrt"), "one"),
        time_buckets=reader.count("time_buckets", 0, 0, high=TIME_BUCKETS_MAX),
        attention=(
            None if attention is None else Attention.read(attention, f"{reader.where}.attention", clusters=False)
        ),
    )


def check_match(sequence: SimHardSequence, groups: Mapping[str, tuple[Feature, ...]], where: str) -> None:
    """Refuse a match of what are not ids of one table."""
    tables = []
    for group, name in (("event", sequence.match_event), ("candidate", sequence.match_candidate)):
        found = next((feature for feature in groups[group] if feature.name == name), None)
        if found is None or found.kind != "id":
            kind = f"one of kind {found.kind}" if found else "none of this name"
            raise ConfigError(f"{where}.match.{group}: expected a feature {quote(name)} of kind id, found {kind}")
        tables.append(found.table)
    if tables[0] != tables[1]:
        found_tables = " and ".join(quote(table) for table in tables)
        raise ConfigError(f"{where}.match: expected features of one table, found {found_tables}")
