"""ncnn: scoring alone. It has no argmax along an axis and no scatter, so encode cannot be said in its layers.

Its converter, pnnx, takes the candidates for a batch and gets other scores; so the net is written here layer by layer.
"""

import functools
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from peer import Call, Peer, State, pieces
from reference import Reference
from workload import F32, I64, MASKED, Folded, User

SCORE = {"whole": 0, "pieces of 125": 125, "pieces of 50": 50}
RELU, SIGMOID = "9=1", "9=4"


class Net:
    """The text and the weights of a net as they come."""

    def __init__(self) -> None:
        self.layers: list[str] = []
        self.blobs = 0
        self.weights: list[bytes] = []

    def layer(self, kind: str, inputs: list[str], parameters: str = "", outputs: list[str] | None = None) -> str:
        outputs = outputs or [f"b{len(self.layers)}"]
        self.blobs += len(outputs)
        counts = f"{len(inputs)} {len(outputs)}"
        self.layers.append(f"{kind} l{len(self.layers)} {counts} {' '.join([*inputs, *outputs])} {parameters}")
        return outputs[0]

    def split(self, blob: str, count: int) -> list[str]:
        outputs = [f"{blob}_{i}" for i in range(count)]
        self.layer("Split", [blob], outputs=outputs)
        return outputs

    def linear(self, x: str, weight: F32, bias: F32 | None = None, activation: str = "") -> str:
        """x times weight [in, out]."""
        self.weights.append(b"\0\0\0\0" + np.ascontiguousarray(weight.T).tobytes())
        self.weights += [] if bias is None else [bias.tobytes()]
        options = f"0={weight.shape[1]} 1={int(bias is not None)} 2={weight.size} {activation}"
        return self.layer("InnerProduct", [x], options)

    def embed(self, tables: list[F32], names: list[str]) -> str:
        rows = []
        for table, name in zip(tables, names, strict=True):
            self.weights.append(b"\0\0\0\0" + np.ascontiguousarray(table).tobytes())
            rows.append(self.layer("Embed", [name], f"0={table.shape[1]} 1={len(table)} 2=0 3={table.size}"))
        return rows[0] if len(rows) == 1 else self.layer("Concat", rows, "0=1")

    def text(self) -> str:
        return "\n".join(["7767517", f"{len(self.layers)} {self.blobs}", *self.layers]) + "\n"


class Ncnn(Peer):
    """fp32."""

    packages = ("ncnn",)

    @functools.cached_property
    def folded(self) -> Folded:
        return Folded.of(self.workload)

    @functools.cached_property
    def reference(self) -> Reference:
        return Reference(self.workload)

    @functools.cached_property
    def names(self) -> tuple[list[str], list[str]]:
        groups = (self.workload.tables("user"), self.workload.tables("candidate"))
        users, candidates = ([f"{p}{i}" for i in range(len(g))] for p, g in zip("uc", groups, strict=True))
        return users, candidates

    def version(self) -> str:
        return version("ncnn")

    def encoders(self, events: int) -> list[str]:
        del events
        return []

    def scorers(self, candidates: int) -> list[str]:
        return [name for name, piece in SCORE.items() if piece < candidates]

    def _write(self) -> Path:
        """K [N A, d, W], V [N A, W, d], M [N A, 1, W] and ids -> "score" [C, 1]."""
        path = self.folder / "score.param"
        if path.exists():
            return path
        net, w, f = Net(), self.workload, self.folded
        n, a, d = w.codebooks, w.heads, w.head_dim
        for name in ("K", "V", "M", *self.names[0], *self.names[1]):
            net.layer("Input", [], outputs=[name])
        start = net.linear(net.embed(w.tables("user"), self.names[0]), f.head_user, f.head_user_bias)
        t = net.split(net.embed(w.tables("candidate"), self.names[1]), 2)
        q = net.linear(t[0], f.candidate[:, : a * d], f.q_bias)
        first = net.linear(t[1], f.candidate[:, a * d :])
        q = net.layer("Permute", [net.layer("Reshape", [q], f"0={d} 1={a} 2=-1")], "0=2")  # [A, C, d]
        logits = net.layer("MatMul", [net.layer("Concat", net.split(q, n), "0=0"), "K"])
        weights = net.layer("Softmax", [net.layer("BinaryOp", [logits, "M"], "0=0")], "0=2 1=1")
        o = net.layer("Permute", [net.layer("MatMul", [weights, "V"])], "0=2")  # [C, N A, d]
        o = net.linear(net.layer("Reshape", [o], f"0={n * a * d} 1=-1"), f.head_interest)
        x = net.layer("BinaryOp", [net.layer("BinaryOp", [first, start], "0=0"), o], "0=0")
        x = net.layer("ReLU", [x])
        for weight, bias in f.layers[:-1]:
            x = net.linear(x, weight, bias, RELU)
        net.linear(x, *f.layers[-1], SIGMOID)
        net.layer("Noop", [f"b{len(net.layers) - 1}"], outputs=["score"])
        path.with_suffix(".bin").write_bytes(b"".join(net.weights))
        path.write_text(net.text())
        return path

    def open(self) -> Any:
        path, net = self._write(), ncnn.Net()
        options = net.opt
        options.num_threads = 1
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
            raise OSError(f"{path}: ncnn cannot load it")
        return net

    @functools.cached_property
    def net(self) -> Any:
        return self.open()

    def new_state(self, events: list[I64]) -> State:
        """As encode would leave it, from float64."""
        found = self.reference.encode(events, self.reference.assign(events).codewords)
        mask = np.where(found.full, 0, MASKED)[:, None, None]
        return State(*(np.ascontiguousarray(part, np.float32) for part in (found.keys, found.values, mask)))

    def score_call(self, variant: str, state: State, user: User, candidates: int) -> Call:
        return self._call(self.net, state, user, candidates, SCORE[variant] or candidates)

    def _call(self, net: Any, state: State, user: User, candidates: int, piece: int) -> Call:
        n, a, d, k = state.keys.shape
        arrays = {
            "K": state.keys.reshape(n * a, d, k),
            "V": state.values.reshape(n * a, k, d),
            "M": np.ascontiguousarray(np.broadcast_to(state.mask, (n, a, 1, k))).reshape(n * a, 1, k),
        } | {name: column.astype(np.int32) for name, column in zip(self.names[0], user.user, strict=True)}
        columns = [column.astype(np.int32) for column in user.candidates]
        cuts = []
        for cut in pieces(candidates, piece):
            own = {name: np.array(column[cut]) for name, column in zip(self.names[1], columns, strict=True)}
            cuts.append([(name, ncnn.Mat(value), value) for name, value in (arrays | own).items()])

        def call() -> list[Any]:
            found = []
            for feed in cuts:
                extractor = net.create_extractor()
                for name, mat, _ in feed:
                    extractor.input(name, mat)
                found.append(extractor.extract("score")[1])
            return found

        return call

    def scores(self, result: Any) -> F32:
        return np.concatenate([np.array(part).reshape(-1) for part in result])

    def files(self) -> list[Path]:
        path = self._write()
        return [path, path.with_suffix(".bin")]

    def openers(self) -> dict[str, Call]:
        self._write()
        return {"score alone": self.open}

    def serve(self, opened: Any, user: User, candidates: int) -> tuple[Call, Call]:
        score = self._call(opened, self.new_state(user.events), user, candidates, candidates)
        return lambda: None, score
