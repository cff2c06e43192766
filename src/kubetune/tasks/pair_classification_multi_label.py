"""Any number of labels a pair of texts."""

from kubetune.tasks.base import Task
from kubetune.tasks.multi_label import MultiLabel

TASK: Task = MultiLabel(kind="pair-classification-multi-label", columns=("text", "text_pair"))
