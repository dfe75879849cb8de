"""vqrank-train quantizer: fit and report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vqrank_train.config import Quantizer
from vqrank_train.config_inputs import QUANTIZER_KINDS
from vqrank_train.config_reader import check_name
from vqrank_train.quantizers.file import (
    QuantizerError,
    load_quantizer,
    read_items,
    read_labels,
    save_quantizer,
)


def fit(args: argparse.Namespace) -> None:
    """Fit a quantizer to vectors of items."""
    from vqrank_train.quantizers.fit import fit_quantizer
    from vqrank_train.quantizers.report import measure, table

    check_name(args.name, "--name")
    items = read_items(args.items)
    entry = {"kind": args.kind, "levels": args.levels, "codes": args.codes, "dim": items.shape[1]}
    config = Quantizer.read(entry, "quantizer")
    sample = items
    if args.sample and args.sample < len(items):
        chosen = np.random.default_rng(args.seed).choice(len(items), args.sample, replace=False)
        sample = items[np.sort(chosen)]
    with tqdm(total=args.levels, desc="levels", disable=None) as bar:

        def tell(level: int, rmse: float) -> None:
            bar.set_postfix(rmse=f"{rmse:.4g}")
            bar.update()

        module = fit_quantizer(config, sample, args.seed, tell)
    save_quantizer(args.out, args.name, module)
    print("\n".join(table(measure(module, items))))
    print(f'{args.out}: for a config, "quantizers": {{"{args.name}": {json.dumps(entry)}}}')


def report(args: argparse.Namespace) -> None:
    """Measure a fitted quantizer on vectors of items."""
    from vqrank_train.quantizers.report import measure, table

    name, module = load_quantizer(args.quantizer)
    items = read_items(args.items)
    if items.shape[1] != module.config.dim:
        raise QuantizerError(
            f"{args.items}: expected vectors of {module.config.dim} numbers, as {name} has, found {items.shape[1]}"
        )
    found = measure(module, items, read_labels(args.labels, len(items)) if args.labels else None)
    if args.json:
        print(json.dumps({"name": name, **found}, indent=1))
    else:
        print("\n".join(table(found)))


def add_commands(commands: Any, natural: Callable[[str], int], positive: Callable[[str], int]) -> None:
    """Adds `quantizer fit` and `quantizer report` to the command, whose integers are read by `natural`
    (from 0) and `positive`."""
    parser = commands.add_parser("quantizer", help="fit quantizers of item vectors, and measure their codes")
    own = parser.add_subparsers(required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = own.add_parser(
            name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        added.add_argument("--threads", type=natural, default=0, help="CPU threads; 0: PyTorch's choice")
        added.set_defaults(run=run, parser=added)
        return added

    added = command("fit", fit, "fit a quantizer to vectors of items")
    added.add_argument("items", type=Path, help=".npy of floats, [items, numbers]")
    added.add_argument("--kind", choices=QUANTIZER_KINDS, default="rq_gmm")
    added.add_argument("--levels", type=positive, default=3)
    added.add_argument("--codes", type=positive, default=128, help="a level")
    added.add_argument("--name", default="content", help="of the quantizer, in its tensors' names")
    added.add_argument("--sample", type=natural, default=200_000, help="items to fit to, at random; 0: all")
    added.add_argument("--seed", type=natural, default=0)
    added.add_argument("-o", "--out", type=Path, required=True, help="the .safetensors file to write")

    added = command("report", report, "use of the codes, what they lose, purity against labels")
    added.add_argument("quantizer", type=Path, help="what fit wrote")
    added.add_argument("items", type=Path, help=".npy of floats, [items, numbers]")
    added.add_argument("--labels", type=Path, help=".npy of one integer or string per item")
    added.add_argument("--json", action="store_true", help="print one JSON object")
