"""Refusals that are neither a config's nor a checkpoint's, and how to say them in one line."""

from __future__ import annotations

import json
from typing import Any

LONGEST = 80  # characters of a value in a message


class DataError(ValueError):
    """Files of a data set that are not what its reader expects; the message names the file."""


class RunError(ValueError):
    """A run that cannot begin, go on or end as asked; the message says what to do."""


def quote(value: Any) -> str:
    """A JSON value as it may stand in a message: on one line, printable, and cut where it is long."""
    try:
        text = json.dumps(value, default=repr)
    except RecursionError:
        return "a value nested too deeply to show"
    except ValueError:  # Python writes no integer of so many digits in decimal
        return "an integer of very many digits"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def one_line(error: BaseException) -> str:
    """Somebody else's message folded to one line, with what kind of error it is."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200].rstrip(": ")
