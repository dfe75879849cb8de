"""One run: the workloads in turn, then the results."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import machine
import report
from contestants import CONTESTANTS
from harness import Places, Plan, Race, exports_folder
from rows import ROWS, Row

QUICK_ROWS = ("encode 100,000", "score 1,000 cold")  # left out of --quick: they take most of the time


def chosen_rows(options: argparse.Namespace, workload: str) -> list[Row]:
    rows = ROWS[workload]
    if options.rows:
        names = options.rows.split(";")
        known = {row.name for every in ROWS.values() for row in every}
        if unknown := [name for name in names if name not in known]:
            sys.exit(f"--rows: no row {unknown[0]!r}; --list names them")
        return [row for row in rows if row.name in names]
    return [row for row in rows if not (options.quick and row.name in QUICK_ROWS)]


def chosen_contestants(options: argparse.Namespace) -> list[Any]:
    if not options.peers:
        return [c for c in CONTESTANTS if not (options.quick and c.slow)]
    names = options.peers.split(",")
    # Names have commas of their own ("PyTorch, AVX2"): those that continue the name before.
    joined: list[str] = []
    for name in names:
        if joined and f"{joined[-1]},{name}" in {c.name for c in CONTESTANTS}:
            joined[-1] += f",{name}"
        else:
            joined.append(name)
    if unknown := [name for name in joined if name not in {c.name for c in CONTESTANTS}]:
        sys.exit(f"--peers: no contestant {unknown[0]!r}; --list names them")
    return [c for c in CONTESTANTS if c.name in joined or c.name.startswith("vqrank")]


def models_folder(build: Path, checkpoint: Path) -> Path:
    """Where what belongs to this checkpoint is kept."""
    return build / "models" / f"{checkpoint.stem}-{hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]}"


def export_plain(build: Path, checkpoint: Path, models: Path) -> None:
    path = exports_folder(models, "onnxruntime_peer") / "plain.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(Path(__file__).parent / "export_plain.py"), str(checkpoint), str(path)]
        with (build / "log" / "export-plain.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)


def run(options: argparse.Namespace, root: Path, build: Path) -> int:
    if options.list:
        print("contestants:", *(f"  {c.name}" for c in CONTESTANTS), sep="\n")
        for workload, rows in ROWS.items():
            print(f"rows of {workload}:", *(f"  {row.name}" for row in rows), sep="\n")
        return 0
    if options.again:
        return tell(json.loads(options.again.read_text()), options, root)
    began = time.monotonic()
    core = options.core if options.core is not None else max(os.sched_getaffinity(0))
    plan = Plan(rounds=3, slice=0.04, tune=0.04, probes=1) if options.quick else Plan()
    plan.rounds = options.rounds or plan.rounds
    missing = json.loads((build / "not-installed.json").read_text())
    results: dict[str, Any] = {
        "machine": machine.describe(core),
        "plan": vars(plan),
        "not_installed": missing,
        "workloads": {},
    }
    failed = []
    for workload in options.workloads.split(","):
        checkpoint = build / "bench" / f"{workload}.safetensors"
        models = models_folder(build, checkpoint)
        export_plain(build, checkpoint, models)
        race = Race(
            chosen_contestants(options),
            chosen_rows(options, workload),
            Places(build, models, checkpoint, build / "log"),
            core,
            plan,
        )
        try:
            failures = race.start()
            if failures:
                failed += [f"{workload}: {failure}" for failure in failures]
                continue
            for phase in (race.tune, race.run, race.probe):
                phase()
                print(f"{workload}: {phase.__name__} done after {time.monotonic() - began:.0f} s", file=sys.stderr)
            results["workloads"][workload] = race.results()
        finally:
            race.stop()
    if failed:
        print("outputs differ, nothing is reported:", *failed, sep="\n  ", file=sys.stderr)
        return 1
    results["seconds"] = round(time.monotonic() - began)
    target = options.json or build / "peers.json"
    target.write_text(json.dumps(results, indent=1) + "\n")
    return tell(results, options, root)


def tell(results: dict[str, Any], options: argparse.Namespace, root: Path) -> int:
    print(report.markdown(results))
    if options.docs:
        report.write_docs(results, root / "docs")
    return 0
