"""The C library by ctypes: what a test needs beyond the command line, the clusters that events fall to."""

import ctypes
import json
import os
import subprocess
from pathlib import Path

import numpy as np

COLUMN_INT64, COLUMN_ID, COLUMN_FLOAT64, COLUMN_LISTS = 1, 2, 3, 4  # enum vqr_column_type


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 256)]


class Id(ctypes.Structure):
    _fields_ = [("string", ctypes.c_char_p), ("value", ctypes.c_int64)]


class Lists(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("values", ctypes.c_void_p), ("offsets", ctypes.c_void_p)]


class Column(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("values", ctypes.c_void_p), ("present", ctypes.c_void_p)]


class Rows(ctypes.Structure):
    _fields_ = [("columns", ctypes.POINTER(Column)), ("column_count", ctypes.c_size_t), ("rows", ctypes.c_size_t)]


class SessionOptions(ctypes.Structure):
    _fields_ = [("isa", ctypes.c_char_p), ("buffer", ctypes.c_void_p), ("buffer_size", ctypes.c_size_t)]


def build_folder() -> Path:
    """The CMake build folder under test."""
    default = Path(__file__).parents[2] / "build" / "release"
    return Path(os.environ.get("VQRANK_BUILD", default))


class Library:
    """libvqrank of the build under test."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL(str(build_folder() / "lib" / "libvqrank.so"))

    def check(self, status: int, error: Error) -> None:
        if status:
            raise RuntimeError(f"{status}: {error.message.decode()}")

    def assignments(self, model_path: Path, config: dict, events: list[dict], isa: str = "") -> dict[str, np.ndarray]:
        """dmqn sequence's name -> clusters [N, L] of the events (JSON values as in a request)."""
        error, model, session = Error(), ctypes.c_void_p(), ctypes.c_void_p()
        options = SessionOptions(isa.encode() if isa else None, None, 0)
        self.check(self.c.vqr_model_open(str(model_path).encode(), ctypes.byref(model), ctypes.byref(error)), error)
        self.check(
            self.c.vqr_session_create(model, ctypes.byref(options), ctypes.byref(session), ctypes.byref(error)), error
        )
        columns, keep = self._columns(config["event"], events)
        rows = Rows(columns, len(config["event"]), len(events))
        found = {}
        for i, sequence in enumerate(config["sequences"]):
            if sequence["kind"] != "dmqn":
                continue
            clusters = np.zeros((sequence["codebooks"], len(events)), np.uint32)
            pointer = clusters.ctypes.data_as(ctypes.c_void_p)
            status = self.c.vqr_assign(session, ctypes.c_size_t(i), ctypes.byref(rows), pointer, ctypes.byref(error))
            self.check(status, error)
            found[sequence["name"]] = clusters
        self.c.vqr_session_free(session)
        self.c.vqr_model_close(model)
        del keep
        return found

    @staticmethod
    def _columns(features: list[dict], events: list[dict]) -> tuple[ctypes.Array, list]:
        """One column per feature; `keep` holds the arrays that the columns point into."""
        columns, keep = (Column * len(features))(), []
        for column, feature in zip(columns, features, strict=True):
            values = [event.get(feature["name"]) for event in events]
            present = np.array([value is not None for value in values], np.uint8)
            column.type, array, owned = column_values(feature, values)
            column.values = ctypes.cast(array, ctypes.c_void_p)
            column.present = present.ctypes.data_as(ctypes.c_void_p)
            keep += [array, present, owned]
        return columns, keep


def ids(values: list) -> ctypes.Array:
    """Ids as the library takes them; anything for an absent one."""
    array = (Id * len(values))()
    for slot, value in zip(array, values, strict=True):
        if isinstance(value, str):
            slot.string, slot.value = value.encode(), len(value.encode())
        else:
            slot.value = value or 0
    return array


def column_values(feature: dict, values: list) -> tuple[int, object, object]:
    """A column's type, its values, and what these point into."""
    if feature["kind"] == "id":
        return COLUMN_ID, ids(values), None
    if feature["kind"] == "ids":
        lists = [value or [] for value in values]
        every = ids([value for one in lists for value in one])
        offsets = np.cumsum([0, *map(len, lists)]).astype(np.uint64)
        pointer = offsets.ctypes.data_as(ctypes.c_void_p)
        described = Lists(COLUMN_ID, ctypes.cast(every, ctypes.c_void_p), pointer)
        return COLUMN_LISTS, ctypes.pointer(described), (every, offsets)
    if feature["kind"] == "vector":
        array = np.array([value or [0] * feature["dim"] for value in values], np.float64)
    else:
        array = np.array([value or 0 for value in values], np.float64 if feature["kind"] == "float" else np.int64)
    kind = COLUMN_INT64 if feature["kind"] == "time" else COLUMN_FLOAT64
    return kind, array.ctypes.data_as(ctypes.c_void_p), array


def score_lines(model: Path, requests: list[dict], isa: str = "", command: list[str] | None = None) -> list[str]:
    """Response lines of `vqrank score`."""
    base = command or [str(build_folder() / "bin" / "vqrank")]
    text = "".join(json.dumps(request) + "\n" for request in requests)
    arguments = [*base, "score", *(["--isa", isa] if isa else []), str(model)]
    done = subprocess.run(arguments, input=text.encode(), capture_output=True, check=False)
    if done.returncode == 2:
        raise RuntimeError(done.stderr.decode())
    return done.stdout.decode().splitlines()
