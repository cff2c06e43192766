"""Answers of `text-classification-multi-label`."""

from kubetune.tasks.forms.labels import FORM

__all__ = ["FORM"]
