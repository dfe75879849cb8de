"""One picture of how a model's codebooks are used, from the report of ``vqrank inspect --codebooks --json``."""

import json
from pathlib import Path
from typing import Any

# One colour a codebook, the same in every panel (Okabe and Ito's palette, told apart by colour-blind readers too).
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]

LEGEND_MAX = 16  # lines; more have no legend, which would hide them


class ReportError(ValueError):
    """The report cannot be drawn; the message says why in one line."""


def draw(report: Path, out: Path) -> None:
    """Draws ``report`` (one JSON object) as the PNG ``out``. Raises ReportError for a report without used codebooks."""
    told, codebooks = _read(report)
    try:
        import matplotlib
    except ImportError as error:
        raise ReportError("pictures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ((counts, shares), (attention, cosines)) = pyplot.subplots(2, 2, figsize=(12, 8), layout="constrained")
    used = told["codebooks"]
    figure.suptitle(
        f"Codebooks of {told['name']}: {used['requests']:,} users, {used['events']:,} events, "
        f"{used['candidates']:,} candidates"
    )
    _draw_counts(counts, codebooks)
    _draw_shares(shares, codebooks)
    _draw_attention(attention, codebooks)
    _draw_cosines(cosines, codebooks)
    warnings = [f"{_name(codebook)}: {text}" for codebook in codebooks for text in codebook["warnings"]]
    if warnings:
        figure.supxlabel("\n".join(warnings), fontsize="small", color="#B00020")
    figure.savefig(out, dpi=120)
    pyplot.close(figure)


def _read(report: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report, and its codebooks that some event fell to."""
    try:
        told = json.loads(report.read_text())
        codebooks = [codebook for codebook in told["codebooks"]["list"] if codebook["use"] is not None]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{report} is no report of vqrank inspect --json --codebooks: {error!r}") from error
    if not codebooks:
        raise ReportError(f"{report} tells of no codebook in use: give vqrank inspect a REQUESTS.jsonl with events")
    return told, codebooks


def _name(codebook: dict[str, Any]) -> str:
    return f"{codebook['sequence']}/{codebook['codebook']}"


def _lines(axes: Any, curves: list[list[float]], codebooks: list[dict[str, Any]]) -> None:
    """One line a codebook: its values over its clusters, which run from 0 to 100 % whatever their number."""
    for i, (codebook, values) in enumerate(zip(codebooks, curves, strict=True)):
        places = [100 * (place + 0.5) / len(values) for place in range(len(values))]
        style = "-" if i < len(COLOURS) else "--"
        axes.plot(places, values, style, color=COLOURS[i % len(COLOURS)], label=_name(codebook))
    axes.set_xlim(0, 100)
    axes.grid(alpha=0.3)
    if len(codebooks) <= LEGEND_MAX:
        axes.legend(fontsize="small", ncols=2)


def _draw_counts(axes: Any, codebooks: list[dict[str, Any]]) -> None:
    curves = []
    for codebook in codebooks:
        events = sorted(codebook["use"]["events_per_cluster"], reverse=True)
        even = codebook["use"]["events"] / codebook["codewords"]
        curves.append([count / even for count in events])
    _lines(axes, curves, codebooks)
    axes.axhline(1, color="grey", linewidth=1, linestyle=":")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(bottom=0)
    axes.set_title("Events per cluster, most used first (1 = an even share)")
    axes.set_xlabel("clusters, %")
    axes.set_ylabel("times an even share")


def _bars(axes: Any, codebooks: list[dict[str, Any]], groups: list[tuple[str, list[float], str]]) -> None:
    """Side-by-side bars in percent: (label, one share a codebook, colour) of each group, values written on top."""
    width = 0.8 / len(groups)
    for i, (label, values, colour) in enumerate(groups):
        places = [place + (i - (len(groups) - 1) / 2) * width for place in range(len(values))]
        bars = axes.bar(places, [100 * value for value in values], width, label=label, color=colour)
        axes.bar_label(bars, fmt="%.0f", fontsize="small")
    axes.set_xticks(range(len(codebooks)), [_name(codebook) for codebook in codebooks])
    highest = max(100.0, *(100 * value for _, values, _ in groups for value in values))
    axes.set_ylim(0, highest * (1.2 if len(groups) <= 2 else 1.3))  # room for the legend's lines
    axes.set_ylabel("%")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small", ncols=2, loc="upper center")


def _draw_shares(axes: Any, codebooks: list[dict[str, Any]]) -> None:
    uses = [codebook["use"] for codebook in codebooks]
    _bars(
        axes,
        codebooks,
        [
            ("codewords used", [use["used_share"] for use in uses], "#0072B2"),
            ("perplexity / codewords", [use["perplexity_share"] for use in uses], "#56B4E9"),
            ("events in the largest cluster", [use["largest_share"] for use in uses], "#D55E00"),
        ],
    )
    axes.set_title("How evenly events fall")


def _draw_attention(axes: Any, codebooks: list[dict[str, Any]]) -> None:
    looked = [codebook for codebook in codebooks if codebook["attention"] is not None]
    axes.set_title("What candidates look at")
    if not looked:
        axes.text(0.5, 0.5, "the requests had no candidates", ha="center", transform=axes.transAxes)
        return
    _bars(
        axes,
        looked,
        [
            ("mean of the largest weight", [c["attention"]["mean_largest_weight"] for c in looked], "#009E73"),
            (
                "candidates on their user's usual cluster",
                [c["attention"]["usual_cluster_share"] or 0 for c in looked],
                "#E69F00",
            ),
        ],
    )


def _draw_cosines(axes: Any, codebooks: list[dict[str, Any]]) -> None:
    several = [codebook for codebook in codebooks if codebook["nearest_cosine"]]
    axes.set_title("How alike each codeword is to its nearest other (cosine)")
    if not several:
        axes.text(0.5, 0.5, "one codeword a codebook", ha="center", transform=axes.transAxes)
        return
    _lines(axes, [sorted(codebook["nearest_cosine"], reverse=True) for codebook in several], several)
    axes.set_ylim(top=1.03)
    axes.set_xlabel("codewords, %, most alike first")
    axes.set_ylabel("cosine")
