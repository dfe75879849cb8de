"""The command vqrank-convert."""

import argparse
import math
import os
import signal
import sys
from pathlib import Path

from vqrank_convert.convert import Foreign, convert
from vqrank_convert.errors import ConversionError, one_line
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

EPILOG = """\
example:
  vqrank-convert model.safetensors -o model.vqr
  vqrank selftest model.vqr
  vqrank score model.vqr requests.jsonl

The golden request's bits are computed by the command `vqrank`, which is looked for beside Python and on PATH, and
compared with outputs computed here in float64; a model for which the two disagree is not written.

exit status: 0 when the file was written; 2 when it was not: one line on standard error says what was expected and found
"""


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
    golden = result.add_mutually_exclusive_group()
    golden.add_argument("--vqrank", metavar="PATH", help="the command vqrank, where it is not beside Python or on PATH")
    golden.add_argument("--no-golden", action="store_true", help="leave the golden request out; needs no vqrank")
    result.add_argument("--quiet", action="store_true", help="print no summary and no progress")
    result.add_argument("--version", action="version", version=f"vqrank-convert {__version__}")
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if arguments is None:  # as a command: leave no temporary file behind when asked to stop
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    bar_from = math.inf if options.quiet else 1 << 20 if sys.stderr.isatty() else LARGE_TABLE_BYTES
    try:
        summary = convert(
            options.checkpoint,
            options.output,
            foreign=Foreign(options.config, options.map, options.interleaved_heads),
            vqrank=options.vqrank,
            with_golden=not options.no_golden,
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
    if not options.quiet:
        try:
            print(summary, flush=True)
        except BrokenPipeError:  # the reader of the summary has had enough; the file is written
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
