"""Answers of `text-classification`."""

from kubetune.tasks.forms.classes import FORM

__all__ = ["FORM"]
