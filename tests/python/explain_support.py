"""What target attention weighs, written out once more for the tests of explanations."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention_weights(attention, tensors, name, j, y, counts, t):
    """What tokens y [T, D] with `counts` events weigh for candidates t [C, Dc], as docs/model.md has it, in float64:
    [C, T]. `j` is the codebook, None in a sequence without; an MLP's activation is relu or prelu.
    """

    def part(suffix):
        values = tensors[f"{name}.{suffix}"].astype(float)
        return values if j is None else values[j if len(values) > 1 else 0]

    def linear(x, layer):
        return x @ part(f"{layer}.weight").T + part(f"{layer}.bias")

    if attention["kind"] == "dot":
        heads, dim = attention["heads"], attention["dim"]
        q, k = linear(t, "q").reshape(-1, heads, dim), linear(y, "k").reshape(-1, heads, dim)
        scores = np.einsum("chd,khd->hck", q, k) / np.sqrt(dim)
        return softmax(scores + (np.log(np.maximum(counts, 1)) if attention.get("count_bias") else 0)).mean(0)
    target, token = np.broadcast_arrays(linear(t, "q")[:, None], y)
    x = np.concatenate([target, token, target - token, target * token], -1)
    for layer in range(len(attention["hidden"])):
        x = linear(x, f"mlp.{layer}")
        x = np.where(x > 0, x, part(f"mlp.{layer}.alpha") * x if attention["activation"] == "prelu" else 0)
    a = linear(x, f"mlp.{len(attention['hidden'])}")[..., 0]
    return softmax(a) if attention.get("softmax") else a
