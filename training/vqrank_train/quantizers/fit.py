"""Fitting residual quantizers: level by level, on what the hard assignment of the level before leaves over."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from vqrank_train.config import Quantizer
from vqrank_train.model.quantizer import ResidualQuantizer
from vqrank_train.quantizers.file import QuantizerError
from vqrank_train.quantizers.kinds import COVARIANCES

F64 = npt.NDArray[np.float64]

# Added to every variance in the EM, as a part of the residuals' own, so that no component shrinks to a point.
VARIANCE_FLOOR = 1e-4
# Where all residuals are equal there is nothing to take a part of.
LEAST_VARIANCE = 1e-12
ITERATIONS = 100
# Items beyond which k-means works on batches.
WHOLE_ITEMS = 20_000


def fit_quantizer(
    config: Quantizer,
    items: npt.NDArray[np.float32],
    seed: int = 0,
    after_level: Callable[[int, float], None] = lambda level, rmse: None,
    covariance: str = "diagonal",
) -> ResidualQuantizer:
    """A quantizer fitted to vectors [items, n]. `after_level` is told each level and the RMSE that it leaves.

    `covariance`, of COVARIANCES, is rq_gmm's alone. The residuals are those of the float32 parameters that the file
    will hold, in float64.
    """
    if items.shape[1] != config.dim:
        raise QuantizerError(f"items: expected vectors of {config.dim} numbers, found {items.shape[1]}")
    if len(items) < config.codes:
        raise QuantizerError(f"items: expected at least {config.codes}, one per code, found {len(items)}")
    module = ResidualQuantizer(config)
    residuals = torch.from_numpy(items).double()
    for level in range(config.levels):
        fit_level(module, level, residuals.numpy(), seed + level, covariance)
        exact = ResidualQuantizer(config).double()
        exact.load_state_dict({name: tensor.double() for name, tensor in module.state_dict().items()})
        residuals = exact.step(level, residuals)[1]
        after_level(level, float(residuals.square().mean().sqrt()))
    return module


def fit_level(module: ResidualQuantizer, level: int, residuals: F64, seed: int, covariance: str) -> None:
    """Puts the components of one level into the module."""
    with warnings.catch_warnings():  # fewer different residuals than codes: the report tells of codes not used
        warnings.simplefilter("ignore", ConvergenceWarning)
        if module.config.kind == "rq_kmeans":
            own = (KMeans if len(residuals) <= WHOLE_ITEMS else MiniBatchKMeans)(
                module.config.codes, n_init=1, random_state=seed
            )
            centers: F64 = own.fit(residuals).cluster_centers_
            module.mean[level] = torch.from_numpy(centers).float()
            return
        floor = max(VARIANCE_FLOOR * float(residuals.var()), LEAST_VARIANCE)
        mixture = GaussianMixture(
            module.config.codes,
            covariance_type=COVARIANCES[covariance],
            reg_covar=floor,
            max_iter=ITERATIONS,
            random_state=seed,
        ).fit(residuals)
    module.mean[level] = torch.from_numpy(mixture.means_).float()
    variance = torch.from_numpy(mixture.covariances_).float()
    module.variance[level] = variance if variance.dim() == 2 else variance[:, None]
    module.weight[level] = torch.from_numpy(mixture.weights_).float()
