"""What a task is. Preparation, training, evaluation, behaviour and serving know tasks only through this.

A module of a task is light to import: torch, transformers, pyarrow and scikit-learn come inside of functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kubetune.tasks.fitted import Fitted
from kubetune.tasks.named import Named
from kubetune.tasks.reading import TokenReading

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase

    from kubetune.metrics.base import Baseline, Ints, Outcomes, Statistics, Totals
    from kubetune.tasks.answers import AnswerForm

Feature = Mapping[str, list[int]]
"""What a model reads at once: `input_ids`, where the tokenizer makes them `token_type_ids`, and further columns of the
task, each as long as `input_ids`; no padding, no mask."""
IGNORED = -100  # target of a token that carries no loss


class OutputHead(NamedTuple):
    """Outputs of a module.

    Attributes:
        names: Of the numbers that it gives.
        per_token: Whether it gives them for each token, or for the text.
        stock: Which of an architecture's own heads gives them.
        problem: What `transformers` calls the problem, of heads that have one.
        vocabulary: Whether it gives a number for each token of the vocabulary, which `names` leaves out.
    """

    names: tuple[str, ...]
    per_token: bool
    stock: str
    problem: str = "single_label_classification"
    vocabulary: bool = False


@dataclass(frozen=True)
class Schema:
    """What a row of the source has to hold.

    Attributes:
        texts: Default names of the source's columns with the texts, in the order of `Task.columns`.
        target: Default name of the column with the truth; None: there is none.
        target_type: Module of `data.targets` that reads it, as `label` or `spans`; `nothing` where there is none.
        offsets: Whether targets or answers point at characters of the raw text, which cleaning would move.
    """

    texts: tuple[str, ...]
    target: str | None
    target_type: str
    offsets: bool = False


@dataclass(frozen=True)
class Encoding:
    """Encoded examples.

    Attributes:
        features: What the model reads; one or more an example, those of one example in a row.
        example: Number of the example of each feature.
        truncated: Of each example: whether a part of it is in no feature.
        lost: Of each example whose targets were given: those that no prediction can meet, since they are cut off or
            have an end inside of a word; empty where there is no such thing.
    """

    features: list[Feature]
    example: list[int]
    truncated: list[bool]
    lost: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ModelSpec:
    """All it takes to build the module again, with or without pretrained weights. Stored as `kubetune.json`.

    Attributes:
        task: Name of the task.
        labels: Class names by class number.
        architecture: `stock` (the architecture's own head for the task), `own` (encoder + our head) or `bilstm`.
        head: Values of recipe section `model.head`.
        encoder_dropout: Dropout inside the encoder; None: as the checkpoint's configuration says.
        max_length: Tokens an item.
        pad_token_id: What items are padded with, for architectures whose configuration does not say it.
        fitted: Numbers of the task that training found beside the weights, by name; see `Fitted.of_model`.
    """

    task: str
    labels: tuple[str, ...]
    architecture: str
    head: Mapping[str, Any] = field(default_factory=dict)
    encoder_dropout: float | None = None
    max_length: int = 128
    pad_token_id: int | None = None
    fitted: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Task(Named, Fitted, TokenReading, Protocol):
    """One kind of problem. Implementations are stateless.

    Rows below are features with the columns `target_columns` of artifact `dataset`, as `tasks.rows` gives them.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of an item's texts, in order, as requests call them: `("text",)` or `("text", "text_pair")`."""

    @property
    def served(self) -> tuple[str, ...]:
        """Those of `columns` that a request gives; fewer where a row of data holds several items of requests."""

    @property
    def schema(self) -> Schema:
        """What a row of the source has to hold."""

    @property
    def target_columns(self) -> tuple[str, ...]:
        """Columns of a split's file, beside the tokens, that training reads."""

    @property
    def class_columns(self) -> tuple[str, ...]:
        """Those of `target_columns` that hold numbers of the head's outputs, or `IGNORED` for a token without one."""

    @property
    def windows(self) -> bool:
        """Whether an item may be several features; their columns in artifact `dataset` are then lists of lists."""

    @property
    def together(self) -> bool:
        """Whether what one answer comes to depends on the other rows, so that validation takes all rows at once."""

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns of a split's file that validation compares answers with, as Python values."""

    @property
    def place_columns(self) -> tuple[str, ...]:
        """Columns of a split's file that predictions are made with, beside the tokens."""

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """Tokenise items of `columns`, special tokens included, each feature at most `max_length` tokens.

        Args:
            tokenizer: A fast one.
            items: Cleaned texts.
            max_length: Tokens a feature.
            targets: Values of column `label`, one an item; None: they are not known, as in a request.

        Raises:
            ConfigError: The tokenizer has no `tokenizer.json`, so overflow cannot be detected exactly.
        """

    def collate(
        self, rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None
    ) -> "dict[str, torch.Tensor]":
        """Pad rows to the longest (or to `pad_to`) on the right.

        Returns:
            `input_ids`, `attention_mask` (both (rows, length), int64) and `token_type_ids` where the rows have it.
        """

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """Return what the outputs of rows are judged by, padded to `length` tokens where each token has a target."""

    def terms(self, rows: "Sequence[Feature]") -> "np.ndarray":
        """Return how many losses each row adds to the sum, shape (rows,), int64; a step divides by all of them."""

    def notes(self, micro_batch: int) -> tuple[str, ...]:
        """Return what a person must know of a training with so many rows a rank at once, a line each."""

    def head(self, labels: Sequence[str]) -> OutputHead:
        """Return what the model gives for a row, or for each token of it."""

    def build_model(self, spec: ModelSpec, folder: Path, *, pretrained: bool) -> "torch.nn.Module":
        """Build the module on the CPU in fp32; `module(**collated)` gives outputs, float.

        Its tensors have storage of their own (`weights.own_storage`): equal weights give equal bits from any file.

        Args:
            spec: What to build.
            folder: Artifact `weights` or artifact `model`.
            pretrained: True: encoder weights are loaded from `weights`, the head is drawn from torch's current
                generator. False: the complete fine-tuned `model.safetensors` is loaded strictly from `model`.

        Raises:
            DataError: The weights are truncated, not finite or do not fit the architecture.
        """

    def parameter_groups(self, module: "torch.nn.Module") -> dict[str, list[str]]:
        """Names of parameters (as in the state) by part: `head`, `embeddings`, `layer.0`, `layer.1`, …, `rest`."""

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """Return the sum of the losses of each row, shape (rows,), fp32; see `terms`.

        Rows are those of a micro-batch, which a loss may look at together, as one with in-batch negatives does.

        Args:
            outputs: Of the module.
            targets: Of `targets`.
            label_smoothing: Share of the probability that is spread over all classes.
            class_weights: (classes,); a loss, smoothed as it is, is multiplied by the weight of its own class.
        """

    def predictions(
        self,
        outputs: "Sequence[np.ndarray]",
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> "Sequence[Any] | np.ndarray":
        """Return a prediction an item, in their order; of classification probabilities (items, classes), float32.

        Args:
            outputs: Output of each feature, without what belongs to padding, float32.
            encoding: Of the items.
            items: The texts that were encoded.
            labels: Class names by class number.
        """

    def answer_columns(self, predictions: "Sequence[Any] | np.ndarray") -> "dict[str, pa.Array]":
        """Return predictions as columns of `predictions.parquet`, of which `outcomes` can be worked out again."""

    def output_columns(self, outputs: "Sequence[np.ndarray]") -> "dict[str, pa.Array]":
        """Return what the model gave as columns of `predictions.parquet`; none where that is a number a token."""

    def statistics(self, labels: Sequence[str]) -> "Statistics":
        """Return the metrics for these classes."""

    def validation(
        self,
        outputs: "Sequence[np.ndarray]",
        encoding: Encoding,
        losses: "np.ndarray",
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> "Outcomes":
        """Return what outputs come to on validation rows, during training.

        Args:
            outputs: Of the features.
            encoding: The features, with `target_columns` and `place_columns`, of complete examples.
            losses: Sum of the losses of each feature, shape (features,).
            labels: Class names by class number.
            texts: `text_columns` of the examples.
        """

    def collapsed(self, totals: "Totals", labels: Sequence[str]) -> bool:
        """Whether a model gives nearly always the same answer, though the rows do not, from what it came to."""

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """Names of the columns of `answer_columns` that `outcomes` reads; the answer itself comes first."""

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> "Outcomes":
        """Return what answers on rows come to.

        Args:
            targets: Column `label` of the rows.
            answers: Has the columns `outcome_columns`, in the order of the rows, and where they are known `loss`, the
                sum of the losses of each row in nats, and `terms`, how many that are.
            labels: Class names by the class numbers that both use.
        """

    def renumbered(self, answers: "pa.Table", numbers: "Ints") -> "pa.Table":
        """Return answers of a model that numbers its classes otherwise.

        Args:
            answers: Columns `outcome_columns`.
            numbers: New number of each of that model's classes, shape (classes,).
        """

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> "tuple[Ints, tuple[str, ...]]":
        """Return the disjoint parts of the slice `label`: the number of each row's part, and their names by number."""

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Return what a row of `predictions.parquet` was labelled and answered, for a person.

        Returns:
            `label` and `prediction` as text; `confidence` and `given`, the probability of the answer and that of the
            label, or None.
        """

    def baselines(self, train: "pa.Table", test: "pa.Table", labels: Sequence[str]) -> "list[Baseline]":
        """Return what costs nothing, measured on the test rows.

        Args:
            train: Columns `columns` and `label` of artifact `dataset`.
            test: The same of the test rows.
            labels: Class names by class number.
        """

    @property
    def form(self) -> "AnswerForm":
        """How predictions become answers: of requests, in `predictions.parquet` and in golden vectors."""
