"""Exact inference of one request: what the runtime is compared with, in any dtype."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from vqrank_train.config import Config, Feature, Table, WindowSequence
from vqrank_train.model import Ranker
from vqrank_train.model.din import Din
from vqrank_train.model.dmqn import Dmqn
from vqrank_train.model.hstu_events import HstuEvents
from vqrank_train.model.ranker import Columns
from vqrank_train.model.sdim import Sdim
from vqrank_train.model.search import SimHard, Twin
from vqrank_train.model.vql import Vql

REQUEST_KEYS = {"id", "time", "user", "context", "events", "candidates"}
EVENT_RANGE = 4096.0  # magnitude of an event's float after normalisation, or of a vector's number
# What exact sums of events hold of one number e: |e 2^s| <= 2^30, with s as the table's largest magnitude allows and
# within the powers of two that scale float32; sums of ids have room for 2^8 times that magnitude.
SUM_LIMIT_LOG2 = 30
POOLED_SUM_LOG2 = 8
EXPONENT_MIN, EXPONENT_MAX = -98, 120


class RequestError(ValueError):
    """A request that the specification refuses; `code` is the kind: type, unknown, missing, range or overflow."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Prediction:
    """Answer to one request. Assignments and margins are [N, L]: cluster of every event, best minus second score; of
    sdim its code by each hash function, and how near to 0 the nearest of its projections lies. Choices tell the same of
    candidates: of sdim [G, C], of twin [A, C] by how much the least score kept is above the largest left out."""

    outputs: dict[str, list[float]]
    assignments: dict[str, Tensor] = field(default_factory=dict)
    margins: dict[str, Tensor] = field(default_factory=dict)
    choices: dict[str, Tensor] = field(default_factory=dict)
    unknown: int = 0  # ids that went to row 0 because their table does not hold them


class Encoder:
    """JSON values -> columns of rows and numbers, with the type rules of the specification."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.keys = {
            name: {key: row for row, key in enumerate(table.keys, 1)}
            for name, table in config.tables.items()
            if table.ids == "vocabulary"
        }
        self.unknown = 0

    def row(self, name: str, value: Any, where: str) -> int:
        """Row of an id; row 0 when absent or unknown."""
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise RequestError("type", f"{where}: expected an integer or a string, found {value!r}")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise RequestError("range", f"{where}: {value} is not a 64-bit integer")
        table: Table = self.config.tables[name]
        if table.ids == "hash":
            data = struct.pack("<q", value) if isinstance(value, int) else value.encode()
            return 1 + xxhash.xxh3_64_intdigest(data, seed=0) % (table.rows - 1)
        if table.ids == "vocabulary":
            row = self.keys[name].get(value, 0)
            self.unknown += row == 0
            return row
        if isinstance(value, str):
            raise RequestError("type", f"{where}: expected an integer, found {value!r}")
        if 0 <= value < table.rows:
            return value
        self.unknown += 1
        return 0

    def rows(self, name: str, value: Any, where: str) -> list[int]:
        """Rows of a list of ids, none when absent."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise RequestError("type", f"{where}: expected an array of ids, found {value!r}")
        for i, element in enumerate(value):
            if element is None:
                raise RequestError("type", f"{where}[{i}]: expected an integer or a string, found null")
        return [self.row(name, element, f"{where}[{i}]") for i, element in enumerate(value)]

    def number(self, feature: Feature, value: Any, where: str, limit: float) -> float:
        """(v - mean) / std in double, rounded once to fp32; 0 when absent."""
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RequestError("type", f"{where}: expected a number, found {value!r}")
        try:
            with np.errstate(over="ignore"):
                rounded = float(np.float32((float(value) - feature.mean) / feature.std))
        except OverflowError:  # an integer beyond double
            rounded = math.inf
        if not math.isfinite(rounded) or abs(rounded) > limit:
            raise RequestError("range", f"{where}: {value!r} is out of range")
        return rounded

    def vector(self, feature: Feature, value: Any, where: str, limit: float) -> list[float]:
        """`dim` numbers, each rounded once to fp32; when absent zeros, or of a semantic id NaN."""
        if value is None:
            return [0.0 if feature.kind == "vector" else math.nan] * feature.dim
        if not isinstance(value, list) or len(value) != feature.dim:
            found = f"{len(value)}" if isinstance(value, list) else repr(value)
            raise RequestError("type", f"{where}: expected an array of {feature.dim} numbers, found {found}")
        for i, element in enumerate(value):
            if element is None:
                raise RequestError("type", f"{where}[{i}]: expected a number, found null")
        return [self.number(feature, element, f"{where}[{i}]", limit) for i, element in enumerate(value)]

    def columns(self, group: str, values: list[Any], where: str) -> dict[str, Tensor]:
        """Objects of a group, one per event, candidate or user -> a column of len(values) rows per feature.

        What a column holds is said at `Columns` of the models.
        """
        features = self.config.groups[group]
        names = {feature.name for feature in features}
        for i, value in enumerate(values):
            if not isinstance(value, dict):
                raise RequestError("type", f"{where}[{i}]: expected an object, found {value!r}")
            for key in value:
                if key not in names:
                    raise RequestError("unknown", f"{where}[{i}]: unknown key {key!r}")
        columns = {}
        for feature in features:
            cells = [(value.get(feature.name), f"{where}[{i}].{feature.name}") for i, value in enumerate(values)]
            columns[feature.name] = self.column(feature, cells, EVENT_RANGE if group == "event" else math.inf)
        return columns

    def column(self, feature: Feature, cells: list[tuple[Any, str]], limit: float) -> Tensor:
        """One feature's values, each with its place for messages; numbers of at most `limit` in magnitude."""
        if feature.kind == "id":
            return torch.tensor([self.row(feature.table, cell, place) for cell, place in cells], dtype=torch.long)
        if feature.kind == "ids":
            lists = [torch.tensor(self.rows(feature.table, *cell), dtype=torch.long) for cell in cells]
            if not lists:
                return torch.zeros(0, 0, dtype=torch.long)
            return torch.nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=-1)
        if feature.kind == "float":
            numbers = [self.number(feature, cell, place, limit) for cell, place in cells]
            return torch.tensor(numbers, dtype=torch.float64)
        if feature.kind in ("vector", "semantic_id"):
            vectors = [self.vector(feature, cell, place, limit) for cell, place in cells]
            return torch.tensor(vectors, dtype=torch.float64).reshape(len(cells), feature.dim)
        for cell, place in cells:
            if cell is not None and (isinstance(cell, bool) or not isinstance(cell, int)):
                raise RequestError("type", f"{place}: expected integer seconds, found {cell!r}")
        return torch.tensor([cell or 0 for cell, _ in cells], dtype=torch.long)


def part(request: Mapping[str, Any], key: str, kind: type) -> Any:
    """A member of the request, empty when absent."""
    value = request.get(key, kind())
    if not isinstance(value, kind):
        raise RequestError("type", f"{key}: expected {kind.__name__}, found {value!r}")
    return value


def check_pooled_sums(module: Ranker, e: Tensor) -> None:
    """Refuse events e [L, D] whose sums of ids are larger than exact sums of events hold."""
    places = module.config.slices("event")
    for feature in module.config.groups["event"]:
        if feature.kind != "ids" or feature.pool != "sum":
            continue
        largest = module.tables[feature.table].weight.abs().max().item()
        if largest == 0.0:
            continue
        fraction, exponent = math.frexp(largest)  # the largest s with largest 2^s <= 2^30
        s = SUM_LIMIT_LOG2 - exponent + (fraction == 0.5)
        s = max(EXPONENT_MIN, min(EXPONENT_MAX, s) - POOLED_SUM_LOG2)
        beyond = (e[:, places[feature.name]].double() * 2.0**s).abs().amax(-1) > 2.0**SUM_LIMIT_LOG2
        if beyond.any():
            first = int(beyond.nonzero()[0])
            raise RequestError("range", f"events[{first}].{feature.name}: the sum of its rows is too large")


def latest(
    own: Din | SimHard | Twin | HstuEvents,
    e: Tensor,
    t: Tensor,
    columns: Mapping[str, Columns],
    times: list[int | None],
) -> Tensor:
    """Interest [1, C, width] in the last events of e [L, D]: the later in the list, the more recent. `columns` are
    those of every group, `times` the events'."""
    sequence: WindowSequence = own.sequence
    last = e[None, -sequence.last :]
    present = torch.ones(last.shape[:2], dtype=torch.bool, device=e.device)
    if isinstance(own, HstuEvents):
        return own(last, present, t, known_times(times[-sequence.last :])[None])
    if isinstance(own, Din):
        return own(last, present, t)
    within = present[:, None].expand(-1, t.shape[1], -1)
    if isinstance(own, Twin):
        return own(last, within, t)
    category = columns["event"][own.sequence.match_event][None, -sequence.last :]
    return own(last, within, t, category, columns["candidate"][own.sequence.match_candidate][None])


def known_times(times: list[int | None]) -> Tensor:
    """Times [T] of events, of those without one the latest, or any where no event has one."""
    latest = max((time for time in times if time is not None), default=0)
    return torch.tensor([latest if time is None else time for time in times], dtype=torch.long)


def best(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Scores [..., W] -> the cluster of the largest, the first of equals, and how much larger than the second it is."""
    clusters = scores.argmax(-1)
    if scores.shape[-1] == 1:
        return clusters, torch.full(clusters.shape, math.inf, dtype=scores.dtype)
    two = scores.topk(2, dim=-1).values
    return clusters, two[..., 0] - two[..., 1]


def assign(own: Dmqn | Vql | Sdim, e: Tensor) -> tuple[Tensor, Tensor]:
    """Events e [L, D] -> their clusters and how much better these are than the second best, [N, L] each."""
    if isinstance(own, Dmqn):
        return best(own.scores(e))
    if isinstance(own, Sdim):
        return own.codes(e).mT, own.projections(e).abs().amin(-1).mT
    clusters, margins = zip(*(best(scores) for scores in own.scores(e)), strict=True)
    return torch.stack(clusters), torch.stack(margins)


def event_times(config: Config, events: list[dict[str, Any]]) -> list[int | None]:
    """Unix seconds of every event, None where it has none."""
    name = next((feature.name for feature in config.groups["event"] if feature.kind == "time"), None)
    return [None if name is None else event.get(name) for event in events]


@torch.no_grad()
def predict(
    module: Ranker,
    request: dict[str, Any],
    assignments: Mapping[str, Tensor] | None = None,
    codes: Mapping[tuple[str, str], Tensor] | None = None,
) -> Prediction:
    """Score one request (a parsed JSON object) exactly as inference is specified, in the module's dtype.

    `assignments`, per sequence of kind dmqn, vql or sdim [N, L], force the clusters; margins still tell the module's
    own scores. `codes`, by group and name of a semantic_id [rows, Q], force its codes.
    Raises RequestError for a request that the specification refuses.
    """
    for key in request:
        if key not in REQUEST_KEYS:
            raise RequestError("unknown", f"unknown key {key!r}")
    if "candidates" not in request or "id" not in request:
        raise RequestError("missing", "id and candidates are required")
    encoder = Encoder(module.config)
    events, candidates = part(request, "events", list), part(request, "candidates", list)
    columns = {
        "user": encoder.columns("user", [part(request, "user", dict)], "user"),
        "context": encoder.columns("context", [part(request, "context", dict)], "context"),
        "event": encoder.columns("event", events, "events"),
        "candidate": encoder.columns("candidate", candidates, "candidates"),
    }
    for (group, name), forced_codes in (codes or {}).items():
        absent = columns[group][name].isnan().any(-1, keepdim=True)
        columns[group][name] = torch.where(absent, 0, forced_codes.to(torch.long) + 1)
    u, x = module.embed("user", columns["user"], (1,)), module.embed("context", columns["context"], (1,))
    t = module.embed("candidate", columns["candidate"], (len(candidates),))[None]  # [1, C, Dc]
    e = module.embed("event", columns["event"], (len(events),))  # [L, D]

    check_pooled_sums(module, e)

    times = event_times(module.config, events)
    prediction = Prediction({}, unknown=encoder.unknown)
    interests = []
    for sequence in module.config.sequences:
        own = module.sequences[sequence.name]
        if isinstance(own, Din | SimHard | Twin | HstuEvents):
            interests.append(latest(own, e, t, columns, times))
            if isinstance(own, Twin):
                prediction.choices[sequence.name] = own.margins(e[None, -own.sequence.last :], t)[0]
            continue
        clusters, prediction.margins[sequence.name] = assign(own, e)
        if assignments is not None:
            forced = assignments[sequence.name].to(torch.long)
            if forced.shape != clusters.shape:
                raise ValueError(
                    f"assignments of {sequence.name}: expected {list(clusters.shape)}, found {list(forced.shape)}"
                )
            clusters = forced
        prediction.assignments[sequence.name] = clusters
        if isinstance(own, Sdim):
            interests.append(own.interest(own.sums(e, clusters.mT)[None], t))
            prediction.choices[sequence.name] = own.projections(own.sdim.q(t[0])).abs().amin(-1).mT
            continue
        if isinstance(own, Vql):
            interests.append(own.over_events(e, list(clusters), times, request.get("time"), t))
            continue
        sums, counts = own.sums(e, clusters)
        interests.append(own.attention(own.interests(sums[None], counts[None]), t))
    logits = module.logits(u, x, t, interests)[0]  # [C, outputs]
    if not torch.isfinite(logits).all():
        raise RequestError("overflow", "an output is not finite")
    scores = torch.sigmoid(logits)
    prediction.outputs = {name: scores[:, i].tolist() for i, name in enumerate(module.config.head.outputs)}
    return prediction
