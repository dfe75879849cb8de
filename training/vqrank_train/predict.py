"""Exact inference of one request: what the runtime is compared with, in any dtype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqrank_train.config import Config, Feature, Table
from vqrank_train.model import Ranker
from vqrank_train.model.din import Din

REQUEST_KEYS = {"id", "time", "user", "context", "events", "candidates"}
EVENT_RANGE = 4096.0  # magnitude of an event's float after normalisation


class RequestError(ValueError):
    """A request that the specification refuses; `code` is the kind: type, unknown, missing or range."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Prediction:
    """Answer to one request. Assignments and margins are [N, L]: cluster of every event, best minus second score."""

    outputs: dict[str, list[float]]
    assignments: dict[str, Tensor] = field(default_factory=dict)
    margins: dict[str, Tensor] = field(default_factory=dict)
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

    def number(self, feature: Feature, value: Any, where: str, limit: float) -> float:
        """(v - mean) / std in double, rounded once to fp32; 0 when absent."""
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RequestError("type", f"{where}: expected a number, found {value!r}")
        with np.errstate(over="ignore"):
            rounded = float(np.float32((float(value) - feature.mean) / feature.std))
        if not math.isfinite(rounded) or abs(rounded) > limit:
            raise RequestError("range", f"{where}: {value!r} is out of range")
        return rounded

    def columns(self, group: str, values: list[Any], where: str) -> dict[str, Tensor]:
        """Objects of a group, one per event, candidate or user -> a column [len(values)] per feature."""
        features = self.config.groups[group]
        names = {feature.name for feature in features}
        for i, value in enumerate(values):
            if not isinstance(value, dict):
                raise RequestError("type", f"{where}[{i}]: expected an object, found {value!r}")
            for key in value:
                if key not in names:
                    raise RequestError("unknown", f"{where}[{i}]: unknown key {key!r}")
        columns = {}
        limit = EVENT_RANGE if group == "event" else math.inf
        for feature in features:
            cells = [(value.get(feature.name), f"{where}[{i}].{feature.name}") for i, value in enumerate(values)]
            if feature.kind == "id":
                rows = [self.row(feature.table, cell, place) for cell, place in cells]
                columns[feature.name] = torch.tensor(rows, dtype=torch.long)
            elif feature.kind == "float":
                numbers = [self.number(feature, cell, place, limit) for cell, place in cells]
                columns[feature.name] = torch.tensor(numbers, dtype=torch.float64)
            else:
                for cell, place in cells:
                    if cell is not None and (isinstance(cell, bool) or not isinstance(cell, int)):
                        raise RequestError("type", f"{place}: expected integer seconds, found {cell!r}")
        return columns


def part(request: Mapping[str, Any], key: str, kind: type) -> Any:
    """A member of the request, empty when absent."""
    value = request.get(key, kind())
    if not isinstance(value, kind):
        raise RequestError("type", f"{key}: expected {kind.__name__}, found {value!r}")
    return value


@torch.no_grad()
def predict(module: Ranker, request: dict[str, Any], assignments: Mapping[str, Tensor] | None = None) -> Prediction:
    """Score one request (a parsed JSON object) exactly as inference is specified, in the module's dtype.

    `assignments`, per sequence [N, L], force the clusters; margins still tell the module's own scores.
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
    u, x = module.embed("user", columns["user"], (1,)), module.embed("context", columns["context"], (1,))
    t = module.embed("candidate", columns["candidate"], (len(candidates),))[None]  # [1, C, Dc]
    e = module.embed("event", columns["event"], (len(events),))  # [L, D]

    prediction = Prediction({}, unknown=encoder.unknown)
    interests = []
    for sequence in module.config.sequences:
        dmqn = module.sequences[sequence.name]
        if isinstance(dmqn, Din):
            latest = e[None, -dmqn.sequence.last :]
            interests.append(dmqn(latest, torch.ones(latest.shape[:2], dtype=torch.bool, device=e.device), t))
            continue
        scores = dmqn.scores(e)  # [N, L, W]
        own = scores.argmax(-1)  # the first of equals
        if dmqn.sequence.codewords > 1:
            best = scores.topk(2, dim=-1).values
            prediction.margins[sequence.name] = best[..., 0] - best[..., 1]
        else:
            prediction.margins[sequence.name] = torch.full(own.shape, math.inf, dtype=scores.dtype)
        clusters = own if assignments is None else assignments[sequence.name].to(torch.long)
        if clusters.shape != own.shape:
            raise ValueError(
                f"assignments of {sequence.name}: expected {list(own.shape)}, found {list(clusters.shape)}"
            )
        prediction.assignments[sequence.name] = clusters
        sums, counts = dmqn.sums(e, clusters)
        interests.append(dmqn.attention(dmqn.interests(sums[None], counts[None]), t))
    scores = torch.sigmoid(module.logits(u, x, t, interests))[0]  # [C, outputs]
    prediction.outputs = {name: scores[:, i].tolist() for i, name in enumerate(module.config.head.outputs)}
    return prediction
