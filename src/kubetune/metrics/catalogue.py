"""Which metrics a task has and how they are read. Imports nothing, so that a recipe is checked wherever it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """How a metric is read.

    Attributes:
        title: Its name in a table.
        hint: What it says, a few words.
        lower_is_better: Whether less is better.
        track: Whether it runs from 0 to 1 and is drawn so, beside the baselines.
        reads: Which statistics it is a function of, or that it needs the rows themselves, as a metric of ranks does.
            Resampling counts alone costs nothing that grows with the rows.
        share: Whether it is the share of rows whose score is 1, which is compared by an exact test.
        decides: Whether two models may be compared by it.
        picks: Whether the weights of a training may be picked by it.
    """

    title: str
    hint: str
    lower_is_better: bool = False
    track: bool = False
    reads: Literal["counts", "sums", "both", "rows"] = "counts"
    share: bool = False
    decides: bool = True
    picks: bool = True

    @property
    def word(self) -> str:
        """Its name inside a sentence: `macro F1`, `MCC`."""
        return self.title[:1].lower() + self.title[1:] if self.title[1:2].islower() else self.title


@dataclass(frozen=True)
class Catalogue:
    """The metrics of a kind of task, whatever its labels are.

    Attributes:
        metrics: Name → how it is read, in the order in which a person reads them.
        main: Name of the metric by which models are chosen and compared unless a recipe says otherwise.
        sliced: Names of the metrics that are shown of a slice; the first one says whether the slice is weak.
        baselines: Names of the baselines that thresholds may ask for, the strongest last.
        no_baseline: Metrics that the baselines have not, as they answer without probabilities.
        labels: What a label is called in a table, one and many.
        counted: What a label's support counts.
        unsaid: What a slice is of which a metric says nothing.
        method: How the metrics are worked out, a sentence or two each, for the report.
        graded: Whether hardly any answer is wholly right, so that guards of a comparison hold the means of the rows'
            scores side by side instead of shares of right answers.
    """

    metrics: Mapping[str, Metric]
    main: str
    sliced: tuple[str, ...]
    baselines: tuple[str, ...]
    no_baseline: tuple[str, ...] = ()
    labels: tuple[str, str] = ("class", "classes")
    counted: str = "rows"
    unsaid: str = "one class"
    method: tuple[str, ...] = ()
    graded: bool = False


CLASSES = Catalogue(
    metrics=MappingProxyType(
        {
            "accuracy": Metric("Accuracy", "share of right answers", track=True, share=True),
            "macro_f1": Metric("Macro F1", "each class counts the same", track=True),
            "weighted_f1": Metric("Weighted F1", "classes count by their rows"),
            "mcc": Metric("MCC", "0 is chance, 1 is perfect", track=True),
            "ece": Metric(
                "Calibration error", "less is better", lower_is_better=True, reads="sums", decides=False, picks=False
            ),
            "loss": Metric("Loss", "nats; less is better", lower_is_better=True, reads="sums", decides=False),
        }
    ),
    main="macro_f1",
    sliced=("accuracy", "macro_f1"),
    baselines=("majority", "tfidf"),
    method=(
        "Macro F1 is the mean over classes that occur or are predicted; a class that is never predicted counts 0. MCC "
        "is 0 where all answers are one class.",
        "Calibration error: 15 equal-width confidence bins (Guo et al., 2017). Loss: mean cross entropy in nats.",
    ),
)

ENTITIES = Catalogue(
    metrics=MappingProxyType(
        {
            "precision": Metric("Precision", "share of the answered entities that are right", track=True),
            "recall": Metric("Recall", "share of the labelled entities that are found", track=True),
            "f1": Metric("F1", "each entity counts the same", track=True),
            "macro_f1": Metric("Macro F1", "each type counts the same"),
            "loss": Metric("Loss", "nats; less is better", lower_is_better=True, reads="sums", decides=False),
        }
    ),
    main="f1",
    sliced=("f1",),
    baselines=("gazetteer",),
    no_baseline=("loss",),
    labels=("type", "types"),
    counted="entities",
    unsaid="no entity",
    method=(
        "An answered entity is right where its type and both of its ends are those of a labelled one. Macro F1 is the "
        "mean over types that occur or are answered; a type that is never answered counts 0.",
        "Loss: mean cross entropy of a word's tag in nats.",
    ),
)

ANSWERS = Catalogue(
    metrics=MappingProxyType(
        {
            "f1": Metric("F1", "words shared with the nearest given answer", track=True, reads="sums"),
            "exact_match": Metric("Exact match", "share of answers that are one of those given", track=True),
            "has_answer_f1": Metric("F1, answerable", "of questions that have an answer", track=True, reads="both"),
            "no_answer_accuracy": Metric("No answer", "share of unanswerable questions left unanswered", track=True),
            "loss": Metric("Loss", "nats a window; less is better", lower_is_better=True, reads="sums", decides=False),
        }
    ),
    main="f1",
    sliced=("f1", "exact_match"),
    baselines=("overlap",),
    no_baseline=("loss",),
    labels=("kind of question", "kinds of question"),
    counted="questions",
    unsaid="no question",
    method=(
        "Exact match and F1 as SQuAD counts them: lower case, no punctuation, no English articles, the nearest of the "
        "given answers; an unanswerable question is right where it is left unanswered.",
        "Loss: mean cross entropy of the answer's two ends in nats a window.",
    ),
)

LABELS = Catalogue(
    metrics=MappingProxyType(
        {
            "micro_f1": Metric("Micro F1", "each label of each row counts the same", track=True),
            "macro_f1": Metric("Macro F1", "each label counts the same", track=True),
            "precision": Metric("Precision", "share of the chosen labels that are right", track=True),
            "recall": Metric("Recall", "share of the labels given that are chosen", track=True),
            "subset_accuracy": Metric("Subset accuracy", "share of rows with all labels right", track=True, share=True),
            "hamming_loss": Metric("Hamming loss", "share of wrong decisions; less is better", lower_is_better=True),
            "loss": Metric("Loss", "nats a label; less is better", lower_is_better=True, reads="sums", decides=False),
        }
    ),
    main="micro_f1",
    sliced=("micro_f1", "subset_accuracy"),
    baselines=("frequent", "tfidf"),
    labels=("label", "labels"),
    counted="rows",
    unsaid="no label",
    graded=True,
    method=(
        "Precision, recall and micro F1 pool the decisions on all labels. Macro F1 is the mean over labels that occur "
        "or are chosen; a label that is never chosen counts 0. Hamming loss is the share of wrong decisions, of rows "
        "times labels.",
        "Loss: mean binary cross entropy of a label in nats.",
    ),
)

SCORES = Catalogue(
    metrics=MappingProxyType(
        {
            "mse": Metric("MSE", "mean squared error", lower_is_better=True, reads="sums"),
            "mae": Metric("MAE", "mean absolute error", lower_is_better=True, reads="sums"),
            "r2": Metric("R²", "share of the variance explained; 0 is the mean", reads="sums"),
            "pearson": Metric("Pearson", "correlation", reads="sums"),
            "spearman": Metric("Spearman", "correlation of ranks", reads="rows"),
        }
    ),
    main="r2",
    sliced=("mae", "mse"),
    baselines=("mean", "ridge"),
    labels=("score", "scores"),
    unsaid="one score",
    graded=True,
    method=(
        "Errors are in the unit of the scores. R² is 1 less MSE over the variance of these rows' scores. Pearson and "
        "Spearman are undefined where all scores or all answers are equal, and read 0 there.",
        "A row's own score is 1 less its error over the range of the train rows' scores, at least 0.",
    ),
)

SIMILARITY = Catalogue(
    metrics=MappingProxyType(
        {
            "spearman": Metric("Spearman", "how alike cosines and scores rank", track=True, reads="rows"),
            "pearson": Metric("Pearson", "how near cosines and scores are to a line", track=True, reads="sums"),
            "loss": Metric("Loss", "squared error; less is better", lower_is_better=True, reads="sums", decides=False),
        }
    ),
    main="spearman",
    sliced=("spearman", "pearson"),
    baselines=("jaccard", "tfidfcosine"),
    no_baseline=("loss",),
    labels=("range of similarity", "ranges of similarity"),
    counted="pairs",
    unsaid="one score or one cosine",
    graded=True,
    method=(
        "Spearman is the correlation of the ranks of cosines and scores, equal ones at their mean rank; Pearson that "
        "of the numbers. Both are 0 where all cosines are equal.",
        "Loss: mean squared difference of cosine and similarity from 0 to 1.",
    ),
)

MASKS = Catalogue(
    metrics=MappingProxyType(
        {
            "cross_entropy": Metric(
                "Cross-entropy", "nats a masked token; less is better", lower_is_better=True, reads="sums"
            ),
            "perplexity": Metric(
                "Perplexity", "e to the cross-entropy", lower_is_better=True, reads="sums", decides=False
            ),
            "top_1": Metric("Top 1", "share of masked tokens that are the likeliest one", track=True),
            "top_5": Metric("Top 5", "share among the five likeliest", track=True),
        }
    ),
    main="cross_entropy",
    sliced=("cross_entropy", "top_1"),
    baselines=("unigram",),
    labels=("kind of text", "kinds of text"),
    counted="texts",
    unsaid="no masked token",
    graded=True,
    method=(
        "About 15 of 100 tokens of a text are masked, one at least and no special or unknown one. Which ones follows "
        "from the text, so that each model is asked for the same. All are read as the mask token.",
        "A rank counts the tokens that are at least as likely. Cross-entropies of two vocabularies do not compare.",
    ),
)

RETRIEVAL = Catalogue(
    metrics=MappingProxyType(
        {
            "mrr": Metric("MRR", "mean of 1 / rank of the positive", track=True, reads="sums"),
            "ndcg_10": Metric("nDCG@10", "positives beyond rank 10 count 0", track=True, reads="sums"),
            "accuracy_1": Metric("Accuracy@1", "share of positives at rank 1", track=True),
            "accuracy_10": Metric("Accuracy@10", "share of positives up to rank 10", track=True),
            "loss": Metric("Loss", "nats; less is better", lower_is_better=True, reads="sums", decides=False),
        }
    ),
    main="mrr",
    sliced=("mrr", "accuracy_1"),
    baselines=("jaccard", "tfidfcosine"),
    no_baseline=("loss",),
    labels=("kind of pair", "kinds of pair"),
    counted="pairs",
    unsaid="no pair",
    method=(
        "Each anchor is compared with every distinct positive of the split. A row's rank counts those that are at "
        "least as near as its own positive, other positives of the same anchor left out.",
        "Loss: mean cross entropy in nats of finding the positive among those of up to 256 rows.",
    ),
)
