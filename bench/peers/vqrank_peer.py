"""vqrank through its C library and ctypes: the same path as a program's, with Python's cost of a call beside it."""

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from peer import Call, Peer
from workload import F32, I64, User, Workload

INT64_COLUMN = 1


class _Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 256)]


class _Column(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("values", ctypes.c_void_p), ("present", ctypes.c_void_p)]


class _Rows(ctypes.Structure):
    _fields_ = [("columns", ctypes.POINTER(_Column)), ("column_count", ctypes.c_size_t), ("rows", ctypes.c_size_t)]


class _Request(ctypes.Structure):
    _fields_ = [("user", _Rows), ("context", _Rows), ("candidates", _Rows), ("time", ctypes.c_void_p)]


class _SessionOptions(ctypes.Structure):
    _fields_ = [("isa", ctypes.c_char_p), ("buffer", ctypes.c_void_p), ("buffer_size", ctypes.c_size_t)]


class VqrankError(Exception):
    """What the library refused, in its own words."""


def _rows(columns: Sequence[I64]) -> _Rows:
    """Columns of int64 as the library takes them. The caller keeps the arrays."""
    array = (_Column * len(columns))(*(_Column(INT64_COLUMN, column.ctypes.data, None) for column in columns))
    return _Rows(array, len(columns), len(columns[0]) if columns else 0)


class Library:
    """libvqrank.so."""

    def __init__(self, path: Path) -> None:
        self.dll = ctypes.CDLL(str(path))
        self.dll.vqr_session_isa.restype = ctypes.c_char_p
        self.dll.vqr_version.restype = ctypes.c_char_p
        self.dll.vqr_model_outputs.restype = ctypes.c_size_t
        self.error = _Error()

    def call(self, name: str, *arguments: object) -> None:
        """A function whose last argument is the error; raises what it refuses."""
        if getattr(self.dll, name)(*arguments, ctypes.byref(self.error)) != 0:
            raise VqrankError(f"{name}: {self.error.message.decode()}")


class Model:
    """An open model with one session."""

    def __init__(self, library: Library, path: Path, isa: str | None = None) -> None:
        self.library = library
        self.model, self.session = ctypes.c_void_p(), ctypes.c_void_p()
        library.call("vqr_model_open", str(path).encode(), ctypes.byref(self.model))
        options = _SessionOptions(isa.encode() if isa else None, None, 0)
        library.call("vqr_session_create", self.model, ctypes.byref(options), ctypes.byref(self.session))

    @property
    def isa(self) -> str:
        return str(self.library.dll.vqr_session_isa(self.session).decode())

    def __del__(self) -> None:
        self.library.dll.vqr_session_free(self.session)
        self.library.dll.vqr_model_close(self.model)

    def state(self) -> ctypes.c_void_p:
        state = ctypes.c_void_p()
        self.library.call("vqr_state_create", self.model, None, ctypes.c_size_t(0), ctypes.byref(state))
        return state

    def assign(self, events: Sequence[I64], codebooks: int) -> npt.NDArray[np.uint32]:
        """Codewords of events, [L, N]."""
        rows = _rows(events)
        found = np.empty((codebooks, rows.rows), np.uint32)
        self.library.call(
            "vqr_assign", self.session, ctypes.c_size_t(0), ctypes.byref(rows), found.ctypes.data_as(ctypes.c_void_p)
        )
        return found.T

    def explain(self, state: ctypes.c_void_p, user: User, codebooks: int, tokens: int) -> F32:
        """Attention's weights, the mean over its heads: [C, N, W]."""
        request, _keep = self.request(user)
        weights = np.empty((request.candidates.rows, codebooks, tokens), np.float32)
        pointer = weights.ctypes.data_as(ctypes.c_void_p)
        self.library.call("vqr_explain", self.session, state, ctypes.c_size_t(0), ctypes.byref(request), pointer)
        return weights

    @staticmethod
    def request(user: User, candidates: int | None = None) -> tuple[_Request, User]:
        chosen = user.candidates if candidates is None else [column[:candidates] for column in user.candidates]
        return _Request(_rows(user.user), _Rows(), _rows(chosen), None), user


class Encode:
    """vqr_encode of one history, again and again into one state."""

    def __init__(self, model: Model, state: ctypes.c_void_p, events: Sequence[I64]) -> None:
        self.function = model.library.dll.vqr_encode
        self.rows, self.keep = _rows(events), events
        self.arguments = (model.session, state, ctypes.byref(self.rows), None, ctypes.byref(model.library.error))
        self.error = model.library.error

    def __call__(self) -> None:
        if self.function(*self.arguments) != 0:
            raise VqrankError(f"vqr_encode: {self.error.message.decode()}")


class Score:
    """vqr_score of one request."""

    def __init__(self, model: Model, state: ctypes.c_void_p, user: User, candidates: int) -> None:
        self.function = model.library.dll.vqr_score
        self.request, self.keep = Model.request(user, candidates)
        self.outputs = np.empty(candidates, np.float32)
        pointer = self.outputs.ctypes.data_as(ctypes.c_void_p)
        error = ctypes.byref(model.library.error)
        self.arguments = (model.session, state, ctypes.byref(self.request), pointer, None, error)
        self.error = model.library.error

    def __call__(self) -> F32:
        if self.function(*self.arguments) != 0:
            raise VqrankError(f"vqr_score: {self.error.message.decode()}")
        return self.outputs


class Vqrank(Peer):
    """The library on one instruction set; `isa` None: the best here."""

    packages = ("libvqrank",)

    def __init__(self, workload: Workload, folder: Path, model: Path, library: Path, isa: str | None = None) -> None:
        super().__init__(workload, folder)
        self.path, self.library_path, self.isa = model, library, isa
        self.library = Library(library)

    @functools.cached_property
    def model(self) -> Model:
        return Model(self.library, self.path, self.isa)

    @functools.cached_property
    def warm_state(self) -> ctypes.c_void_p:
        return self.model.state()

    def version(self) -> str:
        return str(self.library.dll.vqr_version().decode())

    def encoders(self, events: int) -> list[str]:
        del events
        return [self.model.isa]

    def scorers(self, candidates: int) -> list[str]:
        del candidates
        return [self.model.isa]

    def openers(self) -> dict[str, Call]:
        return {"mapped": lambda: Model(self.library, self.path, self.isa)}

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        state = opened.state()
        return Encode(opened, state, user.events), Score(opened, state, user, candidates)

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        del variant
        return Encode(self.model, self.warm_state, events)

    def state(self, result: Any) -> Any:
        """A state is one's own only if made so: see new_state."""
        del result
        return self.warm_state

    def new_state(self, events: list[I64]) -> ctypes.c_void_p:
        state = self.model.state()
        Encode(self.model, state, events)()
        return state

    def score_call(self, variant: str, state: Any, user: User, candidates: int) -> Call:
        del variant
        return Score(self.model, state, user, candidates)

    def assign(self, events: list[I64]) -> npt.NDArray[np.int64]:
        return self.model.assign(events, self.workload.codebooks).astype(np.int64)

    def idle_call(self) -> Call:
        """vqr_refresh of a state that is up to date does nothing."""
        function, error = self.library.dll.vqr_refresh, ctypes.byref(self.library.error)
        arguments = (self.model.session, self.warm_state, error)
        Encode(self.model, self.warm_state, [np.zeros(1, np.int64)] * len(self.workload.tables("event")))()
        return lambda: function(*arguments)

    def files(self) -> list[Path]:
        return [self.path]


class VqrankStored(Vqrank):
    """A file that stores the codewords of items: scoring is as without, so that only encoding is timed."""

    def scorers(self, candidates: int) -> list[str]:
        del candidates
        return []
