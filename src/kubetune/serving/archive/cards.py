"""Markdown that travels with a model."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from kubetune.tasks.base import Task

MARKUP = "`|<>"
WEAK_SLICES = 3
LONGEST = 600
"""Characters of a sentence."""


def render_template(template: str, **values: Any) -> str:
    """Return a template of this package filled in.

    Args:
        template: File name.
        values: What the template names; filters `plain` and `sentence` make untrusted text fit for a line of Markdown.
    """
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.filters |= {"plain": plain_label, "sentence": sentence}
    text = (files("kubetune.serving.archive") / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**values)


def plain_label(text: str, most: int = 60) -> str:
    """Labels are data: no mark-up, no control characters, one line."""
    kept = "".join(character if character.isprintable() and character not in MARKUP else " " for character in text)
    return " ".join(kept.split())[:most]


def sentence(text: str) -> str:
    """Sentences quote labels and slices outside of code marks: brackets make no link and stars no emphasis."""
    return "".join(f"\\{character}" if character in "\\[]*" else character for character in plain_label(text, LONGEST))


def decision_sentence(decision: Mapping[str, Any]) -> str:
    """Say in one sentence what a `decision.json` decided."""
    champion = decision["champion"]
    against = "without a champion to compare with"
    if champion is not None:
        against = f"against version {champion['version']} of {plain_label(champion['name'], 80)}"
    outcomes = {
        "promote": f"To be promoted, {against}.",
        "keep": f"Not to be promoted, {against}.",
        "undecided": f"Undecided, {against}: the rows do not tell.",
    }
    return outcomes[decision["outcome"]]


def limits(metrics: Mapping[str, Any], task: Task, labels: Sequence[str], max_length: int) -> list[str]:
    """Return what a user must not rely on, one sentence each.

    Args:
        metrics: `metrics.json`.
        task: Of the model.
        labels: Class names by class number.
        max_length: Tokens that are read at once.
    """
    catalogue, rows = task.statistics(labels).catalogue, metrics["rows"]
    read = (
        f"Longer texts are read in windows of {max_length} tokens, but parts of them may be in none: so it was with "
        if task.windows
        else f"Of longer texts the first {max_length} tokens are read, and nothing of the rest: so it was with "
    )
    found = [task.form.caveat(labels), f"{read}{metrics['truncated']:,} of the {rows:,} test rows."]
    if present := [row for row in metrics.get("per_class", ()) if row["support"]]:
        row = min(present, key=lambda row: row["f1"]["value"])
        f1 = row["f1"]
        found.append(
            f"It is weakest on “{plain_label(row['label'])}”: F1 {f1['value']:.3f}, 95 % interval {f1['low']:.3f} to "
            f"{f1['high']:.3f}, on {row['support']:,} {catalogue.counted}."
        )
    name = catalogue.sliced[0]
    metric, sign = catalogue.metrics[name], -1 if catalogue.metrics[name].lower_is_better else 1
    weak = [(column, part) for column, parts in metrics["slices"].items() for part in parts if part["weak"]]
    for column, part in sorted(weak, key=lambda pair: sign * float(pair[1][name]["value"]))[:WEAK_SLICES]:
        found.append(
            f"It is weaker where {plain_label(column)} is {plain_label(part['name'])}: {metric.word} "
            f"{part[name]['value']:.3f} on {part['rows']:,} rows."
        )
    if ece := metrics["metrics"].get("ece"):
        found.append(f"Its confidence is off by {ece['value']:.3f} on average over the test rows.")
    return [
        *found,
        *metrics.get("warnings", ()),
        "The intervals cover the choice of test rows, not the luck of training.",
        "The numbers hold for text like the test rows. Nothing was checked about other languages or sources, nor about "
        "fairness between groups of people beyond the slices of the report.",
    ]
