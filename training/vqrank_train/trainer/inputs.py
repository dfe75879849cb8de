"""A data set's columns in the form that a model's config asks for."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqrank_train.config import GROUPS, Config, ConfigError, Feature
from vqrank_train.model.quantizer import ResidualQuantizer
from vqrank_train.trainer.dataset import DataSet

PHASE = re.compile(r"(sin|cos)([1-9][0-9]*)")  # a float feature: sin or cos of 2 pi n / period
# Of features: kinds of columns that may be one.
KINDS = {
    "id": ("id",), "float": ("float", "time"), "time": ("time",), "vector": ("vector",), "semantic_id": ("vector",),
}  # fmt: skip


def phase(name: str, n: np.ndarray) -> np.ndarray:
    """Position n in a history as one coordinate on a circle: `name` is sin or cos and the period in events.

    Event n of a history (from 0) carries its own n, a candidate the number of events before it: how long ago an event
    was is the angle between them. An event's value never changes when events are appended.
    """
    found = PHASE.fullmatch(name)
    if not found:
        raise ValueError(f"float feature {name!r}: expected sinP or cosP with a period P in events, or a column")
    return getattr(np, found[1])(2 * math.pi * n / int(found[2]))


def fill_template(template: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """A config file's tables get `rows` and, for vocabularies, `keys`; what else is wrong `Config.read` says."""
    config = copy.deepcopy(template)
    tables = config.get("tables") if isinstance(config, dict) else None
    coded = code_tables(config)
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if not isinstance(table, dict) or "ids" not in table:
            continue
        if name in coded:
            if data.kinds.get(name) == "id":
                raise ConfigError(f"config.tables.{name}: expected a table of codes alone, found one of ids")
            table["rows"] = coded[name]
            continue
        if data.kinds.get(name) != "id":
            raise ConfigError(f"config.tables.{name}: expected the name of ids of the data set, found others")
        data.fill_table(name, table)
    return config


def code_tables(config: Any) -> dict[str, int]:
    """Tables of semantic ids in a template, and their rows: one for every code, and that of items without."""
    found: dict[str, int] = {}
    for group in GROUPS:
        features = config.get(group) if isinstance(config, dict) else None
        for feature in features if isinstance(features, list) else ():
            try:
                codes = config["quantizers"][feature["quantizer"]]["codes"]
                found |= {name: max(found.get(name, 0), codes + 1) for name in feature["tables"]}
            except (KeyError, TypeError):  # of another kind, or for Config.read to refuse
                continue
    return found


def check_kinds(config: Config) -> None:
    """Refuse features of kinds that no data set has columns for."""
    for group, features in config.groups.items():
        for feature in features:
            if feature.kind not in KINDS:
                raise ConfigError(
                    f"config.{group}.{feature.name}.kind: expected {', '.join(KINDS)}, which the trainer has columns "
                    f"for, found {feature.kind}"
                )


def is_phase(feature: Feature) -> bool:
    """Whether a feature, unless the data set has a column of its name, is a coordinate of the position in a history."""
    return feature.kind == "float" and PHASE.fullmatch(feature.name) is not None


def is_position(feature: Feature, group: str, table: Mapping[str, np.ndarray]) -> bool:
    """Whether a feature is no column of the data set but a coordinate of the position in the history."""
    return feature.name not in table and group in ("event", "candidate") and is_phase(feature)


def draw_events(inputs: Inputs, count: int, seed: int) -> Tensor:
    """Places of at most `count` events among all of the data set, ascending."""
    total = len(next(iter(inputs.events.values())))
    found = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    return torch.from_numpy(np.sort(found)).to(inputs.device)


class Inputs:
    """Rows and numbers of every event, candidate, context and user, per feature of a config."""

    def __init__(
        self,
        data: DataSet,
        config: Config,
        device: torch.device | str = "cpu",
        quantizers: Mapping[str, ResidualQuantizer] | None = None,
    ) -> None:
        """`quantizers`, of the config's names, make the rows of semantic ids: once, as they are not trained."""
        self.data, self.config, self.device = data, config, torch.device(device)
        self.quantizers = quantizers or {}
        check_kinds(config)
        users = np.repeat(np.arange(len(data.start) - 1), np.diff(data.start))
        position = np.arange(len(users)) - data.start[users]
        used = {feature.table for features in config.groups.values() for feature in features if feature.kind == "id"}
        self.rows = {name: data.table_rows(name, table) for name, table in config.tables.items() if name in used}
        times = data.event.get("time")
        self.time = None if times is None else torch.from_numpy(times).to(self.device)  # [events] seconds
        self.events = self.columns("event", data.event)  # [events] each
        self.candidates = self.columns("candidate", data.candidate)  # [items] each
        self.users = self.columns("user", data.user)  # [users] each
        for feature in config.groups["event"]:
            if feature.kind == "float" and feature.name not in data.event:
                self.events[feature.name] = self.normalised(feature, phase(feature.name, position))

    def columns(self, group: str, table: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """The features of a group that are columns of the data set, ready for `Ranker.embed`."""
        found = {}
        for feature in self.config.groups[group]:
            self.check_column(feature, group, table)
            if feature.kind == "time" or is_position(feature, group, table):
                continue
            if feature.kind == "id":
                found[feature.name] = self.rows[feature.table][torch.from_numpy(table[feature.name])].to(self.device)
            elif feature.kind in ("vector", "semantic_id"):
                found[feature.name] = self.content(feature, group).to(self.device)
            else:
                found[feature.name] = self.normalised(feature, table[feature.name])
        return found

    def check_column(self, feature: Feature, group: str, table: Mapping[str, np.ndarray]) -> None:
        """Refuse a feature that no column, or one of another kind or of other ids, is to fill."""
        vectors = self.data.vectors if group in ("event", "candidate") else {}
        if feature.name not in table and feature.name not in vectors:
            if feature.kind == "time" or is_position(feature, group, table):
                return
            known = ", ".join((*table, *vectors)) or "none"
            raise ConfigError(f"config.{group}: expected columns of the data set ({known}), found {feature.name!r}")
        kind, where = self.data.kinds[feature.name], f"config.{group}.{feature.name}"
        if kind not in KINDS[feature.kind]:
            raise ConfigError(f"{where}.kind: expected {kind}, as the column of the data set is, found {feature.kind}")
        if kind == "vector" and feature.dim != vectors[feature.name].shape[1]:
            raise ConfigError(
                f"{where}: expected vectors of {vectors[feature.name].shape[1]} numbers, as the column of the data set "
                f"has, found {feature.dim}"
            )
        if kind == "id" and feature.table != feature.name:
            raise ConfigError(f"{where}.table: expected {feature.name}, the table of its ids, found {feature.table}")

    def content(self, feature: Feature, group: str) -> Tensor:
        """Vectors [..., dim], zeros where there is none, or a semantic id's rows [..., Q]: of items, or events' items.

        Rows are made once an item, whatever number of events has it.
        """
        vectors = torch.from_numpy(self.data.vectors[feature.name])
        semantic = feature.kind == "semantic_id"
        every = self.quantizers[feature.quantizer].rows(vectors) if semantic else vectors.nan_to_num()
        return every if group == "candidate" else every[torch.from_numpy(self.data.event["item"])]

    def normalised(self, feature: Feature, values: np.ndarray) -> Tensor:
        """(v - mean) / std in double, rounded once to fp32."""
        return torch.from_numpy(((values - feature.mean) / feature.std).astype(np.float32)).to(self.device)

    def event(self, index: Tensor) -> dict[str, Tensor]:
        """Columns of events in the data set's order, [L]."""
        return {name: column[index] for name, column in self.events.items()}

    def candidate(self, items: np.ndarray, history: np.ndarray) -> dict[str, Tensor]:
        """Columns of candidates [M, C] for histories of so many events, [M]."""
        index = torch.from_numpy(items).to(self.device)
        columns = {name: column[index] for name, column in self.candidates.items()}
        for feature in self.config.groups["candidate"]:
            if feature.kind == "float" and feature.name not in columns:
                values = self.normalised(feature, phase(feature.name, history))
                columns[feature.name] = values[:, None].expand(items.shape)
        return columns

    def context(self, columns: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Columns of the context, [M]."""
        return self.columns("context", columns)

    def user(self, users: np.ndarray) -> dict[str, Tensor]:
        """Columns of users, [M]."""
        index = torch.from_numpy(users).to(self.device)
        return {name: column[index] for name, column in self.users.items()}
