"""The few sentences that a person should read first, drawn from `metrics.json`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubetune.metrics.catalogue import Catalogue, Metric
from kubetune.text.shown import number, one_line, signed

FEW_TEXTS = 200
"""Below this many distinct test texts the report warns of wide intervals."""
GOOD_ECE = 0.02
TRUNCATED_SHARE = 0.05
WEAK_SLICES = 2


@dataclass(frozen=True)
class Finding:
    """One sentence.

    Attributes:
        kind: `good`, `bad` or `note`.
        text: Plain text, still to be escaped.
    """

    kind: Literal["good", "bad", "note"]
    text: str


def findings(document: Mapping[str, Any], catalogue: Catalogue) -> list[Finding]:
    """Return what stands out, most important first.

    Args:
        document: Content of `metrics.json`.
        catalogue: How its metrics are called.
    """
    return [
        *(Finding("bad", f"The model is {reason}") for reason in document["collapse"]),
        *(Finding("bad", warning) for warning in document.get("warnings", ())),
        *_against_baselines(document, catalogue),
        *_few_texts(document),
        *_weakest_label(document, catalogue),
        *_confused(document),
        *_weak_slices(document, catalogue),
        *_calibration(document),
        *_truncation(document),
    ]


def compared(metric: Metric, title: str, model: float, baseline: float, difference: Mapping[str, float]) -> Finding:
    """Say whether the model beats a baseline in a metric, as far as the rows can tell."""
    span = f"{signed(difference['low'], 3)} to {signed(difference['high'], 3)}"
    detail = (
        f"{title}: {metric.word} {number(model, 3)} against {number(baseline, 3)}, "
        f"difference {signed(difference['value'], 3)}, 95 % interval {span}."
    )
    if difference["low"] <= 0 <= difference["high"]:
        return Finding("bad", f"Not better than {detail}")
    better = (difference["low"] > 0) != metric.lower_is_better
    return Finding("good", f"Better than {detail}") if better else Finding("bad", f"Worse than {detail}")


def _against_baselines(document: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Finding]:
    main = catalogue.main
    model = document["metrics"][main]["value"]
    for name in ordered(document, catalogue):
        baseline = document["baselines"][name]
        value = baseline["metrics"][main]["value"]
        yield compared(catalogue.metrics[main], baseline["title"], model, value, baseline["difference"][main])


def ordered(document: Mapping[str, Any], catalogue: Catalogue) -> list[str]:
    """Return the names of the baselines that were measured, the strongest first."""
    return [name for name in reversed(catalogue.baselines) if name in document["baselines"]]


def counted(document: Mapping[str, Any]) -> str:
    """Return how many test rows there are, and of how many texts where some have the same one."""
    rows, texts = document["rows"], document["texts"]
    return f"{rows:,} test rows" if texts == rows else f"{rows:,} test rows of {texts:,} distinct texts"


def _few_texts(document: Mapping[str, Any]) -> Iterator[Finding]:
    if document["texts"] < FEW_TEXTS:
        yield Finding("note", f"There are only {counted(document)}: the intervals are wide, and mean it.")


def _weakest_label(document: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Finding]:
    present = [row for row in document["per_class"] if row["support"]]
    if len(present) < 2:
        return
    row = min(present, key=lambda row: row["f1"]["value"])
    f1 = row["f1"]
    never = "; it is never predicted" if not row["predicted"] else ""
    yield Finding(
        "note",
        f"The weakest {catalogue.labels[0]} is “{one_line(row['label'], 60)}”: F1 {number(f1['value'], 3)} "
        f"({number(f1['low'], 3)} to {number(f1['high'], 3)}) on {row['support']:,} {catalogue.counted}{never}.",
    )


def _confused(document: Mapping[str, Any]) -> Iterator[Finding]:
    if found := confusions(document, 1):
        worst = found[0]
        yield Finding(
            "note",
            f"The commonest mistake: “{worst['label']}” taken for “{worst['prediction']}”, {worst['rows']:,} of "
            f"{worst['support']:,} rows ({worst['share']:.0%}).",
        )


def confusions(document: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """Return the commonest mistakes as `{"label", "prediction", "rows", "support", "share"}`, commonest first."""
    names = [one_line(name, 60) for name in document["labels"]]
    pairs = [
        {
            "label": names[true],
            "prediction": names[predicted],
            "rows": rows,
            "support": sum(counts),
            "share": rows / sum(counts),
        }
        for true, counts in enumerate(document.get("confusion", ()))
        for predicted, rows in enumerate(counts)
        if rows and true != predicted
    ]
    return sorted(pairs, key=lambda pair: (-pair["rows"], -pair["share"]))[:most]


def _weak_slices(document: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Finding]:
    name = catalogue.sliced[0]
    metric, overall = catalogue.metrics[name], document["metrics"][name]["value"]
    weak = [
        (column, part)
        for column, parts in document["slices"].items()
        if column != "label"  # the per-class sentence says it
        for part in parts
        if part["weak"]
    ]
    sign = -1 if metric.lower_is_better else 1
    for column, part in sorted(weak, key=lambda pair: sign * pair[1][name]["value"])[:WEAK_SLICES]:
        found = part[name]
        yield Finding(
            "bad",
            f"Weaker where {one_line(column, 60)} is {part['name']}: {metric.word} {number(found['value'], 3)} "
            f"({number(found['low'], 3)} to {number(found['high'], 3)}) on {part['rows']:,} rows, "
            f"{number(overall, 3)} on all.",
        )


def _calibration(document: Mapping[str, Any]) -> Iterator[Finding]:
    if "calibration" not in document:
        return
    ece = document["metrics"]["ece"]["value"]
    confidence = sum(part["rows"] * part["confidence"] for part in document["calibration"]) / document["rows"]
    accuracy = document["metrics"]["accuracy"]["value"]
    if ece <= GOOD_ECE:
        yield Finding("good", f"Its confidence can be taken at its word: calibration error {ece:.1%}.")
        return
    gap = confidence - accuracy
    lean = "Its confidence is off now up, now down"
    if abs(gap) > ece / 2:
        lean = "It is over-confident" if gap > 0 else "It is under-confident"
    yield Finding(
        "note",
        f"{lean}: mean confidence {confidence:.1%}, accuracy {accuracy:.1%}, calibration error {ece:.1%}.",
    )


def _truncation(document: Mapping[str, Any]) -> Iterator[Finding]:
    share = document["truncated"] / document["rows"]
    if share > TRUNCATED_SHARE:
        yield Finding("note", f"{share:.0%} of the test rows were cut at the maximum length; a longer one may help.")
