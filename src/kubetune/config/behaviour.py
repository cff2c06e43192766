"""Section `behaviour`: the behavioural tests that a model has to pass."""

from pydantic import Field

from kubetune.config.section import Section


class BehaviourSection(Section):
    """Which suite is run and how much may fail."""

    suite: str | None = None
    """Name of a shipped suite; None: no behavioural tests."""
    bars: dict[str, float] = Field(default_factory=dict)
    """Capability → the failure rate that passes, in place of the suite's own bar."""
    seed: int = 0
    """Of everything that the suite draws."""
