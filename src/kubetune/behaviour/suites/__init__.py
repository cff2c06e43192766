"""Shipped suites, one YAML file each."""

from functools import cache
from importlib import resources

SUFFIX = ".yaml"


@cache
def suite_names() -> tuple[str, ...]:
    """Return the names of the shipped suites, sorted; reads no suite."""
    items = (item.name for item in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in items if name.endswith(SUFFIX)))


def shipped_suites() -> dict[str, str]:
    """Return the YAML text of each suite in the package, by name."""
    folder = resources.files(__name__)
    return {name: folder.joinpath(name + SUFFIX).read_text(encoding="utf-8") for name in suite_names()}
