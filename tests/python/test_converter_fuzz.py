"""Mutated checkpoints: whatever a file holds, the readers answer with tensors or with a ConversionError.

Bytes of valid files are overwritten, cut out, doubled; in .pt files also those of the pickle, in an archive whose sums
are right again, as the archive's own check would refuse most changes before PyTorch sees them.
"""

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from converter_support import config_of_every_kind, weights, write

from vqrank_convert.convert import open_checkpoint
from vqrank_convert.errors import ConversionError
from vqrank_convert.plan import load, make_plan

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

SECONDS = 8.0
# Derandomised, so that a run is the same everywhere; the examples stop at SECONDS, whichever machine it is.
FUZZ = settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CONFIG = config_of_every_kind("dice")
# One change: where (as a share of the file, or of its start), what kind, and the bytes that come in.
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["overwrite", "overwrite", "insert", "delete", "double", "cut"]),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=4,
)


def mutate(data, changes, span):
    """`data` after the changes, which fall into its first `span` bytes."""
    data = bytearray(data)
    for share, kind, new in changes:
        at = int(share * min(span, len(data)))
        if kind == "overwrite":
            data[at : at + len(new)] = new
        elif kind == "insert":
            data[at:at] = new
        elif kind == "delete":
            del data[at : at + len(new)]
        elif kind == "double":
            data[at:at] = data[at : at + 8 * len(new)]
        elif kind == "cut" and share > 0.5:
            del data[at:]
    return bytes(data)


def convert(path):
    """All that a conversion reads, without the file that it writes; whether the checkpoint was taken."""
    try:
        checkpoint, config = open_checkpoint(path)
        make_plan(config, load(checkpoint, config), float("inf"))
        for table in config.tables.values():
            for _ in checkpoint.chunks(table.tensor):
                pass
    except ConversionError as error:
        assert "\n" not in str(error)
        return False
    return True


class Clock:
    """Counts what happened until the time is up."""

    def __init__(self):
        self.end = time.monotonic() + SECONDS
        self.taken = {True: 0, False: 0}

    def up(self):
        return time.monotonic() > self.end

    def count(self, taken):
        self.taken[taken] += 1


@pytest.fixture(scope="module")
def tensors():
    return weights(CONFIG)


@pytest.fixture(scope="module")
def safetensors(tmp_path_factory, tensors):
    path = write(tmp_path_factory.mktemp("good") / "good.safetensors", CONFIG, tensors)
    assert convert(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory, tensors):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in tensors.items()}
    state["head.0.weight"] = state["head.0.weight"].to(torch.bfloat16)
    path = tmp_path_factory.mktemp("good") / "good.pt"
    torch.save({"config": CONFIG, "state_dict": state}, path)
    assert convert(path)
    return path.read_bytes()


def fuzz(tmp_path, data, suffix, span, build=None):
    """Runs the examples over `data`; `build` makes the file's bytes of the mutated ones."""
    clock, path = Clock(), Path(tmp_path) / f"fuzzed{suffix}"

    @FUZZ
    @given(CHANGES)
    def examples(changes):
        if clock.up():
            return
        mutated = mutate(data, changes, span)
        path.write_bytes(mutated if build is None else build(mutated))
        clock.count(convert(path))

    examples()
    assert os.listdir(tmp_path) == [path.name]
    assert clock.taken[False] > 50, "hardly anything was tried"


def test_safetensors_header(tmp_path, safetensors):
    length = int.from_bytes(safetensors[:8], "little")
    fuzz(tmp_path, safetensors, ".safetensors", 8 + length)


def test_safetensors_anywhere(tmp_path, safetensors):
    """A file whose values are few, so that changes anywhere often hit what matters."""
    fuzz(tmp_path, safetensors, ".safetensors", len(safetensors))


def test_torch_anywhere(tmp_path, torch_file):
    fuzz(tmp_path, torch_file, ".pt", len(torch_file))


@pytest.mark.filterwarnings("ignore")
def test_torch_pickle(tmp_path, torch_file):
    with zipfile.ZipFile(io.BytesIO(torch_file)) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    (pickled,) = [name for name in entries if name.endswith("data.pkl")]

    def build(mutated):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, mutated if name == pickled else content)
        return buffer.getvalue()

    fuzz(tmp_path, entries[pickled], ".pt", len(entries[pickled]), build=build)
