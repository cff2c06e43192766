"""Baselines of `text-classification`."""

from kubetune.tasks.baselines.classes import baselines

__all__ = ["baselines"]
