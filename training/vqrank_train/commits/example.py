"""Makes the files of examples/commits: a checkpoint, real histories, held-out moments and the names they need."""

from __future__ import annotations

import csv
import io
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqrank_train.checkpoint import save_checkpoint
from vqrank_train.commits.data import ACTIONS, FEATURES, Commits, Moments, read_names
from vqrank_train.commits.fit import split_moments
from vqrank_train.model import Ranker

LONG = 1500  # events before the split that a developer must have


def candidates_of(commits: Commits, moments: Moments, moment: int, cap: int) -> tuple[np.ndarray, np.ndarray]:
    """What could be touched at a moment, most touched first, and which of it was.

    Distinct files of the repository's last POOL touches before it, without those whose last touch deleted them; the
    `cap` most touched (ties: the latest), and the touched ones that fall behind them at the end.
    """
    repository, seen = int(moments.repository[moment]), int(moments.seen[moment])
    pool = commits.pool(repository, seen)
    items, last, counts = np.unique(pool[::-1], return_index=True, return_counts=True)  # last: touches ago
    alive = ~np.isin(items, commits.deleted(repository, int(moments.time[moment])))
    items, last, counts = items[alive], last[alive], counts[alive]
    order = np.lexsort((last, -counts))
    items = items[order]
    relevant = items[np.isin(items, moments.positives(moment))]
    kept = items[:cap]
    return np.concatenate([kept, relevant[~np.isin(relevant, kept)]]), relevant


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    """An .xz of a CSV with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(lzma.compress(text.getvalue().encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


def choose(commits: Commits, test: Moments, developers: int, each: int, cap: int) -> list[tuple[int, list[int]]]:
    """Developers with long histories and their moments, evenly spread over the test part; at most two a repository
    before every repository had its turn."""
    found: dict[int, list[int]] = {}
    for user in np.unique(test.user):
        own = np.flatnonzero(test.user == user)
        if test.history[own[0]] >= LONG and len(own) >= each:
            found[int(user)] = own.tolist()
    ranked = sorted(found, key=lambda user: -int(test.history[found[user][0]]))
    taken: dict[int, int] = {}
    order = []
    for user in ranked:
        repository = int(test.repository[found[user][0]])
        taken[repository] = taken.get(repository, 0) + 1
        order.append((taken[repository] > 2, user))
    chosen = [user for _, user in sorted(order, key=lambda pair: pair[0])]
    result = []
    for user in chosen:
        own = [m for m in found[user] if len(candidates_of(commits, test, m, cap)[1])]
        if len(own) >= each:
            result.append((user, [own[i] for i in np.linspace(0, len(own) - 1, each).round().astype(int)]))
        if len(result) == developers:
            break
    return result


def write_example(
    commits: Commits, data: Path, module: Ranker, out: Path, developers: int, each: int, cap: int
) -> None:
    """Write everything but the scripts and the README."""
    out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(out / "model.safetensors", module, dtype=torch.float16)
    _, _, test = split_moments(commits)
    history, moments, needed = [], [], set()
    for user, own in choose(commits, test, developers, each, cap):
        low, high = int(commits.start[user]), int(commits.start[user]) + int(test.history[own[-1]])
        event = commits.event
        for i in range(low, high):
            history.append([user, event["time"][i], event["item"][i], ACTIONS[int(event["action"][i])]])
            needed.add(int(event["item"][i]))
        for number, m in enumerate(own, 1):
            items, relevant = candidates_of(commits, test, m, cap)
            needed.update(items.tolist())
            moments.append(
                [
                    user, number, test.time[m], test.repository[m], test.history[m],
                    " ".join(map(str, relevant)), " ".join(map(str, items)),
                ]
            )  # fmt: skip
    write_csv(out / "histories.csv.xz", ["developer", "time", "item", "action"], history)
    header = ["developer", "moment", "time", "repository", "events", "relevant", "candidates"]
    write_csv(out / "moments.csv.xz", header, moments)
    files = sorted(needed)
    rows = [[item, *(int(commits.file[name][item]) for name in (*FEATURES[1:], "repository"))] for item in files]
    write_csv(out / "files.csv.xz", ["item", *FEATURES[1:], "repository"], rows)
    names = read_names(data, "items")
    write_csv(out / "items.csv.xz", ["id", "name"], [[item, names[item]] for item in files])
    names = read_names(data, "repositories")
    write_csv(out / "repositories.csv.xz", ["id", "name"], [[i, name] for i, name in sorted(names.items())])
    total = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    print(f"{len(moments)} moments, {len(history)} events, {len(files)} files; {total / 1e6:.2f} MB in {out}")
