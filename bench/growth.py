"""Measures and draws how cost and memory grow: with the history, codewords, codebooks, events' width and candidates.

    build/venv/bin/python bench/growth.py build/bench -o docs/growth

Models are the workload `paper` with one number changed; figures are those of `vqrank bench`, the median of as many
rounds as --rounds, round robin. Writes docs/growth.json and docs/growth.svg; --draw only draws what is measured.
"""

import argparse
import copy
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_workloads import WORKLOADS
from tqdm import tqdm
from vqrank_bench import Json, local_slopes, make_model, told, write_figures

try:
    import matplotlib as mpl
except ImportError:
    sys.exit("growth.py: needs matplotlib: build/venv/bin/pip install matplotlib")
mpl.use("svg")
import matplotlib.pyplot as plt

EVENTS, CANDIDATES = 10_000, 100


def with_codewords(config: Json, count: int) -> None:
    config["sequences"][0]["codewords"] = count


def with_codebooks(config: Json, count: int) -> None:
    config["sequences"][0]["codebooks"] = count


def with_width(config: Json, width: int) -> None:
    """Half of an event's numbers are its item's, a quarter each its category's and its action's."""
    for table, part in (("item", 2), ("category", 4), ("action", 4)):
        config["tables"][table]["dim"] = width // part


def unchanged(config: Json, count: int) -> None:
    del config, count


@dataclass
class Sweep:
    """One number that varies, and how each stage's cost grows with it at most: as its power."""

    name: str
    label: str
    values: tuple[int, ...]
    change: Callable[[Json, int], None]
    powers: dict[str, float]

    def events(self, value: int) -> int:
        return value if self.name == "events" else EVENTS

    def candidates(self, value: int) -> int:
        return value if self.name == "candidates" else CANDIDATES


def decades(low: int, high: int) -> tuple[int, ...]:
    """low, 3 low, 10 low, ... high"""
    values = [low * 10**i * step for i in range(12) for step in (1, 3)]
    return tuple(value for value in values if value <= high)


# HSTU lets every two clusters meet: refresh grows with the square of W, where products with weights do not hide that.
SWEEPS = [
    Sweep("events", "events L", decades(100, 1_000_000), unchanged, {"append": 1, "refresh": 0, "score": 0}),
    Sweep("codewords", "codewords W", (16, 32, 64, 128, 256, 512, 1024), with_codewords,
          {"append": 1, "refresh": 2, "score": 1}),
    Sweep("codebooks", "codebooks N", (1, 2, 4, 8, 16), with_codebooks, {"append": 1, "refresh": 1, "score": 1}),
    Sweep("width", "events' width D", (16, 32, 64, 128, 256), with_width, {"append": 1, "refresh": 1, "score": 1}),
    Sweep("candidates", "candidates", decades(1, 10_000), unchanged, {"append": 0, "refresh": 0, "score": 1}),
]  # fmt: skip
STAGES = ("append", "refresh", "score")


def models(folder: Path) -> Iterator[tuple[Sweep, int, Path]]:
    """Every point of every sweep and its model file, made if it is not there."""
    paper = json.loads((WORKLOADS / "paper.json").read_text(encoding="utf-8"))
    for sweep in SWEEPS:
        for value in sweep.values:
            config = copy.deepcopy(paper)
            sweep.change(config, value)
            changed = config != paper
            path = folder / (f"growth-{sweep.name}-{value}.vqr" if changed else "growth-paper.vqr")
            yield sweep, value, path if path.exists() else make_model(config, path)


def measure(options: argparse.Namespace) -> Json:
    """Of each sweep, a list of points: times in milliseconds and memory in bytes."""
    points: dict[tuple[str, int], dict[str, list[float]]] = {}
    memory: dict[tuple[str, int], Json] = {}
    every = list(models(options.folder))
    common = ["--seconds", str(options.seconds), *(["--isa", options.isa] if options.isa else [])]
    isa = ""
    for _ in range(options.rounds):
        for sweep, value, model in tqdm(every, desc="points", disable=not sys.stderr.isatty()):
            at = ["--events", str(sweep.events(value)), "--candidates", str(sweep.candidates(value))]
            found = told(options.vqrank, "bench", str(model), *at, *common)
            isa = found["isa"]
            own = points.setdefault((sweep.name, value), {stage: [] for stage in STAGES})
            for result in found["results"]:
                own[result["stage"]].append(result["median_ms"])
            if (sweep.name, value) not in memory:
                shown = told(options.vqrank, "inspect", str(model))
                memory[sweep.name, value] = {key: shown[key] for key in ("session_bytes", "state_bytes")}
    figures: Json = {"isa": isa, "seconds": options.seconds, "rounds": options.rounds}
    figures |= {"events": EVENTS, "candidates": CANDIDATES, "sweeps": {}}
    for (name, value), times in points.items():
        medians = {f"{stage}_ms": statistics.median(times[stage]) for stage in STAGES}
        figures["sweeps"].setdefault(name, []).append({"value": value, **medians, **memory[name, value]})
    return figures


def series(points: list[Json], key: str) -> tuple[list[float], list[float]]:
    return [float(point["value"]) for point in points], [float(point[key]) for point in points]


def draw_times(axes: Any, sweep: Sweep, points: list[Json]) -> None:
    """Times, and from each one's last point the line along which it may grow."""
    for stage in STAGES:
        x, y = series(points, f"{stage}_ms")
        (line,) = axes.plot(x, y, marker="o", markersize=3, linewidth=1, label=stage)
        power = sweep.powers[stage]
        expected = [y[-1] * (one / x[-1]) ** power for one in x]
        axes.plot(x, expected, linestyle=":", linewidth=0.8, color=line.get_color())
    axes.set(xscale="log", yscale="log", title=sweep.label)


def draw_memory(axes: Any, points: list[Json]) -> None:
    for key, name in (("session_bytes", "session"), ("state_bytes", "state")):
        x, y = series(points, key)
        axes.plot(x, [one / 1024 for one in y], marker="s", markersize=3, linewidth=1, label=name)
    axes.set(xscale="log", yscale="log")


def draw(figures: Json, path: Path) -> None:
    mpl.rcParams.update({"svg.hashsalt": "vqrank", "svg.fonttype": "none", "font.size": 7, "axes.titlesize": 8})
    figure, rows = plt.subplots(2, len(SWEEPS), figsize=(12, 5))
    for column, sweep in enumerate(SWEEPS):
        points = figures["sweeps"][sweep.name]
        draw_times(rows[0][column], sweep, points)
        draw_memory(rows[1][column], points)
        rows[1][column].set_ylim(50, 20_000)
        rows[1][column].set_xlabel(sweep.label)
        for row in rows:
            row[column].minorticks_off()
            if len(sweep.values) < 8:
                row[column].set_xticks(sweep.values, [str(value) for value in sweep.values])
    rows[0][0].set_ylabel("milliseconds of processor time")
    rows[1][0].set_ylabel("KiB of memory")
    for row in rows:
        row[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE), encoding="utf-8")


def table(figures: Json) -> list[str]:
    """How steep each stage is at its steepest, from a point to the next: far above its power would be a cliff."""
    lines = ["| | " + " | ".join(STAGES) + " |", "|---" * (1 + len(STAGES)) + "|"]
    for sweep in SWEEPS:
        points, cells = figures["sweeps"][sweep.name], []
        for stage in STAGES:
            x, y = series(points, f"{stage}_ms")
            slopes = local_slopes(x, y)
            cells.append(f"{y[0]:.4g} to {y[-1]:.4g} ms, steepest {max(slopes):.2f}")
        first, last = sweep.values[0], sweep.values[-1]
        lines.append(f"| {sweep.label}, {first:,} to {last:,} | " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where models are written")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the files' name without .json and .svg")
    parser.add_argument("--isa", help="instruction set (the best here)")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--vqrank", default="build/release/bin/vqrank", help="(%(default)s)")
    parser.add_argument("--draw", action="store_true", help="only draw what the JSON file holds")
    options = parser.parse_args()
    path = options.out.with_suffix(".json")
    if not options.draw:
        options.folder.mkdir(parents=True, exist_ok=True)
        write_figures(path, measure(options))
    figures = json.loads(path.read_text(encoding="utf-8"))
    draw(figures, options.out.with_suffix(".svg"))
    print("\n".join(table(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
