"""Every family that the documentation names, through all stages: trained, packaged, served, exported."""

import json
from pathlib import Path

import pytest
import transformers

import architecture_toys as families
import pipelines
import toys
from kubetune.errors import ConfigError
from kubetune.models.history import pull
from kubetune.serving.archive.export import export_hf
from kubetune.serving.predictor import Answer, Predictor
from kubetune.storage.open import open_store

pytestmark = pytest.mark.slow
ENDLESS = 64
HEADS = {"stock": "{kind: stock}", "own": "{kind: own, pooling: mean}"}
CHAINS = [
    (name, head)
    for name in families.FAMILIES
    for head in HEADS
    if (name, head) not in {("t5-encoder", "stock"), ("bart", "own")}
]


def run_family(name: str, head: str, folder: Path) -> Path:
    """Train on rows of which one in ten is too long and holds a special token, and return the archive."""
    tokenizer, _, longest = families.FAMILIES[name]
    special = sorted(tokenizer().all_special_tokens)
    rows = toys.toy_rows(120, seed=1)
    filler = " ".join(row["text"] for row in rows[:8])
    for number in range(0, len(rows), 10):
        rows[number]["text"] += f" {special[number // 10 % len(special)]} {filler}"
    overrides = [f"model.head={HEADS[head]}", f"model.max_length={min(longest, ENDLESS)}", "training.epochs=1"]
    recipe = pipelines.toy_recipe(
        toys.write_jsonl(folder / "rows.jsonl", rows),
        families.write_checkpoint(name, folder / "model"),
        [*overrides, "evaluation.thresholds=[]"],
    )
    store = open_store(str(folder / "store"))
    pipelines.run_plan(recipe, "family-1", store, pipelines.settings_of(folder))
    return pull(store, "family-1", ["archive"], folder / "pulled")["archive"]


@pytest.mark.parametrize(("name", "head"), CHAINS)
def test_a_family_is_trained_packaged_served_and_exported(name: str, head: str, tmp_path: Path) -> None:
    archive = run_family(name, head, tmp_path)
    special = families.FAMILIES[name][0]().all_special_tokens
    texts = [row["text"] for row in toys.toy_rows(12, seed=9)]
    predictor = Predictor(archive, precision="fp32")
    outcomes = predictor.predict([(text,) for text in [*texts, " ".join(texts), *special]])
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    if head == "own":
        with pytest.raises(ConfigError, match="its own head"):
            export_hf(archive, tmp_path / "hf")
        return
    export_hf(archive, tmp_path / "hf")
    classify = transformers.pipeline("text-classification", str(tmp_path / "hf"), top_k=None, truncation=True)
    assert json.loads((tmp_path / "hf/config.json").read_text())["architectures"] == [type(classify.model).__name__]
    for text, outcome in zip([*texts, " ".join(texts)], outcomes, strict=False):
        assert isinstance(outcome, Answer)
        (rows,) = classify([text])
        ours = dict(zip(predictor.archive.labels, outcome.prediction, strict=True))
        assert {row["label"]: row["score"] for row in rows} == pytest.approx(ours, abs=1e-4)
