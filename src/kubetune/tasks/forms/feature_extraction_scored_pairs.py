"""Answers of `feature-extraction-scored-pairs`: those of `feature-extraction`."""

from kubetune.tasks.forms.feature_extraction import FORM as FORM
