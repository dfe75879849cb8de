#!/usr/bin/env python3
"""Counts instructions per event, per refresh and per candidate of the standard workloads on every tier.

AArch64 and AVX2 run under QEMU's user mode with a plugin that counts (plugin.c); AVX-512, which QEMU does not know, is
single-stepped, which is exact and slow, so with few events and candidates. Counts are differences of two runs that do
different amounts of the same work: start-up, opening the model and everything done once falls away.
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from program import parser_of, run
from results import Part, read, write
from tqdm import tqdm

EXAMPLE = """example, after both builds and the models are made:
  build/venv/bin/python bench/make_workloads.py build/bench
  build/venv/bin/vqrank-convert build/bench/paper.safetensors -o build/bench/paper-server.vqr --preset server
  build/venv/bin/vqrank-convert build/bench/mobile.safetensors -o build/bench/mobile-mobile.vqr --preset mobile
  build/venv/bin/python bench/arm/count.py build/bench/paper.vqr build/bench/mobile-mobile.vqr -o docs/arm.json
"""
# Tier -> the build it is in and how it is counted.
EMULATED = {"neon": "aarch64", "neondot": "aarch64", "i8mm": "aarch64", "avx2": "release"}
STEPPED = {"avx512": "release", "avx512vnni": "release"}
COMPILERS = {"aarch64": "aarch64-linux-gnu-gcc", "release": "cc"}
EMULATORS = {"aarch64": "qemu-aarch64", "release": "qemu-x86_64"}
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/arm"
# Events and candidates of the shorter run; the longer one has twice as many. Whole blocks of the library's, 48.
EMULATED_WORK, STEPPED_WORK = (480, 96), (48, 48)
TOP = 8  # functions that are named, by their share
Run = Callable[[int, int, int], Counter[str]]  # events, refresh, candidates -> instructions by function


def compile_programs() -> None:
    """The work for both processors, and the plugin."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for build, compiler in COMPILERS.items():
        library = str(ROOT / "build" / build / "lib/libvqrank.a")
        include, program = f"-I{ROOT / 'runtime/include'}", str(FOLDER / f"count-{build}")
        linked = [str(ROOT / "bench/arm/count.c"), library, "-lsleef", "-lm"]
        subprocess.run([compiler, "-O2", include, *linked, "-o", program], check=True)
    plugin = str(ROOT / "bench/arm/plugin.c")
    host = os.environ.get("CC", "cc")
    subprocess.run([host, "-O2", "-shared", "-fPIC", plugin, "-o", str(FOLDER / "plugin.so")], check=True)


def table_rows(model: Path, vqrank: Path) -> list[str]:
    """Rows of the tables behind the features of user, event and candidate, as count.c takes them."""
    told = subprocess.run([vqrank, "inspect", "--json", model], capture_output=True, text=True, check=True)
    header = json.loads(told.stdout)
    rows = {table["name"]: table["rows"] for table in header["tables"]}
    groups = []
    for group in ("user", "event", "candidate"):
        features = header["features"][group]
        if other := next((f for f in features if f["kind"] != "id"), None):
            raise ValueError(f"{model}: feature {other['name']}: expected kind id, found {other['kind']}")
        groups.append(",".join(str(rows[f["table"]]) for f in features))
    return groups


def emulated(model: Path, tier: str, rows: list[str]) -> Run:
    """Runs of a tier under QEMU."""
    build = EMULATED[tier]
    counts = FOLDER / "counts.txt"
    emulator = [EMULATORS[build], *(["-cpu", "max"] if build == "release" else [])]
    plugin = ["-plugin", str(FOLDER / "plugin.so"), "-d", "plugin", "-D", str(counts)]

    def run(events: int, refresh: int, candidates: int) -> Counter[str]:
        work = [str(FOLDER / f"count-{build}"), str(model), tier, str(events), str(refresh), str(candidates), *rows]
        subprocess.run([*emulator, *plugin, *work], check=True)
        by_function: Counter[str] = Counter()
        for line in counts.read_text().splitlines():
            name, count = line.rsplit(" ", 1)
            by_function[name] += int(count)
        return by_function

    return run


def stepped(model: Path, tier: str, rows: list[str]) -> Run:
    """Runs of a tier instruction by instruction; functions are not told apart."""

    def run(events: int, refresh: int, candidates: int) -> Counter[str]:
        work = [str(FOLDER / "count-release"), str(model), tier, str(events), str(refresh), str(candidates), *rows]
        done = subprocess.run([*work, "step"], capture_output=True, text=True, check=True)
        return Counter({"?": int(done.stdout)})

    return run


def stage(name: str, more: Counter[str], fewer: Counter[str], units: int) -> Part:
    """What `units` units of work took more, by unit."""
    by_function = Counter(more)
    by_function.subtract(fewer)
    total = sum(by_function.values())
    most = {f: round(n / total, 3) for f, n in by_function.most_common(TOP) if 0.02 * total < n < total}
    return {"stage": name, "instructions": round(total / units, 1), "shares": most}


def count(model: Path, tier: str, vqrank: Path, step: bool) -> list[Part]:
    """All stages of one model on one tier."""
    rows = table_rows(model, vqrank)
    slow = step or tier in STEPPED
    run = (stepped if slow else emulated)(model, tier, rows)
    events, candidates = STEPPED_WORK if slow else EMULATED_WORK
    appended = run(2 * events, 0, 0)
    stages = [
        stage("event", appended, run(events, 0, 0), events),
        stage("candidate", run(0, 0, 2 * candidates), run(0, 0, candidates), candidates),
    ]
    if not slow:
        stages.append(stage("refresh", run(2 * events, 1, 0), appended, 1))
    return [{"model": model.stem, "tier": tier, "method": "stepped" if slow else "QEMU", **s} for s in stages]


def main() -> None:
    parser = parser_of(__doc__, EXAMPLE)
    parser.add_argument("models", type=Path, nargs="+", help="models whose features are all ids (.vqr)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file; its part `counts` is updated")
    parser.add_argument("--tiers", default=",".join([*EMULATED, *STEPPED]), help="tiers, by commas (all)")
    parser.add_argument("--vqrank", type=Path, default=ROOT / "build/release/bin/vqrank", help="(build/release's)")
    parser.add_argument("--step", action="store_true", help="single-step AVX2 too, to compare the two ways to count")
    options = parser.parse_args()
    compile_programs()
    kept: list[Part] = read(options.output).get("counts", {}).get("rows", [])
    todo = [(model, tier) for model in options.models for tier in options.tiers.split(",")]
    for model, tier in tqdm(todo, disable=None):
        counted = count(model, tier, options.vqrank, options.step)
        methods = {r["method"] for r in counted}
        kept = [r for r in kept if (r["model"], r["tier"]) != (model.stem, tier) or r["method"] not in methods]
        kept += counted
        qemu = subprocess.run(["qemu-aarch64", "--version"], capture_output=True, text=True).stdout.splitlines()[0]
        write(options.output, "counts", {"qemu": qemu, "rows": kept})
        for r in counted:
            print(f"{r['model']:<16}{r['tier']:<11}{r['stage']:<10}{r['instructions']:>12,.1f}")


if __name__ == "__main__":
    run(main)
