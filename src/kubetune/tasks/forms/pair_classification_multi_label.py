"""Answers of `pair-classification-multi-label`."""

from kubetune.tasks.forms.labels import FORM

__all__ = ["FORM"]
