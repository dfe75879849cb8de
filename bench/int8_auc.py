"""Measures what int8 costs in AUC: every run of the table of models, converted with each option and each preset.

    build/venv/bin/python bench/int8_auc.py --data DATA --runs runs/table --out runs/int8

Scores come from the library itself (build/release, or $VQRANK_BUILD), which appends a user's events once for all of
the user's moments. A finished run of --out is not measured again; --out then holds table.md and table.json.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vqrank_convert.cli import main as convert

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import library as c

from vqrank_train.checkpoint import load_checkpoint
from vqrank_train.cli import CONFIGS
from vqrank_train.experiments.config import rows_of
from vqrank_train.experiments.requests import CHECKPOINT, Writer, load_for
from vqrank_train.experiments.runs import RESULT, begin, finished, write_json
from vqrank_train.experiments.table import folder_of, test_sample
from vqrank_train.trainer.blocks import runs
from vqrank_train.trainer.dataset import Sample
from vqrank_train.trainer.spec import read_json

SETS = ("commits", "kuairand")
VARIANTS = {
    "codebook": ["--codebook", "int8"],
    "tables": ["--tables", "int8"],
    "weights": ["--weights", "int8"],
    "state": ["--state", "int8"],
    "server": ["--preset", "server"],
    "mobile": ["--preset", "mobile"],
}
MOMENTS = {"commits": 4000, "kuairand": 0}  # of the test part that are scored; 0: all
ASSIGNED = 50_000  # events whose codewords are compared
COLUMN_FLOAT32 = 5  # enum vqr_column_type
INFLUENCE = "influence.npy"  # of a run: [variants, moments]


class Table:
    """Columns of rows in the library's form, of which any range can be passed."""

    def __init__(self, writer: Writer, group: str, columns: dict[str, np.ndarray], ids: dict[str, Any]) -> None:
        self.columns = [self.column(feature, columns[feature.name], ids) for feature in writer.config.groups[group]]

    @staticmethod
    def column(feature: Any, values: np.ndarray, ids: dict[str, Any]) -> tuple[int, np.ndarray, np.ndarray]:
        """Type, values and which are there."""
        if feature.kind == "id":
            every, known, _ = ids[feature.name]
            return c.COLUMN_ID, every[values], known[values]
        if feature.kind in ("vector", "semantic_id"):
            known = ~np.isnan(values).any(1)
            return COLUMN_FLOAT32, np.ascontiguousarray(values, np.float32), known.astype(np.uint8)
        kind, dtype = (c.COLUMN_INT64, np.int64) if feature.kind == "time" else (c.COLUMN_FLOAT64, np.float64)
        return kind, np.ascontiguousarray(values, dtype), np.ones(len(values), np.uint8)

    def rows(self, low: int, high: int) -> c.Rows:
        """Rows low ... high; valid while the table lives."""
        columns = (c.Column * len(self.columns))()
        for column, (kind, values, present) in zip(columns, self.columns, strict=True):
            column.type = kind
            column.values = values.ctypes.data + low * values.strides[0]
            column.present = present.ctypes.data + low
        return c.Rows(columns, len(self.columns), high - low)

    def picked(self, index: np.ndarray) -> Table:
        """A table of some rows."""
        found = Table.__new__(Table)
        found.columns = [(kind, values[index], present[index]) for kind, values, present in self.columns]
        return found


def id_values(writer: Writer) -> dict[str, Any]:
    """Of every column of ids: struct vqr_id by code, which codes are ids, and the bytes that these point into."""
    found = {}
    for name in {f.name for features in writer.config.groups.values() for f in features if f.kind == "id"}:
        raw = writer.data.raw(name)
        texts = [value.encode() if isinstance(value, str) else None for value in raw]
        place = np.cumsum([0, *(len(text or b"") for text in texts)])
        joined = ctypes.create_string_buffer(b"".join(text or b"" for text in texts) + b"\0")
        values = np.zeros((len(raw), 2), np.uint64)
        for code, (value, text) in enumerate(zip(raw, texts, strict=True)):
            if text is not None:
                values[code] = ctypes.addressof(joined) + int(place[code]), len(text)
            else:
                values[code] = 0, value or 0
        found[name] = values, np.array([value is not None for value in raw], np.uint8), joined
    return found


class Moments:
    """Everything of a sample that the library is given, for one checkpoint's features."""

    def __init__(self, writer: Writer, moments: Any, sample: Sample) -> None:
        data, ids = writer.data, id_values(writer)
        self.keep, self.last, self.moments = ids, writer.last, moments
        self.runs = runs(sample.moment)
        self.start = data.start
        total = int(data.start[-1])
        n = np.arange(total) - np.repeat(data.start[:-1], np.diff(data.start))
        self.events = Table(writer, "event", writer.columns("event", np.arange(total), n), ids)
        history = moments.history[sample.moment]
        self.candidates = Table(writer, "candidate", writer.columns("candidate", sample.item, history), ids)
        self.context = Table(writer, "context", dict(moments.context), ids)
        self.user = Table(writer, "user", data.user, ids)
        self.size = len(sample.item)
        read = [(int(data.start[moments.user[m]]), int(moments.history[m])) for m, _, _ in self.runs]
        self.read = np.zeros(total, bool)  # events of any history
        for low, count in read:
            self.read[low + max(0, count - self.last) : low + count] = True


class Scorer:
    """A model file in the library."""

    def __init__(self, model: Path) -> None:
        self.library, self.error = c.Library(), c.Error()
        self.context = self.library.session(model, "")
        self.model, self.session = self.context.__enter__()
        self.state = ctypes.c_void_p()
        self.call("vqr_state_create", self.model, None, 0, ctypes.byref(self.state))

    def call(self, name: str, *arguments: Any) -> None:
        """One function of the library, whose last argument is the error."""
        self.library.check(getattr(self.library.c, name)(*arguments, ctypes.byref(self.error)), self.error)

    def close(self) -> None:
        """Free everything."""
        self.library.c.vqr_state_free(self.state)
        self.context.__exit__(None, None, None)

    def scores(self, given: Moments, bar: Any) -> np.ndarray:
        """Of the sample's candidates [S]; events are appended to what the user's moment before left."""
        found = np.zeros(given.size, np.float32)
        moments, user, done = given.moments, -1, 0
        for moment, low, high in given.runs:
            own, history = int(moments.user[moment]), int(moments.history[moment])
            if own != user or history - done > given.last:
                self.library.c.vqr_state_reset(self.state)
                user, done = own, max(0, history - given.last)
            begin = int(given.start[user])
            if history > done:
                events = given.events.rows(begin + done, begin + history)
                self.call("vqr_append", self.session, self.state, ctypes.byref(events), None)
                done = history
            self.call("vqr_refresh", self.session, self.state)
            request = c.Request(
                given.user.rows(user, user + 1),
                given.context.rows(moment, moment + 1),
                given.candidates.rows(low, high),
            )
            if moments.time is not None:
                request.time = ctypes.pointer(ctypes.c_int64(int(moments.time[moment])))
            place = ctypes.c_void_p(found.ctypes.data + 4 * low)
            self.call("vqr_score", self.session, self.state, ctypes.byref(request), place, None)
            bar.update()
        return found

    def codewords(self, events: Table, count: int) -> list[np.ndarray]:
        """Of the events, per sequence with codebooks [codebooks, count]."""
        found, rows = [], events.rows(0, count)
        self.library.c.vqr_sequence_codebooks.restype = ctypes.c_size_t
        sequences = self.library.c.vqr_sequence_count
        sequences.restype = ctypes.c_size_t
        for i in range(sequences(self.model)):
            codebooks = self.library.c.vqr_sequence_codebooks(self.model, ctypes.c_size_t(i))
            clusters = np.zeros((codebooks, count), np.uint32)
            place = ctypes.c_void_p(clusters.ctypes.data)
            if codebooks:
                self.call("vqr_assign", self.session, ctypes.c_size_t(i), ctypes.byref(rows), place)
                found.append(clusters)
        return found


@dataclass
class Auc:
    """AUC, and what each candidate contributes to it."""

    value: float
    part: np.ndarray  # [S] of positives: the share of negatives below; of negatives: of positives above; less the AUC

    @classmethod
    def of(cls, label: np.ndarray, score: np.ndarray) -> Auc:
        """Ties count one half."""
        positive = label == 1
        part = np.zeros(len(score))
        for own, sign in ((positive, 1), (~positive, -1)):
            other = np.sort(sign * score[~own])
            mine = sign * score[own]
            below, through = (np.searchsorted(other, mine, side) for side in ("left", "right"))
            part[own] = (below + through) / 2 / len(other)
        value = float(part[positive].mean())
        return cls(value, part - value)


def influence(label: np.ndarray, part: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """How far each moment [M] moves an AUC, or a difference of AUCs whose parts are subtracted.

    The root of the sum of their squares is the standard error over moments, as a bootstrap over them finds it.
    """
    weighted = part / np.where(label == 1, (label == 1).sum(), (label != 1).sum())
    _, place = np.unique(moment, return_inverse=True)
    return np.bincount(place, weighted)


def measure(checkpoint: Path, given: Moments, sample: Sample, folder: Path, bar: Any) -> None:
    """One run: converts, scores and writes result.json."""
    path = folder / "model.vqr"

    def converted(arguments: list[str]) -> bytes:
        if convert([str(checkpoint), "-o", str(path), "--no-golden", "--quiet", *arguments]):
            sys.exit(f"int8_auc: {checkpoint}: not converted")
        return path.read_bytes()

    def scored() -> tuple[np.ndarray, list[np.ndarray]]:
        scorer = Scorer(path)
        scores, codewords = scorer.scores(given, bar), scorer.codewords(compared, len(chosen))
        scorer.close()
        return scores, codewords

    every = np.flatnonzero(given.read)
    chosen = np.sort(np.random.default_rng(0).choice(every, min(ASSIGNED, len(every)), replace=False))
    compared = given.events.picked(chosen)
    plain = converted([])
    base, own = scored()
    auc = Auc.of(sample.label, base)
    result: dict[str, Any] = {"auc": auc.value, "bytes": len(plain), "variants": {}}
    moved = np.zeros((len(VARIANTS), len(given.runs)))
    for i, (name, arguments) in enumerate(VARIANTS.items()):
        content = converted(arguments)
        if content == plain:  # nothing of this model becomes int8
            bar.update(len(given.runs))
            continue
        scores, codewords = scored()
        other = Auc.of(sample.label, scores)
        moved[i] = influence(sample.label, other.part - auc.part, sample.moment)
        far = np.abs(scores.astype(np.float64) - base)
        changed = [float((a != b).mean()) if a.size else 0.0 for a, b in zip(own, codewords, strict=True)]
        result["variants"][name] = {
            "difference": other.value - auc.value,
            "error": float(np.sqrt(np.square(moved[i]).sum())),
            "mean_score_difference": float(far.mean()),
            "largest_score_difference": float(far.max()),
            "codewords_changed": changed,
            "bytes": len(content),
        }
    path.unlink()
    np.save(folder / INFLUENCE, moved)
    write_json(folder / RESULT, result)


@dataclass
class Row:
    """The finished runs of one row, and their figures' means."""

    name: str
    results: list[dict[str, Any]]
    moved: np.ndarray  # [variants, moments], the mean over the seeds

    def mean(self, variant: str, key: str) -> float | None:
        """None where the variant changes nothing."""
        values = [found["variants"][variant][key] for found in self.results if variant in found["variants"]]
        return float(np.mean(values)) if values else None

    def error(self, variant: str) -> float:
        """Of the mean difference."""
        return float(np.sqrt(np.square(self.moved[list(VARIANTS).index(variant)]).sum()))

    def scores(self, variant: str) -> list[str]:
        """How far scores differ, codewords and the file's size, in words."""
        mine = [found["variants"][variant] for found in self.results if variant in found["variants"]]
        if not mine:
            return [""] * 4
        size = np.mean([one["bytes"] for one in mine]) / np.mean([found["bytes"] for found in self.results])
        return [
            f"{np.mean([one['mean_score_difference'] for one in mine]):.5f}",
            f"{max(one['largest_score_difference'] for one in mine):.3f}",
            ", ".join(f"{share:.1%}" for share in np.mean([one["codewords_changed"] for one in mine], 0)),
            f"{size:.0%}",
        ]

    def lines(self) -> tuple[str, str]:
        """Of the table of AUC, and of that of scores and codewords."""
        cells = [self.name, f"{np.mean([found['auc'] for found in self.results]):.4f}"]
        for variant in VARIANTS:
            value = self.mean(variant, "difference")
            cells.append("" if value is None else f"{1e4 * value:+.1f} ± {1e4 * self.error(variant):.1f}")
        more = [self.name, *self.scores("server"), *self.scores("mobile")]
        return f"| {' | '.join(cells)} | {len(self.results)} |", f"| {' | '.join(more)} |"


def markdown(name: str, rows: list[Row]) -> list[str]:
    """The two tables of a data set."""
    heads = [f"`--{v} int8`" if v not in ("server", "mobile") else f"`--preset {v}`" for v in VARIANTS]
    both = [row.lines() for row in rows]
    return [
        f"### {name}", "", f"| | AUC of fp32 | {' | '.join(heads)} | seeds |", "|---|" + "---|" * (len(heads) + 2),
        *(auc for auc, _ in both), "",
        "| | server: mean | largest | codewords | file | mobile: mean | largest | codewords | file |",
        "|---|" + "---|" * 8, *(more for _, more in both), "",
    ]  # fmt: skip


def every_run(args: argparse.Namespace) -> Iterator[tuple[str, str, int, Path]]:
    """Set, row, seed and checkpoint of the table's runs that are there, seeds round robin."""
    for seed in args.seeds:
        for name in args.sets:
            for row in rows_of(name, CONFIGS / "table"):
                folder = folder_of(args.runs, name, row, seed)
                if (folder / CHECKPOINT).exists() and (not args.row or row in args.row):
                    yield name, row, seed, folder / CHECKPOINT


def write_tables(args: argparse.Namespace, plan: list[tuple[str, str, int, Path]], specs: list[dict[str, Any]]) -> str:
    """table.md and table.json of what is finished; returns the former."""
    lines: list[str] = []
    found: dict[str, Any] = {}
    for name in args.sets:
        rows = []
        for row in dict.fromkeys(row for own, row, _, _ in plan if own == name):
            folders = [
                folder_of(args.out, name, row, seed)
                for (own, other, seed, _), spec in zip(plan, specs, strict=True)
                if (own, other) == (name, row) and finished(folder_of(args.out, name, row, seed), spec)
            ]
            if folders:
                results = [read_json(folder / RESULT) for folder in folders]
                moved = np.mean([np.load(folder / INFLUENCE) for folder in folders], 0)
                rows.append(Row(row, results, moved))
                found.setdefault(name, {})[row] = results
        lines += markdown(name, rows)
    write_json(args.out / "table.json", found)
    text = "\n".join(lines)
    (args.out / "table.md").write_text(text, encoding="utf-8")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds commits/ and kuairand-pure/")
    parser.add_argument("--runs", type=Path, required=True, help="what `vqrank-train table --out` made")
    parser.add_argument("--out", type=Path, required=True, help="folder for results and tables")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(SETS), help="of commits,kuairand")
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--row", action="append", default=[], help="only this row; may be repeated")
    parser.add_argument("--moments", type=int, help="test moments to score; 0: all (4,000 of commits, all of kuairand)")
    parser.add_argument("--seed", type=int, default=7, help="of moments and negatives")
    args = parser.parse_args()
    plan = list(every_run(args))
    if not plan:
        sys.exit(f"int8_auc: {args.runs}: expected runs SET/ROW/SEED/{CHECKPOINT}, found none")
    args.out.mkdir(parents=True, exist_ok=True)
    specs = [
        {
            "moments": MOMENTS[name] if args.moments is None else args.moments,
            "seed": args.seed,
            "checkpoint": [checkpoint.stat().st_size, checkpoint.stat().st_mtime],
            "variants": VARIANTS,
        }
        for name, _, _, checkpoint in plan
    ]
    loaded: dict[str, Any] = {}
    for number, ((name, row, seed, checkpoint), spec) in enumerate(zip(plan, specs, strict=True), 1):
        folder = folder_of(args.out, name, row, seed)
        if finished(folder, spec):
            continue
        if name not in loaded:
            data = load_for(name, args.data, checkpoint, Path())
            test = data.parts()[2]
            loaded = {name: (data, test, test_sample(name, data, test, spec["moments"], args.seed))}
        data, test, sample = loaded[name]
        begin(folder, spec)
        given = Moments(Writer(data, load_checkpoint(checkpoint)), test, sample)
        total = len(given.runs) * (1 + len(VARIANTS))
        with tqdm(total=total, desc=f"{number}/{len(plan)} {name} {row} {seed}", unit="moment") as bar:
            measure(checkpoint, given, sample, folder, bar)
        write_tables(args, plan, specs)
    print(write_tables(args, plan, specs))


if __name__ == "__main__":
    main()
