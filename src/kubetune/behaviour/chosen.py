"""The suite that a recipe chooses, with the recipe's bars and no more cases than it wants."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from kubetune.behaviour.load import parse_suite, suite_of
from kubetune.behaviour.suite import AnyTest, Perturbed, Suite
from kubetune.behaviour.suites import shipped_suites, suite_names
from kubetune.errors import ConfigError
from kubetune.redaction import quoted


def chosen_suite(suite: str | Mapping[str, Any], bars: Mapping[str, float | None], most: int | None = None) -> Suite:
    """Return a suite whose capabilities have the given bars.

    Args:
        suite: Name of a shipped suite, or a suite as a mapping.
        bars: Capability → `at_most`; None: not judged. Capabilities that are not named keep the suite's bar.
        most: At most so many cases a test; None: as the suite says.

    Raises:
        ConfigError: The suite does not exist or has errors, or a bar is for none of its capabilities.
    """
    if isinstance(suite, str):
        if suite not in suite_names():
            raise ConfigError(f"Suite {quoted(suite)} does not exist: shipped are {', '.join(suite_names())}.")
        found = _shipped(suite)
    else:
        found = suite_of(dict(suite), "behaviour.suite")
    unknown = [name for name in bars if name not in found.capabilities]
    if unknown:
        raise ConfigError(
            f"behaviour.bars names {', '.join(f'{quoted(name)}' for name in unknown)}, which suite {found.name!r} does "
            f"not test: its capabilities are {', '.join(found.capabilities)}."
        )
    raised = {
        name: capability.model_copy(update={"at_most": bars.get(name, capability.at_most)})
        for name, capability in found.capabilities.items()
    }
    tests = found.tests if most is None else [_at_most(test, most) for test in found.tests]
    return found.model_copy(update={"capabilities": raised, "tests": tests})


@cache
def _shipped(name: str) -> Suite:
    """A shipped suite, read once a process: each check of a recipe asks for it."""
    return parse_suite(shipped_suites()[name], name)


def _at_most(test: AnyTest, most: int) -> AnyTest:
    update: dict[str, Any] = {"most": min(test.most, most)}
    if isinstance(test, Perturbed) and test.rows is not None:
        allowed = most if test.rows.most is None else min(test.rows.most, most)
        update["rows"] = test.rows.model_copy(update={"most": allowed})
    return test.model_copy(update=update)
