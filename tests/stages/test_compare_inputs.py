"""What `compare` refuses, when it stops, and what its digest is of."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import served_toys
import toys
from compared_toys import World, right, write_report
from kubetune.comparison.rows import test_digest_of
from kubetune.errors import DataError, InterruptedRunError, KubetuneError

ROWS = 300
BETTER, WORSE = right(ROWS, 0.93, 1), right(ROWS, 0.85, 2)


def test_models_that_have_nothing_in_common_are_not_compared(world: World) -> None:
    world.champion(WORSE).candidate(BETTER)
    path = world.inputs["report"] / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": ["dog", "cat"]}))
    with pytest.raises(DataError, match=r"answers “negative”, “positive” and the test rows are labelled “dog”, “cat”"):
        world.run()


def test_a_champion_for_another_task_is_not_compared(world: World) -> None:
    world.champion(WORSE).candidate(BETTER)
    path = world.inputs["report"] / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("raw_text_pair", table["raw_text"]), path)
    with pytest.raises(DataError, match="is a model for text-classification and the candidate is one for pair-"):
        world.run(kind="pair-classification")


@pytest.mark.parametrize(
    ("column", "ids"),
    [("row_id", "row"), ("confidence", "row"), ("length", "row"), ("raw_text", "former")],  # read to ask it again alone
)
def test_a_missing_column_is_named(world: World, column: str, ids: str) -> None:
    world.champion(WORSE, ids=ids).candidate(BETTER)
    path = world.inputs["report"] / "predictions.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(DataError, match=rf"predictions\.parquet lacks the columns {column}"):
        world.run()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("report/metrics.json", r"metrics\.json of an input artifact"),
        ("report/predictions.parquet", r"predictions\.parquet of an input artifact cannot be read"),
        ("report/report.html", "no place for further sections"),
        ("behaviour/behaviour.json", r"behaviour\.json of an input artifact"),
        ("behaviour/cases.parquet", r"cases\.parquet of an input artifact cannot be read"),
        ("champion/champion.json", r"champion\.json of an input artifact"),
        ("champion/report/predictions.parquet", r"predictions\.parquet of an input artifact cannot be read"),
    ],
)
def test_a_broken_file_is_named(world: World, name: str, sentence: str) -> None:
    world.champion(WORSE).candidate(BETTER)
    (world.folder / name).write_text("[]")
    with pytest.raises(KubetuneError, match=sentence):
        world.run()


def test_records_of_another_format_are_refused(world: World) -> None:
    world.champion(WORSE).candidate(BETTER).note(format=2, version=3, earlier=0)
    with pytest.raises(KubetuneError, match=r"champion\.json is not of format 1"):
        world.run()
    world.champion(None)
    with pytest.raises(KubetuneError, match="Version 3 of toys came without its report"):
        world.run()


def test_a_row_that_occurs_twice_cannot_be_paired(world: World) -> None:
    world.champion(WORSE).candidate(BETTER)
    path = world.inputs["report"] / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    with pytest.raises(DataError, match="A row_id occurs twice"):
        world.run()


def test_being_asked_to_stop_leaves_nothing(world: World) -> None:
    context = served_toys.Quiet(world.folder)
    context.stopping = True
    with pytest.raises(InterruptedRunError):
        world.champion(WORSE).candidate(BETTER).run(context)
    assert not list((world.folder / "decision").iterdir())


def test_scoring_the_champion_again_stops_after_a_chunk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.serving.golden.rescoring.CHUNK_ROWS", 100)
    context, scored = served_toys.Quiet(world.folder), []
    context.progress.advance = scored.append
    context.should_stop = lambda: bool(scored)
    with pytest.raises(InterruptedRunError):
        world.champion(WORSE, ids="former").candidate(BETTER).run(context)
    assert scored == [100]
    assert not list((world.folder / "decision").iterdir())


def test_the_digest_is_of_rows_and_label_names(world: World) -> None:
    folder = world.folder
    first = test_digest_of(write_report(folder / "a", BETTER[:50]))
    assert test_digest_of(write_report(folder / "b", WORSE[:50], order=3, labels=toys.LABELS[::-1])) == first
    assert test_digest_of(write_report(folder / "c", BETTER[:51])) != first
    assert test_digest_of(write_report(folder / "d", BETTER[:50], ids="other")) != first
    table = pq.read_table(folder / "a" / "predictions.parquet")
    swapped = table.set_column(3, "label", pa.array(1 - table["label"].to_numpy()))
    pq.write_table(swapped, folder / "a" / "predictions.parquet")
    assert test_digest_of(folder / "a") != first
    pq.write_table(table.set_column(3, "label", pa.array([7] * 50)), folder / "a" / "predictions.parquet")
    with pytest.raises(DataError, match="class number 7"):
        test_digest_of(folder / "a")


def test_counting_comparisons_imports_nothing_heavy() -> None:
    program = (
        "import sys, kubetune.execution.champion\n"
        "assert not {'torch', 'transformers', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
