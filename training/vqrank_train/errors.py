"""Refusals that are neither a config's nor a checkpoint's, and how to say them in one line."""

from __future__ import annotations


class DataError(ValueError):
    """Files of a data set that are not what its reader expects; the message names the file."""


class RunError(ValueError):
    """A run that cannot begin, go on or end as asked; the message says what to do."""


def one_line(error: BaseException) -> str:
    """Somebody else's message folded to one line, with what kind of error it is."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200].rstrip(": ")
