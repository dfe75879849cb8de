"""Records what this machine measures: kernels and stages on each of its instruction sets, batches on two threads.

    build/venv/bin/python bench/make_workloads.py build/bench
    build/venv/bin/python bench/record.py build/bench

Writes bench/record/CPU/DATE.json: the processor, date, compiler and version, then what `vqrank bench --json` tells.
Times are processor time, those of threads the wall's: the machine should do nothing else. Its load is recorded, too.
"""

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm
from vqrank_bench import Json, told, write_figures

ROOT = Path(__file__).parent / "record"
# Events and candidates of each workload, as design and docs have them.
STAGES = {"paper": ("1000,10000,100000", "1,100,1000"), "mobile": ("500", "50")}
WHOLE = {"vql": ("1000,10000,100000", "1,100,1000")}
# Of a kernel's and a part's figures, those that cannot be computed from others.
KERNEL = ("kernel", "isa", "shape", "median_ns", "lower_quartile_ns", "upper_quartile_ns", "least_ns", "flops",
          "int8_ops", "exps", "bytes", "set_bytes", "level", "bound", "share")  # fmt: skip
PART = ("stage", "events", "candidates", "part", "median_ms", "lower_quartile_ms", "upper_quartile_ms", "least_ms",
        "repeats", "flops", "int8_ops", "exps", "bytes", "set_bytes", "level", "bound", "roofline_ms", "serial_ms",
        "share", "parts_ms")  # fmt: skip


def cpu_lines() -> dict[str, str]:
    """What Linux says of the first processor; nothing where there is no such file."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8").split("\n\n")[0] if path.exists() else ""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def cpu_name() -> str:
    """In words, with the numbers that tell models apart which share their words or have none."""
    found = cpu_lines()
    words = found.get("model name", platform.processor() or platform.machine())
    keys = {"cpu family": "family", "model": "model", "CPU implementer": "implementer", "CPU part": "part"}
    return " ".join([words, *(f"{name} {found[key]}" for key, name in keys.items() if key in found)])


def usable_isas(vqrank: str, model: Path) -> list[str]:
    """The instruction sets that a model's self-test passed with here."""
    done = subprocess.run([vqrank, "selftest", str(model)], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines() if line.split()[1:2] == ["ok"]]


def picked(rows: list[Json], keys: tuple[str, ...]) -> list[Json]:
    """Of each row the members with these names; work of which there is none is left out."""
    return [{key: row[key] for key in keys if key in row and row[key] != 0} for row in rows]


def record_isa(options: argparse.Namespace, isa: str, record: Json, bar: "tqdm[None]") -> None:
    """Adds kernels and stages on one instruction set."""
    common = ["--isa", isa, "--seconds", str(options.seconds)]
    kernels = told(options.vqrank, "bench", "--kernels", "all", *common)
    record |= {key: kernels[key] for key in ("version", "compiler")}
    record["isas"][isa] = {"peaks": kernels["peaks"], "kernels": picked(kernels["kernels"], KERNEL)}
    bar.update()
    for name, (events, candidates) in (STAGES | WHOLE).items():
        model, stages = str(options.folder / f"{name}.vqr"), ["--stages"] if name in STAGES else []
        found = told(options.vqrank, "bench", model, *stages, *common, "--events", events, "--candidates", candidates)
        results: Json = {"results": picked(found["results"], PART)}
        record["isas"][isa][name] = results | {key: found[key] for key in ("peaks", "one_event") if key in found}
        bar.update()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what bench/make_workloads.py wrote")
    parser.add_argument("--isa", help="instruction sets, as avx2,avx512 (all that the self-test passes with)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement (%(default)s)")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat(), help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder of records (%(default)s)")
    parser.add_argument("--vqrank", default="build/release/bin/vqrank", help="(%(default)s)")
    options = parser.parse_args()
    paper = options.folder / "paper.vqr"
    if not paper.exists():
        sys.exit(f"record: {paper}: expected a model file, found none; bench/make_workloads.py writes it")
    isas = options.isa.split(",") if options.isa else usable_isas(options.vqrank, paper)
    record: Json = {"cpu": cpu_name(), "cores": os.cpu_count(), "date": options.date, "seconds": options.seconds}
    record |= {"version": "", "compiler": "", "load": {"before": os.getloadavg()[0]}, "isas": {}}
    with tqdm(total=len(isas) * (1 + len(STAGES | WHOLE)) + 1, disable=not sys.stderr.isatty()) as bar:
        for isa in isas:
            record_isa(options, isa, record, bar)
        threads = ["--threads", "2", "--seconds", str(10 * options.seconds), "--events", "1000,10000"]
        record["threads"] = {"load": os.getloadavg()[0]}
        record["threads"] |= {"results": told(options.vqrank, "bench", str(paper), *threads)["results"]}
        bar.update()
    record["load"]["after"] = os.getloadavg()[0]
    slug = re.sub(r"[^a-z0-9]+", "-", record["cpu"].lower()).strip("-")
    path = options.out / slug / f"{options.date}.json"
    write_figures(path, record)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
