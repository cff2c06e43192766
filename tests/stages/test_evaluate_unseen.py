"""The body of `evaluate` with labels that no training row has: asked as a request asks, measured, bounded."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoTokenizer

import served_toys
import zero_shot_toys
from kubetune.config.evaluation import EvaluationSection
from kubetune.config.load import canonical, parse_recipe
from kubetune.config.task import TaskSection
from kubetune.contract import Result
from kubetune.errors import ConfigError, DataError
from kubetune.stages.evaluate import run
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.rows import read_rows
from kubetune.tasks.spec import load_spec
from zero_shot_toys import NLI, TASK, TEMPLATE, pairs

UNSEEN = {
    "good": ["we saw the film", "the day was nice", "you and me on monday", "the food", "a  film"],
    "bad": ["a sad day", "the film was awful"],
    "film": ["the film with you"],
}
RECIPE = """
name: toy
task: {kind: zero-shot-classification}
data: {source: {kind: files, paths: {all: rows.csv}}}
model: {source: {kind: path, path: model}}
evaluation: {unseen: {texts: {good: [a, b], bad: [c]}}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts `model`, `tokenizer` and `dataset`."""
    folder = tmp_path_factory.mktemp("unseen")
    torch.set_num_threads(1)
    _, encoding = zero_shot_toys.write_model(folder)
    (folder / "model" / "training.json").write_text(json.dumps({"evaluations": [], "best": None}), encoding="utf-8")
    (folder / "dataset").mkdir()
    for split in ("train", "test"):
        columns: dict[str, Any] = {"row_id": [f"{split}-{number}" for number in range(len(pairs()))]}
        for place, name in enumerate(("text", "text_pair")):
            columns |= {f"raw_{name}": [row[place] for row in pairs()], name: [row[place] for row in pairs()]}
        columns["label"] = pa.array([row[2] for row in pairs()], pa.int32())
        for name in encoding.features[0]:
            columns[name] = pa.array([row[name] for row in encoding.features], pa.list_(pa.int32()))
        columns["length"] = pa.array([len(row["input_ids"]) for row in encoding.features], pa.int32())
        columns["truncated"] = encoding.truncated
        pq.write_table(pa.table(columns), folder / "dataset" / f"{split}.parquet")
    facts = {"labels": list(NLI), "splits": {"train": 1, "validation": 1, "test": 1}, "pad_token_id": 0}
    facts |= {"max_length": served_toys.MAX_LENGTH, "cleaning": ["whitespace"], "format": 1, "task": TASK.kind}
    facts |= {"label_counts": {name: [1, 1, 1] for name in ("train", "validation", "test")}}
    (folder / "dataset" / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def evaluate(made: Path, report: Path, **section: Any) -> Result:
    config = SimpleNamespace(
        task=TaskSection(kind="zero-shot-classification"),
        evaluation=EvaluationSection.model_validate({"bootstrap_samples": 100, **section}),
        resources=SimpleNamespace(evaluate=SimpleNamespace(hardware="cpu")),
    )
    report.mkdir()
    inputs = {name: made / name for name in ("dataset", "tokenizer", "model")}
    return run(config, inputs, {"report": report}, served_toys.Quiet(report))


@pytest.mark.slow
def test_figures_are_those_of_what_a_request_answers(made: Path, tmp_path: Path) -> None:
    bars = [{"metric": f"unseen_{name}", "at_least": 0.99} for name in ("macro_f1", "accuracy")]
    bars.append({"metric": "unseen_accuracy", "above_baseline": "majority"})
    done = evaluate(made, tmp_path / "asked", unseen={"texts": UNSEEN, "template": TEMPLATE}, thresholds=bars)
    plain = evaluate(made, tmp_path / "plain")
    assert {name: value for name, value in done.metrics.items() if not name.startswith("unseen_")} == plain.metrics

    truth = [label for label, texts in UNSEEN.items() for _ in texts]
    texts = [" ".join(text.split()) for of in UNSEEN.values() for text in of]
    asked = [(text, TEMPLATE.format(label)) for text in texts for label in UNSEEN]
    features = TASK.encode(AutoTokenizer.from_pretrained(made / "tokenizer"), asked, served_toys.MAX_LENGTH).features
    module = TASK.build_model(load_spec(made / "model"), made / "model", pretrained=False)
    logits = np.stack(predict_outputs(module, features, TASK, 0, 8)).reshape(len(truth), len(UNSEEN), len(NLI))
    answers = [list(UNSEEN)[number] for number in logits[:, :, NLI.index("entailment")].argmax(axis=1)]
    assert done.metrics["unseen_accuracy"] == pytest.approx(accuracy_score(truth, answers))
    expected = f1_score(truth, answers, average="macro", zero_division=0.0, labels=sorted({*truth, *answers}))
    assert done.metrics["unseen_macro_f1"] == pytest.approx(expected)
    assert (
        done.metrics["unseen_accuracy_low"] <= done.metrics["unseen_accuracy"] <= done.metrics["unseen_accuracy_high"]
    )
    assert done.metrics["unseen_baseline_majority_accuracy"] == pytest.approx(5 / 8)

    document = json.loads((tmp_path / "asked" / "metrics.json").read_text(encoding="utf-8"))
    assert (document["unseen"]["texts"], document["unseen"]["template"]) == (8, TEMPLATE)
    assert {row["label"]: row["texts"] for row in document["unseen"]["labels"]} == {"good": 5, "bad": 2, "film": 1}
    assert done.verdict.code == 77 and done.verdict.reasons[0].startswith("unseen labels: macro_f1 is ")
    assert document["verdict"]["reasons"] == list(done.verdict.reasons)
    page = (tmp_path / "asked" / "report.html").read_text(encoding="utf-8")
    assert "Unseen labels" in page and done.verdict.reasons[0] in page
    assert "Unseen labels" not in (tmp_path / "plain" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_text_that_says_nothing_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="says nothing once it is cleaned: leave it out"):
        evaluate(made, tmp_path / "mute", unseen={"texts": {"good": ["\u200b"], "bad": ["sad"]}})
    assert read_rows(made / "dataset", "test", TASK, NLI)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("evaluation.unseen.texts={good: [a]}", "a choice needs at least two labels"),
        ("evaluation.unseen.texts={good: [a], bad: []}", "label 'bad' is blank, has no text or a blank one"),
        ("evaluation.unseen.texts={good: [a], bad: [' ']}", "label 'bad' is blank, has no text or a blank one"),
        ("evaluation.unseen.texts={good: [a], bad: [a]}", "'a' is there twice"),
        ("evaluation.unseen.template=It is.", "evaluation.unseen.template"),
        ("task.kind=pair-classification", "evaluation.unseen asks with labels, which task pair-classification is not"),
        ("evaluation.thresholds=[{metric: unseen_mcc, at_least: 0}]", "unseen_accuracy, unseen_macro_f1"),
        (
            "evaluation.thresholds=[{metric: unseen_accuracy, above_baseline: tfidf}]",
            "names the baseline 'tfidf': allowed are majority",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_recipe(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_recipe(RECIPE, [override])
    assert sentence in str(refusal.value)


def test_a_recipe_without_unseen_labels_is_stored_as_before() -> None:
    assert "unseen" not in canonical(parse_recipe(RECIPE, ["evaluation={}"]))["evaluation"]
    with pytest.raises(ConfigError, match="unseen_accuracy"):
        parse_recipe(RECIPE, ["evaluation={thresholds: [{metric: unseen_accuracy, at_least: 0.5}]}"])
    found = parse_recipe(RECIPE)
    assert parse_recipe(found.model_dump_json()) == found
