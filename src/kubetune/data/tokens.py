"""Second pass: the chosen rows are tokenised once and written, split by split."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.rows import BATCH, RowRules, Scan
from kubetune.data.selection import Selection
from kubetune.data.splits import SPLITS
from kubetune.errors import DataError, KubetuneError
from kubetune.schema.numbers import as_written

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from kubetune.tasks.base import Task

PAIR_ENDS = ("", "_pair")
ROW_GROUP = 8192


@dataclass
class Lengths:
    """Tokens of each written row, by split, in row order.

    Attributes:
        tokens: Split name → token counts.
        truncated: Split name → rows that were cut.
        words: Split name → tokens without special ones.
        unknown: Split name → those of `words` that the tokenizer does not know.
    """

    tokens: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in SPLITS})
    truncated: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    words: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    unknown: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))

    def of(self, split: str) -> np.ndarray:
        """Return the token counts of a split, (rows,), int32."""
        return np.concatenate(self.tokens[split]) if self.tokens[split] else np.zeros(0, dtype=np.int32)


class Encoder:
    """Tokenises rows with the task's own code.

    Args:
        task: The task.
        tokenizer: Its tokenizer.
        max_length: Most tokens a row.
    """

    def __init__(self, task: "Task", tokenizer: "PreTrainedTokenizerBase", max_length: int) -> None:
        self.task, self.tokenizer, self.max_length = task, tokenizer, max_length
        probe = task.encode(tokenizer, [("a",) * len(task.columns)], max_length).features
        self.has_types = any(probe[0].get("token_type_ids", ()))

        # A byte-level vocabulary knows every text; what such a tokenizer calls unknown is its end of text.
        others = {getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos", "cls", "sep", "mask")}
        self.unknown = None if tokenizer.unk_token_id in others else tokenizer.unk_token_id
        self.special = np.array(sorted(set(tokenizer.all_special_ids) - {self.unknown}), dtype=np.int32)

    def count(self, tokens: pa.Array) -> tuple[int, int]:
        """Return how many of the tokens are not special, and how many of these are unknown.

        Args:
            tokens: Column `input_ids`.
        """
        numbers = tokens.flatten().to_numpy(zero_copy_only=False)
        words = len(numbers) - int(np.isin(numbers, self.special).sum())
        return words, 0 if self.unknown is None else int(np.count_nonzero(numbers == self.unknown))

    def columns(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Return the token columns of a batch with the cleaned texts."""
        texts = [batch.column(f"text{end}").to_pylist() for end in PAIR_ENDS[: len(self.task.columns)]]
        encoding = self.task.encode(self.tokenizer, list(zip(*texts, strict=True)), self.max_length)
        rows, truncated = encoding.features, encoding.truncated
        columns = {"input_ids": pa.array([row["input_ids"] for row in rows], pa.list_(pa.int32()))}
        types = [row.get("token_type_ids", ()) for row in rows]
        if self.has_types:
            columns["token_type_ids"] = pa.array(types, pa.list_(pa.int8()))
        elif any(map(any, types)):
            raise KubetuneError("The tokenizer gives token types to some rows only; report this as a bug.")
        columns["length"] = pa.array([len(row["input_ids"]) for row in rows], pa.int32())
        columns["truncated"] = pa.array(truncated, pa.bool_())
        return columns


def dataset_schema(rules: RowRules, has_types: bool) -> pa.Schema:
    """Return the columns of artifact `dataset`."""
    texts = [f"{name}{end}" for end in PAIR_ENDS[: len(rules.texts)] for name in ("raw_text", "text")]
    fields = [("row_id", pa.string()), *((name, pa.string()) for name in texts), ("label", pa.int32())]
    fields.append(("input_ids", pa.list_(pa.int32())))
    if has_types:
        fields.append(("token_type_ids", pa.list_(pa.int8())))
    fields += [("length", pa.int32()), ("truncated", pa.bool_())]
    return pa.schema([*fields, *((f"column_{name}", pa.string()) for name in rules.keep)])


def write_splits(
    accepted: Path, outputs: Path, chosen: tuple[Scan, Selection], rules: RowRules, encoder: Encoder
) -> Iterator[tuple[int, Lengths]]:
    """Write `<split>.parquet` for each split; yield after each batch the rows looked at and the lengths so far."""
    scan, selection = chosen
    lengths = Lengths()
    schema = dataset_schema(rules, encoder.has_types)
    with ExitStack() as stack:
        source = stack.enter_context(pq.ParquetFile(accepted))
        writers = [stack.enter_context(pq.ParquetWriter(outputs / f"{name}.parquet", schema)) for name in SPLITS]
        pending = [_Pending(writer) for writer in writers]
        first = 0
        for batch in source.iter_batches(batch_size=BATCH):
            split = selection.split[first : first + len(batch)]
            for number, name in enumerate(SPLITS):
                here = np.flatnonzero(split == number)
                if len(here):
                    table = _table(batch.take(pa.array(here)), first + here, (scan, selection), encoder, schema)
                    lengths.tokens[name].append(table.column("length").to_numpy())
                    lengths.truncated[name] += int(np.count_nonzero(table.column("truncated").to_numpy()))
                    words, unknown = encoder.count(table.column("input_ids").combine_chunks())
                    lengths.words[name] += words
                    lengths.unknown[name] += unknown
                    pending[number].add(table)
            first += len(batch)
            yield len(batch), lengths
        for waiting in pending:
            waiting.flush()


class _Pending:
    """Gathers small tables into row groups of one size, so that the bytes do not depend on the other splits."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self.writer = writer
        self.tables: list[pa.Table] = []
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        self.tables.append(table)
        self.rows += len(table)
        while self.rows >= ROW_GROUP:
            joined = pa.concat_tables(self.tables)
            self.writer.write_table(joined.slice(0, ROW_GROUP).combine_chunks())
            self.tables = [joined.slice(ROW_GROUP)]
            self.rows -= ROW_GROUP

    def flush(self) -> None:
        if self.rows:
            self.writer.write_table(pa.concat_tables(self.tables).combine_chunks())


def _table(
    batch: pa.RecordBatch, rows: np.ndarray, chosen: tuple[Scan, Selection], encoder: Encoder, schema: pa.Schema
) -> pa.Table:
    scan, selection = chosen
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns |= encoder.columns(batch)
    columns["label"] = pa.array(selection.label[rows], pa.int32())
    columns["row_id"] = pa.array([row_id(scan, selection, int(row)) for row in rows], pa.string())
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def row_id(scan: Scan, selection: Selection, row: int) -> str:
    """Return the stable identity of an accepted row: digest of its raw content, and which occurrence it is."""
    return f"{bytes(scan.content[16 * row : 16 * row + 16]).hex()}-{selection.occurrence[row]}"


def check_known(lengths: Lengths, most: float) -> None:
    """Refuse rows that the tokenizer cannot read: the model would learn from gaps.

    Args:
        lengths: Of the written rows.
        most: Largest share of train's tokens that may be unknown.

    Raises:
        DataError: It is larger.
    """
    words, unknown = lengths.words["train"], lengths.unknown["train"]
    if unknown > as_written(most) * words:
        raise DataError(
            "unknown-tokens",
            f"{unknown:,} of train's {words:,} tokens ({unknown / words:.1%}) are unknown to the tokenizer, more than "
            f"data.max_unknown_share={most:g} allows: choose a model of the texts' language and script, or clean what "
            "it has no word for.",
        )


def padding_ratio(lengths: np.ndarray, batch: int, order: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return computed tokens ÷ real tokens where each batch is padded to its longest row; 1.0 is no padding.

    Args:
        lengths: Tokens of each row.
        batch: Rows a batch.
        order: Lengths → the order in which rows are batched.
    """
    if not len(lengths):
        return 1.0
    ordered = lengths[order(lengths)].astype(np.int64)
    starts = np.arange(0, len(ordered), batch)
    computed = np.maximum.reduceat(ordered, starts) * np.diff(np.append(starts, len(ordered)))
    return float(computed.sum() / ordered.sum())


def random_order(lengths: np.ndarray) -> np.ndarray:
    """Return a fixed random order."""
    return np.random.default_rng(0).permutation(len(lengths))


def grouped_order(lengths: np.ndarray) -> np.ndarray:
    """Return a fixed random order, sorted by length inside mega-batches of 50 × 32 rows."""
    order = random_order(lengths)
    mega = np.arange(len(order)) // (50 * 32)
    return order[np.lexsort((lengths[order], mega))]
