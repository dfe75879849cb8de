"""MNN, from ONNX graphs through its own converter."""

import functools
from pathlib import Path
from typing import Any

import _tools  # MNN's converter; its command installs a telemetry package when it runs
import MNN
import numpy as np
import onnx_graphs as graphs
from MNN import expr, nn
from onnx_graphs import EncodeChoice, ScoreChoice
from peer import Call, Peer, State, pieces
from workload import F32, I64, Folded, User

# Its ScatterND and ScatterElements with reduction "add" give other sums than ONNX asks for where indices repeat.
ENCODE = {
    "one-hot product": (EncodeChoice(argmax="onehot"), 0),
    "one-hot product, one a codebook": (EncodeChoice("split", argmax="onehot"), 0),
    "one-hot product, pieces of 512": (EncodeChoice("split", argmax="onehot"), 512),
    "one-hot product, pieces of 2,048": (EncodeChoice("split", argmax="onehot"), 2048),
}
SCORE = {
    "mask in K": (ScoreChoice(), 0),
    "mask added": (ScoreChoice("add"), 0),
    "candidates tabulated": (ScoreChoice(tabulated=True), 0),
    "pieces of 125": (ScoreChoice(), 125),
}
STATE = {"key": ["K", "V"], "add": ["K", "V", "M"]}


class Mnn(Peer):
    """fp32."""

    packages = ("MNN", "_mnncengine", "_tools", "mnn.libs")

    @functools.cached_property
    def folded(self) -> Folded:
        return Folded.of(self.workload)

    def version(self) -> str:
        return str(MNN.version())

    def encoders(self, events: int) -> list[str]:
        return [name for name, (_, piece) in ENCODE.items() if piece < events]

    def scorers(self, candidates: int) -> list[str]:
        return [name for name, (_, piece) in SCORE.items() if piece < candidates]

    def converted(self, what: str, choice: Any) -> Path:
        """The graph in MNN's format."""
        name = f"{what}-{choice}".translate(str.maketrans(" (),='", "______"))
        path = self.folder / f"{name}.mnn"
        if not path.exists():
            source = path.with_suffix(".onnx")
            if what == "finish":
                model = graphs.finish(self.workload, self.folded)
            else:
                model = getattr(graphs, what)(self.workload, self.folded, choice)
            source.write_bytes(model.SerializeToString())
            _tools.mnnconvert(
                ["mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(path), "--bizCode", "x"]
            )
        return path

    def names(self, what: str, choice: Any) -> tuple[list[str], list[str]]:
        """Inputs and outputs."""
        events = [f"event{i}" for i in range(len(self.workload.tables("event")))]
        rows = [f"user{i}" for i in range(len(self.workload.tables("user")))]
        rows += [f"candidate{i}" for i in range(len(self.workload.tables("candidate")))]
        if what == "score":
            return STATE[choice.mask] + rows, ["score"]
        return {
            "encode": (events, ["K", "V"]),
            "accumulate": ([*events, "before"], ["sums"]),
            "finish": (["sums"], ["K", "V"]),
            "assign": (events, ["z"]),
        }[what]

    def open(self, what: str, choice: Any) -> Any:
        config = ({"backend": "CPU", "precision": "high", "numThread": 1},)
        inputs, outputs = self.names(what, choice)
        runtime = nn.create_runtime_manager(config)
        return nn.load_module_from_file(str(self.converted(what, choice)), inputs, outputs, runtime_manager=runtime)

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def module(self, what: str, choice: Any) -> Any:
        return self.open(what, choice)

    @staticmethod
    def variable(value: np.ndarray) -> Any:
        """MNN's ids are int32, converted once here and not in calls."""
        ids = value.dtype == np.int64
        value = np.ascontiguousarray(value.astype(np.int32) if ids else value)
        result = expr.placeholder(list(value.shape), expr.NCHW, expr.int if ids else expr.float)
        result.write(value)
        return result

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        choice, piece = ENCODE[variant]
        if not piece:
            own, columns = self.module("encode", choice), [self.variable(column) for column in events]
            return lambda: self._read(own.forward(columns))
        accumulate, finish = self.module("accumulate", choice), self.module("finish", None)
        cuts = [[self.variable(np.array(column[cut])) for column in events] for cut in pieces(len(events[0]), piece)]
        w = self.workload
        start = self.variable(np.zeros((w.codebooks * w.codewords, w.width + 1), np.float32))

        def call() -> Any:
            sums = start
            for columns in cuts:
                sums = accumulate.forward([*columns, sums])[0]
                sums.read()
            return self._read(finish.forward([sums]))

        return call

    @staticmethod
    def _read(outputs: Any) -> list[F32]:
        """Computes: until they are read, outputs are a promise."""
        return [output.read() for output in outputs]

    def state(self, result: Any) -> State:
        keys, values = (np.array(part) for part in result)
        return State(np.ascontiguousarray(keys[:, :, :-1]), values, np.ascontiguousarray(keys[:, :1, -1:]))

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        choice, piece = SCORE[variant]
        own = self.module("score", choice)
        n, a, _, k = state.keys.shape
        wide = np.concatenate([state.keys, np.broadcast_to(state.mask, (n, a, 1, k))], axis=2)
        fixed = [state.keys, state.values, state.mask] if choice.mask == "add" else [wide, state.values]
        variables = [self.variable(x) for x in (*fixed, *user.user)]
        cuts = [
            [*variables, *(self.variable(np.array(column[cut])) for column in user.candidates)]
            for cut in pieces(candidates, piece or candidates)
        ]
        return lambda: [np.array(own.forward(cut)[0].read()) for cut in cuts]  # the next forward writes over it

    def scores(self, result: Any) -> F32:
        return np.concatenate([np.array(part) for part in result])

    def forget(self) -> None:
        type(self).module.cache_clear()

    def files(self) -> list[Path]:
        return [self.converted("encode", EncodeChoice(argmax="onehot")), self.converted("score", ScoreChoice())]

    def openers(self) -> dict[str, Call]:
        self.files()
        return {"MNN": lambda: [self.open("encode", EncodeChoice(argmax="onehot")), self.open("score", ScoreChoice())]}

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        (encode, score), state = opened, []
        events = [self.variable(column) for column in user.events]
        rows = [self.variable(column) for column in user.user]
        rows += [self.variable(np.array(column[:candidates])) for column in user.candidates]

        def run_encode() -> None:
            state[:] = encode.forward(events)
            self._read(state)

        return run_encode, lambda: score.forward([*state, *rows])[0].read()
