"""One label a text."""

from kubetune.tasks.base import Task
from kubetune.tasks.classification import Classification

TASK: Task = Classification(kind="text-classification", columns=("text",))
