"""One workload in NumPy: its weights by the paper's names, folded the way that favours a runtime, and random requests.

Symbols, as docs/model.md has them: L events of width D, N codebooks of W codewords, H heads of HSTU of width dv (its
queries and keys dqk), A heads of attention of width d, C candidates of width Dc, a user of width Du.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

# What decides on a case: empty clusters get this added to their logits, and exp() makes it 0.
MASKED = np.float32(-1e9)


@dataclass(frozen=True)
class Workload:
    """A checkpoint: the configuration of bench/workloads/NAME.json and its tensors."""

    name: str
    config: dict[str, Any]
    tensors: dict[str, F32]
    catalogue: dict[str, I64]  # what an item's id determines: feature -> [items]

    @classmethod
    def load(cls, checkpoint: Path) -> "Workload":
        with safe_open(checkpoint, framework="numpy") as file:
            config = json.loads(file.metadata()["vqrank"])
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
        items = [json.loads(line) for line in checkpoint.with_name(f"{checkpoint.stem}-items.jsonl").open()]
        catalogue = {name: np.array([item[name] for item in items], np.int64) for name in items[0]}
        return cls(checkpoint.stem, config, tensors, catalogue)

    @property
    def sequence(self) -> dict[str, Any]:
        return self.config["sequences"][0]

    def own(self, name: str) -> F32:
        """A tensor of the sequence."""
        return self.tensors[f"sequences.{self.sequence['name']}.{name}"]

    def tables(self, group: str) -> list[F32]:
        """The embedding tables of a group's features, in order: [rows, dim] each."""
        return [self.tensors[f"tables.{feature['table']}.weight"] for feature in self.config[group]]

    @property
    def codebooks(self) -> int:
        return int(self.sequence["codebooks"])

    @property
    def codewords(self) -> int:
        return int(self.sequence["codewords"])

    @property
    def width(self) -> int:
        """D"""
        return sum(table.shape[1] for table in self.tables("event"))

    @property
    def hstu_heads(self) -> int:
        return int(self.sequence["hstu"]["heads"])

    @property
    def heads(self) -> int:
        """A"""
        return int(self.sequence["attention"]["heads"])

    @property
    def head_dim(self) -> int:
        """d"""
        return int(self.sequence["attention"]["dim"])


@dataclass(frozen=True)
class Folded:
    """The weights of the two favourable graphs, every constant product made beforehand in float64."""

    scores: F32  # [D, N W]: codebook projections times codewords
    f1: F32  # [N, D, 2 H dv + 2 H dqk]: U, V, Q, K
    f1_bias: F32  # [N, 1, the same]
    bias: F32  # [N, 1, W, W]
    norm: F32  # [N, 1, H dv]
    norm_bias: F32  # [N, 1, H dv]
    kv: F32  # [N, H dv, 2 A d]: f2 times attention's k, which has 1/sqrt(d), beside f2 times v
    kv_bias: F32  # [N, 1, 2 A d]
    candidate: F32  # [Dc, A d + hidden]: attention's q beside the head's first layer
    q_bias: F32  # [A d]
    head_user: F32  # [Du, hidden]
    head_user_bias: F32  # [hidden]
    head_interest: F32  # [N A d, hidden]
    layers: list[tuple[F32, F32]]  # the head's others: [in, out], [out]

    @classmethod
    def of(cls, workload: Workload) -> "Folded":
        wide = {name: tensor.astype(np.float64) for name, tensor in workload.tensors.items()}
        prefix = f"sequences.{workload.sequence['name']}"
        own = {name.removeprefix(f"{prefix}."): value for name, value in wide.items() if name.startswith(prefix)}
        scale = 1 / np.sqrt(workload.head_dim)
        f2, f2_bias = own["hstu.0.f2.weight"].swapaxes(1, 2), own["hstu.0.f2.bias"][:, None]
        kv = np.concatenate([own["attention.k.weight"][0] * scale, own["attention.v.weight"][0]]).T
        kv_bias = np.concatenate([own["attention.k.bias"][0] * scale, own["attention.v.bias"][0]])
        first, user = wide["head.0.weight"].T, sum(table.shape[1] for table in workload.tables("user"))
        candidate = sum(table.shape[1] for table in workload.tables("candidate"))
        exact = {
            "scores": np.concatenate(
                [p @ c.T for p, c in zip(own["projection"], own["codebook"], strict=True)], axis=1
            ),
            "f1": own["hstu.0.f1.weight"].swapaxes(1, 2),
            "f1_bias": own["hstu.0.f1.bias"][:, None],
            "bias": own["hstu.0.bias"],
            "norm": own["hstu.0.norm.weight"][:, None],
            "norm_bias": own["hstu.0.norm.bias"][:, None],
            "kv": f2 @ kv,
            "kv_bias": f2_bias @ kv + kv_bias,
            "candidate": np.concatenate([own["attention.q.weight"][0].T, first[user : user + candidate]], axis=1),
            "q_bias": own["attention.q.bias"][0],
            "head_user": first[:user],
            "head_user_bias": wide["head.0.bias"],
            "head_interest": first[user + candidate :],
        }
        depth = len(workload.config["head"]["hidden"])
        layers = [
            (np.ascontiguousarray(workload.tensors[f"head.{i}.weight"].T), workload.tensors[f"head.{i}.bias"])
            for i in range(1, depth + 1)
        ]
        return cls(**{name: np.ascontiguousarray(value, np.float32) for name, value in exact.items()}, layers=layers)


@dataclass(frozen=True)
class User:
    """One request: ids as int64 columns, one array a feature."""

    user: list[I64]  # [1] each
    events: list[I64]  # [L] each
    candidates: list[I64]  # [C] each


def draw(workload: Workload, events: int, candidates: int, seed: int) -> User:
    """A user whose history and candidates are drawn evenly from the tables, as `vqrank bench` does; events have the
    category that the catalogue says of their item."""
    random = np.random.default_rng(seed)

    def columns(group: str, rows: int) -> list[I64]:
        return [random.integers(0, len(table), rows, np.int64) for table in workload.tables(group)]

    user = User(columns("user", 1), columns("event", events), columns("candidate", candidates))
    names = [feature["name"] for feature in workload.config["event"]]
    for i, name in enumerate(names):
        if name in workload.catalogue:
            user.events[i] = workload.catalogue[name][user.events[names.index("item")]]
    return user
