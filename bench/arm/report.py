#!/usr/bin/env python3
"""Prints the tables of docs/arm.md from docs/arm.json, and draws the share of peak of each loop on each core.

A cell of a product: cycles of a pass, share of peak, what bounds it; of another loop: cycles for 16 elements, how busy
the vector pipes are, what bounds it. Where LLVM has no model of a core: cycles by counting, and in brackets what its
model for it says."""

import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from program import parser_of, run
from results import Part, read

EXAMPLE = """example:
  build/venv/bin/python bench/arm/report.py docs/arm.json --picture docs/arm.svg
"""
ARM_TIERS = ("neon", "neondot", "i8mm")
COUNTED_TIERS = ("avx2", "avx512", "avx512vnni", *ARM_TIERS)
COLOURS = {"v1": "#0b6e99", "n2": "#66a61e", "a76": "#d95f02", "m1": "#7570b3"}


def table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def pipes(bottleneck: str) -> str:
    """Names of pipes as the makers' guides have them: V0, L01, M0."""
    return re.sub(r"\w+Unit", "", bottleneck).replace("+", " ")


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _by_loop(loops: Part, tiers: tuple[str, ...]) -> dict[tuple[str, str, str], dict[str, Part]]:
    """(tier, kernel, loop) -> core -> row."""
    rows: dict[tuple[str, str, str], dict[str, Part]] = {}
    for row in loops["rows"]:
        if row["tier"] in tiers:
            rows.setdefault((row["tier"], row["kernel"], row["loop"]), {})[row["core"]] = row
    return rows


def cores_table(loops: Part) -> Iterator[str]:
    rows = []
    for core in loops["cores"].values():
        told = [
            f"{kind} {peak} ({core['peak_operations'][kind]:.0f}), {core['model_peak_instructions'][kind]:.1f}"
            for kind, peak in core["peak_instructions"].items()
        ]
        rows.append([core["title"], f"`{core['cpu']}`: {core['model']}", str(core["width"]), "; ".join(told)])
    yield from table(["core", "model used", "width", "instructions a cycle: stated (operations), in the model"], rows)


def products_table(loops: Part) -> Iterator[str]:
    """Loops that multiply and add: cycles of a pass, share of peak, what bounds it."""
    arm = [key for key in loops["cores"] if key in COLOURS]
    rows = []
    for (tier, kernel, loop), cores in _by_loop(loops, ARM_TIERS).items():
        if not any(row["operations"] for row in cores.values()):
            continue
        first = next(iter(cores.values()))
        line = [f"`{kernel}` {loop}", tier, str(first["instructions"]), str(first["operations"])]
        for key in arm:
            row = cores.get(key)
            line.append(_cell(row) if row else "")
        rows.append(line)
    titles = [loops["cores"][key]["title"] for key in arm]
    yield from table(["loop", "tier", "instr.", "ops", *titles], rows)


def _cell(row: Part) -> str:
    """Cycles and share; where a core has no model of its own, those by counting."""
    if row["port_bound"] is not None:
        return f"{row['port_bound']:.1f}, {percent(row['port_bound_share'])} ({row['cycles']:.1f})"
    return f"{row['cycles']:.1f}, {percent(row['share_of_peak'])}, {pipes(row['bottleneck'])}"


def others_table(loops: Part) -> Iterator[str]:
    """The other loops: cycles per 16 elements, how busy the vector pipes are, what bounds them."""
    arm = [key for key in loops["cores"] if key in COLOURS]
    rows = []
    for (_, kernel, loop), cores in _by_loop(loops, ARM_TIERS).items():
        if any(row["operations"] for row in cores.values()):
            continue
        first = next(iter(cores.values()))
        scale = 16 / first["elements"]
        line = [f"`{kernel}` {loop}", f"{first['instructions'] * scale:.0f}"]
        for key in arm:
            row = cores[key]
            if row["port_bound"] is not None:
                line.append(f"{row['port_bound'] * scale:.1f} ({row['cycles'] * scale:.1f})")
            else:
                line.append(f"{row['cycles'] * scale:.1f}, {percent(row['vector_busy'])}, {pipes(row['bottleneck'])}")
        rows.append(line)
    yield from table(["loop", "instr.", *(loops["cores"][key]["title"] for key in arm)], rows)


def error_table(error: Part) -> Iterator[str]:
    rows = [
        [
            f"`{r['kernel']}` {r['loop']}",
            r["tier"],
            f"{r['predicted']:.4f}",
            f"{r['measured']:.4f} ({r['quartiles'][0]:.4f}-{r['quartiles'][1]:.4f})",
            f"{r['predicted_over_measured']:.2f}",
        ]
        for r in error["rows"]
    ]
    yield from table(["loop", "tier", "predicted", "measured (quartiles)", "predicted / measured"], rows)


def error_summary(error: Part) -> Iterator[str]:
    """Median and extremes of the error, of all loops and by tier and kind."""
    products = ("gemm_f32", "quantize_f32", "gemm_i8", "quantize_i8")
    groups: dict[str, list[float]] = {}
    for row in error["rows"]:
        kind = "products" if row["kernel"] in products else "other loops"
        for name in ("all", f"{row['tier']}, {kind}"):
            groups.setdefault(name, []).append(row["predicted_over_measured"])
    rows = []
    for name, ratios in groups.items():
        off = statistics.median(max(r, 1 / r) for r in ratios)
        rows.append([name, str(len(ratios)), f"{min(ratios):.2f}", f"{max(ratios):.2f}", f"{off:.2f}"])
    yield from table(["predicted / measured", "loops", "least", "most", "median factor off"], rows)


def counts_table(counts: Part) -> Iterator[str]:
    """Instructions per event, refresh and candidate, tiers in columns."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in counts["rows"]:
        if row["method"] == "QEMU" or row["tier"].startswith("avx512"):
            cells.setdefault((row["model"], row["stage"]), {})[row["tier"]] = f"{row['instructions']:,.0f}"
    rows = [[f"`{m}`, {s}", *(by.get(tier, "") for tier in COUNTED_TIERS)] for (m, s), by in sorted(cells.items())]
    yield from table(["model, stage", *COUNTED_TIERS], rows)


def picture(loops: Part, path: Path) -> None:
    """Bars: predicted share of peak of each multiplying loop, a colour a core."""
    rows = {key: cores for key, cores in _by_loop(loops, ARM_TIERS).items() if next(iter(cores.values()))["operations"]}
    labels = [f"{kernel} {loop}, {tier}" for tier, kernel, loop in rows]
    plt.rcParams |= {"svg.hashsalt": "arm", "svg.fonttype": "none"}  # the same small file from the same numbers
    figure, axes = plt.subplots(figsize=(7.5, 0.36 * len(rows) + 1))
    height = 0.8 / len(COLOURS)
    for place, (key, colour) in enumerate(COLOURS.items()):
        title = loops["cores"][key]["title"] + (", by counting" if key == "m1" else "")
        for y, cores in enumerate(rows.values()):
            if row := cores.get(key):
                share = row["port_bound_share"] if row["port_bound"] is not None else row["share_of_peak"]
                axes.barh(
                    y + (place - 1.5) * height, 100 * share, height, color=colour, label=title if y == 0 else None
                )
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 105)
    axes.set_xlabel("predicted share of the core's peak for the loop's kind of instruction, %", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, 1.08), ncols=4, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    parser = parser_of(__doc__, EXAMPLE)
    parser.add_argument("record", type=Path, help="docs/arm.json")
    parser.add_argument("--picture", type=Path, help="where to draw the shares (.svg)")
    options = parser.parse_args()
    parts = read(options.record)
    for lines in (
        cores_table(parts["loops"]),
        products_table(parts["loops"]),
        others_table(parts["loops"]),
        error_summary(parts["error"]),
        error_table(parts["error"]),
        counts_table(parts["counts"]),
    ):
        print("\n".join(lines))
    if options.picture:
        picture(parts["loops"], options.picture)


if __name__ == "__main__":
    run(main)
