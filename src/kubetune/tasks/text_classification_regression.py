"""A number a text."""

from kubetune.tasks.base import Task
from kubetune.tasks.regression import Regression

TASK: Task = Regression(kind="text-classification-regression", columns=("text",))
