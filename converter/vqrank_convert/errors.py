"""Refusals: what is wrong, what was expected, what was found, always on one line."""

import json
from typing import Any, NoReturn

_LONGEST = 80


class ConversionError(Exception):
    """A checkpoint, an argument or a result that the converter refuses. The message is one line."""


def quote(value: Any) -> str:
    """A JSON value as it may stand in a message: on one line, printable, at most about 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=True)
    except RecursionError:
        return "a value nested too deeply to show"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def refuse(name: str, expected: str, found: str) -> NoReturn:
    """Refuses the thing called `name`."""
    raise ConversionError(f"{name}: expected {expected}, found {found}")


def not_supported(name: str, what: str) -> NoReturn:
    """Refuses what is planned and this release does not run."""
    raise ConversionError(f"{name}: {what} is not supported yet by this version")


def one_line(text: object) -> str:
    """Somebody else's message (a library's, the operating system's) folded to one line."""
    return " ".join(str(text).split())
