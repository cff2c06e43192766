"""What must and must not enter a stage's key, on a copy of the package's own source."""

import re
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import kubetune
from kubetune.config.load import canonical, parse_recipe
from kubetune.keys import code_digests, key_fields, key_of
from kubetune.stages import BY_NAME, STAGES

RECIPE = parse_recipe(
    """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""
)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source") / "kubetune"
    shutil.copytree(Path(kubetune.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def tree(copied: Path) -> Iterator[Path]:
    """One copy for all: its modules are parsed once. What a test wrote into it is taken back."""
    CHANGED.clear()
    yield copied
    for path, text in CHANGED.items():
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")


CHANGED: dict[Path, str | None] = {}
"""File of the copy → what it held before the test; None: it was not there."""


def keys(root: Path, recipe=RECIPE) -> dict[str, str]:
    inputs = {name: "0" * 64 for stage in STAGES for name in stage.inputs}
    return {
        stage.name: key_of(key_fields(stage, recipe, {n: inputs[n] for n in stage.inputs}, "identity", root))
        for stage in STAGES
        if not stage.effect  # never adopted by key
    }


@lru_cache
def unchanged(root: Path) -> dict[str, str]:
    """Keys of the copy as it was made: no test has written into it yet, or all was taken back."""
    return keys(root)


def changed(root: Path, before: dict[str, str]) -> set[str]:
    after = keys(root)
    return {name for name in before if before[name] != after[name]}


def write(path: Path, text: str) -> None:
    CHANGED.setdefault(path, path.read_text(encoding="utf-8") if path.is_file() else None)
    path.write_text(text, encoding="utf-8")


def append(path: Path, text: str) -> None:
    write(path, path.read_text(encoding="utf-8") + text)


CODE = "\n\nANSWER = 42\n"


@pytest.mark.parametrize(
    ("file", "text", "stages"),
    [
        ("training/loop.py", "\n# a comment\n", set()),
        ("stages/train.py", '\n"""Words about the module."""\n', set()),
        ("stages/deploy.py", "\n# a comment\n", set()),
        ("stages/deploy.py", CODE, set()),
        ("training/loop.py", CODE, {"train"}),
        ("training/batches.py", CODE, {"train"}),
        ("training/rank.py", CODE, {"train"}),  # started as `python -m`, imported by nobody
        ("text/cleaning.py", CODE, {"prepare", "evaluate", "behave", "compare", "package"}),
        ("tasks/pair_classification.py", CODE, set()),  # another task than the recipe's
        ("tasks/multi_label.py", CODE, set()),
        ("metrics/scores.py", CODE, set()),
        ("tasks/text_classification.py", CODE, {"prepare", "train", "evaluate", "behave", "compare", "package"}),
        ("data/targets/label.py", CODE, {"prepare"}),
        ("data/targets/spans.py", CODE, set()),  # another target type than the task's
        ("data/sources/hub.py", CODE, set()),  # another source than the recipe's
        ("data/sources/files.py", CODE, {"ingest"}),
        ("data/models/path.py", CODE, {"fetch"}),
        ("metrics/classes.py", CODE, {"prepare", "train", "evaluate", "behave", "compare", "package"}),
        ("tasks/baselines/classes.py", CODE, {"evaluate"}),  # else a bag of words would train a network again
        ("tasks/baselines/token_classification.py", CODE, set()),
        ("tasks/forms/classes.py", CODE, {"evaluate", "behave", "compare", "package"}),  # and no training again
        ("tasks/forms/token_classification.py", CODE, set()),
        ("evaluation/report.html.j2", "<!-- more -->", {"evaluate", "behave", "compare"}),
        ("comparison/spending.py", CODE, {"compare"}),
        ("behaviour/typos.py", CODE, {"behave"}),
        ("behaviour/suites/sentiment.yaml", "\n# more\n", {"behave"}),
        ("storage/registry.py", CODE, set()),
        ("storage/blobs.py", CODE, set()),
        ("cli/app.py", CODE, set()),
        ("config/load.py", CODE, set()),
    ],
)
def test_a_changed_file_changes_the_keys_of_the_stages_that_reach_it(
    tree: Path, file: str, text: str, stages: set[str]
) -> None:
    before = unchanged(tree)
    assert (tree / file).is_file()
    append(tree / file, text)
    assert changed(tree, before) == stages


def test_a_helper_reached_through_a_lazy_import_counts(tree: Path) -> None:
    write(tree / "training" / "extra.py", "def double(x):\n    return 2 * x\n")
    append(
        tree / "training" / "loop.py", "\n\ndef later():\n    from kubetune.training import extra\n\n    return extra\n"
    )
    before = keys(tree)
    append(tree / "training" / "extra.py", CODE)
    assert changed(tree, before) == {"train"}


def test_what_only_a_type_checker_imports_does_not_count(tree: Path) -> None:
    path = tree / "training" / "extra.py"
    write(path, "X = 1\n")
    append(
        tree / "training" / "loop.py",
        "\n\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from kubetune.training.extra import X\n",
    )
    before = keys(tree)
    append(path, CODE)
    assert changed(tree, before) == set()


def test_every_third_party_import_of_a_stage_is_a_declared_package() -> None:
    """A package whose version can change bytes must be in the row; those that only move bytes are listed here."""
    moves_bytes = {
        "pydantic",
        "yaml",
        "minio",
        "sqlalchemy",
        "huggingface_hub",
        "urllib3",
        "psutil",
        "threadpoolctl",
        "requests",
        "httpx",
    }
    distribution = {"sklearn": "scikit-learn", "vaderSentiment": "vaderSentiment"}
    root = Path(kubetune.__file__).parent
    for stage in STAGES:
        if stage.effect:
            continue
        text = ""
        for module in code_digests(stage, canonical(RECIPE)):
            if not module.startswith("data:"):
                path = root.joinpath(*module.split(".")[1:])
                source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
                text += source.read_text(encoding="utf-8") + "\n"
        body = re.sub(r"if TYPE_CHECKING:\n(?:(?: {4}.*)?\n)+", "", text)
        imported = {match.split(".")[0] for match in re.findall(r"^\s*(?:from|import) ([\w.]+)", body, re.MULTILINE)}
        import sys

        third = {name for name in imported if name not in sys.stdlib_module_names and name != "kubetune"}
        missing = {distribution.get(name, name) for name in third} - set(stage.packages) - moves_bytes
        assert not missing, f"{stage.name} imports {missing} without declaring them"


def test_an_upgraded_package_changes_the_stages_that_declare_it(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    before = keys(tree)
    real = kubetune.keys.installed_version  # type: ignore[attr-defined]
    monkeypatch.setattr("kubetune.keys.installed_version", lambda name: "99" if name == "tokenizers" else real(name))
    assert changed(tree, before) == {"prepare", "evaluate", "behave", "compare", "package"}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("training.learning_rate=1e-3", {"train"}),
        ("training.seed=7", {"train"}),
        ("evaluation.bootstrap_samples=500", {"evaluate"}),
        ("data.limit=100", {"prepare"}),
        ("data.encoding=latin-1", {"ingest"}),
        ("data.cleaning=[whitespace]", {"prepare", "behave", "package"}),
        ("model.max_length=64", {"prepare", "behave", "package"}),
        ("model.head.kind=own", {"train"}),
        ("serving.split=4", {"package"}),
        ("behaviour.suite=sentiment", {"behave"}),
        ("promotion.alpha=0.01", {"compare"}),
        ("resources.train.memory=8Gi", set()),
        ("resources.train.gpus=1", set()),
        ("resources.train.hardware=gpu", {"train"}),
        ("description=Other.", set()),
        ("name=other", set()),
    ],
)
def test_a_changed_recipe_value_changes_the_stages_that_read_it(tree: Path, override: str, stages: set[str]) -> None:
    from kubetune.config.load import parse_recipe as parse

    text = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""
    before, after = unchanged(tree), keys(tree, parse(text, [override]))
    assert {name for name in before if before[name] != after[name]} == stages


def test_identity_enters_the_key_of_outside_stages_only() -> None:
    fields = key_fields(BY_NAME["ingest"], RECIPE, {}, "sha256:1")
    assert fields["identity"] == "sha256:1"
    assert "identity" not in key_fields(BY_NAME["prepare"], RECIPE, {"raw": "1", "tokenizer": "2"})


@pytest.mark.parametrize(
    ("kind", "target"),
    [("text-classification", "label"), ("token-classification", "spans"), ("question-answering", "answers")],
)
def test_the_key_of_prepare_holds_the_target_type_of_the_task_alone(kind: str, target: str) -> None:
    document = canonical(RECIPE) | {"task": {"kind": kind}}
    types = {path.stem for path in (Path(kubetune.__file__).parent / "data" / "targets").glob("*.py")}
    types = {name for name in types if f"kubetune.data.targets.{name}" in code_digests(BY_NAME["prepare"], document)}
    assert types & {"label", "labels", "score", "spans", "answers"} == {target}
    assert "kubetune.data.targets.label" not in code_digests(BY_NAME["train"], document)


def test_another_problem_is_another_task(tree: Path) -> None:
    problem = RECIPE.task.model_copy(update={"problem": "multi-label"})
    several = RECIPE.model_copy(update={"task": problem})
    found = {name: code_digests(BY_NAME[name], canonical(several), tree) for name in ("prepare", "train", "evaluate")}
    assert all("kubetune.tasks.multi_label" in code for code in found.values())
    assert not any("kubetune.tasks.classification" in code for code in found.values())
    assert "kubetune.data.targets.labels" in found["prepare"]
    assert "kubetune.tasks.forms.labels" not in found["train"]
    assert {"kubetune.tasks.forms.labels", "kubetune.tasks.baselines.labels"} <= found["evaluate"].keys()
