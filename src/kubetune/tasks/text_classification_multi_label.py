"""Any number of labels a text."""

from kubetune.tasks.base import Task
from kubetune.tasks.multi_label import MultiLabel

TASK: Task = MultiLabel(kind="text-classification-multi-label", columns=("text",))
