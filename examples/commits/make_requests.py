#!/usr/bin/env python3
"""Writes requests for `vqrank score` from the real histories in this folder, and what was really touched next.

    make_requests.py OUT [--developers N] [--moments N] [--candidates N]

OUT/requests.jsonl: one request a moment of a developer, id "dev-<developer>@<moment>".
OUT/truth.jsonl:    {"id": ..., "relevant": [item ids]}, the same order.
OUT/folders.csv:    id,name of the files' folders, for `vqrank rank --names`.

Which features a request carries is read from the checkpoint's config. Needs Python's standard library only.
"""

import argparse
import csv
import json
import lzma
import math
import re
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
PHASE = re.compile(r"(sin|cos)([1-9][0-9]*)")  # position n in the history on a circle of so many events


def rows(name):
    """Rows of one of this folder's tables as dictionaries."""
    with lzma.open(HERE / f"{name}.csv.xz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def checkpoint_config(path):
    """The JSON config in a .safetensors header: 8 bytes of length, then JSON."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(json.loads(file.read(length))["__metadata__"]["vqrank"])


def write_folders(path, files):
    """Names of folders, from those of the files in them."""
    items = {int(row["id"]): row["name"] for row in rows("items")}
    folders = {own["folder"]: items[item].rpartition("/")[0] + "/" for item, own in files.items()}
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "name"), *sorted(folders.items())])


def maker(features, files):
    """A function (item, n, action, time) -> the object of one event or candidate."""
    known = set(next(iter(files.values())))
    phases = []
    for feature in features:
        phase = PHASE.fullmatch(feature["name"])
        if phase:
            phases.append((feature["name"], getattr(math, phase[1]), 2 * math.pi / int(phase[2])))
        elif feature["name"] not in known | {"action", "time", "touches"}:
            raise SystemExit(f"the checkpoint wants a feature {feature['name']!r} that this data lacks")
    names = [feature["name"] for feature in features]

    def make(item, n, **more):
        own = {**files[item], **more}
        made = {name: own[name] for name in names if own.get(name) is not None}
        for name, function, step in phases:
            made[name] = round(function(n * step), 6)
        return made

    return make


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--developers", type=int, help="only the first so many")
    parser.add_argument("--moments", type=int, help="only the last so many of each developer")
    parser.add_argument("--candidates", type=int, help="only the so many most touched; others that count stay")
    parser.add_argument("--model", type=Path, default=HERE / "model.safetensors", help="checkpoint to make them for")
    args = parser.parse_args()

    config = checkpoint_config(args.model)
    files = {int(row["item"]): {name: int(value) for name, value in row.items()} for row in rows("files")}
    event, candidate = maker(config["event"], files), maker(config["candidate"], files)
    histories = {}
    for row in rows("histories"):
        own = histories.setdefault(int(row["developer"]), [])
        made = event(int(row["item"]), len(own), action=row["action"], time=int(row["time"]))
        own.append(json.dumps(made, separators=(",", ":")))
    moments = {}
    for row in rows("moments"):
        moments.setdefault(int(row["developer"]), []).append(row)

    args.out.mkdir(parents=True, exist_ok=True)
    write_folders(args.out / "folders.csv", files)
    written = 0
    with open(args.out / "requests.jsonl", "w") as requests, open(args.out / "truth.jsonl", "w") as truth:
        for developer in list(moments)[: args.developers]:
            for row in moments[developer][-(args.moments or 0) :]:
                n = int(row["events"])
                relevant = [int(item) for item in row["relevant"].split()]
                items = [
                    (int(i), int(n)) for i, n in zip(row["candidates"].split(), row["touches"].split(), strict=True)
                ]
                if args.candidates:
                    items = items[: args.candidates] + [i for i in items[args.candidates :] if i[0] in relevant]
                name = f"dev-{developer}@{row['moment']}"
                head = {"id": name, "time": int(row["time"])}
                if config.get("context"):
                    head["context"] = {"repository": int(row["repository"])}
                tail = json.dumps(
                    [candidate(i, n, touches=round(math.log(k), 6)) for i, k in items], separators=(",", ":")
                )
                requests.write(json.dumps(head, separators=(",", ":"))[:-1])
                requests.write(f',"events":[{",".join(histories[developer][:n])}],"candidates":{tail}}}\n')
                truth.write(json.dumps({"id": name, "relevant": relevant}) + "\n")
                written += 1
    print(f"{written} requests of {len(list(moments)[: args.developers])} developers in {args.out / 'requests.jsonl'}")


if __name__ == "__main__":
    main()
