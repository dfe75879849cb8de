"""The whole model: tables, sequences and the head on top."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from vqrank_train.config import (
    Config,
    DmqnSequence,
    Feature,
    HstuSequence,
    SdimSequence,
    Sequence,
    SimHardSequence,
    TwinSequence,
    VqlSequence,
)
from vqrank_train.model.activations import activate, add_activation
from vqrank_train.model.attention import start_matching
from vqrank_train.model.din import Din
from vqrank_train.model.dmqn import Dmqn
from vqrank_train.model.hstu_events import HstuEvents
from vqrank_train.model.layers import Named
from vqrank_train.model.quantizer import ResidualQuantizer
from vqrank_train.model.sdim import Sdim, start_sdim
from vqrank_train.model.search import SimHard, Twin
from vqrank_train.model.vql import Vql

# A group's inputs of shape [...] by feature name: rows [...] (int64) for id, rows [..., K] with -1 for no id for ids,
# normalised numbers [...] for float, numbers [..., dim] for vector and semantic_id (NaN where absent), or in
# place of the latter rows [..., Q] (int64) of the levels' tables, made before.
Columns = Mapping[str, Tensor]
SequenceModule = Dmqn | Din | Vql | Sdim | SimHard | Twin | HstuEvents


class Table(nn.Module):
    """weight [rows, dim]; row 0 is the unknown row."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, dim) / dim**0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """rows [...] int64 -> [..., dim]"""
        return nn.functional.embedding(rows, self.weight)

    def pooled(self, rows: Tensor, pool: str) -> Tensor:
        """rows [..., K] int64, -1 where a list is shorter than K -> sum or mean of each list's rows, [..., dim]."""
        present = rows >= 0
        total = (self(rows.clamp(min=0)) * present[..., None]).sum(-2)
        return total / present.sum(-1, keepdim=True).clamp(min=1) if pool == "mean" else total


class Ranker(nn.Module):
    """A model as section 7 of the specification describes it: `state_dict()` has exactly a checkpoint's names.

    Two widths are the checkpoint's and not the config's: HSTU bias heads (1 or H) and the attention's output Do.
    They come from `shapes`, tensor shapes by name, when a checkpoint is loaded; else `bias_per_head` and A d.
    """

    def __init__(
        self, config: Config, *, shapes: Mapping[str, tuple[int, ...]] | None = None, bias_per_head: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        shapes = shapes or {}
        self.tables = Named({name: Table(table.rows, table.dim) for name, table in config.tables.items()})
        self.quantizers = Named({name: ResidualQuantizer(own) for name, own in config.quantizers.items()})
        sequences: dict[str, SequenceModule] = {
            sequence.name: self.sequence_module(sequence, shapes, bias_per_head) for sequence in config.sequences
        }
        self.sequences = Named(sequences)
        widths = [sum(config.width(group) for group in ("user", "context", "candidate"))]
        widths[0] += sum(module.width for module in sequences.values())
        widths += [*config.head.hidden, len(config.head.outputs)]
        self.head = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        for layer, width in zip(self.head, config.head.hidden, strict=False):
            add_activation(layer, config.head.activation, (width,))

    def sequence_module(
        self, sequence: Sequence, shapes: Mapping[str, tuple[int, ...]], bias_per_head: bool
    ) -> SequenceModule:
        """The module of one sequence; see the class on `shapes`."""
        prefix = f"sequences.{sequence.name}"
        shapes = {name: shape for name, shape in shapes.items() if len(shape) > 1}  # the others fit nothing below
        event, candidate = self.config.width("event"), self.config.width("candidate")
        part = "vql" if isinstance(sequence, VqlSequence) else "attention"
        out_shape = shapes.get(f"{prefix}.{part}.out.weight")
        out_width = out_shape[-2] if out_shape else None
        if isinstance(sequence, DmqnSequence):
            default = (0, sequence.hstu.heads if bias_per_head else 1)
            bias_heads = [
                (shapes.get(f"{prefix}.hstu.{layer}.bias") or default)[1] for layer in range(sequence.hstu.layers)
            ]
            return Dmqn(sequence, event, candidate, bias_heads, out_width)
        if isinstance(sequence, VqlSequence):
            return Vql(sequence, event, candidate, out_width)
        pairs = self.config.matching_features()
        if isinstance(sequence, SdimSequence):
            sdim = Sdim(sequence, event, candidate)
            start_sdim(sdim, pairs)
            return sdim
        own: Din | SimHard | Twin | HstuEvents
        if isinstance(sequence, SimHardSequence):
            own = SimHard(sequence, event, candidate, out_width)
        elif isinstance(sequence, TwinSequence):
            own = Twin(sequence, event, candidate, out_width)
        elif isinstance(sequence, HstuSequence):
            own = HstuEvents(sequence, event, candidate, out_width)
        else:
            own = Din(sequence, event, candidate, out_width)
        if own.attention is not None:
            start_matching(own.attention, pairs)
        return own

    def dmqn(self, name: str) -> Dmqn:
        """The module of a sequence that is of kind dmqn."""
        module = self.sequences[name]
        assert isinstance(module, Dmqn)
        return module

    @property
    def layers(self) -> list[nn.Linear]:
        """The modules of `head`, with their class known to a type checker."""
        return cast(list[nn.Linear], list(self.head))

    @property
    def dtype(self) -> torch.dtype:
        """dtype of every parameter."""
        return self.layers[0].weight.dtype

    def semantic_id(self, feature: Feature, column: Tensor) -> Tensor:
        """Vectors [..., n], or rows [..., Q] made before -> the levels' rows, side by side or summed, [..., width]."""
        rows = self.quantizers[feature.quantizer].rows(column) if column.is_floating_point() else column
        parts = [self.tables[name](rows[..., level]) for level, name in enumerate(feature.tables)]
        return torch.cat(parts, -1) if feature.combine == "concat" else torch.stack(parts).sum(0)

    def embed(self, group: str, columns: Columns, shape: tuple[int, ...]) -> Tensor:
        """Inputs of `shape` [...] each -> the group's embedding [..., width], features in the config's order."""
        parts = []
        for feature in self.config.groups[group]:
            if feature.kind == "id":
                parts.append(self.tables[feature.table](columns[feature.name]))
            elif feature.kind == "ids":
                parts.append(self.tables[feature.table].pooled(columns[feature.name], feature.pool))
            elif feature.kind == "semantic_id":
                parts.append(self.semantic_id(feature, columns[feature.name]))
            elif feature.kind == "vector":
                parts.append(columns[feature.name].to(self.dtype))
            elif feature.kind == "float":
                parts.append(columns[feature.name].to(self.dtype)[..., None])
        if not parts:
            return torch.zeros(*shape, 0, dtype=self.dtype, device=self.layers[0].weight.device)
        return torch.cat(parts, -1)

    def logits(self, u: Tensor, x: Tensor, t: Tensor, interests: list[Tensor], asked: Tensor | None = None) -> Tensor:
        """u, x [B, width], t [B, C, Dc], interests [B, C, width] each -> logits [B, C, outputs] before the sigmoid.

        `asked`, bool [B, C], tells candidates that count in dice's statistics, where some are padding; default: all.
        """
        candidates = t.shape[1]
        parts = [u[:, None].expand(-1, candidates, -1), x[:, None].expand(-1, candidates, -1), t, *interests]
        y = torch.cat(parts, -1)
        *hidden, last = self.layers
        for layer in hidden:
            y = activate(layer, self.config.head.activation, layer(y), asked)
        return last(y)
