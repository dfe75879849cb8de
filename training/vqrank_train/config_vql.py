"""Sequences of kind vql: attention whose keys are quantised, with one codebook for each group of heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vqrank_train.config_reader import COUNT_MAX, ConfigError, Reader
from vqrank_train.errors import quote

HEADS_MAX, TERMS_MAX = 1024, 64


@dataclass(frozen=True)
class VqlGroup:
    """Heads that share a codebook of `codewords` W_g, in the order in which their keys are joined."""

    heads: tuple[int, ...]
    codewords: int


@dataclass(frozen=True)
class VqlSequence:
    """A = `heads` of key width d = `dim` and value width dv = `v_dim`; `decay_terms` R of the temporal kernel."""

    name: str
    heads: int
    dim: int
    v_dim: int
    groups: tuple[VqlGroup, ...]
    decay_terms: int = 0
    out: bool = False
    kind: Literal["vql"] = "vql"


def read_group(value: Any, where: str, heads: int) -> VqlGroup:
    """One group of the config's list."""
    reader = Reader(value, where)
    own = reader.take("heads", list)
    for head in own:
        if isinstance(head, bool) or not isinstance(head, int) or not 0 <= head < heads:
            raise ConfigError(f"{where}.heads: expected heads from 0 to {heads - 1}, found {quote(head)}")
    if not own:
        raise ConfigError(f"{where}.heads: expected at least one head, found none")
    found = VqlGroup(tuple(own), reader.count("codewords", 1, high=COUNT_MAX))
    reader.close()
    return found


def read_vql(name: str, reader: Reader) -> VqlSequence:
    """The rest of a sequence's config once its kind is known."""
    heads = reader.count("heads", 1, high=HEADS_MAX)
    dim, v_dim = reader.count("dim", 1, high=COUNT_MAX), reader.count("v_dim", 1, high=COUNT_MAX)
    listed = reader.take("groups", list)
    groups = tuple(read_group(g, f"{reader.where}.groups[{i}]", heads) for i, g in enumerate(listed))
    seen = sorted(head for group in groups for head in group.heads)
    if seen != list(range(heads)):
        raise ConfigError(
            f"{reader.where}.groups: expected every head from 0 to {heads - 1} in exactly one group, "
            f"found {quote(seen)}"
        )
    terms = reader.count("decay_terms", 0, 0, high=TERMS_MAX)
    return VqlSequence(name, heads, dim, v_dim, groups, terms, reader.take("out", bool, False))
