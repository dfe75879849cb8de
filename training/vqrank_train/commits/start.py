"""How a new model's parameters start: what training does not find by itself in a few passes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from vqrank_train.commits.data import NEGATIVES
from vqrank_train.config import Config
from vqrank_train.model import Ranker
from vqrank_train.model.attention import DotAttention
from vqrank_train.model.dmqn import Dmqn

SLOPES = (1.0, 6.0, 40.0, 250.0, 1500.0)  # of the head's first units
CONSTANT = (
    "action"  # the event feature whose first number starts as 1 for every event: tells a cluster from an empty one
)


@torch.no_grad()
def start(module: Ranker, plan: dict[str, Any]) -> None:
    """Set a new module's parameters by `plan`, the `start` part of a training config.

    Per sequence: `codebooks`, per codebook feature -> weight: what its clusters look at; and `heads`, per codebook and
    attention head: feature -> weight of its similarity in q.K, where the candidate's and the events' projections start
    equal, and `offset`, which all clusters that hold events get.
    """
    for name, table in module.config.tables.items():
        if name == CONSTANT:
            module.tables[name].weight[:, 0] = 1.0
        elif table.dim > 1:
            weight: Tensor = module.tables[name].weight
            weight /= weight.norm(dim=1, keepdim=True)
            weight[0] = 0.0
    for sequence in module.config.sequences:
        if sequence.kind == "dmqn":
            start_sequence(module.config, module.dmqn(sequence.name), plan[sequence.name])
    start_head(module)


def start_sequence(config: Config, dmqn: Dmqn, plan: dict[str, Any]) -> None:
    """One sequence's projection, codewords and attention."""
    events, candidates = config.slices("event"), config.slices("candidate")
    attention, d = dmqn.attention, dmqn.sequence.attention.dim
    assert isinstance(attention, DotAttention)
    constant = events[CONSTANT].start
    for j, weights in enumerate(plan["codebooks"]):
        dmqn.projection[j] = torch.diag(torch.ones(dmqn.projection.shape[1]))
        scale = torch.zeros(dmqn.projection.shape[1])
        for name, weight in weights.items():
            scale[events[name]] = weight
        circle = sorted(name for name in weights if is_phase(name))
        codebook = torch.randn_like(dmqn.codebook[j])
        w = dmqn.sequence.codewords - (dmqn.sequence.empty == "zero")
        if circle:  # positions: codewords at equal angles
            angle = 2 * math.pi * torch.arange(len(codebook)) / w
            codebook[:, events[circle[0]]] = angle.cos()[:, None]
            codebook[:, events[circle[1]]] = angle.sin()[:, None]
        codebook *= scale
        codebook[w:] = 0  # never or hardly ever the best: an empty cluster to attend to when nothing matches
        dmqn.codebook[j] = codebook
    for block in dmqn.blocks:
        if block.hstu.residual:
            block.f2.weight.zero_()  # starts as nothing beside the residual
    attention.q.weight.mul_(0.01)
    attention.k.weight.mul_(0.01)
    attention.v.weight.mul_(0.1)
    attention.v.weight[:, d - 1 :: d] = 0.0
    attention.v.weight[:, d - 1 :: d, constant] = 1.0
    for j, heads in enumerate(plan["heads"]):
        for h, weights in enumerate(heads):
            rows = slice(h * d, (h + 1) * d)
            for name, weight in weights.items():
                if name == "offset":
                    attention.q.bias[j, rows][d - 1] = math.sqrt(d)
                    attention.k.weight[j, rows][d - 1, constant] = weight
                    continue
                basis = content_basis(d, events[name].stop - events[name].start)
                if is_phase(name):
                    basis = torch.zeros(d, 1)
                    basis[d - 2 if name.startswith("sin") else d - 3] = 1.0
                basis = basis * math.sqrt(weight * math.sqrt(d))
                attention.q.weight[j, rows, candidates[name]] = basis
                attention.k.weight[j, rows, events[name]] = basis


def start_head(module: Ranker) -> None:
    """Hidden units relu(1 - k m) of every attention head's matched mass m: together they see about ln m.

    m in [0, 1] is the share of a head's attention that falls on clusters that hold events; most are far below 1.
    """
    first, masses = module.layers[0], masses_of(module)
    module.layers[-1].bias.fill_(-math.log(NEGATIVES))  # the share of positives
    first.bias.zero_()
    for unit, (slope, mass) in enumerate(itertools.product(SLOPES, masses)):
        if unit < first.weight.shape[0]:
            first.weight[unit] *= 0.1
            first.weight[unit, mass] = -slope
            first.bias[unit] = 1.0


def masses_of(module: Ranker, after: int = 0) -> list[int]:
    """Places of the matched masses in the head's input, of the sequences from `after` on."""
    config = module.config
    masses: list[int] = []
    low = sum(config.width(group) for group in ("user", "context", "candidate"))
    for i, sequence in enumerate(config.sequences):
        d = sequence.attention.dim
        high = low + module.sequences[sequence.name].width
        if i >= after:
            masses += range(low + d - 1, high, d)
        low = high
    return masses


@torch.no_grad()
def widen_head(module: Ranker, sequences: int, units: int) -> None:
    """The head for a model grown from one with so many `sequences` and `units` in the first layer.

    Old units do not see the new sequences; new units start on their matched masses, and without a say.
    """
    first, masses = module.layers[0], masses_of(module, sequences)
    d = module.config.sequences[sequences].attention.dim
    first.weight[:units, masses[0] - d + 1 :] = 0.0
    slopes = sorted({*SLOPES, *(2.5 * slope for slope in SLOPES)})
    for unit, (slope, mass) in zip(range(units, len(first.weight)), itertools.product(slopes, masses), strict=False):
        first.weight[unit] *= 0.1
        first.weight[unit, mass] = -slope
        first.bias[unit] = 1.0
    module.layers[1].weight[:, units:] = 0.0


def is_phase(name: str) -> bool:
    """Whether a feature is a coordinate of the position in the history."""
    return name[:3] in ("sin", "cos")


def content_basis(d: int, width: int) -> Tensor:
    """[d, width], columns near orthonormal, in the first d - 3 rows: the others are for positions and the offset."""
    rows = max(d - 3, 1)
    basis = torch.zeros(d, width)
    orthogonal = torch.linalg.qr(torch.randn(max(rows, width), max(rows, width)))[0]
    basis[:rows] = orthogonal[:rows, :width] * max(1.0, width / rows) ** 0.5
    return basis
