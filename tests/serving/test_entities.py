"""Entities from the archive to the answer: offsets of the raw text, golden vectors with teeth, clients that read it."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from typer.testing import CliRunner

import entity_toys
import kubetune as kt
from answering import answering, ask
from kubetune.cli.app import app
from kubetune.errors import ConfigError
from kubetune.serving import client
from kubetune.serving import request as body
from kubetune.serving.archive.export import export_hf
from kubetune.serving.archive.manifest import _parse, read_archive, write_manifest
from kubetune.serving.gateway import page
from kubetune.serving.golden.rescoring import ask_again, golden_answers
from kubetune.serving.golden.rows import pick
from kubetune.serving.golden.vectors import Vector, check_golden, read_golden
from kubetune.serving.local import endpoints
from kubetune.serving.predictor import Answer, Predictor, Refusal
from kubetune.serving.protocols.base import EndpointModel
from kubetune.serving.schemas import answer_schema
from kubetune.serving.torchserve import config as configuration
from kubetune.stages import package
from kubetune.tasks.base import Encoding
from kubetune.tasks.token_classification import TokenClassification
from kubetune.text.gate import TextGate
from served_toys import Quiet

ODD = "Nice, we saw   the film; \t\U0001f922 it was AWFUL sad  "
FOUND = [("praise", "Nice"), ("blame", "AWFUL"), ("blame", "sad")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return entity_toys.entity_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def archive(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packaged") / "archive"
    out.mkdir()
    package.run(entity_toys.recipe_view(), inputs, {"archive": out}, Quiet(out))
    return out


@pytest.fixture(scope="module")
def predictor(archive: Path) -> Predictor:
    return Predictor(archive, precision="fp32", threads=1)


@pytest.fixture(scope="module")
def url(predictor: Predictor) -> Any:
    with answering(predictor) as address:
        yield address


def test_offsets_refer_to_the_raw_text(predictor: Predictor) -> None:
    status, answer = ask(predictor, {"text": ODD})
    assert status == 200
    found = answer["predictions"]
    assert [(entity["entity_group"], entity["word"]) for entity in found] == FOUND
    assert all(ODD[entity["start"] : entity["end"]] == entity["word"] for entity in found)
    assert all(set(entity) == {"entity_group", "score", "word", "start", "end"} for entity in found)
    assert all(0.5 < entity["score"] <= 1 for entity in found)


def test_a_text_without_an_entity_has_an_empty_answer_beside_what_the_gate_refuses(predictor: Predictor) -> None:
    status, answer = ask(predictor, {"inputs": ["we saw the film on monday", " \u200b ", "a\0b", "nice"]})
    assert status == 200
    first, blank, nul, last = answer["results"]
    assert first == {"predictions": []}
    assert (blank["error"]["status"], nul["error"]["status"]) == (422, 422)
    assert [entity["word"] for entity in last["predictions"]] == ["nice"]


def test_answers_are_alike_alone_and_in_company(predictor: Predictor) -> None:
    texts = [(text,) for text in entity_toys.EXTRA]
    together = predictor.predict(texts)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = predictor.predict([text])
        assert isinstance(answer, Answer) and isinstance(alone, Answer)
        assert len(answer.prediction) == len(alone.prediction)
        for one, other in zip(answer.prediction, alone.prediction, strict=True):
            assert {**one, "score": 0} == {**other, "score": 0}
            assert one["score"] == pytest.approx(other["score"], abs=1e-6)


PARAMETERS = {
    "first is what it does": ({"aggregation_strategy": "first"}, 200, ""),
    "null is not said": ({"aggregation_strategy": None, "ignore_labels": None, "stride": None}, 200, ""),
    "another strategy": ({"aggregation_strategy": "simple"}, 400, "must be first: the model is asked at the first"),
    "no strategy": ({"aggregation_strategy": "none"}, 400, "must be first"),
    "labels as text": ({"ignore_labels": "blame"}, 400, "`ignore_labels` must be a list of labels"),
    "labels of numbers": ({"ignore_labels": [1]}, 400, "`ignore_labels` must be a list of labels"),
    "a stride": ({"stride": 8}, 400, "`stride` must be left out"),
    "top_k": ({"top_k": 1}, 400, "parameter `top_k` is not known: allowed are aggregation_strategy, ignore_labels"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(predictor: Predictor, name: str) -> None:
    parameters, status, reason = PARAMETERS[name]
    found, answer = ask(predictor, {"inputs": ODD, "parameters": parameters})
    assert found == status
    assert reason in (answer["error"]["reason"] if status != 200 else "")


def test_ignored_labels_and_the_forms_of_an_answer(predictor: Predictor) -> None:
    _, alone = ask(predictor, {"inputs": ODD, "parameters": {"ignore_labels": ["praise"]}})
    assert [entity["word"] for entity in alone] == ["AWFUL", "sad"]
    _, listed = ask(predictor, {"inputs": [ODD, "the day"], "parameters": {}})
    assert [len(answer) for answer in listed] == [3, 0]
    _, every = ask(predictor, {"inputs": [ODD], "all_scores": True})
    assert len(every["results"][0]["predictions"]) == 3
    status, refused = ask(predictor, {"inputs": [ODD], "top_k": 1})
    assert status == 400
    assert refused["error"]["reason"].endswith("allowed are text, inputs, all_scores, parameters")


def test_the_client_of_hugging_face_reads_the_answer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hub = InferenceClient(model=url)
    found = hub.token_classification(ODD, aggregation_strategy="first")
    assert [(entity.entity_group, entity.word) for entity in found] == FOUND
    assert [ODD[entity.start : entity.end] for entity in found] == [word for _, word in FOUND]
    assert hub.token_classification("the day") == []


def test_an_exported_model_gives_the_same_entities(predictor: Predictor, archive: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    export_hf(archive, tmp_path / "hf")
    readme = (tmp_path / "hf" / "README.md").read_text()
    assert 'pipeline("token-classification", "FOLDER", aggregation_strategy="first")' in readme
    assert "pipeline_tag: token-classification" in readme
    tag = pipeline("token-classification", str(tmp_path / "hf"), aggregation_strategy="first", device="cpu")
    for text in (ODD, *entity_toys.EXTRA):
        (answer,) = predictor.predict([(text,)])
        assert isinstance(answer, Answer)
        ours = [(entity["entity_group"], entity["start"], entity["end"]) for entity in answer.prediction]
        theirs = tag(text)
        assert [(entity["entity_group"], entity["start"], entity["end"]) for entity in theirs] == ours
        scores = [entity["score"] for entity in answer.prediction]
        assert [float(entity["score"]) for entity in theirs] == pytest.approx(scores, abs=1e-5)


def test_golden_vectors_have_a_row_of_each_type_and_one_of_none(archive: Path) -> None:
    found = {vector.name: vector for vector in read_golden(archive).vectors}
    assert set(found) >= {"ordinary", "longest", "shortest", "non-ascii", "no-entity", "entity-0", "entity-1"}
    assert found["no-entity"].expected == {"entities": []}
    for number, name in enumerate(entity_toys.TYPES):
        groups = [entity["entity_group"] for entity in found[f"entity-{number}"].expected["entities"]]
        assert name in groups
    for vector in found.values():
        assert set(vector.expected) == {"entities"}
        assert all(set(entity) == {"entity_group", "start", "end", "score"} for entity in vector.expected["entities"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_archive_reproduces_its_vectors(archive: Path, precision: Any) -> None:
    predictor = Predictor(archive, precision=precision, threads=1)
    assert check_golden(read_golden(archive), golden_answers(predictor), predictor.task.form) == []


def wrong_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for one, other in (("nice", "the"), ("bad", "film"), ("good", "day")):
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(tokenizer))


def permuted_labels(folder: Path) -> None:
    manifest = json.loads((folder / "archive.json").read_text())
    (folder / "archive.json").write_text(json.dumps(manifest | {"labels": manifest["labels"][::-1]}))


def shorter(folder: Path) -> None:
    manifest = json.loads((folder / "archive.json").read_text())
    (folder / "archive.json").write_text(json.dumps(manifest | {"max_length": 6}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("fault", [wrong_tokenizer, permuted_labels, shorter], ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(archive: Path, tmp_path: Path, fault: Callable[[Path], None], precision: Any) -> None:
    copy = Path(shutil.copytree(archive, tmp_path / "copy"))
    fault(copy)
    write_manifest(copy, _parse(copy))
    predictor = Predictor(copy, precision=precision, threads=1)
    wrong = check_golden(read_golden(copy), golden_answers(predictor), predictor.task.form)
    assert wrong
    texts = [vector.item["text"] for vector in read_golden(copy).vectors]
    assert not any(text in sentence for text in texts if text != "nice" for sentence in wrong)


def entity(start: int, end: int, score: float, group: str = "praise") -> dict[str, Any]:
    return {"entity_group": group, "start": start, "end": end, "score": score}


DIFFERENCES: dict[str, tuple[list[Any], list[Any], str | None]] = {
    "the same": ([entity(0, 4, 0.9)], [entity(0, 4, 0.9009)], None),
    "none": ([], [], None),
    "a score": ([entity(0, 4, 0.9)], [entity(0, 4, 0.88)], "got 0.8800 for 'praise' at characters 0 to 4 instead of"),
    "not a number": ([entity(0, 4, 0.9)], [entity(0, 4, float("nan"))], "got nan for 'praise'"),
    "a type": ([entity(0, 4, 0.9)], [entity(0, 4, 0.9, "blame")], "lacks 'praise' at characters 0 to 4"),
    "an end": ([entity(0, 4, 0.9)], [entity(0, 5, 0.9)], "lacks 'praise' at characters 0 to 4"),
    "one more": ([entity(0, 4, 0.9)], [entity(0, 4, 0.9), entity(5, 7, 0.3)], "got 'praise' at characters 5 to 7"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_when_a_vector_is_reproduced(name: str) -> None:
    expected, got, wanted = DIFFERENCES[name]
    found = entity_toys.TASK.form.differs({"entities": expected}, {"entities": got}, 1e-3)
    assert (found is None) == (wanted is None)
    assert (wanted or "") in (found or "")


def test_a_row_whose_answer_may_flip_is_not_golden(inputs: dict[str, Path], archive: Path) -> None:
    """Two tags of a word are nearly equal in every row that would be picked first: bf16 finds the other one."""
    table, gate = inputs["report"] / "predictions.parquet", TextGate((), 2000)
    asked: list[tuple[str, ...]] = []

    def picked(shaky: set[str]) -> tuple[Vector, ...]:
        def margins(items: Any) -> list[float]:
            asked.extend(items)
            return [0.001 if item[0] in shaky else 0.5 for item in items]

        return pick(table, entity_toys.TASK, entity_toys.TYPES, gate, SimpleNamespace(margins=margins), 1e-3)  # type: ignore[arg-type]

    first = picked(set())
    assert [vector.row_id for vector in first] == [vector.row_id for vector in read_golden(archive).vectors]
    shaky = {vector.item["text"] for vector in first}
    second = picked(shaky)
    assert {vector.name for vector in second} >= {"ordinary", "no-entity", "entity-0", "entity-1"}
    steady = [vector for vector in second if vector.item["text"] not in shaky]
    assert len(steady) >= len(second) - 1  # of rows that are not ASCII there is one, which stands all the same
    assert picked({item[0] for item in asked}), "where all are shaky the steadiest stand"


def test_margins_are_of_the_word_that_is_least_sure(predictor: Predictor) -> None:
    encoding = predictor.task.encode(predictor._tokenizer, [("nice day",), ("the film",)], 32)
    outputs = [np.zeros((len(feature["input_ids"]), 5), dtype=np.float32) for feature in encoding.features]
    for output in outputs:
        output[:, 0] = 9.0
    outputs[0][1] = [0.0, 1.0, 0.9, 0.0, 0.0]
    outputs[1][0] = 0.0  # a special token has no answer to lose
    narrow, wide = predictor.task.form.margins(outputs, encoding)
    assert narrow == pytest.approx((np.e - np.exp(0.9)) / (np.e + np.exp(0.9) + 3), abs=1e-6)
    assert wide > 0.99


def test_an_archive_that_cleans_what_its_answers_point_at_is_refused(archive: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(archive, tmp_path / "copy"))
    write_manifest(copy, dataclasses.replace(read_archive(copy), cleaning=("whitespace",)))
    with pytest.raises(ConfigError, match=r"cleans texts \(whitespace\).*data\.cleaning=\[\]"):
        Predictor(copy, threads=1)


def test_a_champion_asked_again_gives_the_columns_of_the_report(archive: Path) -> None:
    items = [("nice",), ("  ",), (ODD,), ("the day",), ("the  day",)]
    seen: list[int] = []
    found = ask_again(archive, items, seen.append)
    assert found.labels == entity_toys.TYPES
    assert found.answered.tolist() == [True, False, True, True, True]
    assert [len(row) for row in found.columns["entities"].to_pylist()] == [1, 3, 0, 0]
    assert found.columns.column_names == ["entities", "confidence"]
    assert found.texts[3] == found.texts[4] and len(set(found.texts.tolist())) == 4
    assert sum(seen) == len(items)


def test_the_card_and_the_page_say_what_it_answers(archive: Path) -> None:
    card = (archive / "MODEL_CARD.md").read_text()
    assert "An answer is the entities of a text" in card and "finds none of another type" in card
    text = page.render_page(EndpointModel("ner", "0" * 64, read_archive(archive)), "localhost")
    assert "client.token_classification(" in text and "top_k" not in text
    assert answer_schema(entity_toys.TASK.form) and "entity_group" in text


def test_the_python_front_door_shows_entities_in_their_text(archive: Path, url: str) -> None:
    loaded = kt.load_predictor(archive)
    first, none, refused = loaded.predict(["we love Nice food", "the [day]", ""])
    assert str(first) == "we [love](praise) [Nice](praise) food"
    assert str(none) == "the [day]"
    assert (none.answer, none.scores, none.label, refused.status) == ([], {}, None, 422)
    assert "empty" in str(refused)
    asked = kt.EndpointClient(url).predict(["we love Nice food"])[0]
    assert str(asked) == str(first) and [entity["word"] for entity in asked.answer] == ["love", "Nice"]


def test_predict_prints_texts_with_their_entities(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["predict", "we love\x1b[31m food", "the day", "--endpoint", url])
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["we [love](praise) [31m food", "the day"])
    raw = CliRunner().invoke(app, ["predict", "we love food", "--endpoint", url, "--json"])
    (answer,) = json.loads(raw.stdout)
    assert answer["text"] == "we love food"
    assert answer["predictions"][0]["start"] == 3
    refused = CliRunner().invoke(app, ["predict", "nice", "", "--endpoint", url])
    assert refused.exit_code != 0
    assert "[nice](praise)" in refused.stdout and "refused: text is empty" in refused.stdout
    assert CliRunner().invoke(app, ["predict", "nice", "--top-k", "2", "--endpoint", url]).exit_code != 0


class Windows(TokenClassification):
    """A text that is too long for one feature has two, as for answers in long documents; `Encoding.example` says so."""

    def encode(self, tokenizer: Any, items: Any, max_length: int, targets: Any = None) -> Encoding:
        features, example = [], []
        for number, (text,) in enumerate(items):
            middle = text.find(" ", len(text) // 2)
            parts = (
                [(0, text)] if len(text.split()) <= max_length - 2 else [(0, text[:middle]), (middle, text[middle:])]
            )
            for shift, part in parts:
                (feature,) = super().encode(tokenizer, [(part,)], max_length, targets).features
                moved = {
                    name: [place + shift if place >= 0 else place for place in feature[name]]
                    for name in ("starts", "ends")
                }
                features.append({**feature, **moved})
                example.append(number)
        return Encoding(features, example, [False] * len(items))

    def predictions(self, outputs: Any, encoding: Encoding, items: Any, labels: Any) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = [[] for _ in items]
        for output, feature, example in zip(outputs, encoding.features, encoding.example, strict=True):
            one = Encoding([feature], [0], [False])
            found[example] += super().predictions([output], one, [items[example]], labels)[0]
        return found


def test_several_windows_are_one_answer(archive: Path) -> None:
    whole, parted = (Predictor(archive, precision="fp32", threads=1) for _ in range(2))
    parted.task = Windows()
    text = " ".join(["we saw the film and it was bad"] * 6)
    items = [("nice",), (text,), ("",), ("the sad day",), (text,)]
    (_, cut, *_), answers = whole.predict(items), parted.predict(items)
    assert [isinstance(answer, Answer) for answer in answers] == [True, True, False, True, True]
    found = [[entity["word"] for entity in answer.prediction] for answer in answers if isinstance(answer, Answer)]
    assert isinstance(cut, Answer) and len(cut.prediction) < 6
    assert found == [["nice"], ["bad"] * 6, ["sad"], ["bad"] * 6]
    assert [text[entity["start"] : entity["end"]] for entity in answers[1].prediction] == ["bad"] * 6  # type: ignore[union-attr]
    reads = parted.reads(items)
    assert reads[1] == reads[4] and len({*reads}) == 4
    assert [len(read) for read in (reads[0], reads[1], reads[3])] == [1, 2, 1]


def test_texts_are_called_as_the_task_calls_them() -> None:
    """A task with names of its own, as a question and its context are."""
    form = body.RequestForm(("question", "context"), {}, 4)

    def parsed(value: Any) -> Any:
        return body.from_json(value, form)

    item = {"context": "We met in Berlin.", "question": "Where?"}
    assert parsed(item) == body.Request((("Where?", "We met in Berlin."),))
    assert parsed({"inputs": item, "parameters": {}}) == body.Request((("Where?", "We met in Berlin."),), hub=True)
    assert parsed({"inputs": [item]}).batched
    assert parsed({"text": "Where?", "text_pair": "We met in Berlin."}) == parsed(item)
    assert (
        parsed({"inputs": ["x", {"question": "a", "text": "b"}]}).items[1].reason
        == "give `question` or `text`, not both"
    )
    assert "allowed are question, context, inputs, all_scores, parameters" in parsed({"words": "x"}).reason
    assert parsed({"inputs": item, "parameters": {"top_k": 1}}).reason.endswith("allowed are none")
    (refused,) = parsed({"inputs": [{"context": "x"}]}).items
    assert refused == Refusal(400, "an item must have `question`")
    (refused,) = parsed({"inputs": [{"words": "x"}]}).items
    assert refused == Refusal(400, "an item must be a string or an object with `question` and `context`")


@pytest.mark.slow
def test_a_server_of_entities_is_ready_and_answers(archive: Path) -> None:
    """TorchServe itself, its workers and its golden vectors over HTTP."""
    seen: list[Any] = []

    def ready(url: str) -> None:
        seen.append(client.predict(url, [{"text": ODD}, {"text": "the day"}]))
        seen.append(client.call(url, "POST", {"inputs": ODD, "parameters": {"ignore_labels": ["blame"]}}).value)

    (port,) = configuration.free_ports(1)
    endpoints.serve_foreground(archive, configuration.Listening(port), ready, lambda: len(seen) == 2, 180)
    (first, none), alone = seen
    assert [(entity["entity_group"], entity["word"]) for entity in first["predictions"]] == FOUND
    assert none == {"predictions": []}
    assert [entity["word"] for entity in alone] == ["Nice"]
