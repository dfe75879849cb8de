"""How a new model's parameters start: what training does not find by itself in a few passes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vqrank_train.config import Config, DmqnSequence
from vqrank_train.model import Ranker
from vqrank_train.model.attention import DotAttention
from vqrank_train.model.dmqn import Dmqn
from vqrank_train.model.hstu_events import HstuEvents
from vqrank_train.model.sdim import Sdim
from vqrank_train.model.vql import Vql
from vqrank_train.trainer.plan import CONSTANT, DIRECTIONS, OFFSET, RESERVED, check_plan, phases

SLOPES = (1.0, 6.0, 40.0, 250.0, 1500.0)  # of the head's first units on matched masses
SAY = 1.0  # logit that the head's first guess adds when everything matches
NEAR = (0.9, 0.7, 0.4)  # distances, 1 for an unrelated answer, under which the head's second units speak up


@dataclass
class Answer:
    """Where a sequence's interest holds a feature of the events that match the candidate's."""

    feature: str
    low: int  # its first number in the head's input
    basis: Tensor  # [numbers, width]: the numbers are basis @ feature, `size` times as large
    size: float = 1.0


@torch.no_grad()
def start(module: Ranker, plan: dict[str, Any], share: float) -> None:
    """Set a new module's parameters by `plan`, the `start` part of a training config; `share` of labels is positive.

    `tables`: the length of every row, 1 unless told. `head`: `matches` (unless told) starts it as a first guess from
    what attention says about matches, `plain` leaves it random. `quantizers`: files, which `read_quantizers` reads. Per
    sequence of kind dmqn: `codebooks`, per codebook feature -> weight: what its clusters look at. Of kind sdim:
    `hashes`, feature -> weight: what a hash function looks at, and so on from the first where there are fewer than
    functions. Of every sequence with attention: `heads`, per codebook (where there are any) and attention head:
    feature -> weight of its similarity in q.K, where the candidate's and the events' projections start equal, and
    `offset`, which all clusters that hold events get. Raises ConfigError for anything else.
    """
    check_plan(module.config, plan)
    for name, table in module.config.tables.items():
        if name == CONSTANT:
            module.tables[name].weight[:, 0] = 1.0
        elif table.dim > 1:
            weight: Tensor = module.tables[name].weight
            weight *= plan.get("tables", 1.0) / weight.norm(dim=1, keepdim=True)
            weight[0] = 0.0
    answers: list[Answer] = []
    for low, sequence in zip(places(module), module.config.sequences, strict=True):
        own = module.sequences[sequence.name]
        if isinstance(own, Vql):
            answers += start_keys(module.config, own, plan[sequence.name]["heads"], low)
            continue
        if isinstance(own, Sdim):
            answers += start_hashes(module, own, plan[sequence.name]["hashes"], low)
            continue
        if isinstance(own, Dmqn):
            start_clusters(module.config, own, plan[sequence.name]["codebooks"])
        if isinstance(own, Dmqn | HstuEvents):
            start_blocks(own)
        if own.attention is not None:
            assert isinstance(own.attention, DotAttention)
            answers += start_attention(module.config, own.attention, plan[sequence.name]["heads"], low)
            if isinstance(own, HstuEvents) and own.sequence.scale == "sqrt":  # it sees events that much longer
                for part in (own.attention.k, own.attention.v):
                    part.weight.div_(math.sqrt(module.config.width("event")))
    module.layers[-1].bias.fill_(math.log(share / (1 - share)))
    if plan.get("head", "matches") == "matches":
        start_head(module, answers)


def start_clusters(config: Config, dmqn: Dmqn, plan: list[dict[str, float]]) -> None:
    """One sequence's projection and codewords."""
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


def start_blocks(own: Dmqn | HstuEvents) -> None:
    """HSTU of a sequence starts as nothing beside its residual."""
    for block in own.blocks:
        if block.hstu.residual:
            block.f2.weight.zero_()


def start_hashes(module: Ranker, own: Sdim, plan: list[dict[str, float]], low: int) -> list[Answer]:
    """A sdim sequence's directions, and the candidate's projection: the features that a hash function looks at."""
    config, sdim = module.config, own.sdim
    events, candidates = config.slices("event"), config.slices("candidate")
    directions = sdim.get_buffer("hash").unflatten(0, (own.sequence.hashes, own.sequence.bits))
    scale = torch.zeros(own.sequence.hashes, 1, own.width)
    sdim.q.weight.zero_()
    sdim.q.bias.zero_()
    names: dict[str, None] = {}  # in the plan's order
    for g in range(own.sequence.hashes):
        for name, weight in plan[g % len(plan)].items():
            scale[g, :, events[name]] = weight
            sdim.q.weight[events[name], candidates[name]] = torch.eye(events[name].stop - events[name].start)
            names[name] = None
    directions *= scale
    size = 1 / event_length(module)
    return [
        Answer(name, low + events[name].start, torch.eye(events[name].stop - events[name].start), size)
        for name in names
        if name not in phases(config)
    ]


def event_length(module: Ranker) -> float:
    """About the length of an event's embedding: rows of tables, and numbers of variance 1, or 1/2 of positions."""
    square = 0.0
    for feature in module.config.groups["event"]:
        if feature.table:
            square += module.tables[feature.table].weight[1:].square().sum(-1).mean().item()
        elif feature.kind == "float":
            square += 0.5 if feature.name in phases(module.config) else 1.0
    return math.sqrt(square)


def start_keys(config: Config, vql: Vql, plan: list[dict[str, float]], low: int) -> list[Answer]:
    """A vql sequence's projections: per head the features whose similarity q.k starts as, and its values' content."""
    events, candidates = config.slices("event"), config.slices("candidate")
    d, dv, answers = vql.sequence.dim, vql.sequence.v_dim, []
    vql.vql.q.weight.mul_(0.01)
    vql.vql.k.weight.mul_(0.01)
    vql.vql.v.weight.mul_(0.1)
    for h, weights in enumerate(plan):
        rows = slice(h * d, (h + 1) * d)
        for name, weight in weights.items():
            width = events[name].stop - events[name].start
            basis = orthogonal(d, width) * math.sqrt(weight * math.sqrt(d))
            vql.vql.q.weight[rows, candidates[name]] = basis
            vql.vql.k.weight[rows, events[name]] = basis
            content = orthogonal(dv, width)
            vql.vql.v.weight[h * dv : (h + 1) * dv, events[name]] = content
            answers += [] if name in phases(config) else [Answer(name, low + h * dv, content)]
    return [] if vql.sequence.out else answers  # `out` mixes what they say


def start_attention(config: Config, attention: DotAttention, plan: list[Any], low: int) -> list[Answer]:
    """One sequence's projections; its interest begins at `low`. Over events, not clusters: the features that its heads
    match, as their answers hold them."""
    events, candidates = config.slices("event"), config.slices("candidate")
    d, clusters, positions = attention.attention.dim, attention.q.weight.dim() == 3, phases(config)
    attention.q.weight.mul_(0.01)
    attention.k.weight.mul_(0.01)
    attention.v.weight.mul_(0.1)
    if clusters and CONSTANT in events:
        constant = events[CONSTANT].start
        attention.v.weight[:, d - 1 :: d] = 0.0
        attention.v.weight[:, d - 1 :: d, constant] = 1.0
    answers = []
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
                    answers += [] if name in positions else [Answer(name, low + h * d, basis)]
                basis = basis * math.sqrt(weight * math.sqrt(d))
                q[rows, candidates[name]] = basis
                k[rows, events[name]] = basis
    return answers


def start_head(module: Ranker, answers: list[Answer]) -> None:
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
    for answer in answers:
        if unit + 2 * DIRECTIONS > len(module.layers[0].weight):
            break
        own = start_distance_units(module, unit, answer)
        unit += len(own)
        # Along one direction the candidate's unit vector is about N(0, 1 / width): |.| is sqrt(2 / pi) of that.
        groups.append((own, DIRECTIONS * math.sqrt(2 / math.pi / answer.basis.shape[1]), [*NEAR]))
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


def start_distance_units(module: Ranker, low: int, answer: Answer) -> list[int]:
    """First units from `low` on: both signs of the difference of an answer and the candidate's feature."""
    first, candidates = module.layers[0], module.config.slices("candidate")
    before = sum(module.config.width(group) for group in ("user", "context"))
    place = candidates[answer.feature]
    content = slice(before + place.start, before + place.stop)
    unit = low
    for i, sign in itertools.product(range(DIRECTIONS), (1.0, -1.0)):
        first.weight[unit] = 0.0
        first.weight[unit, content] = sign * answer.basis[i]
        first.weight[unit, answer.low + i] = -sign / answer.size
        unit += 1
    return list(range(low, unit))


def places(module: Ranker) -> list[int]:
    """Where every sequence's interest begins in the head's input."""
    config = module.config
    low = sum(config.width(group) for group in ("user", "context", "candidate"))
    widths = [module.sequences[sequence.name].width for sequence in config.sequences]
    return list(itertools.accumulate(widths[:-1], initial=low))


def masses_of(module: Ranker, after: int = 0) -> list[int]:
    """Places of the matched masses in the head's input, of the dmqn sequences from `after` on: every head's last
    number."""
    found: list[int] = []
    for i, (low, sequence) in enumerate(zip(places(module), module.config.sequences, strict=True)):
        if i >= after and isinstance(sequence, DmqnSequence):
            dim = sequence.attention.dim
            found += range(low + dim - 1, low + module.sequences[sequence.name].width, dim)
    return found


@torch.no_grad()
def widen_head(module: Ranker, sequences: int, units: int) -> None:
    """The head for a model grown from one with so many `sequences` and `units` in the first layer.

    Old units do not see the new sequences; new units start on their matched masses, and without a say.
    """
    first, masses = module.layers[0], masses_of(module, sequences)
    grown = module.config.sequences[sequences]
    assert isinstance(grown, DmqnSequence)
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
    basis[:rows] = orthogonal(rows, width)
    return basis


def orthogonal(rows: int, width: int) -> Tensor:
    """[rows, width] of columns near orthonormal"""
    size = max(rows, width)
    return torch.linalg.qr(torch.randn(size, size))[0][:rows, :width] * max(1.0, width / rows) ** 0.5
