"""Answers in a context from the archive to the client: two texts of names of their own, several windows, one answer."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import InferenceClient
from transformers import AutoTokenizer
from typer.testing import CliRunner

import entity_toys
import served_toys
import toys
from answering import answering
from kubetune.cli.app import app
from kubetune.serving.golden.rescoring import ask_again, golden_answers
from kubetune.serving.golden.vectors import check_golden, read_golden
from kubetune.serving.predictor import Answer, Predictor
from kubetune.stages import package
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.spec import save_model

TASK = load_task("question-answering")
MAX_LENGTH = 24
LONG = " ".join(["we saw the film with you on monday"] * 5) + " nice food"


def rows() -> list[tuple[str, str, list[int]]]:
    """Question, context and where the answers start; the answer is the one word that is no neutral one."""
    found = []
    for row in toys.toy_rows(160):
        words = row["text"].split(" ")
        place = next(number for number, word in enumerate(words) if word not in toys.NEUTRAL)
        found.append(("was it good", row["text"], [len(" ".join([*words[:place], ""]))]))
    return [*found, ("was it good", LONG, [LONG.index("nice")]), ("was it", "the film on monday", [])]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    torch.set_num_threads(1)
    source = toys.write_toy_model(folder / "source")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for name in served_toys.TOKENIZER:
        if (source / name).exists():
            (tokenizer / name).write_bytes((source / name).read_bytes())
    head = {"pooling": "cls", "hidden_size": None, "dropout": 0.0}
    spec = ModelSpec(TASK.kind, (), "stock", head, 0.0, MAX_LENGTH)
    items = [(question, context) for question, context, _ in rows()]
    targets = [
        {"text": [context[start:].split(" ")[0] for start in starts], "answer_start": starts}
        for _, context, starts in rows()
    ]
    encoding = TASK.encode(AutoTokenizer.from_pretrained(tokenizer), items, MAX_LENGTH, targets)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = TASK.build_model(spec, source, pretrained=True)
        entity_toys.learn(TASK, module, encoding.features)
    (folder / "model").mkdir()
    save_model(module, spec, folder / "model")
    outputs = predict_outputs(module, encoding.features, TASK, 0, 64)
    columns: dict[str, Any] = {"row_id": [f"{number:04}" for number in range(len(items))]}
    for place, name in enumerate(("text", "text_pair")):
        columns |= {f"raw_{name}": [item[place] for item in items], name: [item[place] for item in items]}
    columns |= {"length": [len(context) for _, context in items]}
    columns |= TASK.answer_columns(TASK.predictions(outputs, encoding, items, ()))
    (folder / "report").mkdir()
    pq.write_table(pa.table(columns), folder / "report" / "predictions.parquet")
    metrics = {"metrics": {}, "rows": len(items), "verdict": {"code": 0, "reasons": []}, "slices": {}, "truncated": 0}
    (folder / "report" / "metrics.json").write_text(json.dumps({**metrics, "labels": [], "per_class": []}))
    inputs = {name: folder / name for name in ("tokenizer", "model", "report")}
    inputs |= {"behaviour": served_toys.write_behaviour(folder / "behaviour")}
    inputs |= {"decision": served_toys.write_decision(folder / "decision")}
    view = served_toys.recipe_view(TASK.kind)
    view.data.cleaning, view.model.max_length = [], MAX_LENGTH
    out = folder / "archive"
    out.mkdir()
    package.run(view, inputs, {"archive": out}, served_toys.Quiet(folder))
    return out


@pytest.fixture(scope="module")
def predictor(archive: Path) -> Predictor:
    return Predictor(archive, precision="fp32", threads=1)


@pytest.fixture(scope="module")
def url(predictor: Predictor) -> Any:
    with answering(predictor) as address:
        yield address


def test_an_answer_behind_the_first_window_is_found_in_the_raw_context(predictor: Predictor) -> None:
    (answer,) = predictor.predict([("was it good", LONG)])
    assert isinstance(answer, Answer)
    found = answer.prediction
    assert (found["answer"], LONG[found["start"] : found["end"]]) == ("nice", "nice")
    assert len(predictor.reads([("was it good", LONG)])[0]) > 1  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_golden_vectors_are_rows_of_both_texts(archive: Path, precision: Any) -> None:
    golden = read_golden(archive)
    assert all(set(vector.item) == {"question", "context"} for vector in golden.vectors)
    assert {"ordinary", "longest", "shortest", "answered"} <= {vector.name for vector in golden.vectors}
    predictor = Predictor(archive, precision=precision, threads=1)
    assert check_golden(golden, golden_answers(predictor), predictor.task.form) == []


def test_the_client_of_hugging_face_reads_the_answer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = InferenceClient(model=url).question_answering(question="was it good", context=LONG)
    assert (found.answer, found.start) == ("nice", LONG.index("nice"))  # type: ignore[union-attr]


def test_predict_shows_the_answer_in_its_context(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["predict", "was it good", "--pair", LONG, "--endpoint", url])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("…") and "on monday [nice](answer) food" in done.stdout
    alone = CliRunner().invoke(app, ["predict", "was it good", "--endpoint", url])
    assert alone.exit_code != 0
    assert "takes question and context: 1 texts given" in alone.stdout


def test_a_model_without_labels_has_a_card_and_answers_again(archive: Path) -> None:
    card = (archive / "MODEL_CARD.md").read_text()
    assert "A question-answering model, fine-tuned and packaged by kubetune.\n" in card
    assert "## Labels" not in card and "read in windows of 24 tokens" in card
    found = ask_again(archive, [("was it good", LONG), ("was it", " ")], lambda _: None)
    assert found.answered.tolist() == [True, False]
    assert found.columns["answer"].to_pylist() == ["nice"]
