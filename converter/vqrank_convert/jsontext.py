"""JSON as this project takes it: no duplicate keys, no NaN, and typed access that names the place of a mistake."""

import json
import math
import re
from collections.abc import Collection
from typing import Any, NoReturn

from vqrank_convert.errors import ConversionError, not_supported, one_line, quote, refuse

NAME = re.compile(r"[A-Za-z0-9_-]+")
OUTPUT_NAME = re.compile(r"[!-~]+")
# What readers of the file accept: tensors' names of 200 bytes, of which a name is a part, and lines of 1000.
NAME_MAX = 150
TEXT_MAX = 1000
UINT32_MAX = 2**32 - 1
# What the library takes of heads, widths and whatever else a sequence counts.
COUNT_MAX = 2**20


def parse(text: str, what: str) -> Any:
    """Parses JSON text and refuses what Python's parser lets through: duplicate keys, NaN, Infinity."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result:
                raise ConversionError(f"{what}: expected each key once, found {quote(key)} twice")
            result[key] = value
        return result

    def constant(name: str) -> NoReturn:
        refuse(what, "finite numbers", name)

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        raise ConversionError(f"{what}: expected JSON, found it nested too deeply") from None
    except ValueError as error:
        raise ConversionError(f"{what}: expected JSON, found text that is not: {one_line(error)}") from None


class Fields:
    """One JSON object of the configuration. Each key is taken once; `finish` refuses the keys nobody took."""

    def __init__(self, value: Any, path: str) -> None:
        self.path = path
        self._left = dict(check_object(value, path))
        self._taken: list[str] = []

    def where(self, key: str) -> str:
        return f"{self.path}.{key}"

    def take(self, key: str) -> Any:
        """The value of a required key."""
        self._taken.append(key)
        if key not in self._left:
            raise ConversionError(f"{self.where(key)}: expected this required key, found nothing")
        return self._left.pop(key)

    def take_or(self, key: str, default: Any) -> Any:
        if key in self._left:
            return self.take(key)
        self._taken.append(key)
        return default

    def has(self, key: str) -> bool:
        """Whether an optional key is there, which is known either way."""
        if key not in self._left:
            self._taken.append(key)
        return key in self._left

    def integer(self, key: str, minimum: int, maximum: int = UINT32_MAX, default: int | None = None) -> int:
        value = self.take(key) if default is None else self.take_or(key, default)
        return check_integer(value, self.where(key), minimum, maximum)

    def number(self, key: str, default: float) -> float:
        value = self.take_or(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(self.where(key), "a number", quote(value))
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if not math.isfinite(result):
            refuse(self.where(key), "a finite number", quote(value))
        return result

    def boolean(self, key: str, default: bool = False) -> bool:
        value = self.take_or(key, default)
        if not isinstance(value, bool):
            refuse(self.where(key), "true or false", quote(value))
        return value

    def array(self, key: str) -> list[Any]:
        return check_array(self.take(key), self.where(key))

    def array_or_empty(self, key: str) -> list[Any]:
        return check_array(self.take_or(key, []), self.where(key))

    def name(self, key: str) -> str:
        """A name of a table, feature or sequence."""
        return check_name(self.take(key), self.where(key))

    def text(self, key: str) -> str:
        """A line for people."""
        return check_text(self.take(key), self.where(key))

    def choice(self, key: str, now: Collection[str], later: Collection[str] = (), default: str | None = None) -> str:
        """One of `now`; what the specification has but this release does not run is in `later`."""
        value = self.take(key) if default is None else self.take_or(key, default)
        if isinstance(value, str) and value in now:
            return value
        if isinstance(value, str) and value in later:
            not_supported(self.where(key), quote(value))
        return refuse(self.where(key), " or ".join(quote(x) for x in now), quote(value))

    def finish(self) -> None:
        for key in self._left:
            known = ", ".join(sorted(self._taken))
            raise ConversionError(f"{self.path}: expected only the keys {known}, found {quote(key)}")


def check_integer(value: Any, path: str, minimum: int, maximum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        refuse(path, f"an integer from {minimum} to {maximum}", quote(value))
    return value


def check_object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(path, "an object", quote(value))
    return value


def check_array(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        refuse(path, "an array", quote(value))
    return value


def check_name(value: Any, path: str) -> str:
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        refuse(path, "a name of the characters A-Z a-z 0-9 _ -", quote(value))
    if len(value) > NAME_MAX:
        refuse(path, f"a name of at most {NAME_MAX} characters", f"one of {len(value)}")
    return value


def check_output_name(value: Any, path: str) -> str:
    """Outputs are keys of a response: printable ASCII without spaces."""
    if not isinstance(value, str) or OUTPUT_NAME.fullmatch(value) is None or len(value) > NAME_MAX:
        refuse(path, f"a name of 1 to {NAME_MAX} printable ASCII characters without spaces", quote(value))
    return value


def check_text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        refuse(path, "a string", quote(value))
    if len(check_unicode(value, path)) > TEXT_MAX:
        refuse(path, f"at most {TEXT_MAX} bytes", quote(value))
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        refuse(path, "a string without control characters", quote(value))
    return value


def check_unicode(value: str, path: str) -> bytes:
    """The UTF-8 bytes of a string; JSON's \\ud800 alone has none."""
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        refuse(path, "text that UTF-8 can hold", quote(value))


def check_distinct(values: list[str], path: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            refuse(path, "distinct names", f"{quote(value)} twice")
        seen.add(value)
