"""Entry point of the command vqrank-train: the command itself, or how to get what it needs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; without PyTorch say how to install it."""
    try:
        from vqrank_train.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(
            f"vqrank-train: error: the Python package {error.name} is missing; install what training needs with "
            "`build/venv/bin/pip install --editable ./training` (./test.sh does it too)"
        )
    run()


if __name__ == "__main__":
    main()
