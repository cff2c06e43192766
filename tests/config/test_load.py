"""Recipes: every error at once, with what was found, what is allowed and the nearest known key."""

import re
from pathlib import Path

import pytest

from kubetune.config.load import load_recipe, parse_recipe, shipped_recipes
from kubetune.config.recipe import view
from kubetune.errors import ConfigError
from kubetune.plan import plan
from kubetune.stages import STAGES

MINIMAL = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""


def test_every_shipped_recipe_is_valid_and_plans() -> None:
    names = list(shipped_recipes())
    assert set(names) >= {
        "tweets", "tweets-full", "emotion", "sst2", "sst2-frozen", "cola", "ag-news", "amazon-reviews", "tickets",
        "sentiment-bilstm",
    }  # fmt: skip
    for name in names:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description.endswith(".")
        assert [call.stage for call in plan(recipe, f"{name}-1")] == list(STAGES)


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_data_and_model_of_every_recipe_can_be_given_by_override(name: str) -> None:
    recipe = load_recipe(
        name,
        ["data.source.kind=files", "data.source.paths.all=x.csv", "model.source.kind=path", "model.source.path=m"],
    )
    assert (recipe.data.source.kind, recipe.model.source.kind) == ("files", "path")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["training.learning_rat=1"], "`training.learning_rat` is not a known key: did you mean `learning_rate`?"),
        (["trainin.batch=1"], "did you mean `training`?"),
        (["data.source.pats=1"], "`data.source.pats` is not a known key: did you mean `paths`?"),
        (["training.batch=fast"], "`training.batch`: input should be a valid integer"),
        (["training.batch=0"], "greater than or equal to 1 (found 0)"),
        (["name=Not_Allowed"], "lower-case letters, digits and inner hyphens (found 'Not_Allowed')"),
        (["training.epochs=1", "training.steps=5"], "epochs and steps are both given: give one"),
        (["data.source.kind=ftp"], "'hub', 'files', 'sql', 'package'"),
        (["data.columns.label=null"], "columns.label is null and weak_labels is absent"),
        (["evaluation.slices=[channel]"], "evaluation.slices names ['channel']"),
        (["training.learning_rate=.nan"], "`training.learning_rate`"),
        (["data.columns.text_pair=other"], "data.columns.text_pair names a second text"),
        (["data.group_by=either"], "data.group_by=either names a second text"),
        (["name=tokens"], "name starts with `token`"),
        (["model"], "write section.key=value"),
        (["model.max_length={"], "is not YAML"),
    ],
)
def test_a_wrong_recipe_is_explained(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)) as caught:
        parse_recipe(MINIMAL, overrides)
    assert caught.value.exit_code == 78
    assert "\n" not in str(caught.value)


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(ConfigError, match="3 errors"):
        parse_recipe(MINIMAL, ["training.x=1", "serving.y=2", "model.max_length=many"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n- b", "holds a list"),
        ("", "holds a NoneType"),
        ("name: a\nname: b", "key 'name' is given twice"),
        ("name: [", "is not YAML"),
        ("name: !!python/object/apply:os.system [id]", "is not YAML"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_text_that_is_no_recipe(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        parse_recipe(text)


def test_an_unknown_name_gets_the_nearest_and_a_missing_file_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tweets'"):
        load_recipe("tweet")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        load_recipe(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 9"):
        load_recipe(str(tmp_path / "latin.yaml"))


def test_a_view_holds_the_declared_sections_only() -> None:
    seen = view(parse_recipe(MINIMAL), ("training", "model.max_length"))
    assert seen.training.batch == 32
    assert seen.model.max_length == 128
    with pytest.raises(AttributeError):
        _ = seen.model.head
    with pytest.raises(AttributeError):
        _ = seen.data


def test_a_kind_given_by_override_drops_the_former_kinds_keys() -> None:
    recipe = parse_recipe(MINIMAL, ["model.source.name=org/model", "model.source.kind=hub"])
    assert recipe.model.source.model_dump() == {"kind": "hub", "name": "org/model", "revision": "main"}
