"""The activations of the head and of the din attention's MLP, and the parameters that stand beside a hidden layer."""

ACTIVATIONS = ("relu", "leaky_relu", "prelu", "silu", "gelu", "tanh", "dice")
# Checkpoint tensors beside the layer's weight, each as wide as the layer's output.
PARAMETERS: dict[str, tuple[str, ...]] = {"prelu": ("alpha",), "dice": ("alpha", "mean", "var")}
LEAKY_SLOPE = 0.01
DICE_EPS = 1e-9


def parameters(activation: str) -> tuple[str, ...]:
    """Names of the activation's checkpoint tensors; none for most."""
    return PARAMETERS.get(activation, ())
