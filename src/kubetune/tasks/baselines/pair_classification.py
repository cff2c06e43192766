"""Baselines of `pair-classification`."""

from kubetune.tasks.baselines.classes import baselines

__all__ = ["baselines"]
