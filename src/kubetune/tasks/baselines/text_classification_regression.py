"""Baselines of `text-classification-regression`."""

from kubetune.tasks.baselines.scores import baselines

__all__ = ["baselines"]
