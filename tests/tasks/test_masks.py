"""Which tokens are masked, what the model reads and gives in their place, and what is kept of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

import architecture_toys
import mask_toys
from kubetune.errors import ConfigError
from kubetune.tasks import load_baselines
from kubetune.tasks.asked_masks import MARK, first_word_masked
from kubetune.tasks.base import IGNORED, ModelSpec
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.masking import NEVER, SHOWN, as_read, drawn_masks, fixed_masks, masked_ids, places_of
from kubetune.tasks.reading import Turn, Unanswered
from kubetune.tasks.spec import save_model
from kubetune.text.cleaning import STEPS, clean

TASK, MASK = mask_toys.TASK, 4
SLOW_FAMILIES = ("albert", "bigbird", "deberta-v2", "electra", "funnel", "ibert", "longformer", "mpnet", "xlm")
LONG = " ".join(mask_toys.WORDS * 9)


@pytest.fixture(scope="module")
def tokenizer(toy_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(toy_model)


@pytest.fixture(scope="module")
def module(toy_model: Path) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TASK.build_model(spec_of(), toy_model, pretrained=True).eval()


def spec_of(**changes: Any) -> ModelSpec:
    return ModelSpec(TASK.kind, (), **{"architecture": "stock", "encoder_dropout": 0.0, "max_length": 24, **changes})


def rows_of(tokenizer: Any, texts: list[str]) -> list[Any]:
    return TASK.encode(tokenizer, [(text,) for text in texts], 24, [True] * len(texts)).features


def test_a_measurement_masks_the_same_tokens_of_a_text_always(tokenizer: Any) -> None:
    texts = mask_toys.texts(60)
    rows = rows_of(tokenizer, texts)
    assert [rows_of(tokenizer, [text])[0] for text in texts] == rows
    again = TASK.encode(tokenizer, [(text,) for text in reversed(texts)], 24).features  # as a server reads a row
    assert again[::-1] == rows
    longer = [f"{word} {LONG}" for word in mask_toys.WORDS]
    cuts = TASK.encode(tokenizer, [(text,) for text in longer], 12, [True] * len(longer)).features
    alike = [cut[SHOWN][:-1] == row[SHOWN][:11] for cut, row in zip(cuts, rows_of(tokenizer, longer), strict=True)]
    assert sum(alike) >= 8  # all but those of which the first tokens had none, and one has to be


def test_shares_of_masks_are_those_asked_for() -> None:
    fixed = [fixed_masks(f"text {number}", [True] + [False] * 98 + [True], MASK) for number in range(200)]
    masked = np.array(fixed) == MASK
    assert masked.mean() == pytest.approx(0.147, abs=0.01)
    assert not masked[:, [0, -1]].any()
    row = {"input_ids": np.arange(100, 200), SHOWN: fixed[0]}
    drawn = [drawn_masks(row, number, Turn(0, 0, 0.4, 5000)) for number in range(300)]
    shown = np.array([each[SHOWN] for each in drawn])
    assert (shown[:, [0, -1]] == NEVER).all()
    inner = shown[:, 1:-1]
    chosen = inner >= 0
    assert chosen.mean() == pytest.approx(0.4, abs=0.01)
    itself = inner == np.arange(101, 199)
    assert (inner == MASK).sum() / chosen.sum() == pytest.approx(0.8, abs=0.02)
    assert itself.sum() / chosen.sum() == pytest.approx(0.1, abs=0.02)
    others = inner[chosen & (inner != MASK) & ~itself]
    assert len(others) / chosen.sum() == pytest.approx(0.1, abs=0.02)
    assert others.max() < 5000 and others.std() > 1000


def test_drawn_masks_follow_from_seed_pass_row_and_place_alone(tokenizer: Any) -> None:
    rows, numbers = rows_of(tokenizer, mask_toys.texts(20)), np.arange(20)
    turn = Turn(7, 2, 0.3, len(tokenizer))
    whole = [list(row[SHOWN]) for row in TASK.taught(rows, numbers, turn)]
    torch.rand(3), np.random.rand(3)  # no generator of the process is read
    for chosen in ([3], [19, 0, 5]):
        part = TASK.taught([rows[number] for number in chosen], np.array(chosen), turn)
        assert [list(row[SHOWN]) for row in part] == [whole[number] for number in chosen]
    for other in (turn._replace(turn=3), turn._replace(seed=8)):
        assert [list(row[SHOWN]) for row in TASK.taught(rows, numbers, other)] != whole
    (longer,) = TASK.taught(rows_of(tokenizer, [LONG]), np.array([4]), turn)
    (shorter,) = TASK.taught(TASK.encode(tokenizer, [(LONG,)], 12, [True]).features, np.array([4]), turn)
    assert list(shorter[SHOWN][:-1]) == list(longer[SHOWN][:11])


def test_special_and_unknown_tokens_are_never_masked(tokenizer: Any) -> None:
    encoding = TASK.encode(tokenizer, [("\U0001f922",), ("a",), ("a [MASK] [SEP]",)], 24, [True] * 3)
    assert encoding.lost == [1, 0, 0]
    assert places_of(encoding.features[0]).tolist() == []
    assert places_of(encoding.features[1]).tolist() == [1]  # the only one that can be
    assert MASK not in encoding.features[2]["input_ids"]
    nothing = drawn_masks(encoding.features[0], 0, Turn(0, 0, 0.9, 100))
    assert places_of(nothing).tolist() == []
    assert TASK.terms(encoding.features)[0] == 0


def test_masked_tokens_alone_go_through_the_head(tokenizer: Any, module: Any) -> None:
    rows = rows_of(tokenizer, [*mask_toys.texts(6), "\U0001f922"])
    seen: list[Any] = []
    handle = module.network.cls.register_forward_hook(lambda head, given, logits: seen.append(given[0].shape))
    inputs = TASK.collate(rows, 0)
    logits = module(**inputs)
    handle.remove()
    count = int(TASK.terms(rows).sum())
    assert seen == [(1, count, 32)]
    assert logits.shape == (count, len(tokenizer))
    places = inputs.pop("places")
    plain = AutoModelForMaskedLM.from_config(module.network.config).eval()
    plain.load_state_dict(module.state_dict())
    expected = plain(**inputs).logits.flatten(0, 1)[places]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_losses_are_cross_entropies_summed_over_a_row(tokenizer: Any, module: Any) -> None:
    rows = rows_of(tokenizer, [*mask_toys.texts(5), "\U0001f922", "a"])
    logits, targets = module(**TASK.collate(rows, 0)), TASK.targets(rows, 0)
    for smoothing in (0.0, 0.1):
        found = TASK.losses(logits, targets, smoothing)
        each = torch.nn.functional.cross_entropy(
            logits, torch.tensor(np.concatenate([masked_ids(row) for row in rows])), reduction="none",
            label_smoothing=smoothing,
        )  # fmt: skip
        expected = [part.sum() for part in each.split(TASK.terms(rows).tolist())]
        torch.testing.assert_close(found, torch.stack(expected))
    assert found[5].item() == 0.0
    empty = TASK.losses(module(**TASK.collate(rows[5:6], 0)), TASK.targets(rows[5:6], 0)).sum()
    empty.backward()  # a rank with such rows alone has gradients too, all of them 0
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters() if p.requires_grad)
    module.zero_grad()
    assert (targets[5] == IGNORED).all()


def test_many_masks_are_a_number_of_few(tokenizer: Any, module: Any) -> None:
    rows = rows_of(tokenizer, [LONG] * 80)
    count = int(TASK.terms(rows).sum())
    assert count > 128 and count % 32
    inputs = TASK.collate(rows, 0)
    assert len(inputs["places"]) % 32 == 0 and len(inputs["places"]) - count < 32
    whole, targets = module(**inputs), TASK.targets(rows, 0)
    alone = module(**TASK.collate(rows[:1], 0))
    torch.testing.assert_close(TASK.losses(whole, targets), TASK.losses(alone, targets[:1]).repeat(80))
    assert [len(each) for each in TASK.kept(whole.detach(), rows)] == TASK.terms(rows).tolist()


def test_what_is_kept_is_what_the_logits_say(tokenizer: Any, module: Any) -> None:
    rows = rows_of(tokenizer, mask_toys.texts(9))
    outputs = predict_outputs(module, rows, TASK, 0, 4)
    for row, output in zip(rows, outputs, strict=True):
        logits = module(**TASK.collate([row], 0)).detach().double()
        for numbers, scores, truth in zip(output, logits, masked_ids(row), strict=True):
            shares = scores.softmax(0)
            assert numbers[0] == pytest.approx(-float(shares[truth].log()), abs=1e-4)
            assert numbers[1] == int((scores >= scores[truth]).sum())
            assert numbers[2] == int(scores.argmax())
            assert numbers[3] == pytest.approx(float(shares.max()), abs=1e-5)
    losses = TASK.losses(module(**TASK.collate(rows, 0)), TASK.targets(rows, 0)).detach().numpy()
    assert TASK.feature_losses(outputs, rows) == pytest.approx(losses, rel=1e-4)


def test_a_head_that_is_tied_is_the_same_after_saving(tokenizer: Any, toy_model: Path, tmp_path: Path) -> None:
    """transformers 5 ties by the configuration: what is saved must be what is read (transformers, issue 43681)."""
    module = mask_toys.learnt(toy_model, tokenizer, steps=2)
    network = module.network
    assert network.cls.predictions.decoder.weight is network.bert.embeddings.word_embeddings.weight
    save_model(module, spec_of(), tmp_path)
    rows = rows_of(tokenizer, mask_toys.texts(8))
    again = TASK.build_model(spec_of(), tmp_path, pretrained=False).eval()
    inputs = TASK.collate(rows, 0)
    with torch.inference_mode():
        assert torch.equal(again(**inputs), module(**inputs))
    assert again.network.cls.predictions.decoder.weight is again.network.bert.embeddings.word_embeddings.weight
    saved = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()  # as who exports it reads it
    assert torch.equal(saved.state_dict()["cls.predictions.bias"], module.network.state_dict()["cls.predictions.bias"])
    more = TASK.build_model(spec_of(), tmp_path, pretrained=True)  # as a base of a further training
    assert more.said == ()
    groups = TASK.parameter_groups(more)
    assert {"embeddings", "head", "layer.0", "layer.1"} <= set(groups)


def test_a_new_head_is_said(module: Any) -> None:
    (line,) = module.said
    assert line.startswith("the checkpoint has no head for masked tokens")
    assert line.endswith("its output layer is that of the embeddings, the rest is random")


@pytest.mark.parametrize(
    "name",
    [
        "distilbert",
        "modernbert",
        "roberta",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_FAMILIES),
    ],
)
def test_families_with_such_a_head(name: str, tmp_path: Path) -> None:
    folder = architecture_toys.write_checkpoint(name, tmp_path / name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    built = TASK.build_model(spec_of(max_length=16, encoder_dropout=None), folder, pretrained=True).eval()
    rows = TASK.encode(tokenizer, [("we saw the film",), ("a good day it was",)], 16, [True, True]).features
    inputs = TASK.collate(rows, tokenizer.pad_token_id)
    with torch.inference_mode():
        logits = built(**inputs)
        places = inputs.pop("places")
        plain = AutoModelForMaskedLM.from_config(built.network.config).eval()
        plain.load_state_dict(built.state_dict())
        torch.testing.assert_close(logits, plain(**inputs).logits.flatten(0, 1)[places], atol=1e-4, rtol=1e-4)
    TASK.losses(built(**TASK.collate(rows, tokenizer.pad_token_id)), TASK.targets(rows, 0)).sum().backward()


def test_what_has_no_masks_is_refused(toy_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match=r"The tokenizer has no mask token, .* such as BERT, DistilBERT or RoBERTa\."):
        TASK.encode(tokenizer, [("a",)], 24)
    folder = architecture_toys.write_checkpoint("gpt2", tmp_path / "gpt2")
    with pytest.raises(ConfigError, match=r"Architecture gpt2 has no head for masked tokens in transformers: use"):
        TASK.build_model(spec_of(max_length=16, encoder_dropout=None), folder, pretrained=True)
    with pytest.raises(ConfigError, match="Architecture own has no head for masked tokens"):
        TASK.build_model(spec_of(architecture="own"), toy_model, pretrained=True)


@pytest.mark.parametrize("step", STEPS)
def test_a_mark_goes_through_cleaning(step: str) -> None:
    for text in ("a [MASK] day", "[MASK]", "x[MASK]y", "@[MASK] #[MASK]", "http://a.b/[MASK] c", "<b>[MASK]</b>"):
        cleaned = clean(text.replace("[MASK]", MARK), [step])
        assert cleaned is not None and cleaned.count(MARK) == text.count("[MASK]"), (step, text)


def test_requests_are_read_as_the_tokenizer_reads_them(tokenizer: Any) -> None:
    texts = ["the [MASK] film", "[MASK]", "a[MASK]b", "[MASK] [MASK]"]
    encoding = TASK.encode(tokenizer, [(text.replace("[MASK]", MARK),) for text in texts], 24)
    assert [row["input_ids"] for row in encoding.features] == tokenizer(texts)["input_ids"]
    written = TASK.encode(tokenizer, [(f"the [SEP] {MARK} day [PAD]",)], 24).features[0]["input_ids"]
    assert (written.count(3), written.count(0), written.count(MASK)) == (1, 0, 1)
    cut = TASK.encode(tokenizer, [(f"{'a ' * 40}{MARK} {MARK}",), ("a",)], 24)
    assert cut.lost == [2, 0]
    outputs = [np.zeros((0, len(tokenizer)), dtype=np.float32), np.zeros((1, 4), dtype=np.float32)]
    refused, answered = TASK.of_tokenizer(tokenizer).predictions(outputs, cut, [("",), ("a",)], ())
    assert isinstance(refused, Unanswered) and len(answered) == 1


def test_a_roberta_mask_takes_the_blank_before_it(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(architecture_toys.write_checkpoint("roberta", tmp_path / "roberta"))
    task = TASK.of_tokenizer(tokenizer)
    (item,) = task.asked(("we <mask> it",), {})  # type: ignore[misc]
    ids = TASK.encode(tokenizer, [item], 16).features[0]["input_ids"]
    assert ids == tokenizer("we <mask> it")["input_ids"]
    assert task.asked(("we [MASK] it",), {}) == "`text` has no <mask>: put it where a token is wanted"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the film", "[MASK] film"),
        (" a  b", " [MASK]  b"),
        ("word", "[MASK]ord"),
        ("w", "[MASK]"),
        ("\u65e5\u672c", "[MASK]\u672c"),
    ],
)
def test_a_golden_row_asks_for_its_first_word(text: str, expected: str) -> None:
    assert first_word_masked(text, "[MASK]") == expected


def table(rows: list[Any]) -> pa.Table:
    return pa.table({name: [list(row[name]) for row in rows] for name in ("input_ids", SHOWN)})


def test_the_baseline_is_how_often_tokens_are_in_train(tokenizer: Any) -> None:
    train, test = rows_of(tokenizer, mask_toys.texts(40)), rows_of(tokenizer, [*mask_toys.texts(30, 5), "nasty", LONG])
    names = TASK.token_names(tokenizer)
    (found,) = load_baselines(TASK.kind)(table(train), table(test), ("text",), tuple(names))
    counts = dict.fromkeys(range(len(names)), 1)
    for row in train:
        for token, shown in zip(row["input_ids"], row[SHOWN], strict=True):
            counts[token] += shown != NEVER
    total = sum(counts.values())
    asked = [int(token) for row in test for token in masked_ids(row)]
    likely = [sum(other >= counts[token] for other in counts.values()) for token in asked]
    expected = {
        "cross_entropy": -np.mean([np.log(counts[token] / total) for token in asked]),
        "top_1": np.mean([rank <= 1 for rank in likely]),
        "top_5": np.mean([rank <= 5 for rank in likely]),
    }
    measured = TASK.statistics(()).measure(found.outcomes.total())
    assert {name: float(measured[name]) for name in expected} == pytest.approx(expected)


def test_answers_of_other_masks_do_not_compare() -> None:
    def answers(*truths: list[str]) -> pa.Table:
        return pa.table({"guesses": [[{"truth": truth, "answer": "x"} for truth in row] for row in truths]})

    found = TASK.comparable(answers(["a"], ["b", "c"], ["d"]), answers(["a"], ["b"], ["e"]))
    assert found.tolist() == [True, False, False]


def test_what_is_read_has_the_masks_in_it(tokenizer: Any) -> None:
    (row,) = rows_of(tokenizer, ["the day"])
    place = places_of(row)[0]
    assert as_read(row)["input_ids"][place] == MASK
    assert row["input_ids"][place] != MASK
