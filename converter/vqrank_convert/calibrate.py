"""What int8 costs on requests of one's own: size, scores and, with labels, AUC, for each option alone and together."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vqrank_convert.errors import ConversionError, one_line, quote, refuse
from vqrank_convert.int8 import CHOICES, FP32, PRESETS, Int8Options
from vqrank_convert.jsontext import parse

F64 = npt.NDArray[np.float64]
LABELS = "labels"
Clusters = Mapping[int, Mapping[str, npt.NDArray[np.int32]]]


@dataclass(frozen=True)
class Variant:
    """A way to convert, and its name in the table."""

    name: str
    options: Int8Options


@dataclass
class Labels:
    """Of the requests in order: the number of the line that holds it, which the copy has as its id, and by output an
    array of 1, 0, or NaN for a candidate without a label. `source`: the file that they are from."""

    source: Path
    lines: list[int] = field(default_factory=list)
    rows: list[dict[str, F64]] = field(default_factory=list)
    events: int = 0
    candidates: int = 0

    def where(self, row: int) -> str:
        return f"{self.source}, line {self.lines[row]}"


@dataclass
class Answers:
    """What one file gives: sizes in bytes; of the requests in order the outputs by name, or why there are none; by a
    request's id its codewords, [codebooks, events] by sequence."""

    file_bytes: int
    state_bytes: int
    outputs: list[dict[str, F64] | str]
    clusters: dict[int, dict[str, npt.NDArray[np.int32]]]


@dataclass(frozen=True)
class Measured:
    """A row of the table. `changed`: share of the events' codewords that are others than fp32's; differences are those
    of outputs; `rank`: Spearman's correlation within a request, averaged; `auc` by output, where there are labels: this
    file's, and by how much it is above fp32's. Only requests that both answer count; NaN where there is nothing to
    say. `refused`: requests that this file does not answer."""

    name: str
    file_bytes: int
    state_bytes: int
    changed: float
    largest: float
    mean: float
    rank: float
    auc: dict[str, tuple[float, float]]
    refused: int


def alone(part: str, choice: str, among: Int8Options) -> Int8Options:
    """One of the options and no other, as it is `among` them."""
    parts = {name: choice if name == part else "fp32" for name in CHOICES}
    return Int8Options(**parts, narrowest=among.narrowest, fewest=among.fewest)


def variants(options: Int8Options) -> list[Variant]:
    """fp32; each part that `options` make int8 alone; and all of them. Where they make nothing so: everything that
    there is, and the presets."""
    result = [Variant("fp32", FP32)]
    if options == FP32:
        for part, choices in CHOICES.items():
            result += [Variant(f"{part} {choice}", alone(part, choice, FP32)) for choice in choices[1:]]
        return result + [Variant(f"preset {name}", preset) for name, preset in PRESETS.items()]
    given = {part: getattr(options, part) for part in CHOICES if getattr(options, part) != "fp32"}
    result += [Variant(f"{part} {choice}", alone(part, choice, options)) for part, choice in given.items()]
    return result + ([Variant("together", options)] if len(given) > 1 else [])


# ---- requests ----


def take_labels(source: Path, requests: IO[str]) -> Labels:
    """Copies the requests without their labels, which `vqrank score` does not know, and returns these."""
    result = Labels(source)
    try:
        with source.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip(" \t\r\n"):
                    requests.write(_one(line, number, result) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{source}: expected requests, found {one_line(error)}") from None
    if not result.rows:
        refuse(str(source), "requests, one JSON object a line", "none")
    return result


def _one(line: str, number: int, into: Labels) -> str:
    """One request as it goes to the library."""
    where = f"{into.source}, line {number}"
    request = parse(line, where)
    if not isinstance(request, dict):
        refuse(where, "an object", quote(request))
    candidates, labels = request.get("candidates"), request.pop(LABELS, {})
    count = len(candidates) if isinstance(candidates, list) else 0
    if not isinstance(labels, dict):
        refuse(f"{where}: {LABELS}", "an object of arrays by output", quote(labels))
    into.lines.append(number)
    into.rows.append({name: _truth(own, count, f"{where}: {LABELS}.{name}") for name, own in labels.items()})
    into.events += len(request["events"]) if isinstance(request.get("events"), list) else 0
    into.candidates += count
    if "id" in request:
        request["id"] = number
    return json.dumps(request)


def _truth(labels: Any, count: int, where: str) -> F64:
    if not isinstance(labels, list) or len(labels) != count:
        found = str(len(labels)) if isinstance(labels, list) else quote(labels)
        refuse(where, f"an array of {count}, a label for each candidate", found)
    for i, label in enumerate(labels):
        if label is not None and (isinstance(label, bool) or label not in (0, 1)):
            refuse(f"{where}[{i}]", "0, 1 or null", quote(label))
    return np.array([math.nan if label is None else label for label in labels], np.float64)


# ---- answers ----


def _run(vqrank: Path, *arguments: str | Path) -> Iterator[dict[str, Any]]:
    """The lines that the command answers. That it refuses requests is no error; anything else is."""
    command = [str(vqrank), *map(str, arguments)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, encoding="utf-8") as process:
                assert process.stdout is not None
                for line in process.stdout:
                    yield json.loads(line)
        except (OSError, ValueError) as error:
            raise ConversionError(f"{vqrank} {arguments[0]}: expected answers, found {one_line(error)}") from None
        if process.returncode not in (0, 1):
            said.seek(0)
            found = one_line(said.read())[:400] or f"exit status {process.returncode}"
            raise ConversionError(f"{vqrank} {arguments[0]}: expected answers, found {found}")


def answers(vqrank: Path, model: Path, requests: Path, count: int) -> Answers:
    """Scores and quantizes all of `count` requests with a model file."""
    outputs: list[dict[str, F64] | str] = []
    for answer in _run(vqrank, "score", model, requests):
        if "error" in answer:
            outputs.append(str(answer["error"]["message"]))
        else:
            outputs.append({name: np.array(y, np.float64) for name, y in answer["outputs"].items()})
    if len(outputs) != count:
        refuse(f"{vqrank} score", f"{count} answers", str(len(outputs)))
    clusters = {}
    for answer in _run(vqrank, "clusters", model, requests):
        clusters[answer["id"]] = {name: np.array(z, np.int32) for name, z in answer["clusters"].items()}
    return Answers(model.stat().st_size, state_bytes(vqrank, model), outputs, clusters)


def state_bytes(vqrank: Path, model: Path) -> int:
    """What a user's state takes."""
    said = subprocess.run([str(vqrank), "inspect", "--json", str(model)], capture_output=True, check=False)
    if said.returncode != 0:
        found = one_line(said.stderr.decode(errors="replace"))[:400] or f"exit status {said.returncode}"
        raise ConversionError(f"{vqrank} inspect: expected a description of the file, found {found}")
    return int(json.loads(said.stdout)["state_bytes"])


# ---- comparisons ----


def measure(variant: Variant, own: Answers, fp32: Answers, labels: Labels) -> Measured:
    """Compares a file's answers with those in fp32."""
    differences, correlations = [], []
    both = []  # place in the list of requests, own outputs, fp32's
    for row, (x, y) in enumerate(zip(own.outputs, fp32.outputs, strict=True)):
        if isinstance(x, dict) and isinstance(y, dict):
            both.append((row, x, y))
            differences += [np.abs(x[name] - y[name]) for name in y]
            correlations += [rank_correlation(x[name], y[name]) for name in y]
    every = np.concatenate([np.zeros(0), *differences])
    known = [r for r in correlations if not math.isnan(r)]
    return Measured(
        variant.name,
        own.file_bytes,
        own.state_bytes,
        changed_share(own.clusters, fp32.clusters),
        float(every.max()) if len(every) else math.nan,
        float(every.mean()) if len(every) else math.nan,
        float(np.mean(known)) if known else math.nan,
        areas(both, labels),
        sum(isinstance(outputs, str) for outputs in own.outputs),
    )


def changed_share(own: Clusters, fp32: Clusters) -> float:
    """The share of codewords, over events and codebooks, that differ; NaN where there are none."""
    changed = total = 0
    for request in own.keys() & fp32.keys():
        for name, z in fp32[request].items():
            changed, total = changed + int((own[request][name] != z).sum()), total + z.size
    return changed / total if total else math.nan


def rank_correlation(own: F64, fp32: F64) -> float:
    """Spearman's, with ties at their mean rank; NaN where fp32 ranks nothing. Where only `own` does not, its order has
    nothing of fp32's: 0."""
    from scipy.stats import rankdata

    x, y = (rankdata(scores) - (len(scores) + 1) / 2 for scores in (own, fp32))
    if not y.any():
        return math.nan
    return float(x @ y) / math.sqrt(float((x @ x) * (y @ y))) if x.any() else 0.0


def areas(both: list[tuple[int, dict[str, F64], dict[str, F64]]], labels: Labels) -> dict[str, tuple[float, float]]:
    """AUC by output over the labelled candidates of all requests in `both`, and how far it lies above fp32's; NaN where
    all labels are the same."""
    from sklearn.metrics import roc_auc_score

    result = {}
    for name in dict.fromkeys(name for row in labels.rows for name in row):
        truth, scores, exact = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
        for row, x, y in both:
            if name not in labels.rows[row]:
                continue
            if name not in y:
                refuse(f"{labels.where(row)}: {LABELS}", f"outputs of the model ({', '.join(y)})", quote(name))
            given = ~np.isnan(labels.rows[row][name])
            truth.append(labels.rows[row][name][given])
            scores.append(x[name][given])
            exact.append(y[name][given])
        wanted = np.concatenate(truth)
        if 0 < wanted.sum() < len(wanted):
            area, base = (float(roc_auc_score(wanted, np.concatenate(found))) for found in (scores, exact))
            result[name] = area, area - base
        else:
            result[name] = math.nan, math.nan
    return result


# ---- the whole ----


def calibrate(
    requests: Path,
    options: Int8Options,
    write: Callable[[Path, Int8Options], object],
    vqrank: Path,
    bar: bool,
) -> str:
    """The table. `write` converts into a path; `bar`: whether one shows how far this is."""
    _need_statistics()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "requests.jsonl"
        with plain.open("w", encoding="utf-8") as file:
            labels = take_labels(requests, file)
        fp32: Answers | None = None
        for variant in tqdm(variants(options), desc="calibrating", unit="file", disable=not bar, leave=False):
            model = Path(folder) / "model.vqr"
            write(model, variant.options)
            own = answers(vqrank, model, plain, len(labels.rows))
            model.unlink()
            if fp32 is None:
                fp32 = own
                _need_an_answer(own, labels)
            rows.append(measure(variant, own, fp32, labels))
    return render(labels, rows)


def _need_an_answer(fp32: Answers, labels: Labels) -> None:
    if all(isinstance(outputs, str) for outputs in fp32.outputs):
        first = f"line {labels.lines[0]}: {one_line(fp32.outputs[0])}"
        refuse(str(labels.source), "requests that the model answers", f"all {len(fp32.outputs)} refused; {first}")


def _need_statistics() -> None:
    try:
        for module in ("scipy.stats", "sklearn.metrics"):
            importlib.import_module(module)
    except ImportError as error:
        raise ConversionError(
            f"--calibrate: expected scipy and scikit-learn, found {one_line(error)}; pip install scipy scikit-learn"
        ) from None


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def render(labels: Labels, rows: list[Measured]) -> str:
    """The table as aligned lines; the first row is fp32's."""
    fp32, outputs = rows[0], list(rows[0].auc)
    table = [["option", "file bytes", "state bytes", "changed", "largest", "mean", "rank"]]
    table[0] += [part for name in outputs for part in (f"AUC {name}", "by")]
    for row in rows:
        cells = [row.name, f"{row.file_bytes:,}", f"{row.state_bytes:,}"]
        against = [_number(row.changed, ".3%"), _number(row.largest, ".2e"), _number(row.mean, ".2e")]
        against.append(_number(row.rank, ".6f"))
        cells += ["-"] * len(against) if row is fp32 else against
        for name in outputs:
            area, by = row.auc[name]
            cells += [_number(area, ".5f"), "-" if row is fp32 else _number(by, "+.5f")]
        table.append(cells)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = [
        f"calibration: {len(labels.rows):,} requests of {labels.source}, {labels.events:,} events, "
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
