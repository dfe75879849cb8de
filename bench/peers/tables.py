"""Tables of the report, from results as JSON holds them."""

from typing import Any

from targets import BASELINE, EVERY, PLAIN, PLAIN_FACTOR, STORED, TARGETS

FAVOURABLE = [BASELINE, "LiteRT", "torch.compile", "OpenVINO", "PyTorch", "MNN", "ExecuTorch", "ncnn"]
Results = dict[str, Any]


def number(value: float) -> str:
    """Three digits, no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:#.3g}"


def table(header: list[str], lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *lines)] + [""]


def cell(row: Results, name: str, base: str) -> str:
    """Milliseconds, and how many times as long as `base`'s that is."""
    if name not in row:
        return "-"
    times = times_of(row, name, base)
    return number(row[name]["ms"][1]) + (f" ({number(times)}x)" if times and name != base else "")


def times_of(row: Results, name: str, base: str) -> float | None:
    """How many times as long as `base` a contestant takes, by rounds; by medians where they had none together."""
    if name not in row or base not in row:
        return None
    times = row[name].get("times", {}).get(base)
    return float(times[1] if times else row[name]["ms"][1] / row[base]["ms"][1])


def times_table(workload: str, rows: Results, base: str, names: list[str]) -> list[str]:
    there = [name for name in names if any(name in row for row in rows.values())]
    lines = []
    for row, own in rows.items():
        if base not in own or not any(name in own for name in there):
            continue
        own_ms = own.get(base)
        spread = f"{number(own_ms['ms'][1])} ({number(own_ms['ms'][0])}-{number(own_ms['ms'][2])})" if own_ms else "-"
        lines.append([row, spread, *(cell(own, name, base) for name in there)])
    return table([f"`{workload}`, ms", base, *there], lines) if lines else []


def verdict(row: Results, base: str, target: float, name: str) -> list[str]:
    """Target, measured with quartiles, and whether it is reached."""
    times = row.get(name, {}).get("times", {}).get(base)
    if times is None:
        return [f"{target:g}", "-", "-"]
    reached = "yes" if times[1] >= target else "no"
    return [f"{target:g}", f"{number(times[1])} ({number(times[0])}-{number(times[2])})", reached]


def target_table(rows: Results) -> list[str]:
    lines = []
    for name, (fp32, int8) in TARGETS.items():
        if name in rows:
            own = rows[name]
            lines.append(
                [name, *verdict(own, "vqrank", fp32, BASELINE), *verdict(own, "vqrank int8", int8, BASELINE)]
                + (verdict(own, "vqrank", fp32 * PLAIN_FACTOR, PLAIN) if name.startswith("encode") else ["", "", ""])
            )
    for name, (fp32, int8) in STORED.items():
        if "vqrank stored" in rows.get(name, {}):
            own = rows[name]
            cells = verdict(own, "vqrank stored", fp32, BASELINE) + verdict(own, "vqrank stored int8", int8, BASELINE)
            lines.append([f"{name}, codewords stored", *cells, "", "", ""])
    header = ["`paper`", "fp32: target", "measured", "reached", "int8: target", "measured", "reached"]
    return table([*header, "plain export: target", "measured", "reached"], lines)


def slower_rows(results: Results) -> list[str]:
    """Rows in which a peer takes less time than vqrank: fp32 than fp32, int8 than int8."""
    found = []
    for workload, own in results["workloads"].items():
        for row, cells in own["rows"].items():
            for name, entry in cells.items():
                base = "vqrank int8" if "int8" in name else "vqrank"
                base += ", AVX2" if name.endswith("AVX2") else ""
                times = entry.get("times", {}).get(base)
                if times and not name.startswith("vqrank") and times[1] < EVERY:
                    found.append(f"`{workload}`, {row}: {name} takes {times[1]:.2f} of {base}'s time")
    return found


def megabytes(size: float | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f}"


def fresh_table(workload: str, own: Results) -> list[str]:
    lines = [
        [
            name,
            number(probe["open_ms"]),
            "-" if probe["first_encode_ms"] is None else number(probe["first_encode_ms"]),
            number(probe["first_score_ms"]),
            megabytes(probe["resident_import"]),
            megabytes(probe["resident_open"]),
            megabytes(probe["resident_calls"]),
            megabytes(probe["libraries"]),
            megabytes(probe["files"]),
        ]
        for name, probe in own["fresh"].items()
    ]
    header = [f"`{workload}`, fresh process", "open, ms", "first encode, ms", "first score, ms", "memory: runtime, MB"]
    return table([*header, "+ model open", "+ model and calls", "libraries on disk, MB", "model files, MB"], lines)


def check_table(workload: str, own: Results) -> list[str]:
    lines = []
    for name, found in own["checks"].items():
        largest = ", ".join(f"{what} {value:.1g}" for what, value in found["largest"].items()) or "the same bits"
        flips = f"{found['flips']:,} of {found['codewords']:,}" if found["codewords"] else "-"
        lines.append([name, largest, flips])
    return table([f"`{workload}`", "largest difference", "codewords that differ"], lines)


def variant_tables(workload: str, own: Results) -> list[str]:
    """Of each peer that has a choice: milliseconds of each variant in each row, the best in bold."""
    text: list[str] = []
    names = sorted({name for row in own["variants"].values() for name in row}, key=lambda name: (name,))
    for name in names:
        rows = {row: cells[name] for row, cells in own["variants"].items() if name in cells}
        for stage in ("encode", "score", "open"):
            chosen = {row: cells for row, cells in rows.items() if row.startswith(stage)}
            variants = list(dict.fromkeys(variant for cells in chosen.values() for variant in cells))
            if len(variants) < 2:
                continue
            lines = []
            for variant in variants:
                line = [variant]
                for cells in chosen.values():
                    ms = cells.get(variant)
                    bold = ms is not None and ms == min(cells.values())
                    line.append("" if ms is None else f"**{number(ms)}**" if bold else number(ms))
                lines.append(line)
            text += table([f"{name}, `{workload}`, ms", *chosen], lines)
    return text
