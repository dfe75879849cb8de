"""Sequences of kind "hstu": HSTU over the last events themselves, and where the buckets of times begin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqrank_convert.config_named import OverEvents
from vqrank_convert.jsontext import COUNT_MAX, Fields

if TYPE_CHECKING:
    from vqrank_convert.config_sequences import AttentionConfig, HstuConfig

BUCKET_WIDTH = 0.301
# Every bucket begins below 2^63 seconds: e^(0.301 * 144) = 6.7e18.
TIME_BUCKETS_MAX = 144


@dataclass(frozen=True)
class HstuLastConfig(OverEvents):
    """A sequence of kind "hstu": `last` events at most. Without attention the last event's output is the interest
    vector, of width D = event_width."""

    name: str
    last: int
    scale: str
    positions: bool
    time_buckets: int
    hstu: HstuConfig
    attention: AttentionConfig | None
    event_width: int

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.event_width if self.attention is None else self.attention.width


def parse_hstu_last(
    name: str, fields: Fields, hstu: HstuConfig, attention: AttentionConfig | None, event_width: int
) -> HstuLastConfig:
    """The rest of a sequence's config once its kind is known to be "hstu"."""
    return HstuLastConfig(
        name,
        fields.integer("last", 1, COUNT_MAX),
        fields.choice("scale", ("one", "sqrt"), default="one"),
        fields.boolean("positions"),
        fields.integer("time_buckets", 0, TIME_BUCKETS_MAX, default=0),
        hstu,
        attention,
        event_width,
    )


def unbounded_bucket(seconds: int) -> int:
    """floor(ln(max(dt, 1)) / 0.301), which an event dt seconds old falls into but for the last bucket."""
    return int(math.log(max(seconds, 1)) / BUCKET_WIDTH)


def time_edges(buckets: int) -> list[int]:
    """The least whole seconds of bucket 1 to `buckets`. Below some 10 seconds buckets are narrower than one, so that
    two may begin at the same."""
    edges = []
    for bucket in range(1, buckets + 1):
        low, high = 1, 2**64  # low is before the bucket, high in it
        while high - low > 1:
            middle = (low + high) // 2
            if unbounded_bucket(middle) >= bucket:
                high = middle
            else:
                low = middle
        edges.append(high)
    return edges
