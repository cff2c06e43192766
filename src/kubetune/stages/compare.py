"""Stage `compare`: candidate against champion on the same test rows → promote, keep, or what is missing to decide."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kubetune.comparison.decision import FORMAT, Comparison, Decision, decide
from kubetune.comparison.guards import paired_capabilities
from kubetune.comparison.notes import answer_notes, asked_notes, label_notes, listed_labels
from kubetune.comparison.report_parts import with_parts
from kubetune.comparison.rows import (
    Champion,
    kept_columns,
    label_names,
    read_cases,
    read_champion,
    read_json,
    read_predictions,
    read_sources,
    read_text,
    test_digest_of,
    text_columns,
    truths_of,
)
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Context, Result, Verdict
from kubetune.errors import DataError, InterruptedRunError, KubetuneError, NothingToDoError, RefusedError
from kubetune.evaluation.assessment import shown
from kubetune.evaluation.predictions import TEXT_GROUP
from kubetune.evaluation.same_texts import joined_groups, same_words
from kubetune.evaluation.slices import Groups, group
from kubetune.metrics.base import Ints
from kubetune.serving.archive.manifest import read_archive
from kubetune.tasks import dataset_texts, load_task
from kubetune.tasks.base import Task
from kubetune.tasks.spec import load_spec

ROW = ("row_id", "label")
KEPT = "column_"


@dataclass(frozen=True)
class _Answers:
    """The champion's answers on the candidate's rows, in their order.

    Attributes:
        how: `stored`: those of its own report; `again`: it was asked now.
        labels: Its class names by class number.
        columns: `Task.outcome_columns`, by its own class numbers, of the rows that it answered.
        answered: Whether it has an answer, shape (rows,).
        texts: Numbers that are equal for rows with the same text after its own cleaning, shape (rows,).
    """

    how: str
    labels: tuple[str, ...]
    columns: pa.Table
    answered: np.ndarray
    texts: Ints


@dataclass(frozen=True)
class _Paired:
    """A comparison, how the champion's answers were had, and what a person must know of the pairing."""

    comparison: Comparison
    how: str
    notes: tuple[str, ...]


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """Write artifact `decision`; see `StageBody`. `keep` and `undecided` are committed with verdict 99.

    Raises:
        DataError: The two models have no label in common, read other columns or are asked for other things, or a row
            cannot be paired.
        ConfigError: A guarded column is not among the kept ones.
        KubetuneError: An input cannot be read.
        InterruptedRunError: The stage was asked to stop; nothing is kept, since it is short.
    """
    _stop_if_asked(context)
    rules, champion = config.promotion, read_champion(inputs["champion"])
    metrics, behaviour = read_json(inputs["report"] / "metrics.json"), read_json(inputs["behaviour"] / "behaviour.json")
    thresholds = _thresholds(metrics, behaviour)
    task, paired = load_task(config.task.name).of_model(load_spec(inputs["model"])), None
    rules = _of_task(rules, task)
    if thresholds.passed and rules.gate == "champion" and champion.version is not None:
        paired = _pair(task, inputs, champion, context)
    _stop_if_asked(context)
    decision = decide(thresholds, paired.comparison if paired else None, rules, champion.earlier)
    _stop_if_asked(context)
    document: dict[str, Any] = {
        "format": FORMAT,
        "outcome": decision.outcome,
        "reasons": [*decision.reasons, *(paired.notes if paired else _left_out(decision, metrics))],
        "rows_wanted": decision.rows_wanted,
        "spent": decision.spent,
        "test_digest": test_digest_of(inputs["report"]),
        "champion": champion.as_dict(),
        "champion_scored": paired.how if paired else None,
        "rules": rules.model_dump(mode="json"),
        "document": dict(decision.document),
    }
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    (outputs["decision"] / "decision.json").write_text(text + "\n", encoding="utf-8")
    page = read_text(inputs["report"] / "report.html")
    # Rendered from the record as it is stored: the page says nothing that the record does not hold.
    (outputs["decision"] / "report.html").write_text(with_parts(page, json.loads(text), behaviour), encoding="utf-8")
    context.progress.note(f"{decision.outcome}: {document['reasons'][0]}")
    return _result(decision, document)


def _result(decision: Decision, document: Mapping[str, Any]) -> Result:
    promoted = decision.outcome == "promote"
    metrics = {"promoted": float(promoted)}
    if numbers := decision.document:
        metric = numbers["metric"]
        metrics |= {"gain": metric["gain"]["value"], "gain_low": metric["gain"]["low"]}
        metrics |= {"gain_high": metric["gain"]["high"], "gain_p": metric["p"], "gain_level": metric["level"]}
        metrics |= {"alpha_left": numbers["spending"]["left"], "compared_rows": float(numbers["rows"])}
    facts = {name: document[name] for name in ("outcome", "reasons", "rows_wanted", "spent", "test_digest")}
    code = 0 if promoted else NothingToDoError.exit_code
    return Result(metrics, Verdict(code, () if promoted else tuple(document["reasons"])), facts)


def _thresholds(*documents: Mapping[str, Any]) -> Verdict:
    """What `evaluate` and `behave` thought of the candidate by itself, as one verdict."""
    try:
        verdicts = [(int(found["verdict"]["code"]), found["verdict"]["reasons"]) for found in documents]
    except (KeyError, TypeError, ValueError) as error:
        raise KubetuneError(
            "metrics.json or behaviour.json holds no verdict: run evaluate and behave again with this version."
        ) from error
    reasons = tuple(str(reason) for _, given in verdicts for reason in given)
    missed = any(code for code, _ in verdicts)
    return Verdict(RefusedError.exit_code if missed else 0, reasons)


def _left_out(decision: Decision, metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """What the bars leave out, of a model that is promoted though compared with nobody: only they could stop it."""
    return tuple(metrics.get("warnings", ())) if decision.outcome == "promote" else ()


def _of_task(rules: PromotionSection, task: Task) -> PromotionSection:
    """Return the rules with the task's main metric where they name none, as the record says which decided."""
    return rules if rules.metric else rules.model_copy(update={"metric": task.statistics(()).main})


def _pair(task: Task, inputs: Mapping[str, Path], champion: Champion, context: Context) -> _Paired:
    report = inputs["report"]
    names = label_names(report)
    rows = read_predictions(report, (*ROW, *task.outcome_columns, TEXT_GROUP, "length", *kept_columns(report)))
    answers = _champions_answers(task, (report, rows, names), champion, context)
    notes = [*answer_notes(answers.how, answers.answered), *label_notes(names, answers.labels)]
    behaviours = (inputs["behaviour"], champion.folder / "behaviour")
    cases = [read_cases(folder) for folder in behaviours]
    capabilities = paired_capabilities(cases[0], cases[1], read_sources(behaviours[0]))
    met = sum(found.rows for found in capabilities.values())
    suites = {read_json(folder / "behaviour.json").get("suite_digest") for folder in behaviours}
    if not met:
        notes.append("No behavioural case was met by both models, so no capability is guarded.")
    elif len(suites) > 1:
        notes.append(f"The champion was tested with another suite; the {met:,} cases that both met are compared.")
    texts = joined_groups(rows[TEXT_GROUP].to_numpy().astype(np.int64), answers.texts)
    rows = rows.filter(pa.array(answers.answered))
    alike = task.comparable(rows, answers.columns)
    notes += asked_notes(alike, f"Version {champion.version} of {champion.name}")
    rows, theirs = (table.filter(pa.array(alike)) for table in (rows, answers.columns))
    known = (*names, *(name for name in answers.labels if name not in names))
    numbers = np.array([known.index(name) for name in answers.labels], dtype=np.int64)
    comparison = Comparison(
        candidate=task.outcomes(rows["label"], rows, known),
        champion=task.outcomes(rows["label"], task.renumbered(theirs, numbers), known),
        statistics=task.statistics(known),
        groups=_groups(rows, task.parts(rows["label"], names)),
        capabilities=capabilities,
        texts=np.unique(texts[answers.answered][alike], return_inverse=True)[1],
    )
    return _Paired(comparison, answers.how, tuple(notes))


def _champions_answers(
    task: Task, candidate: tuple[Path, pa.Table, tuple[str, ...]], champion: Champion, context: Context
) -> _Answers:
    """Take the champion's stored answers if they are of these very rows, else ask it again.

    Both are comparable with the candidate's: `evaluate` made the stored ones in fp32 from texts cleaned by the
    champion's own recipe, and it is asked again in fp32 with its own cleaning.
    """
    report, rows, names = candidate
    archive = read_archive(champion.folder / "archive", verify=False)
    if archive.task != task.kind:
        raise DataError(
            "champion-task",
            f"Version {champion.version} of {champion.name} is a model for {archive.task} and the candidate is one for "
            f"{task.kind}: give the candidate a name of its own.",
        )
    if names and not set(names) & set(archive.labels):
        raise DataError(
            "champion-labels",
            f"Version {champion.version} of {champion.name} answers {listed_labels(archive.labels)} and the test rows "
            f"are labelled {listed_labels(names)}: name the labels alike, or give the candidate a name of its own.",
        )
    if stored := _stored(task, rows, names, champion.folder / "report"):
        return stored
    return _asked_again(task, report, champion, context)


def _asked_again(task: Task, report: Path, champion: Champion, context: Context) -> _Answers:
    from kubetune.serving.golden.rescoring import ask_again  # loads torch: most comparisons do not need it

    columns = tuple(f"raw_{column}" for column in dataset_texts(task.columns))
    rows = read_predictions(report, columns)
    context.progress.start("score the champion again", rows.num_rows)

    def looked(count: int) -> None:
        context.progress.advance(count)
        _stop_if_asked(context)

    items = list(zip(*(rows[column].to_pylist() for column in columns), strict=True))
    found = ask_again(champion.folder / "archive", items, looked)
    if not found.answered.any():
        raise DataError(
            "champion-rows",
            f"Version {champion.version} of {champion.name} finds nothing to read in any test row after its own "
            "cleaning: give the candidate a name of its own.",
        )
    return _Answers("again", found.labels, found.columns.select(task.outcome_columns), found.answered, found.texts)


def _stored(task: Task, rows: pa.Table, names: Sequence[str], report: Path) -> _Answers | None:
    """Return the answers of the champion's report, or None where it was evaluated on other rows, labels or classes."""
    theirs = read_predictions(report, (*ROW, *task.outcome_columns, *text_columns(report)))
    labels = label_names(report)
    place = {row: number for number, row in enumerate(theirs["row_id"].to_pylist())}
    ids = rows["row_id"].to_pylist()
    if set(labels) != set(names) or place.keys() != set(ids):
        return None
    theirs = theirs.take(pa.array([place[row] for row in ids], pa.int64()))
    if truths_of(theirs, labels) != truths_of(rows, names):
        return None
    answers = theirs.select(task.outcome_columns)
    return _Answers("stored", labels, answers, np.ones(len(ids), dtype=bool), _texts(theirs))


def _texts(theirs: pa.Table) -> Ints:
    """Return which rows have the same text for the champion; older reports hold the texts and no numbers."""
    if TEXT_GROUP in theirs.column_names:
        groups: Ints = theirs[TEXT_GROUP].to_numpy().astype(np.int64)
        return groups
    names = [name for name in ("text", "text_pair") if name in theirs.column_names]
    return same_words(list(zip(*(theirs[name].to_pylist() for name in names), strict=True)))


def _groups(rows: pa.Table, parts: tuple[Ints, tuple[str, ...]]) -> dict[str, Groups]:
    """Cut the rows as the report of `evaluate` does."""
    lengths = rows["length"].to_numpy().astype(np.int64)
    kept = {name.removeprefix(KEPT): rows[name].to_pylist() for name in rows.column_names if name.startswith(KEPT)}
    return {
        column: group(column, lengths, parts[0], shown(parts[1]), values)
        for column, values in ({"length": None, "label": None} | kept).items()
    }


def _stop_if_asked(context: Context) -> None:
    if context.should_stop():
        raise InterruptedRunError("compare was asked to stop; run the same command again, it starts over.")
