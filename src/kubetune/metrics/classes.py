"""Metrics of one class a row: accuracy, F1, MCC, calibration error and loss as functions of sums.

By hand: a bootstrap measures thousands of tables in one call, which scikit-learn takes one by one and from rows. The
tests hold every number against scikit-learn's.

Zero division: a class that has rows but is never predicted has precision 0 and F1 0; a class that is predicted but
has no row has recall 0 and F1 0; a class with neither is left out of the averages (its own numbers read 0, support
0). MCC is 0 where labels or predictions are constant. All of this is what scikit-learn does by default.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.errors import DataError
from kubetune.metrics.base import CatalogueStatistics, Coarse, Floats, Ints, Outcomes, Totals
from kubetune.metrics.catalogue import CLASSES, Catalogue
from kubetune.metrics.labels import macro, ratios

BINS = 15
"""Equal-width confidence bins of the calibration error (Guo et al., ICML 2017)."""
COLLAPSED_SHARE = 0.99
"""A model that answers one class this often, much oftener than the class occurs, has collapsed."""
MARGIN = 0.01
"""How much oftener."""
CHANCE_MCC = 0.02
"""An MCC up to this is no better than chance."""


@dataclass(frozen=True)
class Scores:
    """What one system answered, row by row; every array has shape (rows,).

    Attributes:
        predictions: Class numbers.
        confidence: Probability of the predicted class.
        losses: Cross entropy in nats.
    """

    predictions: Ints
    confidence: Floats
    losses: Floats

    @classmethod
    def from_probabilities(cls, probabilities: Floats, labels: Ints) -> "Scores":
        """Score (rows, classes) probabilities; the loss of an impossible label is capped at -ln(2^-52) = 36 nats."""
        exact = np.asarray(probabilities, dtype=np.float64)
        predictions = exact.argmax(axis=1).astype(np.int64)
        rows = np.arange(len(exact))
        floor = np.finfo(np.float64).eps
        return cls(predictions, exact[rows, predictions], -np.log(np.maximum(exact[rows, labels], floor)))


@dataclass(frozen=True)
class ClassStatistics(CatalogueStatistics):
    """Implements `Statistics` for one class a row.

    Of the confusion matrix its margins and its diagonal are kept, of which every metric is a function: `classes` counts
    of true classes, as many of predicted ones, and as many of hits. Sums are the gap of confidence and hit, in the
    column of its confidence bin, and the loss.

    Attributes:
        labels: Class names by number.
    """

    labels: tuple[str, ...]

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return CLASSES

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return MEASURES

    @property
    def calibration(self) -> str | None:
        """See `Statistics.calibration`."""
        return "ece"

    def outcomes(self, labels: Ints, scores: Scores) -> Outcomes:
        """Return what answers come to.

        Args:
            labels: True class numbers, shape (rows,).
            scores: The answers on those rows.

        Raises:
            DataError: A class number is none of `labels`.
        """
        classes = len(self.labels)
        self._check(labels, scores.predictions)
        codes, cell = np.unique(labels * classes + scores.predictions, return_inverse=True)
        truth, answer = codes // classes, codes % classes
        columns = np.stack([truth, classes + answer, 2 * classes + truth], axis=1)
        values = np.stack([np.ones_like(codes), np.ones_like(codes), truth == answer], axis=1).astype(np.int64)
        right = (scores.predictions == labels).astype(np.float64)
        sums = np.zeros((len(labels), BINS + 1))
        sums[np.arange(len(labels)), calibration_bins(scores.confidence)] = scores.confidence - right
        sums[:, BINS] = scores.losses
        return Outcomes(cell.reshape(-1), columns, values, 3 * classes, sums, right)

    def _check(self, *numbers: Ints) -> None:
        known = [each for each in numbers if len(each)]
        low = min((int(each.min()) for each in known), default=0)
        high = max((int(each.max()) for each in known), default=-1)
        if low < 0 or high >= len(self.labels):
            raise DataError(
                "paired-classes",
                f"class numbers {low} to {high} were found and {len(self.labels)} classes are known; both models must "
                "answer with the same classes: map the champion's labels to the candidate's.",
            )

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`: macro F1 of rows of one true class says what accuracy says."""
        return metric != "macro_f1" or bool(np.count_nonzero(_parts(totals)[0]) > 1)

    def by_label(self, totals: Totals) -> dict[str, Floats]:
        """See `Statistics.by_label`."""
        true, predicted, hits = _parts(totals)
        return ratios(hits, predicted, true)

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: one class alone is answered, or no better than by chance."""
        true, predicted, _ = _parts(totals)
        rows = int(totals.rows)
        top = int(predicted.argmax())
        share, occurs = predicted[top] / rows, true[top] / rows
        mcc = float(_mcc(totals))
        if share >= COLLAPSED_SHARE and (share - occurs >= MARGIN or mcc <= CHANCE_MCC):
            return [
                f"collapsed to one class: {share:.1%} of {rows:,} predictions are “{names[top]}”, which {occurs:.1%} "
                "of the rows are; try a lower learning rate, more warm-up or another seed."
            ]
        if mcc <= CHANCE_MCC:
            return [
                f"no better than chance: MCC is {round(mcc, 4) + 0.0:.4f}, and more than {CHANCE_MCC} is needed to "
                "call the answers related to the labels."
            ]
        return []

    def coarse(self, metric: str, outcomes: Outcomes) -> Coarse | None:
        """See `Statistics.coarse`: of the calibration error, rows of one bin that are alike right or wrong.

        The value stays exact, the spread leaves out that of the confidences inside a bin of 1 / 15.
        """
        return self._bins(outcomes) if metric == "ece" else None

    def _bins(self, outcomes: Outcomes) -> Coarse:
        gaps = outcomes.sums[:, :BINS]
        bins = np.abs(gaps).argmax(axis=1)
        # Sure and right, or without any confidence and wrong: there is no gap that would tell the bin.
        bins = np.where(gaps.any(axis=1), bins, np.where(outcomes.right, BINS - 1, 0))
        return Coarse(np.stack([bins, outcomes.right], axis=1).astype(np.int64), np.arange(BINS))

    def blocks(self, outcomes: Outcomes, texts: Ints | None) -> dict[str, Any]:
        """See `Statistics.blocks`: the confusion matrix, rows true and columns predicted, and the calibration table."""
        labels, predictions = self.answers(outcomes)
        bins, gaps = self._bins(outcomes).codes[:, 0], outcomes.sums[:, :BINS].sum(axis=1)
        return {
            "confusion": confusion(labels, predictions, len(self.labels)).tolist(),
            "calibration": calibration_table(bins, gaps + outcomes.scores, outcomes.right, texts),
        }

    def answers(self, outcomes: Outcomes) -> tuple[Ints, Ints]:
        """Return true and predicted class numbers, each of shape (rows,)."""
        columns = outcomes.columns[outcomes.cell]
        return columns[:, 0], columns[:, 1] - len(self.labels)


def _parts(totals: Totals) -> list[NDArray[Any]]:
    """Return counts of true classes, predicted classes and hits, each of shape (…, classes)."""
    return np.split(totals.counts, 3, axis=-1)


def _accuracy(totals: Totals) -> Floats:
    share: Floats = _parts(totals)[2].sum(axis=-1) / totals.rows
    return share


def _macro_f1(totals: Totals) -> Floats:
    true, predicted, hits = _parts(totals)
    return macro(hits, true + predicted)


def _weighted_f1(totals: Totals) -> Floats:
    true, predicted, hits = _parts(totals)
    support = true + predicted
    f1 = np.divide(2.0 * hits, support, out=np.zeros(support.shape), where=support > 0)
    mean: Floats = (f1 * true).sum(axis=-1) / totals.rows
    return mean


def _mcc(totals: Totals) -> Floats:
    true, predicted, hits = (part.astype(np.float64) for part in _parts(totals))
    rows = np.asarray(totals.rows, dtype=np.float64)
    spread = (rows**2 - (true**2).sum(axis=-1)) * (rows**2 - (predicted**2).sum(axis=-1))
    covariance = np.asarray(hits.sum(axis=-1) * rows - (true * predicted).sum(axis=-1))
    mcc: Floats = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(covariance), where=spread > 0)
    return mcc


def _ece(totals: Totals) -> Floats:
    error: Floats = np.abs(totals.sums[..., :BINS]).sum(axis=-1) / totals.rows
    return error


def _loss(totals: Totals) -> Floats:
    mean: Floats = totals.sums[..., BINS] / totals.rows
    return mean


MEASURES: Mapping[str, Callable[[Totals], Floats]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "mcc": _mcc,
    "ece": _ece,
    "loss": _loss,
}


def calibration_bins(confidence: Floats) -> Ints:
    """Return the bin of each confidence, shape (rows,): bin b holds (b / 15, (b + 1) / 15]."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def calibration_table(
    bins: Ints, confidence: Floats, correct: NDArray[np.bool_], texts: Ints | None = None
) -> list[dict[str, Any]]:
    """Return the non-empty bins as `{"from", "to", "rows", "texts", "confidence", "accuracy"}`, least confident first.

    Args:
        bins: Of each confidence, shape (rows,).
        confidence: Probability of the predicted class, shape (rows,).
        correct: Whether it is the true one, shape (rows,).
        texts: Number of each row's text, shape (rows,); None: each row has its own.
    """
    return [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "rows": int(inside.sum()),
            "texts": int(inside.sum() if texts is None else len(np.unique(texts[inside]))),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(correct[inside].mean()),
        }
        for number in range(BINS)
        if (inside := bins == number).any()
    ]


def confusion(labels: Ints, predictions: Ints, classes: int) -> Ints:
    """Return counts of shape (classes, classes): rows are true classes, columns predicted ones."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)
