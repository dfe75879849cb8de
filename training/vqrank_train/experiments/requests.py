"""Moments of a data set's test part as requests of the command vqrank, with what came of each candidate.

A request gives what the trainer's `Inputs` look up and normalise, raw: the model file scores what the checkpoint does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vqrank_train.checkpoint import load_checkpoint
from vqrank_train.config import Feature, WindowSequence
from vqrank_train.experiments.runs import SPEC
from vqrank_train.experiments.table import load, test_sample
from vqrank_train.model import Ranker
from vqrank_train.trainer.blocks import runs
from vqrank_train.trainer.dataset import DataSet, Moments, Sample
from vqrank_train.trainer.inputs import Inputs, is_position, phase
from vqrank_train.trainer.spec import read_json

CHECKPOINT = "model.safetensors"  # of a run, in its folder


def checkpoint_of(path: Path) -> Path:
    """A checkpoint, or that of a run's folder."""
    return path / CHECKPOINT if path.is_dir() else path


def spec_beside(checkpoint: Path) -> dict[str, Any]:
    """The training config that a run's folder keeps beside its checkpoint; none where there is no such file."""
    path = checkpoint.with_name(SPEC)
    return dict(read_json(path)) if path.exists() else {}


def seed_of(checkpoint: Path) -> int:
    """The seed of a table's run, which its folder is named by; 0 elsewhere."""
    name = checkpoint.resolve().parent.name
    return int(name) if name.isdecimal() else 0


def load_for(name: str, data: Path, checkpoint: Path, files: Path) -> Any:
    """The data set, with the columns of codes that the run of a checkpoint had."""
    return load(name, data, spec_beside(checkpoint), files, seed_of(checkpoint))


class Writer:
    """Makes requests of moments; what many have in common is written out once."""

    def __init__(self, data: DataSet, module: Ranker) -> None:
        self.data, self.config = data, module.config
        quantizers = {name: module.quantizers[name] for name in module.config.quantizers}
        Inputs(data, module.config, quantizers=quantizers)  # refuses what has no column
        self.last = 0  # events that are read
        for sequence in module.config.sequences:
            self.last = max(self.last, sequence.last if isinstance(sequence, WindowSequence) else 1 << 60)
        self.ids: dict[str, list[str]] = {}  # of a column of ids: `values` by code
        self.user, self.first = -1, 0
        self.events: list[str] = []  # of that user, from its event `first` on

    def values(self, feature: Feature, column: np.ndarray) -> list[str]:
        """`"name": value` of every row, "" where the feature is absent."""
        key = json.dumps(feature.name)
        if feature.kind == "id":
            if feature.name not in self.ids:
                every = self.data.raw(feature.name)
                self.ids[feature.name] = ["" if raw is None else f"{key}: {json.dumps(raw)}" for raw in every]
            texts = self.ids[feature.name]
            return [texts[code] for code in column.tolist()]
        if column.ndim > 1:
            return ["" if np.isnan(row).any() else f"{key}: {json.dumps(row.tolist())}" for row in column]
        return [f"{key}: {value!r}" for value in column.tolist()]

    def rows(self, group: str, columns: dict[str, np.ndarray], count: int) -> list[str]:
        """JSON objects of rows whose columns are given by feature."""
        parts = [self.values(feature, columns[feature.name]) for feature in self.config.groups[group]]
        if not parts:
            return ["{}"] * count
        return [f"{{{', '.join(filter(None, row))}}}" for row in zip(*parts, strict=True)]

    def columns(self, group: str, index: Any, n: np.ndarray) -> dict[str, np.ndarray]:
        """What events or items [L] have, by feature; n [L] is what positions in a history are made of."""
        table = self.data.event if group == "event" else self.data.candidate
        found = {}
        for feature in self.config.groups[group]:
            if feature.kind in ("vector", "semantic_id"):
                items = self.data.event["item"][index] if group == "event" else index
                found[feature.name] = self.data.vectors[feature.name][items]
            elif is_position(feature, group, table):
                found[feature.name] = phase(feature.name, n)
            elif feature.name in table:
                found[feature.name] = table[feature.name][index]
        return found

    def event_rows(self, user: int, low: int, high: int) -> list[str]:
        """The user's events `low` to `high` of its history; neither falls along its moments."""
        if user != self.user or low < self.first:
            self.user, self.first, self.events = user, low, []
        n = np.arange(self.first + len(self.events), high)
        if len(n):
            self.events += self.rows("event", self.columns("event", int(self.data.start[user]) + n, n), len(n))
        return self.events[low - self.first : high - self.first]

    def line(self, moments: Moments, moment: int, items: np.ndarray, label: np.ndarray | None) -> str:
        """One request; with `label` what came of each candidate, as the last key."""
        user, history = int(moments.user[moment]), int(moments.history[moment])
        at = np.array([moment])
        context = {name: column[at] for name, column in moments.context.items()}
        own = {name: column[[user]] for name, column in self.data.user.items()}
        candidates = self.columns("candidate", items, np.full(len(items), history))
        parts = [f'"id": {moment}']
        if moments.time is not None:
            parts.append(f'"time": {int(moments.time[moment])}')
        parts += [
            f'"user": {self.rows("user", own, 1)[0]}',
            f'"context": {self.rows("context", context, 1)[0]}',
            f'"events": [{", ".join(self.event_rows(user, max(0, history - self.last), history))}]',
            f'"candidates": [{", ".join(self.rows("candidate", candidates, len(items)))}]',
        ]
        if label is not None:
            parts.append(f'"labels": {json.dumps({self.config.head.outputs[0]: label.tolist()})}')
        return f"{{{', '.join(parts)}}}\n"

    def lines(self, moments: Moments, sample: Sample, labels: bool) -> Iterator[str]:
        """The requests of a sample."""
        for moment, low, high in runs(sample.moment):
            yield self.line(moments, moment, sample.item[low:high], sample.label[low:high] if labels else None)


def write_requests(path: Path, writer: Writer, moments: Moments, sample: Sample, labels: bool) -> int:
    """Write the requests of a sample, replaced by rename; returns how many they are."""
    part = path.with_name(f"{path.name}.part")
    count = 0
    with open(part, "w", encoding="utf-8") as file:
        total = len(runs(sample.moment))
        for line in tqdm(writer.lines(moments, sample, labels), total=total, unit="moment", disable=None):
            file.write(line)
            count += 1
    os.replace(part, path)
    return count


def export(
    name: str, data_folder: Path, run: Path, out: Path, count: int | None, seed: int, labels: bool, files: Path
) -> str:
    """What `vqrank-train requests` does; returns what to say of it."""
    checkpoint = checkpoint_of(run)
    module = load_checkpoint(checkpoint)
    data = load_for(name, data_folder, checkpoint, files)
    test = data.parts()[2]
    sample = test_sample(name, data, test, count, seed)
    written = write_requests(out, Writer(data, module), test, sample, labels)
    positive = int(sample.label.sum())
    return f"{out}: {written:,} moments of {len(test):,}, {len(sample.item):,} candidates, {positive:,} positive"
