"""Answers of `text-classification-regression`."""

from kubetune.tasks.forms.scores import FORM

__all__ = ["FORM"]
