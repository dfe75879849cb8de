"""Sequences of kind "vql": attention whose keys are quantised, with one codebook for each group of heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vqrank_convert.config_named import Named
from vqrank_convert.errors import quote, refuse
from vqrank_convert.jsontext import COUNT_MAX, Fields, check_array, check_integer

OUT_FROM_TENSOR = -1
# Far beyond any model; it keeps a mistaken config from asking for millions of tensors.
HEADS_MAX = 1024


@dataclass(frozen=True)
class VqlGroup:
    """Heads that share one codebook of `codewords` W_g, in the order in which their keys are joined."""

    heads: tuple[int, ...]
    codewords: int


@dataclass(frozen=True)
class VqlConfig(Named):
    """A sequence of kind "vql": A = heads of key width d = dim and value width dv = v_dim; the groups partition the
    heads. `decay_terms` is R; `out` is Do, 0 for no output projection, or OUT_FROM_TENSOR until `resolve_vql`."""

    name: str
    heads: int
    dim: int
    v_dim: int
    groups: tuple[VqlGroup, ...]
    decay_terms: int = 0
    out: int = 0

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.out or self.heads * self.v_dim

    @property
    def order(self) -> tuple[int, ...]:
        """The heads group by group."""
        return tuple(head for group in self.groups for head in group.heads)


def parse_vql(name: str, fields: Fields) -> VqlConfig:
    """The rest of a sequence's config once its kind is known to be "vql"."""
    heads = fields.integer("heads", 1, HEADS_MAX)
    dim, v_dim = fields.integer("dim", 1, COUNT_MAX), fields.integer("v_dim", 1, COUNT_MAX)
    path = fields.where("groups")
    values = check_array(fields.take("groups"), path)
    groups = tuple(_group(value, f"{path}[{i}]", heads) for i, value in enumerate(values))
    seen = sorted(head for group in groups for head in group.heads)
    if seen != list(range(heads)):
        refuse(path, f"every head from 0 to {heads - 1} in exactly one group", quote(seen))
    decay_terms = fields.integer("decay_terms", 0, 64, default=0)
    out = OUT_FROM_TENSOR if fields.boolean("out") else 0
    return VqlConfig(name, heads, dim, v_dim, groups, decay_terms, out)


def resolve_vql(sequence: VqlConfig, shapes: Mapping[str, Sequence[int]]) -> VqlConfig:
    """Fills in Do of a sequence with `"out": true` from its tensor."""
    if sequence.out != OUT_FROM_TENSOR:
        return sequence
    name = f"{sequence.prefix}.vql.out.weight"
    shape = shapes.get(name)
    if shape is None or len(shape) != 2 or shape[0] < 1:
        found = "none" if shape is None else f"shape {list(shape)}"
        refuse(f"tensor {name}", "shape [Do, heads * v_dim] with any Do", found)
    return replace(sequence, out=int(shape[0]))


def _group(value: Any, path: str, heads: int) -> VqlGroup:
    fields = Fields(value, path)
    listed = check_array(fields.take("heads"), fields.where("heads"))
    own = tuple(check_integer(head, f"{path}.heads[{i}]", 0, heads - 1) for i, head in enumerate(listed))
    if not own:
        refuse(f"{path}.heads", "at least one head", "none")
    codewords = fields.integer("codewords", 1, COUNT_MAX)
    fields.finish()
    return VqlGroup(own, codewords)
