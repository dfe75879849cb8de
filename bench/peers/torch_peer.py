"""PyTorch: the favourable pair eagerly, through torch.compile and ahead of time (AOTInductor), and the plain module."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch._inductor.package  # else the first aoti_load_package imports it
from peer import Call, Peer, State, pieces
from torch import Tensor, nn
from torch_modules import Accumulate, Assign, Encode, Finish, Plain, Score
from workload import F32, I64, Folded, User, Workload

torch.set_num_threads(1)
torch.set_grad_enabled(False)

ROWS_MOST = 1 << 24


def tensors(columns: Sequence[I64]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(column) for column in columns)


def ready(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)


class Torch(Peer):
    """Eager."""

    packages = ("torch",)
    # variant -> split, add, events a piece (0: all at once)
    ENCODE: ClassVar[dict[str, tuple[bool, str, int]]] = {
        "one product, index_add": (False, "index_add", 0),
        "one product a codebook, index_add": (True, "index_add", 0),
        "one product, scatter_add": (False, "scatter_add", 0),
        "one-hot product": (True, "onehot", 0),
        "pieces of 512": (False, "index_add", 512),
        "pieces of 2,048": (False, "index_add", 2048),
    }
    # variant -> attention, candidates a piece
    SCORE: ClassVar[dict[str, tuple[str, int]]] = {
        "products": ("products", 0),
        "scaled_dot_product_attention": ("sdpa", 0),
        "pieces of 125": ("products", 125),
    }

    @functools.cached_property
    def folded(self) -> Folded:
        return Folded.of(self.workload)

    def version(self) -> str:
        return str(torch.__version__)

    def encoders(self, events: int) -> list[str]:
        return [name for name, (_, _, piece) in self.ENCODE.items() if piece < events]

    def scorers(self, candidates: int) -> list[str]:
        return [name for name, (_, piece) in self.SCORE.items() if piece < candidates]

    def compiled(self, module: nn.Module, example: tuple[Tensor, ...], varying: list[int]) -> Any:
        """The module as this class runs it; inputs number `varying` have a length that changes."""
        del example, varying
        return module

    def example_events(self) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(1000, dtype=torch.int64) for _ in self.workload.tables("event"))

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def module(self, what: str, *choice: Any) -> Any:
        example, w, f = self.example_events(), self.workload, self.folded
        events = list(range(len(example)))
        if what == "encode":
            return self.compiled(ready(Encode(w, f, *choice)), example, events)
        if what == "accumulate":
            return self.compiled(ready(Accumulate(w, f, *choice)), example, events)
        sums = (torch.zeros(w.codebooks, w.codewords, w.width), torch.ones(w.codebooks, w.codewords, 1))
        if what == "finish":
            return self.compiled(ready(Finish(w, f)), sums, [])
        state = ready(Finish(w, f))(*sums)
        users = tuple(torch.zeros(1, dtype=torch.int64) for _ in w.tables("user"))
        candidates = tuple(torch.zeros(100, dtype=torch.int64) for _ in w.tables("candidate"))
        first = len(state) + len(users)
        varying = list(range(first, first + len(candidates)))
        return self.compiled(ready(Score(w, f, *choice)), (*state, *users, *candidates), varying)

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        split, add, piece = self.ENCODE[variant]
        if not piece:
            own, columns = self.module("encode", split, add), tensors(events)
            return lambda: own(*columns)
        accumulate, finish = self.module("accumulate", split, add), self.module("finish")
        cuts = [tensors([column[cut] for column in events]) for cut in pieces(len(events[0]), piece)]

        def call() -> Any:
            sums, counts = accumulate(*cuts[0])
            for cut in itertools.islice(cuts, 1, None):
                more, others = accumulate(*cut)
                sums, counts = sums + more, counts + others
            return finish(sums, counts)

        return call

    def state(self, result: Any) -> State:
        return State(*(np.array(part.numpy()) for part in result))

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        attention, piece = self.SCORE[variant]
        own = self.module("score", attention)
        fixed = (*(torch.from_numpy(part) for part in state), *tensors(user.user))
        if piece:
            cuts = [tensors([column[cut] for column in user.candidates]) for cut in pieces(candidates, piece)]
            return lambda: [own(*fixed, *cut) for cut in cuts]
        columns = tensors([column[:candidates] for column in user.candidates])
        return lambda: own(*fixed, *columns)

    def scores(self, result: Any) -> F32:
        parts = result if isinstance(result, list) else [result]
        return np.concatenate([part.numpy() for part in parts])

    def assign(self, events: list[I64]) -> npt.NDArray[np.int64]:
        return np.asarray(ready(Assign(self.workload, self.folded))(*tensors(events)).numpy().T)

    def idle_call(self) -> Call:
        own, x = nn.Identity(), torch.zeros(1)
        return lambda: own(x)

    def _saved(self, what: str, module: nn.Module) -> Path:
        path = self.folder / f"{what}.pt"
        if not path.exists():
            torch.save(module.state_dict(), path)
        return path

    def files(self) -> list[Path]:
        w, f = self.workload, self.folded
        return [self._saved("encode", Encode(w, f)), self._saved("score", Score(w, f))]

    def openers(self) -> dict[str, Call]:
        paths, empty = self.files(), [Encode(self.workload, self.folded), Score(self.workload, self.folded)]

        def load() -> Any:
            for path, module in zip(paths, empty, strict=True):
                module.load_state_dict(torch.load(path, mmap=True, weights_only=True), assign=True)
            return empty

        return {"weights, modules made before": load}

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        (encode, score), state = opened, []
        events = tensors(user.events)
        columns = tensors([*user.user, *(column[:candidates] for column in user.candidates)])

        def run_encode() -> None:
            state[:] = encode(*events)

        return run_encode, lambda: score(*state, *columns)


class TorchCompile(Torch):
    """torch.compile, or AOTInductor's packages, by default or with every product's kernel chosen by timing. The first
    words of a variant say which."""

    ENCODE: ClassVar[dict[str, tuple[bool, str, int]]] = {
        "torch.compile": (False, "index_add", 0),
        "ahead of time": (False, "index_add", 0),
        "ahead of time, pieces of 2,048": (False, "index_add", 2048),
        "autotuned ahead of time": (False, "index_add", 0),
        "autotuned ahead of time, pieces of 512": (False, "index_add", 512),
        "autotuned ahead of time, pieces of 2,048": (False, "index_add", 2048),
    }
    SCORE: ClassVar[dict[str, tuple[str, int]]] = {
        "torch.compile": ("products", 0),
        "ahead of time": ("products", 0),
        "ahead of time, pieces of 125": ("products", 125),
        "autotuned ahead of time": ("products", 0),
        "autotuned ahead of time, pieces of 125": ("products", 125),
    }
    AUTOTUNED: ClassVar[dict[str, Any]] = {
        "max_autotune": True, "max_autotune_gemm_backends": "CPP,ATEN", "freezing": True,
    }  # fmt: skip

    def __init__(self, workload: Workload, folder: Path) -> None:
        super().__init__(workload, folder)
        self.how = "ahead"

    def compiled(self, module: nn.Module, example: tuple[Tensor, ...], varying: list[int]) -> Any:
        if self.how == "torch.compile":
            return torch.compile(module, dynamic=bool(varying) or None)
        return torch._inductor.aoti_load_package(str(self.package(module, example, varying)))

    def package(self, module: nn.Module, example: tuple[Tensor, ...], varying: list[int]) -> Path:
        """The module compiled for any length of the inputs number `varying`."""
        kind, add = type(module).__name__, getattr(getattr(module, "accumulate", module), "add", "")
        path = self.folder / f"{self.how}-{kind}-{add}.pt2"
        if not path.exists():
            rows = torch.export.Dim("rows", min=1, max=ROWS_MOST)
            lengths = [{0: rows} if i in varying else {} for i in range(len(example))]
            fixed = {"Score": ["keys", "values", "mask"], "Finish": ["sums", "counts"]}.get(kind, [])
            shapes: dict[str, Any] = dict(zip(fixed, lengths, strict=False))
            if len(lengths) > len(fixed):
                shapes["columns"] = tuple(lengths[len(fixed) :])
            exported = torch.export.export(module, example, dynamic_shapes=shapes)
            options = self.AUTOTUNED if self.how == "autotuned" else {}
            torch._inductor.aoti_compile_and_package(exported, package_path=str(path), inductor_configs=options)
        return path

    def module(self, what: str, *choice: Any) -> Any:
        return self._module(self.how, what, *choice)

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def _module(self, how: str, what: str, *choice: Any) -> Any:
        del how
        return Torch.module.__wrapped__(self, what, *choice)

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        self.how = variant.split()[0].rstrip(",")
        return super().encode_call(variant, events)

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        self.how = variant.split()[0].rstrip(",")
        return super().score_call(variant, state, user, candidates)

    def files(self) -> list[Path]:
        return [self.folder / "ahead-Encode-index_add.pt2", self.folder / "ahead-Score-.pt2"]

    def openers(self) -> dict[str, Call]:
        if not all(path.exists() for path in self.files()):
            self.how = "ahead"
            self.module("encode", False, "index_add")
            self.module("score", "products")
        return {"ahead of time": lambda: [torch._inductor.aoti_load_package(str(path)) for path in self.files()]}


class TorchPlain(Peer):
    """The plain module as it is."""

    whole = True
    packages = ("torch",)

    def version(self) -> str:
        return str(torch.__version__)

    @functools.cached_property
    def module(self) -> Any:
        return ready(Plain(self.workload))

    def encoders(self, events: int) -> list[str]:
        del events
        return ["eager"]

    def scorers(self, candidates: int) -> list[str]:
        del candidates
        return []

    def whole_call(self, variant: str, user: User, candidates: int) -> Call:
        del variant
        own = self.module
        columns = tensors([*user.user, *user.events, *(column[:candidates] for column in user.candidates)])
        return lambda: own(*columns)

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        del opened
        call = self.whole_call("", user, candidates)
        return call, call

    def scores(self, result: Any) -> F32:
        return np.asarray(result.numpy())

    def files(self) -> list[Path]:
        path = self.folder / "plain.pt"
        if not path.exists():
            torch.save(self.module.state_dict(), path)
        return [path]

    def openers(self) -> dict[str, Call]:
        path, module = self.files()[0], self.module

        def load() -> Any:
            return module.load_state_dict(torch.load(path, mmap=True, weights_only=True), assign=True)

        return {"weights, module made before": load}


class TorchPlainCompile(TorchPlain):
    """torch.compile of the plain module."""

    @functools.cached_property
    def module(self) -> Any:
        return torch.compile(ready(Plain(self.workload)), dynamic=True)

    def encoders(self, events: int) -> list[str]:
        del events
        return ["torch.compile"]

    def files(self) -> list[Path]:
        return []

    def openers(self) -> dict[str, Call]:
        return {}
