"""The conversion as a function, for the command line and for tests."""

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vqrank_convert import golden as goldens
from vqrank_convert.assignments import AssignmentOptions, compute, plan_combinations
from vqrank_convert.checkpoint import Checkpoint
from vqrank_convert.config import Config, parse_config_text
from vqrank_convert.errors import ConversionError
from vqrank_convert.foreign import Mapped, read_map, read_text
from vqrank_convert.header import GoldenEntry
from vqrank_convert.int8 import FP32, Int8Options
from vqrank_convert.plan import load, make_plan
from vqrank_convert.safetensors_file import SafetensorsFile
from vqrank_convert.summary import render
from vqrank_convert.tensors import check_tensors
from vqrank_convert.torch_file import TorchFile, is_torch_file
from vqrank_convert.writer import write_model


@dataclass(frozen=True)
class Foreign:
    """How to read a checkpoint of another program: the config that it lacks, names for its tensors, order of heads."""

    config: Path | None = None
    names: Path | None = None
    interleaved_heads: bool = False


NATIVE = Foreign()


def open_file(path: Path, foreign: bool) -> Checkpoint:
    """Opens a .safetensors or .pt file, told apart by content. `foreign`: the config is given apart."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ConversionError(f"{path}: expected a checkpoint, found {error.strerror or error}") from None
    if is_torch_file(start, path):
        return TorchFile(path, foreign)
    return SafetensorsFile(path, foreign)


def open_checkpoint(path: Path, foreign: Foreign = NATIVE) -> tuple[Checkpoint, Config]:
    """A checkpoint whose config is valid and whose tensors are exactly the ones that it asks for."""
    checkpoint = open_file(path, foreign.config is not None)
    text = checkpoint.config_text if foreign.config is None else read_text(foreign.config, "config")
    config = parse_config_text(text or "")
    mapped = Mapped(checkpoint, None if foreign.names is None else read_map(foreign.names))
    if foreign.interleaved_heads:
        mapped.reorder_heads(config)
    config = mapped.fit(config)
    check_tensors(config, mapped.tensors)
    return mapped, config


def convert(
    source: Path,
    target: Path,
    *,
    foreign: Foreign = NATIVE,
    vqrank: str | None = None,
    with_golden: bool = True,
    int8: Int8Options = FP32,
    assignments: AssignmentOptions | None = None,
    bar_from: float = math.inf,
) -> str:
    """Converts `source` into `target` and returns the summary. Raises ConversionError with a one-line message; the
    target is then as it was. `int8`: which parts become so. Tables of at least `bar_from` bytes get a progress bar on
    standard error."""
    started = time.monotonic()
    for path, what in ((source, "the checkpoint"), (foreign.config, "the config"), (foreign.names, "the map")):
        if path is not None and target.exists() and path.exists() and target.samefile(path):
            raise ConversionError(f"{target}: expected a file other than {what}, found {what}")
    checkpoint, config = open_checkpoint(source, foreign)
    command = goldens.find_vqrank(vqrank) if with_golden else None
    combinations = None if assignments is None else plan_combinations(config, assignments)
    quantizing = None if combinations is None else goldens.find_vqrank(vqrank, "it computes what --assignments stores")
    weights = load(checkpoint, config)
    plan = make_plan(config, weights, bar_from, int8)
    if combinations is not None and quantizing is not None:
        # Beside the target, where there is room for a file of that size.
        with tempfile.TemporaryDirectory(dir=target.parent if target.parent.is_dir() else None) as folder:
            without = Path(folder) / "model.vqr"
            write_model(plan, checkpoint, without, None, None, bar_from)
            plan.store(compute(combinations, config, without, quantizing, bar_from))
    if command is None:
        golden = None
        written = write_model(plan, checkpoint, target, None, None, bar_from)
    else:
        found = command
        made = golden = goldens.make(config, weights, int8)
        entry = GoldenEntry(made.request, (0,) * len(made.float64), made.float64, made.bound)
        written = write_model(
            plan, checkpoint, target, entry, lambda path: goldens.compute_bits(found, path, config, made), bar_from
        )
    return render(plan, written, target, golden, time.monotonic() - started)
