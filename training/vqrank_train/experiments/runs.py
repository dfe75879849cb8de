"""Runs of an experiment as processes, several side by side on one core each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqrank_train.config import ConfigError
from vqrank_train.trainer.spec import read_json

RESULT, SPEC = "result.json", "spec.json"  # of a run, in its folder: figures, and the config that they come from


def run_all(plan: Sequence[tuple[Path, list[str]]], jobs: int) -> Iterator[tuple[int, bool]]:
    """Run `vqrank-train` with every entry's arguments, `jobs` at a time.

    Tells, as runs end, each one's index in the plan and whether it succeeded. What a run prints goes to log.txt in its
    folder, the entry's first part.
    """

    def run(item: tuple[Path, list[str]]) -> bool:
        folder, arguments = item
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "log.txt", "ab") as log:
            command = [sys.executable, "-m", "vqrank_train.cli", *arguments]
            return not subprocess.run(command, stdout=log, stderr=log, check=False).returncode

    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(plan), unit="run") as bar:
        started = {pool.submit(run, item): i for i, item in enumerate(plan)}
        for ended in as_completed(started):
            i, done = started[ended], ended.result()
            bar.update()
            if not done:
                say(f"failed: see {plan[i][0] / 'log.txt'}")
            yield i, done


def begin(folder: Path, spec: dict[str, Any]) -> None:
    """Make a run's folder ready: what lies there of a run with another spec is removed."""
    if folder.exists() and not same_spec(folder, spec):
        for name in (RESULT, "log.jsonl", "state.pt", "model.safetensors"):
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SPEC, spec)


def finished(folder: Path, spec: dict[str, Any] | None) -> bool:
    """Whether a run's result is there, and was made with this spec."""
    return (folder / RESULT).exists() and (spec is None or same_spec(folder, spec))


def same_spec(folder: Path, spec: dict[str, Any]) -> bool:
    """Whether a folder's run was begun with this spec."""
    path = folder / SPEC
    try:
        return path.exists() and bool(read_json(path) == json.loads(json.dumps(spec)))
    except ConfigError as error:
        raise ConfigError(f"{error}; remove the folder to run it anew") from None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, replaced by rename: whoever reads it, and a run that breaks, finds all of it or the old."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value) + "\n", encoding="utf-8")
    os.replace(part, path)


def say(text: str) -> None:
    """A line beside the progress bar."""
    tqdm.write(text, file=sys.stderr)


def last_line(path: Path) -> str:
    """The last line of a text file."""
    return path.read_text(encoding="utf-8").splitlines()[-1]
