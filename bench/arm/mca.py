"""Runs llvm-mca over one pass of a loop and reads what it says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cores import INDEPENDENT, KINDS, Core
from loops import Instruction, assembly

LEAST_LLVM = 17  # the first with models of Neoverse V1 and N1
ITERATIONS = 400
MOSTLY = 0.95  # a resource this busy is what bounds the loop


@dataclass(frozen=True)
class Prediction:
    """Cycles of one pass in the long run, and what keeps it from being faster."""

    cycles: float
    micro_ops: float
    bottleneck: str  # the pipes that are busy all the time, or decode, latency, ...
    vector_busy: float  # share of the vector pipes' time


def newest_tool(name: str) -> str | None:
    """An LLVM tool of the newest version installed, None where there is none that is new enough."""
    names = (f"{name}-{version}" for version in range(30, LEAST_LLVM - 1, -1))
    return next(filter(None, map(shutil.which, names)), None)


def find_tool(name: str) -> str:
    """The same; ends the program with what to install where there is none."""
    if found := newest_tool(name):
        return found
    sys.exit(f"{name}: expected version {LEAST_LLVM} or newer, found none; on Debian 12: apt-get install llvm-19")


@cache
def version(tool: str) -> str:
    """The line that names LLVM's version."""
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
    return next(line.strip() for line in done.stdout.splitlines() if "LLVM version" in line)


def run_mca(tool: str, core: Core, text: str) -> dict[str, Any]:
    """The one region of llvm-mca's JSON, with the names of the resources put in."""
    command = [tool, "-json", f"-mtriple={core.triple}", f"-mcpu={core.cpu}", f"-iterations={ITERATIONS}"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(f"llvm-mca -mcpu={core.cpu}: {done.stderr.strip().splitlines()[0]}")
    told = json.loads(done.stdout)
    region: dict[str, Any] = told["CodeRegions"][0]
    region["resources"] = told["TargetInfo"]["Resources"]
    return region


def predict(tool: str, core: Core, instructions: Sequence[Instruction]) -> Prediction:
    """What llvm-mca says of endless passes, everything in the first-level cache and all jumps foreseen."""
    region = run_mca(tool, core, assembly(instructions))
    summary = region["SummaryView"]
    cycles = summary["TotalCycles"] / ITERATIONS
    micro_ops = summary["TotaluOps"] / ITERATIONS
    pressure = dict.fromkeys(region["resources"], 0.0)
    whole = len(region["Instructions"])  # the row after the instructions' own is the sum of all
    for entry in region["ResourcePressureView"]["ResourcePressureInfo"]:
        if entry["InstructionIndex"] == whole:
            pressure[region["resources"][entry["ResourceIndex"]]] += entry["ResourceUsage"]
    vector = {name: busy for name, busy in pressure.items() if name.startswith(core.vector_units)}
    busiest = max(pressure, key=lambda name: pressure[name])
    front_end = summary["Instructions"] / ITERATIONS / core.width
    if front_end > cycles:
        cycles, bottleneck = front_end, "decode"
    elif pressure[busiest] >= MOSTLY * cycles:
        bottleneck = "+".join(
            sorted({name.split(".")[0] for name, busy in pressure.items() if busy >= MOSTLY * cycles})
        )
    elif micro_ops / summary["DispatchWidth"] >= MOSTLY * cycles:
        bottleneck = "dispatch"
    else:
        bottleneck = "latency"
    return Prediction(cycles, micro_ops, bottleneck, sum(vector.values()) / (len(vector) * cycles))


def model_peak(tool: str, core: Core, kind: str) -> float:
    """Instructions of a kind that the model starts in a cycle, when nothing waits for anything."""
    texts = KINDS[core.triple, kind][1]
    text = "\n".join(texts[i % len(texts)].format(i) for i in range(INDEPENDENT))
    summary = run_mca(tool, core, text + "\n")["SummaryView"]
    return float(INDEPENDENT * ITERATIONS / summary["TotalCycles"])
