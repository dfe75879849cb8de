"""Sequences that search the last events: of kind "sim_hard", by a feature's row, and of kind "twin", by score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vqrank_convert.config_named import OverEvents
from vqrank_convert.errors import quote, refuse
from vqrank_convert.jsontext import COUNT_MAX, Fields

if TYPE_CHECKING:
    from vqrank_convert.config_sequences import AttentionConfig, DotAttentionConfig


class Feature(Protocol):
    """What is asked here of a feature."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def table(self) -> str | None: ...


@dataclass(frozen=True)
class SimHardConfig(OverEvents):
    """A sequence of kind "sim_hard": target attention over the latest `top` of the last `last` events whose feature
    number `event` has the row that the candidate's feature number `candidate` has."""

    name: str
    last: int
    top: int
    event: int
    candidate: int
    attention: AttentionConfig

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.attention.width


@dataclass(frozen=True)
class TwinConfig(OverEvents):
    """A sequence of kind "twin": attention whose heads choose the `top` of the last `last` events that score highest in
    them."""

    name: str
    last: int
    top: int
    attention: DotAttentionConfig

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.attention.width


def parse_search(fields: Fields) -> tuple[int, int]:
    """`last` and `top`, which both kinds have."""
    last = fields.integer("last", 1, COUNT_MAX)
    return last, fields.integer("top", 1, last)


def parse_match(fields: Fields, groups: Mapping[str, Sequence[Feature]]) -> tuple[int, int]:
    """The numbers of the event's and the candidate's feature that `match` names: of kind id, with one table."""
    match = Fields(fields.take("match"), fields.where("match"))
    event, candidate = _match_feature(match, "event", groups), _match_feature(match, "candidate", groups)
    match.finish()
    tables = groups["event"][event].table, groups["candidate"][candidate].table
    if tables[0] != tables[1]:
        refuse(fields.where("match"), "two features of one table", f"tables {quote(tables[0])} and {quote(tables[1])}")
    return event, candidate


def _match_feature(match: Fields, group: str, groups: Mapping[str, Sequence[Feature]]) -> int:
    name = match.name(group)
    found = next((i for i, feature in enumerate(groups[group]) if feature.name == name), None)
    if found is None:
        refuse(match.where(group), f"a feature of config.{group}", quote(name))
    kind = groups[group][found].kind
    if kind != "id":
        refuse(match.where(group), "a feature of kind id", f"{quote(name)} of kind {kind}")
    return found
