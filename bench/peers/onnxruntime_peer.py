"""ONNX Runtime: the favourable pair of graphs in fp32 and with its dynamic int8 quantisation, and the plain export."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphs as graphs
import onnxruntime as ort
from onnx_graphs import EncodeChoice, ScoreChoice
from onnxruntime.quantization import QuantType, quantize_dynamic
from peer import Call, Peer, State, pieces
from workload import F32, I64, Folded, User

Level = ort.GraphOptimizationLevel


@dataclass(frozen=True)
class Way:
    """A variant: the graph, the pieces that the caller cuts rows into (0: none), the session's options."""

    graph: Any
    piece: int = 0
    binding: bool = False
    arena: bool = True
    level: Any = field(default=Level.ORT_ENABLE_ALL)


ENCODE = {
    "one product, ArgMax, ScatterND": Way(EncodeChoice()),
    "one product a codebook": Way(EncodeChoice("split")),
    "one product a codebook, TopK": Way(EncodeChoice("split", argmax="topk")),
    "ScatterElements": Way(EncodeChoice(scatter="elements")),
    "one-hot product in place of scatter": Way(EncodeChoice(argmax="onehot")),
    "action tabulated": Way(EncodeChoice(tabulated=(2,))),
    "action, category tabulated": Way(EncodeChoice(tabulated=(1, 2))),
    "all tabulated": Way(EncodeChoice(tabulated=(0, 1, 2))),
    "IO binding": Way(EncodeChoice(), binding=True),
    "no arena": Way(EncodeChoice(), arena=False),
    "optimisation basic": Way(EncodeChoice(), level=Level.ORT_ENABLE_BASIC),
    "pieces of 512": Way(EncodeChoice(), 512),
    "pieces of 2,048": Way(EncodeChoice(), 2048),
    "pieces of 1,024, one product a codebook": Way(EncodeChoice("split"), 1024),
}
SCORE = {
    "mask in K": Way(ScoreChoice()),
    "mask added": Way(ScoreChoice("add")),
    "mask in K, Gemm": Way(ScoreChoice(product="gemm")),
    "candidates tabulated": Way(ScoreChoice(tabulated=True)),
    "IO binding": Way(ScoreChoice(), binding=True),
    "IO binding, candidates tabulated": Way(ScoreChoice(tabulated=True), binding=True),
    "no arena": Way(ScoreChoice(), arena=False),
    "optimisation basic": Way(ScoreChoice(), level=Level.ORT_ENABLE_BASIC),
    "pieces of 125": Way(ScoreChoice(), 125),
    "pieces of 125, candidates tabulated": Way(ScoreChoice(tabulated=True), 125),
    "pieces of 200": Way(ScoreChoice(), 200),
}


def session(model: str | bytes, way: Way | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if way is not None:
        options.graph_optimization_level, options.enable_cpu_mem_arena = way.level, way.arena
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def named(prefix: str, columns: Sequence[I64]) -> dict[str, Any]:
    return {f"{prefix}{i}": column for i, column in enumerate(columns)}


class Bound:
    """A session with inputs and outputs bound beforehand."""

    def __init__(self, own: ort.InferenceSession, feed: dict[str, Any], shapes: dict[str, list[int]]) -> None:
        self.session, self.binding = own, own.io_binding()
        self.feed = feed  # OrtValues only point to these
        self.inputs = {name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in feed.items()}
        self.outputs = {
            name: ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32) for name, shape in shapes.items()
        }
        for name, value in self.inputs.items():
            self.binding.bind_ortvalue_input(name, value)
        for name, value in self.outputs.items():
            self.binding.bind_ortvalue_output(name, value)

    def __call__(self) -> list[Any]:
        self.session.run_with_iobinding(self.binding)
        return [value.numpy() for value in self.outputs.values()]

    def run(self) -> "Bound":
        """Without the copy that numpy() makes."""
        self.session.run_with_iobinding(self.binding)
        return self


class OnnxRuntime(Peer):
    """fp32, the favourable pair."""

    packages = ("onnxruntime",)

    @functools.cached_property
    def folded(self) -> Folded:
        return Folded.of(self.workload)

    def version(self) -> str:
        return str(ort.__version__)

    def encoders(self, events: int) -> list[str]:
        return [name for name, way in ENCODE.items() if way.piece < events]

    def scorers(self, candidates: int) -> list[str]:
        return [name for name, way in SCORE.items() if way.piece < candidates]

    def build(self, what: str, choice: Any) -> onnx.ModelProto:
        if what in ("encode", "accumulate", "assign"):
            return getattr(graphs, what)(self.workload, self.folded, choice)
        return (
            graphs.finish(self.workload, self.folded)
            if what == "finish"
            else graphs.score(self.workload, self.folded, choice)
        )

    def model(self, what: str, choice: Any) -> bytes:
        """A graph as its file holds it."""
        return bytes(self.build(what, choice).SerializeToString())

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def session(self, what: str, way: Way | None = None) -> ort.InferenceSession:
        if way is None:
            return session(self.model(what, EncodeChoice()))
        return session(self.model(what, way.graph), way)

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        way = ENCODE[variant]
        if way.piece:
            return self._piecewise(way, events)
        own, feed = self.session("encode", way), named("event", events)
        if not way.binding:
            return lambda: own.run(None, feed)
        shapes = {output.name: output.shape for output in own.get_outputs()}
        return Bound(own, feed, shapes).run

    def _piecewise(self, way: Way, events: list[I64]) -> Call:
        accumulate, finish = self.session("accumulate", way), self.session("finish", Way(None, level=way.level))
        cuts = [named("event", [column[cut] for column in events]) for cut in pieces(len(events[0]), way.piece)]
        start = np.zeros((self.workload.codebooks * self.workload.codewords, self.workload.width + 1), np.float32)

        def call() -> Any:
            sums = start
            for feed in cuts:
                sums = accumulate.run(None, feed | {"before": sums})[0]
            return finish.run(None, {"sums": sums})

        return call

    def state(self, result: Any) -> State:
        keys, values = result() if isinstance(result, Bound) else result
        w = self.workload
        mask = keys[:, :1, -1:, :]
        assert keys.shape[2] == w.head_dim + 1
        return State(np.ascontiguousarray(keys[:, :, :-1]), values.copy(), np.ascontiguousarray(mask))

    def feed(self, way: Way, state: State, user: User, candidates: int) -> dict[str, Any]:
        feed = named("user", user.user) | named("candidate", [column[:candidates] for column in user.candidates])
        if way.graph.mask == "add":
            return feed | {"K": state.keys, "V": state.values, "M": state.mask}
        n, a, _, k = state.keys.shape
        wide = np.concatenate([state.keys, np.broadcast_to(state.mask, (n, a, 1, k))], axis=2)
        return feed | {"K": wide, "V": state.values}

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        way = SCORE[variant]
        own, feed = self.session("score", way), self.feed(way, state, user, candidates)
        if way.binding:
            return Bound(own, feed, {"score": [candidates]}).run
        if way.piece:
            cuts = [
                {name: value[cut] if name.startswith("candidate") else value for name, value in feed.items()}
                for cut in pieces(candidates, way.piece)
            ]
            return lambda: [own.run(None, cut)[0] for cut in cuts]
        return lambda: own.run(None, feed)[0]

    def scores(self, result: Any) -> F32:
        if isinstance(result, Bound):
            return np.asarray(result()[0])
        return np.concatenate(result) if isinstance(result, list) else np.asarray(result)

    def assign(self, events: list[I64]) -> npt.NDArray[np.int64]:
        return np.asarray(self.session("assign").run(None, named("event", events))[0])

    def idle_call(self) -> Call:
        own, feed = session(graphs.identity().SerializeToString()), {"x": np.zeros(1, np.float32)}
        return lambda: own.run(None, feed)

    def forget(self) -> None:
        type(self).session.cache_clear()

    # ---- opening ----

    def files(self) -> list[Path]:
        return [self._write("onnx", what) for what in ("encode", "score")]

    def _write(self, kind: str, what: str) -> Path:
        """The graph in a file: "onnx" as exported; "optimised" as ONNX Runtime stores it after its own optimisation, as
        "ort" in its own format."""
        choice = EncodeChoice() if what == "encode" else ScoreChoice()
        plain = self.folder / f"{type(self).__name__}-{what}.onnx"
        if not plain.exists():
            plain.write_bytes(self.model(what, choice))
        if kind == "onnx":
            return plain
        path = plain.with_suffix(".ort" if kind == "ort" else ".optimised.onnx")
        if not path.exists():
            options = ort.SessionOptions()
            options.optimized_model_filepath = str(path)
            options.log_severity_level = 3
            if kind == "ort":
                options.add_session_config_entry("session.save_model_format", "ORT")
            ort.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
        return path

    def openers(self) -> dict[str, Call]:
        found: dict[str, Call] = {}
        off = Way(None, level=Level.ORT_DISABLE_ALL)
        for name, kind, way in (
            ("ONNX", "onnx", None),
            ("ONNX, optimised beforehand", "optimised", off),
            ("ORT format", "ort", off),
        ):
            paths = [str(self._write(kind, what)) for what in ("encode", "score")]
            found[name] = lambda paths=paths, way=way: [session(path, way) for path in paths]
        return found

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        (encode, score), state = opened, {}
        events = named("event", user.events)
        feed = named("user", user.user) | named("candidate", [column[:candidates] for column in user.candidates])

        def run_encode() -> None:
            state["K"], state["V"] = encode.run(None, events)

        return run_encode, lambda: score.run(None, feed | state)[0]


class OnnxRuntimeInt8(OnnxRuntime):
    """Dynamic quantisation of every matrix product with weights."""

    exact = False

    def model(self, what: str, choice: Any) -> bytes:
        source, target = self.folder / "quantise.onnx", self.folder / "quantised.onnx"
        onnx.save(self.build(what, choice), source)
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
        return target.read_bytes()


class OnnxRuntimePlain(Peer):
    """torch.onnx.export of the plain module: one graph from columns to scores."""

    whole = True
    packages = ("onnxruntime",)

    @property
    def path(self) -> Path:
        return self.folder / "plain.onnx"

    def version(self) -> str:
        return str(ort.__version__)

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def session(self, variant: str) -> ort.InferenceSession:
        return session(str(self.path), Way(None, arena=variant != "no arena"))

    def encoders(self, events: int) -> list[str]:
        del events
        return ["as exported", "no arena"]

    def scorers(self, candidates: int) -> list[str]:
        del candidates
        return []

    def whole_call(self, variant: str, user: User, candidates: int) -> Call:
        return self._call(self.session(variant), user, candidates)

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        call = self._call(opened, user, candidates)
        return call, call

    @staticmethod
    def _call(own: ort.InferenceSession, user: User, candidates: int) -> Call:
        columns = [*user.user, *user.events, *(column[:candidates] for column in user.candidates)]
        feed = {entry.name: column for entry, column in zip(own.get_inputs(), columns, strict=True)}
        return lambda: own.run(None, feed)[0]

    def openers(self) -> dict[str, Call]:
        return {"ONNX": lambda: session(str(self.path))}

    def files(self) -> list[Path]:
        return [self.path]
