"""Activations of the head's and the attention MLPs' hidden layers; prelu and dice have parameters of a layer's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": nn.functional.leaky_relu,  # slope 0.01
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,  # exact: x Phi(x) by erf
    "tanh": torch.tanh,
}
DICE_EPS = 1e-9  # under the root, as the authors of DIN have it
# Of the running statistics, as 0.99 is of TensorFlow's in the authors' code. A training batch is a few users' moments,
# so that its statistics differ much from the whole's: PyTorch's own 0.1 would follow the last few users.
DICE_MOMENTUM = 0.01
ALPHA = {"prelu": 0.25, "dice": 0.0}  # where training starts


def add_activation(layer: nn.Module, activation: str, shape: tuple[int, ...]) -> None:
    """Registers an activation's parameters, [out] or [S, out], beside the layer's weight: there a checkpoint has them.

    dice's `mean` and `var` are statistics that training keeps, not parameters.
    """
    if activation in ALPHA:
        layer.alpha = nn.Parameter(torch.full(shape, ALPHA[activation]))
    if activation == "dice":
        layer.register_buffer("mean", torch.zeros(shape))
        layer.register_buffer("var", torch.ones(shape))


def activate(layer: nn.Module, activation: str, x: Tensor, present: Tensor | None = None) -> Tensor:
    """x [..., out] of a layer with parameters [out], or [B, N, T, out] of one with [S, out]; S = N or 1.

    `present`, bool of x's shape without the last axis, tells rows that count in dice's statistics; default: all.
    """
    if activation in PLAIN:
        return PLAIN[activation](x)
    alpha = along(layer.get_parameter("alpha"))
    if activation == "prelu":
        return torch.where(x > 0, x, alpha * x)
    mean, var = layer.get_buffer("mean"), layer.get_buffer("var")
    if layer.training:
        mean, var = batch_statistics(x, present, mean, var)
    p = torch.sigmoid((x - along(mean)) / torch.sqrt(along(var) + DICE_EPS))
    return p * x + (1 - p) * alpha * x


def along(parameter: Tensor) -> Tensor:
    """[S, out] -> [S, 1, out], so that it meets [B, N, T, out]; [out] as it is."""
    return parameter[:, None] if parameter.dim() == 2 else parameter


def batch_statistics(x: Tensor, present: Tensor | None, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """The batch's own mean and population variance, of the stored ones' shape, which move towards them in place."""
    per_codebook = mean.dim() == 2 and mean.shape[0] > 1
    axes = [axis for axis in range(x.dim() - 1) if not (per_codebook and axis == 1)]
    weight = x.new_ones(x.shape[:-1]) if present is None else present.to(x.dtype)
    total = weight.sum(axes).clamp(min=1)[..., None]  # [N, 1] or [1]
    own_mean = (x * weight[..., None]).sum(axes) / total
    centre = own_mean[:, None] if per_codebook else own_mean
    own_var = ((x - centre).square() * weight[..., None]).sum(axes) / total
    own_mean, own_var = own_mean.view_as(mean), own_var.view_as(var)
    with torch.no_grad():
        mean.lerp_(own_mean, DICE_MOMENTUM)
        var.lerp_(own_var, DICE_MOMENTUM)
    return own_mean, own_var
