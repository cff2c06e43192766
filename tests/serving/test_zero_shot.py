"""Labels that a request names, from the archive to the client: equal to the pipeline's on the exported model."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import InferenceClient
from typer.testing import CliRunner

import served_toys
from answering import answering, ask
from handler_requests import context_for, send
from kubetune.api.predicting import TextPredictor
from kubetune.cli.app import app
from kubetune.errors import ConfigError
from kubetune.serving import client
from kubetune.serving.archive.export import export_hf
from kubetune.serving.golden.rescoring import golden_answers
from kubetune.serving.golden.vectors import check_golden, read_golden
from kubetune.serving.predictor import Predictor
from kubetune.serving.torchserve.handler import TextHandler
from kubetune.stages import package
from kubetune.tasks.inference import predict_outputs
from zero_shot_toys import LONG, NLI, TASK, TEMPLATE, pairs, write_model

CANDIDATES = ["bad", "film", "good"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zero-shot")
    module, encoding = write_model(folder)
    items = [(premise, hypothesis) for premise, hypothesis, _ in pairs()]
    outputs = predict_outputs(module, encoding.features, TASK, 0, 64)
    columns: dict[str, Any] = {"row_id": [f"{number:04}" for number in range(len(items))]}
    for place, name in enumerate(("text", "text_pair")):
        columns |= {f"raw_{name}": [item[place] for item in items], name: [item[place] for item in items]}
    columns |= {"length": [len(row["input_ids"]) for row in encoding.features], **TASK.output_columns(outputs)}
    columns |= TASK.answer_columns(TASK.predictions(outputs, encoding, items, NLI))
    (folder / "report").mkdir()
    pq.write_table(pa.table(columns), folder / "report" / "predictions.parquet")
    metrics = {"metrics": {}, "rows": len(items), "verdict": {"code": 0, "reasons": []}, "slices": {}, "truncated": 1}
    (folder / "report" / "metrics.json").write_text(json.dumps({**metrics, "labels": NLI, "per_class": []}))
    inputs = {name: folder / name for name in ("tokenizer", "model", "report")}
    inputs |= {"behaviour": served_toys.write_behaviour(folder / "behaviour")}
    inputs |= {"decision": served_toys.write_decision(folder / "decision")}
    out = folder / "archive"
    out.mkdir()
    package.run(served_toys.recipe_view(TASK.kind), inputs, {"archive": out}, served_toys.Quiet(folder))
    return out


@pytest.fixture(scope="module")
def predictor(archive: Path) -> Predictor:
    return Predictor(archive, precision="fp32", threads=1)


@pytest.fixture(scope="module")
def url(predictor: Predictor) -> Any:
    with answering(predictor) as address:
        yield address


def test_an_exported_model_answers_alike_in_the_pipeline(predictor: Predictor, archive: Path, tmp_path: Path) -> None:
    """With several labels right or one, with one label alone, and on a text that is cut (the label never is)."""
    from transformers import pipeline

    export_hf(archive, tmp_path / "hf")
    assert 'pipeline("zero-shot-classification", "FOLDER")' in (tmp_path / "hf" / "README.md").read_text()
    classify = pipeline("zero-shot-classification", str(tmp_path / "hf"), device="cpu")
    for text in ("we saw the film", LONG):
        for several, candidates in ((False, CANDIDATES), (True, CANDIDATES), (False, ["bad"])):
            parameters = {"candidate_labels": candidates, "hypothesis_template": TEMPLATE, "multi_label": several}
            status, found = ask(predictor, {"inputs": text, "parameters": parameters})
            wanted = classify(text, **parameters)
            assert status == 200
            assert [entry["label"] for entry in found] == wanted["labels"]
            assert [entry["score"] for entry in found] == pytest.approx(wanted["scores"], abs=1e-5)
            assert len(candidates) == 1 or found[0]["label"] == "good"


def test_the_client_of_hugging_face_reads_the_answer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hub = InferenceClient(model=url)
    found = hub.zero_shot_classification("we saw the film", CANDIDATES, hypothesis_template=TEMPLATE)
    assert found[0].label == "good"
    assert sum(entry.score for entry in found) == pytest.approx(1)
    several = hub.zero_shot_classification(
        "we saw the film", ["good", "nice", "bad"], hypothesis_template=TEMPLATE, multi_label=True
    )
    assert several[0].score + several[1].score > 1 > several[2].score * 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_golden_vectors_are_pairs_with_their_classes(archive: Path, precision: Any) -> None:
    golden = read_golden(archive)
    assert all(set(vector.item) == {"premise", "hypothesis"} for vector in golden.vectors)
    assert {"ordinary", "longest", "label-0", "label-1", "label-2"} <= {vector.name for vector in golden.vectors}
    assert set(golden.vectors[0].expected["scores"]) == set(NLI)
    predictor = Predictor(archive, precision=precision, threads=1)
    assert check_golden(golden, golden_answers(predictor), TASK.form) == []


def test_the_handler_of_torchserve_answers_with_the_labels_of_each_request(archive: Path, tmp_path: Path) -> None:
    """Requests of one batch name labels of their own, and one of them is wrong."""
    (tmp_path / "archive").symlink_to(archive)
    handler = TextHandler()
    handler.initialize(context_for(tmp_path, []))
    asked = [{"candidate_labels": of, "hypothesis_template": TEMPLATE} for of in (CANDIDATES, [], ["sad", "nice"])]
    bodies = [json.dumps({"inputs": "we saw the film", "parameters": parameters}).encode() for parameters in asked]
    replies = send(handler, tmp_path, [(body, "application/json") for body in bodies])
    assert [reply[0] for reply in replies] == [200, 400, 200]
    assert [reply[3][0]["label"] for reply in (replies[0], replies[2])] == ["good", "nice"]


def test_each_item_has_its_own_status(predictor: Predictor) -> None:
    status, found = ask(
        predictor,
        {
            "inputs": ["we saw the film", " \u200b ", {"text": "a"}, {"premise": "a", "hypothesis": "it was good"}],
            "candidate_labels": ["good"],
        },
    )
    good, blank, alias, pair = found["results"]
    assert status == 200
    assert (good["predictions"][0]["label"], alias["predictions"][0]["label"]) == ("good", "good")
    assert blank["error"] == {
        "status": 422,
        "reason": "premise is empty after cleaning, or of blanks and invisible characters alone",
    }
    assert (pair["error"]["status"], "leave out `candidate_labels`" in pair["error"]["reason"]) == (400, True)
    _, found = ask(predictor, {"inputs": ["a", {"premise": "a", "hypothesis": "it was good"}], "all_scores": True})
    assert found["results"][0]["error"]["status"] == 400
    assert {entry["label"] for entry in found["results"][1]["predictions"]} == set(NLI)


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no labels": ({"candidate_labels": []}, 400, "`candidate_labels` must be a list of at least one label"),
    "not given": ({}, 400, "`candidate_labels` must list the labels to choose from"),
    "twice": ({"candidate_labels": ["a", "a"]}, 400, "each there once"),
    "template": ({"candidate_labels": ["a"], "hypothesis_template": "x"}, 400, "a sentence with {} once"),
    "too many": ({"candidate_labels": list("abcde")}, 413, "together 5: at most 4 are allowed"),
    "unknown": ({"labels": ["a"]}, 400, "parameter `labels` is not known: allowed are candidate_labels, hypothesis_t"),
    "long": ({"candidate_labels": ["x" * 3000]}, 413, "hypothesis has 30"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_parameters_have_a_code_and_a_sentence(predictor: Predictor, name: str) -> None:
    parameters, status, sentence = REFUSED[name]
    found, answer = ask(predictor, {"inputs": "we saw the film", "parameters": parameters})
    assert (found, sentence in answer["error"]["reason"]) == (status, True), answer


def test_labels_are_answered_alike_alone_and_in_company(predictor: Predictor) -> None:
    asked = {"inputs": ["the day", "good"], "candidate_labels": ["bad", "good"], "all_scores": True}
    _, together = ask(predictor, asked)
    for text, found in zip(asked["inputs"], together["results"], strict=True):
        _, alone = ask(predictor, {**asked, "inputs": [text]})
        for one, other in zip(alone["results"][0]["predictions"], found["predictions"], strict=True):
            assert one == {"label": other["label"], "score": pytest.approx(other["score"], abs=1e-6)}


def test_the_command_takes_parameters_and_prints_every_label(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["predict", "we saw the film", "the day", "we saw", "--endpoint", url]
    given = ["--parameter", "candidate_labels=[bad, good]", "--parameter", f"hypothesis_template={TEMPLATE}"]
    monkeypatch.setattr(client.predict, "__defaults__", (None, client.NOTHING, client.RequestBounds(30.0, 4)))
    done = CliRunner().invoke(app, [*asked, *given])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if " good " in line or " bad " in line]
    assert [line.split()[-2] for line in lines] == ["good", "bad"] * 3
    best = CliRunner().invoke(app, [*asked, *given, "--top-k", "1", "--json"])
    assert [len(each["predictions"]) for each in json.loads(best.stdout)] == [1, 1, 1]
    refused = CliRunner().invoke(app, [*asked, "--parameter", "labels=[a]"])
    assert "unknown key: allowed are premise, hypothesis, inputs, candidate_labels" in str(refused.exception)
    for wrong, sentence in (("labels", "NAME=VALUE"), ("=3", "NAME=VALUE"), ("top_k=1", "--top-k"), ("a=[b", "YAML")):
        done = CliRunner().invoke(app, [*asked, "--parameter", wrong])
        assert isinstance(done.exception, ConfigError) and sentence in str(done.exception)


def test_a_notebook_gives_parameters_by_name(predictor: Predictor) -> None:
    found = TextPredictor(predictor).predict(["we saw the film"] * 3, candidate_labels=CANDIDATES)
    assert [list(each.scores) for each in found] == [sorted(CANDIDATES, key=lambda name: -found[0].scores[name])] * 3
    with pytest.raises(ConfigError, match="`candidate_labels` must be a list"):
        TextPredictor(predictor).predict(["we saw the film"], candidate_labels="bad")
