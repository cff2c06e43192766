"""The table: a row a task, the first that its columns speak for is taken. A new task is a row."""

from dataclasses import replace

from kubetune.tasks.guesses.base import Setting, Start, TaskGuess
from kubetune.tasks.guesses.columns import LABELS, TAGS, class_doubt, class_fault, classes_of
from kubetune.tasks.guesses.problems import (
    NUMBER,
    SCORE_NAMES,
    SEVERAL,
    SEVERAL_NAMES,
    SINGLE,
    number_doubt,
    number_fault,
    numbers_in,
    score_notes,
    several_doubt,
    several_fault,
    several_notes,
    several_of,
    several_settings,
    similarity_notes,
)
from kubetune.tasks.guesses.seen import Holds
from kubetune.tasks.guesses.speaking import (
    agreed_settings,
    belonging_speak,
    cells_of,
    class_number_notes,
    entities_speak,
    holding_speaks,
    holds_one_of,
    inference_settings,
    inference_speaks,
    no_objection,
    problem_speaks,
    scored_pairs_speak,
    texts_alone_speak,
)
from kubetune.tasks.guesses.texts import one_text, question_and_context, text_of_spans, two_texts

UNCASED, CASED = "distilbert/distilbert-base-uncased", "distilbert/distilbert-base-cased"
EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
EMBEDDERS = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"

TOGETHER = Setting("group_by", "either", "so that pairs that share a text stay in one split")

ONE_CLASS = TaskGuess(
    kind="text-classification",
    speaks=lambda seen, given: "as neither spans, answers nor a pair of texts are there",
    texts=one_text,
    fault=class_fault,
    doubt=class_doubt,
    names=LABELS,
    truth=classes_of,
    start=Start(UNCASED, 3, 5e-5, 256, ({"metric": "macro_f1", "above_baseline": "tfidf"},)),
    notes=class_number_notes,
    classes=True,
)
SEVERAL_LABELS = replace(
    ONE_CLASS,
    problem=SEVERAL,
    speaks=problem_speaks(SEVERAL, pair=False),
    fault=several_fault,
    doubt=several_doubt,
    names=SEVERAL_NAMES,
    truth=several_of,
    start=Start(UNCASED, 3, 5e-5, 256, ({"metric": "micro_f1", "above_baseline": "tfidf"},)),
    settings=several_settings,
    notes=several_notes,
    classes=False,
)
A_NUMBER = replace(
    ONE_CLASS,
    problem=NUMBER,
    speaks=problem_speaks(NUMBER, pair=False),
    fault=number_fault,
    doubt=number_doubt,
    names=SCORE_NAMES,
    truth=numbers_in,
    start=Start(UNCASED, 3, 5e-5, 256, ({"metric": "r2", "above_baseline": "ridge"},)),
    notes=score_notes,
    classes=False,
)
PAIR = replace(
    ONE_CLASS,
    kind="pair-classification",
    speaks=problem_speaks(SINGLE, pair=True),
    texts=two_texts,
    settings=agreed_settings,
)

GUESSES: tuple[TaskGuess, ...] = (
    TaskGuess(
        kind="question-answering",
        speaks=holding_speaks(Holds.ANSWERS),
        texts=question_and_context,
        fault=holds_one_of(Holds.ANSWERS),
        doubt=no_objection,
        names=frozenset({"answers"}),
        truth=cells_of,
        start=Start(
            UNCASED, 2, 3e-5, 384, ({"metric": "f1", "above_baseline": "overlap"},),
            {"serving": {"max_characters": 20_000}},
        ),
        windows=True,
        sparse=True,
    ),
    TaskGuess(
        kind="token-classification",
        speaks=entities_speak,
        texts=text_of_spans,
        fault=holds_one_of(Holds.TAGS, Holds.SPANS, Holds.TAG_NUMBERS),
        doubt=no_objection,
        names=TAGS,
        truth=cells_of,
        start=Start(CASED, 4, 5e-5, 256, ({"metric": "f1", "above_baseline": "gazetteer"},)),
        sparse=True,
    ),
    TaskGuess(
        kind="feature-extraction",
        problem="scored-pairs",
        speaks=scored_pairs_speak,
        texts=two_texts,
        fault=number_fault,
        doubt=number_doubt,
        names=SCORE_NAMES,
        truth=numbers_in,
        start=Start(
            EMBEDDER, 4, 2e-5, 256, ({"metric": "spearman", "above_baseline": "tfidfcosine"},),
            batch=16, multilingual=EMBEDDERS,
        ),
        notes=similarity_notes,
        apart=True,
    ),
    TaskGuess(
        kind="feature-extraction",
        speaks=belonging_speak,
        texts=two_texts,
        fault=no_objection,
        doubt=no_objection,
        names=frozenset(),
        truth=cells_of,
        start=Start(
            EMBEDDER, 1, 2e-5, 256, ({"metric": "mrr", "above_baseline": "tfidfcosine"},),
            batch=64, settings=(TOGETHER,), multilingual=EMBEDDERS,
        ),
        truthless=True,
        further={"negative": frozenset({"negative", "hardnegative"})},
        apart=True,
    ),
    replace(PAIR, kind="zero-shot-classification", speaks=inference_speaks, settings=inference_settings),
    replace(SEVERAL_LABELS, kind=PAIR.kind, speaks=problem_speaks(SEVERAL, pair=True), texts=two_texts),
    replace(A_NUMBER, kind=PAIR.kind, speaks=problem_speaks(NUMBER, pair=True), texts=two_texts),
    PAIR,
    TaskGuess(
        kind="fill-mask",
        speaks=texts_alone_speak,
        texts=one_text,
        fault=no_objection,
        doubt=no_objection,
        names=frozenset(),
        truth=cells_of,
        start=Start(UNCASED, 3, 5e-5, 256, ({"metric": "cross_entropy", "above_baseline": "unigram"},)),
        truthless=True,
    ),
    SEVERAL_LABELS,
    A_NUMBER,
    ONE_CLASS,
)  # fmt: skip
"""What is looked for first stands first; a new task is a row."""
