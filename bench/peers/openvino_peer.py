"""OpenVINO, from the graphs that favour ONNX Runtime: reads the same ONNX files and has variants of its own."""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_graphs as graphs
import openvino as ov
from onnx_graphs import EncodeChoice, ScoreChoice
from peer import Call, Peer, State, pieces
from workload import F32, I64, Folded, User

CONFIG = {
    "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
}  # fmt: skip
# variant -> graph, events a piece (0: all at once)
ENCODE = {
    "one product a codebook, TopK": (EncodeChoice("split", argmax="topk"), 0),
    "one product, TopK": (EncodeChoice(argmax="topk"), 0),
    "one product, ArgMax": (EncodeChoice(), 0),
    "one-hot product in place of scatter": (EncodeChoice("split", argmax="onehot"), 0),
    "ScatterElements": (EncodeChoice("split", argmax="topk", scatter="elements"), 0),
    "action tabulated, TopK": (EncodeChoice("split", (2,), "topk"), 0),
    "TopK, pieces of 512": (EncodeChoice("split", argmax="topk"), 512),
    "TopK, pieces of 2,048": (EncodeChoice("split", argmax="topk"), 2048),
    "one-hot, pieces of 1,024": (EncodeChoice("split", argmax="onehot"), 1024),
}
SCORE = {
    "mask in K": (ScoreChoice(), 0),
    "mask added": (ScoreChoice("add"), 0),
    "candidates tabulated": (ScoreChoice(tabulated=True), 0),
    "pieces of 125": (ScoreChoice(), 125),
    "pieces of 125, mask added": (ScoreChoice("add"), 125),
}


def named(prefix: str, columns: list[I64]) -> dict[str, Any]:
    return {f"{prefix}{i}": column for i, column in enumerate(columns)}


class Bound:
    """A request whose inputs are these arrays themselves, which it only points to."""

    def __init__(self, compiled: ov.CompiledModel, feed: dict[str, Any]) -> None:
        self.request = compiled.create_infer_request()
        self.infer, self.get_tensor = self.request.infer, self.request.get_tensor
        self.tensors: dict[str, ov.Tensor] = {}
        for name, value in feed.items():
            self.set(name, ov.Tensor(np.ascontiguousarray(value), shared_memory=True))

    def set(self, name: str, tensor: ov.Tensor) -> None:
        self.tensors[name] = tensor
        self.request.set_tensor(name, tensor)


class OpenVino(Peer):
    """fp32, the favourable pair."""

    packages = ("openvino",)

    @functools.cached_property
    def folded(self) -> Folded:
        return Folded.of(self.workload)

    @functools.cached_property
    def core(self) -> ov.Core:
        return ov.Core()

    def version(self) -> str:
        return str(ov.get_version()).split("-")[0]

    def encoders(self, events: int) -> list[str]:
        return [name for name, (_, piece) in ENCODE.items() if piece < events]

    def scorers(self, candidates: int) -> list[str]:
        return [name for name, (_, piece) in SCORE.items() if piece < candidates]

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def compiled(self, what: str, choice: Any) -> ov.CompiledModel:
        if what == "finish":
            model = graphs.finish(self.workload, self.folded)
        else:
            model = getattr(graphs, what)(self.workload, self.folded, choice)
        path = self.folder / f"{what}.onnx"
        path.write_bytes(model.SerializeToString())
        return self.core.compile_model(self.core.read_model(path), "CPU", CONFIG)

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        choice, piece = ENCODE[variant]
        if piece:
            return self._piecewise(choice, piece, events)
        request = Bound(self.compiled("encode", choice), named("event", events))

        def call() -> Bound:
            request.infer()
            return request

        return call

    def _piecewise(self, choice: EncodeChoice, piece: int, events: list[I64]) -> Call:
        """Sums go round between two tensors: what one piece gives, the next adds to."""
        w = self.workload
        compiled = self.compiled("accumulate", choice)
        shape = (w.codebooks * w.codewords, w.width + 1)
        start, sums = np.zeros(shape, np.float32), [np.zeros(shape, np.float32) for _ in range(2)]
        cuts = pieces(len(events[0]), piece)
        requests = []
        for i, cut in enumerate(cuts):
            before = start if i == 0 else sums[(i - 1) % 2]
            feed = named("event", [column[cut] for column in events]) | {"before": before}
            requests.append(Bound(compiled, feed))
            requests[-1].set("sums", ov.Tensor(sums[i % 2], shared_memory=True))
        last = Bound(self.compiled("finish", None), {"sums": sums[(len(cuts) - 1) % 2]})

        def call() -> Bound:
            for request in requests:
                request.infer()
            last.infer()
            return last

        return call

    def state(self, result: Bound) -> State:
        keys, values = (np.array(result.get_tensor(name).data) for name in ("K", "V"))
        return State(np.ascontiguousarray(keys[:, :, :-1]), values, np.ascontiguousarray(keys[:, :1, -1:]))

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        choice, piece = SCORE[variant]
        compiled = self.compiled("score", choice)
        requests = [
            Bound(compiled, self._feed(choice, state, user, cut)) for cut in pieces(candidates, piece or candidates)
        ]

        def call() -> list[Bound]:
            for request in requests:
                request.infer()
            return requests

        return call

    @staticmethod
    def _feed(choice: ScoreChoice, state: State, user: User, cut: slice) -> dict[str, Any]:
        feed = named("user", user.user) | named("candidate", [column[cut] for column in user.candidates])
        if choice.mask == "add":
            return feed | {"K": state.keys, "V": state.values, "M": state.mask}
        n, a, _, k = state.keys.shape
        wide = np.concatenate([state.keys, np.broadcast_to(state.mask, (n, a, 1, k))], axis=2)
        return feed | {"K": wide, "V": state.values}

    def scores(self, result: list[Bound]) -> F32:
        return np.concatenate([np.array(request.get_tensor("score").data) for request in result])

    def assign(self, events: list[I64]) -> npt.NDArray[np.int64]:
        request = Bound(self.compiled("assign", EncodeChoice("split", argmax="topk")), named("event", events))
        request.infer()
        return np.array(request.get_tensor("z").data)

    def idle_call(self) -> Call:
        path = self.folder / "identity.onnx"
        path.write_bytes(graphs.identity().SerializeToString())
        compiled = self.core.compile_model(self.core.read_model(path), "CPU", CONFIG)
        return Bound(compiled, {"x": np.zeros(1, np.float32)}).infer

    def forget(self) -> None:
        type(self).compiled.cache_clear()

    # ---- opening ----

    def _paths(self) -> list[Path]:
        """In OpenVINO's own format, which opens faster than ONNX."""
        paths = []
        for what, choice in (("encode", EncodeChoice("split", argmax="topk")), ("score", ScoreChoice())):
            source, path = self.folder / f"open-{what}.onnx", self.folder / f"open-{what}.xml"
            if not path.exists():
                model = getattr(graphs, what)(self.workload, self.folded, choice)
                source.write_bytes(model.SerializeToString())
                ov.save_model(self.core.read_model(source), path, compress_to_fp16=False)
            paths.append(path)
        return paths

    def files(self) -> list[Path]:
        return [file for path in self._paths() for file in (path, path.with_suffix(".bin"))]

    def openers(self) -> dict[str, Call]:
        paths, blobs = self._paths(), []
        for path in paths:
            blob = path.with_suffix(f".{os.environ.get('ONEDNN_MAX_CPU_ISA', 'best')}.blob")
            if not blob.exists():
                blob.write_bytes(self.core.compile_model(path, "CPU", CONFIG).export_model().getvalue())
            blobs.append(blob)
        return {
            "OpenVINO IR": lambda: [self.core.compile_model(path, "CPU", CONFIG) for path in paths],
            "compiled beforehand": lambda: [self.core.import_model(blob.read_bytes(), "CPU", CONFIG) for blob in blobs],
        }

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        encode = Bound(opened[0], named("event", user.events))
        columns = named("user", user.user) | named("candidate", [column[:candidates] for column in user.candidates])
        score = Bound(opened[1], columns)

        def run_score() -> None:
            for name in ("K", "V"):
                score.set(name, encode.get_tensor(name))
            score.infer()

        return encode.infer, run_score
