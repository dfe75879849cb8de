"""Modules of the models that vqrank runs; `Ranker.state_dict()` is a checkpoint's tensors."""

from vqrank_train.model.ranker import Ranker

__all__ = ["Ranker"]
