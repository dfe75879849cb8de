"""Makes the files of examples/commits: a checkpoint, real histories, held-out moments and the names they need."""

from __future__ import annotations

import copy
import csv
import io
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqrank_train.checkpoint import build, save_checkpoint
from vqrank_train.commits.data import ACTIONS, FEATURES, NEGATIVES, POOL, Commits, Moments, read_names
from vqrank_train.model import Ranker

TOUCHES = "touches"
LENGTHS = (1500, 4000)  # events that a developer must have at the first moment


def candidates_of(
    commits: Commits, moments: Moments, moment: int, cap: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What could be touched at a moment, most touched first, how often each was, and what then was.

    Distinct files of the repository's last POOL touches before it, without those whose last touch deleted them; the
    `cap` most touched (ties: the latest), and the touched ones that fall behind them at the end.
    """
    repository, seen = int(moments.repository[moment]), int(moments.seen[moment])
    pool = commits.pool(repository, seen)
    items, last, counts = np.unique(pool[::-1], return_index=True, return_counts=True)  # last: touches ago
    alive = ~np.isin(items, commits.deleted(repository, int(moments.time[moment])))
    items, last, counts = items[alive], last[alive], counts[alive]
    order = np.lexsort((last, -counts))
    items, counts = items[order], counts[order]
    relevant = np.isin(items, moments.positives(moment))
    kept = relevant | (np.arange(len(items)) < cap)
    return items[kept], counts[kept], items[relevant]


def touchable(commits: Commits, moments: Moments, moment: int) -> bool:
    """Whether any touched file is among the repository's last POOL touches."""
    pool = commits.pool(int(moments.repository[moment]), int(moments.seen[moment]))
    return bool(np.isin(moments.positives(moment), pool).any())


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    """An .xz of a CSV with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(lzma.compress(text.getvalue().encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


def choose(commits: Commits, test: Moments, developers: int, each: int) -> list[tuple[int, list[int]]]:
    """Developers with long histories and their moments, evenly spread over the test part; at most two a repository
    before every repository had its turn."""
    found: dict[int, list[int]] = {}
    for user in np.unique(test.user):
        own = np.flatnonzero(test.user == user)
        if LENGTHS[0] <= test.history[own[0]] < LENGTHS[1] and len(own) >= each:
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
        kept = [m for m in found[user] if touchable(commits, test, m)]
        if len(kept) >= each:
            result.append((user, [kept[i] for i in np.linspace(0, len(kept) - 1, each).round().astype(int)]))
        if len(result) == developers:
            break
    return result


def cut_down(module: Ranker, commits: Commits, items: np.ndarray) -> Ranker:
    """A copy whose direct tables keep only the rows that these files need, as vocabularies."""
    source, state = copy.deepcopy(module.config.source), dict(module.state_dict())
    for name in FEATURES:
        table = source["tables"].get(name)
        if table and table["ids"] == "direct":
            keys = np.unique(commits.candidate[name][items])
            source["tables"][name] = {
                "rows": len(keys) + 1,
                "dim": table["dim"],
                "ids": "vocabulary",
                "keys": keys.tolist(),
            }
            state[f"tables.{name}.weight"] = state[f"tables.{name}.weight"][[0, *keys.tolist()]]
    return build(source, state)


@torch.no_grad()
def with_prior(module: Ranker, files: float) -> Ranker:
    """A copy with a candidate feature `touches`, ln of the file's touches among the last POOL, and an output `next`.

    Negatives were drawn in proportion to touches, NEGATIVES a positive, so the model's odds o are those of being
    touched beyond what popularity explains. A commit of so many `files` then touches a file with odds of about
    o * NEGATIVES * files * touches / POOL: `next`, exact in the logits. It comes first, the model's own output second.
    """
    old = module.config
    source = copy.deepcopy(old.source)
    source["candidate"].append({"name": TOUCHES, "kind": "float"})
    source["head"]["outputs"] = ["next", *old.head.outputs]
    source["head"]["hidden"] = [width + 1 for width in old.head.hidden]  # ln touches >= 0 passes every relu
    state = dict(module.state_dict())
    for sequence in old.sequences:
        name = f"sequences.{sequence.name}.attention.q.weight"
        state[name] = torch.nn.functional.pad(state[name], (0, 1))
    place = sum(old.width(group) for group in ("user", "context", "candidate"))  # of touches in the head's input
    for layer in range(len(old.head.hidden) + 1):
        weight, bias = state[f"head.{layer}.weight"], state[f"head.{layer}.bias"]
        column = torch.zeros(len(weight), 1)
        weight = torch.cat([weight[:, :place], column, weight[:, place:]], 1)
        if layer < len(old.head.hidden):
            weight = torch.cat([weight, torch.zeros(1, weight.shape[1])])
            weight[-1, place] = 1.0
            bias = torch.cat([bias, torch.zeros(1)])
            place = len(weight) - 1
        else:
            weight, bias = torch.cat([weight[:1], weight]), torch.cat([bias[:1], bias])
            weight[0, place] = 1.0
            bias[0] += math.log(NEGATIVES * files / POOL)
        state[f"head.{layer}.weight"], state[f"head.{layer}.bias"] = weight, bias
    return build(source, state)


def write_example(
    commits: Commits, data: Path, module: Ranker, out: Path, developers: int, each: int, cap: int
) -> None:
    """Write everything but the scripts and the README."""
    out.mkdir(parents=True, exist_ok=True)
    training, _, test = commits.parts()
    history, moments, needed = [], [], set()
    for user, own in choose(commits, test, developers, each):
        low, high = int(commits.start[user]), int(commits.start[user]) + int(test.history[own[-1]])
        event = commits.event
        for i in range(low, high):
            history.append([user, event["time"][i], event["item"][i], ACTIONS[int(event["action"][i])]])
            needed.add(int(event["item"][i]))
        for number, m in enumerate(own, 1):
            items, counts, relevant = candidates_of(commits, test, m, cap)
            if not len(relevant):  # only files that had been deleted before
                continue
            needed.update(items.tolist())
            moments.append(
                [
                    user, number, test.time[m], test.repository[m], test.history[m],
                    " ".join(map(str, relevant)), " ".join(map(str, items)), " ".join(map(str, counts)),
                ]
            )  # fmt: skip
    write_csv(out / "histories.csv.xz", ["developer", "time", "item", "action"], history)
    header = ["developer", "moment", "time", "repository", "events", "relevant", "candidates", "touches"]
    write_csv(out / "moments.csv.xz", header, moments)
    files = sorted(needed)
    module = with_prior(cut_down(module, commits, np.array(files)), len(training.items) / len(training))
    save_checkpoint(out / "model.safetensors", module, dtype=torch.float16)
    rows = [[item, *(int(commits.candidate[name][item]) for name in (*FEATURES[1:], "repository"))] for item in files]
    write_csv(out / "files.csv.xz", ["item", *FEATURES[1:], "repository"], rows)
    names = read_names(data, "items")
    write_csv(out / "items.csv.xz", ["id", "name"], [[item, names[item]] for item in files])
    names = read_names(data, "repositories")
    write_csv(out / "repositories.csv.xz", ["id", "name"], [[i, name] for i, name in sorted(names.items())])
    total = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    print(f"{len(moments)} moments, {len(history)} events, {len(files)} files; {total / 1e6:.2f} MB in {out}")
