"""Section `behaviour`: which behavioural tests the model must pass."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, JsonValue, field_validator, model_validator

from kubetune.behaviour.suites import suite_names
from kubetune.errors import ConfigError
from kubetune.redaction import quoted
from kubetune.schema.section import Section

JUDGED_BY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "text-classification": frozenset({"labels"}),
        "pair-classification": frozenset({"labels"}),
        "token-classification": frozenset({"places"}),
        "question-answering": frozenset({"places"}),
        "text-classification-multi-label": frozenset({"label-sets"}),
        "pair-classification-multi-label": frozenset({"label-sets"}),
        "text-classification-regression": frozenset(),
        "pair-classification-regression": frozenset(),
        "feature-extraction": frozenset({"similarity"}),
        "feature-extraction-scored-pairs": frozenset({"similarity"}),
        "zero-shot-classification": frozenset({"labels"}),
        "fill-mask": frozenset(),
    }
)
"""What a suite of behavioural tests may judge of a task's answers, as its form says. Of a task without a line it is
checked when the suite is run."""

Bar = Annotated[float, Field(ge=0, lt=1)]


class BehaviourSection(Section):
    """Behavioural tests: what must be answered, what must not change the answer, what must move it."""

    suite: str | dict[str, JsonValue] | None = None
    """Name of a shipped suite (`acceptability`, `answers`, `emotion`, `entailment`, `entities`, `sentiment`,
    `several-labels`, `similarity`, `topic`), or a suite of your own written out here as a mapping (see
    `docs/behaviour.md`); null: nothing is tested."""
    bars: dict[str, Bar | None] = Field(default_factory=dict)
    """Capability → highest failure rate of any of its tests, in the place of the suite's own bar; null: shown, not
    judged."""
    most: int | None = Field(default=None, ge=10)
    """At most so many cases a test where the suite allows more, so that the stage is sooner done and the intervals are
    wider; null: as the suite says."""
    seed: int = 0
    """Of everything that is drawn: fillings of templates, rows, typos, names."""

    @field_validator("suite")
    @classmethod
    def known_suite(cls, value: Any) -> Any:
        """A path would be read on another machine than it was written on, so a name is one of the shipped ones."""
        if isinstance(value, str) and value not in suite_names():
            raise ValueError(
                f"suite {quoted(value)} does not exist: shipped are {', '.join(suite_names())}; write a suite of your "
                "own here as a mapping"
            )
        return value

    @model_validator(mode="after")
    def bars_of_the_suite(self) -> "BehaviourSection":
        """Each bar is one of the suite's; reading a suite costs milliseconds and imports nothing heavy."""
        if self.suite is None:
            if self.bars:
                raise ValueError("bars without a suite judge nothing: name a suite, or leave them out")
            return self
        if self.bars or not isinstance(self.suite, str):
            from kubetune.behaviour.chosen import chosen_suite  # the suite's own schema stands on `schema.section`

            try:
                chosen_suite(self.suite, self.bars)
            except ConfigError as error:
                raise ValueError(str(error).rstrip(".")) from error
        return self

    def language(self) -> str | None:
        """Return the language that the suite is in; None: there is no suite, or it does not say."""
        if self.suite is None:
            return None
        from kubetune.behaviour.chosen import chosen_suite

        return chosen_suite(self.suite, {}).language

    def takes_rows(self) -> bool:
        """Whether a test of the suite takes rows of the test split."""
        if self.suite is None:
            return False
        from kubetune.behaviour.chosen import chosen_suite

        return any(getattr(test, "rows", None) is not None for test in chosen_suite(self.suite, {}).tests)

    def lacking(self, labels: Sequence[str] | None) -> list[str]:
        """Return the labels that the suite needs and that are not among these; None: they are not known yet."""
        if self.suite is None or labels is None:
            return []
        from kubetune.behaviour.chosen import chosen_suite

        return [name for name in chosen_suite(self.suite, {}).labels if name not in labels]

    def unfit(self, task: str) -> list[str]:
        """Return a sentence where the suite judges what answers of a task have not."""
        known = JUDGED_BY.get(task)
        if self.suite is None or known is None:
            return []
        from kubetune.behaviour.chosen import chosen_suite

        judged = chosen_suite(self.suite, {}).expects - known
        if not judged:
            return []
        has = ", ".join(sorted(known)) or "nothing that a suite judges"
        return [
            f"behaviour.suite judges {', '.join(sorted(judged))}, and answers of task {task} have {has}: set "
            "behaviour={}, or choose a suite for that task"
        ]
