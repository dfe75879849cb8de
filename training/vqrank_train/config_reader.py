"""Typed reading of JSON objects: whatever nobody asked for is refused by name."""

from __future__ import annotations

import re
from typing import Any

NAME = re.compile(r"[A-Za-z0-9_-]+")
MISSING = object()


class ConfigError(ValueError):
    """A config that the specification does not allow; the message names the place, the expected and the found."""


class Reader:
    """Takes the keys of one JSON object one by one, with type checks; `close` refuses what nobody took."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected an object, found {value!r}")
        self.left = dict(value)
        self.where = where

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = MISSING) -> Any:
        """The value of `key`; booleans are not numbers here."""
        if key not in self.left:
            if default is MISSING:
                raise ConfigError(f"{self.where}: {key!r} is required")
            return default
        value = self.left.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            raise ConfigError(f"{self.where}.{key}: expected {wanted}, found {value!r}")
        return value

    def count(self, key: str, low: int, default: Any = MISSING) -> int:
        """An integer of at least `low`."""
        value = self.take(key, int, default)
        if value is not None and value < low:
            raise ConfigError(f"{self.where}.{key}: expected an integer of at least {low}, found {value!r}")
        return value

    def choice(self, key: str, options: tuple[str, ...], default: Any = MISSING) -> str:
        """One of `options`."""
        value = self.take(key, str, default)
        if value not in options:
            raise ConfigError(f"{self.where}.{key}: expected one of {', '.join(options)}, found {value!r}")
        return value

    def name(self, key: str = "name") -> str:
        """A name of letters, digits, _ and -."""
        return check_name(self.take(key, str), f"{self.where}.{key}")

    def close(self) -> None:
        """Refuse keys that nobody took."""
        if self.left:
            raise ConfigError(f"{self.where}: unknown key {sorted(self.left)[0]!r}")


def check_name(name: str, where: str) -> str:
    """`name` itself when it is legal."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: expected letters, digits, _ and -, found {name!r}")
    return name


def check_distinct(names: list[str], where: str) -> None:
    """Refuse a name that stands twice in a list."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: the name {name!r} stands twice")
