"""Baselines of `zero-shot-classification`: those of pairs with a class."""

from kubetune.tasks.baselines.classes import baselines

__all__ = ["baselines"]
