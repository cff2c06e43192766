"""Answers of `feature-extraction-scored-pairs`: those of `feature-extraction`."""

from kubetune.tasks.answers import AnswerForm
from kubetune.tasks.forms.feature_extraction import VectorAnswers

FORM: AnswerForm = VectorAnswers()
