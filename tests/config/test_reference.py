"""The committed reference is what the models say. `KUBETUNE_TEST_REGENERATE=1` writes it again."""

import os
from pathlib import Path

from kubetune.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "recipe-reference.md"


def test_the_reference_page_is_in_step_with_the_models() -> None:
    if os.environ.get("KUBETUNE_TEST_REGENERATE"):
        PAGE.write_text(reference(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_recipe_key_is_documented() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    silent = [row for row in rows if row.endswith("|  |") and not row.startswith("| `kind`") and "below" not in row]
    assert len(rows) > 100
    assert [row for row in silent if " or " not in row.split("|")[2]] == []
