"""The body of `behave` on the toy model: what it writes, the gate, and inputs that do not fit."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import served_toys
from behaved_toys import SUITE, behave, changed, document_of, with_dataset, with_report
from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.record import suite_digest
from kubetune.config.behaviour import BehaviourSection
from kubetune.contract import Result
from kubetune.errors import ConfigError, DataError, InterruptedRunError, KubetuneError
from kubetune.tasks import load_task
from kubetune.tasks.spec import load_spec
from kubetune.tasks.weights import save_weights


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Toys are too small to share, and the body sets the threads of the whole process."""
    before = torch.get_num_threads()
    monkeypatch.setattr("kubetune.config.cpus.cpu_quota_threads", lambda: 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("behave")
    return with_dataset(served_toys.toy_inputs(folder), folder)


def test_a_sound_model_passes_with_everything_written(tmp_path: Path, inputs: dict[str, Path]) -> None:
    result = behave(tmp_path, inputs)
    assert result.verdict.passed, result.verdict.reasons
    assert {path.name for path in tmp_path.iterdir()} == {"behaviour.json", "cases.parquet"}
    document = document_of(tmp_path)
    assert set(document) == {
        *("format", "suite", "suite_digest", "seed", "scored", "outcomes", "left_out", "capabilities", "verdict"),
    }
    assert (document["format"], document["suite"], document["seed"]) == (1, "toy", 0)
    assert document["suite_digest"] == suite_digest(chosen_suite(SUITE, {}))
    assert document["left_out"] == ["indifference is left out: the model has no label neutral."]
    assert document["verdict"] == {"code": 0, "reasons": []}
    counts = {outcome["test"]: outcome["count"] for outcome in document["outcomes"]}
    rows = pq.read_metadata(inputs["report"] / "predictions.parquet").num_rows
    assert counts == {"praise": 30, "blame": 30, "blame at the end": 15, "praise at the end": 15, "upper case": rows}


def test_a_suite_takes_the_rows_of_its_language_and_says_which_it_leaves_out(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    def spoken(table: pa.Table) -> pa.Table:
        return table.append_column(
            "column_language", pa.array(["en-US", "de", None] * table.num_rows, pa.string())[: len(table)]
        )

    mixed = with_report(inputs, tmp_path / "mixed", spoken)
    context = served_toys.Quiet(tmp_path)
    behave(tmp_path / "a", mixed, context, suite=changed(language="en"))
    document = document_of(tmp_path / "a")
    rows = pq.read_metadata(inputs["report"] / "predictions.parquet").num_rows
    own = len(range(0, rows, 3))
    assert {outcome["test"]: outcome["inputs"] for outcome in document["outcomes"]}["upper case"] == own
    assert document["left_out"][1:] == [
        f"Suite toy is in en: its tests of rows take the {own} of {rows} rows whose column 'language' says so, and "
        f"leave out de {len(range(1, rows, 3))}, (missing) {len(range(2, rows, 3))}."
    ]
    behave(tmp_path / "b", mixed)  # a suite that says no language takes all
    outcomes = {outcome["test"]: outcome for outcome in document_of(tmp_path / "b")["outcomes"]}
    assert outcomes["upper case"]["inputs"] == rows
    assert document_of(tmp_path / "b")["suite_digest"] == document["suite_digest"]


def test_single_cases_add_up_to_the_rates(tmp_path: Path, inputs: dict[str, Path]) -> None:
    """A model cut to five words fails somewhere, so that both values of `passed` are met."""
    result = behave(tmp_path, inputs, max_length=7)
    table = pq.read_table(tmp_path / "cases.parquet")
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
        **dict.fromkeys(("capability", "test", "case", "source"), "string"),
        "passed": "bool",
    }
    rows = table.to_pylist()
    document = document_of(tmp_path)
    assert set(document["capabilities"]) == set(SUITE["capabilities"])
    for name, rate in document["capabilities"].items():
        passed = [row["passed"] for row in rows if row["capability"] == name]
        assert (rate["count"], rate["failures"]) == (len(passed), passed.count(False))
        assert rate["low"] <= rate["rate"] == passed.count(False) / len(passed) <= rate["high"]
        assert result.metrics[f"failure_rate_{name.replace(' ', '_')}"] == rate["rate"]
    for outcome in document["outcomes"]:
        passed = [row["passed"] for row in rows if row["test"] == outcome["test"]]
        assert (outcome["count"], outcome["failures"]) == (len(passed), passed.count(False))
    assert result.metrics["behaviour_cases"] == len(rows)
    assert len({(row["test"], row["case"]) for row in rows}) == len(rows)
    assert all(len(row["case"]) == 16 and int(row["case"], 16) >= 0 for row in rows)


def test_a_model_that_reads_five_words_is_refused_by_the_capability_for_it(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    result = behave(tmp_path, inputs, max_length=7)
    assert result.verdict.code == 77
    assert {reason.partition(":")[0] for reason in result.verdict.reasons} == {"whole text"}
    assert document_of(tmp_path)["verdict"] == {"code": 77, "reasons": list(result.verdict.reasons)}


def test_two_runs_are_byte_equal_and_another_seed_draws_other_cases(tmp_path: Path, inputs: dict[str, Path]) -> None:
    typos = changed(tests=[*SUITE["tests"], SUITE["tests"][-1] | {"name": "typo", "perturb": "typo"}])
    first, second, third = (tmp_path / name for name in "abc")
    assert behave(first, inputs, suite=typos) == behave(second, inputs, suite=typos)
    for name in ("behaviour.json", "cases.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    behave(third, inputs, suite=typos, seed=1)
    found = [pq.read_table(folder / "cases.parquet").to_pylist() for folder in (first, third)]
    ids = [
        {test: {row["case"] for row in rows if row["test"] == test} for test in ("praise", "typo")} for rows in found
    ]
    assert ids[0]["praise"] == ids[1]["praise"]
    assert len(ids[0]["typo"] & ids[1]["typo"]) < len(ids[0]["typo"]) / 2


def test_a_row_keeps_its_case_when_others_come_and_go(tmp_path: Path, inputs: dict[str, Path]) -> None:
    suite = changed(
        capabilities={"surface": {}}, tests=[SUITE["tests"][-1] | {"name": "typo", "perturb": "typo", "variants": 3}]
    )
    copy = with_report(inputs, tmp_path / "report", lambda table: table.slice(7, 100))
    found = {}
    for name, given in (("all", inputs), ("some", copy)):
        behave(tmp_path / name, given, suite=suite)
        found[name] = {
            row["case"]: row["passed"] for row in pq.read_table(tmp_path / name / "cases.parquet").to_pylist()
        }
    assert len(found["some"]) > 90
    assert found["some"].items() <= found["all"].items()


def test_no_suite_writes_an_empty_result_and_reads_nothing(tmp_path: Path) -> None:
    result = behave(tmp_path, {}, suite=None, seed=3)
    assert result == Result()
    assert document_of(tmp_path) == {
        **{"format": 1, "suite": None, "suite_digest": None, "seed": 3, "scored": 0, "outcomes": [], "left_out": []},
        **{"capabilities": {}, "verdict": {"code": 0, "reasons": []}},
    }
    table = pq.read_table(tmp_path / "cases.parquet")
    assert (table.num_rows, table.column_names) == (0, ["capability", "test", "case", "source", "passed"])


def test_the_stage_loads_torch_only_where_it_scores() -> None:
    program = "import sys, kubetune.stages.behave; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("bar", "code"), [(0.0, 77), (0.99, 0), (None, 0)])
def test_the_bars_of_the_recipe_count(tmp_path: Path, inputs: dict[str, Path], bar: float | None, code: int) -> None:
    result = behave(tmp_path, inputs, max_length=7, bars={"whole text": bar})
    assert result.verdict.code == code
    if code:
        assert all("at most 0 is allowed" in reason for reason in result.verdict.reasons)


def test_what_is_empty_after_cleaning_is_no_case(tmp_path: Path, inputs: dict[str, Path]) -> None:
    """The cleaning composes and collapses white space: U+2028 alone is white space, so nothing is left of it."""
    suite = changed(
        capabilities={"plain words": {}},
        tests=[SUITE["tests"][0] | {"templates": ["we saw {good} film", "\u2028", "nul \x00 in it"]}],
    )
    behave(tmp_path, inputs, suite=suite)
    (outcome,) = document_of(tmp_path)["outcomes"]
    assert (outcome["inputs"], outcome["count"]) == (7, 5)
    assert document_of(tmp_path)["scored"] == 5


def test_pairs(tmp_path: Path) -> None:
    found = with_dataset(served_toys.toy_inputs(tmp_path / "pair", pair=True), tmp_path)
    with pytest.raises(ConfigError, match=r"templates of 1 text.*takes text and text_pair"):
        behave(tmp_path / "out", found, kind="pair-classification")
    order = {"kind": "inv", "name": "order", "capability": "order", "rows": {}, "perturb": "pair-order"}
    suite = changed(capabilities={"order": {}}, tests=[order])
    result = behave(tmp_path / "out", found, kind="pair-classification", suite=suite)
    assert result.metrics["behaviour_cases"] > 200


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"suite": "sentment"}, "'sentment' does not exist: shipped are acceptability, answers, emotion, entail"),
        (
            {"suite": "emotion"},
            "needs labels that the model lacks: sadness, joy, anger, fear; it has negative, positive",
        ),
        ({"bars": {"negation": 0.1}}, "its capabilities are plain words, whole text, surface"),
        ({"suite": None, "bars": {"negation": 0.1}}, "without behaviour.suite"),
        ({"suite": {"name": "x"}}, "behaviour.suite has .* errors: `description` is missing"),
    ],
)
def test_a_section_that_does_not_fit(tmp_path: Path, inputs: dict[str, Path], section: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        behave(tmp_path, inputs, **section)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["not Parquet", "no column", "no file"])
def test_a_broken_report_is_named(tmp_path: Path, inputs: dict[str, Path], broken: str) -> None:
    copy = with_report(inputs, tmp_path / "report", lambda table: table.drop_columns(["raw_text"]))
    path = copy["report"] / "predictions.parquet"
    if broken == "not Parquet":
        path.write_bytes(b"PAR1 and nothing else")
    elif broken == "no file":
        path.unlink()
    with pytest.raises(KubetuneError, match=r"predictions\.parquet of the report cannot be read"):
        behave(tmp_path / "out", copy)


@pytest.mark.parametrize("text", ["{", "[]", '{"pad_token_id": null}'])
def test_a_broken_dataset_record_is_named(tmp_path: Path, inputs: dict[str, Path], text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(KubetuneError, match=r"dataset\.json of an input artifact"):
        behave(tmp_path / "out", inputs | {"dataset": tmp_path})


def test_a_report_without_rows_leaves_the_templates(tmp_path: Path, inputs: dict[str, Path]) -> None:
    result = behave(tmp_path / "out", with_report(inputs, tmp_path / "report", lambda table: table.slice(0, 0)))
    assert result.verdict.reasons == (
        "surface: none of its tests applies to any row, so nothing is known; give it templates.",
    )


def test_a_model_whose_numbers_overflow_is_refused(tmp_path: Path, inputs: dict[str, Path]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(inputs["model"], folder)
    task = load_task("text-classification")
    module = task.build_model(load_spec(folder), folder, pretrained=False)
    with torch.no_grad():
        module.state_dict()["bert.pooler.dense.bias"].fill_(10)
        module.state_dict()["classifier.weight"].fill_(3e38)
    save_weights(module, folder)
    with pytest.raises(DataError, match=r"not finite for .* texts"):
        behave(tmp_path / "out", inputs | {"model": folder})


def test_being_asked_to_stop_leaves_nothing(tmp_path: Path, inputs: dict[str, Path]) -> None:
    context = served_toys.Quiet(tmp_path)
    context.stopping = True
    with pytest.raises(InterruptedRunError):
        behave(tmp_path, inputs, context)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_text(tmp_path: Path, inputs: dict[str, Path]) -> None:
    context, seen = served_toys.Quiet(tmp_path), []
    context.progress = SimpleNamespace(
        start=lambda what, total: seen.append(total), advance=lambda by, **_: seen.append(-by), note=lambda line: None
    )
    behave(tmp_path, inputs, context)
    assert seen[0] == document_of(tmp_path)["scored"]
    assert sum(seen) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that the recipe asks for")
def test_a_declared_gpu_that_is_absent_is_an_error(tmp_path: Path, inputs: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"resources\.evaluate\.hardware is gpu"):
        behave(tmp_path, inputs, hardware="gpu")


def test_the_schema_of_cases_is_the_same_with_and_without_a_suite(tmp_path: Path, inputs: dict[str, Path]) -> None:
    behave(tmp_path / "none", inputs, suite=None)
    behave(tmp_path / "toy", inputs, **BehaviourSection(suite=SUITE).model_dump())
    schemas: list[pa.Schema] = [pq.read_schema(tmp_path / name / "cases.parquet") for name in ("none", "toy")]
    assert schemas[0].equals(schemas[1])


def test_a_suite_that_expects_labels_is_refused_for_a_task_without_them(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    with pytest.raises(ConfigError, match="expects labels, and answers of task token-classification have places"):
        behave(tmp_path, inputs, kind="token-classification")
    assert not list(tmp_path.iterdir())
    assert behave(tmp_path, inputs, kind="token-classification", suite=None).verdict.passed
