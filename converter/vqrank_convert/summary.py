"""The table printed at the end: what was computed, what was written, how large it is."""

from pathlib import Path

from vqrank_convert.golden import Golden
from vqrank_convert.int8 import CHOICES
from vqrank_convert.plan import Plan
from vqrank_convert.writer import Written

PARTS = ("tables", "vocabularies", "quantizers", "fold", "hstu", "attention", "head", "assignments")


def render(plan: Plan, written: Written, target: Path, golden: Golden | None, seconds: float) -> str:
    """The summary as aligned lines."""
    config = plan.config
    lines = [f"{target}: model {config.name!r}, {written.file_bytes:,} bytes, written in {seconds:.1f} s", ""]
    rows = [("part", "tensors", "bytes")]
    for part in PARTS:
        tensors = [tensor for tensor in plan.tensors if tensor.part == part]
        if tensors:
            rows.append((part, str(len(tensors)), f"{sum(tensor.length for tensor in tensors):,}"))
    rows.append(("header", "", f"{written.header_bytes:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines += [f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    lines.append("")
    exponents = {table: written.exponents[table] for f in config.groups["event"] for table in f.tables}
    facts = [("computed", note) for note in plan.notes]
    if exponents:
        facts.append(("exponents", ", ".join(f"{name} {s}" for name, s in exponents.items())))
    used = {table for features in config.groups.values() for feature in features for table in feature.tables}
    unused = [name for name in config.tables if name not in used]
    if unused:
        facts.append(("not used", f"no feature uses the tables {', '.join(unused)}"))
    if golden is None:
        facts.append(("golden", "none (--no-golden): `vqrank selftest` will have nothing to replay"))
    else:
        facts.append(
            ("golden", f"{golden.events} events, {len(golden.float64)} outputs, within {golden.bound:.3g} of float64")
        )
    if plan.stored is not None:
        facts.append(("stored", plan.stored.note))
    facts += _int8_facts(plan, written)
    lines += [f"  {name:<10}{text}" for name, text in facts]
    return "\n".join(lines)


def _int8_facts(plan: Plan, written: Written) -> list[tuple[str, str]]:
    """A line for each option of int8 that was given, and one for the whole."""
    facts = []
    for option in CHOICES:
        chosen = getattr(plan.parts.options, option)
        if chosen == "fp32":
            continue
        names, kept = plan.became.get(option, []), plan.kept.get(option, [])
        reasons = dict.fromkeys(reason for _, reason in kept)
        listed = [f"{', '.join(name for name, own in kept if own == reason)} ({reason})" for reason in reasons]
        text = f"{option} {chosen}: {', '.join(names) or 'nothing to do'}"
        facts.append(("int8", f"{text}; kept in fp32: {'; '.join(listed)}" if listed else text))
    if facts:
        facts.append(("int8", f"{written.file_bytes:,} bytes, in fp32 about {written.fp32_bytes:,}"))
    return facts
