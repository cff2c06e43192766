"""Names of the source's columns that a task takes unless the recipe says otherwise: those that the Hub's data have.

Here and not asked of `tasks`, as a recipe is read where no numerical library is: by Airflow and by every command.
`tests/data/test_task_columns.py` holds this table against the tasks' own `schema`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class TaskColumns(NamedTuple):
    """What a task takes from the source.

    Attributes:
        texts: Columns of its texts, in order.
        target: Column of the truth; None: it has none.
        target_type: Module of `data.targets` that reads it.
        offsets: Whether truths or answers point at characters of the raw text, which cleaning would move.
    """

    texts: tuple[str, ...]
    target: str | None
    target_type: str
    offsets: bool = False


TASK_COLUMNS: Mapping[str, TaskColumns] = MappingProxyType(
    {
        "text-classification": TaskColumns(("text",), "label", "label"),
        "pair-classification": TaskColumns(("text", "text_pair"), "label", "label"),
        "token-classification": TaskColumns(("tokens",), "ner_tags", "spans", offsets=True),
        "question-answering": TaskColumns(("question", "context"), "answers", "answers", offsets=True),
        "text-classification-multi-label": TaskColumns(("text",), "labels", "labels"),
        "pair-classification-multi-label": TaskColumns(("text", "text_pair"), "labels", "labels"),
        "text-classification-regression": TaskColumns(("text",), "score", "score"),
        "pair-classification-regression": TaskColumns(("text", "text_pair"), "score", "score"),
        "feature-extraction": TaskColumns(("anchor", "positive"), None, "pairs"),
        "feature-extraction-scored-pairs": TaskColumns(("sentence1", "sentence2"), "score", "similarity"),
        "zero-shot-classification": TaskColumns(("premise", "hypothesis"), "label", "label"),
        "fill-mask": TaskColumns(("text",), None, "nothing"),
    }
)
"""By task name, see `task_name`."""
SINGLE_LABEL = "single-label"


def task_name(task: Any, default_kind: str = "") -> str | None:
    """Return the name of the task that section `task` of a document chooses: its kind, and its problem if another.

    Args:
        task: The section as it was written, or a `TaskSection`; whatever is malformed gives None.
        default_kind: Of a section that names none.
    """
    if isinstance(task, Mapping):
        kind, problem = task.get("kind", default_kind), task.get("problem", SINGLE_LABEL)
    else:
        kind, problem = getattr(task, "kind", None), getattr(task, "problem", SINGLE_LABEL)
    if not isinstance(kind, str) or not isinstance(problem, str):
        return None
    return kind if problem == SINGLE_LABEL else f"{kind}-{problem}"


CLASS_ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "entailment": frozenset({"zero-shot-classification"}),
        "contradiction": frozenset({"zero-shot-classification"}),
    }
)
"""Settings of section `task` that name a class for its part in the task, and the kinds that read them."""
NAMED_LABELS = frozenset({"zero-shot-classification"})
"""Tasks whose answers are labels that a request names."""


READ_FOR: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "label_numbers": frozenset({"label", "labels", "spans"}),
        "labels": frozenset({"label", "labels", "spans"}),
        "label_separator": frozenset({"labels"}),
        "empty_labels": frozenset({"labels"}),
        "score_range": frozenset({"score", "similarity"}),
        "tag_repair": frozenset({"spans"}),
        "weak_labels": frozenset({"label"}),
    }
)
"""Settings of section `data` that are read for some target types alone."""


POOLING: Mapping[str, str] = MappingProxyType({"feature-extraction": "mean", "feature-extraction-scored-pairs": "mean"})
"""Tasks that have no head but pool, and `model.head.pooling` of a recipe that does not say it."""


PRETRAINED_HEAD = frozenset({"fill-mask"})
"""Tasks whose head is the one that the encoder was pretrained with."""


def with_task_pooling(document: Any, default_kind: str) -> Any:
    """Return a recipe's document with its task's own pooling where it names none; see `with_task_columns`."""
    task = document.get("task", {}) if isinstance(document, dict) else None
    name = task_name(task, default_kind) if isinstance(task, dict) else None
    model = document.get("model") if isinstance(document, dict) else None
    head = model.get("head", {}) if isinstance(model, dict) else None
    if name not in POOLING or not isinstance(model, dict) or not isinstance(head, dict) or "pooling" in head:
        return document
    return {**document, "model": {**model, "head": {**head, "pooling": POOLING[str(name)]}}}


def with_task_columns(document: Any, default_kind: str) -> Any:
    """Return a recipe's document in which the columns and cleaning that it leaves open are those of its task.

    Args:
        document: As it was written; whatever is malformed is left to the schema.
        default_kind: Task of a recipe that names none.
    """
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        return document
    task = document.get("task", {})
    name = task_name(task, default_kind) if isinstance(task, dict) else None
    taken = TASK_COLUMNS.get(name) if name is not None else None
    columns = document["data"].get("columns", {})
    if taken is None or not isinstance(columns, dict):
        return document
    names = dict(zip(("text", "text_pair"), taken.texts, strict=False))
    filled: dict[str, str | None] = {role: name for role, name in names.items() if columns.get(role) is None}
    filled |= {} if "label" in columns else {"label": taken.target}
    data = {**document["data"], "columns": {**columns, **filled}}
    if taken.offsets and data.get("cleaning") is None:
        data["cleaning"] = []
    return {**document, "data": data}
