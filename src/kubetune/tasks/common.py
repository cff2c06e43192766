"""What every task with one module and one form of answers has; the rest is the task's own, see `tasks.base.Task`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kubetune.metrics.base import Baseline, Ints
from kubetune.tasks import dataset_texts, load_baselines, load_form
from kubetune.tasks.arrays import collate
from kubetune.tasks.base import Encoding, Feature, ModelSpec, OutputHead, Task
from kubetune.tasks.encoding import encode_items
from kubetune.tasks.named import ClassNames

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase

    from kubetune.tasks.answers import AnswerForm
    from kubetune.tasks.fitted import Outputs
    from kubetune.tasks.reading import Turn
    from kubetune.tasks.rows import EncodedRows


class CommonTask:
    """Implements a part of `Task`: one feature an item, nothing but tokens needed for an answer, answers by name.

    Attributes:
        kind: See `Task.kind`.
        columns: See `Task.columns`.
        windows: See `Task.windows`.
        together: See `Task.together`.
        place_columns: See `Task.place_columns`.
        text_columns: See `Task.text_columns`.
        baseline_columns: See `TokenReading.baseline_columns`.
    """

    kind: str
    columns: tuple[str, ...]
    windows: bool = False
    together: bool = False
    place_columns: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = ()
    baseline_columns: tuple[str, ...] = ()

    @property
    def form(self) -> "AnswerForm":
        """See `Task.form`."""
        return load_form(self.kind)

    def of_model(self, spec: ModelSpec) -> Task:
        """See `Task.of_model`: the task itself."""
        del spec
        return cast("Task", self)

    def begun(self, spec: ModelSpec, module: "torch.nn.Module", rows: "EncodedRows") -> ModelSpec:
        """See `Task.begun`: nothing."""
        del module, rows
        return spec

    def finished(
        self, spec: ModelSpec, module: "torch.nn.Module", rows: "EncodedRows", predict: "Outputs", *, tune: bool
    ) -> tuple[ModelSpec, list[str]]:
        """See `Task.finished`: nothing."""
        del module, rows, predict, tune
        return spec, []

    @property
    def served(self) -> tuple[str, ...]:
        """See `Task.served`: all."""
        return self.columns

    def notes(self, micro_batch: int) -> tuple[str, ...]:
        """See `Task.notes`: nothing."""
        del micro_batch
        return ()

    def class_names(self, labels: Sequence[str], roles: Mapping[str, str]) -> ClassNames:
        """See `Task.class_names`: what they are called."""
        del roles
        return ClassNames(list(labels))

    def asked(self, item: tuple[object, ...], parameters: Mapping[str, Any]) -> tuple[tuple[object, ...], ...] | str:
        """See `Task.asked`: the item itself."""
        del parameters
        return (item,)

    def of_tokenizer(self, tokenizer: "PreTrainedTokenizerBase") -> Task:
        """See `TokenReading.of_tokenizer`: the task itself."""
        del tokenizer
        return cast("Task", self)

    def token_names(self, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """See `TokenReading.token_names`: none."""
        del tokenizer
        return []

    def of_tokens(self, names: Sequence[str]) -> Task:
        """See `TokenReading.of_tokens`: the task itself."""
        del names
        return cast("Task", self)

    def taught(self, rows: Sequence[Feature], numbers: np.ndarray, turn: "Turn") -> Sequence[Feature]:
        """See `TokenReading.taught`: themselves."""
        del numbers, turn
        return rows

    def kept(self, outputs: "torch.Tensor", rows: Sequence[Feature]) -> list[np.ndarray]:
        """See `TokenReading.kept`: all of them."""
        found = outputs.float().cpu().numpy()
        return [
            output[: len(row["input_ids"])] if output.ndim > 1 else output
            for output, row in zip(found, rows, strict=True)
        ]

    def feature_losses(self, outputs: Sequence[np.ndarray], features: Sequence[Feature]) -> np.ndarray:
        """See `TokenReading.feature_losses`."""
        from kubetune.tasks import inference

        return inference.feature_losses(cast("Task", self), outputs, features)

    def golden(self, item: tuple[str, ...]) -> tuple[str, ...]:
        """See `TokenReading.golden`: the texts themselves."""
        return item

    def comparable(self, ours: "pa.Table", theirs: "pa.Table") -> np.ndarray:
        """See `TokenReading.comparable`: all rows."""
        del theirs
        return np.ones(ours.num_rows, dtype=bool)

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`."""
        raise NotImplementedError

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """See `Task.encode`; pairs are cut from the longer text first, and each item is one feature."""
        del targets  # they belong to the row, not to its tokens
        return encode_items(tokenizer, items, max_length)

    def terms(self, rows: Sequence[Feature]) -> np.ndarray:
        """See `Task.terms`: one a feature."""
        return np.ones(len(rows), dtype=np.int64)

    def collate(
        self, rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None
    ) -> "dict[str, torch.Tensor]":
        """See `Task.collate`."""
        return collate(rows, pad_token_id, pad_to)

    def build_model(self, spec: ModelSpec, folder: Path, *, pretrained: bool) -> "torch.nn.Module":
        """See `Task.build_model`; outputs are logits (rows, outputs), or (rows, length, outputs)."""
        from kubetune.tasks.building import build

        return build(spec, folder, self.head(spec.labels), pretrained=pretrained)

    def parameter_groups(self, module: "torch.nn.Module") -> dict[str, list[str]]:
        """See `Task.parameter_groups`."""
        from kubetune.tasks.building import parameter_groups

        return parameter_groups(module)

    def answer_columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `Task.answer_columns`."""
        return self.form.columns(predictions)

    def output_columns(self, outputs: Sequence[np.ndarray]) -> "dict[str, pa.Array]":
        """See `Task.output_columns`: none."""
        del outputs
        return {}

    def renumbered(self, answers: "pa.Table", numbers: Ints) -> "pa.Table":
        """See `Task.renumbered`: answers hold no class numbers."""
        del numbers
        return answers

    def baselines(self, train: "pa.Table", test: "pa.Table", labels: Sequence[str]) -> list[Baseline]:
        """See `Task.baselines`."""
        return load_baselines(self.kind)(train, test, dataset_texts(self.columns), tuple(labels))
