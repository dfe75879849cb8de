"""What conversion computes: the folded codebook, the expanded relative bias, the folded first layer of a din attention,
the exponents of the exact sums."""

import math

import numpy as np
import numpy.typing as npt

from vqrank_convert.errors import refuse

F64 = npt.NDArray[np.float64]

# What a vql sequence's values may reach: half of what float32 holds, so that no chain rounds past it.
VALUE_LIMIT = 2.0**127
# What an embedded value may reach in an exact sum: |rne(e * 2^s)| <= 2^30 (2^24 events then fit an int64).
SUM_LIMIT_LOG2 = 30
EXPONENT_MIN, EXPONENT_MAX = -98, 120
FLOAT_EXPONENT = 18
# A sum of embeddings gets room for 2^8 ids of the table's largest magnitude.
POOLED_SUM_LOG2 = 8
# An expanded bias beyond this is a mistake in the config, not a model.
BIAS_ELEMENTS_MAX = 2**30


def fold(projection: F64, codebook: F64) -> F64:
    """G_j = P_j C_j^T in float64: [N, D, K], [N, W, K] -> [N, D, W].

    Accumulated over k ascending with separate multiplications and additions, so that the bits depend on nothing but
    the inputs (a BLAS would choose an order of its own).
    """
    codebooks, d, inner = projection.shape
    result = np.zeros((codebooks, d, codebook.shape[1]))
    for k in range(inner):
        result += projection[:, :, k, None] * codebook[:, None, :, k]
    return result


def expand_toeplitz(weights: F64, name: str) -> F64:
    """B[i][j] = w[T - 1 + j - i]: [..., 2T - 1] -> [..., T, T]."""
    tokens = (weights.shape[-1] + 1) // 2
    elements = math.prod(weights.shape[:-1]) * tokens * tokens
    if elements > BIAS_ELEMENTS_MAX:
        refuse(f"tensor {name}", f"a bias of at most {BIAS_ELEMENTS_MAX} elements expanded", str(elements))
    i = np.arange(tokens)
    return weights[..., tokens - 1 + i[None, :] - i[:, None]]


def fold_differences(weight: F64) -> tuple[F64, F64, F64]:
    """The first layer over [t', y, t' - y, t' * y] as one over [t', y, t' * y]: [J, out, 4D] -> three of [J, D, out].

    W_t t' + W_y y + W_d (t' - y) + W_p (t' * y) = (W_t + W_d) t' + (W_y - W_d) y + W_p (t' * y), the sums in float64.
    """
    target, event, difference, product = np.split(np.swapaxes(weight, -1, -2), 4, axis=-2)
    return target + difference, event - difference, product


def inverse_deviation(variance: F64, eps: float, name: str) -> F64:
    """1 / sqrt(variance + eps) in float64; refuses a variance below 0."""
    if (variance < 0).any():
        index = [int(i) for i in np.argwhere(variance < 0)[0]]
        refuse(f"tensor {name}", "variances of at least 0", f"{float(variance[tuple(index)])} at {index}")
    return np.asarray(1.0 / np.sqrt(variance + eps))


def exponent_for(largest: float) -> int:
    """The largest s with rne(largest * 2^s) <= 2^30, within [-98, 120]: 120 for a table of zeros.

    `largest` is the greatest magnitude in the table, a float32 value: it has 24 significant bits, so that nothing
    between 2^30 and 2^30 + 1/2 (which would round down to 2^30) can come up.
    """
    if largest == 0.0:
        return EXPONENT_MAX
    fraction, exponent = math.frexp(largest)  # largest = fraction * 2^exponent, 0.5 <= fraction < 1
    s = SUM_LIMIT_LOG2 - exponent + (1 if fraction == 0.5 else 0)
    return max(EXPONENT_MIN, min(EXPONENT_MAX, s))


def value_exponent(bound: float) -> int:
    """The largest s in [-98, 120] with bound * 2^s <= 2^30, for values that stay within `bound`; 0 for zeros."""
    if bound == 0.0:
        return 0
    fraction, exponent = math.frexp(bound)
    return max(EXPONENT_MIN, min(EXPONENT_MAX, SUM_LIMIT_LOG2 - exponent + (fraction == 0.5)))


def pooled_exponent(table_exponent: int, pool: str | None) -> int:
    """The exponent of an event feature over a table: a row and a mean of rows keep the table's own."""
    return max(EXPONENT_MIN, table_exponent - POOLED_SUM_LOG2) if pool == "sum" else table_exponent
