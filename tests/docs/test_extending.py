"""The worked example of `docs/extending.md`: the package with one more task, made by following the page."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kubetune
import toys
from docs.pages import ROOT

BLOCK = re.compile(r"^```(?:python|text)\n# (?P<head>[^\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPE = """
name: ordered
task: {{kind: ordinal-classification}}
data:
  source: {{kind: files, paths: {{all: {data}}}}}
  splits: {{validation: 0.2, test: 0.3}}
model:
  source: {{kind: path, path: {model}}}
  max_length: 32
training: {{epochs: 4, batch: 16, learning_rate: 5.0e-3, precision: fp32}}
evaluation:
  bootstrap_samples: 100
  refuse_collapsed: false
"""


def followed(page: str, package: Path) -> None:
    """Do what the blocks say: `# FILE` is a new file, `# FILE, before TEXT` goes before the only place of a text."""
    for block in BLOCK.finditer(page):
        file, _, place = block["head"].partition(", before ")
        path = package / file
        if not place:
            assert not path.exists(), file
            path.write_text(block["text"], encoding="utf-8")
            continue
        source = path.read_text(encoding="utf-8")
        assert source.count(place) == 1, f"{place!r} is in {file} {source.count(place)} times"
        path.write_text(source.replace(place, block["text"].rstrip("\n") + place), encoding="utf-8")


@pytest.mark.slow
def test_a_task_is_added_as_the_page_says(tmp_path: Path, toy_model: Path) -> None:
    package = tmp_path / "src" / "kubetune"
    shutil.copytree(Path(kubetune.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    followed((ROOT / "docs" / "extending.md").read_text(encoding="utf-8"), package)
    data = toys.write_jsonl(tmp_path / "rows.jsonl", toys.toy_rows(200))
    (tmp_path / "ordered.yaml").write_text(RECIPE.format(data=data, model=toy_model), encoding="utf-8")

    def run(*words: str) -> str:
        return started("-m", "kubetune", *words)

    def python(code: str, *words: str) -> str:
        return started("-c", code, *words)

    def started(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(package.parent)}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    run("run", "ordered.yaml", "--until", "package", "--store", "store", "--run", "first")
    run("pull", "first", "report", "archive", "--store", "store", "--to", "got")
    metrics = json.loads((tmp_path / "got" / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["task"] == "ordinal-classification"
    found = metrics["metrics"]["balanced_accuracy"]
    assert found["low"] <= found["value"] <= found["high"] and found["value"] > 0.6
    assert set(metrics["baselines"]) == {"majority", "tfidf"}
    assert metrics["baselines"]["majority"]["metrics"]["balanced_accuracy"]["value"] == 0.5
    answers = python(
        "import sys; from pathlib import Path; from kubetune.serving.predictor import Predictor\n"
        "for answer in Predictor(Path(sys.argv[1]), threads=1).predict([('a good film',), ('a bad film',)]):\n"
        "    print(answer.prediction)",
        str(tmp_path / "got" / "archive"),
    )
    assert len(answers.splitlines()) == 2
