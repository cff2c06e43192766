"""Baselines of `pair-classification-regression`."""

from kubetune.tasks.baselines.scores import baselines

__all__ = ["baselines"]
