"""What every contestant offers: calls to time, and what to compare before they are timed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from workload import F32, I64, User, Workload

Call = Callable[[], Any]


class State(NamedTuple):
    """What encode hands to score, laid out alike for all: keys [N, A, d, W], already divided by sqrt(d); values
    [N, A, W, d]; mask [N, 1, 1, W], 0 for a cluster that holds events, else very small."""

    keys: F32
    values: F32
    mask: F32


class Peer:
    """One way of one runtime on one workload. A stage has variants, ways of writing it that give the same result; the
    best of them, measured row by row, stands for the peer."""

    # Whether outputs must equal vqrank's.
    exact: ClassVar[bool] = True
    # Whether all is one graph: a history is encoded anew for every request.
    whole: ClassVar[bool] = False
    # Folders' names whose shared libraries are the runtime.
    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, workload: Workload, folder: Path) -> None:
        self.workload, self.folder = workload, folder

    def version(self) -> str:
        raise NotImplementedError

    def encoders(self, events: int) -> list[str]:
        """Variants of encode for so many events; none if the peer cannot express it."""
        raise NotImplementedError

    def scorers(self, candidates: int) -> list[str]:
        raise NotImplementedError

    def openers(self) -> dict[str, Call]:
        """Ways to make a model file ready for calls, each anew with every call."""
        raise NotImplementedError

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        """Calls through what an opener returned, of the user's whole history and so many candidates: encode, and score
        with what encode left. Of a peer that is `whole` both do everything."""
        raise NotImplementedError

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        """Encodes one history; of a peer that is `whole`, and scores its first candidate."""
        raise NotImplementedError

    def state(self, result: Any) -> Any:
        """What an encode_call returned, as score_call takes it: a State, unless it is the peer's own."""
        raise NotImplementedError

    def new_state(self, events: list[I64]) -> Any:
        """A state of one's own, as score_call takes it."""
        return self.state(self.encode_call(self.encoders(len(events[0]))[0], events)())

    def score_call(self, variant: str, state: Any, user: User, candidates: int) -> Call:
        """Scores the first `candidates` of a user's; the call returns what `scores` takes."""
        raise NotImplementedError

    def scores(self, result: Any) -> F32:
        """What a score_call returned, [C]."""
        return np.asarray(result, np.float32)

    def whole_call(self, variant: str, user: User, candidates: int) -> Call:
        """Of a peer that is `whole`: encodes and scores."""
        raise NotImplementedError

    def assign(self, events: list[I64]) -> npt.NDArray[np.int64] | None:
        """Codewords, [L, N], by the arithmetic of encode; None if the peer does not tell."""
        del events
        return None

    def idle_call(self) -> Call | None:
        """The same path as the others' for nothing: what a call itself costs."""
        return None

    def forget(self) -> None:
        """Frees what opened variants hold: for a history of 100,000 some keep 400 MB."""

    def files(self) -> list[Path]:
        """The model files that serving needs."""
        return []


def pieces(rows: int, size: int) -> list[slice]:
    return [slice(at, min(at + size, rows)) for at in range(0, rows, size)]
