"""The conversion as a function, for the command line and for tests."""

import math
import time
from pathlib import Path

from vqrank_convert import golden as goldens
from vqrank_convert.checkpoint import Checkpoint
from vqrank_convert.config import Config, parse_config_text, resolve
from vqrank_convert.errors import ConversionError
from vqrank_convert.header import GoldenEntry
from vqrank_convert.plan import load, make_plan
from vqrank_convert.summary import render
from vqrank_convert.tensors import check_tensors
from vqrank_convert.writer import write_model


def open_checkpoint(path: Path) -> tuple[Checkpoint, Config]:
    """A checkpoint whose config is valid and whose tensors are exactly the ones that it asks for."""
    checkpoint = Checkpoint(path)
    config = parse_config_text(checkpoint.config_text)
    config = resolve(config, {name: info.shape for name, info in checkpoint.tensors.items()})
    check_tensors(config, checkpoint.tensors)
    return checkpoint, config


def convert(
    source: Path, target: Path, *, vqrank: str | None = None, with_golden: bool = True, bar_from: float = math.inf
) -> str:
    """Converts `source` into `target` and returns the summary. Raises ConversionError with a one-line message; the
    target is then as it was. Tables of at least `bar_from` bytes get a progress bar on standard error."""
    started = time.monotonic()
    if target.exists() and source.exists() and target.samefile(source):
        raise ConversionError(f"{target}: expected a file other than the checkpoint, found the checkpoint")
    checkpoint, config = open_checkpoint(source)
    command = goldens.find_vqrank(vqrank) if with_golden else None
    weights = load(checkpoint, config)
    plan = make_plan(config, weights, bar_from)
    if command is None:
        golden = None
        written = write_model(plan, checkpoint, target, None, None, bar_from)
    else:
        found = command
        made = golden = goldens.make(config, weights)
        entry = GoldenEntry(made.request, (0,) * len(made.float64), made.float64, made.bound)
        written = write_model(
            plan, checkpoint, target, entry, lambda path: goldens.compute_bits(found, path, config, made), bar_from
        )
    return render(plan, written, target, golden, time.monotonic() - started)
