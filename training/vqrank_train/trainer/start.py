"""How a new model's parameters start: what training does not find by itself in a few passes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vqrank_train.config import Config, DinSequence, VqlSequence
from vqrank_train.model import Ranker
from vqrank_train.model.attention import DotAttention
from vqrank_train.model.dmqn import Dmqn
from vqrank_train.model.vql import Vql
from vqrank_train.trainer.plan import CONSTANT, DIRECTIONS, OFFSET, RESERVED, check_plan, phases

SLOPES = (1.0, 6.0, 40.0, 250.0, 1500.0)  # of the head's first units on matched masses
SAY = 1.0  # logit that the head's first guess adds when everything matches
NEAR = (0.9, 0.7, 0.4)  # distances, 1 for an unrelated answer, under which the head's second units speak up


@dataclass
class Place:
    """Where a sequence and its attention lie: `low` is the start of its interest in the head's input."""

    index: int
    name: str
    low: int
    heads: int
    dim: int
    matching: bool  # one attention over events: values are contents; else clusters: the last value is a matched mass


@torch.no_grad()
def start(module: Ranker, plan: dict[str, Any], share: float) -> None:
    """Set a new module's parameters by `plan`, the `start` part of a training config; `share` of labels is positive.

    `tables`: the length of every row, 1 unless told. `head`: `matches` (unless told) starts it as a first guess from
    what attention says about matches, `plain` leaves it random. `quantizers`: files, which `read_quantizers` reads.
    Per sequence of kind dmqn: `codebooks`, per codebook feature -> weight: what its clusters look at. Per sequence
    `heads`, per codebook (where there are any) and attention head: feature -> weight of its similarity in q.K, where
    the candidate's and the events' projections start equal, and `offset`, which all clusters that hold events get.
    Raises ConfigError for anything else.
    """
    check_plan(module.config, plan)
    for name, table in module.config.tables.items():
        if name == CONSTANT:
            module.tables[name].weight[:, 0] = 1.0
        elif table.dim > 1:
            weight: Tensor = module.tables[name].weight
            weight *= plan.get("tables", 1.0) / weight.norm(dim=1, keepdim=True)
            weight[0] = 0.0
    bases = {}
    for sequence in module.config.sequences:
        own = module.sequences[sequence.name]
        if isinstance(own, Vql):
            start_keys(module.config, own, plan[sequence.name]["heads"])
            continue
        assert isinstance(own.attention, DotAttention)
        if isinstance(own, Dmqn):
            start_clusters(module.config, own, plan[sequence.name]["codebooks"])
            start_attention(module.config, own.attention, plan[sequence.name]["heads"])
        else:
            bases[sequence.name] = start_attention(module.config, own.attention, plan[sequence.name]["heads"])
    module.layers[-1].bias.fill_(math.log(share / (1 - share)))
    if plan.get("head", "matches") == "matches":
        start_head(module, bases)


def start_clusters(config: Config, dmqn: Dmqn, plan: list[dict[str, float]]) -> None:
    """One sequence's projection, codewords and HSTU."""
    events = config.slices("event")
    for j, weights in enumerate(plan):
        dmqn.projection[j] = torch.diag(torch.ones(dmqn.projection.shape[1]))
        scale = torch.zeros(dmqn.projection.shape[1])
        for name, weight in weights.items():
            scale[events[name]] = weight
        circle = sorted(phases(config) & weights.keys())
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


def start_keys(config: Config, vql: Vql, plan: list[dict[str, float]]) -> None:
    """A vql sequence's projections: per head the features whose similarity q.k starts as."""
    events, candidates, d = config.slices("event"), config.slices("candidate"), vql.sequence.dim
    vql.vql.q.weight.mul_(0.01)
    vql.vql.k.weight.mul_(0.01)
    for h, weights in enumerate(plan):
        rows = slice(h * d, (h + 1) * d)
        for name, weight in weights.items():
            width = events[name].stop - events[name].start
            basis = torch.linalg.qr(torch.randn(max(d, width), max(d, width)))[0][:d, :width]
            basis = basis * max(1.0, width / d) ** 0.5 * math.sqrt(weight * math.sqrt(d))
            vql.vql.q.weight[rows, candidates[name]] = basis
            vql.vql.k.weight[rows, events[name]] = basis


def start_attention(config: Config, attention: DotAttention, plan: list[Any]) -> list[tuple[str, Tensor]]:
    """One sequence's projections. For a din sequence: per head the feature that it matches and the basis [d, width]
    by which its answer holds that feature of the events."""
    events, candidates = config.slices("event"), config.slices("candidate")
    d, clusters, positions = attention.attention.dim, attention.q.weight.dim() == 3, phases(config)
    attention.q.weight.mul_(0.01)
    attention.k.weight.mul_(0.01)
    attention.v.weight.mul_(0.1)
    if clusters and CONSTANT in events:
        constant = events[CONSTANT].start
        attention.v.weight[:, d - 1 :: d] = 0.0
        attention.v.weight[:, d - 1 :: d, constant] = 1.0
    bases = []
    for j, heads in enumerate(plan if clusters else [plan]):
        q, q_bias, k, v = (
            parameter[j] if clusters else parameter
            for parameter in (attention.q.weight, attention.q.bias, attention.k.weight, attention.v.weight)
        )
        for h, weights in enumerate(heads):
            rows = slice(h * d, (h + 1) * d)
            for name, weight in weights.items():
                if name == OFFSET:
                    q_bias[rows][d - 1] = math.sqrt(d)
                    k[rows][d - 1, constant] = weight
                    continue
                basis = content_basis(d, events[name].stop - events[name].start)
                if name in positions:
                    basis = torch.zeros(d, 1)
                    basis[d - 2 if name.startswith("sin") else d - 3] = 1.0
                if not clusters:
                    v[rows, events[name]] = basis
                    bases += [] if name in positions else [(name, basis)]
                basis = basis * math.sqrt(weight * math.sqrt(d))
                q[rows, candidates[name]] = basis
                k[rows, events[name]] = basis
    return bases


def start_head(module: Ranker, bases: dict[str, list[tuple[str, Tensor]]]) -> None:
    """First units on what the sequences' attention says about matches; the output adds up what they say.

    Of clusters: relu(1 - k m) of every attention head's matched mass m: together they see about ln m. m in [0, 1] is
    the share of a head's attention that falls on clusters that hold events; most are far below 1.
    Of events: every head's attention is all on events, so that whether they match is told by how far its answer is from
    the candidate's own feature: relu of both signs of the difference along DIRECTIONS, and second units
    relu(near - distance).
    """
    last = module.layers[-1]
    module.layers[0].bias.zero_()
    groups: list[tuple[list[int], float, list[float]]] = []  # units that fall with a match, their sum without, nears
    units = start_mass_units(module)
    groups += [(own, float(len(own)), [1.0]) for own in units]
    unit = sum(len(own) for own in units)
    for place in places(module):
        for h, (name, basis) in enumerate(bases.get(place.name, [])):
            if unit + 2 * DIRECTIONS > len(module.layers[0].weight):
                break
            low = place.low + h * place.dim
            own = start_distance_units(module, unit, slice(low, low + place.dim), name, basis)
            unit += len(own)
            # Along one direction the candidate's unit vector is about N(0, 1 / width): |.| is sqrt(2 / pi) of that.
            groups.append((own, DIRECTIONS * math.sqrt(2 / math.pi / basis.shape[1]), [*NEAR]))
    speaking = 0
    second = module.layers[1]
    for own, without, nears in groups:
        for near in nears:
            if speaking < len(second.weight):
                second.weight[speaking] *= 0.1
                second.weight[speaking, own] = -1.0 / without
                second.bias[speaking] = near
                last.weight[:, speaking] = SAY / sum(len(own) for _, _, own in groups)
                speaking += 1


def start_mass_units(module: Ranker) -> list[list[int]]:
    """First units on every matched mass; returns each mass's units."""
    first, masses = module.layers[0], masses_of(module)
    found: list[list[int]] = [[] for _ in masses]
    for unit, (slope, m) in enumerate(itertools.product(SLOPES, range(len(masses)))):
        if unit < len(first.weight):
            first.weight[unit] *= 0.1
            first.weight[unit, masses[m]] = -slope
            first.bias[unit] = 1.0
            found[m].append(unit)
    return [own for own in found if own]


def start_distance_units(module: Ranker, low: int, answer: slice, name: str, basis: Tensor) -> list[int]:
    """First units from `low` on: both signs of the difference of a head's answer and the candidate's feature."""
    first, candidates = module.layers[0], module.config.slices("candidate")
    before = sum(module.config.width(group) for group in ("user", "context"))
    content = slice(before + candidates[name].start, before + candidates[name].stop)
    unit = low
    for i, sign in itertools.product(range(DIRECTIONS), (1.0, -1.0)):
        first.weight[unit] = 0.0
        first.weight[unit, content] = sign * basis[i]
        first.weight[unit, answer][i] = -sign
        unit += 1
    return list(range(low, unit))


def places(module: Ranker) -> Iterator[Place]:
    """Every sequence's place in the head's input."""
    config = module.config
    low = sum(config.width(group) for group in ("user", "context", "candidate"))
    for i, sequence in enumerate(config.sequences):
        if not isinstance(sequence, VqlSequence):
            heads, dim = sequence.attention.heads, sequence.attention.dim
            yield Place(i, sequence.name, low, heads, dim, isinstance(sequence, DinSequence))
        low += module.sequences[sequence.name].width


def masses_of(module: Ranker, after: int = 0) -> list[int]:
    """Places of the matched masses in the head's input, of the dmqn sequences from `after` on."""
    return [
        mass
        for place in places(module)
        if place.index >= after and not place.matching
        for mass in range(place.low + place.dim - 1, place.low + module.sequences[place.name].width, place.dim)
    ]


@torch.no_grad()
def widen_head(module: Ranker, sequences: int, units: int) -> None:
    """The head for a model grown from one with so many `sequences` and `units` in the first layer.

    Old units do not see the new sequences; new units start on their matched masses, and without a say.
    """
    first, masses = module.layers[0], masses_of(module, sequences)
    grown = module.config.sequences[sequences]
    assert not isinstance(grown, VqlSequence)
    d = grown.attention.dim
    first.weight[:units, masses[0] - d + 1 :] = 0.0
    slopes = sorted({*SLOPES, *(2.5 * slope for slope in SLOPES)})
    for unit, (slope, mass) in zip(range(units, len(first.weight)), itertools.product(slopes, masses), strict=False):
        first.weight[unit] *= 0.1
        first.weight[unit, mass] = -slope
        first.bias[unit] = 1.0
    module.layers[1].weight[:, units:] = 0.0


def content_basis(d: int, width: int) -> Tensor:
    """[d, width], columns near orthonormal, in the rows before the RESERVED ones of positions and the offset."""
    rows = max(d - RESERVED, 1)
    basis = torch.zeros(d, width)
    orthogonal = torch.linalg.qr(torch.randn(max(rows, width), max(rows, width)))[0]
    basis[:rows] = orthogonal[:rows, :width] * max(1.0, width / rows) ** 0.5
    return basis
