"""Quantizers of the config, and the features that read them: semantic ids (docs/model.md, section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vqrank_convert.errors import quote, refuse
from vqrank_convert.jsontext import Fields, check_array, check_name, check_object

if TYPE_CHECKING:
    from vqrank_convert.config import TableConfig

KINDS = ("rq_gmm", "rq_kmeans")
# What readers of the file accept.
LEVELS_MAX, CODES_MAX, DIM_MAX = 64, 1 << 20, 1 << 16


@dataclass(frozen=True)
class QuantizerConfig:
    """A residual quantizer: `levels` Q of `codes` K components each, over vectors of `dim` n numbers."""

    name: str
    kind: str
    levels: int
    codes: int
    dim: int

    @property
    def prefix(self) -> str:
        return f"quantizers.{self.name}"

    @property
    def scaled(self) -> bool:
        """Whether it has variances and weights."""
        return self.kind == "rq_gmm"


@dataclass(frozen=True)
class SemanticId:
    """What a feature of kind semantic_id has beyond others: its quantizer, one table per level and how their rows make
    one embedding ("concat" or "sum")."""

    quantizer: QuantizerConfig
    tables: tuple[str, ...]
    combine: str


def parse_quantizers(value: Any) -> dict[str, QuantizerConfig]:
    """config.quantizers, which may be empty."""
    entries = check_object(value, "config.quantizers")
    return {check_name(name, "config.quantizers"): _quantizer(name, entry) for name, entry in entries.items()}


def _quantizer(name: str, value: Any) -> QuantizerConfig:
    fields = Fields(value, f"config.quantizers.{name}")
    kind = fields.choice("kind", KINDS)
    levels = fields.integer("levels", 1, LEVELS_MAX)
    codes = fields.integer("codes", 1, CODES_MAX)
    dim = fields.integer("dim", 1, DIM_MAX)
    fields.finish()
    return QuantizerConfig(name, kind, levels, codes, dim)


def parse_semantic_id(
    fields: Fields, tables: Mapping[str, TableConfig], quantizers: Mapping[str, QuantizerConfig]
) -> tuple[SemanticId, int]:
    """The rest of a feature's config once its kind is known to be "semantic_id", and the width of its embedding."""
    name = fields.name("quantizer")
    if name not in quantizers:
        refuse(fields.where("quantizer"), "a quantizer of config.quantizers", quote(name))
    quantizer = quantizers[name]
    path = fields.where("tables")
    names = tuple(check_name(table, path) for table in check_array(fields.take("tables"), path))
    if len(names) != quantizer.levels:
        refuse(path, f"{quantizer.levels} tables, one per level of the quantizer", str(len(names)))
    combine = fields.choice("combine", ("concat", "sum"))
    for table in names:
        if table not in tables:
            refuse(path, "tables of config.tables", quote(table))
        if tables[table].ids != "direct" or tables[table].rows < quantizer.codes + 1:
            refuse(
                path,
                f'tables with "ids": "direct" and at least {quantizer.codes + 1} rows, one more than the codes',
                f"{quote(table)} with {quote(tables[table].ids)} and {tables[table].rows} rows",
            )
    dims = [tables[table].dim for table in names]
    if combine == "sum" and len(set(dims)) > 1:
        refuse(path, 'tables of equal dims, as "combine" is "sum"', f"dims {dims}")
    return SemanticId(quantizer, names, combine), sum(dims) if combine == "concat" else dims[0]
