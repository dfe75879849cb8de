"""How finely the events' columns enter the exact sums."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vqrank_convert.config import Config, FeatureConfig
from vqrank_convert.errors import refuse
from vqrank_convert.fold import FLOAT_EXPONENT, SUM_LIMIT_LOG2, VALUE_LIMIT, pooled_exponent, value_exponent

# A mean of rows may round past its table's largest magnitude; the library allows half as much again.
MEAN_ROOM = 1.5


def feature_exponents(config: Config, feature: FeatureConfig, tables: Mapping[str, int]) -> list[tuple[int, int]]:
    """(exponent, columns) of an event feature, in the order of its columns: one pair, or one per level of a semantic id
    that is a concatenation. `tables`: the exponents that tables would have alone."""
    semantic = feature.semantic
    if semantic is None:
        known = feature.table is not None
        return [(pooled_exponent(tables[str(feature.table)], feature.pool) if known else FLOAT_EXPONENT, feature.width)]
    alone = [tables[name] for name in semantic.tables]
    if semantic.combine == "concat":
        return [(s, config.tables[name].dim) for s, name in zip(alone, semantic.tables, strict=True)]
    # No element of level l passes 2^(30 - s_l), so no sum of one row per level passes the sum of these.
    return [(value_exponent(sum(2.0 ** (SUM_LIMIT_LOG2 - s) for s in alone)), feature.width)]


def event_bounds(
    config: Config, columns: npt.NDArray[np.float32], exponents: Mapping[str, int], what: str
) -> npt.NDArray[np.float64]:
    """The largest magnitude that an event's product with each of `columns` [D, n] can have; refuses any that float32
    may not hold. `exponents`: those that tables would have alone."""
    reach = []
    for feature in config.groups["event"]:
        room = MEAN_ROOM if feature.pool == "mean" else 1.0
        for s, width in feature_exponents(config, feature, exponents):
            reach += [room * 2.0 ** (SUM_LIMIT_LOG2 - s)] * width
    bounds: npt.NDArray[np.float64] = (np.abs(columns.astype(np.float64)) * np.array(reach)[:, np.newaxis]).sum(axis=0)
    if bounds.max() > VALUE_LIMIT:
        refuse(what, f"values of at most {VALUE_LIMIT:g} for any event that its tables allow", f"{bounds.max():g}")
    return bounds
