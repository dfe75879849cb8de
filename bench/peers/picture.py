"""The results as a picture: how many times as long as vqrank each peer takes, row by row."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from tables import FAVOURABLE, times_of
from targets import PLAIN

mpl.use("svg")
mpl.rcParams["svg.fonttype"] = "none"  # text stays text: small files
mpl.rcParams["svg.hashsalt"] = "vqrank"  # the same picture from the same results

import matplotlib.pyplot as plt  # noqa: E402 - after the back end is chosen

MARKERS = "osD^v<>P*X"
TICKS = [1, 2, 5, 10, 20, 50, 100, 200]


def draw(results: dict[str, Any], path: Path) -> None:
    rows = [
        (f"{workload}: {row}", cells)
        for workload, own in results["workloads"].items()
        for row, cells in own["rows"].items()
        if "vqrank" in cells
    ]
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.32 * len(rows)))
    for i, name in enumerate([*FAVOURABLE, PLAIN]):
        points = [
            (times, len(rows) - 1 - y)
            for y, (_, cells) in enumerate(rows)
            if (times := times_of(cells, name, "vqrank"))
        ]
        if points:
            face = "none" if name == PLAIN else None
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, 26, marker=MARKERS[i], label=name, facecolors=face, edgecolors=f"C{i}", color=f"C{i}")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.set_xlabel("times as long as vqrank (fp32, one thread); 1 is vqrank itself")
    axes.grid(axis="both", alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
