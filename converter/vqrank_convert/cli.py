"""The command vqrank-convert."""

import argparse
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from vqrank_convert.assignments import BUDGET_MIB, OPTION, AssignmentOptions
from vqrank_convert.calibrate import calibrate
from vqrank_convert.convert import Foreign, convert
from vqrank_convert.errors import ConversionError, one_line
from vqrank_convert.golden import find_vqrank
from vqrank_convert.int8 import CHOICES, FP32, PRESETS, Int8Options
from vqrank_convert.version import __version__

# A table from this size on is worth a progress bar even where nobody watches a terminal.
LARGE_TABLE_BYTES = 256 << 20

DESCRIPTION = """\
Turns a training checkpoint into a .vqr model file, which the vqrank library memory-maps.

The checkpoint is a .safetensors file whose metadata key `vqrank` holds the model's JSON config, or a .pt file saved as
{"config": ..., "state_dict": ...}, which is read with weights only: a pickle that would run code is refused. Conversion
checks that config and tensors fit each other, folds each codebook's projection into its codewords, lays the weights out
as the kernels read them, and adds a golden request: a synthetic request with the bits that every processor must give
for it. --config, --map and --interleaved-heads carry over checkpoints of other programs (docs/foreign-checkpoints.md).
"""

INT8 = """\
Parts of the model in int8: smaller, and faster where they are large enough; what is too small to gain stays fp32, which
the summary says. Every processor gives the same bits, as in fp32. All parts are fp32 unless said otherwise.
"""

ASSIGNMENTS = """\
Where every feature of an event is an id, the codewords of its cluster can be looked up in place of being computed: the
file holds what the library computes at conversion, so no output changes a bit, whichever events come. Events of items
that are not listed, or with other features than theirs, are computed as without.
"""

INT8_HELP = {
    "codebook": (
        "scores of codewords. int8: some events between two codewords go to the other. int8-exact: integers only leave "
        "out what cannot win, so every output is that of fp32"
    ),
    "tables": "embedding tables, a scale a row: about a quarter of their bytes",
    "weights": "linear layers, a scale an output; their inputs become int8 row by row as they come",
    "state": "the keys and values that a user's state keeps for attention of kind dot: about a quarter of its memory",
}

EPILOG = """\
example:
  vqrank-convert model.safetensors -o model.vqr
  vqrank-convert model.safetensors -o mobile.vqr --preset mobile --state fp32
  vqrank-convert model.safetensors -o model.vqr --assignments items.jsonl    # {"item": 5, "category": 2} and so on
  vqrank selftest model.vqr
  vqrank score model.vqr requests.jsonl

The golden request's bits are computed by the command `vqrank`, which is looked for beside Python and on PATH, and
compared with outputs computed here in float64; a model for which the two disagree is not written.

exit status: 0 when the file was written; 2 when it was not: one line on standard error says what was expected and found
"""


# What --assignments stands for without a file: this object, whatever path it would be.
NO_CATALOGUE = Path()

def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="vqrank-convert",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="the checkpoint, .safetensors or .pt")
    result.add_argument("-o", "--output", metavar="MODEL.vqr", type=Path, required=True, help="the file to write")
    foreign = result.add_argument_group("checkpoints of other programs")
    foreign.add_argument("--config", metavar="CONFIG.json", type=Path, help="the config of a checkpoint without one")
    foreign.add_argument("--map", metavar="NAMES.json", type=Path, help="what the checkpoint's tensors are called here")
    foreign.add_argument("--interleaved-heads", action="store_true", help="f1 holds u, v, q, k of each head in turn")
    add_int8(result)
    add_assignments(result)
    golden = result.add_mutually_exclusive_group()
    golden.add_argument("--vqrank", metavar="PATH", help="the command vqrank, where it is not beside Python or on PATH")
    golden.add_argument("--no-golden", action="store_true", help="leave the golden request out; needs no vqrank")
    result.add_argument("--quiet", action="store_true", help="print no summary and no progress")
    result.add_argument("--version", action="version", version=f"vqrank-convert {__version__}")
    return result


def add_int8(result: argparse.ArgumentParser) -> None:
    """The options of int8: none has a default, so that beside a preset those that are given can be told."""
    group = result.add_argument_group("int8", INT8)
    presets = "; ".join(f"{name}: {spelled(options)}" for name, options in PRESETS.items())
    group.add_argument("--preset", choices=PRESETS, help=f"a set of the options below, which go before it. {presets}")
    for name, text in INT8_HELP.items():
        group.add_argument(f"--{name}", choices=CHOICES[name], help=text)
    group.add_argument(
        "--calibrate",
        metavar="REQUESTS.jsonl",
        type=Path,
        help=(
            "print what int8 costs on these requests: sizes, differences of scores, codewords that change, for each of "
            "the options alone and together; without any of them, for all there are. A request may have labels, "
            '{"labels": {"OUTPUT": [1, 0, null, ...]}}, one a candidate: then AUC as well. Needs vqrank, scipy and '
            "scikit-learn"
        ),
    )


def add_assignments(result: argparse.ArgumentParser) -> None:
    group = result.add_argument_group("assignments", ASSIGNMENTS)
    group.add_argument(
        OPTION,
        metavar="ITEMS.jsonl",
        nargs="?",
        const=NO_CATALOGUE,
        type=Path,
        help=(
            "store the codewords of events, for every combination of rows of the tables that they read. In ITEMS.jsonl "
            "each line is an object of event features as in a request: the first of the model's features among them "
            "determines the others, which then multiply nothing"
        ),
    )
    group.add_argument(f"{OPTION}-key", metavar="FEATURE", help="the feature that determines the others in ITEMS.jsonl")
    group.add_argument(
        f"{OPTION}-budget",
        metavar="MIB",
        type=float,
        default=BUDGET_MIB,
        help="refuse to store more than this (default: %(default)g MiB)",
    )


def assignment_options(options: argparse.Namespace) -> AssignmentOptions | None:
    given = options.assignments is not None
    items = options.assignments if given and options.assignments is not NO_CATALOGUE else None
    if options.assignments_key is not None and items is None:
        raise ConversionError(f"{OPTION}-key: expected {OPTION} ITEMS.jsonl beside it, found none")
    if not (0 < options.assignments_budget < math.inf):
        raise ConversionError(f"{OPTION}-budget: expected MiB above 0, found {options.assignments_budget:g}")
    budget = int(options.assignments_budget * 2**20)
    return AssignmentOptions(items, options.assignments_key, budget) if given else None


def spelled(options: Int8Options) -> str:
    """The parts that are not fp32, as arguments."""
    given = {name: getattr(options, name) for name in CHOICES}
    return " ".join(f"--{name} {value}" for name, value in given.items() if value != "fp32")


def int8_options(options: argparse.Namespace) -> Int8Options:
    """The preset's, but for what is given beside it."""
    given = {name: getattr(options, name) for name in CHOICES if getattr(options, name) is not None}
    if "state" in given:  # asked for as such: whatever the width of heads
        given["narrowest"] = FP32.narrowest
    if "codebook" in given:  # however little of it is computed
        given["fewest"] = FP32.fewest
    return replace(PRESETS[options.preset] if options.preset else FP32, **given)


def calibration(options: argparse.Namespace, foreign: Foreign) -> str:
    """The table of --calibrate, before anything is written."""
    vqrank = find_vqrank(options.vqrank, "it answers the requests of --calibrate")
    bar = sys.stderr.isatty() and not options.quiet

    def write(path: Path, int8: Int8Options) -> None:
        convert(options.checkpoint, path, foreign=foreign, with_golden=False, int8=int8)

    return calibrate(options.calibrate, int8_options(options), write, vqrank, bar)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if arguments is None:  # as a command: leave no temporary file behind when asked to stop
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    bar_from = math.inf if options.quiet else 1 << 20 if sys.stderr.isatty() else LARGE_TABLE_BYTES
    foreign = Foreign(options.config, options.map, options.interleaved_heads)
    try:
        table = None if options.calibrate is None else calibration(options, foreign)
        summary = convert(
            options.checkpoint,
            options.output,
            foreign=foreign,
            vqrank=options.vqrank,
            with_golden=not options.no_golden,
            int8=int8_options(options),
            assignments=assignment_options(options),
            bar_from=bar_from,
        )
    except ConversionError as error:
        print(f"vqrank-convert: error: {one_line(error)}", file=sys.stderr)
        return 2
    except MemoryError:
        print("vqrank-convert: error: expected the model to fit in memory, found too little", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vqrank-convert: interrupted; nothing was written", file=sys.stderr)
        return 130
    said = [text for text in (None if options.quiet else summary, table) if text is not None]
    if said:
        try:
            print("\n\n".join(said), flush=True)
        except BrokenPipeError:  # the reader of the summary has had enough; the file is written
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
