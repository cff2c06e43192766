"""A number a pair of texts."""

from kubetune.tasks.base import Task
from kubetune.tasks.regression import Regression

TASK: Task = Regression(kind="pair-classification-regression", columns=("text", "text_pair"))
