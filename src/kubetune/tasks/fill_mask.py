"""Tokens that are hidden in a text: learnt from texts alone, asked with the mask token where a word is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kubetune.metrics.base import Baseline, Ints, Outcomes, Totals
from kubetune.metrics.masks import MaskStatistics, mask_outcomes
from kubetune.tasks import dataset_texts, load_baselines
from kubetune.tasks.arrays import collate
from kubetune.tasks.asked_masks import ASKED, MOST, Filled, encode_texts, first_word_masked, marked, unknown_target
from kubetune.tasks.base import IGNORED, Encoding, Feature, OutputHead, Schema, Task
from kubetune.tasks.common import CommonTask
from kubetune.tasks.guessed_tokens import NLL, RANK, among, guess_numbers, guesses_of, shares_of
from kubetune.tasks.masking import SHOWN, as_read, drawn_masks, masked_ids, places_of
from kubetune.tasks.reading import Turn, Unanswered

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase

    from kubetune.tasks.answers import AnswerForm
    from kubetune.tasks.base import ModelSpec


MANY, STEP = 128, 32
"""Masks of a batch from which on their number is a multiple."""


@dataclass(frozen=True)
class FillMask(CommonTask):
    """Implements `Task` for masked language modelling.

    Features have the column `SHOWN`, see `masking`; outputs are numbers of the masked tokens alone. A prediction is a
    list of `TokenGuess` of a row of data, and `Filled` of a request.

    Attributes:
        tokenizer: Of the model, where requests are read; None elsewhere.
        tokens: What answers in a report call each token, by id.
    """

    kind: str = "fill-mask"
    columns: tuple[str, ...] = ("text",)
    target_columns: tuple[str, ...] = (SHOWN,)
    class_columns: tuple[str, ...] = ()
    baseline_columns: tuple[str, ...] = ("input_ids", SHOWN)
    tokenizer: Any = field(default=None, compare=False, repr=False)
    tokens: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(("text",), None, "nothing")

    @property
    def form(self) -> "AnswerForm":
        """See `Task.form`."""
        from kubetune.tasks.forms.fill_mask import MaskAnswers

        return MaskAnswers(self.tokenizer)

    def of_tokenizer(self, tokenizer: "PreTrainedTokenizerBase") -> Task:
        """See `TokenReading.of_tokenizer`."""
        return cast("Task", replace(self, tokenizer=tokenizer))

    def token_names(self, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """See `TokenReading.token_names`."""
        count = 1 + max(tokenizer.get_vocab().values())
        return [str(name) for name in tokenizer.batch_decode([[number] for number in range(count)])]

    def of_tokens(self, names: Sequence[str]) -> Task:
        """See `TokenReading.of_tokens`."""
        return cast("Task", replace(self, tokens=tuple(names)))

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """See `Task.encode`; a text with marks is a request, every other one has fixed masks.

        `lost` is 1 of a row without a token that can be masked, and of a request the number of masks behind the cut.
        """
        return encode_texts(tokenizer, [text for (text,) in items], max_length, rows=targets is not None)

    def asked(self, item: tuple[object, ...], parameters: Mapping[str, Any]) -> tuple[tuple[object, ...], ...] | str:
        """See `Task.asked`: the text with marks in the place of its masks."""
        text = item[0]
        if self.tokenizer is None or not isinstance(text, str):
            return (item,)
        mask = str(self.tokenizer.mask_token)
        found = marked(text, mask)
        if found is None:
            return f"`text` has no {mask}: put it where a token is wanted"
        if (count := text.count(mask)) > MOST:
            return f"`text` has {count} times {mask}: at most {MOST} are filled in one text"
        unknown = unknown_target(self.tokenizer, parameters.get("targets") or ())
        return unknown or ((found, *item[1:]),)

    def golden(self, item: tuple[str, ...]) -> tuple[str, ...]:
        """See `TokenReading.golden`: the text with a mask in the place of its first word."""
        return (first_word_masked(item[0], str(self.tokenizer.mask_token)),)

    def collate(
        self, rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None
    ) -> "dict[str, torch.Tensor]":
        """See `Task.collate`; further `places`, (masks,) int64: where the masks of all rows are, row by row.

        Of many there are a few more, so that their number is one of few: memory for a vocabulary of numbers each, of
        ever other sizes, is never given back to the system.
        """
        import torch

        from kubetune.tasks.masked_words import PLACES

        inputs = collate([as_read(row) for row in rows], pad_token_id, pad_to)
        length = inputs["input_ids"].shape[1]
        places = np.concatenate([number * length + places_of(row) for number, row in enumerate(rows)])
        more = 0 if len(places) < MANY else -len(places) % STEP
        return {**inputs, PLACES: torch.from_numpy(np.pad(places, (0, more)).astype(np.int64))}

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: ids of the masked tokens of each row, (rows, most masks of a row) int64."""
        import torch

        del length
        truths = [masked_ids(row) for row in rows]
        found = np.full((len(rows), max(map(len, truths))), IGNORED, dtype=np.int64)
        for row, truth in zip(found, truths, strict=True):
            row[: len(truth)] = truth
        return torch.from_numpy(found)

    def terms(self, rows: Sequence[Feature]) -> np.ndarray:
        """See `Task.terms`: the masked tokens of each row."""
        return np.array([len(places_of(row)) for row in rows], dtype=np.int64)

    def taught(self, rows: Sequence[Feature], numbers: np.ndarray, turn: Turn) -> list[Feature]:
        """See `TokenReading.taught`: with the masks of that pass."""
        return [drawn_masks(row, int(number), turn) for row, number in zip(rows, numbers, strict=True)]

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`: a number for each token of the vocabulary."""
        del labels
        return OutputHead((), per_token=True, stock="fill-mask", vocabulary=True)

    def build_model(self, spec: "ModelSpec", folder: Any, *, pretrained: bool) -> "torch.nn.Module":
        """See `Task.build_model`; outputs are logits (places, vocabulary)."""
        return super().build_model(spec, folder, pretrained=pretrained)

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: cross-entropy in nats, summed over the masked tokens of a row."""
        import torch

        del class_weights
        masked = targets != IGNORED
        each = torch.nn.functional.cross_entropy(
            outputs[: int(masked.sum())].float(), targets[masked], label_smoothing=label_smoothing, reduction="none"
        )
        return torch.zeros(targets.shape, device=each.device).masked_scatter(masked, each).sum(dim=1)

    def kept(self, outputs: "torch.Tensor", rows: Sequence[Feature]) -> list[np.ndarray]:
        """See `TokenReading.kept`: of rows of data `NLL` and so on, (masks, 4); of requests all probabilities."""
        counts = self.terms(rows).tolist()
        parts = outputs[: sum(counts)].float().split(counts)  # type: ignore[no-untyped-call]
        return [
            shares_of(part) if ASKED in row else guess_numbers(part, row) for part, row in zip(parts, rows, strict=True)
        ]

    def feature_losses(self, outputs: Sequence[np.ndarray], features: Sequence[Feature]) -> np.ndarray:
        """See `TokenReading.feature_losses`."""
        del features
        return np.array([output[:, NLL].sum(dtype=np.float64) for output in outputs], dtype=np.float64)

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> list[Any]:
        """Return of each text its guesses, or its filled masks, or why they cannot be filled."""
        del items, labels
        found: list[Any] = []
        for number, (output, row) in enumerate(zip(outputs, encoding.features, strict=True)):
            if ASKED not in row:
                found.append(guesses_of(output, row, self._name))
            elif encoding.lost[number]:
                found.append(Unanswered(f"{encoding.lost[number]} of its masks are behind the tokens that are read"))
            else:
                found.append(Filled(row["input_ids"], places_of(row).tolist(), output))
        return found

    def _name(self, number: int) -> str:
        if self.tokenizer is not None:
            return str(self.tokenizer.decode([number]))
        return self.tokens[number] if number < len(self.tokens) else f"token {number}"

    def statistics(self, labels: Sequence[str]) -> MaskStatistics:
        """See `Task.statistics`."""
        del labels
        return MaskStatistics()

    def validation(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        losses: np.ndarray,
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        """See `Task.validation`: on the fixed masks of the rows."""
        del labels, texts
        first, five = (among([output[:, RANK] for output in outputs], most) for most in (1, 5))
        return mask_outcomes(self.terms(encoding.features), first, five, losses)

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`: no masked token is among the five likeliest."""
        del labels
        return bool(MaskStatistics().flaws(totals, ()))

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("guesses", "masks", "top_1", "top_5", "nll", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`."""
        del targets, labels
        masks, first, five = (answers[name].to_numpy().astype(np.int64) for name in ("masks", "top_1", "top_5"))
        return mask_outcomes(masks, first, five, answers["nll"].to_numpy().astype(np.float64))

    def comparable(self, ours: "pa.Table", theirs: "pa.Table") -> np.ndarray:
        """See `TokenReading.comparable`: rows of which the same tokens are masked, as of one tokenizer and one cut."""
        asked = [[[each["truth"] for each in row] for row in table["guesses"].to_pylist()] for table in (ours, theirs)]
        return np.array([one == other for one, other in zip(*asked, strict=True)], dtype=bool)

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: there is one kind of text."""
        del labels
        return np.zeros(len(targets), dtype=np.int64), ("text",)

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`: the masked tokens, and the likeliest ones in their place."""
        del labels
        guesses = row["guesses"]
        shown = [", ".join(each[name].strip() for each in guesses) or "no mask" for name in ("truth", "answer")]
        given = float(np.exp(-row["nll"] / row["masks"])) if row["masks"] else None
        return {"label": shown[0], "prediction": shown[1], "confidence": row["confidence"], "given": given}

    def baselines(self, train: "pa.Table", test: "pa.Table", labels: Sequence[str]) -> list[Baseline]:
        """See `Task.baselines`; they are given the names of tokens, of which there are as many as tokens."""
        del labels
        return load_baselines(self.kind)(train, test, dataset_texts(self.columns), self.tokens)


TASK: Task = FillMask()
