"""Runs of an experiment as processes, several side by side on one core each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm


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
                tqdm.write(f"failed: see {folder / 'log.txt'}")
            yield done


def last_line(path: Path) -> str:
    """The last line of a text file."""
    return path.read_text(encoding="utf-8").splitlines()[-1]
