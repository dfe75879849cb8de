"""What may stand in the `start` part of a training config, and which models it can start."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from vqrank_train.config import (
    Config,
    ConfigError,
    DmqnSequence,
    HstuSequence,
    SdimSequence,
    Sequence,
    VqlSequence,
    WindowSequence,
)
from vqrank_train.errors import quote
from vqrank_train.trainer.inputs import is_phase

# The event feature whose first number starts as 1 for every event: tells a cluster from an empty one.
CONSTANT = "action"
OFFSET = "offset"
HEADS = ("matches", "plain")
HEAD_LAYERS = 2  # hidden ones, that a start on matches takes
DIRECTIONS = 12  # along which the head's first units measure how far a din head's answer is from the candidate
RESERVED = 3  # last numbers of an attention head that starts on positions: cosine, sine, and the offset


def check_plan(config: Config, plan: Any) -> None:
    """Refuse a plan that `start` would not follow to the letter, and models that it cannot start."""
    names = [sequence.name for sequence in config.sequences]
    check_keys(plan, "start", names, ("tables", "head", "quantizers"))
    length = plan.get("tables", 1.0)
    check_number(length, "start.tables")
    if not length > 0:
        raise ConfigError(f"start.tables: expected a length above 0, found {quote(length)}")
    head = plan.get("head", HEADS[0])
    if head not in HEADS:
        raise ConfigError(f"start.head: expected {' or '.join(HEADS)}, found {quote(head)}")
    if head == "matches" and len(config.head.hidden) != HEAD_LAYERS:
        raise ConfigError(
            f"config.head.hidden: expected {HEAD_LAYERS} layers, which start on matches, "
            f"found {len(config.head.hidden)}; start.head may be plain"
        )
    if len(config.head.outputs) != 1:
        raise ConfigError(
            f"config.head.outputs: expected one, as a data set has one label, found {len(config.head.outputs)}"
        )
    for sequence in config.sequences:
        check_sequence(config, sequence, plan[sequence.name], head)


def check_sequence(config: Config, sequence: Sequence, plan: Any, head: str) -> None:
    """One sequence's part of the plan, and its attention."""
    where = f"start.{sequence.name}"
    if isinstance(sequence, VqlSequence):
        if head == "matches" and not sequence.out and sequence.v_dim < DIRECTIONS:
            raise ConfigError(
                f"config.sequences.{sequence.name}.v_dim: expected at least {DIRECTIONS}, along which the head starts "
                f"to tell matches, found {sequence.v_dim}; start.head may be plain"
            )
        check_keys(plan, where, ("heads",))
        check_weights(plan["heads"], f"{where}.heads", sequence.heads, shared_widths(config))
        return
    if isinstance(sequence, SdimSequence):
        check_keys(plan, where, ("hashes",))
        check_hashes(config, plan["hashes"], f"{where}.hashes", sequence.hashes, head)
        return
    attention = sequence.attention
    if attention is None:
        check_keys(plan, where, ())
        return
    if attention.kind != "dot":
        raise ConfigError(
            f"config.sequences.{sequence.name}.attention.kind: expected dot, which the trainer knows how to start, "
            f"found {attention.kind}"
        )
    if attention.out and head == "matches":
        raise ConfigError(
            f"config.sequences.{sequence.name}.attention.out: expected false, as the head starts on what attention "
            "says about matches, found true; start.head may be plain"
        )
    if head == "matches" and not isinstance(sequence, DmqnSequence) and attention.dim < DIRECTIONS:
        raise ConfigError(
            f"config.sequences.{sequence.name}.attention.dim: expected at least {DIRECTIONS}, along which the head "
            f"starts to tell matches, found {attention.dim}; start.head may be plain"
        )
    if head == "matches" and isinstance(sequence, HstuSequence) and sequence.hstu.layers and not sequence.hstu.residual:
        raise ConfigError(
            f"config.sequences.{sequence.name}.hstu.residual: expected true, as the head starts on events as they are, "
            "found false; start.head may be plain"
        )
    events = [name for name, place in config.slices("event").items() if place.stop > place.start]
    both = shared_widths(config)
    if not isinstance(sequence, DmqnSequence):
        check_keys(plan, where, ("heads",))
        check_weights(plan["heads"], f"{where}.heads", attention.heads, both)
        check_room(config, sequence, plan["heads"])
        return
    check_keys(plan, where, ("codebooks", "heads"))
    check_weights(plan["codebooks"], f"{where}.codebooks", sequence.codebooks, events)
    for i, weights in enumerate(plan["codebooks"]):
        check_circle(config, weights, f"{where}.codebooks[{i}]")
    parts = 1 if attention.share else sequence.codebooks
    check_length(plan["heads"], f"{where}.heads", parts)
    for j, heads in enumerate(plan["heads"]):
        known = [*both, OFFSET] if CONSTANT in events else both
        check_weights(heads, f"{where}.heads[{j}]", attention.heads, known)
        check_room(config, sequence, heads)


def shared_widths(config: Config) -> list[str]:
    """Features that events and candidates have in one width."""
    widths = {name: place.stop - place.start for name, place in config.slices("event").items()}
    found = config.slices("candidate").items()
    return [name for name, place in found if 0 < place.stop - place.start == widths.get(name)]


def check_keys(value: Any, where: str, required: Collection[str], optional: Collection[str] = ()) -> None:
    """Refuse what is no object with these keys."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected an object, found {quote(value)}")
    for key in value:
        if key not in required and key not in optional:
            raise ConfigError(f"{where}: expected {', '.join((*required, *optional))}, found {quote(key)}")
    for key in required:
        if key not in value:
            raise ConfigError(f"{where}.{key}: expected this required key, found nothing")


def check_length(value: Any, where: str, length: int) -> None:
    """Refuse what is no array of this length."""
    if not isinstance(value, list) or len(value) != length:
        found = f"{len(value)}" if isinstance(value, list) else quote(value)
        raise ConfigError(f"{where}: expected an array of {length}, found {found}")


def check_weights(value: Any, where: str, length: int, known: Collection[str]) -> None:
    """Refuse what is no array of so many objects of known features' weights."""
    check_length(value, where, length)
    for i, weights in enumerate(value):
        check_keys(weights, f"{where}[{i}]", (), known)
        for name, weight in weights.items():
            check_number(weight, f"{where}[{i}].{name}")
            if weight < 0 and name != OFFSET:
                raise ConfigError(f"{where}[{i}].{name}: expected a weight of at least 0, found {quote(weight)}")


def phases(config: Config) -> set[str]:
    """Names of the events' features that are coordinates of the position in the history."""
    return {feature.name for feature in config.groups["event"] if is_phase(feature)}


def check_hashes(config: Config, value: Any, where: str, hashes: int, head: str) -> None:
    """Refuse what are no weights of features for some of the hash functions, which take turns."""
    length = len(value) if isinstance(value, list) and value else 1
    if length > hashes:
        raise ConfigError(f"{where}: expected at most {hashes}, one for each hash function, found {length}")
    check_weights(value, where, length, shared_widths(config))
    for i, weights in enumerate(value):
        if not any(weights.values()):
            raise ConfigError(f"{where}[{i}]: expected the weight of a feature, found none above 0")
    events = config.slices("event")
    for name in dict.fromkeys(name for weights in value for name in weights):
        width = events[name].stop - events[name].start
        if head == "matches" and name not in phases(config) and width < DIRECTIONS:
            raise ConfigError(
                f"{where}: expected features of at least {DIRECTIONS} numbers, along which the head starts to tell "
                f"matches, found {name} of {width}; start.head may be plain"
            )


def check_room(config: Config, sequence: DmqnSequence | WindowSequence, heads: list[dict[str, float]]) -> None:
    """Refuse heads on positions or with an offset that have no numbers of their own for them."""
    assert sequence.attention is not None
    dim, special = sequence.attention.dim, {OFFSET, *phases(config)}
    if dim <= RESERVED and any(special & weights.keys() for weights in heads):
        raise ConfigError(
            f"config.sequences.{sequence.name}.attention.dim: expected at least {RESERVED + 1} where heads start on "
            f"positions or with an offset, found {dim}"
        )


def check_circle(config: Config, weights: dict[str, float], where: str) -> None:
    """Refuse a codebook over positions that is no circle: cosP and sinP of one period."""
    circle = sorted(phases(config) & weights.keys())
    if circle and (len(circle) != 2 or circle[1] != circle[0].replace("cos", "sin")):
        raise ConfigError(f"{where}: expected cosP and sinP of one period, found {', '.join(circle)}")


def check_number(value: Any, where: str) -> None:
    """Refuse what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: expected a number, found {quote(value)}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond double
        finite = False
    if not finite:
        raise ConfigError(f"{where}: expected a finite number, found {quote(value)}")
