"""Files of one's own for `kubetune init`, and what it makes of them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from kubetune.cli.app import app
from kubetune.config.load import load_recipe
from kubetune.config.recipe import Recipe
from kubetune.errors import KubetuneError

CLASSES = ("billing", "delivery", "other")
ROWS = 60


def text_of(number: int, words: int = 8) -> str:
    return " ".join(f"word{(number * 7 + place * place) % 41}" for place in range(words))


def table(
    place: Path, columns: dict[str, Any], name: str = "rows.csv", delimiter: str = ",", coding: str = "utf-8"
) -> Path:
    """Write a table; a column is a function of the row's number."""
    path = place / name
    with path.open("w", newline="", encoding=coding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows([of(number) for of in columns.values()] for number in range(ROWS))
    return path


def lines(place: Path, rows: Sequence[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    path = place / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def label(number: int) -> str:
    return CLASSES[number % 3]


def init(file: Path, *words: str) -> tuple[Recipe, str]:
    """Return the recipe that was written, as it is read again, and what was said."""
    output = file.parent / "recipe.yaml"
    done = CliRunner().invoke(app, ["init", str(file), "--output", str(output), *words])
    assert done.exit_code == 0, (done.output, done.exception)
    return load_recipe(str(output)), done.output


def refusal(file: Path, *words: str) -> KubetuneError:
    output = file.parent / "recipe.yaml"
    before = output.read_bytes() if output.exists() else None
    done = CliRunner().invoke(app, ["init", str(file), "--output", str(output), *words])
    assert isinstance(done.exception, KubetuneError), (done.output, done.exception)
    assert (output.read_bytes() if output.exists() else None) == before, "a refusal writes nothing"
    return done.exception
