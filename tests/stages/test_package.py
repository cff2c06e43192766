"""From model and report to the served directory."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import served_toys
from kubetune.config.data_sources import FilesData, HubData, PackageData, SqlData
from kubetune.config.model_sources import HubModel, PackageModel, PathModel, S3Model, ScratchModel
from kubetune.errors import DataError, KubetuneError, RefusedError
from kubetune.serving.archive import origins
from kubetune.serving.archive.manifest import read_archive
from kubetune.serving.golden.vectors import read_golden
from kubetune.stages import package
from served_toys import Quiet, recipe_view


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return served_toys.toy_inputs(tmp_path_factory.mktemp("package"))


def run(inputs: dict[str, Path], folder: Path, **serving: object) -> Path:
    out = folder / "archive"
    out.mkdir(parents=True)
    result = package.run(recipe_view(**serving), inputs, {"archive": out}, Quiet(folder))
    assert result.verdict.passed
    assert result.facts["archive"] == hashlib.sha256((out / "archive.json").read_bytes()).hexdigest()
    return out


def replaced(inputs: dict[str, Path], name: str, folder: Path) -> dict[str, Path]:
    return inputs | {name: Path(shutil.copytree(inputs[name], folder / f"other-{name}"))}


def test_two_runs_give_the_same_bytes(inputs: dict[str, Path], tmp_path: Path) -> None:
    first, second = run(inputs, tmp_path / "a"), run(inputs, tmp_path / "b")
    for path in first.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
            assert str(tmp_path) not in path.read_bytes().decode("utf-8", "ignore")


def test_golden_vectors_are_raw_rows_with_the_answers_of_the_evaluation(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    golden = read_golden(run(inputs, tmp_path))
    by_name = {vector.name: vector for vector in golden.vectors}
    assert set(by_name) >= {"ordinary", "longest", "shortest", "cleaned", "non-ascii", "label-0", "label-1"}
    assert by_name["shortest"].item == {"text": "nice"}
    assert "\U0001f922" in by_name["non-ascii"].item["text"]
    assert "https://" in by_name["cleaned"].item["text"]
    assert all(sum(vector.expected["scores"].values()) == pytest.approx(1) for vector in golden.vectors)


def test_settings_reach_manifest_and_model_config(inputs: dict[str, Path], tmp_path: Path) -> None:
    out = run(inputs, tmp_path, workers=2, batch_size=4, top_k=2)
    archive = read_archive(out)
    assert (archive.serving.workers, archive.serving.batch_size, archive.serving.top_k) == (2, 4, 2)
    lines = (out / "model-config.yaml").read_text().splitlines()
    assert {"minWorkers: 2", "maxWorkers: 2", "batchSize: 4", "maxBatchDelay: 5", "jobQueueSize: 80"} <= set(lines)


def test_a_refused_model_is_not_packaged(inputs: dict[str, Path], tmp_path: Path) -> None:
    changed = replaced(inputs, "report", tmp_path)
    path = changed["report"] / "metrics.json"
    verdict = {"verdict": {"code": 77, "reasons": ["accuracy is 0.1, at least 0.9 was wanted"]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | verdict))
    with pytest.raises(RefusedError, match=r"accuracy is 0\.1"):
        run(changed, tmp_path)
    assert not list((tmp_path / "archive").iterdir())


def test_a_tokenizer_that_the_model_was_not_trained_with_is_found(inputs: dict[str, Path], tmp_path: Path) -> None:
    changed = replaced(inputs, "tokenizer", tmp_path)
    path = changed["tokenizer"] / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for one, other in (("good", "bad"), ("nice", "sad"), ("food", "nasty")):
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(KubetuneError, match="does not reproduce the evaluation: golden vector"):
        run(changed, tmp_path)


def test_rows_that_a_server_would_refuse_are_not_golden(inputs: dict[str, Path], tmp_path: Path) -> None:
    golden = read_golden(run(inputs, tmp_path / "short", max_characters=40))
    assert all(len(vector.item["text"]) <= 40 for vector in golden.vectors)
    with pytest.raises(DataError, match=r"serving\.max_characters=1 "):
        run(inputs, tmp_path / "none", max_characters=1)


def test_pairs_and_own_heads(tmp_path: Path) -> None:
    archive = served_toys.toy_archive(tmp_path, pair=True, head="own")
    assert all(set(vector.item) == {"text", "text_pair"} for vector in read_golden(archive).vectors)
    assert "pair-classification" in (archive / "MODEL_CARD.md").read_text()


def test_the_card_names_base_model_data_and_licences(inputs: dict[str, Path], tmp_path: Path) -> None:
    model = Path(shutil.copytree(inputs["model"], tmp_path / "model"))
    facts = {"base_model": {"revision": "abc123", "licence": "apache-2.0"}, "data": {"revision": None, "licence": None}}
    (model / "origin.json").write_text(json.dumps(facts))
    card = card_of(inputs | {"model": model}, tmp_path)
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "base_model": "toys/bert",
    }
    assert body.startswith("# Model card\n")
    assert "- Base model: `toys/bert` of a model hub. Revision `abc123`. Licence: apache-2.0.\n" in body
    assert "- Data: `toy.jsonl`, of its owner. Licence: not stated by its owner.\n" in body
    assert "/srv/rows" not in card


SOURCES: dict[str, tuple[Any, Any, str]] = {
    "S3 and SQL": (
        S3Model(url="s3://secret-bucket/a/minilm/"),
        SqlData(query="select * from secrets", url="sqlite:///secret.db"),
        "`minilm`, a folder of its owner|the rows of a database query",
    ),
    "path and addresses": (
        PathModel(path="/home/secret/bert"),
        FilesData(paths={"train": ["https://h/a.csv?page=secret", "s3://b/b.csv", "c.csv", "d.csv"]}),
        "`bert`, a folder of its owner|`a.csv`, `b.csv`, `c.csv` and 1 more, of its owner",
    ),
    "scratch and hub": (
        ScratchModel(kind="scratch", tokenizer=HubModel(name="a/b")),
        HubData(name="c/d"),
        "None: trained from scratch on the tokenizer of `a/b` of a model hub|`c/d` of a data hub",
    ),
    "packages": (
        PackageModel(kind="package", distribution="dist", path="dist/model"),
        PackageData(kind="package", distribution="rows", path="rows/train.csv"),
        "`model` of Python package `dist`|`train.csv` of Python package `rows`",
    ),
    "a file a split": (
        PackageModel(kind="package", distribution="dist", path="dist/model"),
        PackageData(kind="package", distribution="rows", path={"train": "rows/train.csv", "test": "rows/test.csv"}),
        "`model` of Python package `dist`|`train.csv`, `test.csv` of Python package `rows`",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_card_says_nothing_that_is_its_owners_alone(name: str) -> None:
    model, rows, expected = SOURCES[name]
    found = [origins.base_model(model, {}), origins.data_origin(rows, {})]
    assert found == [f"{said}. Licence: not stated by its owner." for said in expected.split("|")]


def card_of(inputs: dict[str, Path], folder: Path) -> str:
    return (run(inputs, folder) / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_card_of_a_first_model_says_that_nothing_was_compared_or_tested(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    card = card_of(inputs, tmp_path)
    assert "To be promoted, without a champion to compare with." in card
    assert "- There is no champion, and the candidate passed every threshold." in card
    assert "No behavioural suite was run" in card
    assert "It gives one of its 2 labels to every text" in card
    assert "It is weakest on “negative”" in card
    assert "Nothing was checked about other languages" in card


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("promote", "To be promoted, against version 4 of toys."),
        ("keep", "Not to be promoted, against version 4 of toys."),
        ("undecided", "Undecided, against version 4 of toys: the rows do not tell."),
    ],
)
def test_the_card_says_what_was_decided_and_package_refuses_nothing_for_it(
    inputs: dict[str, Path], tmp_path: Path, outcome: str, said: str
) -> None:
    champion = {"name": "toys", "version": 4, "run": "former", "archive": "ab"}
    reasons = ["slice place “[here](http://evil.example) | <b>*x*</b>” loses 0.1\n# Title"]
    decision = served_toys.write_decision(tmp_path / "decision", outcome=outcome, reasons=reasons, champion=champion)
    card = card_of(inputs | {"decision": decision}, tmp_path)
    assert said in card
    (line,) = (line for line in card.splitlines() if "loses 0.1" in line)
    assert line == "- slice place “\\[here\\](http://evil.example) b \\*x\\* /b ” loses 0.1 # Title"


def test_the_card_holds_the_behaviour_by_capability(inputs: dict[str, Path], tmp_path: Path) -> None:
    found = {"count": 400, "failures": 12, "rate": 0.03, "low": 0.0172, "high": 0.0517}
    behaviour = served_toys.write_behaviour(
        tmp_path / "behaviour", suite="sentiment", scored=900, capabilities={"typos": found, "a | b": found}
    )
    card = card_of(inputs | {"behaviour": behaviour}, tmp_path)
    assert "Suite `sentiment`, 900 texts." in card
    assert "| typos | 12 | 400 | 0.0300 | 0.0172 to 0.0517 |" in card
    assert "| a b | 12 | 400 |" in card


def test_the_card_warns_of_a_recipe_without_thresholds(inputs: dict[str, Path], tmp_path: Path) -> None:
    changed = replaced(inputs, "report", tmp_path)
    path = changed["report"] / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": ["The recipe sets no thresholds."]}))
    assert "- The recipe sets no thresholds." in card_of(changed, tmp_path)


def test_the_card_names_weak_slices_as_limits(inputs: dict[str, Path], tmp_path: Path) -> None:
    changed = replaced(inputs, "report", tmp_path)
    path = changed["report"] / "metrics.json"
    part = {"name": "night", "rows": 77, "accuracy": {"value": 0.61}, "weak": True}
    more = {"slices": {"shift": [part, part | {"name": "day", "weak": False}]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    card = card_of(changed, tmp_path)
    assert "- It is weaker where shift is night: accuracy 0.610 on 77 rows." in card
    assert "day" not in card
