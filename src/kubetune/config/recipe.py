"""The recipe: all sections together, and the view of it that a stage is given."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from kubetune.config.behaviour import BehaviourSection
from kubetune.config.data import DataSection
from kubetune.config.evaluation import EvaluationSection
from kubetune.config.languages import language_problems, with_language_slice
from kubetune.config.metrics import unknown_metrics, with_main_metric
from kubetune.config.model_sources import ModelSource
from kubetune.config.promotion import PromotionSection
from kubetune.config.resources import ResourcesSection
from kubetune.config.task import TaskSection
from kubetune.config.task_columns import (
    CLASS_ROLES,
    NAMED_LABELS,
    POOLING,
    PRETRAINED_HEAD,
    READ_FOR,
    TASK_COLUMNS,
    with_task_columns,
    with_task_pooling,
)
from kubetune.config.training import TrainingSection
from kubetune.schema.section import Section


class Head(Section):
    """Classification head.

    `kind: stock` is the architecture's own `…ForSequenceClassification` head, so that the result loads in
    `transformers.pipeline`; `own` is ours: pooling, optional hidden layer, dropout.
    """

    kind: Literal["stock", "own"] = "stock"
    pooling: Literal["cls", "mean"] = "cls"
    """`own` only: the first token, or the mean over the real tokens. Embeddings: `mean` unless said otherwise."""
    hidden_size: int | None = Field(default=None, ge=1, le=65_536)
    """`own` only: units of a tanh layer before the output; None: no such layer."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Before the output layer. None: as the checkpoint's configuration says (`stock`), 0.1 (`own`, scratch)."""


class ModelSection(Section):
    """What is fine-tuned."""

    source: ModelSource
    max_length: int = Field(default=128, ge=4, le=8192)
    """Tokens a text; longer text is truncated and counted in the data report."""
    encoder_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout inside the encoder; None: what the checkpoint's configuration says. The head keeps its own."""
    head: Head = Head()


class ServingSection(Section):
    """Handler settings that travel in the archive."""

    batch_size: int = Field(default=32, ge=1, le=1024)
    """Requests that TorchServe gathers at most."""
    max_batch_delay_ms: int = Field(default=5, ge=0, le=10_000)
    """Milliseconds that TorchServe waits for a batch to fill."""
    split: int = Field(default=8, ge=1, le=1024)
    """Micro-batch after sorting by length."""
    max_characters: int = Field(default=10_000, ge=1, le=1_000_000)
    """Longer text is answered with 413 before it is tokenised."""
    max_items: int = Field(default=64, ge=1, le=1024)
    """Texts in one request."""
    top_k: int = Field(default=1, ge=1, le=10_000)
    """Labels in an answer unless the request says otherwise."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes, each with its own model; one a CPU where requests are not gathered (`batch_size: 1`)."""
    response_timeout_s: int = Field(default=30, ge=1, le=3600)
    """Seconds after which a request fails."""
    golden_tolerance: float = Field(default=1e-3, gt=0, lt=1)
    """Absolute difference of probabilities at fp32; bf16 is given ten times as much."""


NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
NAME_RULE = "1 to 40 lower-case letters, digits and inner hyphens"


class Recipe(Section):
    """What to fine-tune, on what, how, and how good it must be."""

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    """Also the default endpoint's name: 1 to 40 lower-case letters, digits and inner hyphens."""
    description: str = ""
    """One sentence for a person; part of no key."""
    task: TaskSection = TaskSection()
    data: DataSection
    model: ModelSection
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    behaviour: BehaviourSection = BehaviourSection()
    promotion: PromotionSection = Field(default_factory=PromotionSection)
    serving: ServingSection = ServingSection()
    resources: ResourcesSection = Field(default_factory=ResourcesSection)

    @model_validator(mode="before")
    @classmethod
    def with_task_values(cls, document: Any) -> Any:
        """What a recipe leaves open and its task decides, so that a stored one holds it: columns, slices, metric."""
        default = str(TaskSection.model_fields["kind"].default)
        document = with_language_slice(with_task_columns(document, default))
        return with_main_metric(with_task_pooling(document, default), default)

    @model_validator(mode="after")
    def consistent(self) -> "Recipe":
        """Checks that need two sections."""
        problems = []
        if self.name.startswith("token"):
            problems.append("name starts with `token`, which TorchServe's management paths treat specially")
        problems += [*self._columns(), *self.behaviour.unfit(self.task.name)]
        known = {"length", "label", *self.data.columns.keep}
        unknown = [name for name in self.evaluation.slices if name not in known]
        if unknown:
            problems.append(f"evaluation.slices names {unknown}: allowed are length, label and data.columns.keep")
        unknown = [guarded.column for guarded in self.promotion.slices if guarded.column not in known]
        if unknown:
            problems.append(f"promotion.slices names {unknown}: allowed are length, label and data.columns.keep")
        if self.evaluation.unseen is not None and self.task.name not in NAMED_LABELS:
            problems.append(f"evaluation.unseen asks with labels, which task {self.task.name} is not: leave it out")
        picks = str(self.training.best_metric)
        problems += unknown_metrics(self.task.name, self.evaluation, self.promotion.metric, picks)
        if lacking := self.behaviour.lacking(self.data.labels):
            problems.append(
                f"behaviour.suite needs labels {', '.join(lacking)} and data.labels has "
                f"{', '.join(self.data.labels or ())}: set behaviour={{}}, or name the labels alike"
            )
        problems += [*self._weights(), *self._ranked(), *self._vectors(), *self._masks()]
        problems += language_problems(self.data, self.behaviour)
        problems += [
            f"task.{role} is not read for task {self.task.name}: leave it out"
            for role in self.task.class_roles
            if self.task.name not in CLASS_ROLES[role]
        ]
        frozen = self.training.freeze
        if self.model.source.kind == "scratch" and (frozen.encoder or frozen.first_layers):
            problems.append("training.freeze with model.source.kind=scratch would freeze random weights")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _weights(self) -> list[str]:
        """Return what is wrong with the weights of classes for the task."""
        weights, labels = self.training.class_weights, self.data.labels
        task, target_type = self.task.name, TASK_COLUMNS[self.task.name].target_type
        if self.training.label_smoothing and target_type == "score":
            return [f"training.label_smoothing smooths labels, which task {task} has not: leave it out"]
        if weights != "none" and target_type == "labels":
            return [
                f"training.class_weights weighs a row by its class, and rows of task {task} have none or several: "
                "leave it out; task.thresholds weighs a label's precision against its recall"
            ]
        if weights != "none" and target_type not in READ_FOR["labels"]:
            return [f"training.class_weights weighs classes, which task {task} has not: leave it out"]
        if isinstance(weights, list) and target_type == "spans":
            return [
                "training.class_weights lists a weight a class, and the outputs of task "
                f"{task} are tags: allowed are none and balanced"
            ]
        if isinstance(weights, list) and labels is not None and len(weights) != len(labels):
            return [f"training.class_weights has {len(weights)} values and data.labels {len(labels)}: give one a class"]
        return []

    def _ranked(self) -> list[str]:
        """Return what is wrong with how many labels are answered."""
        if TASK_COLUMNS[self.task.name].target_type == "label" or self.serving.top_k == 1:
            return []
        return [f"serving.top_k is not read for task {self.task.name}: leave it out; a request may say it"]

    def _vectors(self) -> list[str]:
        """Return what is wrong where the task answers with the encoder's own vectors."""
        kind, head, training = self.task.name, self.model.head, self.training
        if kind not in POOLING:
            return []
        problems = []
        if self.model.source.kind == "scratch":
            problems.append(f"model.source.kind=scratch is no encoder for task {kind}: use a pretrained one")
        if (head.kind, head.hidden_size, head.dropout) != ("stock", None, None):
            problems.append(f"model.head has but `pooling` for task {kind}, whose vectors are the encoder's own")
        if training.freeze.encoder:
            problems.append(f"training.freeze.encoder leaves nothing to train for task {kind}, which has no head")
        if training.label_smoothing and TASK_COLUMNS[kind].target is not None:
            problems.append(f"training.label_smoothing is of classes, which task {kind} has not: leave it out")
        if 1 in (training.batch, training.micro_batch) and TASK_COLUMNS[kind].target is None:
            problems.append(
                f"training.batch and training.micro_batch of 1 leave an anchor of task {kind} nothing to be told from: "
                "raise them"
            )
        return problems

    def _masks(self) -> list[str]:
        """Return what is wrong where the task answers with the head that the encoder was pretrained with."""
        kind, head = self.task.name, self.model.head
        if kind not in PRETRAINED_HEAD:
            return []
        problems = []
        if self.model.source.kind == "scratch":
            problems.append(f"model.source.kind=scratch is no encoder for task {kind}: use a pretrained one")
        if head != Head():
            problems.append(
                f"model.head is not read for task {kind}, whose head is the architecture's own: leave it out"
            )
        return problems

    def _columns(self) -> list[str]:
        """Return what is wrong with the columns for the task."""
        kind, data = self.task.name, self.data
        taken, columns, problems = TASK_COLUMNS[kind], data.columns, []
        if columns.text_pair is not None and len(taken.texts) < 2:
            problems.append(f"data.columns.text_pair names a second text and task {kind} has one: leave it out")
        if data.group_by in ("text-pair", "either") and len(taken.texts) < 2:
            problems.append(f"data.group_by={data.group_by} names a second text and task {kind} has one")
        if columns.label is None and data.weak_labels is None and taken.target is not None:
            problems.append("data: columns.label is null and weak_labels is absent: give one of them")
        if columns.label is not None and taken.target is None:
            problems.append(f"data.columns.label names a truth and task {kind} has none: leave it out")
        if columns.negative is not None and taken.target_type != "pairs":
            problems.append(f"data.columns.negative is not read for task {kind}: leave it out")
        if data.labels is not None and len(data.labels) < (2 if taken.target_type == "label" else 1):
            problems.append(
                "`data.labels`: a classifier needs at least two classes: list them, or null to take those of train"
            )
        problems += [
            f"data.{name} is not read for task {kind}: leave it out"
            for name, types in READ_FOR.items()
            if taken.target_type not in types and getattr(data, name) != type(data).model_fields[name].default
        ]
        if taken.offsets and data.cleaning:
            problems.append(
                f"data.cleaning names {', '.join(data.cleaning)} and answers of task {kind} point at characters of the "
                "raw text, which cleaning would move: set data.cleaning=[]"
            )
        if taken.offsets and (isinstance(columns.text, list) or isinstance(columns.text_pair, list)):
            problems.append(
                f"data.columns joins columns and answers of task {kind} point at characters of one: name one column "
                "for each text"
            )
        return problems


def view(recipe: Recipe, sections: Iterable[str]) -> SimpleNamespace:
    """Return an object with the named sections only, so that a stage cannot read what its key does not hold.

    Args:
        recipe: A validated recipe.
        sections: Dotted paths such as `data.source` or `training`.

    Returns:
        Nested namespaces whose leaves are the recipe's own (frozen) values; any other attribute raises.
    """
    root = SimpleNamespace()
    for path in sections:
        *parents, leaf = path.split(".")
        node: Any = root
        value: Any = recipe
        for parent in parents:
            if not hasattr(node, parent):
                setattr(node, parent, SimpleNamespace())
            node, value = getattr(node, parent), getattr(value, parent)
        setattr(node, leaf, getattr(value, leaf))
    return root
