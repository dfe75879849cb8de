"""Small parts that every module here uses: named containers, linear layers stacked over codebooks, norms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from vqrank_train.model.activations import add_activation

M = TypeVar("M", bound=nn.Module)


class Named(nn.Module, Generic[M]):
    """Modules of one class by name.

    Unlike nn.ModuleDict any name goes, `keys` and `type` too: tables are named by users.
    """

    def __init__(self, modules: Mapping[str, M]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __getitem__(self, name: str) -> M:
        module = self._modules[name]
        assert module is not None
        return cast(M, module)

    def __contains__(self, name: str) -> bool:
        return name in self._modules


class Stacked(nn.Module):
    """One linear layer per codebook, or one for all: weight [S, out, in], bias [S, out], S = codebooks or 1.

    With stack None the layer of a model without codebooks: weight [out, in], bias [out].
    """

    def __init__(self, stack: int | None, width_in: int, width_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(max(width_in, 1))
        lead = () if stack is None else (stack,)
        self.weight = nn.Parameter(torch.empty(*lead, width_out, width_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(*lead, width_out))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, T, in] -> [B, N, T, out]; x [B, 1, T, in] too where every codebook sees the same input."""
        if self.weight.dim() == 2:
            return nn.functional.linear(x, self.weight, self.bias)
        if self.weight.shape[0] == 1:
            return nn.functional.linear(x, self.weight[0], self.bias[0])
        stack, out, width = self.weight.shape
        if x.shape[1] == 1:  # one matrix product over all codebooks' outputs
            y = nn.functional.linear(x[:, 0], self.weight.reshape(stack * out, width), self.bias.reshape(-1))
            return y.unflatten(-1, (stack, out)).transpose(1, 2)
        batch, _, tokens, _ = x.shape
        y = torch.baddbmm(self.bias[:, None], x.transpose(0, 1).reshape(stack, batch * tokens, width), self.weight.mT)
        return y.unflatten(1, (batch, tokens)).transpose(0, 1)


class Layer(Stacked):
    """A layer of an MLP over tokens, with the parameters of the activation after it, if there is one."""

    def __init__(self, stack: int | None, width_in: int, width_out: int, activation: str | None) -> None:
        super().__init__(stack, width_in, width_out)
        if activation is not None:
            add_activation(self, activation, tuple(self.bias.shape))


class StackedNorm(nn.Module):
    """LayerNorm's weight and bias per codebook: [S, width], or [width] with stack None; the normalisation itself is
    `normalized`."""

    def __init__(self, stack: int | None, width: int) -> None:
        super().__init__()
        lead = () if stack is None else (stack,)
        self.weight = nn.Parameter(torch.ones(*lead, width))
        self.bias = nn.Parameter(torch.zeros(*lead, width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, T, width], already normalised."""
        return x * self.weight.unsqueeze(-2) + self.bias.unsqueeze(-2)


def normalized(x: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(population variance + eps) along the last axis."""
    return nn.functional.layer_norm(x, x.shape[-1:], eps=eps)
