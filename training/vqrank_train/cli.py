"""The command vqrank-train."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from vqrank_train.checkpoint import CheckpointError, load_checkpoint
from vqrank_train.codebooks import ReportError
from vqrank_train.commits.data import Commits, default_data
from vqrank_train.config import ConfigError
from vqrank_train.errors import DataError, RunError
from vqrank_train.quantizers.command import add_commands
from vqrank_train.quantizers.file import QuantizerError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
INTEGER_MAX = 2**31 - 1


def device_of(name: str) -> torch.device:
    """The device asked for; `auto` takes a GPU when there is one."""
    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if name not in ("auto", *there):
        raise UsageError(f"--device: expected {' or '.join(('auto', *there))}, found {name!r}")
    return torch.device(there[-1] if name == "auto" else name)


def fit(args: argparse.Namespace) -> None:
    """Train one model."""
    from vqrank_train.trainer.fit import Trainer
    from vqrank_train.trainer.spec import check_options, read_spec

    path = Path(args.config)
    if not path.exists() and (CONFIGS / f"{args.config}.json").exists():
        path = CONFIGS / f"{args.config}.json"
    if not path.exists():
        names = ", ".join(sorted(config.stem for config in CONFIGS.glob("*.json")))
        sys.exit(f"vqrank-train: error: no file {args.config!r}, and no config of that name; there are: {names}")
    spec = read_spec(path)
    training = spec.setdefault("training", {})
    if args.steps is not None:
        training["steps"] = args.steps
    if args.rate is not None:
        training.update(rate=args.rate, table_rate=args.rate)
    check_options(training)
    device = device_of(args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(Commits(args.data), spec, args.out, args.seed, device)
    if args.start_from:
        print("new tensors:", ", ".join(trainer.go_on_from(args.start_from)) or "none")
    if (args.out / "state.pt").exists():
        if not args.resume:
            raise RunError(f"{args.out} holds a run already: give --resume to go on, or another --out")
        trainer.resume()
    best = trainer.run()
    print(f"best validation AUC {best:.4f}; {args.out / 'model.safetensors'}")


def report(args: argparse.Namespace) -> None:
    """Measure baselines and checkpoints on the test part."""
    from vqrank_train.commits.report import write_report

    check_once("--model", [name for name, _ in args.model])
    device = device_of(args.device)
    write_report(Commits(args.data), dict(args.model), args.out, args.seed, device, args.moments)


def table(args: argparse.Namespace) -> None:
    """Train and measure every row of the table of models on both data sets."""
    from vqrank_train.experiments.config import DATA_SETS, TABLES, rows_of
    from vqrank_train.experiments.table import BASELINES, folder_of, run_one, write_table
    from vqrank_train.experiments.tune import SEED as TRIALS_SEED
    from vqrank_train.experiments.tune import folder_of as trial_folder
    from vqrank_train.experiments.tune import run_trial, write_tuning

    if args.one:
        name, row, seed = args.one[0], args.one[1], int(args.one[2])
        run_one(name, args.data, args.configs, row, seed, folder_of(args.out, name, row, seed), args.quantizers)
        return
    if args.trial:
        name, row, setting = args.trial
        folder = trial_folder(args.out, name, row, setting)
        run_trial(name, args.data, args.configs, row, setting, folder, args.quantizers)
        return
    names = args.sets.split(",") if args.sets else list(DATA_SETS)
    check_names("--sets", names, TABLES)
    baselines = [] if args.tune else [row for name in names for row in BASELINES[name]]
    check_names("--row", args.row, [*baselines, *(row for name in names for row in rows_of(name, args.configs))])
    check_once("--seeds", args.seeds)
    if TRIALS_SEED in args.seeds:
        raise UsageError(f"--seeds: expected others than {TRIALS_SEED}, which is that of --tune, found {TRIALS_SEED}")
    args.out.mkdir(parents=True, exist_ok=True)
    shared = (args.data, args.configs, args.out, names)
    if args.tune:
        lines, failed = write_tuning(*shared, args.jobs, args.row, args.quantizers)
    else:
        lines, failed = write_table(*shared, args.seeds, args.jobs, args.row, args.quantizers)
    text = "\n".join(lines) + "\n"
    (args.out / ("tuning.md" if args.tune else "table.md")).write_text(text, encoding="utf-8")
    print(text, end="")
    if failed:
        sys.exit(f"vqrank-train: {failed} {'run' if failed == 1 else 'runs'} failed")


def requests(args: argparse.Namespace) -> None:
    """Write test moments as requests."""
    from vqrank_train.experiments.requests import export

    print(export(args.set, args.data, args.checkpoint, args.out, args.moments, args.seed, args.labels, args.quantizers))


class UsageError(ValueError):
    """An argument that names nothing."""


def check_names(argument: str, found: Sequence[str], known: Sequence[str]) -> None:
    """Refuse what is not among the known names, or stands there twice."""
    for name in found:
        if name not in known:
            raise UsageError(f"{argument}: expected {', '.join(dict.fromkeys(known))}, found {name!r}")
    check_once(argument, found)


def check_once(argument: str, found: Sequence[str | int]) -> None:
    """Refuse what stands twice in a list."""
    for value in found:
        if found.count(value) > 1:
            raise UsageError(f"{argument}: expected each once, found {value!r} twice")


def integer(low: int, text: str) -> int:
    """An integer from `low`."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= INTEGER_MAX:
        raise argparse.ArgumentTypeError(f"expected an integer from {low} to {INTEGER_MAX}, found {text!r}")
    return value


def number(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None


def seeds_of(text: str) -> list[int]:
    """Integers, divided by commas."""
    return [integer(0, seed) for seed in text.split(",")]


def named(text: str) -> tuple[str, str]:
    """A name and a path, divided by =."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected NAME=CHECKPOINT, found {text}")
    return name, path


def codebooks(args: argparse.Namespace) -> None:
    """Draw what `vqrank inspect --codebooks --json` measured."""
    from vqrank_train.codebooks import draw

    draw(args.report, args.out)


def example(args: argparse.Namespace) -> None:
    """Make the files of examples/commits."""
    from vqrank_train.commits.example import write_example

    commits = Commits(args.data)
    write_example(
        commits, args.data, load_checkpoint(args.checkpoint), args.out, args.developers, args.moments, args.candidates
    )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="vqrank-train",
        description=__doc__,
        epilog="example: vqrank-train fit dmqn --data DATA --out runs/dmqn --seed 0",
    )
    commands = parser.add_subparsers(required=True)
    natural, positive = partial(integer, 0), partial(integer, 1)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        added.add_argument("--data", type=Path, default=default_data(), help="folder that holds commits/")
        added.add_argument("--threads", type=natural, default=0, help="CPU threads; 0: PyTorch's choice")
        added.add_argument("--device", default="auto", help="auto, cpu or cuda")
        added.set_defaults(run=run, parser=added)
        return added

    added = command("fit", fit, "train a model")
    added.add_argument("config", help="a file, or the name of one of training/configs")
    added.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, the log and the state")
    added.add_argument("--seed", type=natural, default=0, help="of everything random in the run")
    added.add_argument("--steps", type=positive, help="instead of the config's")
    added.add_argument(
        "--from",
        dest="start_from",
        type=Path,
        help="checkpoint of a smaller model to start from: without HSTU or later sequences",
    )
    added.add_argument("--rate", type=number, help="highest rates of all parameters, instead of the config's")
    added.add_argument("--resume", action="store_true", help="go on with the run that --out holds")

    added = command("report", report, "AUC and log loss on the test part, baselines too")
    added.add_argument(
        "--model", action="append", type=named, default=[], metavar="NAME=CHECKPOINT", help="may be repeated"
    )
    added.add_argument("--out", type=Path, required=True, help="folder for auc.md and auc.json")
    added.add_argument("--seed", type=natural, default=7, help="of the negatives")
    added.add_argument("--moments", type=natural, default=8000, help="test commits to score, at random; 0: all")

    added = command("table", table, "train and measure every row of docs/auc.md, going on with what is there")
    added.add_argument("--out", type=Path, required=True, help="folder for the runs and table.md")
    added.add_argument("--sets", default="", help="of commits,kuairand,content: the first two unless told")
    added.add_argument(
        "--quantizers", type=Path, default=Path(), help="folder of the files that content.json names: compare's --out"
    )
    added.add_argument("--seeds", type=seeds_of, default=[0, 1, 2], metavar="N,N", help="one run each")
    added.add_argument("--jobs", type=positive, default=2, help="runs side by side, one core each")
    added.add_argument(
        "--configs", type=Path, default=CONFIGS / "table", help="folder of SET.json: rows, settings, models"
    )
    added.add_argument("--row", action="append", default=[], help="only this row; may be repeated")
    added.add_argument(
        "--tune", action="store_true", help="instead: try every setting for every row on the validation part"
    )
    added.add_argument("--trial", nargs=3, metavar=("SET", "ROW", "SETTING"), help=argparse.SUPPRESS)
    added.add_argument("--one", nargs=3, metavar=("SET", "ROW", "SEED"), help=argparse.SUPPRESS)

    added = command("requests", requests, "write moments of the test part as requests of the command vqrank, labelled")
    added.description = (
        "Writes moments of a data set's test part as requests, one JSON object a line, with the features and as many "
        "events as a checkpoint's model reads: what `vqrank score` makes of them is what the trainer's AUC is measured "
        'on. The last key, "labels", holds for the output 0 or 1 a candidate; calibration reads it, `vqrank score` '
        "takes requests without (--no-labels)."
    )
    added.epilog = "example: vqrank-train requests commits runs/table/commits/DMQN/0 --data DATA --out requests.jsonl"
    added.add_argument("set", choices=("commits", "kuairand", "content"), help="data set")
    added.add_argument("checkpoint", type=Path, metavar="RUN", help="a checkpoint, or the folder of a run")
    added.add_argument("--out", type=Path, required=True, help="file of the requests")
    added.add_argument(
        "--moments", type=natural, help="test moments to write, at random; 0: all; None: those of docs/auc.md's tables"
    )
    added.add_argument("--seed", type=natural, default=7, help="of moments and negatives; the tables have 7")
    added.add_argument("--no-labels", dest="labels", action="store_false", default=True, help="leave out the labels")
    added.add_argument("--quantizers", type=Path, default=Path(), help="folder of files of codes, as table's")

    added = commands.add_parser("codebooks", help="draw what `vqrank inspect --codebooks --json` measured, as a PNG")
    added.add_argument("report", type=Path, help="what the command printed")
    added.add_argument("--out", type=Path, required=True, help="the .png to write")
    added.set_defaults(run=codebooks, parser=added, threads=0)

    add_commands(commands, natural, positive)

    added = command("example", example, "make the example's files from a checkpoint")
    added.add_argument("checkpoint", type=Path)
    added.add_argument("--out", type=Path, required=True)
    added.add_argument("--developers", type=positive, default=12)
    added.add_argument("--moments", type=positive, default=20, help="a developer")
    added.add_argument("--candidates", type=positive, default=1000, help="at most, a moment")

    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        args.run(args)
    except UsageError as error:
        args.parser.error(str(error))
    except (OSError, ConfigError, CheckpointError, DataError, QuantizerError, ReportError, RunError) as error:
        sys.exit(f"vqrank-train: error: {error}")


if __name__ == "__main__":
    main()
