"""Names of what can be fitted and compared, known without what fits it."""

from vqrank_train.config_inputs import QUANTIZER_KINDS

# Of rq_gmm's components, with scikit-learn's names. Spherical is diagonal with all variances of a component equal:
# fewer numbers to learn, so it is the steadier one where a component has few items.
COVARIANCES = {"diagonal": "diag", "spherical": "spherical"}
SPHERICAL = "rq_gmm_spherical"
RQ_VAE = "rq_vae"  # whose codes models can have, as ids, but not the quantizer
COMPARED_KINDS = (QUANTIZER_KINDS[0], SPHERICAL, *QUANTIZER_KINDS[1:], RQ_VAE)
