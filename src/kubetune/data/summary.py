"""What became of the rows in one line, for a terminal, a log and the head of a report."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubetune.text.shown import one_line

NAMED = 5
"""Classes named before the rest is counted."""


def class_findings(report: Mapping[str, Any], rare: int) -> dict[str, Any]:
    """Return which classes have no rows in train, few of them, or none in a split that measures.

    Args:
        report: Holds `labels`: class → split → rows.
        rare: Fewer rows of train than this are few.
    """
    labels: Mapping[str, Mapping[str, int]] = report["labels"]
    used = [name for name, rows in labels.items() if any(rows.values())]
    return {
        "empty": [name for name in labels if name not in used],
        "rare": {name: labels[name]["train"] for name in used if labels[name]["train"] < rare},
        "absent": {
            split: [name for name in used if not labels[name][split]]
            for split in ("validation", "test")
            if any(rows[split] for rows in labels.values())
        },
        "rare_below": rare,
    }


def data_line(report: Mapping[str, Any]) -> str:
    """Return the line: rows read, rejected by reason, removed and left out, splits, classes, unknown tokens, cuts.

    Args:
        report: The data report, with or without what only a tokenizer tells.
    """
    rows = report["rows"]
    parts = [f"{rows['total']:,} rows read", *_left(report)]
    parts.append(", ".join(f"{name} {count:,}" for name, count in rows["splits"].items()))
    parts += _classes(report) if "classes" in report else ()
    parts += report.get("targets", {}).get("line", ())
    if "unknown_tokens" in report:
        parts.append(f"unknown tokens {_percent(report['unknown_tokens']['train']['share'])}")
    if "truncation" in report:
        parts.append(f"truncated {_percent(report['truncation']['train']['share'])} of train")
    return "; ".join(parts)


def _left(report: Mapping[str, Any]) -> Iterable[str]:
    rows = report["rows"]
    reasons = ", ".join(f"{reason} {found['rows']:,}" for reason, found in report["rejects"].items())
    yield f"{rows['rejected']:,} rejected" + (f" ({reasons})" if reasons else "")
    removed = rows["removed_from_train"]
    conflicts = removed["conflicting-labels"]
    documents = sum(count for reason, count in removed.items() if reason.startswith("document-"))
    duplicates = sum(removed.values()) - conflicts - documents
    of = f", {documents:,} of documents of other splits" if documents else ""
    yield f"removed from train {duplicates:,} duplicates{of} and {conflicts:,} with conflicting labels"
    if rows["left_out_by_limit"]:
        yield f"{rows['left_out_by_limit']:,} left out by data.limit"
    if rows["unused"]:
        yield "not used " + ", ".join(f"{name} {count:,}" for name, count in rows["unused"].items())


def _classes(report: Mapping[str, Any]) -> Iterable[str]:
    found = report["classes"]
    yield f"{len(report['labels']):,} {report.get('targets', {}).get('classes', 'classes')}"
    if found["empty"]:
        yield f"without rows {_named(found['empty'])}"
    unit = report.get("targets", {}).get("unit", "rows")
    if found["rare"]:
        rare = [f"{one_line(name, 40)} ({count})" for name, count in found["rare"].items()]
        yield f"fewer than {found['rare_below']} {unit} in train {_named(rare)}"
    for split, names in found["absent"].items():
        if names:
            yield f"absent from {split} {_named(names)}"


def _named(names: Iterable[str]) -> str:
    shown = [one_line(name, 50) for name in names]
    rest = len(shown) - NAMED
    return ", ".join(shown[:NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
