"""Measures what int8 gains in time and size on the standard workloads: fp32, presets and int8-exact of each in turn.

    build/venv/bin/python bench/make_workloads.py build/bench
    build/venv/bin/python bench/int8_speed.py build/bench

A round measures every file once, one after another, on every instruction set; ratios are those of a round, so that what
else the machine does falls on all of them alike. A time is the lower quartile of the repeats that `vqrank bench` makes
in one measurement, in processor time: what neighbours on the same machine add to the others is not the library's.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from vqrank_convert.cli import main as convert

VARIANTS = {
    "fp32": [],
    "server": ["--preset", "server"],
    "mobile": ["--preset", "mobile"],
    "int8-exact": ["--codebook", "int8-exact"],
}
# Events and candidates, as the workloads are defined.
WORKLOADS = {"paper": ("1000,10000", "1,100,1000"), "mobile": ("500", "50")}
Times = dict[str, dict[str, list[float]]]  # row -> variant -> one a round, milliseconds


def rows_of(results: list[dict[str, float | str]]) -> Iterator[tuple[str, float]]:
    """Encoding is append and refresh; scoring is said once, from the last length of history."""
    encode: dict[float | str, float] = defaultdict(float)
    score: dict[str, float] = {}
    for result in results:
        if result["stage"] == "score":
            score[f"score {result['candidates']:,}"] = float(result["lower_quartile_ms"])
        else:
            encode[result["events"]] += float(result["lower_quartile_ms"])
    yield from ((f"encode {events:,}", time) for events, time in encode.items())
    yield from score.items()


def measure(
    options: argparse.Namespace, model: Path, isa: str, events: str, candidates: str
) -> Iterator[tuple[str, float]]:
    """One run of `vqrank bench`."""
    pinned = ["taskset", "-c", str(options.core)] if shutil.which("taskset") else []
    command = [options.vqrank, "bench", str(model), "--json", "--isa", isa, "--seconds", str(options.seconds)]
    done = subprocess.run(
        [*pinned, *command, "--events", events, "--candidates", candidates], capture_output=True, text=True, check=True
    )
    yield from rows_of(json.loads(done.stdout)["results"])


def model_of(options: argparse.Namespace, name: str, variant: str) -> Path:
    return Path(options.folder / f"{name}-{variant}.vqr")


def write_models(options: argparse.Namespace) -> list[str]:
    """Converts all; the table of sizes."""
    lines = ["| | " + " | ".join(VARIANTS) + " |", "|---" * (1 + len(VARIANTS)) + "|"]
    for name in WORKLOADS:
        sizes, states = [], []
        for variant, arguments in VARIANTS.items():
            model = model_of(options, name, variant)
            checkpoint = options.folder / f"{name}.safetensors"
            if convert([str(checkpoint), "-o", str(model), "--quiet", *arguments]) != 0:
                sys.exit(1)
            told = subprocess.run(
                [options.vqrank, "inspect", "--json", str(model)], capture_output=True, text=True, check=True
            )
            sizes.append(f"{model.stat().st_size:,}")
            states.append(f"{json.loads(told.stdout)['state_bytes']:,}")
        lines += [f"| `{name}`, bytes of the file | " + " | ".join(sizes) + " |"]
        lines += [f"| `{name}`, bytes a user | " + " | ".join(states) + " |"]
    return [*lines, ""]


def run_round(options: argparse.Namespace, isas: list[str], every: dict[str, dict[str, Times]]) -> None:
    """Adds one measurement of everything."""
    for name, (events, candidates) in WORKLOADS.items():
        for isa in isas:
            times = every.setdefault(name, {}).setdefault(isa, {})
            for variant in VARIANTS:
                model = model_of(options, name, variant)
                for row, time in measure(options, model, isa, events, candidates):
                    times.setdefault(row, {}).setdefault(variant, []).append(time)


def table(name: str, isa: str, times: Times) -> list[str]:
    """Milliseconds in fp32, and how many times faster each of the others is: median, least and most of the rounds."""
    others = [variant for variant in VARIANTS if variant != "fp32"]
    lines = [f"| `{name}`, {isa} | fp32, ms | " + " | ".join(others) + " |", "|---" * (2 + len(others)) + "|"]
    for row, by in times.items():
        cells = []
        for variant in others:
            ratios = sorted(a / b for a, b in zip(by["fp32"], by[variant], strict=True))
            cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
        lines.append(f"| {row} | {statistics.median(by['fp32']):.4g} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what bench/make_workloads.py wrote")
    parser.add_argument("--isa", default="avx512vnni,avx512,avx2", help="instruction sets (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.15, help="of each measurement (%(default)s)")
    parser.add_argument("--core", type=int, default=0, help="where to stay (%(default)s)")
    parser.add_argument("--vqrank", default="build/release/bin/vqrank", help="(%(default)s)")
    options = parser.parse_args()
    lines, isas = write_models(options), options.isa.split(",")
    every: dict[str, dict[str, Times]] = {}
    for _ in tqdm(range(options.rounds), desc="rounds", disable=not sys.stderr.isatty()):
        run_round(options, isas, every)
    (options.folder / "int8.json").write_text(json.dumps(every, indent=1) + "\n")
    for name, own in every.items():
        for isa, times in own.items():
            lines += table(name, isa, times)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
