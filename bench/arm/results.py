"""The file of results, docs/arm.json: one part a program, each replaced whole by the program that measures it."""

import json
from pathlib import Path
from typing import Any

Part = dict[str, Any]


def read(path: Path) -> dict[str, Part]:
    """All parts; none where there is no file yet."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, name: str, part: Part) -> None:
    """Replaces one part."""
    parts = read(path)
    parts[name] = part
    path.write_text(json.dumps(dict(sorted(parts.items())), indent=1) + "\n")
