"""Runs of an experiment as processes, several side by side on one core each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

RESULT, SPEC = "result.json", "spec.json"  # of a run, in its folder: figures, and the config that they come from


def run_all(plan: Sequence[tuple[Path, list[str]]], jobs: int) -> Iterator[bool]:
    """Run `vqrank-train` with every entry's arguments, `jobs` at a time; tells, in the plan's order, which succeeded.

    What a run prints goes to log.txt in its folder, the entry's first part.
    """

    def run(item: tuple[Path, list[str]]) -> bool:
        folder, arguments = item
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "log.txt", "ab") as log:
            command = [sys.executable, "-m", "vqrank_train.cli", *arguments]
            return not subprocess.run(command, stdout=log, stderr=log, check=False).returncode

    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(plan), unit="run") as bar:
        for (folder, _), done in zip(plan, pool.map(run, plan), strict=True):
            bar.update()
            if not done:
                say(f"failed: see {folder / 'log.txt'}")
            yield done


def begin(folder: Path, spec: dict[str, Any]) -> None:
    """Make a run's folder ready: what lies there of a run with another spec is removed."""
    if folder.exists() and not same_spec(folder, spec):
        for name in (RESULT, "log.jsonl", "state.pt", "model.safetensors"):
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPEC).write_text(json.dumps(spec) + "\n", encoding="utf-8")


def finished(folder: Path, spec: dict[str, Any] | None) -> bool:
    """Whether a run's result is there, and was made with this spec."""
    return (folder / RESULT).exists() and (spec is None or same_spec(folder, spec))


def same_spec(folder: Path, spec: dict[str, Any]) -> bool:
    """Whether a folder's run was begun with this spec."""
    path = folder / SPEC
    return path.exists() and bool(json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(spec)))


def say(text: str) -> None:
    """A line beside the progress bar."""
    tqdm.write(text, file=sys.stderr)


def last_line(path: Path) -> str:
    """The last line of a text file."""
    return path.read_text(encoding="utf-8").splitlines()[-1]
