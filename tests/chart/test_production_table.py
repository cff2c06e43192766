"""The table of what production needs: exactly its values render, and each of them is missed."""

import json
import re
from pathlib import Path

import pytest
import yaml
from chart_helm import HelmError, objects, template

PAGE = Path(__file__).parents[2] / "docs" / "kubernetes.md"
MARK = "<!-- production: read by tests/chart/test_production_table.py -->"
ENDPOINT = "serving.endpoints.tweets"


def rows() -> dict[str, object]:
    """Value → example, as the page states them; `sha256:…` stands for a digest."""
    text = PAGE.read_text(encoding="utf-8").split(MARK)[1].strip()
    found = re.findall(r"^\| `([A-Za-z.]+)` \| `(.+?)` \|", text.split("\n\n")[0], flags=re.MULTILINE)
    return {path: yaml.safe_load(example.replace("sha256:…", f"sha256:{'a' * 64}")) for path, example in found}


ROWS = rows()


def settings(values: dict[str, object]) -> list[str]:
    return [f"{path}={json.dumps(value)}" for path, value in values.items()]


def test_production_renders_with_exactly_the_values_of_the_table() -> None:
    assert len(ROWS) >= 12
    found = objects(template(["prod"], settings=settings(ROWS)))
    assert len(found) > 40
    assert {"Deployment", "NetworkPolicy", "PodDisruptionBudget"} <= {item["kind"] for item in found}


@pytest.mark.parametrize("missing", ROWS)
def test_each_value_of_the_table_is_missed_and_named(missing: str) -> None:
    left = {path: value for path, value in ROWS.items() if path != missing}
    if missing == ENDPOINT:
        left[missing] = {}  # an endpoint is there, its keys are not
    with pytest.raises(HelmError) as caught:
        template(["prod"], settings=settings(left))
    assert missing.removesuffix(".cidrs") in str(caught.value), str(caught.value)
