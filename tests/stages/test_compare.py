"""The body of `compare` on simulated answers, and once on a real archive that is asked again."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import served_toys
import toys
from compared_toys import World, right, write_report
from kubetune.comparison.rows import test_digest_of
from kubetune.errors import ConfigError, DataError
from kubetune.serving.golden.rescoring import NewAnswers

ROWS = 3000
BETTER, WORSE = right(ROWS, 0.93, 1), right(ROWS, 0.85, 2)
SIZE = 400
CASES = [("negation", "not good", f"{number:04}", True) for number in range(SIZE)]


def failing(share: float) -> list[tuple[str, str, str, bool]]:
    return [(*case[:3], number >= share * SIZE) for number, case in enumerate(CASES)]


def page_of(world: World) -> str:
    return (world.folder / "decision" / "report.html").read_text(encoding="utf-8")


def test_without_a_champion_the_thresholds_alone_promote(world: World) -> None:
    result, found = world.candidate(BETTER).run()
    assert result.verdict.passed
    assert result.metrics == {"promoted": 1.0}
    assert (found["outcome"], found["champion"], found["champion_scored"]) == ("promote", None, None)
    assert (found["spent"], found["rows_wanted"], found["document"]) == (False, None, {})
    assert found["test_digest"] == test_digest_of(world.inputs["report"])
    assert found["rules"]["alpha"] == 0.05
    assert "There is no champion to compare with" in page_of(world)
    assert result.facts["test_digest"] == found["test_digest"]


def test_a_gate_of_thresholds_compares_with_nobody(world: World) -> None:
    result, found = world.champion(BETTER).candidate(WORSE).run(gate="thresholds")
    assert result.verdict.passed
    assert found["reasons"] == [
        "promotion.gate is thresholds, so nobody was compared, and the candidate passed every threshold."
    ]
    assert (found["spent"], found["champion"]["version"], found["champion_scored"]) == (False, 3, None)


@pytest.mark.parametrize("stage", ["evaluate", "behave"])
@pytest.mark.parametrize("gate", ["champion", "thresholds"])
def test_a_missed_bar_of_either_stage_keeps_the_champion(world: World, stage: str, gate: str) -> None:
    missed = {"code": 77, "reasons": ["a bar was missed by 0.1."]}
    if stage == "behave":
        world.champion(WORSE).candidate(BETTER).behave(verdict=missed)
    else:
        world.champion(WORSE).candidate(BETTER, verdict=missed)
    result, found = world.run(gate=gate)
    assert (result.verdict.code, result.verdict.reasons) == (99, ("a bar was missed by 0.1.",))
    assert (found["outcome"], found["spent"], found["champion_scored"]) == ("keep", False, None)


def test_a_gain_on_the_stored_rows_is_promoted(world: World) -> None:
    result, found = world.champion(WORSE, earlier=2).candidate(BETTER).run()
    assert result.verdict.passed
    assert found["champion_scored"] == "stored"
    assert found["champion"] == {"name": "toys", "version": 3, "run": "former", "archive": "cd" * 32}
    counts = found["document"]["mcnemar"]
    assert (counts["gained"], counts["lost"]) == (int((BETTER & ~WORSE).sum()), int((WORSE & ~BETTER).sum()))
    assert found["document"]["spending"]["number"] == 3
    assert found["spent"]
    assert result.metrics["gain"] == found["document"]["metric"]["gain"]["value"]
    assert "No behavioural case was met by both models, so no capability is guarded." in found["reasons"]


def test_rows_in_another_order_and_classes_in_another_order_are_the_same_rows(world: World) -> None:
    _, first = world.champion(WORSE).candidate(BETTER).run()
    _, other = world.champion(WORSE, order=5, labels=toys.LABELS[::-1]).run()
    assert other["champion_scored"] == "stored"
    assert other["document"] == first["document"]


def test_two_runs_give_the_same_bytes(world: World) -> None:
    world.champion(WORSE).candidate(BETTER)
    files = []
    for _ in range(2):
        world.run()
        files.append({path.name: path.read_bytes() for path in (world.folder / "decision").iterdir()})
    assert files[0] == files[1]
    assert set(files[0]) == {"decision.json", "report.html"}


def test_a_worse_candidate_is_kept_out(world: World) -> None:
    result, found = world.champion(BETTER).candidate(WORSE).run()
    assert (result.verdict.code, found["outcome"], found["rows_wanted"]) == (99, "keep", None)
    assert "the smallest that matters, is ruled out" in result.verdict.reasons[0]
    assert result.metrics["promoted"] == 0.0


def test_undecided_says_how_many_rows_would_decide(world: World) -> None:
    world.champion(right(400, 0.85, 2)).candidate(right(400, 0.87, 7))
    result, found = world.run(calibration_margin=None, slices=[])
    assert (result.verdict.code, found["outcome"]) == (99, "undecided")
    assert found["rows_wanted"] > 100
    assert any(f"About {found['rows_wanted']:,} more labelled test rows" in reason for reason in result.verdict.reasons)
    assert result.facts["rows_wanted"] == found["rows_wanted"]


def test_too_few_rows_spend_nothing(world: World) -> None:
    _, found = world.champion(WORSE[:150]).candidate(BETTER[:150]).run()
    assert (found["outcome"], found["rows_wanted"], found["spent"]) == ("undecided", 50, False)
    assert "Undecided" in page_of(world)


def test_a_loss_in_one_slice_keeps_out_a_candidate_that_is_better_in_all(world: World) -> None:
    world.champion(right(ROWS, (0.8, 0.95), 2)).candidate(right(ROWS, (0.97, 0.85), 1))
    result, found = world.run(slices=[{"column": "place"}])
    assert found["document"]["metric"]["shown"]
    assert found["outcome"] == "keep"
    assert result.verdict.reasons[0].startswith("slice place “there” (1,500 rows): loses 0.1")
    assert world.run(slices=[])[1]["outcome"] == "promote"


def test_a_guarded_column_that_was_not_kept_is_an_error(world: World) -> None:
    with pytest.raises(ConfigError, match=r"'region'; the test rows are cut by: length, label, place"):
        world.champion(WORSE).candidate(BETTER).run(slices=[{"column": "region"}])


def test_a_capability_that_is_lost_keeps_the_champion(world: World) -> None:
    world.champion(WORSE, cases=[*CASES, ("typos", "swap", "ff", True)])
    result, found = world.candidate(BETTER).behave(failing(0.2)).run()
    assert found["outcome"] == "keep"
    assert result.verdict.reasons[0].startswith("capability “negation” (400 cases): loses 0.2")
    assert not any("behavioural case" in reason for reason in found["reasons"])
    assert world.behave(failing(0.0)).run()[1]["outcome"] == "promote"


def test_cases_of_another_suite_are_compared_where_both_met_them(world: World) -> None:
    world.champion(WORSE, cases=CASES).candidate(BETTER).behave(CASES[:300])
    path = world.inputs["behaviour"] / "behaviour.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"suite_digest": "other"}))
    _, found = world.run()
    assert "The champion was tested with another suite; the 300 cases that both met are compared." in found["reasons"]


@pytest.mark.parametrize("pair", [False, True])
def test_on_changed_rows_the_champion_is_asked_again_and_answers_as_its_own_evaluation_did(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: bool
) -> None:
    """The candidate here is the champion itself, whose report holds the evaluation's answers."""
    monkeypatch.setattr("kubetune.serving.predictor.native_bf16", lambda device: True)  # fp32 is asked for all the same
    if pair:
        world.archive = served_toys.toy_archive(tmp_path / "pair", pair=True)
    own = world.archive.parent / "inputs" / "report"
    report = world.folder / "report"
    report.mkdir()
    for path in own.iterdir():
        (report / path.name).write_bytes(path.read_bytes())
    (report / "report.html").write_text((write_report(world.folder / "other", BETTER[:9]) / "report.html").read_text())
    world.champion(BETTER[:300]).inputs["report"] = report
    world.behave()
    _, found = world.run(kind="pair-classification" if pair else "text-classification")
    assert found["champion_scored"] == "again"
    assert (found["document"]["mcnemar"]["gained"], found["document"]["mcnemar"]["lost"]) == (0, 0)
    assert found["document"]["calibration"]["value"] == pytest.approx(0, abs=1e-6)
    rows = pq.read_metadata(own / "predictions.parquet").num_rows
    assert f"so it was scored again on these {rows} rows." in " ".join(found["reasons"])


def new_answers(labels: tuple[str, ...], predictions: np.ndarray) -> NewAnswers:
    rows = len(predictions)
    columns = pa.table({"prediction": predictions.astype(np.int32), "confidence": np.full(rows, 0.9, np.float32)})
    return NewAnswers(labels, columns, np.ones(rows, bool), np.arange(rows))


@pytest.mark.parametrize("change", ["relabelled", "one row more"])
def test_other_labels_and_further_rows_are_other_test_rows(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    asked = []

    def answer(folder: Path, items: list[tuple[str, ...]], looked: object) -> NewAnswers:
        asked.extend(items)
        return new_answers(tuple(toys.LABELS), np.zeros(len(items), int))

    monkeypatch.setattr("kubetune.serving.golden.rescoring.ask_again", answer)
    if change == "one row more":
        world.champion(WORSE[:-1]).candidate(BETTER)
    else:
        world.champion(WORSE).candidate(BETTER)
        path = world.inputs["report"] / "predictions.parquet"
        table = pq.read_table(path)
        labels = table["label"].to_numpy().copy()
        labels[0] = 1 - labels[0]
        pq.write_table(table.set_column(3, "label", pa.array(labels)), path)
    assert world.run()[1]["champion_scored"] == "again"
    assert len(asked) == ROWS
    assert asked[0] == (toys.toy_rows(1)[0]["text"],)


def test_labels_are_matched_by_name_and_the_champions_own_come_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion answers every row rightly, or with a label of its own on the first 30."""
    names = [toys.LABELS[number // 2 % 2] for number in range(600)]
    theirs = ("neutral", "positive", "negative")
    said = np.array([theirs.index(name) for name in names])
    said[:30] = 0
    answers = new_answers(theirs, said)
    monkeypatch.setattr("kubetune.serving.golden.rescoring.ask_again", lambda *_: answers)
    _, found = world.champion(WORSE[:600], ids="former").candidate(np.ones(600, bool)).run(metric="accuracy")
    assert (found["document"]["mcnemar"]["gained"], found["document"]["mcnemar"]["lost"]) == (30, 0)
    assert "The champion also answers “neutral”, which is wrong on every one of these rows." in found["reasons"]


def test_rows_that_the_champion_cannot_read_are_left_out_for_both(world: World) -> None:
    texts = [row["text"] for row in toys.toy_rows(300)]
    texts[5], texts[6] = " \n ", "good " * 3000  # the second is longer than the champion's server allows
    _, found = world.champion(WORSE[:300], ids="former").candidate(BETTER[:300], texts=texts).run()
    assert found["document"]["rows"] == 299
    assert any(reason.startswith("The champion finds nothing to read in 1 of them") for reason in found["reasons"])
    with pytest.raises(DataError, match="finds nothing to read in any test row") as refusal:
        World(world.folder / "blank", world.archive).champion(WORSE[:9], ids="former").candidate(
            BETTER[:9], texts=[" "] * 9
        ).run()
    assert refusal.value.rule == "champion-rows"


def test_a_text_counts_once_however_often_it_is_there(world: World) -> None:
    """300 texts five times each, on which the candidate gains by row alone."""
    text = np.repeat(np.arange(300), 5)
    hits = [right(300, 0.85, seed)[text] for seed in (2, 9)]
    world.champion(hits[0], groups=text).candidate(hits[1], groups=text)
    _, found = world.run(metric="accuracy", slices=[], calibration_margin=None)
    numbers = found["document"]
    assert (numbers["rows"], numbers["texts"], numbers["metric"]["texts"]) == (1500, 300, 300)
    single = World(world.folder / "single", world.archive)
    single.champion(right(300, 0.85, 2)).candidate(right(300, 0.85, 9))
    _, once = single.run(metric="accuracy", slices=[], calibration_margin=None)
    for name in ("p", "against", "gain"):
        assert numbers["metric"][name] == pytest.approx(once["document"]["metric"][name])
    assert found["outcome"] == once["outcome"]
    assert "1,500 rows of 300 distinct texts" in page_of(world)


def test_what_is_one_text_to_the_champion_alone_is_one_observation(world: World) -> None:
    """Its own cleaning makes pairs of texts equal: its answers there are one, and so is the pair's difference."""
    world.champion(WORSE, groups=np.arange(ROWS) // 2).candidate(BETTER)
    _, found = world.run(calibration_margin=None)
    assert (found["document"]["rows"], found["document"]["texts"]) == (ROWS, ROWS // 2)
    few = World(world.folder / "few", world.archive).champion(WORSE[:400], groups=np.arange(400) // 4)
    _, found = few.candidate(BETTER[:400]).run()
    assert (found["outcome"], found["rows_wanted"], found["spent"]) == ("undecided", 100, False)
    assert found["reasons"][0].startswith("400 test rows of 100 distinct texts were found")


def test_older_reports_of_the_champion_tell_its_texts_by_their_words(world: World) -> None:
    path = world.champion(WORSE[:600]).candidate(BETTER[:600]).inputs["champion"] / "report" / "predictions.parquet"
    table = pq.read_table(path).drop_columns(["text_group"])
    pq.write_table(table.append_column("text", pa.array([f"Text {n // 2}" for n in range(600)])), path)
    assert world.run()[1]["document"]["texts"] == 300


def test_a_champion_that_is_asked_again_tells_its_texts_by_what_it_reads(world: World) -> None:
    texts = [text for row in toys.toy_rows(150) for text in (row["text"], row["text"].upper())]  # it is uncased
    _, found = world.champion(WORSE[:300], ids="former").candidate(BETTER[:300], texts=texts).run(minimum_rows=10)
    assert found["champion_scored"] == "again"
    assert found["document"]["texts"] <= 150
