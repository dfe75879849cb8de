"""Sequences of kind "sdim": events that a candidate finds by hashes of both."""

from dataclasses import dataclass

from vqrank_convert.config_named import Named
from vqrank_convert.jsontext import Fields

HASHES_MAX = 1024
BITS_MAX = 12


@dataclass(frozen=True)
class SdimConfig(Named):
    """A sequence of kind "sdim": G = hashes of tau = bits. `event_width` is D."""

    name: str
    hashes: int
    bits: int
    event_width: int

    @property
    def width(self) -> int:
        """Columns of the user's interest vector."""
        return self.event_width


def parse_sdim(name: str, fields: Fields, event_width: int) -> SdimConfig:
    """The rest of a sequence's config once its kind is known to be "sdim"."""
    hashes, bits = fields.integer("hashes", 1, HASHES_MAX), fields.integer("bits", 1, BITS_MAX)
    return SdimConfig(name, hashes, bits, event_width)
