#!/usr/bin/env python3
"""Predicts cycles of the hot loops on processors that are not at hand, with llvm-mca, from the builds' own objects."""

import re
from collections import Counter
from pathlib import Path

from cores import ARM, CORES, INT8_KIND, MULTIPLY_ADD, Core, peak_per_cycle
from hot import Hot, elements, find_hot
from loops import Loop
from mca import Prediction, find_tool, model_peak, predict, version
from program import parser_of, run
from results import Part, write
from work import Work, work_of

EXAMPLE = """example, after cmake --preset aarch64 and cmake --preset release are built:
  build/venv/bin/python bench/arm/predict.py -o docs/arm.json
"""


def chain(loop: Loop) -> int:
    """The most additions of one pass to the same accumulator, each of which waits for the one before: registers that
    nothing but multiply-adds write."""
    adds, others = Counter[str](), set()
    for i in loop.instructions:
        if m := re.match(r"(\S+)\s+[vqds](\d+)\b", i.text):
            if m[1] in ("fmla", "sdot", "smmla", "sadalp"):
                adds[m[2]] += 1
            else:
                others.add(m[2])
    return max((n for register, n in adds.items() if register not in others), default=0)


def port_bound(core: Core, loop: Loop, work: Work) -> float | None:
    """Cycles of one pass by counting alone, for a core without a model: the busiest of decode, vector pipes, loads,
    stores and the chain of multiply-adds. A lower bound."""
    if core.ports is None:
        return None
    memory = re.compile(r"^(ld|st)")
    vector = re.compile(r"\b[vqds]\d+\b")
    vectors = sum(1 for i in loop.instructions if vector.search(i.text) and not memory.match(i.text))
    loads = sum(-(-size // 16) for size, _ in _accesses(loop))
    stores = sum(-(-size // 16) for _, size in _accesses(loop))
    ports = core.ports
    return max(
        len(loop.instructions) / core.width,
        vectors / ports.vector,
        loads / ports.loads,
        stores / ports.stores,
        chain(loop) * ports.multiply_add_latency,
    )


def _accesses(loop: Loop) -> list[tuple[int, int]]:
    """Bytes (loaded, stored) of each instruction."""
    told = (work_of(Loop("", 0, (i,))) for i in loop.instructions)
    return [(w.loaded_bytes, w.stored_bytes) for w in told]


def row(core: Core, tier: str, hot: Hot, loop: Loop, work: Work, told: Prediction) -> Part:
    """One loop on one core."""
    kinds = (INT8_KIND.get(i.mnemonic) for i in loop.instructions)
    kind = next(filter(None, kinds), MULTIPLY_ADD) if work.int8_ops else MULTIPLY_ADD
    products = work.products if not hot.unit else 0
    bound = port_bound(core, loop, work)
    peak = peak_per_cycle(core, kind)
    return {
        "core": core.key,
        "tier": tier,
        "kernel": hot.kernel,
        "loop": hot.name,
        "kind": kind if products else None,
        "instructions": work.instructions,
        "cycles": round(told.cycles, 2),
        "operations": products,
        "elements": elements(hot, loop, work),
        "operations_per_cycle": round(products / told.cycles, 1),
        "share_of_peak": round(products / told.cycles / peak, 3) if products else None,
        "vector_busy": round(told.vector_busy, 3),
        "bottleneck": told.bottleneck,
        "spills": work.spills,
        "port_bound": round(bound, 2) if bound is not None else None,
        "port_bound_share": round(products / bound / peak, 3) if bound is not None and products else None,
    }


def main() -> None:
    parser = parser_of(__doc__, EXAMPLE)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the JSON file whose part `loops` is replaced")
    parser.add_argument("--part", default="loops", help="another name for that part (loops)")
    parser.add_argument("--builds", type=Path, default=Path("build"), help="folder of aarch64/ and release/ (build)")
    options = parser.parse_args()
    objdump, mca = find_tool("llvm-objdump"), find_tool("llvm-mca")
    rows, cores = [], {}
    for core in CORES:
        build = options.builds / ("aarch64" if core.triple == ARM else "release")
        cores[core.key] = {
            "title": core.title,
            "model": core.model,
            "cpu": core.cpu,
            "width": core.width,
            "peak_instructions": core.peak,
            "peak_operations": {kind: peak_per_cycle(core, kind) for kind in core.peak},
            "model_peak_instructions": {kind: round(model_peak(mca, core, kind), 2) for kind in core.peak},
        }
        for tier in core.tiers:
            for hot, loop, work in find_hot(objdump, build, tier):
                rows.append(row(core, tier, hot, loop, work, predict(mca, core, loop.instructions)))
    write(options.output, options.part, {"llvm": version(mca), "cores": cores, "rows": rows})
    print(f"{options.output}: {len(rows)} predictions with {version(mca)}")


if __name__ == "__main__":
    run(main)
