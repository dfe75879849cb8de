"""What int8 costs on requests of one's own: size, scores and, with labels, AUC, for each option alone and together."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vqrank_convert.errors import ConversionError, one_line, quote
from vqrank_convert.int8 import CHOICES, FP32, PRESETS, Int8Options

F64 = npt.NDArray[np.float64]
LABELS = "labels"
# Of each: what the library answers, a line a request.
COMMANDS = ("score", "clusters")


@dataclass(frozen=True)
class Variant:
    """A way to convert, and its name in the table."""

    name: str
    options: Int8Options


@dataclass
class Labels:
    """Of every line of the requests in order, by output: 1, 0, or NaN for a candidate without a label."""

    rows: list[dict[str, F64]] = field(default_factory=list)
    events: int = 0
    candidates: int = 0

    @property
    def any(self) -> bool:
        return any(self.rows)


@dataclass
class Answers:
    """What one file gives: sizes in bytes; by line of the requests its outputs by name, or None where it was refused;
    its codewords, [codebooks, events] by sequence."""

    file_bytes: int
    state_bytes: int
    outputs: list[dict[str, F64] | None]
    clusters: list[dict[str, list[list[int]]]]


@dataclass(frozen=True)
class Measured:
    """A row of the table. `changed`: share of the events' codewords that are others than fp32's; differences are those
    of outputs; `rank`: Spearman's correlation within a request, averaged; `auc` by output, where there are labels."""

    name: str
    file_bytes: int
    state_bytes: int
    changed: float
    largest: float
    mean: float
    rank: float
    auc: dict[str, float]
    refused: int


def variants(options: Int8Options) -> list[Variant]:
    """fp32; each part that `options` make int8 alone; and all of them. Where they make nothing so: everything that
    there is, and the presets."""
    result = [Variant("fp32", FP32)]
    if options == FP32:
        for part, choices in CHOICES.items():
            result += [Variant(f"{part} {choice}", Int8Options(**{part: choice})) for choice in choices[1:]]
        return result + [Variant(f"preset {name}", preset) for name, preset in PRESETS.items()]
    given = {part: getattr(options, part) for part in CHOICES if getattr(options, part) != "fp32"}
    result += [Variant(f"{part} {choice}", Int8Options(**{part: choice})) for part, choice in given.items()]
    return result + ([Variant("together", options)] if len(given) > 1 else [])


# ---- requests ----


def take_labels(source: Path, requests: IO[str]) -> Labels:
    """Copies the requests without their labels, which `vqrank score` does not know, and returns these."""
    result = Labels()
    try:
        with source.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    requests.write(_one(line, f"{source}, line {number}", result) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{source}: expected requests, found {one_line(error)}") from None
    if not result.rows:
        raise ConversionError(f"{source}: expected requests, one JSON object a line, found none")
    return result


def _one(line: str, where: str, into: Labels) -> str:
    """One request as it goes to the library."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{where}: expected JSON, found {one_line(error)}") from None
    if not isinstance(request, dict):
        raise ConversionError(f"{where}: expected an object, found {quote(line.strip()[:40])}")
    candidates, labels = request.get("candidates", []), request.pop(LABELS, {})
    count = len(candidates) if isinstance(candidates, list) else 0
    if not isinstance(labels, dict):
        raise ConversionError(f"{where}: labels: expected an object of arrays by output, found {quote(str(labels))}")
    into.rows.append({name: _numbers(name, own, count, where) for name, own in labels.items()})
    into.events += len(request["events"]) if isinstance(request.get("events"), list) else 0
    into.candidates += count
    return json.dumps(request, ensure_ascii=False)


def _numbers(name: str, labels: Any, count: int, where: str) -> F64:
    good = isinstance(labels, list) and len(labels) == count and all(x is None or x in (0, 1) for x in labels)
    if not good:
        found = f"{len(labels)}" if isinstance(labels, list) else quote(str(labels))
        raise ConversionError(
            f"{where}: labels.{name}: expected 0, 1 or null for each of {count} candidates, found {found}"
        )
    return np.array([math.nan if x is None else float(x) for x in labels])


# ---- answers ----


def _run(vqrank: Path, arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The lines that the command answers. A refused request is one of them; anything else is an error."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        with subprocess.Popen(
            [str(vqrank), *arguments], stdout=subprocess.PIPE, stderr=said, text=True, encoding="utf-8"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode not in (0, 1):
            said.seek(0)
            raise ConversionError(f"{vqrank} {arguments[0]}: {one_line(said.read())[:400]}")


def answers(vqrank: Path, model: Path, requests: Path) -> Answers:
    """Scores and quantizes all requests with a model file."""
    described = subprocess.run(
        [str(vqrank), "inspect", "--json", str(model)], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    if described.returncode != 0:
        raise ConversionError(f"{vqrank} inspect: {one_line(described.stderr)[:400]}")
    outputs: list[dict[str, F64] | None] = []
    for answer in _run(vqrank, ("score", str(model), str(requests))):
        own = answer.get("outputs")
        outputs.append(None if own is None else {name: np.array(y) for name, y in own.items()})
    clusters = [answer["clusters"] for answer in _run(vqrank, ("clusters", str(model), str(requests)))]
    return Answers(model.stat().st_size, int(json.loads(described.stdout)["state_bytes"]), outputs, clusters)


def changed_share(own: list[dict[str, list[list[int]]]], fp32: list[dict[str, list[list[int]]]]) -> float:
    """The share of codewords, over events and codebooks, that differ; NaN where there are none."""
    changed = total = 0
    for a, b in zip(own, fp32, strict=True):
        for name, codebooks in a.items():
            x, y = np.array(codebooks), np.array(b[name])
            changed, total = changed + int((x != y).sum()), total + x.size
    return changed / total if total else math.nan


def measure(variant: Variant, own: Answers, fp32: Answers, labels: Labels) -> Measured:
    """Compares a file's answers with those in fp32; requests that either refused are left out."""
    from scipy.stats import rankdata

    differences, correlations = [], []
    for a, b in zip(own.outputs, fp32.outputs, strict=True):
        for name in a if a is not None and b is not None else ():
            x, y = a[name], b[name]  # type: ignore[index]
            differences.append(np.abs(x - y))
            if len(x) > 1:
                correlations.append(_correlation(rankdata(x), rankdata(y)))
    every = np.concatenate(differences) if differences else np.zeros(0)
    known = [x for x in correlations if not math.isnan(x)]
    same = len(own.clusters) == len(fp32.clusters)
    return Measured(
        variant.name,
        own.file_bytes,
        own.state_bytes,
        changed_share(own.clusters, fp32.clusters) if same else math.nan,
        float(every.max(initial=0.0)),
        float(every.mean()) if len(every) else 0.0,
        float(np.mean(known)) if known else math.nan,
        area_under_curves(own, labels),
        sum(outputs is None for outputs in own.outputs),
    )


def _correlation(x: F64, y: F64) -> float:
    """Pearson's; NaN where one of them does not vary."""
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / size if size else math.nan


def area_under_curves(own: Answers, labels: Labels) -> dict[str, float]:
    """AUC by output over the labelled candidates of all requests; NaN where all have the same label."""
    from sklearn.metrics import roc_auc_score

    result = {}
    for name in dict.fromkeys(name for row in labels.rows for name in row):
        scores, truth = [], []
        for outputs, row in zip(own.outputs, labels.rows, strict=True):
            if outputs is None or name not in row:
                continue
            if name not in outputs:
                known = ", ".join(outputs)
                raise ConversionError(f"labels: expected outputs of the model ({known}), found {quote(name)}")
            given = ~np.isnan(row[name])
            scores.append(outputs[name][given])
            truth.append(row[name][given])
        y = np.concatenate(truth) if truth else np.zeros(0)
        both = 0 < y.sum() < len(y)
        result[name] = float(roc_auc_score(y, np.concatenate(scores))) if both else math.nan
    return result


# ---- the whole ----


def calibrate(
    requests: Path,
    options: Int8Options,
    write: Callable[[Path, Int8Options], object],
    vqrank: Path,
    quiet: bool,
) -> str:
    """The table. `write` converts into a path."""
    _need_statistics()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "requests.jsonl"
        with plain.open("w", encoding="utf-8") as file:
            labels = take_labels(requests, file)
        fp32: Answers | None = None
        for variant in tqdm(variants(options), desc="calibrating", unit="file", disable=quiet, leave=False):
            model = Path(folder) / "model.vqr"
            write(model, variant.options)
            own = answers(vqrank, model, plain)
            model.unlink()
            fp32 = fp32 or own
            rows.append(measure(variant, own, fp32, labels))
    return render(requests, labels, rows)


def _need_statistics() -> None:
    try:
        import scipy.stats
        import sklearn.metrics  # noqa: F401
    except ImportError as error:
        raise ConversionError(
            f"--calibrate: expected scipy and scikit-learn, found {one_line(error)}; install vqrank-convert[calibrate]"
        ) from None


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def render(requests: Path, labels: Labels, rows: list[Measured]) -> str:
    """The table as aligned lines; differences of AUC are from the first row, fp32."""
    fp32, outputs = rows[0], list(rows[0].auc)
    head = ["option", "file bytes", "state bytes", "changed", "largest", "mean", "rank"]
    head += [part for name in outputs for part in (f"AUC {name}", "by")]
    table = [head]
    for row in rows:
        own = row is not fp32
        cells = [row.name, f"{row.file_bytes:,}", f"{row.state_bytes:,}"]
        cells += [_number(row.changed, ".3%"), f"{row.largest:.2e}", f"{row.mean:.2e}", _number(row.rank, ".6f")]
        table.append(cells if own else [*cells[:3], "-", "-", "-", "-"])
        for name in outputs:
            table[-1] += [_number(row.auc[name], ".5f"), f"{row.auc[name] - fp32.auc[name]:+.5f}" if own else "-"]
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    lines = [
        f"calibration: {len(labels.rows):,} requests of {requests}, {labels.events:,} events, "
        f"{labels.candidates:,} candidates",
        "  changed: codewords of events other than in fp32; largest, mean: differences of outputs from fp32's; rank:",
        "  their rank correlation within a request" + ("; AUC over all labelled candidates" if outputs else ""),
        "",
    ]
    for line in table:
        cells = [f"{line[0]:<{widths[0]}}", *(f"{x:>{w}}" for x, w in zip(line[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells))
    lines += [
        f"  {row.name}: {row.refused} requests refused, in fp32 {fp32.refused}: left out of the comparison"
        for row in rows
        if row.refused
    ]
    return "\n".join(lines)
