"""Draws the roofline of one instruction set from a record: what kernels and stages do a second, against the peaks.

    build/venv/bin/python bench/roofline.py bench/record/CPU/DATE.json --isa avx512 -o docs/roofline.svg

Left of a slope's end a computation waits for the memory that the slope is named after, right of it for arithmetic.
Computations that do no floating-point operations, or only in int8, are not in the picture.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

try:
    import matplotlib as mpl
except ImportError:
    sys.exit("roofline.py: needs matplotlib: build/venv/bin/pip install matplotlib")
mpl.use("svg")
import matplotlib.pyplot as plt

# A kernel's family, as simd/kernels.def has them: the first that its name begins with.
FAMILIES = {
    "matrix products": ("gemm", "madd"),
    "codewords": ("quantize", "gmm"),
    "attention": ("hstu", "softmax"),
    "rows": ("",),
}
MARKERS = {"matrix products": "o", "codewords": "s", "attention": "^", "rows": "."}


def family_of(kernel: str) -> str:
    return next(family for family, starts in FAMILIES.items() if kernel.startswith(starts))


def draw_ceilings(axes: Any, peaks: dict[str, Any], low: float, high: float) -> None:
    """Slopes of each level's faster rate, up to the flat peak."""
    fma = peaks["fma_gflops"]
    x = np.geomspace(low, high, 200)
    for i, level in enumerate(peaks["levels"]):
        rate = max(level["read_gbytes_s"], level["mixed_gbytes_s"])
        axes.plot(x, np.minimum(rate * x, fma), color=str(0.15 * i), linewidth=1, zorder=1)
        axes.text(low * 1.1, rate * low * 1.35, f"{level['name']} {rate:.0f} GB/s", fontsize=7, rotation=32)
    axes.text(high, fma * 1.05, f"fused multiply-adds: {fma:.0f} GFLOP/s", fontsize=7, ha="right")


def draw_kernels(axes: Any, kernels: list[dict[str, Any]]) -> None:
    for family, marker in MARKERS.items():
        own = [one for one in kernels if family_of(one["kernel"]) == family and one.get("flops")]
        x = [one["flops"] / one["bytes"] for one in own]
        y = [one["flops"] / one["median_ns"] for one in own]
        axes.scatter(x, y, s=18, marker=marker, alpha=0.7, label=f"kernels: {family}", zorder=2)


def draw_stages(axes: Any, results: list[dict[str, Any]], model: str, events: int) -> None:
    """Parts of the stages after `events` events, scoring the most candidates, by name."""
    own = [one for one in results if one["events"] == events and one["part"] != "all" and one.get("flops")]
    most = max(one.get("candidates", 0) for one in own)
    own = [one for one in own if one.get("candidates", most) == most]
    x = [one["flops"] / one["bytes"] for one in own]
    y = [1e-6 * one["flops"] / one["median_ms"] for one in own]
    axes.scatter(x, y, s=46, marker="D", facecolors="none", edgecolors="black", label=f"parts of {model}", zorder=3)
    for part, at, height in zip(own, x, y, strict=True):
        text, left = f"{part['stage']}: {part['part']}", part["part"] in ("assign", "keys, values")
        place = {"ha": "right", "xytext": (-6, -9)} if left else {"ha": "left", "xytext": (6, -9)}
        axes.annotate(text, (at, height), textcoords="offset points", fontsize=7, **place)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", metavar="RECORD.json", type=Path, help="what bench/record.py wrote")
    parser.add_argument("--isa", help="(the strongest of the record)")
    parser.add_argument("--model", default="paper", help="whose stages are drawn (%(default)s)")
    parser.add_argument("--events", type=int, default=10000, help="(%(default)s)")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the picture, as SVG")
    options = parser.parse_args()
    record = json.loads(options.record.read_text(encoding="utf-8"))
    isa = options.isa or list(record["isas"])[-1]
    if isa not in record["isas"]:
        sys.exit(f"roofline: --isa {isa}: expected one of {', '.join(record['isas'])}, which the record has")
    own = record["isas"][isa]
    mpl.rcParams.update({"svg.hashsalt": "vqrank", "svg.fonttype": "none", "font.size": 8})
    figure, axes = plt.subplots(figsize=(8, 5))
    low, high = 0.04, 200.0
    draw_ceilings(axes, own["peaks"], low, high)
    draw_kernels(axes, own["kernels"])
    draw_stages(axes, own[options.model]["results"], options.model, options.events)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(0.5, 2 * own["peaks"]["fma_gflops"]))
    axes.set(xlabel="floating-point operations a byte", ylabel="GFLOP/s")
    axes.set_title(f"{record['cpu']}, {isa}, one thread, {record['date']}", fontsize=8)
    axes.legend(loc="lower right", fontsize=7, framealpha=0.9)
    axes.minorticks_off()
    figure.tight_layout()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, metadata={"Date": None})
    text = options.out.read_text(encoding="utf-8")
    options.out.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
