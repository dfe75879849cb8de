"""ExecuTorch with XNNPACK: a program for each length, since memory is planned beforehand."""

import functools
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.runtime import Runtime
from peer import Call, Peer, State, pieces
from torch import Tensor, nn
from torch_modules import Accumulate, Encode, Finish, Score
from workload import F32, I64, Folded, User

torch.set_num_threads(1)
torch.set_grad_enabled(False)

# variant -> one product a codebook, how sums are made, events a piece (0: all at once)
ENCODE = {
    "scatter_add": (False, "scatter_add", 0),
    "index_add": (False, "index_add", 0),
    "one-hot product": (False, "onehot", 0),
    "scatter_add, one product a codebook": (True, "scatter_add", 0),
    "scatter_add, pieces of 500": (False, "scatter_add", 500),
    "scatter_add, pieces of 1,000": (False, "scatter_add", 1000),
}
SCORE = {"whole": 0, "pieces of 125": 125, "pieces of 50": 50}


def tensors(columns: Sequence[I64]) -> list[Tensor]:
    return [torch.from_numpy(column) for column in columns]


class ExecuTorch(Peer):
    """fp32."""

    packages = ("executorch",)

    @functools.cached_property
    def folded(self) -> Folded:
        return Folded.of(self.workload)

    def version(self) -> str:
        return version("executorch")

    def encoders(self, events: int) -> list[str]:
        """Whole histories of 100,000 would plan gigabytes of memory, and pieces are faster."""
        fits = {name: piece for name, (_, _, piece) in ENCODE.items()}
        return [
            n
            for n, piece in fits.items()
            if (0 < piece < events and not events % piece) or (not piece and events <= 10_000)
        ]

    def scorers(self, candidates: int) -> list[str]:
        return [name for name, piece in SCORE.items() if piece < candidates and not (piece and candidates % piece)]

    def export(self, what: str, rows: int, choice: tuple[Any, ...], path: Path) -> None:
        """Writes a program, with all that XNNPACK takes given to it."""
        # Only here: what serves does not need them.
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        w, f = self.workload, self.folded
        columns = [torch.zeros(rows, dtype=torch.int64) for _ in w.tables("event")]
        sums = [torch.zeros(w.codebooks, w.codewords, w.width), torch.ones(w.codebooks, w.codewords, 1)]
        modules: dict[str, type[nn.Module]] = {
            "encode": Encode,
            "accumulate": Accumulate,
            "finish": Finish,
            "score": Score,
        }
        module = modules[what](w, f, *choice).eval().requires_grad_(False)
        example = sums if what == "finish" else columns
        if what == "score":
            users = [torch.zeros(1, dtype=torch.int64) for _ in w.tables("user")]
            candidates = [torch.zeros(rows, dtype=torch.int64) for _ in w.tables("candidate")]
            example = [*Finish(w, f)(*sums), *users, *candidates]
        exported = torch.export.export(module, tuple(example))
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        path.write_bytes(lowered.to_executorch().buffer)

    def path(self, what: str, rows: int, *choice: Any) -> Path:
        path = self.folder / f"{'-'.join(str(part) for part in (what, rows, *choice))}.pte"
        if not path.exists():
            self.export(what, rows, choice, path)
        return path

    @staticmethod
    def load(path: Path) -> Any:
        return Runtime.get().load_program(path).load_method("forward")

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def method(self, what: str, rows: int, *choice: Any) -> Any:
        return self.load(self.path(what, rows, *choice))

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        split, add, piece = ENCODE[variant]
        rows = len(events[0])
        if not piece:
            own, columns = self.method("encode", rows, split, add), tensors(events)
            return lambda: own.execute(columns)
        accumulate, finish = self.method("accumulate", piece, split, add), self.method("finish", 0)
        cuts = [tensors([column[cut] for column in events]) for cut in pieces(rows, piece)]

        def call() -> Any:
            sums, counts = (part.clone() for part in accumulate.execute(cuts[0]))
            for columns in cuts[1:]:
                more, others = accumulate.execute(columns)
                sums += more
                counts += others
            return finish.execute([sums, counts])

        return call

    def state(self, result: Any) -> State:
        return State(*(np.array(part.numpy()) for part in result))

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        piece = SCORE[variant] or candidates
        own = self.method("score", piece)
        fixed = [*(torch.from_numpy(part) for part in state), *tensors(user.user)]
        cuts = [[*fixed, *tensors([column[cut] for column in user.candidates])] for cut in pieces(candidates, piece)]
        return lambda: [own.execute(cut)[0].clone() for cut in cuts]  # the next call writes over it

    def scores(self, result: Any) -> F32:
        return np.concatenate([part.numpy() for part in result])

    def forget(self) -> None:
        type(self).method.cache_clear()

    def files(self) -> list[Path]:
        events, candidates = (1000, 100) if self.workload.name == "paper" else (500, 50)
        return [self.path("encode", events, False, "scatter_add"), self.path("score", candidates)]

    def openers(self) -> dict[str, Call]:
        paths = self.files()
        return {"program": lambda: [self.load(path) for path in paths]}

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        (encode, score), state = opened, []
        events = tensors(user.events)
        rows = tensors([*user.user, *(column[:candidates] for column in user.candidates)])

        def run_encode() -> None:
            state[:] = encode.execute(events)

        return run_encode, lambda: score.execute([*state, *rows])
