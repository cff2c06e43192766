"""Stage `prepare`: raw rows → cleaned, checked, labelled, split and tokenised rows, and a report about them.

Two passes, so that memory does not grow with the texts: the first judges each row and keeps digests, then all
decisions fall on arrays, the second tokenises what was chosen.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.contract import Context, Result
from kubetune.data.cells import cell_text
from kubetune.data.column_names import bytes_sentence, check_split_columns, truth_column
from kubetune.data.lengths import Lengths, check_known
from kubetune.data.rejects import check_given_splits, check_reject_share, write_rejects
from kubetune.data.report import Gathered, data_report, render_data_report
from kubetune.data.rows import BATCH, TRUTH, RawSplit, RowRules, Scan, accepted_schema, read_cells, scan_split
from kubetune.data.selection import SelectionRules, select
from kubetune.data.splits import SPLITS, TEST, VALIDATION
from kubetune.data.targets import load_target_type
from kubetune.data.targets.base import TargetReader, TargetRules, TargetType
from kubetune.data.tokens import Chosen, Encoder, write_splits
from kubetune.errors import ConfigError, DataError, InterruptedRunError
from kubetune.tasks import load_task
from kubetune.text.joining import joined_texts
from kubetune.text.languages import COLUMN
from kubetune.text.shown import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCANNED = (*SPLITS, "all")
ACCEPTED = "accepted.parquet"
LANGUAGES_SHOWN = 20
DOCUMENTS: Mapping[str, tuple[int | str, ...]] = {
    "auto": (),
    "texts": (),
    "text": (0,),
    "text-pair": (1,),
    "either": (0, 1),
}
"""Value of `data.group_by` → numbers of the texts that keep rows in one split."""


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """See `StageBody`.

    Raises:
        DataError: A rule about the data is broken: columns, labels, splits, too many rejected rows.
        ConfigError: The tokenizer cannot be used.
        InterruptedRunError: The stage was asked to stop.
    """
    task, data = load_task(config.task.name), config.data
    encoder = Encoder(task, _tokenizer(inputs["tokenizer"], context), config.model.max_length)
    examined = examine(config, inputs["raw"], context)
    source = json.loads((inputs["raw"] / "source.json").read_text(encoding="utf-8"))
    lengths = _write(outputs["dataset"], examined, encoder, context)
    check_known(lengths, data.max_unknown_share)
    gathered, selection = examined.gathered, examined.gathered.selection
    write_rejects(outputs["dataset"] / "rejects.parquet", gathered.scan, selection, gathered.raw_splits)
    report = data_report(outputs["dataset"], gathered, lengths, config.model.max_length)
    _write_json(outputs["dataset"] / "data_report.json", report)
    (outputs["dataset"] / "data_report.html").write_text(render_data_report(report), encoding="utf-8")
    context.progress.note(f"data: {report['line']}")
    document = {
        "format": 1,
        "task": config.task.name,
        "labels": selection.settled.labels,
        "splits": selection.rows(),
        "label_counts": selection.settled.counts,
        "max_length": config.model.max_length,
        "cleaning": list(data.cleaning),
        "pad_token_id": encoder.tokenizer.pad_token_id,
        "source": {name: source.get(name) for name in ("revision", "licence")},
        "vocabulary": 1 + max(encoder.tokenizer.get_vocab().values()),
        "line": report["line"],
        "said": report["said"],
    }
    if names := task.token_names(encoder.tokenizer):
        document["tokens"] = names
    _write_json(outputs["dataset"] / "dataset.json", document)
    return Result(metrics=_metrics(report), facts={"data": report["line"]})


class Examined(NamedTuple):
    """What is known of the rows before they are tokenised.

    Attributes:
        rules: What was asked of them.
        gathered: What was found.
        accepted: Parquet file of the accepted ones, in source order.
        target: How their truths are read.
    """

    rules: RowRules
    gathered: Gathered
    accepted: Path
    target: TargetType


def examine(config: Any, raw: Path, context: Context) -> Examined:
    """Judge, label and split the rows of artifact `raw`; everything that needs no tokenizer.

    Args:
        config: Sections `task` and `data` of the recipe, but for the source.
        raw: Folder of the artifact.
        context: Progress, scratch and the stop flag.

    Raises:
        DataError: A rule about the data is broken.
        InterruptedRunError: The stage was asked to stop.
    """
    splits, data = _raw_splits(raw), config.data
    task = load_task(config.task.name)
    target = load_target_type(task.schema.target_type)
    files = {name: raw / f"{name}.parquet" for name in splits}
    rules = _row_rules(data, target)
    decisions = list(
        dict.fromkeys(sentence for path in files.values() for sentence in check_split_columns(path, rules, target))
    )
    source = json.loads((raw / "source.json").read_text(encoding="utf-8"))
    decoded = [name for name in source.get("decoded", ()) if name in rules.columns]
    decisions += [bytes_sentence(name) for name in decoded]
    reader = target.open(_target_rules(data), files, source)
    decisions += reader.decisions
    decisions += _languages(rules.keep, list(files.values()))
    unused = _unused_splits(raw)
    decisions += [
        f"Split {name} of the source is not used: {rows:,} rows without labels." for name, rows in unused.items()
    ]
    for sentence in decisions:
        context.progress.note(sentence)
    scan = _scan(list(files.values()), source, (rules, reader), context)
    check_reject_share(scan, splits, reader.advice(), data.max_reject_share)
    check_given_splits(scan, splits)
    accepted = context.scratch / ACCEPTED
    selection = select(scan, splits, reader, lambda: _truths(accepted), _selection_rules(data))
    names, said = task.class_names(selection.settled.labels, config.task.class_roles)
    late = [*(sentence for sentence in reader.decisions if sentence not in decisions), *said]
    for sentence in late:
        context.progress.note(sentence)
    selection = replace(selection, settled=selection.settled._replace(labels=names))
    decisions = [*source.get("decisions", ()), *decisions, *late]  # `ingest` has reported the first ones
    gathered = Gathered(scan, selection, splits, reader, unused, decisions, data.rare_class_rows)
    return Examined(rules, gathered, accepted, target)


def _languages(keep: Sequence[str], files: Sequence[Path]) -> list[str]:
    """Say how many rows each language has, where a kept column tells it."""
    if COLUMN not in keep:
        return []
    found: Counter[str] = Counter()
    for path in files:
        for cells in read_cells(path, [COLUMN]):
            found.update(
                "(missing)" if cell is None else one_line(cell_text(cell, COLUMN), 20) for cell in cells[COLUMN]
            )
    listed = ", ".join(f"{name} {rows:,}" for name, rows in found.most_common(LANGUAGES_SHOWN))
    more = f" and {len(found) - LANGUAGES_SHOWN} others" if len(found) > LANGUAGES_SHOWN else ""
    return [f"Rows by language: {listed}{more}; each is a slice of the report unless evaluation.slices says otherwise."]


def _truths(accepted: Path) -> Iterator[pa.Array]:
    """Yield what was stored of the truths of the accepted rows."""
    with pq.ParquetFile(accepted) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=[TRUTH]):
            yield batch.column(0)


def _row_rules(data: Any, target: TargetType) -> RowRules:
    columns = data.columns
    given = {"text": columns.text} | ({} if columns.text_pair is None else {"text_pair": columns.text_pair})
    joined = joined_texts(columns.text, columns.text_pair, columns.separator)
    key, truth = truth_column(columns)
    return RowRules(
        texts=tuple(joined.get(name, column) for name, column in given.items()),
        label=truth,
        keep=tuple(columns.keep),
        cleaning=tuple(data.cleaning),
        characters=(data.min_characters, data.max_characters),
        words=target.words,
        documents=_documents(data, target),
        truth=key,
    )


def _documents(data: Any, target: TargetType) -> tuple[int | str, ...]:
    """Return what keeps rows in one split beside equal texts: see `RowRules.documents`."""
    chosen: tuple[int | str, ...] = DOCUMENTS[data.group_by]
    if data.group_by == "auto":
        chosen = () if target.document is None else (target.document,)
    return chosen if data.columns.group is None else (*chosen, data.columns.group)


def _target_rules(data: Any) -> TargetRules:
    weak = data.weak_labels
    return TargetRules(
        column=truth_column(data.columns)[1],
        classes=data.labels,
        numbers=data.label_numbers,
        missing=tuple(data.missing_labels),
        cleaning=tuple(data.cleaning),
        polarity=None if weak is None else (weak.positive_from, weak.negative_to),
        separator=data.label_separator,
        empty=data.empty_labels,
        score_range=None if data.score_range is None else (data.score_range[0], data.score_range[1]),
        tag_repair=data.tag_repair,
    )


def _selection_rules(data: Any) -> SelectionRules:
    return SelectionRules(
        remove_duplicates=data.duplicates == "remove-from-train",
        conflicts=data.conflicts,
        shares={VALIDATION: data.splits.validation, TEST: data.splits.test},
        seed=data.splits.seed,
        limit=data.limit,
    )


def _tokenizer(folder: Path, context: Context) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"The tokenizer cannot be loaded ({type(error).__name__}): use a model whose tokenizer is in the layout "
            "of save_pretrained and needs no code of its own."
        ) from error
    if tokenizer.pad_token_id is None and tokenizer.eos_token is not None:
        context.progress.note(f"the tokenizer has no padding token: {tokenizer.eos_token} pads, behind the mask")
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ConfigError("The tokenizer has no padding token and no end token: use a model whose tokenizer has one.")
    return tokenizer


def _raw_splits(folder: Path) -> list[str]:
    found = [name for name in SCANNED if (folder / f"{name}.parquet").is_file()]
    if not found:
        raise DataError("empty-source", "The source gave no split: it must give train, or one pool.")
    return found


def _unused_splits(folder: Path) -> dict[str, int]:
    """Return the rows of splits that are there and are not read."""
    others = sorted(path for path in folder.glob("*.parquet") if path.stem not in SCANNED)
    return {path.stem: pq.read_metadata(path).num_rows for path in others}


def _scan(files: list[Path], source: Mapping[str, Any], judge: tuple[RowRules, TargetReader], context: Context) -> Scan:
    rules, reader = judge
    scan, schema = Scan(), accepted_schema(rules, reader)
    context.progress.start("cleaning rows", sum(pq.read_metadata(path).num_rows for path in files))
    with pq.ParquetWriter(context.scratch / ACCEPTED, schema, compression="lz4") as writer:
        for number, path in enumerate(files):
            for batch in scan_split(RawSplit(number, path, bool(source.get("surrogates"))), rules, reader, scan):
                writer.write_batch(batch)
                context.progress.advance(len(batch))
                _stop_if_asked(context)
    return scan


def _write(folder: Path, examined: Examined, encoder: Encoder, context: Context) -> Lengths:
    gathered = examined.gathered
    chosen = Chosen(
        examined.accepted, examined.rules, gathered.scan, gathered.selection, gathered.reader, examined.target.type
    )
    context.progress.start("tokenising rows", len(gathered.selection.split))
    lengths = Lengths()
    for rows, lengths in write_splits(chosen, folder, encoder):  # noqa: B007
        context.progress.advance(rows)
        _stop_if_asked(context)
    return lengths


def _stop_if_asked(context: Context) -> None:
    if context.should_stop():
        raise InterruptedRunError("Asked to stop while preparing the data; run the same command again.")


def _metrics(report: Mapping[str, Any]) -> dict[str, float]:
    rows = report["rows"]
    return {
        **{f"rows_{name}": float(count) for name, count in rows["splits"].items()},
        "rejected": float(rows["rejected"]),
        "truncated_share_train": float(report["truncation"]["train"]["share"]),
        "unknown_share_train": float(report["unknown_tokens"]["train"]["share"]),
    }


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, sort_keys=True, indent=2) + "\n", encoding="utf-8")
