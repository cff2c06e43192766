"""Second pass: the chosen rows are tokenised once and written, split by split."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetune.data.lengths import Lengths
from kubetune.data.rows import BATCH, TRUTH, RowRules, Scan
from kubetune.data.selection import Selection
from kubetune.data.splits import SPLITS
from kubetune.data.targets.base import TargetReader
from kubetune.errors import KubetuneError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from kubetune.tasks.base import Encoding, Task

PAIR_ENDS = ("", "_pair")
ROW_GROUP = 8192


class Encoder:
    """Tokenises rows with the task's own code.

    Args:
        task: The task.
        tokenizer: Its tokenizer.
        max_length: Most tokens a row.
    """

    def __init__(self, task: "Task", tokenizer: "PreTrainedTokenizerBase", max_length: int) -> None:
        self.task, self.tokenizer, self.max_length = task, tokenizer, max_length
        self.windows = task.windows
        self.lost = 0  # of the last batch: targets that no prediction can meet
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

    def columns(self, batch: pa.RecordBatch, targets: pa.Array | None = None) -> dict[str, pa.Array]:
        """Return the token columns of a batch with the cleaned texts.

        Args:
            batch: Has the columns `text` and, for pairs, `text_pair`.
            targets: Column `label` of its rows; None: features carry no targets.
        """
        texts = [batch.column(f"text{end}").to_pylist() for end in PAIR_ENDS[: len(self.task.columns)]]
        truths = None if targets is None else targets.to_pylist()
        encoding = self.task.encode(self.tokenizer, list(zip(*texts, strict=True)), self.max_length, truths)
        features = encoding.features
        self.lost = sum(encoding.lost)
        columns = {"input_ids": self._ragged(encoding, "input_ids", pa.int32())}
        if self.has_types:
            columns["token_type_ids"] = self._ragged(encoding, "token_type_ids", pa.int8())
        elif any(any(feature.get("token_type_ids", ())) for feature in features):
            raise KubetuneError("The tokenizer gives token types to some rows only; report this as a bug.")
        for name in features[0] if features else ():
            if name not in ("input_ids", "token_type_ids"):
                columns[name] = self._ragged(encoding, name, pa.int32())
        sizes = [len(feature["input_ids"]) for feature in features]
        columns["length"] = pa.array(self._summed(encoding, sizes), pa.int32())
        columns["truncated"] = pa.array(encoding.truncated, pa.bool_())
        return columns

    def _ragged(self, encoding: "Encoding", name: str, kind: pa.DataType) -> pa.Array:
        """Return a column of features: a list a row, or where the task makes windows a list of lists."""
        values = [feature.get(name, ()) for feature in encoding.features]
        if not self.windows:
            if encoding.example != list(range(len(encoding.truncated))):
                raise KubetuneError("The task gives some rows several features and says that it makes no windows.")
            return pa.array(values, pa.list_(kind))
        rows: list[list[Any]] = [[] for _ in encoding.truncated]
        for example, value in zip(encoding.example, values, strict=True):
            rows[example].append(value)
        return pa.array(rows, pa.list_(pa.list_(kind)))

    def _summed(self, encoding: "Encoding", sizes: list[int]) -> np.ndarray:
        """Return the tokens of all features of each row."""
        return np.bincount(encoding.example, weights=sizes, minlength=len(encoding.truncated)).astype(np.int32)


def dataset_schema(rules: RowRules, target: pa.DataType, tokens: Mapping[str, pa.Array]) -> pa.Schema:
    """Return the columns of artifact `dataset`.

    Args:
        rules: Names the texts and the columns that are kept.
        target: Type of column `label`.
        tokens: Columns of `Encoder.columns`.
    """
    texts = [f"{name}{end}" for end in PAIR_ENDS[: len(rules.texts)] for name in ("raw_text", "text")]
    fields = [("row_id", pa.string()), *((name, pa.string()) for name in texts), ("label", target)]
    fields += [(name, array.type) for name, array in tokens.items()]
    return pa.schema([*fields, *((f"column_{name}", pa.string()) for name in rules.keep)])


class Chosen(NamedTuple):
    """Accepted rows, and what becomes of them.

    Attributes:
        accepted: Parquet file of them, in source order.
        rules: What was asked of them.
        scan: Of the first pass.
        selection: Between the passes.
        reader: Knows their truths.
        target: Type of column `label`.
    """

    accepted: Path
    rules: RowRules
    scan: Scan
    selection: Selection
    reader: TargetReader
    target: pa.DataType

    @property
    def strata(self) -> np.ndarray:
        """Stratum of each row, (rows,), int32."""
        return np.frombuffer(self.scan.stratum, dtype=np.int32)


def write_splits(chosen: Chosen, outputs: Path, encoder: Encoder) -> Iterator[tuple[int, Lengths]]:
    """Write `<split>.parquet` for each split; yield after each batch the rows looked at and the lengths so far."""
    lengths = Lengths()
    with ExitStack() as stack:
        source = stack.enter_context(pq.ParquetFile(chosen.accepted))
        pending: list[_Pending] = []
        first = 0
        for batch in source.iter_batches(batch_size=BATCH):
            split = chosen.selection.split[first : first + len(batch)]
            for number, name in enumerate(SPLITS):
                here = np.flatnonzero(split == number)
                if len(here):
                    table = _table(batch.take(pa.array(here)), first + here, chosen, encoder)
                    if not pending:  # the first rows show which columns the task's features have
                        writers = [pq.ParquetWriter(outputs / f"{of}.parquet", table.schema) for of in SPLITS]
                        pending = [_Pending(stack.enter_context(writer)) for writer in writers]
                    _measure(lengths, name, table, encoder)
                    pending[number].add(table)
            first += len(batch)
            yield len(batch), lengths
        for waiting in pending:
            waiting.flush()


def _measure(lengths: Lengths, split: str, table: pa.Table, encoder: Encoder) -> None:
    """Take in rows that were written."""
    tokens = table.column("input_ids").combine_chunks()
    if encoder.windows:
        lengths.longest[split] = max(lengths.longest[split], pc.max(pc.list_value_length(tokens)).as_py())
        tokens = tokens.flatten()
    lengths.rows[split] += table.num_rows
    lengths.tokens[split].append(pc.list_value_length(tokens).to_numpy(zero_copy_only=False))
    lengths.truncated[split] += int(np.count_nonzero(table.column("truncated").to_numpy()))
    words, unknown = encoder.count(tokens)
    lengths.words[split] += words
    lengths.unknown[split] += unknown
    lengths.lost[split] += encoder.lost


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


def _table(batch: pa.RecordBatch, rows: np.ndarray, chosen: Chosen, encoder: Encoder) -> pa.Table:
    columns = {name: batch.column(name) for name in batch.schema.names}
    stored = columns.pop(TRUTH, pa.nulls(len(rows)))
    columns["label"] = chosen.reader.column(chosen.strata[rows], stored)
    tokens = encoder.columns(batch, columns["label"])
    schema = dataset_schema(chosen.rules, chosen.target, tokens)
    columns |= tokens
    columns["row_id"] = pa.array([row_id(chosen.scan, chosen.selection, int(row)) for row in rows], pa.string())
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def row_id(scan: Scan, selection: Selection, row: int) -> str:
    """Return the stable identity of an accepted row: digest of its raw content, and which occurrence it is."""
    return f"{bytes(scan.content[16 * row : 16 * row + 16]).hex()}-{selection.occurrence[row]}"
