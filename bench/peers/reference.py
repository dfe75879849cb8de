"""The model in float64, from given codewords on: what keys, values, attention's weights and scores must be near."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from workload import I64, User, Workload

F64 = npt.NDArray[np.float64]


class Encoded(NamedTuple):
    """keys [N, A, d, W], divided by sqrt(d); values [N, A, W, d]; full [N, W]: whether a cluster holds events."""

    keys: F64
    values: F64
    full: npt.NDArray[np.bool_]


class Assigned(NamedTuple):
    """codewords [L, N]; clear [L, N]: whether the winner stands so far above the next that float32 must find it."""

    codewords: I64
    clear: npt.NDArray[np.bool_]


class Reference:
    """One checkpoint."""

    def __init__(self, workload: Workload) -> None:
        self.w = workload
        self.of = {name: tensor.astype(np.float64) for name, tensor in workload.tensors.items()}
        self.prefix = f"sequences.{workload.sequence['name']}"

    def own(self, name: str) -> F64:
        return self.of[f"{self.prefix}.{name}"]

    def embed(self, group: str, columns: list[I64]) -> F64:
        tables = [self.of[f"tables.{feature['table']}.weight"] for feature in self.w.config[group]]
        return np.concatenate([table[column] for table, column in zip(tables, columns, strict=True)], axis=1)

    def assign(self, events: list[I64]) -> Assigned:
        """A float32 score is off by at most (D + 4) 2^-24 sum_d |e_d| |G_dw|, whatever the order of its terms."""
        e = self.embed("event", events)
        codewords, clear = [], []
        for p, c in zip(self.own("projection"), self.own("codebook"), strict=True):
            fold = p @ c.T
            scores, bound = e @ fold, np.abs(e) @ np.abs(fold) * ((e.shape[1] + 4) * 2.0**-24)
            winner = scores.argmax(axis=1)
            codewords.append(winner)
            low = np.take_along_axis(scores - bound, winner[:, None], 1)
            others = scores + bound
            np.put_along_axis(others, winner[:, None], -np.inf, 1)
            clear.append(low[:, 0] > others.max(axis=1))
        return Assigned(np.stack(codewords, axis=1), np.stack(clear, axis=1))

    def encode(self, events: list[I64], codewords: npt.NDArray[np.integer]) -> Encoded:
        e, parts = self.embed("event", events), []
        for j in range(self.w.codebooks):
            z = codewords[:, j].astype(np.int64)
            counts = np.bincount(z, minlength=self.w.codewords)
            sums = np.stack([np.bincount(z, e[:, i], self.w.codewords) for i in range(e.shape[1])], axis=1)
            y = self._hstu(sums / np.maximum(counts, 1)[:, None], counts > 0, j)
            parts.append((*self._keys_and_values(y), counts > 0))
        keys, values, full = (np.stack(part) for part in zip(*parts, strict=True))
        return Encoded(keys, values, full)

    def _hstu(self, r: F64, full: npt.NDArray[np.bool_], j: int) -> F64:
        """[W, D] -> [W, D]; rows of empty clusters are not meant to be read."""
        switches = self.w.sequence["hstu"]
        heads, value, key = self.w.hstu_heads, switches["v_dim"], switches["qk_dim"]
        mixed = r @ self.own("hstu.0.f1.weight")[j].T + self.own("hstu.0.f1.bias")[j]
        mixed = mixed / (1 + np.exp(-mixed))
        u, v, q, k = np.split(mixed, np.cumsum([heads * value, heads * value, heads * key]), axis=1)
        outputs = []
        for h in range(heads):
            s = q[:, h * key : (h + 1) * key] @ k[:, h * key : (h + 1) * key].T + self.own("hstu.0.bias")[j][0]
            outputs.append((s / (1 + np.exp(-s)) * full) @ v[:, h * value : (h + 1) * value])
        o = np.concatenate(outputs, axis=1)
        o = (o - o.mean(axis=1, keepdims=True)) / np.sqrt(o.var(axis=1, keepdims=True) + 1e-5)
        o = o * self.own("hstu.0.norm.weight")[j] + self.own("hstu.0.norm.bias")[j]
        return np.asarray((u * o) @ self.own("hstu.0.f2.weight")[j].T + self.own("hstu.0.f2.bias")[j])

    def _keys_and_values(self, y: F64) -> tuple[F64, F64]:
        shape = (self.w.codewords, self.w.heads, self.w.head_dim)
        k, v = (
            (y @ self.own(f"attention.{part}.weight")[0].T + self.own(f"attention.{part}.bias")[0]).reshape(shape)
            for part in "kv"
        )
        return k.transpose(1, 2, 0) / np.sqrt(self.w.head_dim), v.transpose(1, 0, 2)

    def score(self, encoded: Encoded, user: User) -> tuple[F64, F64]:
        """Scores [C], and attention's weights, the mean over heads: [C, N, W]."""
        t = self.embed("candidate", user.candidates)
        q = t @ self.own("attention.q.weight")[0].T + self.own("attention.q.bias")[0]
        q = q.reshape(len(t), self.w.heads, self.w.head_dim).transpose(1, 0, 2)
        logits = np.where(encoded.full[:, None, None], q @ encoded.keys, -np.inf)
        weights = np.exp(logits - logits.max(axis=3, keepdims=True))
        weights /= weights.sum(axis=3, keepdims=True)
        o = (weights @ encoded.values).transpose(2, 0, 1, 3).reshape(len(t), -1)
        u = np.repeat(self.embed("user", user.user), len(t), axis=0)
        x, depth = np.concatenate([u, t, o], axis=1), len(self.w.config["head"]["hidden"])
        for layer in range(depth + 1):
            x = x @ self.of[f"head.{layer}.weight"].T + self.of[f"head.{layer}.bias"]
            x = np.maximum(x, 0) if layer < depth else 1 / (1 + np.exp(-x))
        return x[:, 0], weights.mean(axis=1).transpose(1, 0, 2)
