"""Reads KuaiRand-Pure: which rows count, what a history is, and the moments that are scored.

Gao et al., KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed Videos, CIKM 2022.

A *moment* is some impressions of one user in one tab: the tab is a request's context. Its history is what the user
watched before the split, at most 50 videos. Watches of later impressions are not appended: a test history would then
depend on outcomes that the model is asked to predict for others of the same minute.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard
from torch import Tensor

from vqrank_train.config import Table
from vqrank_train.errors import DataError
from vqrank_train.kuairand.vectors import VECTORS, read_codes, read_vectors
from vqrank_train.trainer.dataset import Sample, check_columns, reading

FOLDER = "kuairand-pure"
VALIDATION = 0.2  # share of the rows that are trained on or validated, the last in time
WIDTH = 8  # impressions a moment at most
USER = (
    "user_active_degree", "is_video_author", "follow_user_num_range", "fans_user_num_range", "friend_user_num_range",
    "register_days_range", "onehot_feat1", "onehot_feat2", "onehot_feat4", "onehot_feat9", "onehot_feat10",
    "onehot_feat11",
)  # fmt: skip
VIDEO = ("author_id", "tag", "upload_type", "music_type")


FILES = {
    "val": ("user_id", "video_id", "time_ms", "is_click", "tab"),
    "test": ("user_id", "video_id", "time_ms", "is_click", "tab"),
    "user_sequences": ("user_id", "last_time_ms", "watch_seq"),
    "user_features_pure": ("user_id", *USER),
    "video_features_basic_pure": ("video_id", "video_duration", *VIDEO),
}  # and the columns that are read of each


def read_rows(data: Path, name: str) -> list[dict[str, str]]:
    """Rows of one .csv.zst file, of FILES."""
    path = data / FOLDER / f"{name}.csv.zst"
    with (
        reading(path),
        open(path, "rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        io.TextIOWrapper(stream, encoding="utf-8", newline="") as text,
    ):
        found = csv.DictReader(text)
        check_columns(path, found.fieldnames, FILES[name])
        rows = list(found)
    if not rows:
        raise DataError(f"{path}: expected rows, found none")
    for i, row in enumerate(rows):  # csv's own: what has no column is None's, a column without a value holds None
        if None in row or None in row.values():
            raise DataError(f"{path}: expected as many values as columns, found others in row {i + 1}")
    return rows


@dataclass
class Moments:
    """Impressions of a user in a tab, at most WIDTH, in the order of `user`, then tab. Moment m: first[m]:first[m+1]"""

    user: np.ndarray  # [M]
    history: np.ndarray  # [M]
    tab: np.ndarray  # [M]
    first: np.ndarray  # [M + 1]
    items: np.ndarray  # [sum]
    click: np.ndarray  # [sum]
    time: None = None  # of the histories only the order is known

    @property
    def context(self) -> dict[str, np.ndarray]:
        """Columns of the context, [M] each."""
        return {"tab": self.tab}

    def __len__(self) -> int:
        return len(self.user)


class Codes:
    """Raw values of one kind as small integers: 0 is none, or one that is not known."""

    def __init__(self, values: list[str]) -> None:
        self.names = sorted({value for value in values if value})
        self.code = {value: i for i, value in enumerate(self.names, 1)}

    def __call__(self, values: list[str]) -> np.ndarray:
        return np.array([self.code.get(value, 0) for value in values], np.int64)


@dataclass
class Impressions:
    """Rows of val or test that count, in time order."""

    user: np.ndarray
    item: np.ndarray
    tab: np.ndarray
    time: np.ndarray  # milliseconds
    click: np.ndarray

    def __getitem__(self, which: np.ndarray) -> Impressions:
        return Impressions(self.user[which], self.item[which], self.tab[which], self.time[which], self.click[which])

    def __len__(self) -> int:
        return len(self.user)


class KuaiRand:
    """Histories of all users; `start[u]:start[u + 1]` are user u's. Ids are codes, the raw ids are tables' keys."""

    def __init__(self, data: Path, coded: Mapping[str, Path] | None = None) -> None:
        """`coded`: files of codes of videos, [levels] each, by the name that their columns NAME0, NAME1, ... get."""
        self.kinds = dict.fromkeys(("user", "item", "tab", *USER, *VIDEO), "id") | {"log_seconds": "float"}
        with reading(data / FOLDER):
            self.read(data)
        for name in VECTORS:
            if (data / FOLDER / VECTORS[name]).exists():
                self.add_vectors(name, *read_vectors(data / FOLDER, name))
        for name, path in (coded or {}).items():
            self.add_codes(name, *read_codes(path))

    def read(self, data: Path) -> None:
        """Everything, from the files."""
        train, test = read_rows(data, "val"), read_rows(data, "test")
        sequences, users = read_rows(data, "user_sequences"), read_rows(data, "user_features_pure")
        videos = read_rows(data, "video_features_basic_pure")
        self.codes = {
            "user": Codes([row["user_id"] for row in (*users, *sequences, *train, *test)]),
            "item": Codes([row["video_id"] for row in (*videos, *train, *test)]),
            "tab": Codes([row["tab"] for row in (*train, *test)]),
        }
        self.user = self.features("user", users, "user_id", USER)
        self.candidate = self.features("item", videos, "video_id", VIDEO, first_tag)
        seconds = np.zeros(len(self.candidate["item"]))
        for row in videos:  # the log of the duration; 20 seconds where there is none
            milliseconds = float(row["video_duration"] or 20000)
            seconds[self.codes["item"].code[row["video_id"]]] = math.log(max(milliseconds, 1000) / 1000)
        self.candidate["log_seconds"] = seconds
        watched: list[list[int]] = [[] for _ in range(len(self.user["user"]))]
        ends = np.zeros(len(watched), np.int64)
        for row in sequences:
            code = self.codes["user"].code[row["user_id"]]
            watched[code] = self.codes["item"](row["watch_seq"].split()).tolist()
            ends[code] = int(row["last_time_ms"] or 0)
        self.vectors: dict[str, np.ndarray] = {}
        self.start = np.concatenate([[0], np.cumsum([len(own) for own in watched])]).astype(np.int64)
        items = np.array([item for own in watched for item in own], np.int64)
        self.event = {name: column[items] for name, column in self.candidate.items()}
        self.test = self.impressions(distinct(test), ends)
        found = self.impressions(distinct(train), ends)
        for name, rows in (("test", self.test), ("val", found)):
            if not len(rows):
                raise DataError(f"{data / FOLDER / name}.csv.zst: expected impressions after histories, found none")
        found = found[found.time < self.test.time.min()]  # not before what is tested
        edge = int(len(found) * (1 - VALIDATION))
        edge = int(np.searchsorted(found.time, found.time[edge]))  # what shares a time stays on one side
        self.earlier = found  # both parts
        self.training, self.validation = found[np.arange(edge)], found[np.arange(edge, len(found))]
        self.share = float(self.training.click.mean())

    def add_vectors(self, name: str, ids: list[str], vectors: np.ndarray) -> None:
        """A column of vectors by video; those of ids that no row has are left out."""
        place = self.codes["item"](ids)
        self.kinds[name] = "vector"
        self.vectors[name] = np.full((len(self.candidate["item"]), vectors.shape[1]), np.nan, np.float32)
        self.vectors[name][place[place > 0]] = vectors[place > 0]

    def add_codes(self, name: str, ids: list[str], codes: np.ndarray) -> None:
        """A column of ids by video for every level of codes [videos, levels]."""
        place = self.codes["item"](ids)
        for level in range(codes.shape[1]):
            column, values = f"{name}{level}", codes[:, level].astype(str).tolist()
            if column in self.kinds:
                raise DataError(f"codes {name!r}: expected a name without a column {column}, which the data set has")
            self.kinds[column] = "id"
            self.codes[column] = Codes(values)
            self.candidate[column] = np.zeros(len(self.candidate["item"]), np.int64)
            self.candidate[column][place[place > 0]] = self.codes[column](values)[place > 0]
            self.event[column] = self.candidate[column][self.event["item"]]

    def features(
        self, kind: str, rows: list[dict[str, str]], key: str, names: tuple[str, ...], change: Any = None
    ) -> dict[str, np.ndarray]:
        """Columns by code of users or items: the code itself and features; those of codes without a row are 0."""
        count = len(self.codes[kind].names) + 1
        place = self.codes[kind]([row[key] for row in rows])
        columns = {kind: np.arange(count)}
        for name in names:
            values = [row[name] if change is None else change(name, row[name]) for row in rows]
            self.codes[name] = Codes(values)
            columns[name] = np.zeros(count, np.int64)
            columns[name][place] = self.codes[name](values)
        return columns

    def impressions(self, rows: list[dict[str, str]], ends: np.ndarray) -> Impressions:
        """Rows in time order, without those at or before the end of their user's history."""
        found = Impressions(
            self.codes["user"]([row["user_id"] for row in rows]),
            self.codes["item"]([row["video_id"] for row in rows]),
            self.codes["tab"]([row["tab"] for row in rows]),
            np.array([int(row["time_ms"]) for row in rows], np.int64),
            np.array([int(row["is_click"]) for row in rows], np.int64),
        )
        found = found[found.time > ends[found.user]]
        return found[np.argsort(found.time, kind="stable")]

    def fill_table(self, name: str, table: dict[str, Any]) -> None:
        """Every table is a vocabulary of the raw ids."""
        table["keys"] = list(self.codes[name].names)
        table["rows"] = len(table["keys"]) + 1

    def table_rows(self, name: str, table: Table) -> Tensor:
        """code -> row of a table, [codes + 1]."""
        row = {key: i for i, key in enumerate(table.keys, 1)}
        return torch.tensor([0, *(row.get(key, 0) for key in self.codes[name].names)])

    def raw(self, name: str) -> list[int | str | None]:
        """The raw ids by code."""
        return [None, *self.codes[name].names]

    def moments(self, rows: Impressions) -> Moments:
        """Impressions by user, tab and time, WIDTH at most together."""
        order = np.lexsort((rows.time, rows.tab, rows.user))
        user, tab = rows.user[order], rows.tab[order]
        new = np.concatenate([[True], (user[1:] != user[:-1]) | (tab[1:] != tab[:-1])])
        group = np.flatnonzero(new)
        within = np.arange(len(order)) - group[np.cumsum(new) - 1]
        first = np.flatnonzero(within % WIDTH == 0)
        return Moments(
            user[first], np.diff(self.start)[user[first]], tab[first], np.concatenate([first, [len(order)]]),
            rows.item[order], rows.click[order],
        )  # fmt: skip

    def parts(self) -> tuple[Moments, Moments, Moments]:
        """Moments of the training, validation and test part, in time."""
        return self.moments(self.training), self.moments(self.validation), self.moments(self.test)

    def sample(
        self, moments: Moments, rng: np.random.Generator, which: np.ndarray | None = None, cap: int | None = None
    ) -> Sample:
        """The impressions of moments: clicks are positives, the others negatives; nothing is drawn or left out."""
        every = np.arange(len(moments)) if which is None else which
        sizes = moments.first[every + 1] - moments.first[every]
        index = np.concatenate([np.arange(moments.first[m], moments.first[m + 1]) for m in every])
        return Sample(np.repeat(every, sizes), moments.items[index], moments.click[index])


def first_tag(name: str, value: str) -> str:
    """The first of a video's tags; other columns as they are."""
    return value.split(",")[0] if name == "tag" else value


def distinct(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows without exact repeats, the first of each."""
    return [dict(row) for row in dict.fromkeys(tuple(row.items()) for row in rows)]
