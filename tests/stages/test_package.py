"""From model and report to the served directory."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import served_toys
from kubetune.errors import DataError, KubetuneError, RefusedError
from kubetune.serving.archive import read_archive
from kubetune.serving.golden import read_golden
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
    assert all(sum(vector.scores.values()) == pytest.approx(1) for vector in golden.vectors)


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
