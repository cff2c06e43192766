"""Section `evaluation`: what is measured on the test rows and how good it must be."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from kubetune.schema.section import Section


class Threshold(Section):
    """A bar for one number."""

    metric: str
    """The number that is judged, one of the task's; of a classification `accuracy`, `macro_f1`, `weighted_f1`, `mcc`,
    `ece` or `loss`, of entities `precision`, `recall`, `f1`, `macro_f1` or `loss`."""
    at_least: float | None = None
    """Lower bar."""
    at_most: float | None = None
    """Upper bar."""
    bound: Literal["point", "interval"] = "point"
    """`interval`: the pessimistic end of the 95 % interval must pass."""
    above_baseline: str | None = None
    """The metric must be better than that baseline's value by `at_least`; 0 or absent: better at all. For `ece` and
    `loss`, better is less. A baseline of the task: `majority` or `tfidf` of a classification, `gazetteer` of
    entities."""

    @model_validator(mode="after")
    def one_bar(self) -> "Threshold":
        """A threshold without a bar, or with two, says nothing."""
        if self.above_baseline is None and (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        if self.above_baseline is not None and self.at_most is not None:
            raise ValueError("above_baseline goes with at_least, not with at_most")
        return self


UNSEEN = "unseen_"
"""Begins the names of figures on unseen labels."""
UNSEEN_METRICS = ("accuracy", "macro_f1")
MOST_UNSEEN = 2_000


class UnseenSection(Section):
    """Texts with labels that no training row has, for a task that answers with labels that a request names."""

    texts: dict[str, list[str]]
    """Label → texts that have it, at most 2,000 in all, none twice: what users will ask."""
    template: str = Field(default="This example is {}.", pattern=r"^[^{}]*\{\}[^{}]*$")
    """The sentence with the label in it, see `hypothesis_template` of a request."""

    @field_validator("texts")
    @classmethod
    def labelled_once(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        """Two labels, each with texts, and each text with one label."""
        texts = [text for of in value.values() for text in of]
        blank = [name for name, of in value.items() if not name.strip() or not of or not all(map(str.strip, of))]
        if len(value) < 2:
            raise ValueError("a choice needs at least two labels: list the texts of each")
        if blank:
            raise ValueError(f"label {blank[0]!r:.60} is blank, has no text or a blank one: give each label its texts")
        if len(texts) > MOST_UNSEEN:
            raise ValueError(f"there are {len(texts):,} texts: allowed are {MOST_UNSEEN:,}")
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(f"{twice!r:.60} is there twice: give each text once, with one label")
        return value


class EvaluationSection(Section):
    """How the model is judged. The test rows are opened by `evaluate` alone."""

    thresholds: list[Threshold] = Field(default_factory=list)
    """Every miss refuses the run (77)."""
    refuse_collapsed: bool = True
    """Refuse (77), whatever the thresholds, a model that answers one class only or whose MCC is about 0. Smoke runs
    on too little training set it to false."""
    slices: list[str] = Field(default_factory=lambda: ["length", "label"])
    """`length`, `label`, or any column named in `data.columns.keep`."""
    bootstrap_samples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval; distinct texts are drawn, each with all its rows."""
    seed: int = 0
    """Of the bootstrap."""
    hardest: int = Field(default=20, ge=0, le=1000)
    """Confident mistakes shown in the report."""
    batch: int = Field(default=64, ge=1, le=65_536)
    """Rows predicted at once."""
    unseen: UnseenSection | None = None
    """Zero-shot classification: accuracy and macro F1 on labels of your own, as `unseen_accuracy` and
    `unseen_macro_f1` for thresholds; `majority` is the baseline that they have."""

    @model_serializer(mode="wrap")
    def as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without unseen labels that are not set, so that a stored recipe from before there were some is the same."""
        found: dict[str, Any] = dump(self)
        return {name: value for name, value in found.items() if name != "unseen" or value is not None}
