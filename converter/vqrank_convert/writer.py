"""Writes a .vqr file: room for the header, the segments, then the header, and a rename into place.

The file is complete and openable without its golden request before the library is asked for the request's bits; only
the header is then written again, in the room kept for it.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vqrank_convert.checkpoint import Checkpoint
from vqrank_convert.errors import ConversionError, one_line
from vqrank_convert.fold import EXPONENT_MAX, exponent_for
from vqrank_convert.header import GoldenEntry, build_header
from vqrank_convert.layout import ALIGN, TensorType, round_up
from vqrank_convert.plan import Plan, PlannedTensor, table_chunks


@dataclass(frozen=True)
class Written:
    """`exponents` by table; sizes in bytes. `fp32_bytes`: what the file would have without int8."""

    exponents: dict[str, int]
    header_bytes: int
    file_bytes: int
    fp32_bytes: int


def place(plan: Plan, header_room: int) -> tuple[list[int], int]:
    """Offsets of the tensors, strictly ascending multiples of 64, and the length of the file."""
    offsets = []
    end = header_room
    at = round_up(header_room, ALIGN)
    for tensor in plan.tensors:
        offsets.append(at)
        end = at + tensor.length
        at += max(ALIGN, round_up(tensor.length, ALIGN))
    return offsets, end


def write_model(
    plan: Plan,
    checkpoint: Checkpoint,
    target: Path,
    golden: GoldenEntry | None,
    compute_bits: Callable[[Path], tuple[int, ...]] | None,
    bar_from: float,
) -> Written:
    """Writes `target`, with progress bars for tables of at least `bar_from` bytes.

    With `golden` given, `compute_bits` is called with the file as it stands without it, and its result takes the place
    of golden.bits. Whatever it raises leaves the target untouched.
    """
    room = _header_room(plan, golden)
    offsets, length = place(plan, room)
    with _replacing(target) as (temporary, file):
        exponents = {}
        places = {tensor.name: offset for tensor, offset in zip(plan.tensors, offsets, strict=True)}
        for tensor in plan.tensors:
            if tensor.table is None:
                assert tensor.data is not None
                file.seek(places[tensor.name])
                file.write(np.ascontiguousarray(tensor.data).tobytes())
            elif tensor.name == tensor.table.tensor:  # its scales are written beside it
                largest = _write_table(file, tensor, places, checkpoint, bar_from)
                exponents[tensor.table.name] = exponent_for(largest)
        file.truncate(length)
        header = build_header(plan, offsets, length, exponents, None)
        _write_header(file, header, room)
        if golden is not None:
            assert compute_bits is not None
            entry = GoldenEntry(golden.request, compute_bits(temporary), golden.float64, golden.bound)
            header = build_header(plan, offsets, length, exponents, entry)
            _write_header(file, header, room)
        os.fsync(file.fileno())
    without = plan.in_fp32()
    return Written(exponents, len(header), length, place(without, _header_room(without, golden))[1])


def _header_room(plan: Plan, golden: GoldenEntry | None) -> int:
    """The size of the header, whatever the offsets, exponents and bits."""
    placeholder = dict.fromkeys(plan.config.tables, EXPONENT_MAX)
    return len(build_header(plan, [ALIGN] * len(plan.tensors), 0, placeholder, golden))


def _write_header(file: IO[bytes], header: bytes, room: int) -> None:
    """Writes the header and zeros up to the end of its room."""
    assert len(header) <= room
    file.seek(0)
    file.write(header.ljust(room, b"\0"))
    file.flush()


def _write_table(
    file: IO[bytes], tensor: PlannedTensor, places: Mapping[str, int], checkpoint: Checkpoint, bar_from: float
) -> float:
    """Streams one embedding table, and the scales of its rows where it is int8; returns its greatest magnitude."""
    table = tensor.table
    assert table is not None
    largest, at, scales_at = 0.0, places[table.tensor], places.get(table.scale, 0)
    hidden = tensor.length < bar_from
    with tqdm(total=tensor.length, desc=tensor.name, unit="B", unit_scale=True, disable=hidden, leave=False) as bar:
        for chunk, scales, reached in table_chunks(checkpoint, table, tensor.type is TensorType.I8):
            largest = max(largest, reached)
            at += _write_at(file, at, chunk)
            if len(scales):
                scales_at += _write_at(file, scales_at, scales)
            bar.update(chunk.nbytes)
    return largest


def _write_at(file: IO[bytes], at: int, values: npt.NDArray[Any]) -> int:
    """Writes the values, little-endian; returns how many bytes they are."""
    file.seek(at)
    return file.write(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


@contextmanager
def _replacing(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file in the target's directory that takes the target's place if the block ends well, and goes if not."""
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_file():
        raise ConversionError(f"{target}: expected a file or nothing to write over, found something else")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        file = temporary.open("x+b")
    except OSError as error:
        raise ConversionError(f"{target}: expected a place to write to, found {one_line(error.strerror)}") from None
    try:
        with file:
            yield temporary, file
        os.replace(temporary, target)
    except OSError as error:
        raise ConversionError(f"{target}: expected to write it, found {one_line(error.strerror)}") from None
    finally:
        temporary.unlink(missing_ok=True)
