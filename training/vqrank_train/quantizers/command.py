"""vqrank-train quantizer: fit, report and compare."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vqrank_train.commits.data import default_data
from vqrank_train.config import Quantizer
from vqrank_train.config_inputs import QUANTIZER_KINDS
from vqrank_train.config_reader import check_name
from vqrank_train.kuairand.vectors import VECTORS
from vqrank_train.quantizers.file import (
    QuantizerError,
    load_quantizer,
    read_items,
    read_labels,
    save_quantizer,
)
from vqrank_train.quantizers.kinds import COMPARED_KINDS, COVARIANCES


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

        module = fit_quantizer(config, sample, args.seed, tell, args.covariance)
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


def compare(args: argparse.Namespace) -> None:
    """Fit every quantizer of the comparison, going on with what is there."""
    from vqrank_train.quantizers.compare import Cell, cells_of, run_one
    from vqrank_train.quantizers.compare import compare as run_all

    if args.one:
        name, kind, levels, codes, seed = args.one
        run_one(args.data, Cell(name, kind, int(levels), int(codes), int(seed)), args.out)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    cells = cells_of(args.sets, args.kinds, args.levels, args.codes, args.seeds)
    lines, failed = run_all(args.data, cells, args.out, args.jobs)
    text = "\n".join(lines)
    (args.out / "table.md").write_text(text, encoding="utf-8")
    print(text, end="")
    if failed:
        sys.exit(f"vqrank-train: {failed} {'run' if failed == 1 else 'runs'} failed")


def listed(text: str, read: Callable[[str], Any], known: Collection[str] = ()) -> list[Any]:
    """Values divided by commas, each once; of `known` ones where there are any."""
    values = [read(value) for value in text.split(",")]
    for value in values:
        if known and value not in known:
            raise argparse.ArgumentTypeError(f"expected {', '.join(known)}, found {value!r}")
        if values.count(value) > 1:
            raise argparse.ArgumentTypeError(f"expected each once, found {value!r} twice")
    return values


def add_commands(commands: Any, natural: Callable[[str], int], positive: Callable[[str], int]) -> None:
    """Adds `quantizer fit`, `report` and `compare` to the command, whose integers are read by `natural`
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
    added.add_argument("--covariance", choices=COVARIANCES, default="diagonal", help="of rq_gmm's components")
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

    added = command("compare", compare, "every kind of quantizer on the item vectors of KuaiRand-Pure, in one table")
    added.add_argument("--data", type=Path, default=default_data(), help="folder that holds kuairand-pure/")
    added.add_argument("-o", "--out", type=Path, required=True, help="folder for the runs and table.md")
    for name, known, text in (
        ("sets", tuple(VECTORS), "of vectors"),
        ("kinds", COMPARED_KINDS, "of quantizers"),
    ):
        added.add_argument(
            f"--{name}", type=partial(listed, read=str, known=known), default=list(known), metavar="NAME,NAME",
            help=f"{text}: {', '.join(known)}",
        )  # fmt: skip
    for name, read, default, text in (
        ("levels", positive, [2, 3], "of each quantizer"),
        ("codes", positive, [64, 128, 256], "a level"),
        ("seeds", natural, [0, 1, 2], "one run each"),
    ):
        added.add_argument(f"--{name}", type=partial(listed, read=read), default=default, metavar="N,N", help=text)
    added.add_argument("--jobs", type=positive, default=2, help="runs side by side, one core each")
    added.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
