"""Typed reading of JSON objects: whatever nobody asked for is refused by name."""

from __future__ import annotations

import math
import re
from typing import Any

from vqrank_train.errors import quote

NAME = re.compile(r"[A-Za-z0-9_-]+")
OUTPUT_NAME = re.compile(r"[!-~]+")  # a key of a response
MISSING = object()
# What a model file holds, so that nothing is trained that could not be converted.
NAME_MAX = 150
TEXT_MAX = 1000  # bytes
LAYERS_MAX = 1024
COUNT_MAX = 2**20  # heads, widths and whatever else a sequence counts
UINT32_MAX = 2**32 - 1
TYPES = {  # as JSON calls them
    dict: "an object", list: "an array", str: "a string", bool: "true or false", int: "an integer", float: "a number",
}  # fmt: skip
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class ConfigError(ValueError):
    """A config that the specification does not allow; the message names the place, the expected and the found."""


class Reader:
    """Takes the keys of one JSON object one by one, with type checks; `close` refuses what nobody took."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected an object, found {quote(value)}")
        self.left = dict(value)
        self.where = where

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = MISSING) -> Any:
        """The value of `key`; booleans are not numbers here."""
        if key not in self.left:
            if default is MISSING:
                raise ConfigError(f"{self.where}: {quote(key)} is required")
            return default
        value = self.left.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(TYPES[k] for k in kinds if not (k is int and float in kinds))
            raise ConfigError(f"{self.where}.{key}: expected {wanted}, found {quote(value)}")
        return value

    def count(self, key: str, low: int, default: Any = MISSING, high: int = UINT32_MAX) -> int:
        """An integer from `low` to `high`."""
        value = self.take(key, int, default)
        if value < low:
            raise ConfigError(f"{self.where}.{key}: expected an integer of at least {low}, found {quote(value)}")
        if value > high:
            raise ConfigError(f"{self.where}.{key}: expected an integer of at most {high}, found {quote(value)}")
        return value

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self.take(key, (float, int), default)
        try:
            found = float(value)
        except OverflowError:  # an integer beyond double
            found = math.inf
        if not math.isfinite(found):
            raise ConfigError(f"{self.where}.{key}: expected a finite number, found {quote(value)}")
        return found

    def choice(self, key: str, options: tuple[str, ...], default: Any = MISSING) -> str:
        """One of `options`."""
        value = self.take(key, str, default)
        if value not in options:
            raise ConfigError(f"{self.where}.{key}: expected one of {', '.join(options)}, found {quote(value)}")
        return value

    def name(self, key: str = "name") -> str:
        """A name of letters, digits, _ and -."""
        return check_name(self.take(key, str), f"{self.where}.{key}")

    def close(self) -> None:
        """Refuse keys that nobody took."""
        if self.left:
            raise ConfigError(f"{self.where}: unknown key {quote(sorted(self.left)[0])}")


def check_name(name: str, where: str) -> str:
    """`name` itself when it is legal."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: expected letters, digits, _ and -, found {quote(name)}")
    if len(name) > NAME_MAX:
        raise ConfigError(f"{where}: expected a name of at most {NAME_MAX} characters, found one of {len(name)}")
    return name


def check_output_name(name: Any, where: str) -> str:
    """`name` itself when an output may have it."""
    if not isinstance(name, str) or not OUTPUT_NAME.fullmatch(name) or len(name) > NAME_MAX:
        wanted = f"a name of 1 to {NAME_MAX} printable ASCII characters without spaces"
        raise ConfigError(f"{where}: expected {wanted}, found {quote(name)}")
    return name


def check_text(text: str, where: str) -> str:
    """`text` itself when it is a line for people."""
    if len(check_unicode(text, where)) > TEXT_MAX:
        raise ConfigError(f"{where}: expected at most {TEXT_MAX} bytes, found {len(text.encode())}")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ConfigError(f"{where}: expected a string without control characters, found {quote(text)}")
    return text


def check_unicode(text: str, where: str) -> bytes:
    """The UTF-8 bytes of a string; JSON's \\ud800 alone has none."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{where}: expected text that UTF-8 can hold, found {quote(text)}") from None


def check_distinct(names: list[str], where: str) -> None:
    """Refuse a name that stands twice in a list."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: the name {quote(name)} stands twice")
