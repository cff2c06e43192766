"""Rows, requests, golden rows and behavioural cases accept and refuse the same texts, and read the same in them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoTokenizer

import served_toys
import toys
from any_text import any_steps, any_text, examples, row_of_fragments
from kubetune.behaviour.cases import Row, cases_of
from kubetune.behaviour.load import parse_suite
from kubetune.data.labels import LabelBook
from kubetune.data.rows import RawSplit, RowRules, Scan, scan_split
from kubetune.data.targets.base import TargetRules
from kubetune.data.targets.label import LabelReader
from kubetune.data.tokens import Encoder
from kubetune.errors import DataError
from kubetune.serving.golden.rows import pick
from kubetune.serving.predictor import Answer, Predictor, Refusal
from kubetune.serving.request import Request, parse_request, request_form
from kubetune.tasks.spec import load_spec
from kubetune.tasks.texts import TextModel
from kubetune.text.gate import SURROGATES as SURROGATE
from kubetune.text.gate import TextGate, Unreadable
from kubetune.text.joining import Joined

Item = tuple[str, ...]
MOST_CHARACTERS = 400
NUMBERS = [str(number) for number in range(32)]
"""Class names; as many as there can be golden rows of a class each."""
SUITE = parse_suite(
    "name: any\ndescription: Any text.\nlabels: [bad, good]\nlexicons: {more: [And so on.]}\n"
    "capabilities: {words: {at_most: 0.5, bound: point}}\n"
    "tests:\n  - {kind: inv, name: more, capability: words, rows: {}, perturb: append, using: more}\n"
)


class Readers:
    """A toy model, as each part that shows texts to one has it."""

    def __init__(self, archive: Path, scratch: Path) -> None:
        inputs = archive.parent / "inputs"
        self.predictor = Predictor(archive, precision="fp32", threads=1)
        self.task, self.scratch = self.predictor.task, scratch
        self.tokenizer = AutoTokenizer.from_pretrained(inputs / "tokenizer", local_files_only=True)
        self.module = self.task.build_model(load_spec(inputs / "model"), inputs / "model", pretrained=False)
        self.encoder = Encoder(self.task, self.tokenizer, served_toys.MAX_LENGTH)

    def rows(self, columns: Mapping[str, Sequence[str | None]], rules: RowRules) -> tuple[list[Any], list[Any]]:
        """Raw columns → by row, the cleaned texts and the tokens that `prepare` writes, or twice its reason."""
        bad = any(SURROGATE.search(cell or "") for of in columns.values() for cell in of)
        cells = {name: [cell and SURROGATE.sub("\ufffd", cell) for cell in of] for name, of in columns.items()}
        path = self.scratch / "train.parquet"  # as `ingest` writes it
        pq.write_table(pa.table({name: pa.array(of, pa.string()) for name, of in cells.items()}), path)
        scan, texts, tokens = Scan(), [], []
        reader = LabelReader(TargetRules("label"), LabelBook(("neutral",)))
        for batch in scan_split(RawSplit(0, path, replaced=bad), rules, reader, scan):
            names = ("text", "text_pair")[: len(rules.texts)]
            texts += list(zip(*(batch[name].to_pylist() for name in names), strict=True))
            tokens += self.encoder.columns(batch)["input_ids"].to_pylist()
        rejected = {row: scan.reasons[reason] for _, row, reason in np.array(scan.rejects).reshape(-1, 3).tolist()}
        left = iter(zip(texts, tokens, strict=True))
        found = [(rejected[row],) * 2 if row in rejected else next(left) for row in range(scan.raw_rows[0])]
        return [text for text, _ in found], [token for _, token in found]

    def requests(self, entries: Sequence[Mapping[str, str | None]], gate: TextGate, texts: Any = ()) -> list[Any]:
        """Return by entry of a request its cleaned texts, or None where the predictor refuses it."""
        request = parse_request(
            json.dumps({"inputs": entries}).encode(), "application/json", request_form(self.task, 99, dict(texts))
        )
        assert isinstance(request, Request), request
        assert not any(isinstance(item, Refusal) for item in request.items)
        self.predictor.gate = gate
        read = [self.predictor._clean(item) for item in request.items]
        refused = [isinstance(outcome, Refusal) for outcome in self.predictor.predict(request.items)]
        assert refused == [isinstance(item, Refusal) for item in read]
        return [None if isinstance(item, Refusal) else item for item in read]

    def golden(self, items: Sequence[Item], gate: TextGate) -> set[Item]:
        """Return the items that become golden rows, were each predicted as a class of its own."""
        names = self.task.columns
        columns: dict[str, Any] = {"row_id": NUMBERS[: len(items)], "prediction": range(len(items))}
        columns |= {"length": [len(item[0]) for item in items], "confidence": [1.0] * len(items)}
        columns |= {"probabilities": [[0.0] * len(NUMBERS)] * len(items)}
        for name, of in zip(names, zip(*items, strict=True), strict=True):
            columns |= {f"raw_{name}": of, name: of}
        path = self.scratch / "predictions.parquet"
        pq.write_table(pa.table({name: list(of) for name, of in columns.items()}), path)
        try:
            return {tuple(vector.item[name] for name in names) for vector in pick(path, self.task, NUMBERS, gate)}
        except DataError:
            return set()

    def model(self, gate: TextGate) -> TextModel:
        return TextModel(self.task, self.module, self.tokenizer, gate, served_toys.MAX_LENGTH, 0)


def all_agree(readers: Readers, items: Sequence[Item], steps: tuple[str, ...]) -> None:
    names = readers.task.columns
    if any(SURROGATE.search(text) for item in items for text in item):  # `ingest` makes U+FFFD of them
        items = [item for item in items if not any("\ufffd" in text for text in item)] or [("good",) * len(names)]
    gate, bounded = TextGate(steps), TextGate(steps, MOST_CHARACTERS)
    read = [gate.read_item(item) for item in items]
    accepted = [item for item, found in zip(items, read, strict=True) if not isinstance(found, Unreadable)]
    short = [item for item in accepted if max(map(len, item)) <= MOST_CHARACTERS]

    rules = RowRules(names, "label", (), steps, (0, 10**9))
    columns = dict(zip(names, zip(*items, strict=True), strict=True))
    texts, tokens = readers.rows(columns | {"label": ["neutral"] * len(items)}, rules)
    model = readers.model(gate)
    for item, found, text, token in zip(items, read, texts, tokens, strict=True):
        assert model.read(item) == found
        if isinstance(found, Unreadable):
            assert text == found.value
        else:
            assert text == found
            (encoded,) = readers.task.encode(readers.tokenizer, [found], served_toys.MAX_LENGTH).features
            assert token == encoded["input_ids"]

    served = readers.requests([dict(zip(names, item, strict=True)) for item in items], bounded)
    assert served == [found if item in short else None for item, found in zip(items, read, strict=True)]
    stored = [item for item in items if not any(SURROGATE.search(text) for text in item)]
    assert readers.golden(stored, bounded) == set(short)
    cases = cases_of(SUITE.tests[0], SUITE, [Row(item) for item in items], 0, model.answers).cases
    assert {case.item for case in cases} == set(accepted)
    if short:
        answers = readers.predictor.predict(short)
        assert all(isinstance(answer, Answer) for answer in answers)
        scores = [answer.prediction for answer in answers if isinstance(answer, Answer)]
        assert np.allclose(model.predictions(short, toys.LABELS), scores, atol=1e-5)


@pytest.fixture(scope="module")
def readers(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Readers:
    return Readers(archive, tmp_path_factory.mktemp("readers"))


@pytest.fixture(scope="module")
def pair_readers(pair_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Readers:
    return Readers(pair_archive, tmp_path_factory.mktemp("pair-readers"))


TEXT = any_text(6) | row_of_fragments(8)
ITEMS = st.lists(st.tuples(TEXT), min_size=1, max_size=8)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6)


@examples(12)
@example([("half \ud800",), ("good",), ("\x00",), ("\u200b",), ("<b>",), ("a" * (MOST_CHARACTERS + 1),)], ("html",))
@given(ITEMS, any_steps())
def test_all_read_the_same_in_any_text(readers: Readers, items: list[Item], steps: tuple[str, ...]) -> None:
    all_agree(readers, items, steps)


@examples(8)
@given(PAIRS, any_steps())
def test_all_read_the_same_in_any_pair(pair_readers: Readers, items: list[Item], steps: tuple[str, ...]) -> None:
    all_agree(pair_readers, items, steps)


@pytest.mark.slow
@examples(200)
@given(ITEMS, any_steps())
def test_all_read_the_same_in_many_texts(readers: Readers, items: list[Item], steps: tuple[str, ...]) -> None:
    all_agree(readers, items, steps)


@pytest.mark.slow
@examples(100)
@given(PAIRS, any_steps())
def test_all_read_the_same_in_many_pairs(pair_readers: Readers, items: list[Item], steps: tuple[str, ...]) -> None:
    all_agree(pair_readers, items, steps)


PARTS = st.lists(st.tuples(*[st.none() | any_text(4)] * 2), min_size=1, max_size=8)
SEPARATORS = st.sampled_from(["", "\n", " \u2014 ", "@", "&", "\u200b"])


def joined_agree(readers: Readers, parts: list[tuple[str | None, ...]], separator: str, steps: tuple[str, ...]) -> None:
    columns = ("subject", "body")
    joined = Joined(columns, separator)
    rules = RowRules((joined,), "label", (), steps, (0, 10**9))
    cells = dict(zip(columns, zip(*parts, strict=True), strict=True))
    texts, _ = readers.rows(cells | {"label": ["neutral"] * len(parts)}, rules)
    gate = TextGate(steps)
    entries = [dict(zip(columns, item, strict=True)) for item in parts]
    served = readers.requests(entries, gate, {"text": joined})
    assert served == [None if isinstance(text, str) else text for text in texts]
    read = [gate.read(joined.join(item)) for item in parts]
    assert texts == [found.value if isinstance(found, Unreadable) else (found,) for found in read]


@examples(15)
@given(PARTS, SEPARATORS, any_steps())
def test_rows_and_requests_join_any_columns_alike(
    readers: Readers, parts: list[tuple[str | None, ...]], separator: str, steps: tuple[str, ...]
) -> None:
    joined_agree(readers, parts, separator, steps)


@pytest.mark.slow
@examples(200)
@given(PARTS, SEPARATORS, any_steps())
def test_rows_and_requests_join_many_columns_alike(
    readers: Readers, parts: list[tuple[str | None, ...]], separator: str, steps: tuple[str, ...]
) -> None:
    joined_agree(readers, parts, separator, steps)
