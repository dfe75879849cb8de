"""Assignments stored per item: for which events the file holds codewords, and which, as the library computes them.

A combination is a row of each table that the events' features read; features that a catalogue of items determines take
no part, their rows are those of the item. What conversion stores is what `vqrank clusters` answers for an event of each
combination with the same file without them, so that nothing depends on whether codewords are stored or computed.
"""

import itertools
import json
import math
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from tqdm import tqdm

from vqrank_convert.config import INT64_MAX, INT64_MIN, Config, FeatureConfig, TableConfig
from vqrank_convert.config_sequences import DmqnConfig
from vqrank_convert.config_vql import VqlConfig
from vqrank_convert.errors import ConversionError, one_line, quote, refuse
from vqrank_convert.jsontext import check_unicode, parse
from vqrank_convert.layout import ITEM_BYTES, TensorType
from vqrank_convert.vocabulary import key_bytes

DETERMINED = "assignments.determined"
# In place of the rows of an item that the catalogue does not have.
NOT_STORED = 2**32 - 1
# What the number of a combination is computed in.
COMBINATIONS_MAX = 2**32 - 1
# Events of one request, and of one call of the command.
REQUEST_EVENTS = 4096
CALL_EVENTS = 1 << 18
BUDGET_MIB = 16.0
OPTION = "--assignments"


@dataclass(frozen=True)
class AssignmentOptions:
    """`items`: the catalogue, if there is one; `key`: its feature that determines the others (None: the first of the
    model's event features that it names); `budget`: bytes that may be stored."""

    items: Path | None = None
    key: str | None = None
    budget: int = int(BUDGET_MIB * 2**20)


@dataclass
class Item:
    """A line of the catalogue: its number, the key's id, and the determined features' values by name."""

    line: int
    key: int | str
    values: dict[str, Any]


@dataclass
class Catalogue:
    """`items` by the key's row; the names of the features that it determines; lines whose ids the key's table does not
    have, and lines whose id shares its row with another id that came first."""

    key: str
    determined: list[str]
    items: dict[int, Item]
    unknown: int = 0
    shadowed: int = 0


@dataclass(frozen=True)
class Digit:
    """A feature that counts, and how many rows its table has."""

    feature: FeatureConfig
    rows: int


@dataclass(frozen=True)
class Stored:
    """What the header says of it, and the tensors by name. `key` and `determined` are numbers of event features."""

    key: int
    determined: list[int]
    tensors: dict[str, tuple[TensorType, npt.NDArray[Any]]]
    note: str


# ---- the catalogue ----


def read_catalogue(path: Path, config: Config, key: str | None) -> Catalogue:
    """Reads a file of items, one JSON object a line with values as in a request's event."""
    lines = list(_lines(path, config))
    named = {name for _, item in lines for name in item}
    if not named:
        refuse(str(path), "items, one JSON object a line", "none")
    key = key or next((feature.name for feature in config.groups["event"] if feature.name in named), "")
    if key not in named:
        refuse(f"{path}: {OPTION}-key", "a feature that the items name", quote(key))
    determined = [feature.name for feature in config.groups["event"] if feature.name in named - {key}]
    table = _table(config, key)
    rows = {own: i + 1 for i, own in enumerate(table.keys)}
    catalogue = Catalogue(key, determined, {})
    seen: dict[int | str, Item] = {}
    for line, values in lines:
        if values.get(key) is None:
            refuse(f"{path}, line {line}: {key}", "an id, as it determines the others", "none")
        item = Item(line, values[key], {name: values.get(name) for name in determined})
        first = seen.setdefault(item.key, item)
        if first.values != item.values:
            different = next(name for name in determined if first.values[name] != item.values[name])
            raise ConversionError(
                f"{path}, lines {first.line} and {line}: expected one value of {different} for {key} "
                f"{quote(item.key)}, found {quote(first.values[different])} and {quote(item.values[different])}; leave "
                f"{different} out of the items, or say which feature determines the others with {OPTION}-key"
            )
        if first is not item:
            continue
        row = _row(table, item.key, rows)
        if row is None:
            catalogue.unknown += 1
        elif catalogue.items.setdefault(row, item) is not item:
            catalogue.shadowed += 1
    if not catalogue.items:
        refuse(f"{path}: {key}", "an id that the table has", f"none in {len(lines):,} lines")
    return catalogue


def _lines(path: Path, config: Config) -> Iterator[tuple[int, dict[str, Any]]]:
    features = {feature.name: feature for feature in config.groups["event"]}
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, text in enumerate(file, 1):
                if text.strip(" \t\r\n"):
                    where = f"{path}, line {number}"
                    item = parse(text, where)
                    if not isinstance(item, dict) or not item:
                        refuse(where, "an object of event features", quote(item))
                    for name, value in item.items():
                        if name not in features or features[name].kind != "id":
                            found = f"{quote(name)}, which is {features[name].kind if name in features else 'none'}"
                            refuse(where, "event features of kind id", found)
                        _check_id(value, _table(config, name), f"{where}: {name}")
                    yield number, item
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path}: expected items, found {one_line(error)}") from None


def _check_id(value: Any, table: TableConfig, where: str) -> None:
    if value is None:
        return
    if isinstance(value, str) and table.ids != "direct":
        check_unicode(value, where)
    elif isinstance(value, bool) or not isinstance(value, int) or not INT64_MIN <= value <= INT64_MAX:
        refuse(where, f"an integer{'' if table.ids == 'direct' else ' or a string'}", quote(value))


def _table(config: Config, feature: str) -> TableConfig:
    return config.tables[next(str(f.table) for f in config.groups["event"] if f.name == feature)]


def _row(table: TableConfig, key: int | str, rows: dict[int | str, int]) -> int | None:
    """The row of an id, None if the table does not have it. `rows`: of a vocabulary's keys."""
    if table.ids == "vocabulary":
        return rows.get(key)
    if table.ids == "hash":
        return _hash_row(table, key)
    assert isinstance(key, int)
    return key if 0 <= key < table.rows else None


def _hash_row(table: TableConfig, key: int | str) -> int:
    return 1 + int(xxhash.xxh3_64_intdigest(key_bytes(key))) % (table.rows - 1)


# ---- combinations ----


def compute(layout: "Combinations", config: Config, model: Path, vqrank: Path, bar_from: float = math.inf) -> Stored:
    """Computes what is stored by running `vqrank` on `model`, the same model without it."""
    tensors: dict[str, tuple[TensorType, npt.NDArray[Any]]] = {}
    if layout.catalogue is not None and layout.catalogue.determined:
        tensors[DETERMINED] = (TensorType.U32, layout.determined_rows(config))
    z = layout.empty()
    _run(layout, config, z, model, vqrank, bar_from)
    for name, values in z.items():
        tensors[f"sequences.{name}.assignments"] = (layout.types[name], values)
    numbers = {feature.name: i for i, feature in enumerate(config.groups["event"])}
    determined = [numbers[name] for name in layout.determined]
    return Stored(numbers[layout.key] if determined else -1, determined, tensors, layout.note())


@dataclass
class Combinations:
    """`digits` in the order of the event's features; of each sequence how many codebooks it has, and what holds its
    codewords."""

    digits: list[Digit]
    catalogue: Catalogue | None
    codebooks: dict[str, int]
    types: dict[str, TensorType]

    @property
    def count(self) -> int:
        return math.prod(digit.rows for digit in self.digits)

    @property
    def determined(self) -> list[str]:
        return [] if self.catalogue is None else self.catalogue.determined

    @property
    def key(self) -> str:
        assert self.catalogue is not None
        return self.catalogue.key

    @property
    def bytes(self) -> int:
        """What is stored."""
        each = sum(n * ITEM_BYTES[self.types[name]] for name, n in self.codebooks.items())
        keys = next((digit.rows for digit in self.digits if self.determined and digit.feature.name == self.key), 0)
        return self.count * each + keys * len(self.determined) * 4

    def determined_rows(self, config: Config) -> npt.NDArray[np.uint32]:
        """[the key's rows, determined features] rows of their tables."""
        assert self.catalogue is not None
        tables = [_table(config, name) for name in self.determined]
        rows = [{own: i + 1 for i, own in enumerate(table.keys)} for table in tables]
        result = np.full((_table(config, self.key).rows, len(tables)), NOT_STORED, np.uint32)
        for row, item in self.catalogue.items.items():
            for i, name in enumerate(self.determined):
                value = item.values[name]
                result[row, i] = 0 if value is None else _row(tables[i], value, rows[i]) or 0
        return result

    def empty(self) -> dict[str, npt.NDArray[Any]]:
        """By sequence [combinations, codebooks]."""
        types = {TensorType.U8: np.uint8, TensorType.U16: np.uint16}
        return {name: np.zeros((self.count, n), types[self.types[name]]) for name, n in self.codebooks.items()}

    def note(self) -> str:
        """A line for the summary."""
        digits = " x ".join(f"{digit.feature.name} ({digit.rows:,})" for digit in self.digits)
        text = f"{self.count:,} combinations of {digits}, {self.bytes:,} bytes"
        if self.catalogue is None or not self.determined:
            return text
        text += f"; {', '.join(self.determined)} by {self.key}, of which {len(self.catalogue.items):,} are listed"
        left_out = [
            f"{count:,} lines {what}"
            for count, what in (
                (self.catalogue.unknown, "with ids that the table does not have"),
                (self.catalogue.shadowed, "whose id shares its row with one before"),
            )
            if count
        ]
        return f"{text}; left out: {', '.join(left_out)}" if left_out else text


def plan_combinations(config: Config, options: AssignmentOptions) -> Combinations:
    """What is to be stored; refuses models for which it cannot be, and more than the budget."""
    for feature in config.groups["event"]:
        if feature.kind not in ("id", "time"):
            refuse(
                f"{OPTION}: event feature {feature.name}",
                "kind id or time, as codewords are stored for ids",
                feature.kind,
            )
    codewords: dict[str, list[int]] = {}
    for sequence in config.sequences:
        if isinstance(sequence, DmqnConfig):
            codewords[sequence.name] = [sequence.codewords] * sequence.codebooks
        elif isinstance(sequence, VqlConfig):
            codewords[sequence.name] = [group.codewords for group in sequence.groups]
    if not codewords:
        refuse(OPTION, "a sequence of kind dmqn or vql", "none")
    for name, own in codewords.items():
        if max(own) > 1 << 16:
            refuse(f"{OPTION}: sequence {name}", "at most 65,536 codewords a codebook", f"{max(own):,}")
    catalogue = None if options.items is None else read_catalogue(options.items, config, options.key)
    determined = [] if catalogue is None else catalogue.determined
    result = Combinations(
        [
            Digit(feature, config.tables[str(feature.table)].rows)
            for feature in config.groups["event"]
            if feature.kind == "id" and feature.name not in determined
        ],
        catalogue,
        {name: len(own) for name, own in codewords.items()},
        {name: TensorType.U8 if max(own) <= 1 << 8 else TensorType.U16 for name, own in codewords.items()},
    )
    digits = " x ".join(f"{digit.feature.name} ({digit.rows:,})" for digit in result.digits)
    if result.count > COMBINATIONS_MAX:
        raise ConversionError(
            f"{OPTION}: expected at most {COMBINATIONS_MAX:,} combinations, found {result.count:,} of {digits}; "
            f"list items that determine more features ({OPTION} ITEMS.jsonl)"
        )
    if result.bytes > options.budget:
        raise ConversionError(
            f"{OPTION}: expected at most {options.budget:,} bytes, found {result.bytes:,} for "
            f"{result.count:,} combinations of {digits}; list items that determine more features "
            f"({OPTION} ITEMS.jsonl), or raise {OPTION}-budget (MiB) to {math.ceil(result.bytes / 2**20)}"
        )
    return result


def _values(table: TableConfig) -> list[int | str | None]:
    """For each row a value whose row it is; nothing for row 0, which is that of absent ids."""
    if table.ids == "vocabulary":
        return [None, *table.keys]
    if table.ids == "direct":
        return [None, *range(1, table.rows)]
    found: list[int | str | None] = [None] * table.rows
    left = table.rows - 1
    for number in itertools.count():
        if not left:
            break
        row = _hash_row(table, number)
        if found[row] is None:
            found[row], left = number, left - 1
    return found


def _texts(layout: Combinations, config: Config) -> list[list[str | None]]:
    """For each digit and row the JSON of its part of an event; with the key those of the features that it determines;
    None for a key that is not listed."""
    result: list[list[str | None]] = []
    for digit in layout.digits:
        name = digit.feature.name
        if layout.determined and name == layout.key:
            assert layout.catalogue is not None
            texts: list[str | None] = [None] * digit.rows
            for row, item in layout.catalogue.items.items():
                texts[row] = _members({name: item.key} | item.values)
        else:
            texts = [_members({name: value}) for value in _values(config.tables[str(digit.feature.table)])]
        result.append(texts)
    return result


def _members(values: dict[str, Any]) -> str:
    """The inside of a JSON object, without what is absent."""
    return ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in values.items() if value is not None)


def _events(layout: Combinations, config: Config) -> Iterator[tuple[int, str]]:
    """Numbers of combinations and an event of each, as JSON; not those of keys that are not listed."""
    for number, parts in enumerate(itertools.product(*_texts(layout, config))):
        if None not in parts:
            yield number, "{" + ",".join(part for part in parts if part) + "}"


# ---- the library's codewords ----


def _run(
    layout: Combinations, config: Config, z: dict[str, npt.NDArray[Any]], model: Path, vqrank: Path, bar_from: float
) -> None:
    """Fills z. Shows a progress bar if that takes `bar_from` bytes."""
    events = _events(layout, config)
    hidden = layout.bytes < bar_from
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=layout.count, desc="assignments", unit="event", disable=hidden, leave=False) as bar,
    ):
        requests = Path(folder) / "events.jsonl"
        while chunk := list(itertools.islice(events, CALL_EVENTS)):
            with requests.open("w", encoding="utf-8") as file:
                for start in range(0, len(chunk), REQUEST_EVENTS):
                    own = ",".join(text for _, text in chunk[start : start + REQUEST_EVENTS])
                    file.write(f'{{"id":{start},"candidates":[],"events":[{own}]}}\n')
            _fill(z, [number for number, _ in chunk], vqrank, model, requests)
            bar.update(len(chunk))


def _fill(z: dict[str, npt.NDArray[Any]], numbers: Sequence[int], vqrank: Path, model: Path, requests: Path) -> None:
    """Runs the command on events of combinations `numbers`, in order."""
    command = [str(vqrank), "clusters", str(model), str(requests)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    at = 0
    try:
        for line in done.stdout.splitlines():
            answer = json.loads(line)["clusters"]
            count = min(REQUEST_EVENTS, len(numbers) - at)
            for name, values in z.items():
                values[numbers[at : at + count]] = np.array(answer[name], np.int64).reshape(-1, count).T
            at += count
    except (ValueError, KeyError, TypeError) as error:
        raise ConversionError(f"{vqrank} clusters: expected codewords, found {one_line(error)}") from None
    if done.returncode != 0 or at != len(numbers):
        found = one_line(done.stderr)[:400] or f"{at} of {len(numbers)} events, exit status {done.returncode}"
        raise ConversionError(f"{vqrank} clusters: expected codewords of all events, found {found}")
