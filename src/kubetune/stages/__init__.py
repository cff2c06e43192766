"""The pipeline's table of contents: planner, executor, DAGs, images and tests read it, nothing lists stages again."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Stage:
    """One row of the table: plain data, so that reading it imports nothing heavy.

    Attributes:
        name: Stage name; also the command `kubetune stage NAME`, a folder and a pod name.
        entry: `module:function` of the body.
        does: One line for a person.
        sections: Dotted recipe paths that the body may read; all of them enter the key.
        inputs: Artifact names it reads. Edges of the plan follow from them.
        outputs: Artifact names it writes.
        chosen: (package, dotted recipe path) pairs: the recipe's value there names the module of the package
            that the body loads by name. Only that module's code enters the key.
        packages: Third-party distributions whose version can change the result's bytes.
        image: Image that runs it in a cluster.
        reaches_outside: Whether it may use the network beyond the store. Such a stage has an identity in its key.
        accelerated: Whether it profits from GPUs.
        effect: `module:function` of what it does to the store around its body: it changes the world instead of writing
            artifacts, and is never adopted by key. See `execution.stage.Effect`.
        after: Stages that must be done before it, beside those whose artifacts it reads.
        champion: It is given the champion of its endpoint as a further input folder, `champion`.
        reaches_kubernetes: It talks to the Kubernetes API where endpoints live in a cluster.
        approval: Dotted recipe path of a switch; where it is on, a person has to agree before this stage runs.
        resumable: It leaves checkpoints and stops by itself at a safe point when asked to.
    """

    name: str
    entry: str
    does: str
    sections: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    image: str
    chosen: tuple[tuple[str, str], ...] = ()
    packages: tuple[str, ...] = ()
    reaches_outside: bool = False
    accelerated: bool = False
    effect: str | None = None
    after: tuple[str, ...] = ()
    champion: bool = False
    reaches_kubernetes: bool = False
    approval: str | None = None
    resumable: bool = False


TASK = ("kubetune.tasks", "task.name")
"""The name follows from kind and problem: `keys` puts it there."""
TARGET = ("kubetune.data.targets", "task.target_type")
"""The target type follows from the task: `keys` puts it there."""
BASELINES = ("kubetune.tasks.baselines", "task.name")
FORM = ("kubetune.tasks.forms", "task.name")

STAGES: tuple[Stage, ...] = (
    Stage(
        name="ingest",
        entry="kubetune.stages.ingest:run",
        does="freezes the data at a revision, with digests",
        sections=("data.source", "data.encoding"),
        inputs=(),
        outputs=("raw",),
        chosen=(("kubetune.data.sources", "data.source.kind"),),
        packages=("pyarrow", "numpy", "datasets"),
        image="ingest",
        reaches_outside=True,
    ),
    Stage(
        name="fetch",
        entry="kubetune.stages.fetch:run",
        does="freezes the pretrained model and its tokenizer",
        sections=("model.source",),
        inputs=(),
        outputs=("tokenizer", "weights"),
        chosen=(
            ("kubetune.data.models", "model.source.kind"),
            ("kubetune.data.models", "model.source.tokenizer.kind"),
        ),
        packages=("safetensors", "torch", "transformers"),
        image="ingest",
        reaches_outside=True,
    ),
    Stage(
        name="prepare",
        entry="kubetune.stages.prepare:run",
        does="cleans, checks, labels, splits and tokenises the rows; writes a data report",
        sections=(
            "task",
            "data.columns",
            "data.cleaning",
            "data.min_characters",
            "data.max_characters",
            "data.labels",
            "data.label_numbers",
            "data.missing_labels",
            "data.label_separator",
            "data.empty_labels",
            "data.score_range",
            "data.tag_repair",
            "data.rare_class_rows",
            "data.weak_labels",
            "data.duplicates",
            "data.conflicts",
            "data.group_by",
            "data.splits",
            "data.limit",
            "data.max_reject_share",
            "data.max_unknown_share",
            "model.max_length",
        ),
        inputs=("raw", "tokenizer"),
        outputs=("dataset",),
        chosen=(TASK, TARGET),
        packages=(
            "transformers",
            "tokenizers",
            "pyarrow",
            "emoji",
            "vaderSentiment",
            "numpy",
            "jinja2",
            "torch",
            "safetensors",
        ),
        image="prepare",
    ),
    Stage(
        name="train",
        entry="kubetune.stages.train:run",
        does="fine-tunes on 0, 1 or N devices, resumes from verified checkpoints",
        sections=("task", "model.encoder_dropout", "model.head", "training", "resources.train.hardware"),
        inputs=("dataset", "tokenizer", "weights"),
        outputs=("model",),
        chosen=(TASK,),
        packages=("torch", "transformers", "accelerate", "safetensors", "numpy", "pyarrow"),
        image="train",
        accelerated=True,
        resumable=True,
    ),
    Stage(
        name="evaluate",
        entry="kubetune.stages.evaluate:run",
        does="measures on the test rows, writes the report and the verdict",
        sections=("task", "evaluation", "resources.evaluate.hardware"),
        inputs=("dataset", "tokenizer", "model"),
        outputs=("report",),
        chosen=(TASK, BASELINES, FORM),
        packages=(
            "torch",
            "transformers",
            "tokenizers",
            "emoji",
            "safetensors",
            "scikit-learn",
            "scipy",
            "numpy",
            "matplotlib",
            "jinja2",
            "pyarrow",
        ),
        image="evaluate",
        accelerated=True,
    ),
    Stage(
        name="behave",
        entry="kubetune.stages.behave:run",
        does="runs the behavioural tests of a suite, writes what failed and the verdict",
        sections=("task", "data.cleaning", "model.max_length", "behaviour", "resources.evaluate.hardware"),
        inputs=("dataset", "tokenizer", "model", "report"),
        outputs=("behaviour",),
        chosen=(TASK, FORM),
        packages=(
            "torch",
            "transformers",
            "tokenizers",
            "safetensors",
            "numpy",
            "scipy",
            "pyarrow",
            "pyyaml",
            "emoji",
        ),
        image="evaluate",
        accelerated=True,
    ),
    Stage(
        name="compare",
        entry="kubetune.stages.compare:run",
        does="compares with the champion on the same test rows and decides who serves",
        sections=("task", "promotion"),
        inputs=("dataset", "model", "report", "behaviour"),
        outputs=("decision",),
        chosen=(TASK, FORM),
        packages=(
            "torch",
            "transformers",
            "tokenizers",
            "safetensors",
            "emoji",
            "numpy",
            "scipy",
            "pyarrow",
            "jinja2",
        ),
        image="evaluate",
        champion=True,
    ),
    Stage(
        name="package",
        entry="kubetune.stages.package:run",
        does="builds the served directory with golden vectors and a model card",
        sections=(
            "task",
            "model.source",
            "model.max_length",
            "data.source",
            "data.columns",
            "data.cleaning",
            "serving",
        ),
        inputs=("tokenizer", "model", "report", "behaviour", "decision"),
        outputs=("archive",),
        chosen=(TASK, FORM),
        packages=(
            "torch",
            "transformers",
            "tokenizers",
            "safetensors",
            "emoji",
            "jinja2",
            "numpy",
            "pyarrow",
            "pyyaml",
        ),
        image="package",
    ),
    Stage(
        name="register",
        entry="kubetune.stages.register:run",
        does="records the version and makes it the champion if the decision says so",
        sections=("promotion",),
        inputs=("decision",),
        outputs=(),
        image="deploy",
        effect="kubetune.models.effects:apply_register",
        after=("package",),
        approval="promotion.approval",
    ),
    Stage(
        name="deploy",
        entry="kubetune.stages.deploy:run",
        does="points an endpoint at the champion's archive and waits until it answers the golden vectors",
        sections=(),
        inputs=("archive",),
        outputs=(),
        image="deploy",
        effect="kubetune.models.effects:apply_deploy",
        after=("register",),
        reaches_kubernetes=True,
    ),
)

BY_NAME: Mapping[str, Stage] = MappingProxyType({stage.name: stage for stage in STAGES})
PRODUCER: Mapping[str, Stage] = MappingProxyType({output: stage for stage in STAGES for output in stage.outputs})


def before(stage: Stage) -> tuple[str, ...]:
    """Return the names of the stages that must be done right before one: makers of its inputs, and its `after`."""
    return tuple(dict.fromkeys((*(PRODUCER[name].name for name in stage.inputs), *stage.after)))
