"""One label a pair of texts, for example premise and hypothesis."""

from kubetune.tasks.base import Task
from kubetune.tasks.classification import Classification

TASK: Task = Classification(kind="pair-classification", columns=("text", "text_pair"))
