"""PyTorch training side of vqrank: where checkpoints come from.

`model` holds the modules (their parameters are named as in a checkpoint), `predict` the exact inference of one request,
`checkpoint` reading and writing, `commits` the data set, its trainer, baselines, report and example.
"""

__version__ = "0.1.0"
