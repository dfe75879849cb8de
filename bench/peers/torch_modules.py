"""The model as PyTorch modules: the favourable pair (Encode, Score) and the plain one that a user writes first."""

import numpy as np
import torch
from torch import Tensor, nn
from workload import MASKED, Folded, Workload

LOW = float(MASKED)  # a plain number: torch.compile breaks its graph at NumPy's


def _buffer(value: np.ndarray) -> nn.Buffer:
    return nn.Buffer(torch.from_numpy(np.ascontiguousarray(value)))


class _Tables(nn.Module):
    """Embeddings of a group's features, side by side: int64 columns [R] -> [R, the sum of their widths]."""

    def __init__(self, tables: list[np.ndarray]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding.from_pretrained(torch.from_numpy(table)) for table in tables)

    def forward(self, columns: list[Tensor]) -> Tensor:
        return torch.cat([table(column) for table, column in zip(self.tables, columns, strict=True)], dim=1)


class Assign(nn.Module):
    """Codewords of events, [N, L]. split: one product a codebook, so that a smaller piece of scores is alive."""

    def __init__(self, w: Workload, f: Folded, split: bool = False) -> None:
        super().__init__()
        self.events = _Tables(w.tables("event"))
        self.n, self.k, self.split = w.codebooks, w.codewords, split
        self.scores = _buffer(np.stack(np.split(f.scores, w.codebooks, axis=1)) if split else f.scores)

    def choose(self, e: Tensor) -> list[Tensor]:
        """z [L] of each codebook for events e [L, D]."""
        if self.split:
            return [(e @ self.scores[j]).argmax(1) for j in range(self.n)]
        together = (e @ self.scores).view(-1, self.n, self.k).argmax(2)
        return [together[:, j] for j in range(self.n)]

    def forward(self, *columns: Tensor) -> Tensor:
        return torch.stack(self.choose(self.events(list(columns))))


class Accumulate(nn.Module):
    """Columns of events -> sums of clusters [N, W, D] and counts [N, W, 1]. add: "index_add", "scatter_add" or
    "onehot", a product with ones where an event falls to a codeword."""

    def __init__(self, w: Workload, f: Folded, split: bool = False, add: str = "index_add") -> None:
        super().__init__()
        self.assign, self.add = Assign(w, f, split), add
        self.n, self.k, self.d = w.codebooks, w.codewords, w.width

    def forward(self, *columns: Tensor) -> tuple[Tensor, Tensor]:
        e = self.assign.events(list(columns))
        sums, counts = [], []
        for z in self.assign.choose(e):
            ones = torch.ones_like(e[:, :1])
            if self.add == "onehot":
                hot = (z[None] == torch.arange(self.k, device=z.device)[:, None]).to(e.dtype)
                sums.append(hot @ e)
                counts.append(hot.sum(1, keepdim=True))
            elif self.add == "scatter_add":
                sums.append(e.new_zeros(self.k, self.d).scatter_add(0, z[:, None].expand(-1, self.d), e))
                counts.append(e.new_zeros(self.k, 1).scatter_add(0, z[:, None], ones))
            else:
                sums.append(e.new_zeros(self.k, self.d).index_add(0, z, e))
                counts.append(e.new_zeros(self.k, 1).index_add(0, z, ones))
        return torch.stack(sums), torch.stack(counts)


class Finish(nn.Module):
    """Sums and counts -> K [N, A, d, W], V [N, A, W, d], mask [N, 1, 1, W], 0 or very small."""

    def __init__(self, w: Workload, f: Folded) -> None:
        super().__init__()
        self.n, self.k, self.h, self.a, self.dim = w.codebooks, w.codewords, w.hstu_heads, w.heads, w.head_dim
        self.dv, self.dqk = w.sequence["hstu"]["v_dim"], w.sequence["hstu"]["qk_dim"]
        for name in ("f1", "f1_bias", "bias", "norm", "norm_bias", "kv", "kv_bias"):
            setattr(self, name, _buffer(getattr(f, name)))

    def _heads(self, x: Tensor, width: int) -> Tensor:
        return x.reshape(self.n, self.k, self.h, width).transpose(1, 2)

    def forward(self, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        there = (counts > 0).to(sums.dtype)
        x = sums / counts.clamp(min=1.0)
        mixed = nn.functional.silu(torch.baddbmm(self.f1_bias, x, self.f1))
        value, key = self.h * self.dv, self.h * self.dqk
        u, v, q, k = torch.split(mixed, [value, value, key, key], dim=2)
        weights = nn.functional.silu(self._heads(q, self.dqk) @ self._heads(k, self.dqk).transpose(2, 3) + self.bias)
        o = (weights @ self._heads(v * there, self.dv)).transpose(1, 2).reshape(self.n, self.k, value)
        o = nn.functional.layer_norm(o, (value,), eps=1e-5) * self.norm + self.norm_bias
        kv = torch.baddbmm(self.kv_bias, u * o, self.kv).reshape(self.n, self.k, 2, self.a, self.dim)
        keys, values = kv[:, :, 0].permute(0, 2, 3, 1), kv[:, :, 1].permute(0, 2, 1, 3)
        mask = ((1 - there) * LOW).reshape(self.n, 1, 1, self.k)
        return keys.contiguous(), values.contiguous(), mask


class Encode(nn.Module):
    """Columns of events -> K, V and mask, as Finish has them."""

    def __init__(self, w: Workload, f: Folded, split: bool = False, add: str = "index_add") -> None:
        super().__init__()
        self.accumulate, self.finish = Accumulate(w, f, split, add), Finish(w, f)

    def forward(self, *columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keys, values, mask = self.finish(*self.accumulate(*columns))
        return keys, values, mask


class Score(nn.Module):
    """K, V, mask and columns of the user [1] and candidates [C] -> scores [C]. attention: "products", or "sdpa", which
    is PyTorch's own fused attention."""

    def __init__(self, w: Workload, f: Folded, attention: str = "products") -> None:
        super().__init__()
        self.user, self.candidate = _Tables(w.tables("user")), _Tables(w.tables("candidate"))
        self.users, self.n, self.a, self.dim = len(w.tables("user")), w.codebooks, w.heads, w.head_dim
        self.attention = attention
        for name in ("candidate", "q_bias", "head_user", "head_user_bias", "head_interest"):
            setattr(self, f"w_{name}", _buffer(getattr(f, name)))
        self.layers = nn.ModuleList()
        for weight, bias in f.layers:
            layer = nn.Linear(*weight.shape)
            layer.weight.data, layer.bias.data = torch.from_numpy(weight.T.copy()), torch.from_numpy(bias)
            self.layers.append(layer)

    def forward(self, keys: Tensor, values: Tensor, mask: Tensor, *columns: Tensor) -> Tensor:
        start = torch.addmm(self.w_head_user_bias, self.user(list(columns[: self.users])), self.w_head_user)
        both = self.candidate(list(columns[self.users :])) @ self.w_candidate
        q, first = both[:, : self.a * self.dim] + self.w_q_bias, both[:, self.a * self.dim :] + start
        q = q.view(-1, self.a, self.dim).transpose(0, 1)
        if self.attention == "sdpa":
            o = nn.functional.scaled_dot_product_attention(
                q.expand(self.n, -1, -1, -1), keys.transpose(2, 3), values, mask, scale=1.0
            )
        else:
            o = torch.softmax(q @ keys + mask, dim=3) @ values
        o = o.permute(2, 0, 1, 3).reshape(-1, self.n * self.a * self.dim)
        x = torch.relu(first + o @ self.w_head_interest)
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return torch.sigmoid(self.layers[-1](x)).reshape(-1)


class Plain(nn.Module):
    """The published system as one writes it down: all codebooks in turn, one-hot products, nothing folded or kept."""

    def __init__(self, w: Workload) -> None:
        super().__init__()
        self.user, self.event, self.candidate = (_Tables(w.tables(g)) for g in ("user", "event", "candidate"))
        self.users, self.events = len(w.tables("user")), len(w.tables("event"))
        self.n, self.k, self.h, self.a, self.dim = w.codebooks, w.codewords, w.hstu_heads, w.heads, w.head_dim
        self.dv, self.dqk = w.sequence["hstu"]["v_dim"], w.sequence["hstu"]["qk_dim"]
        for name in ("projection", "codebook"):
            setattr(self, name, _buffer(w.own(name)))
        for name in ("f1.weight", "f1.bias", "bias", "norm.weight", "norm.bias", "f2.weight", "f2.bias"):
            setattr(self, "hstu_" + name.replace(".", "_"), _buffer(w.own(f"hstu.0.{name}")))
        for part in "qkv":
            weight, bias = w.own(f"attention.{part}.weight")[0], w.own(f"attention.{part}.bias")[0]
            setattr(self, f"to_{part}", self._linear(weight, bias))
        depth = len(w.config["head"]["hidden"]) + 1
        self.head = nn.ModuleList(
            self._linear(w.tensors[f"head.{i}.weight"], w.tensors[f"head.{i}.bias"]) for i in range(depth)
        )

    @staticmethod
    def _linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        return layer

    def _hstu(self, r: Tensor, there: Tensor, j: int) -> Tensor:
        """One block over the clusters r [W, D] of codebook j."""
        mixed = nn.functional.silu(r @ self.hstu_f1_weight[j].T + self.hstu_f1_bias[j])
        value, key = self.h * self.dv, self.h * self.dqk
        u, v, q, k = torch.split(mixed, [value, value, key, key], dim=1)
        q, k, v = (x.view(self.k, self.h, -1).transpose(0, 1) for x in (q, k, v))
        weights = nn.functional.silu(q @ k.transpose(1, 2) + self.hstu_bias[j]) * there
        o = (weights @ v).transpose(0, 1).reshape(self.k, value)
        o = nn.functional.layer_norm(o, (value,), self.hstu_norm_weight[j], self.hstu_norm_bias[j], 1e-5)
        return (u * o) @ self.hstu_f2_weight[j].T + self.hstu_f2_bias[j]

    def _attend(self, t: Tensor, y: Tensor, there: Tensor) -> Tensor:
        """Attention of candidates t [C, Dc] over y [W, D] -> [C, A d]."""
        q, k, v = (
            layer(x).view(-1, self.a, self.dim).transpose(0, 1)
            for layer, x in ((self.to_q, t), (self.to_k, y), (self.to_v, y))
        )
        logits = (q @ k.transpose(1, 2) / self.dim**0.5).masked_fill(there == 0, LOW)
        return (torch.softmax(logits, dim=2) @ v).transpose(0, 1).reshape(-1, self.a * self.dim)

    def forward(self, *columns: Tensor) -> Tensor:
        """Columns of user, events and candidates -> scores [C]."""
        events = columns[self.users : self.users + self.events]
        u, e, t = (
            self.user(list(columns[: self.users])),
            self.event(list(events)),
            self.candidate(list(columns[self.users + self.events :])),
        )
        x = [u.expand(t.shape[0], -1), t]
        for j in range(self.n):
            z = ((e @ self.projection[j]) @ self.codebook[j].T).argmax(1)
            hot = nn.functional.one_hot(z, self.k).to(e.dtype)
            counts = hot.sum(0)
            there = (counts > 0).to(e.dtype)
            y = self._hstu(hot.T @ e / counts.clamp(min=1.0)[:, None], there, j)
            x.append(self._attend(t, y, there))
        result = torch.cat(x, dim=1)
        for layer in self.head[:-1]:
            result = torch.relu(layer(result))
        return torch.sigmoid(self.head[-1](result)).reshape(-1)
