"""Prints a record as the tables of docs/bench.md: the parts of a model's stages, some kernels, batches, one event more.

build/venv/bin/python bench/tables.py bench/record/CPU/DATE.json
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from vqrank_bench import Json

# Of each kernel here the shape that stands for it, which is how its shape begins.
KERNELS = {
    "gemm_f32": ("rows 1, k 64", "rows 12, k 64", "rows 256, k 256"),
    "gemm_i8": ("rows 1, k 64", "rows 12, k 64", "rows 256, k 256"),
    "quantize_f32": ("rows 48, k 64",),
    "quantize_i8": ("rows 48, k 64",),
    "quantize_exact_f32": ("rows 48, k 64",),
    "gmm_f32": ("",),
    "hstu_attention_f32": ("tokens 128, head of 16", "tokens 128, head of 64"),
    "softmax_attention_f32": (
        "rows 1, tokens 128, 4 heads of 16",
        "rows 48, tokens 128, 4 heads of 16",
        "rows 48, tokens 128, 4 heads of 64",
    ),
    "softmax_attention_i8": ("rows 48, tokens 128, head of 16",),
    "layer_norm_f32": ("",),
    "silu_f32": ("",),
    "gelu_f32": ("",),
    "tanh_f32": ("",),
    "accumulate_f32": ("",),
    "cluster_mean_f32": ("",),
    "embed_f32": ("",),
    "embed_i8": ("",),
}


def time_text(nanoseconds: float) -> str:
    return f"{nanoseconds / 1000:.3g} µs" if nanoseconds >= 1000 else f"{nanoseconds:.3g} ns"


def find(own: Json, kernel: str, shape: str) -> Json:
    """The case of a kernel whose shape starts so; a record of other kernels ends the program."""
    for row in own["kernels"]:
        if row["kernel"] == kernel and row["shape"].startswith(shape):
            return dict(row)
    sys.exit(f"tables.py: the record has no case of {kernel} whose shape starts with {shape!r}: record it anew")


def kernel_cell(own: Json, kernel: str, shape: str) -> str:
    """Time, the rate of what bounds it, and its share of the roofline."""
    row = find(own, kernel, shape)
    unit = {"fma": ("flops", "GFLOP/s"), "dot": ("int8_ops", "Gop/s"), "exp": ("exps", "Gexp/s")}
    amount, name = unit.get(row["bound"], ("bytes", "GB/s"))
    if amount == "flops" and "flops" not in row:  # int8 where no instruction adds its products
        amount, name = "int8_ops", "Gop/s"
    return f"{time_text(row['median_ns'])}, {row[amount] / row['median_ns']:.3g} {name}, {row['share']:.0%}"


def kernels_table(isas: Json) -> Iterator[str]:
    yield "| kernel | " + " | ".join(isas) + " |"
    yield "|---" * (1 + len(isas)) + "|"
    for kernel, shapes in KERNELS.items():
        for shape in shapes:
            full = find(next(iter(isas.values())), kernel, shape)["shape"]
            yield (
                f"| `{kernel}` {full} | " + " | ".join(kernel_cell(own, kernel, shape) for own in isas.values()) + " |"
            )


def parts_table(own: Json, isa: str, events: int, candidates: int) -> Iterator[str]:
    """The parts after `events` events and of scoring `candidates`; a stage's first row is the stage as a whole."""
    columns = ["ms (quartiles)", "GFLOP/s", "GB/s", "roofline, ms", "times", "one after another, ms"]
    yield f"| {isa}, {events:,} events | {' | '.join(columns)} |"
    yield "|---" * 7 + "|"
    for row in own["results"]:
        if row["events"] != events or row.get("candidates", candidates) != candidates:
            continue
        count = f" {candidates:,} candidates" if "candidates" in row else ""
        whole = row["part"] == "all"
        name = f"**{row['stage']}{count}**" if whole else row["part"]
        low, high = (f"{row[f'{side}_quartile_ms']:.3g}" for side in ("lower", "upper"))
        rates = [f"{row.get(key, 0) / row['median_ms'] * 1e-6:.3g}" for key in ("flops", "bytes")]
        bound = "" if whole else f" ({row['bound'] if row['bound'] != 'bytes' else row['level']})"
        cells = [name, f"{row['median_ms']:.3g} ({low}-{high})", *rates, f"{row['roofline_ms']:.3g}{bound}"]
        cells += [f"{row['median_ms'] / row['roofline_ms']:.2f}", f"{row.get('serial_ms', 0):.3g}"]
        yield f"| {' | '.join(cells)} |"


def peaks_table(isas: Json) -> Iterator[str]:
    """The ceilings."""
    levels = [level["name"] for level in next(iter(isas.values()))["peaks"]["levels"]]
    yield "| | GFLOP/s | int8, Gop/s | exp, G/s | " + " | ".join(f"{name} GB/s" for name in levels) + " |"
    yield "|---" * (4 + len(levels)) + "|"
    for isa, own in isas.items():
        peaks = own["peaks"]
        dot = f"{peaks['dot_gops']:.0f}" if peaks["dot_gops"] else "none"
        rates = [f"{level['read_gbytes_s']:.0f} / {level['mixed_gbytes_s']:.0f}" for level in peaks["levels"]]
        yield f"| {isa} | {peaks['fma_gflops']:.0f} | {dot} | {peaks['exp_gexps']:.2f} | " + " | ".join(rates) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", metavar="RECORD.json", type=Path, help="what bench/record.py wrote")
    parser.add_argument("--model", default="paper", help="whose parts to print (%(default)s)")
    parser.add_argument("--events", type=int, default=10000, help="(%(default)s)")
    parser.add_argument("--candidates", type=int, default=100, help="(%(default)s)")
    options = parser.parse_args()
    record = json.loads(options.record.read_text(encoding="utf-8"))
    isas = {isa: own for isa, own in record["isas"].items() if isa != "ref" or len(record["isas"]) == 1}
    load = f"load {record['load']['before']:.1f} before, {record['load']['after']:.1f} after"
    print(f"{record['cpu']}, {record['cores']} cores, {record['date']}, {record['compiler']}, {load}\n")
    print("\n".join(peaks_table(isas)), "\n")
    print("\n".join(kernels_table(isas)), "\n")
    for isa, own in isas.items():
        print("\n".join(parts_table(own[options.model], isa, options.events, options.candidates)), "\n")
        for one in own[options.model]["one_event"]:
            print(f"one event more after {one['events']:,}: {one['median_ms']:.3g} ms, {one['ratio']:.2f} times "
                  f"HSTU, keys and values ({one['hstu_keys_values_ms']:.3g} ms)")  # fmt: skip
        print()
    for batch in record["threads"]["results"]:
        print(f"batches of {batch['events']:,} events by {batch['threads']} threads: {batch['ratio']:.2f} "
              f"({batch['lower_quartile_ratio']:.2f}-{batch['upper_quartile_ratio']:.2f}) times one, fastest batches "
              f"{batch['least_ratio']:.2f}; processor ms a "
              f"history {batch['one_thread_processor_ms']:.4g}, {batch['all_threads_processor_ms']:.4g}; load "
              f"{record['threads']['load']:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
