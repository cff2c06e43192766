"""Texts of a row side by side in a feature, their vectors side by side in an output, and losses that see both."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoTokenizer

import vector_toys
from kubetune.tasks import load_baselines, load_task
from kubetune.tasks.base import Encoding, ModelSpec
from kubetune.tasks.inference import predict_outputs

SCORED, PAIRS = load_task(vector_toys.SCORED), load_task(vector_toys.PAIRS)
LONG = " ".join(["we saw the film"] * 20)


@pytest.fixture(scope="module")
def tokenizer(toy_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(toy_model)


@pytest.fixture(scope="module")
def module(toy_model: Path) -> torch.nn.Module:
    return SCORED.build_model(
        ModelSpec(SCORED.kind, (), "stock", vector_toys.HEAD, 0.0, 16), toy_model, pretrained=True
    )


def test_a_text_has_one_vector_whatever_stands_beside_it(tokenizer: Any, module: torch.nn.Module) -> None:
    items: list[tuple[str, ...]] = [("good film", LONG), ("a day", "nice")]
    encoding = SCORED.encode(tokenizer, items, 16)
    assert encoding.truncated == [True, False]
    assert encoding.example == [0, 1]
    assert sorted(set(encoding.features[0]["sides"])) == [0, 1]
    assert SCORED.collate(encoding.features, 0)["input_ids"].shape == (2, 2, 16)
    found = SCORED.predictions(predict_outputs(module, encoding.features, SCORED, 0, 8), encoding, items, ())
    for item, vectors in zip(items, found, strict=True):
        for text, vector in zip(item, vectors.values, strict=True):
            alone = SCORED.encode(tokenizer, [(text,)], 16)
            (served,) = SCORED.predictions(predict_outputs(module, alone.features, SCORED, 0, 8), alone, [(text,)], ())
            np.testing.assert_allclose(served.values[0], vector, atol=1e-6)
            assert served.values.shape == (1, 32)


def test_pooling_is_the_mean_over_real_tokens_or_the_first(tokenizer: Any, toy_model: Path) -> None:
    from transformers import AutoModel

    network = AutoModel.from_pretrained(toy_model).eval()
    feature = SCORED.encode(tokenizer, [("good film",)], 16).features[0]
    with torch.inference_mode():
        states = network(input_ids=torch.tensor([feature["input_ids"]])).last_hidden_state[0]
    for pooling, expected in (("mean", states.mean(dim=0)), ("cls", states[0])):
        spec = ModelSpec(SCORED.kind, (), "stock", {"pooling": pooling}, 0.0, 16)
        (found,) = predict_outputs(SCORED.build_model(spec, toy_model, pretrained=True), [feature], SCORED, 0, 8)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def rows_of(texts: list[tuple[list[int], list[int]]]) -> list[dict[str, Any]]:
    return [{"input_ids": [*one, *other], "sides": [0] * len(one) + [1] * len(other)} for one, other in texts]


def test_the_loss_of_scored_pairs_is_the_squared_error_of_the_cosine() -> None:
    outputs = torch.randn(5, 8)
    targets = SCORED.targets([{"label": [score], "input_ids": [1]} for score in (0.0, 0.2, 0.5, 0.9, 1.0)], 1)  # type: ignore[list-item]
    found = SCORED.losses(outputs, targets)
    expected = [
        (1 - torch.nn.functional.cosine_similarity(row[:4], row[4:], dim=0) - 1 + target) ** 2
        for row, target in zip(outputs, targets, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(expected))


def test_anchors_are_told_from_the_positives_of_other_rows() -> None:
    outputs = torch.randn(4, 6)
    targets = PAIRS.targets(rows_of([([1], [2]), ([3], [4]), ([5], [6]), ([7], [8])]), 1)
    anchors, positives = outputs[:, :3], outputs[:, 3:]
    near = 20 * torch.nn.functional.cosine_similarity(anchors[:, None], positives[None], dim=2)
    expected = torch.nn.functional.cross_entropy(near, torch.arange(4), reduction="none")
    torch.testing.assert_close(PAIRS.losses(outputs, targets), expected)
    smoothed = torch.nn.functional.cross_entropy(near, torch.arange(4), reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(PAIRS.losses(outputs, targets, 0.1), smoothed)


@pytest.mark.parametrize(
    "twin",
    [([9], [2]), ([1], [9]), ([1], [2]), ([9], [1])],
    ids=["same-positive", "same-anchor", "same-row", "own-anchor-as-positive"],
)
def test_what_is_right_as_well_is_no_negative(twin: tuple[list[int], list[int]]) -> None:
    """Rows 0 and 1 are the same or nearly: the loss of row 0 is the one that it has without row 1."""
    outputs = torch.randn(3, 6)
    targets = PAIRS.targets(rows_of([([1], [2]), twin, ([5], [6])]), 1)
    found = PAIRS.losses(outputs, targets)
    without = PAIRS.losses(outputs[[0, 2]], targets[[0, 2]])
    torch.testing.assert_close(found[0], without[0])


def triplets_of(texts: list[tuple[list[int], ...]]) -> list[dict[str, Any]]:
    sides = [[side for side, text in enumerate(row) for _ in text] for row in texts]
    return [
        {"input_ids": [number for text in row for number in text], "sides": of}
        for row, of in zip(texts, sides, strict=True)
    ]


def test_anchors_are_told_from_the_hard_negatives_of_all_rows() -> None:
    outputs = torch.randn(3, 9)
    targets = PAIRS.targets(triplets_of([([1], [2], [3]), ([4], [5], [6]), ([7], [8], [9])]), 1)
    anchors, positives, negatives = outputs.reshape(3, 3, 3).unbind(dim=1)
    candidates = torch.cat([positives, negatives])
    near = 20 * torch.nn.functional.cosine_similarity(anchors[:, None], candidates[None], dim=2)
    expected = torch.nn.functional.cross_entropy(near, torch.arange(3), reduction="none")
    torch.testing.assert_close(PAIRS.losses(outputs, targets), expected)
    smoothed = torch.nn.functional.cross_entropy(near, torch.arange(3), reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(PAIRS.losses(outputs, targets, 0.1), smoothed)


@pytest.mark.parametrize(
    "negative_of_another_row", [[2], [1], [8]], ids=["own-positive", "own-anchor", "positive-of-an-equal-anchor"]
)
def test_a_negative_of_another_row_that_belongs_to_an_anchor_is_no_negative_of_it(
    negative_of_another_row: list[int],
) -> None:
    outputs = torch.randn(3, 9)
    texts: list[tuple[list[int], ...]] = [([1], [2], [3]), ([4], [5], negative_of_another_row), ([1], [8], [9])]
    found = PAIRS.losses(outputs, PAIRS.targets(triplets_of(texts), 1))
    anchor, candidates = outputs[0, :3], outputs[[0, 1, 0, 2], :].reshape(4, 3, 3)[range(4), [1, 1, 2, 2]]
    near = 20 * torch.nn.functional.cosine_similarity(anchor[None], candidates, dim=1)
    torch.testing.assert_close(found[0], torch.nn.functional.cross_entropy(near, torch.tensor(0)))


def test_vectors_of_an_item_are_those_of_its_own_texts() -> None:
    (feature,) = triplets_of([([1], [2, 3], [4])])
    encoding = Encoding([feature], [0], [False])
    (found,) = PAIRS.predictions([np.arange(6, dtype=np.float32)], encoding, [("a", "b")], ())
    assert found.texts == ("a", "b") and found.values.tolist() == [[0, 1], [2, 3]]


def test_baselines_compare_words() -> None:
    texts = [("the good film", "a good film"), ("bad day", "nice food"), ("we saw it", "we saw it on monday")]
    scores = [0.8, 0.1, 0.6]
    table = pa.table({"text": [a for a, _ in texts], "text_pair": [b for _, b in texts], "label": scores})
    found = {each.name: each for each in load_baselines(vector_toys.SCORED)(table, table, ("text", "text_pair"), ())}
    words = [(set(a.split()), set(b.split())) for a, b in texts]
    shares = [len(a & b) / len(a | b) for a, b in words]
    assert found["jaccard"].outcomes.sums[:, 0].tolist() == pytest.approx(shares)
    weights = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    weights.fit([text for pair in zip(*texts, strict=True) for text in pair])
    cosines = [(weights.transform([a]) @ weights.transform([b]).T).toarray()[0, 0] for a, b in texts]
    assert found["tfidfcosine"].outcomes.sums[:, 0].tolist() == pytest.approx(cosines)
    spearman = SCORED.statistics(()).measure(found["jaccard"].outcomes.total())["spearman"]
    assert spearman == pytest.approx(stats.spearmanr(shares, scores).statistic)
    pairs = {each.name: each for each in load_baselines(vector_toys.PAIRS)(table, table, ("text", "text_pair"), ())}
    assert pairs["jaccard"].outcomes.scores.tolist() == pytest.approx([1.0, 1 / 3, 1.0])


def test_ranks_are_among_distinct_positives() -> None:
    from kubetune.tasks.feature_extraction import ranks_of
    from kubetune.tasks.sides import Vectors

    def row(texts: tuple[str, str], *values: list[float]) -> Vectors:
        return Vectors(texts, np.array(values, dtype=np.float32))

    near, far = [1.0, 0.0], [0.0, 1.0]
    rows = [row(("a", "b"), near, near), row(("c", "b"), near, near), row(("c", "d"), near, far)]
    assert ranks_of(rows).tolist() == [1, 1, 1]  # `b` is one candidate, and right for `c` as well
    assert ranks_of([*rows, row(("e", "f"), far, near)]).tolist() == [2, 2, 2, 3]


def test_texts_of_rows_are_read_sorted_by_length(module: torch.nn.Module, tokenizer: Any) -> None:
    """A question is not padded to its answer's length; its vector is what it has alone."""
    items = [("a day", "the good film " * 12), ("we saw " * 14, "it was nice"), ("food", "love")]
    tensors = SCORED.collate(SCORED.encode(tokenizer, items, 64).features, 0)
    read = []
    with torch.no_grad():
        hook = module.network.register_forward_pre_hook(
            lambda _, args, inputs: read.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
        )
        found = module(**tensors).reshape(6, -1)
        hook.remove()
        texts = [text for item in items for text in item]
        alone = [module(**SCORED.collate(SCORED.encode(tokenizer, [(text,)], 64).features, 0)) for text in texts]
    assert read == [(3, 4), (3, 38)]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-5, atol=1e-5)
