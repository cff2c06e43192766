"""Answers of `pair-classification`."""

from kubetune.tasks.forms.classes import FORM

__all__ = ["FORM"]
