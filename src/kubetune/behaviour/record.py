"""What a suite found, as the files of artifact `behaviour`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.behaviour.lexicons import shipped_lexicon, shipped_lexicons
from kubetune.behaviour.proportions import clustered_wilson
from kubetune.behaviour.run import BehaviourOutcome, CaseResult, SuiteResult
from kubetune.behaviour.suite import Capability, Suite
from kubetune.contract import Verdict
from kubetune.errors import RefusedError
from kubetune.text.shown import digits_for, number


def judge_behaviour(suite: Suite, result: SuiteResult) -> Verdict:
    """Return the verdict with one sentence a miss.

    Each test is held to its capability's bar, so that a large easy test cannot hide a small failing one. A capability
    with a bar of which no test met a single case is a miss as well: nothing is known of it.
    """
    reasons = []
    for name, capability in suite.capabilities.items():
        outcomes = [outcome for outcome in result.outcomes if outcome.capability == name]
        if capability.at_most is None or not outcomes:
            continue  # without outcomes all its tests were left out, which `left_out` says
        if not any(outcome.count for outcome in outcomes):
            reasons.append(f"{name}: none of its tests applies to any row, so nothing is known; give it templates.")
        reasons += [reason for outcome in outcomes if (reason := _miss(capability, capability.at_most, outcome))]
    return Verdict(RefusedError.exit_code if reasons else 0, tuple(reasons))


def _miss(capability: Capability, bar: float, outcome: BehaviourOutcome) -> str | None:
    value = {"lower": outcome.low, "point": outcome.rate, "upper": outcome.high}[capability.bound]
    if outcome.count == 0 or value <= bar:
        return None
    digits = digits_for(value - bar)
    made = "" if outcome.sources == outcome.count else f" made of {outcome.sources:,} templates or rows"
    end = "" if capability.bound == "point" else f", whose {capability.bound} end is judged"
    return (
        f"{outcome.capability}: test “{outcome.test}” fails on {outcome.failures:,} of {outcome.count:,} cases{made} "
        f"(rate {number(outcome.rate, digits)}, 95 % interval {number(outcome.low, digits)} to "
        f"{number(outcome.high, digits)}{end}), at most {bar:g} is allowed: missed by {number(value - bar, digits)}."
    )


BEHAVIOUR_FILE = "behaviour.json"
CASES_FILE = "cases.parquet"
FORMAT = 1
CASES = pa.schema(
    [
        ("capability", pa.string()),
        ("test", pa.string()),
        ("case", pa.string()),
        ("source", pa.string()),
        ("passed", pa.bool_()),
    ]
)


def write_behaviour(document: Mapping[str, Any], cases: Sequence[CaseResult], folder: Path) -> None:
    """Write both files, byte-stable for equal content and pyarrow version."""
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / BEHAVIOUR_FILE).write_text(text + "\n", encoding="utf-8")
    columns = {name: [getattr(case, name) for case in cases] for name in CASES.names}
    pq.write_table(pa.table(columns, schema=CASES), folder / CASES_FILE, compression="zstd")


def behaviour_document(suite: Suite, result: SuiteResult, verdict: Verdict) -> dict[str, Any]:
    """Return `behaviour.json` of a suite that was run."""
    return empty_document(result.seed) | {
        "suite": suite.name,
        "suite_digest": suite_digest(suite),
        "scored": result.scored,
        "outcomes": result.as_dict()["outcomes"],
        "left_out": list(result.left_out),
        "capabilities": capability_rates(suite, result.outcomes),
        "verdict": {"code": verdict.code, "reasons": list(verdict.reasons)},
    }


def empty_document(seed: int) -> dict[str, Any]:
    """Return `behaviour.json` where no suite is asked for: nothing tested, nothing missed."""
    return {
        "format": FORMAT,
        "suite": None,
        "suite_digest": None,
        "seed": seed,
        "scored": 0,
        "outcomes": [],
        "left_out": [],
        "capabilities": {},
        "verdict": asdict(Verdict()),
    }


def capability_rates(suite: Suite, outcomes: Sequence[BehaviourOutcome]) -> dict[str, dict[str, float]]:
    """Return capability → count, sources, failures, rate, low and high over all its tests.

    A template or a row of several tests is one source of cases. The tests are chosen and not drawn, so the interval is
    one to look at, not one to judge by: bars are held test by test.
    """
    found = {}
    for name in suite.capabilities:
        of_it = [outcome for outcome in outcomes if outcome.capability == name]
        count, failures = sum(outcome.count for outcome in of_it), sum(outcome.failures for outcome in of_it)
        clusters: dict[str, tuple[int, int]] = {}
        for source, (cases, failed) in (pair for outcome in of_it for pair in outcome.clusters.items()):
            before = clusters.get(source, (0, 0))
            clusters[source] = before[0] + cases, before[1] + failed
        low, high = clustered_wilson(clusters.values())
        numbers = {"count": count, "sources": len(clusters), "failures": failures}
        found[name] = numbers | {"rate": failures / count if count else 0.0, "low": low, "high": high}
    return found


def suite_digest(suite: Suite) -> str:
    """Return SHA-256 (hex) of what makes the cases: the suite without its bars, and the shipped lists."""
    # Without its language, which chooses among the rows and makes no case: what they are, each case's own digest says.
    document = suite.model_dump(mode="json", exclude={"description", "language"})
    document["capabilities"] = list(document["capabilities"])
    lists = {name: shipped_lexicon(name) for name in shipped_lexicons()}
    text = json.dumps({"suite": document, "lists": lists}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
