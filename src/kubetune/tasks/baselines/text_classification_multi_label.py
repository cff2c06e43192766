"""Baselines of `text-classification-multi-label`."""

from kubetune.tasks.baselines.labels import baselines

__all__ = ["baselines"]
