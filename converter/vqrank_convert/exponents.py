"""How finely the events' columns enter the exact sums."""

from collections.abc import Mapping

from vqrank_convert.config import Config, FeatureConfig
from vqrank_convert.fold import FLOAT_EXPONENT, SUM_LIMIT_LOG2, pooled_exponent, value_exponent


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
