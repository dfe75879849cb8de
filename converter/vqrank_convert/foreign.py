"""Checkpoints of other programs: tensors renamed, transposed and given the leading dimensions that this project has.

What a tensor becomes is decided from names and shapes alone; its values are still read piece by piece where nothing has
to be moved. docs/foreign-checkpoints.md is the guide.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vqrank_convert.checkpoint import Checkpoint, Real, TensorInfo
from vqrank_convert.config import Config, resolve
from vqrank_convert.config_hstu import HstuLastConfig
from vqrank_convert.config_sequences import AttendingConfig, DmqnConfig, DotAttentionConfig, HstuConfig
from vqrank_convert.config_vql import OUT_FROM_TENSOR
from vqrank_convert.errors import ConversionError, quote, refuse
from vqrank_convert.jsontext import Fields, check_object, parse
from vqrank_convert.tensors import expected_tensors


@dataclass(frozen=True)
class Rule:
    """One entry of a map: `key` is a foreign name, or a pattern with one `*`; `name` is ours, None to leave it out."""

    key: str
    name: str | None
    transpose: bool = False

    def match(self, foreign: str) -> str | None:
        """What `*` stands for in this foreign name ("" without one); None if the key does not fit."""
        before, star, after = self.key.partition("*")
        if not star:
            return "" if foreign == self.key else None
        fits = len(foreign) > len(before) + len(after) and foreign.startswith(before) and foreign.endswith(after)
        return foreign[len(before) : len(foreign) - len(after)] if fits else None


@dataclass(frozen=True)
class Source:
    """Where one of our tensors comes from, and what is done to it on the way, in this order."""

    foreign: str
    transpose: bool
    interleaved: HstuConfig | None = None  # the outputs are stored head by head


def read_map(path: Path) -> list[Rule]:
    """Parses a file for --map: {"foreign": "ours" | null | {"name": "ours", "transpose": true}}."""
    entries = check_object(parse(read_text(path, "map"), str(path)), str(path))
    return [_rule(key, value, str(path)) for key, value in entries.items()]


def read_text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConversionError(f"{path}: expected a {what}, found {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConversionError(f"{path}: expected a {what} in UTF-8, found bytes that are not") from None


def _rule(key: str, value: Any, path: str) -> Rule:
    where = f"{path}: {quote(key)}"
    if key.count("*") > 1:
        refuse(where, "at most one * in a name", str(key.count("*")))
    transpose = False
    if isinstance(value, dict):
        fields = Fields(value, where)
        value, transpose = fields.take("name"), fields.boolean("transpose")
        fields.finish()
        if value is None:
            refuse(f"{where}.name", "a name of a tensor", "null")
    if value is not None and not isinstance(value, str):
        refuse(where, 'a name, null or {"name": ..., "transpose": true}', quote(value))
    if value is not None and value.count("*") > key.count("*"):
        refuse(where, "no more * in the name than in the key", quote(value))
    return Rule(key, value, transpose)


class Mapped(Checkpoint):
    """A checkpoint under our names. With `rules` every tensor of `inside` is renamed or left out by them; without, the
    names are kept."""

    def __init__(self, inside: Checkpoint, rules: list[Rule] | None) -> None:
        self.path = inside.path
        self.config_text = inside.config_text
        self._inside = inside
        self._mapped = rules is not None
        self._sources = self._identity() if rules is None else _apply(rules, inside.tensors)
        self._moved: dict[str, Real] = {}  # tensors whose elements had to be put in another order, as read
        self.tensors = {name: self._info(name, source) for name, source in self._sources.items()}

    def _identity(self) -> dict[str, Source]:
        return {name: Source(name, transpose=False) for name in self._inside.tensors}

    def _info(self, name: str, source: Source) -> TensorInfo:
        foreign = self._inside.tensors[source.foreign]
        shape = foreign.shape
        if source.transpose:
            if len(shape) < 2:
                refuse(f"tensor {quote(source.foreign)[1:-1]}", "two dimensions or more to transpose", str(list(shape)))
            shape = (*shape[:-2], shape[-1], shape[-2])
        return TensorInfo(name, foreign.dtype, shape)

    def fit(self, config: Config) -> Config:
        """Resolves the config by these tensors' shapes. Under a map a tensor of a dmqn sequence may lack the leading
        dimensions of its shape that are 1: a plain layer has no codebooks."""
        if self._mapped:
            self._lead_outputs(config)
        config = resolve(config, {name: info.shape for name, info in self.tensors.items()})
        if self._mapped:
            prefixes = tuple(f"{s.prefix}." for s in config.sequences if isinstance(s, DmqnConfig))
            for expected in expected_tensors(config):
                if expected.name in self.tensors and expected.name.startswith(prefixes):
                    self._lead(expected.name, expected.shapes)
        return config

    def _lead_outputs(self, config: Config) -> None:
        """The output projections whose width is yet to be learnt from their shape."""
        for sequence in config.sequences:
            if not isinstance(sequence, AttendingConfig):
                continue
            name = f"{sequence.prefix}.attention.out.weight"
            attention = sequence.attention
            if isinstance(attention, DotAttentionConfig) and attention.out == OUT_FROM_TENSOR and name in self.tensors:
                shape = self.tensors[name].shape
                if sequence.parts == (1,) and len(shape) == 2:
                    self._lead(name, ((1, *shape),))

    def _lead(self, name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
        """Gives a tensor the first of `shapes` that it is but for leading ones."""
        found = self.tensors[name]
        for shape in shapes:
            missing = len(shape) - len(found.shape)
            if missing > 0 and shape == (1,) * missing + found.shape:
                self.tensors[name] = TensorInfo(name, found.dtype, shape)
                return

    def reorder_heads(self, config: Config) -> None:
        """Takes F1's outputs to be stored head by head and reads them as U, V, Q, K, heads contiguous in each."""
        sequences = [s for s in config.sequences if isinstance(s, DmqnConfig | HstuLastConfig) and s.hstu.layers]
        if not sequences:
            refuse("--interleaved-heads", "a config with HSTU layers, whose f1 it reorders", "none")
        for sequence in sequences:
            for layer in range(sequence.hstu.layers):
                for part in ("weight", "bias"):
                    name = f"{sequence.prefix}.hstu.{layer}.f1.{part}"
                    if name in self._sources:
                        self._sources[name] = replace(self._sources[name], interleaved=sequence.hstu)

    def raw(self, name: str, first: int, count: int) -> Real:
        source = self._sources[name]
        if not source.transpose and source.interleaved is None:
            return self._inside.raw(source.foreign, first, count)
        if name not in self._moved:
            self._moved[name] = self._move(name, source)
        return self._moved[name][first : first + count]

    def _move(self, name: str, source: Source) -> Real:
        """All elements of a tensor in their new order."""
        shape = self._inside.tensors[source.foreign].shape
        values = self._inside.raw(source.foreign, 0, int(np.prod(shape, dtype=np.int64))).reshape(shape)
        if source.transpose:
            values = np.swapaxes(values, -1, -2)
        if source.interleaved is not None:
            order = uninterleaved(source.interleaved)
            values = np.take(values, order, axis=-2 if name.endswith(".weight") else -1)
        return np.ascontiguousarray(values).reshape(-1)


def uninterleaved(hstu: HstuConfig) -> npt.NDArray[np.int64]:
    """Where each of F1's outputs, in the order U, V, Q, K, is if stored as u, v, q, k of head 0, of head 1, ..."""
    widths = (hstu.v_dim, hstu.v_dim, hstu.qk_dim, hstu.qk_dim)
    stored = np.arange(hstu.f1_width).reshape(hstu.heads, sum(widths))
    return np.concatenate([part.reshape(-1) for part in np.split(stored, np.cumsum(widths)[:-1], axis=1)])


def _apply(rules: list[Rule], foreign: dict[str, TensorInfo]) -> dict[str, Source]:
    """Our names and where each comes from. Refuses tensors without a rule, rules without a tensor, a name twice."""
    result: dict[str, Source] = {}
    used: set[str] = set()
    for name in foreign:
        rule, stands_for = _choose(rules, name)
        used.add(rule.key)
        if rule.name is None:
            continue
        ours = rule.name.replace("*", stands_for)
        if ours in result:
            refuse(f"--map: {ours}", "one tensor under this name", f"{quote(result[ours].foreign)} and {quote(name)}")
        result[ours] = Source(name, rule.transpose)
    for rule in rules:
        if rule.key not in used:
            refuse(f"--map: {quote(rule.key)}", "a tensor of the checkpoint that this entry is for", "none")
    return result


def _choose(rules: list[Rule], name: str) -> tuple[Rule, str]:
    """The rule for a tensor: its own name before patterns, of patterns the longest."""
    fitting = [(rule, found) for rule in rules if (found := rule.match(name)) is not None]
    if not fitting:
        refuse(f"--map: tensor {quote(name)}", "an entry for it, null to leave it out", "none")
    fitting.sort(key=lambda pair: ("*" in pair[0].key, -len(pair[0].key)))
    best = fitting[0]
    if len(fitting) > 1 and "*" in best[0].key and len(fitting[1][0].key) == len(best[0].key):
        both = f"{quote(best[0].key)} and {quote(fitting[1][0].key)}"
        refuse(f"--map: tensor {quote(name)}", "one longest pattern that fits", both)
    return best
