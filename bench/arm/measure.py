#!/usr/bin/env python3
"""The method's error: the same predictions for this x86 processor beside what its loops really take.

Predictions are for AMD Zen 4 (-mcpu=znver4); on another processor the comparison would mean nothing, so it is refused.
"""

import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from cores import CORES
from hot import HOT, Hot, elements, find_hot
from mca import find_tool, predict, version
from program import parser_of, run
from results import Part, write

EXAMPLE = """example, after cmake --preset release is built:
  build/venv/bin/python bench/arm/measure.py -o docs/arm.json
"""
FLAGS = Path("/proc/cpuinfo")
ZEN4 = "vendor_id\t: AuthenticAMD"
PROCESSES = 9  # each has its addresses elsewhere, which loops that store feel
TOGETHER = "magnitude + steps"  # two loops of to_int8_f32, which run one after the other


def key_of(hot: Hot) -> tuple[str, str]:
    """Kernel and loop as measure.c names them."""
    return hot.kernel, TOGETHER if hot.kernel == "to_int8_f32" else hot.name


def refuse_other_processors() -> None:
    """Ends the program unless this is a Zen 4: AMD's, with AVX-512 BF16, family 25."""
    told = FLAGS.read_text()
    if ZEN4 not in told or "avx512_bf16" not in told or "cpu family\t: 25\n" not in told:
        sys.exit("measure.py: expected an AMD Zen 4 processor, found another; predictions are for that one only")


def build(release: Path) -> Path:
    """Links measure.c with the release build's kernels."""
    root = Path(__file__).resolve().parents[2]
    program = root / "build/arm/measure"
    program.parent.mkdir(parents=True, exist_ok=True)
    objects = sorted(str(o) for o in (release / "simd/CMakeFiles").rglob("*.o"))
    includes = [f"-I{root}", f"-I{release / 'simd'}"]
    source = str(root / "bench/arm/measure.c")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", *includes, source, *objects, "-lsleef", "-lm", "-o", str(program)], check=True)
    return program


def measured(program: Path, tier: str, repeats: int) -> dict[tuple[str, str], list[float]]:
    """Cycles per unit of each loop, `repeats` of each of PROCESSES."""
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(PROCESSES):
        done = subprocess.run([program, tier, str(repeats)], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            kernel, loop, cycles = line.split(",")
            samples[kernel, loop].append(float(cycles))
    if unknown := samples.keys() - {key_of(hot) for hot in HOT}:
        raise ValueError(f"measure.c: expected loops of hot.py, found {sorted(unknown)}; name them alike")
    return samples


def predicted(release: Path, tier: str) -> dict[tuple[str, str], float]:
    """Cycles per unit of each loop by llvm-mca: a unit is a multiply-add of a product or an element."""
    objdump, mca = find_tool("llvm-objdump"), find_tool("llvm-mca")
    core = next(core for core in CORES if core.key == "zen4")
    cycles: dict[tuple[str, str], float] = {}
    for hot, loop, work in find_hot(objdump, release, tier):
        units = elements(hot, loop, work) if hot.unit else work.products // 2
        one = predict(mca, core, loop.instructions).cycles / units
        cycles[key_of(hot)] = cycles.get(key_of(hot), 0.0) + one
    return cycles


def row(tier: str, key: tuple[str, str], told: float, samples: list[float]) -> Part:
    lower, median, upper = statistics.quantiles(samples, n=4)
    return {
        "tier": tier,
        "kernel": key[0],
        "loop": key[1],
        "predicted": round(told, 5),
        "measured": round(median, 5),
        "quartiles": [round(lower, 5), round(upper, 5)],
        "predicted_over_measured": round(told / median, 3),
    }


def main() -> None:
    parser = parser_of(__doc__, EXAMPLE)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the JSON file whose part `error` is replaced")
    parser.add_argument("--release", type=Path, default=Path("build/release"), help="the x86 build (build/release)")
    parser.add_argument("--repeats", type=int, default=31, help=f"repeats in each of {PROCESSES} processes (31)")
    options = parser.parse_args()
    refuse_other_processors()
    program = build(options.release.resolve())
    order = {key_of(hot): i for i, hot in enumerate(HOT)}
    rows = []
    for tier in ("avx2", "avx512", "avx512vnni"):
        samples = measured(program, tier, options.repeats)
        told = predicted(options.release, tier)
        rows += [
            row(tier, key, told[key], samples[key])
            for key in sorted(told, key=lambda key: order[key])
            if key in samples
        ]
    write(
        options.output,
        "error",
        {"llvm": version(find_tool("llvm-mca")), "repeats": PROCESSES * options.repeats, "rows": rows},
    )
    for r in rows:
        print(
            f"{r['tier']:<11}{r['kernel']:<16}{r['loop']:<18} predicted {r['predicted']:.4f}"
            f"  measured {r['measured']:.4f} ({r['quartiles'][0]:.4f}-{r['quartiles'][1]:.4f})"
            f"  ratio {r['predicted_over_measured']:.2f}"
        )


if __name__ == "__main__":
    run(main)
