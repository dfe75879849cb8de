"""What the programs of this folder have in common: how they explain themselves, and how they end on bad input."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def parser_of(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser whose --help is a program's own text and its example, line by line."""
    return argparse.ArgumentParser(
        description=description, epilog=example, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run(main: Callable[[], None]) -> None:
    """A program's main; a ValueError ends it with one line."""
    try:
        main()
    except ValueError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
