"""What a data set offers to the trainer."""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zstandard
from torch import Tensor

from vqrank_train.config import Table
from vqrank_train.errors import DataError, one_line

DAMAGE = (EOFError, LookupError, TypeError, ValueError, csv.Error, lzma.LZMAError, zstandard.ZstdError)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Says which file it was that readers could make nothing of."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{path}: expected a file of the data set, found damage: {one_line(error)}") from None


def check_columns(path: Path, found: Any, columns: tuple[str, ...]) -> None:
    """Refuse a table that lacks columns."""
    for column in columns:
        if column not in (found or ()):
            raise DataError(f"{path}: expected the column {column}, found {', '.join(found or ()) or 'an empty file'}")


class Moments(Protocol):
    """Moments to predict, those of a user together; what is scored at one shares history and context.

    A moment's history is the first `history` events of its user. A user's commits are in time order; impressions, whose
    histories are all the same, go by tab first.
    """

    @property
    def user(self) -> np.ndarray:
        """[M]"""

    @property
    def history(self) -> np.ndarray:
        """[M] events of the user before the moment; never falls along a user's moments."""

    @property
    def context(self) -> Mapping[str, np.ndarray]:
        """Columns of the context by feature name, [M] each."""

    @property
    def time(self) -> np.ndarray | None:
        """[M] seconds, where the data set's events have a column `time`"""

    def __len__(self) -> int: ...


@dataclass
class Sample:
    """What is scored: candidates of moments, in the order of moments."""

    moment: np.ndarray  # [S]
    item: np.ndarray  # [S]
    label: np.ndarray  # [S] 1 positive, 0 not


class DataSet(Protocol):
    """Events sorted by user, then time; `start[u]:start[u + 1]` are user u's. Ids are small integers from 0."""

    kinds: dict[str, str]  # of every column, the context's too: id (of the table named as it is), float, time or vector
    event: dict[str, np.ndarray]  # columns of events
    start: np.ndarray  # [users + 1]
    candidate: dict[str, np.ndarray]  # columns by item
    vectors: dict[str, np.ndarray]  # [items, n] float32, NaN for none: columns by item, and of events by their item
    user: dict[str, np.ndarray]  # columns by user
    share: float  # of positives among what training scores

    def fill_table(self, name: str, table: dict[str, Any]) -> None:
        """Give a table of a config template its `rows` and, where it is a vocabulary, its `keys`."""

    def table_rows(self, name: str, table: Table) -> Tensor:
        """id -> row of a table, [largest id + 1]."""

    def raw(self, name: str) -> list[int | str | None]:
        """What requests have for every id of a column of ids, [largest id + 1]; None: they lack the feature."""

    def parts(self) -> tuple[Any, Any, Any]:
        """Moments of the training, validation and test part, in time."""

    def sample(
        self, moments: Any, rng: np.random.Generator, which: np.ndarray | None = None, cap: int | None = None
    ) -> Sample:
        """What is scored at moments `which`, all unless told; `cap` keeps at most so many positives of a moment."""
