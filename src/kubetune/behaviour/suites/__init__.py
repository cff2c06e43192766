"""Shipped suites, one YAML file each."""

from importlib import resources


def shipped_suites() -> dict[str, str]:
    """Return the YAML text of each suite in the package, by name."""
    folder = resources.files(__name__)
    return {
        item.name.removesuffix(".yaml"): item.read_text(encoding="utf-8")
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".yaml")
    }
