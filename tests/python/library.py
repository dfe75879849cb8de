"""The C library by ctypes: what a test needs beyond the command line, the clusters that events fall to and the weights
of target attention."""

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

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


class Request(ctypes.Structure):
    _fields_ = (("user", Rows), ("context", Rows), ("candidates", Rows), ("time", ctypes.POINTER(ctypes.c_int64)))


class SessionOptions(ctypes.Structure):
    _fields_ = [("isa", ctypes.c_char_p), ("buffer", ctypes.c_void_p), ("buffer_size", ctypes.c_size_t)]


def build_folder() -> Path:
    """The CMake build folder under test."""
    default = Path(__file__).parents[2] / "build" / "release"
    return Path(os.environ.get("VQRANK_BUILD", default))


def is_sanitized() -> bool:
    """Whether the build under test has AddressSanitizer in it."""
    cache = build_folder() / "CMakeCache.txt"
    return cache.exists() and "VQRANK_SANITIZE:BOOL=ON" in cache.read_text()


class Library:
    """libvqrank of the build under test."""

    def __init__(self) -> None:
        if is_sanitized():
            pytest.skip("AddressSanitizer does not let Python load the library")
        self.c = ctypes.CDLL(str(build_folder() / "lib" / "libvqrank.so"))

    def check(self, status: int, error: Error) -> None:
        if status:
            raise RuntimeError(f"{status}: {error.message.decode()}")

    @contextmanager
    def session(self, model_path: Path, isa: str) -> Iterator[tuple[ctypes.c_void_p, ctypes.c_void_p]]:
        """A model and a session of it, for as long as the block runs."""
        error, model, session = Error(), ctypes.c_void_p(), ctypes.c_void_p()
        options = SessionOptions(isa.encode() if isa else None, None, 0)
        self.check(self.c.vqr_model_open(str(model_path).encode(), ctypes.byref(model), ctypes.byref(error)), error)
        self.check(
            self.c.vqr_session_create(model, ctypes.byref(options), ctypes.byref(session), ctypes.byref(error)), error
        )
        yield model, session
        self.c.vqr_session_free(session)
        self.c.vqr_model_close(model)

    def assignments(self, model_path: Path, config: dict, events: list[dict], isa: str = "") -> dict[str, np.ndarray]:
        """Name of a sequence with codebooks -> clusters [N, L] of the events (JSON values as in a request)."""
        error, found = Error(), {}
        rows, keep = self._rows(config["event"], events)
        with self.session(model_path, isa) as (_, session):
            for i, sequence in enumerate(config["sequences"]):
                codebooks = len(sequence["groups"]) if sequence["kind"] == "vql" else sequence.get("codebooks", 0)
                codebooks = sequence.get("hashes", codebooks)
                if not codebooks:
                    continue
                clusters = np.zeros((codebooks, len(events)), np.uint32)
                pointer = clusters.ctypes.data_as(ctypes.c_void_p)
                status = self.c.vqr_assign(
                    session, ctypes.c_size_t(i), ctypes.byref(rows), pointer, ctypes.byref(error)
                )
                self.check(status, error)
                found[sequence["name"]] = clusters
        del keep
        return found

    def quantize(self, model_path: Path, quantizer: int, levels: int, x: np.ndarray, isa: str = "") -> np.ndarray:
        """Codes [rows, levels] of vectors x [rows, dim], by the model's quantizer of that number."""
        error, x = Error(), np.ascontiguousarray(x, np.float32)
        codes = np.zeros((len(x), levels), np.uint32)
        given, found = (array.ctypes.data_as(ctypes.c_void_p) for array in (x, codes))
        rows, number = ctypes.c_size_t(len(x)), ctypes.c_size_t(quantizer)
        with self.session(model_path, isa) as (_, session):
            self.check(self.c.vqr_quantize(session, number, given, rows, found, ctypes.byref(error)), error)
        return codes

    def weights(self, model_path: Path, config: dict, request: dict) -> dict[str, np.ndarray]:
        """Sequence's name -> what its tokens weigh for each candidate of a request, [C, N, W], or [C, 1, last];
        of groups of a vql sequence W is that of the largest."""
        error, state, found = Error(), ctypes.c_void_p(), {}
        events, keep_events = self._rows(config["event"], request["events"])
        candidates, keep = self._rows(config["candidate"], request["candidates"])
        asked = Request(candidates=candidates)
        if request.get("time") is not None:
            asked.time = ctypes.pointer(ctypes.c_int64(request["time"]))
        with self.session(model_path, "") as (model, session):
            self.check(self.c.vqr_state_create(model, None, 0, ctypes.byref(state), ctypes.byref(error)), error)
            self.check(self.c.vqr_encode(session, state, ctypes.byref(events), None, ctypes.byref(error)), error)
            for i, sequence in enumerate(config["sequences"]):
                groups = sequence.get("groups", [sequence])
                tokens = max(group.get("last", group.get("codewords", 0)) for group in groups)
                codebooks = sequence.get("codebooks", len(groups))
                if sequence["kind"] == "sdim":
                    codebooks, tokens = sequence["hashes"], 2 ** sequence["bits"]
                shape = (len(request["candidates"]), codebooks, tokens)
                weights = np.full(shape, np.nan, np.float32)
                pointer = weights.ctypes.data_as(ctypes.c_void_p)
                status = self.c.vqr_explain(
                    session, state, ctypes.c_size_t(i), ctypes.byref(asked), pointer, ctypes.byref(error)
                )
                self.check(status, error)
                found[sequence["name"]] = weights
            self.c.vqr_state_free(state)
        del keep_events, keep
        return found

    @staticmethod
    def _rows(features: list[dict], objects: list[dict]) -> tuple[Rows, list]:
        """One column per feature; `keep` holds the arrays that the columns point into."""
        columns, keep = (Column * len(features))(), []
        for column, feature in zip(columns, features, strict=True):
            values = [one.get(feature["name"]) for one in objects]
            present = np.array([value is not None for value in values], np.uint8)
            column.type, array, owned = column_values(feature, values)
            column.values = ctypes.cast(array, ctypes.c_void_p)
            column.present = present.ctypes.data_as(ctypes.c_void_p)
            keep += [array, present, owned]
        return Rows(columns, len(features), len(objects)), keep


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
    if feature["kind"] in ("vector", "semantic_id"):
        dim = feature["dim"] if "dim" in feature else max((len(value) for value in values if value), default=1)
        array = np.array([value or [0] * dim for value in values], np.float64)
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
