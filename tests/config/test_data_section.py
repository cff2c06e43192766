"""Section `data`: classes that no classifier can have are refused where they are written."""

import pytest

from kubetune.config.load import parse_recipe
from kubetune.errors import ConfigError

RECIPE = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.labels=[neg, pos, neg]"], "`data.labels`: 'neg' is there twice"),
        (['data.labels=["caf\\u00e9", "cafe\\u0301"]'], "`data.labels`: 'café' is there twice"),
        (['data.labels=["pos", "pos\\u200b", "neg"]'], "`data.labels`: 'pos' is there twice"),
        (["data.labels=['True', 'TRUE', 'False']"], "`data.labels`: 'true' is there twice"),
        (["data.labels=[]"], "`data.labels`: a classifier needs at least two classes"),
        (["data.labels=[only]"], "`data.labels`: a classifier needs at least two classes"),
        (["data.labels=['', pos]"], "`data.labels`: a name is empty"),
        (['data.labels=["\\u200b", pos]'], "`data.labels`: a name is empty"),
        (["data.labels=['pos ', neg]"], "'pos ' has white space at an end, which label cells lose: write 'pos'"),
        (["data.columns.text=label"], "text and label name the same column 'label'"),
        (["task.kind=pair-classification", "data.columns.text_pair=text"], "text and text_pair name the same column"),
        (["data.label_numbers=1"], "label_numbers counts the names of labels, which are not given"),
        (["data.labels=[a, b]", "data.label_numbers=2"], "`data.label_numbers"),
        (["data.labels=[a, b]", "training.class_weights=[1, 2, 3]"], "class_weights has 3 values and data.labels 2"),
        (["data.labels=[a, b]", "training.class_weights=[1, 0]"], "`training.class_weights"),
        (["data.labels=[a, b]", "training.class_weights=[1, -1]"], "`training.class_weights"),
        (["data.labels=[a, b]", "training.class_weights=[1, .inf]"], "`training.class_weights"),
        (["data.labels=[a, b]", "training.class_weights=[1, .nan]"], "`training.class_weights"),
    ],
)
def test_impossible_classes_are_refused(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_recipe(RECIPE, overrides)
    assert caught.value.exit_code == 78
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_kept_as_cells_are_read() -> None:
    recipe = parse_recipe(RECIPE, ['data.labels=["cafe\\u0301", "very   good", "bad\\ufeff"]'])
    assert recipe.data.labels == ["caf\u00e9", "very good", "bad"]
    assert parse_recipe(RECIPE, ["data.labels=[a, b, c]", "data.label_numbers=-1"]).data.label_numbers == -1
