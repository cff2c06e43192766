"""Section `evaluation`: what is measured on the test rows and how good it must be."""

from typing import Literal

from pydantic import Field, model_validator

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
