"""Any number of labels a text, and a number: packaged, proven, served to Hugging Face's client, exported, compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import InferenceClient
from transformers import AutoTokenizer, pipeline
from typer.testing import CliRunner

import served_toys
import toys
from answering import answering
from kubetune.cli.app import app
from kubetune.serving.archive.export import export_hf
from kubetune.serving.golden.rescoring import golden_answers
from kubetune.serving.golden.vectors import check_golden, read_golden
from kubetune.serving.predictor import Answer, Predictor
from kubetune.serving.request import answer, from_json, request_form
from kubetune.stages import package
from kubetune.tasks import load_task
from kubetune.tasks.base import Encoding, ModelSpec
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.spec import save_model

KINDS = ("text-classification-multi-label", "pair-classification-regression")
THRESHOLDS = (0.3, 0.7)


def packaged(folder: Path, kind: str) -> Path:
    """Package a model that saw a few steps, with the way of `evaluate` for its stored answers."""
    torch.set_num_threads(1)
    source = toys.write_toy_model(folder / "source")
    (folder / "tokenizer").mkdir()
    for name in served_toys.TOKENIZER:
        if (source / name).exists():
            (folder / "tokenizer" / name).write_bytes((source / name).read_bytes())
    several = kind.endswith("multi-label")
    fitted = {"thresholds": THRESHOLDS} if several else {"least": (10.0,), "most": (90.0,)}
    labels, head = (toys.LABELS if several else ()), {"pooling": "cls", "hidden_size": None, "dropout": 0.0}
    spec = ModelSpec(kind, labels, "stock", head, 0.0, served_toys.MAX_LENGTH, fitted=fitted)
    task = load_task(kind).of_model(spec)
    items = [(row["text"], "the day")[: len(task.columns)] for row in toys.toy_rows(80)]
    encoding = task.encode(AutoTokenizer.from_pretrained(folder / "tokenizer"), items, served_toys.MAX_LENGTH)
    right = [row["label"] == "positive" for row in toys.toy_rows(80)]
    targets = [[0, 1] if good else [] for good in right] if several else [[2.0 * good - 1] for good in right]
    features = [{**row, "label": target} for row, target in zip(encoding.features, targets, strict=True)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = task.build_model(spec, source, pretrained=True)
        optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
        for _ in range(12):
            optimizer.zero_grad()
            task.losses(module(**task.collate(features, 0)), task.targets(features, 0)).mean().backward()
            optimizer.step()
    (folder / "model").mkdir()
    save_model(module.eval(), spec, folder / "model")
    outputs = predict_outputs(module, features, task, 0, 64)
    columns: dict[str, Any] = {"row_id": [f"{number:04}" for number in range(len(items))]}
    for place, name in enumerate(("text", "text_pair")[: len(task.columns)]):
        columns |= {f"raw_{name}": [item[place] for item in items], name: [item[place] for item in items]}
    columns |= {"length": [len(row["input_ids"]) for row in features]}
    columns |= task.answer_columns(task.predictions(outputs, Encoding(features, [], []), items, labels))
    (folder / "report").mkdir()
    pq.write_table(pa.table(columns), folder / "report" / "predictions.parquet")
    metrics = {"metrics": {}, "rows": len(items), "verdict": {"code": 0, "reasons": []}, "slices": {}, "truncated": 0}
    (folder / "report" / "metrics.json").write_text(json.dumps({**metrics, "labels": [], "per_class": []}))
    inputs = {name: folder / name for name in ("tokenizer", "model", "report")}
    inputs |= {"behaviour": served_toys.write_behaviour(folder / "behaviour")}
    inputs |= {"decision": served_toys.write_decision(folder / "decision")}
    view = served_toys.recipe_view(kind)
    view.data.cleaning = []
    (folder / "archive").mkdir()
    package.run(view, inputs, {"archive": folder / "archive"}, served_toys.Quiet(folder))
    return folder / "archive"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: packaged(tmp_path_factory.mktemp("several"), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def predictors(archives: dict[str, Path]) -> dict[str, Predictor]:
    return {kind: Predictor(archive, precision="fp32", threads=1) for kind, archive in archives.items()}


@pytest.fixture(scope="module")
def several(predictors: dict[str, Predictor]) -> Predictor:
    return predictors[KINDS[0]]


def asked(predictor: Predictor, body: Any) -> tuple[int, Any]:
    """Return status and answer of a request."""
    archive, task = predictor.archive, predictor.task
    request = from_json(body, request_form(task, archive.serving.max_items, archive.texts))
    if not hasattr(request, "items"):
        return request.status, request.reason
    status, text = answer(request, predictor.predict(request.items), task, archive.labels, archive.serving.top_k)
    return status, json.loads(text)


def test_golden_vectors_prove_both_and_notice_another_model(archives: Any, predictors: Any) -> None:
    for kind, predictor in predictors.items():
        golden = read_golden(archives[kind])
        assert check_golden(golden, golden_answers(predictor), predictor.task.form) == []
        with torch.no_grad():
            layer = next(part for part in reversed(list(predictor._module.modules())) if hasattr(part, "out_features"))
            layer.bias += 0.5 if kind == KINDS[1] else 0.1
            wrong = check_golden(golden, golden_answers(predictor), predictor.task.form)
            layer.bias -= 0.5 if kind == KINDS[1] else 0.1
        assert wrong, kind
    names = {vector.name for vector in read_golden(archives[KINDS[0]]).vectors}
    assert {"ordinary", "longest", "shortest"} <= names
    assert read_golden(archives[KINDS[1]]).vectors[0].expected["unit"] == 80.0  # the range of train's scores


def test_the_card_says_from_which_probability_a_label_is_chosen(archives: Any) -> None:
    card = (archives[KINDS[0]] / "MODEL_CARD.md").read_text()
    assert (
        "- 0: `negative`, chosen from a probability of 0.3\n- 1: `positive`, chosen from a probability of 0.7" in card
    )
    assert "An answer is one number" in (archives[KINDS[1]] / "MODEL_CARD.md").read_text()


def test_an_answer_in_our_form_says_which_labels_are_chosen(several: Predictor) -> None:
    status, found = asked(several, {"text": "we saw a good film"})
    labels = found["predictions"]
    assert status == 200 and [set(entry) for entry in labels] == [{"label", "score", "chosen"}] * 2
    assert [entry["score"] for entry in labels] == sorted((entry["score"] for entry in labels), reverse=True)
    bars = dict(zip(toys.LABELS, THRESHOLDS, strict=True))
    assert all(entry["chosen"] == (entry["score"] >= bars[entry["label"]]) for entry in labels)
    _, tuned = asked(several, {"text": "we saw a good film", "threshold": "tuned"})
    assert tuned["predictions"] == [entry for entry in labels if entry["chosen"]]
    _, none = asked(several, {"text": "we saw a good film", "threshold": 1})
    assert none["predictions"] == []
    _, one = asked(several, {"text": "we saw a good film", "top_k": 1})
    assert one["predictions"] == labels[:1]


@pytest.mark.parametrize("given", [1.5, -0.1, "half", True, [0.5]])
def test_a_threshold_that_is_none_is_refused(several: Predictor, given: Any) -> None:
    status, reason = asked(several, {"inputs": "a film", "parameters": {"threshold": given}})
    assert (status, reason) == (
        400,
        "`threshold` must be a number from 0 to 1, or tuned: labels with at least that probability, or those that the "
        "model chooses",
    )


def test_the_client_of_hugging_face_reads_both(predictors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with answering(predictors[KINDS[0]]) as url:
        found = InferenceClient(model=url).text_classification("we saw a good film")
        (best,) = InferenceClient(model=url).text_classification("we saw a good film", top_k=1)
        (item,) = predictors[KINDS[0]].predict([("we saw a good film",)])
        wanted = dict(zip(toys.LABELS, item.prediction["probabilities"], strict=True))
        assert {entry.label: entry.score for entry in found} == pytest.approx(wanted)
        assert best == found[0] and set(vars(best)) == {"label", "score"}
    with answering(predictors[KINDS[1]]) as url:
        (item,) = predictors[KINDS[1]].predict([("a film", "the day")])
        status, body = asked(predictors[KINDS[1]], {"inputs": {"text": "a film", "text_pair": "the day"}})
        assert (status, body) == (200, [[{"label": "score", "score": item.prediction}]])


@pytest.mark.slow
def test_the_client_of_hugging_face_reads_the_score_of_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the unit of the data, and no probability: the client takes it as it is."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    predictor = Predictor(packaged(tmp_path, "text-classification-regression"), precision="fp32", threads=1)
    with answering(predictor) as url:
        (found,) = InferenceClient(model=url).text_classification("we saw a good film")
    (item,) = predictor.predict([("we saw a good film",)])
    assert (found.label, found.score) == ("score", pytest.approx(item.prediction))


def test_predict_prints_the_chosen_labels_or_none(
    several: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with answering(several) as url:
        done = CliRunner().invoke(app, ["predict", "we saw a good film", "we saw a nasty film", "--endpoint", url])
        assert done.exit_code == 0, done.output
        for text in ("we saw a good film", "we saw a nasty film"):
            (item,) = several.predict([(text,)])
            chosen = [toys.LABELS[number] for number in item.prediction["chosen"]] or ["no label"]
            assert [line.split()[5] for line in done.stdout.splitlines() if line.startswith(text)] == [
                label.split()[0]
                for label in sorted(
                    chosen,
                    key=lambda name: (
                        -dict(zip(toys.LABELS, item.prediction["probabilities"], strict=True)).get(name, 0)
                    ),
                )
            ]


def test_an_exported_model_answers_the_same_in_transformers(archives: Any, predictors: Any, tmp_path: Path) -> None:
    for kind, problem in zip(KINDS, ("multi_label_classification", "regression"), strict=True):
        export_hf(archives[kind], tmp_path / kind)
        assert json.loads((tmp_path / kind / "config.json").read_text())["problem_type"] == problem
        classify = pipeline("text-classification", str(tmp_path / kind), device="cpu", top_k=None)
        for text in ("we saw a good film", "it was very nasty"):
            item = (text, "the day")[: len(predictors[kind].task.columns)]
            asks = {"text": text} if len(item) == 1 else {"text": item[0], "text_pair": item[1]}
            (ours,) = predictors[kind].predict([item])
            assert isinstance(ours, Answer)
            form, labels = predictors[kind].task.form, predictors[kind].archive.labels
            wanted = {entry["label"]: entry["score"] for entry in form.decode(ours.prediction, labels, {})}
            theirs = {entry["label"]: entry["score"] for entry in classify(asks, truncation=True)}
            assert theirs == pytest.approx(wanted, abs=1e-5)


def test_answers_of_a_model_with_other_numbers_are_renumbered() -> None:
    task = load_task(KINDS[0])
    table = pa.table({"prediction": pa.array([[0, 1], [], [1]], pa.list_(pa.int32())), "confidence": [0.5, 0.9, 0.8]})
    assert task.renumbered(table, np.array([2, 0]))["prediction"].to_pylist() == [[0, 2], [], [0]]
