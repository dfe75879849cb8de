"""The data set's columns in the form that a model's config asks for."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqrank_train.commits.data import ACTIONS, FEATURES, Commits
from vqrank_train.config import Config

PHASE = re.compile(r"(sin|cos)([1-9][0-9]*)")  # a float feature: sin or cos of 2 pi n / period


def phase(name: str, n: np.ndarray) -> np.ndarray:
    """Position n in a history as one coordinate on a circle: `name` is sin or cos and the period in events.

    Event n of a history (from 0) carries its own n, a candidate the number of events before it: how long ago an event
    was is the angle between them. An event's value never changes when events are appended.
    """
    found = PHASE.fullmatch(name)
    if not found:
        raise ValueError(f"float feature {name!r}: expected sinP or cosP with a period P in events")
    return getattr(np, found[1])(2 * math.pi * n / int(found[2]))


def fill_template(template: dict[str, Any], commits: Commits, before: int) -> dict[str, Any]:
    """A config file's tables get `rows` and, for vocabularies, `keys`: ids seen often enough before the split."""
    config = copy.deepcopy(template)
    for name, table in config["tables"].items():
        if name == "action":
            table["keys"] = [*ACTIONS.values()]
        elif table["ids"] == "vocabulary":
            table["keys"] = commits.known(name, before)
        else:
            table["rows"] = int(commits.event[name].max()) + 1
        if "keys" in table:
            table["rows"] = len(table["keys"]) + 1
    return config


class Inputs:
    """Rows and numbers of every event, candidate and context, per feature of a config."""

    def __init__(self, commits: Commits, config: Config, device: torch.device | str = "cpu") -> None:
        self.commits, self.config, self.device = commits, config, torch.device(device)
        position = np.arange(len(commits.event["time"])) - commits.start[commits.event["user"]]
        self.rows = {name: self.rows_of(name) for name in config.tables}
        self.events: dict[str, Tensor] = {}  # [events] each
        for feature in config.groups["event"]:
            if feature.kind == "id":
                rows = self.rows[feature.table][torch.from_numpy(commits.event[feature.name])]
                self.events[feature.name] = rows.to(device)
            elif feature.kind == "float":
                self.events[feature.name] = self.normalised(feature, phase(feature.name, position)).to(device)
        self.files = {
            feature.name: self.rows[feature.table][torch.from_numpy(commits.file[feature.name])].to(device)
            for feature in config.groups["candidate"]
            if feature.kind == "id" and feature.name in FEATURES
        }

    def rows_of(self, name: str) -> Tensor:
        """id -> row of a table, [largest id + 1]."""
        table, column = self.config.tables[name], self.commits.event[name]
        rows = torch.zeros(max(int(column.max()), *ACTIONS) + 1, dtype=torch.long)
        if table.ids == "direct":
            known = torch.arange(min(len(rows), table.rows))
            rows[known] = known
        else:
            codes = {text: code for code, text in ACTIONS.items()} if name == "action" else {}
            for row, key in enumerate(table.keys, 1):
                code = codes.get(str(key), key)
                if isinstance(code, str):
                    raise ValueError(f"table {name}: no id of the data set is {code!r}")
                rows[code] = row
        return rows

    @staticmethod
    def normalised(feature: Any, values: np.ndarray) -> Tensor:
        """(v - mean) / std in double, rounded once to fp32."""
        return torch.from_numpy(((values - feature.mean) / feature.std).astype(np.float32))

    def event(self, low: int, high: int) -> dict[str, Tensor]:
        """Columns of events low ... high - 1 in the data set's order."""
        return {name: column[low:high] for name, column in self.events.items()}

    def candidate(self, items: np.ndarray, history: np.ndarray) -> dict[str, Tensor]:
        """Columns of candidates [M, C] for histories of so many events, [M]."""
        index = torch.from_numpy(items).to(self.device)
        columns = {name: rows[index] for name, rows in self.files.items()}
        for feature in self.config.groups["candidate"]:
            if feature.kind == "float":
                values = self.normalised(feature, phase(feature.name, history)).to(self.device)
                columns[feature.name] = values[:, None].expand(items.shape)
        return columns

    def context(self, repository: np.ndarray) -> dict[str, Tensor]:
        """Columns of the context, [M]."""
        index = torch.from_numpy(repository)
        return {
            feature.name: self.rows[feature.table][index].to(self.device) for feature in self.config.groups["context"]
        }
