"""The table of docs/auc.md: baselines and checkpoints on the test part, overall and by length of history."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score

from vqrank_train.checkpoint import load_checkpoint
from vqrank_train.commits import baselines
from vqrank_train.commits.data import BUCKETS, NEGATIVES, POOL, Commits, Moments
from vqrank_train.trainer.fit import health
from vqrank_train.trainer.inputs import Inputs
from vqrank_train.trainer.scoring import score

LOGISTIC_MOMENTS = 40000  # of the training part
LOGISTIC_POSITIVES = 4  # at most, a moment, as the trainer takes them


def bucket_name(low: int, high: int) -> str:
    """Words for a range of history lengths."""
    return f"{low:,}-{high:,}" if high < 1 << 30 else f"{low:,} and more"


def bucket_masks(history: np.ndarray) -> list[np.ndarray]:
    """Which histories fall in each bucket of lengths."""
    return [(history >= low) & (history < high) for low, high in BUCKETS]


def measured(label: np.ndarray, score_: np.ndarray, parts: Sequence[np.ndarray]) -> dict[str, list[float | None]]:
    """AUC and log loss: all, then per part, which is a mask; None for one that holds nothing or only one label.
    `score_` are logits.
    """
    masks = [np.ones(len(label), bool), *parts]
    probability = 1 / (1 + np.exp(-score_.astype(np.float64)))
    both = [len(np.unique(label[own])) == 2 for own in masks]

    def each(measure: Callable[[np.ndarray, np.ndarray], float], values: np.ndarray) -> list[float | None]:
        pairs = zip(masks, both, strict=True)
        return [float(measure(label[own], values[own])) if known else None for own, known in pairs]

    return {"auc": each(roc_auc_score, score_), "log_loss": each(log_loss, probability)}


def draw(moments: Moments, count: int, seed: int) -> np.ndarray:
    """So many moments at random, ascending; all when count is 0."""
    if not count or count >= len(moments):
        return np.arange(len(moments))
    return np.sort(np.random.default_rng(seed).choice(len(moments), count, replace=False))


def measure(
    commits: Commits, models: dict[str, str], seed: int, device: torch.device, count: int = 0
) -> dict[str, Any]:
    """Everything that the report prints, as one JSON object."""
    training, validation, test = commits.parts()
    tested = draw(test, count, seed + 3)
    sample = commits.sample(test, np.random.default_rng(seed), tested)
    history = test.history[sample.moment]
    rng = np.random.default_rng(seed + 1)
    fitted = commits.sample(training, rng, draw(training, LOGISTIC_MOMENTS, seed + 4), cap=LOGISTIC_POSITIVES)
    found: dict[str, Any] = {
        "split": datetime.fromtimestamp(commits.split_time, timezone.utc).isoformat(),
        "seed": seed,
        "moments": {"training": len(training), "validation": len(validation), "test": len(test), "scored": len(tested)},
        "scored": [len(sample.item)] + [int(((history >= a) & (history < b)).sum()) for a, b in BUCKETS],
        "positives": int(sample.label.sum()),
        "rows": [],
        "codebooks": {},
    }

    def add(name: str, score_: np.ndarray) -> None:
        found["rows"].append({"name": name, **measured(sample.label, score_, bucket_masks(history))})
        print(name, *(figure(value) or "-" for value in found["rows"][-1]["auc"]), flush=True)

    train_counts = baselines.match_counts(commits, training, fitted)
    test_counts = baselines.match_counts(commits, test, sample)
    popular = [
        np.log1p(baselines.popularity(commits, moments, drawn))[:, None]
        for moments, drawn in ((training, fitted), (test, sample))
    ]
    add("popularity", baselines.fit(popular[0], fitted.label).decision_function(popular[1]))
    for kind in baselines.PARTS:
        own = baselines.logistic_inputs(kind, train_counts, training.history[fitted.moment])
        logistic = baselines.fit(own, fitted.label)
        add(
            f"logistic regression, {kind}",
            logistic.decision_function(baselines.logistic_inputs(kind, test_counts, history)),
        )

    # Fitted later in time, as the regressions that get a model's logit as well.
    which = draw(validation, count // 2, seed + 5)
    drawn = commits.sample(validation, np.random.default_rng(seed + 2), which, cap=LOGISTIC_POSITIVES)
    counts = baselines.match_counts(commits, validation, drawn)
    late_inputs = baselines.logistic_inputs("both", counts, validation.history[drawn.moment])
    tested_inputs = baselines.logistic_inputs("both", test_counts, history)
    late = baselines.fit(late_inputs, drawn.label)
    add("logistic regression, both, fitted on validation", late.decision_function(tested_inputs))

    for name, path in models.items():
        module = load_checkpoint(path).to(device)
        inputs = Inputs(commits, module.config, device)
        scores = score(module, inputs, test, sample)
        add(name, scores)
        found["codebooks"][name] = health(module, inputs)
        # What the model knows that exact matches do not: both as inputs of one logistic regression.
        own = np.column_stack([late_inputs, score(module, inputs, validation, drawn)])
        other = np.column_stack([tested_inputs, scores])
        add(f"logistic regression, both + {name}", baselines.fit(own, drawn.label).decision_function(other))
    return found


def table(found: dict[str, Any], key: str) -> list[str]:
    """Markdown rows of one measure."""
    lines = ["| | all | " + " | ".join(bucket_name(*bucket) for bucket in BUCKETS) + " |", "|---|" + "---|" * 5]
    for row in found["rows"]:
        lines.append(f"| {row['name']} | " + " | ".join(map(figure, row[key])) + " |")
    return lines


def figure(value: float | None) -> str:
    """A measure for people: empty for a bucket that has none."""
    return "" if value is None else f"{value:.4f}"


def write_report(
    commits: Commits, models: dict[str, str], out: Path, seed: int, device: torch.device, count: int = 0
) -> None:
    """Write auc.json and the measured part of auc.md; text below the line `<!-- notes -->` of an old auc.md stays."""
    out.mkdir(parents=True, exist_ok=True)
    found = measure(commits, models, seed, device, count)
    (out / "auc.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    moments, scored = found["moments"], found["scored"]
    command = " ".join(f"--model '{name}={path}'" for name, path in models.items())
    lines = [
        "# AUC on the commits data set",
        "",
        "Which file does this developer touch next? Measured by `vqrank-train report`; numbers also in `auc.json`.",
        "",
        f"* Split by time at {found['split']}: the first 80% of the events are before it. Training: "
        f"{moments['training']:,} commits; validation: the last 5% of the events before the split, "
        f"{moments['validation']:,} commits; test: {moments['test']:,} commits.",
        f"* Scored: {moments['scored']:,} of these test commits, drawn at random; all are by developers with at least "
        "20 earlier events. Positives: the files it touched, "
        f"additions left out. Negatives: {NEGATIVES} a positive, drawn from the repository's last {POOL:,} touches "
        "(draws that the commit touched are dropped). "
        f"{scored[0]:,} candidates, {found['positives']:,} of them positive; "
        f"by history length {', '.join(f'{n:,}' for n in scored[1:])}.",
        "* Every commit is scored against the exact whole history before it; its own files are not in it. "
        "Files that training never saw have table rows that are still as they started, random: they match themselves "
        "and nothing else.",
        f"* Logistic regressions: counts of the candidate's item, folder, directory and stem in the history (ln(1 + n) "
        "and n > 0; over the whole history also ln of its length, and the products of the two), fitted on "
        f"{LOGISTIC_MOMENTS:,} training commits. \"both + model\" adds the model's logit and is fitted on the "
        'validation part, which is nearer in time; "both, fitted on validation" is what to compare it with.',
        f"* Seed of the negatives: {seed}. Command:",
        "",
        f"      vqrank-train report --out docs --seed {seed} --moments {count} {command}",
        "",
        "## AUC",
        "",
        *table(found, "auc"),
        "",
        "## Log loss",
        "",
        *table(found, "log_loss"),
        "",
        "## Codebooks",
        "",
        "Share of codewords that are the best one for some event, and perplexity / W, over 50,000 events.",
        "",
        "| | sequence | " + " | ".join(f"codebook {j}" for j in range(max_codebooks(found))) + " |",
        "|---|---|" + "---|" * max_codebooks(found),
    ]
    for name, sequences in found["codebooks"].items():
        for sequence, rows in sequences.items():
            cells = [f"{row['used']:.0%}, {row['perplexity']:.2f}" for row in rows]
            cells += [""] * (max_codebooks(found) - len(cells))
            lines.append(f"| {name} | {sequence} | " + " | ".join(cells) + " |")
    path, notes = out / "auc.md", ""
    if path.exists() and NOTES in (old := path.read_text(encoding="utf-8")):
        notes = old.split(NOTES, 1)[1]
    path.write_text("\n".join(lines) + f"\n\n{NOTES}{notes}" + ("" if notes else "\n"), encoding="utf-8")


NOTES = "<!-- notes -->"


def max_codebooks(found: dict[str, Any]) -> int:
    """Columns of the table of codebooks."""
    return max((len(rows) for own in found["codebooks"].values() for rows in own.values()), default=0)
