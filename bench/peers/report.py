"""Writes the report: docs/peers.md, docs/peers.json, docs/peers.svg."""

import json
from pathlib import Path
from typing import Any

import tables
from picture import draw
from targets import BASELINE

Results = dict[str, Any]
AVX2 = ["vqrank int8, AVX2", "PyTorch, AVX2", "OpenVINO, AVX2"]


def heading(results: Results) -> list[str]:
    machine, plan = results["machine"], results["plan"]
    versions = next(iter(results["workloads"].values()))["versions"]
    named = {
        "ONNX Runtime": "ONNX Runtime", "PyTorch": "PyTorch", "OpenVINO": "OpenVINO", "LiteRT": "LiteRT", "MNN": "MNN",
        "ExecuTorch": "ExecuTorch", "ncnn": "ncnn",
    }  # fmt: skip
    said = [f"{name} {versions[key]['version']}" for key, name in named.items() if key in versions]
    isas = [versions[key]["isa"] for key in ("vqrank", "vqrank int8") if key in versions]
    where = "virtual machine" if machine["virtual"] else "no virtual machine"
    return [
        f"{machine['cpu']} ({where}, {machine['cores']} cores, of which one is used; "
        f"{', '.join(machine['instructions'])}), "
        f"Linux {machine['kernel']}, Python {machine['python']}, load {machine['load']} at the start; "
        f"vqrank {versions['vqrank']['version']} on {isas[0]}; {', '.join(said)}.",
        f"{plan['rounds']} rounds, {plan['slice']:g} s a turn, {results['seconds'] / 60:.0f} minutes in all.",
        "",
    ]


def measured(results: Results) -> list[str]:
    """Everything that the run itself says."""
    text: list[str] = heading(results)
    if "paper" in results["workloads"]:
        text += ["### Targets", "", f"How many times as long as vqrank {BASELINE}'s fp32 takes:", ""]
        text += tables.target_table(results["workloads"]["paper"]["rows"])
    slower = tables.slower_rows(results)
    text += ["Rows in which a peer is faster:" if slower else "In no row is a peer faster.", ""]
    text += [f"- {line}" for line in slower] + ([""] if slower else [])
    for title, base, names in (
        ("fp32", "vqrank", ["vqrank int8", "vqrank stored", "vqrank stored int8", *tables.FAVOURABLE]),
        ("int8", "vqrank int8", ["ONNX Runtime int8", BASELINE]),
        ("The plain export", "vqrank", ["ONNX Runtime plain", "PyTorch plain", "torch.compile plain"]),
        ("Held to AVX2", "vqrank, AVX2", AVX2),
    ):
        text += [f"### {title}", ""]
        for workload, own in results["workloads"].items():
            text += tables.times_table(workload, own["rows"], base, names)
    text += ["### Opening, first calls, memory, size", ""]
    for workload, own in results["workloads"].items():
        text += tables.fresh_table(workload, own)
    text += ["### What a call costs that computes nothing", ""]
    text += [calls(own["idle_ms"]) for own in list(results["workloads"].values())[:1]] + [""]
    text += ["### Outputs", ""]
    for workload, own in results["workloads"].items():
        text += tables.check_table(workload, own)
    return text


def calls(idle: dict[str, float | None]) -> str:
    known = {name: ms for name, ms in idle.items() if ms is not None and "AVX2" not in name}
    return "Microseconds, part of every figure above: " + ", ".join(
        f"{name} {tables.number(1e3 * ms)}" for name, ms in known.items()
    ) + "."  # fmt: skip


def missing(results: Results) -> list[str]:
    text = [f"- {package}: {why}" for package, why in results["not_installed"].items()]
    for workload, own in results["workloads"].items():
        text += [f"- {name}, `{workload}`: {' '.join(why.split())[:400]}" for name, why in own["out"].items()]
    return text


def markdown(results: Results) -> str:
    return "\n".join([*measured(results), *missing(results)])


def write_docs(results: Results, docs: Path) -> None:
    """The text in front of and behind the measurements is peers_intro.md and peers_notes.md here."""
    here = Path(__file__).parent
    tried: list[str] = []
    for workload, own in results["workloads"].items():
        tried += tables.variant_tables(workload, own)
    out = missing(results)
    dropped = ["### Dropped out in this run", "", *out, ""] if out else []
    parts = [
        (here / "peers_intro.md").read_text().rstrip(), "", "## Measured", "", *measured(results),
        (here / "peers_notes.md").read_text().rstrip(), "", *dropped, "### Variants", "",
        "Medians of a short turn each; the best of a row is the one that stands above.", "", *tried,
    ]  # fmt: skip
    (docs / "peers.md").write_text("\n".join(parts).rstrip() + "\n")
    (docs / "peers.json").write_text(json.dumps(results, indent=1) + "\n")
    draw(results, docs / "peers.svg")
