"""Section `promotion`: what a candidate must show against the champion before it serves."""

from typing import Literal

from pydantic import Field

from kubetune.schema.section import Section


class GuardedSlice(Section):
    """Parts of the test rows on which the candidate must not lose."""

    column: str
    """`length`, `label`, or any column named in `data.columns.keep`."""
    parts: list[str] = Field(default_factory=list)
    """Names of parts; empty: every part with at least `minimum_slice_rows` rows. A named part must be there and be
    large enough, else nothing is promoted."""
    margin: float | None = Field(default=None, gt=0, lt=1)
    """The loss of accuracy that still passes; None: `slice_margin`."""


class PromotionSection(Section):
    """How the candidate is compared with the champion on the same test rows."""

    gate: Literal["champion", "thresholds"] = "champion"
    """`thresholds`: the candidate is compared with nobody, and passing all thresholds promotes it."""
    approval: bool = False
    """Whether a person must agree before a promoted candidate is registered as the champion."""
    metric: str | None = None
    """The number that must improve, one of the task's; None: the task's main one, `macro_f1` of a classification and
    `f1` of entities."""
    margin: float = Field(default=0.01, ge=0, lt=1)
    """The smallest gain of the metric that matters: once the rows rule it out, the champion stays. 0: only a candidate
    that is shown to be worse is kept out, and equal models stay undecided."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Bound on the chance that a candidate that is no better is ever promoted, over all comparisons on one set of
    test rows together."""
    power: float = Field(default=0.8, gt=0.5, lt=1)
    """Chance of a decision for which the number of further rows is worked out."""
    minimum_rows: int = Field(default=200, ge=1)
    """With fewer test rows, rows of one text counted once, nothing is tested and no alpha is spent."""
    slices: list[GuardedSlice] = Field(default_factory=lambda: [GuardedSlice(column="label")])
    """Slices that must not lose."""
    slice_margin: float = Field(default=0.05, gt=0, lt=1)
    """The loss of accuracy that a slice may have."""
    minimum_slice_rows: int = Field(default=50, ge=1)
    """Parts with fewer rows, rows of one text counted once, are listed and not judged."""
    capability_margin: float = Field(default=0.05, gt=0, lt=1)
    """The rise of the failure rate that a capability of the behavioural tests may have."""
    calibration_margin: float | None = Field(default=0.02, gt=0, lt=1)
    """The rise of the expected calibration error that passes; None: it is shown, not judged."""
    resamples: int = Field(default=10_000, ge=200, le=1_000_000)
    """Bootstrap resamples, by distinct text, of macro-F1 and of the calibration error."""
    seed: int = 0
    """Of the resampling."""
