"""Reads the data set, splits it by time and draws what is scored.

A *moment* is one commit of a developer with a long enough history before it. Its positives are the files that the
commit touched and that existed before (no additions); negatives come from the repository's last touches before it.
Histories end before the commit's time, so a commit's own files are never in the history it is predicted from.
"""

from __future__ import annotations

import csv
import io
import lzma
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqrank_train.config import ConfigError, Table
from vqrank_train.errors import DataError, quote
from vqrank_train.trainer.dataset import Sample, check_columns, reading

FEATURES = ("item", "folder", "directory", "stem", "extension")  # of a file
COLUMNS = ("time", "user", *FEATURES, "repository", "action")
ACTIONS = {1: "A", 2: "M", 3: "D"}
ADDED, DELETED = 1, 3

MIN_HISTORY = 20  # events before the first moment of a user
NEGATIVES = 6  # a positive
POOL = 5000  # negatives are drawn from so many last touches of the repository
RARE = 3  # in a vocabulary, ids seen fewer times before the split go to the unknown row
SPLIT = 0.8  # share of the events that lie before the split
VALIDATION = 0.05  # share of all events, the last before the split
BUCKETS = ((MIN_HISTORY, 100), (100, 1000), (1000, 5000), (5000, 1 << 30))  # history lengths that are reported


def default_data() -> Path:
    """Where the data lies unless told: $VQRANK_DATA, else data in the current folder."""
    return Path(os.environ.get("VQRANK_DATA", "data"))


def read_names(data: Path, which: str) -> dict[int, str]:
    """id -> name of items, folders, directories, stems, extensions or repositories."""
    path = data / "commits" / f"{which}.csv.xz"
    with reading(path), lzma.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        check_columns(path, rows.fieldnames, ("id", "name"))
        return {int(row["id"]): row["name"] for row in rows}


def read_events(path: Path) -> np.ndarray:
    """The table of events, [events, COLUMNS]."""
    with reading(path), lzma.open(path, "rt", encoding="utf-8") as file:
        header = tuple(file.readline().strip().split(","))
        if header != COLUMNS:
            raise DataError(f"{path}: expected the columns {','.join(COLUMNS)}, found {','.join(header) or 'none'}")
        text = file.read()
        if not text.strip():
            raise DataError(f"{path}: expected events, found none")
        table = np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.int64, ndmin=2)
    if table.shape[1] != len(COLUMNS) or table.min() < 0 or (np.diff(table[:, 0]) < 0).any():
        raise DataError(f"{path}: expected {len(COLUMNS)} integers of at least 0 a line, sorted by time, found others")
    return table


@dataclass
class Moments:
    """Commits to predict, in the order of `user`, then time. Files of moment m: items[first[m]:first[m + 1]]."""

    user: np.ndarray  # [M]
    time: np.ndarray  # [M] seconds
    history: np.ndarray  # [M] events of the user before the commit
    repository: np.ndarray  # [M]
    seen: np.ndarray  # [M] touches of the repository before the commit
    first: np.ndarray  # [M + 1]
    items: np.ndarray  # [sum] positives: distinct files touched that existed

    def __len__(self) -> int:
        return len(self.user)

    @property
    def context(self) -> dict[str, np.ndarray]:
        """Columns of the context, [M] each."""
        return {"repository": self.repository}

    def positives(self, moment: int) -> np.ndarray:
        """Items that this moment's commit touched."""
        return self.items[self.first[moment] : self.first[moment + 1]]


class Commits:
    """All events, sorted by user, then time, then the file's order; `start[u]:start[u + 1]` are user u's."""

    share = 1 / (1 + NEGATIVES)  # of positives among what training scores
    kinds = dict.fromkeys(COLUMNS, "id") | {"time": "time"}
    vectors: dict[str, np.ndarray] = {}  # noqa: RUF012 - there are none

    def __init__(self, data: Path) -> None:
        table = read_events(data / "commits" / "events.csv.xz")
        self.split_time = int(table[int(len(table) * SPLIT), 0])  # the test part is time >= split_time
        order = np.lexsort((np.arange(len(table)), table[:, 0], table[:, 1]))
        self.by_time = {name: table[:, i] for i, name in enumerate(COLUMNS)}
        self.event = {name: table[order, i] for i, name in enumerate(COLUMNS)}
        users = int(table[:, 1].max()) + 1
        self.start = np.searchsorted(self.event["user"], np.arange(users + 1))
        self.user: dict[str, np.ndarray] = {}  # users are not told apart

        items = int(table[:, 2].max()) + 1
        self.candidate = {name: np.zeros(items, np.int64) for name in (*FEATURES, "repository")}  # by item
        for name, column in self.candidate.items():
            column[self.event["item"]] = self.event[name]
        # A repository's touches in time order: negatives and popularity come from here.
        self.touched: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for repository in np.unique(self.by_time["repository"]):
            own = self.by_time["repository"] == repository
            self.touched[int(repository)] = (self.by_time["time"][own], self.by_time["item"][own])

    def known(self, feature: str, before: int) -> list[int]:
        """Ids seen at least RARE times before a time, ascending: the keys of a vocabulary."""
        ids, counts = np.unique(self.event[feature][self.event["time"] < before], return_counts=True)
        return ids[counts >= RARE].tolist()

    def fill_table(self, name: str, table: dict[str, Any]) -> None:
        """Rows for every id, or `keys`: the ids seen often enough before the split."""
        if name == "action":
            table["keys"] = [*ACTIONS.values()]
        elif table["ids"] == "vocabulary":
            table["keys"] = self.known(name, self.split_time)
        else:
            table["rows"] = int(self.event[name].max()) + 1
        if "keys" in table:
            table["rows"] = len(table["keys"]) + 1

    def table_rows(self, name: str, table: Table) -> Tensor:
        """id -> row of a table, [largest id + 1]."""
        rows = torch.zeros(max(int(self.event[name].max()), *ACTIONS) + 1, dtype=torch.long)
        if table.ids == "direct":
            known = torch.arange(min(len(rows), table.rows))
            rows[known] = known
            return rows
        codes = {text: code for code, text in ACTIONS.items()} if name == "action" else {}
        for row, key in enumerate(table.keys, 1):
            code = codes.get(str(key), key)
            if isinstance(code, str):
                raise ConfigError(f"config.tables.{name}.keys: expected ids of the data set, found {quote(code)}")
            rows[code] = row
        return rows

    def raw(self, name: str) -> list[int | str | None]:
        """The ids themselves, but for actions their letters; 0 is none."""
        given: dict[int, str] = ACTIONS if name == "action" else {}
        return [None, *(given.get(i, i) for i in range(1, max(int(self.event[name].max()), *ACTIONS) + 1))]

    def parts(self) -> tuple[Moments, Moments, Moments]:
        """Moments of the training, validation and test part, in time."""
        times = self.by_time["time"]
        edge = int(times[np.searchsorted(times, self.split_time) - int(VALIDATION * len(times))])
        return self.moments(0, edge), self.moments(edge, self.split_time), self.moments(self.split_time, 1 << 60)

    def moments(self, low: int, high: int) -> Moments:
        """Commits with low <= time < high by users with at least MIN_HISTORY events before it."""
        event = self.event
        n = len(event["time"])
        change = (event["user"][1:] != event["user"][:-1]) | (event["time"][1:] != event["time"][:-1])
        begin = np.concatenate([[0], np.flatnonzero(change) + 1])
        end = np.concatenate([begin[1:], [n]])
        history = begin - self.start[event["user"][begin]]
        wanted = (event["time"][begin] >= low) & (event["time"][begin] < high) & (history >= MIN_HISTORY)
        rows, items = [], []
        for b, e, h in zip(begin[wanted], end[wanted], history[wanted], strict=True):
            touched = np.unique(event["item"][b:e][event["action"][b:e] != ADDED])
            repository = int(event["repository"][b])
            seen = int(np.searchsorted(self.touched[repository][0], event["time"][b]))
            if len(touched) and seen:
                rows.append((event["user"][b], event["time"][b], h, repository, seen))
                items.append(touched)
        user, time, history, repositories, touches = np.array(rows, np.int64).reshape(-1, 5).T
        first = np.concatenate([[0], np.cumsum([len(i) for i in items])]).astype(np.int64)
        positives = np.concatenate(items) if items else np.zeros(0, np.int64)
        return Moments(user, time, history, repositories, touches, first, positives)

    def pool(self, repository: int, seen: int) -> np.ndarray:
        """Items of the repository's last POOL touches among its first `seen`, in time order, with repeats."""
        return self.touched[repository][1][max(0, seen - POOL) : seen]

    def deleted(self, repository: int, time: int) -> np.ndarray:
        """Items of a repository whose last touch before a time deleted them."""
        own = (self.by_time["repository"] == repository) & (self.by_time["time"] < time)
        items, actions = self.by_time["item"][own][::-1], self.by_time["action"][own][::-1]
        latest, first = np.unique(items, return_index=True)
        return latest[actions[first] == DELETED]

    def sample(
        self, moments: Moments, rng: np.random.Generator, which: np.ndarray | None = None, cap: int | None = None
    ) -> Sample:
        """Positives and NEGATIVES each; `cap` keeps at most so many positives of a moment.

        A draw that the commit touched is not a negative and is left out.
        """
        moment, item, label = [], [], []
        for m in range(len(moments)) if which is None else which:
            touched = moments.positives(m)
            kept = touched if cap is None or len(touched) <= cap else rng.choice(touched, cap, replace=False)
            pool = self.pool(int(moments.repository[m]), int(moments.seen[m]))
            drawn = pool[rng.integers(0, len(pool), NEGATIVES * len(kept))]
            drawn = drawn[~np.isin(drawn, touched)]
            moment.append(np.full(len(kept) + len(drawn), m))
            item.append(np.concatenate([kept, drawn]))
            label.append(np.concatenate([np.ones(len(kept), np.int64), np.zeros(len(drawn), np.int64)]))
        return Sample(np.concatenate(moment), np.concatenate(item), np.concatenate(label))
