"""LiteRT with XNNPACK, from files that litert_export.py writes: one for each length."""

import functools
import os
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from peer import Call, Peer, State, pieces
from workload import F32, I64, User

# variant -> how sums are made, events a piece (0: all at once), whether XNNPACK takes part
ENCODE = {
    "unsorted_segment_sum": ("segment", 0, True),
    "scatter_nd": ("scatter", 0, True),
    "one-hot product": ("onehot", 0, True),
    "without XNNPACK": ("segment", 0, False),
    "unsorted_segment_sum, pieces of 500": ("segment", 500, True),
    "unsorted_segment_sum, pieces of 1,000": ("segment", 1000, True),
}
SCORE = {"XNNPACK": (0, True), "without XNNPACK": (0, False), "pieces of 125": (125, True), "pieces of 50": (50, True)}


class Graph:
    """An interpreter: its inputs by name, its outputs in order."""

    def __init__(self, path: Path, xnnpack: bool = True) -> None:
        kind = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self.of = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=kind)
        self.of.allocate_tensors()
        self.inputs = {entry["name"].split(":")[0]: entry["index"] for entry in self.of.get_input_details()}
        self.outputs = [entry["index"] for entry in self.of.get_output_details()]

    def run(self, feed: Sequence[tuple[int, Any]]) -> list[F32]:
        for index, value in feed:
            self.of.set_tensor(index, value)
        self.of.invoke()
        return [self.of.get_tensor(index) for index in self.outputs]

    def feed(self, values: dict[str, Any]) -> list[tuple[int, Any]]:
        return [(self.inputs[name], value) for name, value in values.items()]


def named(prefix: str, columns: list[I64]) -> dict[str, Any]:
    return {f"{prefix}{i}": column for i, column in enumerate(columns)}


class LiteRt(Peer):
    """fp32."""

    packages = ("ai_edge_litert",)

    def version(self) -> str:
        return version("ai-edge-litert")

    def encoders(self, events: int) -> list[str]:
        return [name for name, (_, piece, _) in ENCODE.items() if piece < events and not (piece and events % piece)]

    def scorers(self, candidates: int) -> list[str]:
        fits = {name: piece for name, (piece, _) in SCORE.items()}
        return [name for name, piece in fits.items() if piece < candidates and not (piece and candidates % piece)]

    def path(self, *names: str) -> list[Path]:
        """Files of these graphs, made by TensorFlow where they are not there yet."""
        paths = [self.folder / f"{name}.tflite" for name in names]
        if missing := [path.stem for path in paths if not path.exists()]:
            here = Path(__file__).parent
            build = next(p for p in self.folder.parents if p.name == "peers")
            checkpoint = build / "bench" / f"{self.workload.name}.safetensors"
            python = build / "venv-tensorflow" / "bin" / "python"
            command = [python, here / "litert_export.py", checkpoint, self.folder, *missing]
            subprocess.run([str(part) for part in command], check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        return paths

    @functools.cache  # noqa: B019 - a peer lives as long as its process
    def graph(self, name: str, xnnpack: bool = True) -> Graph:
        return Graph(self.path(name)[0], xnnpack)

    def encode_call(self, variant: str, events: list[I64]) -> Call:
        how, piece, xnnpack = ENCODE[variant]
        rows = len(events[0])
        if not piece:
            own = self.graph(f"encode-{rows}-{how}", xnnpack)
            feed = own.feed(named("event", events))
            return lambda: own.run(feed)
        add, finish = self.graph(f"accumulate-{piece}-{how}", xnnpack), self.graph("finish-0-any", xnnpack)
        cuts = [add.feed(named("event", [column[cut] for column in events])) for cut in pieces(rows, piece)]
        w = self.workload
        start, before = np.zeros((w.codebooks, w.codewords, w.width + 1), np.float32), add.inputs["sums"]

        def call() -> Any:
            sums = start
            for feed in cuts:
                sums = add.run([(before, sums), *feed])[0]
            return finish.run([(finish.inputs["sums"], sums)])

        return call

    def state(self, result: Any) -> State:
        """Outputs come in an order of the converter's: told apart by their shapes."""
        w = self.workload
        shapes = ((w.codebooks, w.heads, w.head_dim, w.codewords), (w.codebooks, w.heads, w.codewords, w.head_dim))
        by_shape = {part.shape: np.array(part) for part in result}
        return State(by_shape[shapes[0]], by_shape[shapes[1]], by_shape[w.codebooks, 1, 1, w.codewords])

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        piece, xnnpack = SCORE[variant]
        own = self.graph(f"score-{piece or candidates}-any", xnnpack)
        fixed = {"K": state.keys, "V": state.values, "M": state.mask} | named("user", user.user)
        cuts = [
            own.feed(fixed | named("candidate", [column[cut] for column in user.candidates]))
            for cut in pieces(candidates, piece or candidates)
        ]
        return lambda: [own.run(feed)[0] for feed in cuts]

    def scores(self, result: Any) -> F32:
        return np.concatenate(result)

    def _served(self) -> list[Path]:
        events, candidates = (1000, 100) if self.workload.name == "paper" else (500, 50)
        return self.path(f"encode-{events}-segment", f"score-{candidates}-any")

    def forget(self) -> None:
        type(self).graph.cache_clear()

    def files(self) -> list[Path]:
        return self._served()

    def openers(self) -> dict[str, Call]:
        paths = self._served()
        return {"TFLite": lambda: [Graph(path) for path in paths]}

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        (encode, score), state = opened, []
        events = encode.feed(named("event", user.events))
        rows = score.feed(
            named("user", user.user) | named("candidate", [column[:candidates] for column in user.candidates])
        )

        def run_encode() -> None:
            found = self.state(encode.run(events))
            state[:] = score.feed({"K": found.keys, "V": found.values, "M": found.mask})

        return run_encode, lambda: score.run([*state, *rows])
