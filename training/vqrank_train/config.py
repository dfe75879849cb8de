"""The JSON config of a checkpoint as typed objects: defaults filled in, everything unknown refused by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vqrank_train.config_baselines import (
    HstuSequence,
    SdimSequence,
    SimHardSequence,
    TwinSequence,
    check_match,
)
from vqrank_train.config_inputs import Feature, Quantizer, Table
from vqrank_train.config_parts import ACTIVATIONS, Attention, Hstu, read_hidden
from vqrank_train.config_reader import (
    MISSING,
    ConfigError,
    Reader,
    check_distinct,
    check_name,
    check_output_name,
    check_text,
)
from vqrank_train.config_sequences import (
    DinSequence,
    DmqnSequence,
    Sequence,
    WindowSequence,
    read_sequence,
)
from vqrank_train.config_vql import VqlSequence
from vqrank_train.errors import quote

__all__ = [
    "Attention", "Config", "ConfigError", "DinSequence", "DmqnSequence", "Feature", "Head", "Hstu", "HstuSequence",
    "Quantizer", "SdimSequence", "Sequence", "SimHardSequence", "Table", "TwinSequence", "VqlSequence",
    "WindowSequence",
]  # fmt: skip

GROUPS = ("user", "context", "event", "candidate")


@dataclass(frozen=True)
class Head:
    """The MLP on top: one sigmoid output per name."""

    hidden: tuple[int, ...]
    activation: str
    outputs: tuple[str, ...]

    @classmethod
    def read(cls, value: Any, where: str) -> Head:
        reader = Reader(value, where)
        hidden = read_hidden(reader)
        outputs = [check_output_name(o, f"{where}.outputs[{i}]") for i, o in enumerate(reader.take("outputs", list))]
        if not outputs:
            raise ConfigError(f"{where}.outputs: expected at least one output, found none")
        check_distinct(outputs, f"{where}.outputs")
        found = cls(hidden, reader.choice("activation", ACTIVATIONS), tuple(outputs))
        reader.close()
        return found


@dataclass(frozen=True)
class Config:
    """A whole model. `source` is the JSON object it was read from, kept as it was for the checkpoint."""

    name: str
    tables: dict[str, Table]
    groups: dict[str, tuple[Feature, ...]]
    sequences: tuple[Sequence, ...]
    head: Head
    source: dict[str, Any] = field(repr=False)
    quantizers: dict[str, Quantizer] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Config:
        """Config from a parsed JSON object; raises ConfigError."""
        reader = Reader(value, "config")
        version = reader.take("format", int)
        if version != 1:
            raise ConfigError(f"config.format: expected 1, found {quote(version)}")
        name = check_text(reader.take("name", str), "config.name")
        tables = {
            check_name(key, "config.tables"): Table.read(table, f"config.tables.{key}")
            for key, table in reader.take("tables", dict).items()
        }
        quantizers = {
            check_name(key, "config.quantizers"): Quantizer.read(quantizer, f"config.quantizers.{key}")
            for key, quantizer in reader.take("quantizers", dict, {}).items()
        }
        groups = {}
        for group in GROUPS:
            listed = reader.take(group, list, [] if group in ("user", "context") else MISSING)
            features = tuple(
                Feature.read(f, f"config.{group}[{i}]", group, tables, quantizers) for i, f in enumerate(listed)
            )
            check_distinct([f.name for f in features], f"config.{group}")
            if sum(f.kind == "time" for f in features) > 1:
                raise ConfigError(f"config.{group}: at most one time feature")
            groups[group] = features
        sequences = tuple(
            read_sequence(s, f"config.sequences[{i}]") for i, s in enumerate(reader.take("sequences", list))
        )
        if not sequences:
            raise ConfigError("config.sequences: expected at least one sequence, found none")
        check_distinct([s.name for s in sequences], "config.sequences")
        for i, sequence in enumerate(sequences):
            if isinstance(sequence, SimHardSequence):
                check_match(sequence, groups, f"config.sequences[{i}]")
        head = Head.read(reader.take("head", dict), "config.head")
        reader.close()
        config = cls(name, tables, groups, sequences, head, value, quantizers)
        for group in ("event", "candidate"):
            if not config.width(group):
                raise ConfigError(f"config.{group}: expected at least one feature with an embedding, found none")
        return config

    def width(self, group: str) -> int:
        """Width of a group's embedding: D for event, Dc for candidate."""
        return sum(feature.width(self.tables) for feature in self.groups[group])

    def slices(self, group: str) -> dict[str, slice]:
        """Where each feature lies in its group's embedding."""
        found, low = {}, 0
        for feature in self.groups[group]:
            width = feature.width(self.tables)
            found[feature.name] = slice(low, low + width)
            low += width
        return found

    def matching_features(self) -> list[tuple[slice, slice]]:
        """Places in the candidate's and in the event's embedding of features that take their rows from one table."""
        candidates, events = self.slices("candidate"), self.slices("event")
        found, used = [], set()
        for candidate in self.groups["candidate"]:
            for event in self.groups["event"]:
                if candidate.table and candidate.table == event.table and event.name not in used:
                    found.append((candidates[candidate.name], events[event.name]))
                    used.add(event.name)
                    break
        return found
