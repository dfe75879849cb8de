"""Converts vqrank training checkpoints into .vqr model files (docs/model-file.md)."""

from vqrank_convert.version import __version__

__all__ = ["__version__"]
