"""A ranker written outside this project, in the style of the published research code of HSTU, and what carries it over.

Run in an empty folder; writes foreign.pt (a bare state_dict), config.json, names.json and request.jsonl, and prints the
score that the PyTorch module itself gives, in float64. docs/foreign-checkpoints.md goes on from there.
"""

import json
import math

import torch
from torch import nn

ROWS, D, CODES, HEADS, QK, V, PADDED = 40, 12, 8, 2, 3, 4, 211
HISTORY, CANDIDATES = [3, 17, 17, 5, 22, 39, 8, 3, 11], [17, 4, 30]


class HstuLayer(nn.Module):
    """One layer over [T, D] tokens: norm, U V Q K in one matrix [D, out], SiLU attention, gate, residual."""

    def __init__(self) -> None:
        super().__init__()
        self._uvqk = nn.Parameter(torch.randn(D, 2 * HEADS * V + 2 * HEADS * QK, dtype=torch.float64) / math.sqrt(D))
        self._rel_bias = nn.Parameter(torch.randn(2 * CODES - 1, dtype=torch.float64))
        self._o = nn.Linear(HEADS * V, D, dtype=torch.float64)

    def forward(self, x: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """x [T, D], place [T]: each token's position."""
        normed = nn.functional.layer_norm(x, (D,), eps=1e-6)
        u, v, q, k = nn.functional.silu(normed @ self._uvqk).split([HEADS * V, HEADS * V, HEADS * QK, HEADS * QK], -1)
        bias = self._rel_bias[CODES - 1 + place[None, :] - place[:, None]]
        parts = []
        for h in range(HEADS):
            a = q[:, h * QK : (h + 1) * QK] @ k[:, h * QK : (h + 1) * QK].T
            parts.append(nn.functional.silu(a + bias) / PADDED @ v[:, h * V : (h + 1) * V])
        gated = u * nn.functional.layer_norm(torch.cat(parts, -1), (HEADS * V,), eps=1e-6)
        return self._o(gated) + x


class ForeignRanker(nn.Module):
    """Items, one codebook, an HSTU layer over its clusters, attention of one head, a small head."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(ROWS, D, dtype=torch.float64)
        self.proj = nn.Parameter(torch.randn(D, D, dtype=torch.float64) / math.sqrt(D))
        self.codes = nn.Parameter(torch.randn(CODES, D, dtype=torch.float64))
        self.hstu = HstuLayer()
        self.query, self.key, self.value = (nn.Linear(D, 6, dtype=torch.float64) for _ in range(3))
        self.mlp = nn.Sequential(
            nn.Linear(D + 6, 16, dtype=torch.float64), nn.GELU(), nn.Linear(16, 1, dtype=torch.float64)
        )
        self.register_buffer("training_steps", torch.tensor(9000))  # checkpoints hold such things too

    def forward(self, history: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """history [L], candidates [C] -> probabilities [C]."""
        e, t = self.emb(history), self.emb(candidates)
        z = (e @ self.proj @ self.codes.T).argmax(-1)
        place = z.unique()
        y = self.hstu(torch.stack([e[z == k].mean(0) for k in place]), place)
        w = (self.query(t) @ self.key(y).T / math.sqrt(6)).softmax(-1)
        return torch.sigmoid(self.mlp(torch.cat([t, w @ self.value(y)], -1)))[:, 0]


CONFIG = {
    "format": 1, "name": "foreign", "tables": {"item": {"rows": ROWS, "dim": D, "ids": "direct"}},
    "event": [{"name": "item", "kind": "id", "table": "item"}],
    "candidate": [{"name": "item", "kind": "id", "table": "item"}],
    "sequences": [{
        "name": "long", "kind": "dmqn", "codebooks": 1, "codewords": CODES,
        "hstu": {
            "layers": 1, "heads": HEADS, "qk_dim": QK, "v_dim": V, "pre_norm": True, "affine": False, "eps": 1e-6,
            "bias": "toeplitz", "normalize": {"constant": PADDED}, "residual": True,
        },
        "attention": {"kind": "dot", "heads": 1, "dim": 6},
    }],
    "head": {"hidden": [16], "activation": "gelu", "outputs": ["ctr"]},
}  # fmt: skip
NAMES = {
    "emb.weight": "tables.item.weight",
    "proj": "sequences.long.projection",
    "codes": "sequences.long.codebook",
    "hstu._uvqk": {"name": "sequences.long.hstu.0.f1.weight", "transpose": True},
    "hstu._rel_bias": "sequences.long.hstu.0.bias",
    "hstu._o.*": "sequences.long.hstu.0.f2.*",
    "query.*": "sequences.long.attention.q.*",
    "key.*": "sequences.long.attention.k.*",
    "value.*": "sequences.long.attention.v.*",
    "mlp.0.*": "head.0.*",
    "mlp.2.*": "head.1.*",
    "training_steps": None,
}


def main() -> None:
    """Write the four files and print the module's own scores."""
    torch.manual_seed(1)
    model = ForeignRanker()
    torch.save(model.state_dict(), "foreign.pt")
    request = {
        "id": "r1", "events": [{"item": i} for i in HISTORY], "candidates": [{"item": i} for i in CANDIDATES],
    }  # fmt: skip
    for name, value in (("config.json", CONFIG), ("names.json", NAMES), ("request.jsonl", request)):
        with open(name, "w", encoding="utf-8") as file:
            json.dump(value, file)
    with torch.no_grad():
        print([round(p, 9) for p in model(torch.tensor(HISTORY), torch.tensor(CANDIDATES)).tolist()])


if __name__ == "__main__":
    main()
