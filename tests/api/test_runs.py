"""Plan, open, explain and compare, on real runs; and the commands say the same."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import kubetune as kt
from kubetune.cli.app import app
from kubetune.errors import StoreUnavailableError
from kubetune.execution.run import run_stage
from kubetune.plan import plan
from kubetune.storage.open import open_store
from pipelines import Silent, settings_of

pytestmark = pytest.mark.slow


def said(*words: str) -> str:
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_recipe_is_loaded_with_changes_and_refused_with_all_errors(here: Path) -> None:
    assert kt.load_recipe("toy.yaml", ["training.epochs=2"]).training.epochs == 2
    with pytest.raises(kt.ConfigError, match=r"2 errors: .*`training\.epochs`.*did you mean `batch`"):
        kt.load_recipe("toy.yaml", ["training.bach=1", "training.epochs=none"])
    with pytest.raises(kt.ConfigError, match="did you mean 'tweets'"):
        kt.load_recipe("tweet")


def test_a_plan_says_what_is_adopted_and_why_the_rest_is_not(here: Path) -> None:
    same = kt.plan_run(kt.load_recipe("toy.yaml"))
    assert same.run == "toy-3"
    assert same.would() == dict.fromkeys(list(same.would())[:-2], "adopt") | {"register": "act", "deploy": "act"}
    assert {row.source for row in same.stages[:-2]} == {"toy-1"}
    changed = kt.plan_run(kt.load_recipe("toy.yaml", ["training.seed=3", "evaluation.hardest=7"]), until="compare")
    found = changed.would()
    assert found == dict.fromkeys(["ingest", "fetch", "prepare", "train"], "adopt") | {
        "evaluate": "run", "behave": "depends", "compare": "depends",
    }  # fmt: skip
    by_name = {row.call.stage.name: row for row in changed.stages}
    assert by_name["train"].source == "toy-2"
    assert by_name["evaluate"].why == "differs from toy-2 in recipe.evaluation.hardest"
    assert by_name["behave"].why == "reads report, which is to be made first"
    assert "<td>adopt</td>" in changed._repr_html_()


def test_a_plan_is_what_a_run_then_does(own: Path) -> None:
    store = open_store(str(own / "store"))
    recipe = kt.load_recipe("toy.yaml", ["training.seed=3"])
    planned = kt.plan_run(recipe, "planned", until="evaluate").would()
    assert not list(store.list("runs/planned/")), "a plan writes nothing"
    for call in plan(recipe, "planned", until="evaluate"):
        ran = run_stage(call, store, settings_of(own), progress=Silent())
        assert (ran.status == "adopted") == (planned[call.stage.name] == "adopt")


def test_a_plan_meets_the_champion_and_counts_no_comparison(own: Path) -> None:
    settings = settings_of(own)
    store = open_store(settings.store)
    same, other = kt.load_recipe("toy.yaml"), kt.load_recipe("toy.yaml", ["training.seed=3"])
    for call in plan(same, "toy-1", until="register")[-1:] + plan(other, "toy-2", until="behave")[-1:]:
        run_stage(call, store, settings, progress=Silent())
    itself = kt.plan_run(same)
    assert itself.would()["compare"] == itself.would()["package"] == "adopt", "it meets what it replaced: nothing"
    rival = {row.call.stage.name: row for row in kt.plan_run(other).stages}
    assert rival["behave"].would == "adopt"
    assert (rival["compare"].would, rival["compare"].why) == (
        "depends",
        "is compared with the champion of toy when it runs",
    )
    assert rival["package"].would == "depends"
    assert not list(store.list("comparisons/"))


def test_a_plan_ends_at_a_refusal(own: Path) -> None:
    bar = "evaluation.thresholds=[{metric: accuracy, at_least: 1.01}]"
    recipe, store = kt.load_recipe("toy.yaml", [bar]), open_store(str(own / "store"))
    for call in plan(recipe, "barred", until="evaluate"):
        run_stage(call, store, settings_of(own), progress=Silent())
    found = kt.plan_run(recipe)
    assert [row.would for row in found.stages[4:]] == ["adopt", *["stop"] * 5]
    assert "1.01 is required" in found.stages[5].why
    assert kt.open_run("barred").state == "refused at evaluate"


def test_a_plan_refuses_what_the_run_of_that_name_refuses(here: Path, own: Path) -> None:
    with pytest.raises(kt.ConfigError, match="begun with another recipe") as planned:
        kt.plan_run(kt.load_recipe("toy.yaml", ["training.seed=3"]), "toy-1")
    with pytest.raises(kt.ConfigError) as run:
        kt.run(kt.load_recipe("toy.yaml", ["training.seed=3"]), "toy-1", until="ingest")
    assert str(planned.value) == str(run.value)
    recipe, data = kt.load_recipe("toy.yaml"), here / "rows.jsonl"
    rows = data.read_text(encoding="utf-8")
    try:
        data.write_text(rows + rows.splitlines()[0] + "\n", encoding="utf-8")
        first = kt.plan_run(recipe, "toy-1").stages[0]
        assert first.would == "stop" and "under another key" in first.why
        with pytest.raises(kt.ConfigError) as run:
            kt.run(recipe, "toy-1", until="ingest")
        assert str(run.value) == first.why
    finally:
        data.write_text(rows, encoding="utf-8")


def test_a_plan_needs_no_store_and_makes_none(here: Path, tmp_path: Path) -> None:
    found = kt.plan_run(kt.load_recipe("toy.yaml"), store=tmp_path / "new", until="prepare")
    assert found.run == "toy-1" and found.would() == {"ingest": "run", "fetch": "run", "prepare": "depends"}
    assert not (tmp_path / "new").exists()


def test_a_plan_of_data_that_is_not_there_is_refused(here: Path) -> None:
    with pytest.raises(kt.DataError, match=r"missing\.csv"):
        kt.plan_run(kt.load_recipe("toy.yaml", ["data.source.paths.all=missing.csv"]))
    with pytest.raises(kt.ConfigError, match="allowed are ingest"):
        kt.plan_run(kt.load_recipe("toy.yaml"), until="nowhere")


def test_the_command_prints_the_plan(here: Path) -> None:
    plain = json.loads(said("plan", "toy.yaml", "--json"))
    assert "would" not in plain[0] and plain[0]["run"] == "toy-1"
    looked = json.loads(said("plan", "toy.yaml", "--look", "--json"))
    assert {row["stage"]: row["would"] for row in looked} == kt.plan_run(kt.load_recipe("toy.yaml")).would()
    assert "adopt  run toy-1 has made it" in said("plan", "toy.yaml", "--store", str(here / "store"))


def test_a_run_shows_state_metrics_and_stages(here: Path) -> None:
    run = kt.open_run("toy-1")
    assert run.state == "complete" and run.recipe.name == "toy" and run.outcome == "promote"
    assert 0 <= run.metrics["accuracy_low"] <= run.metrics["accuracy"] <= run.metrics["accuracy_high"] <= 1
    assert run.warnings and run.endpoints == ()
    states = {row.stage: row.state for row in run.stages()}
    assert states["package"] == "committed" and states["deploy"] == "-"
    assert all(len(row.key) == 64 and row.size for row in run.stages() if row.state == "committed")
    shown = run._repr_html_()
    assert f"<td>{run.metrics['accuracy']:.3f}</td>" in shown and "run toy-1: complete" in shown
    assert {line.run: line.state for line in kt.runs()}["toy-2"] == "open, next behave"
    assert kt.open_run("toy-2").state == "open, next behave"
    document = json.loads(said("show", "toy-1", "--json"))
    assert document["stages"].keys() == run.commits.keys() and document["recipe"] == run.document


def test_predictions_are_a_table_that_gives_the_metrics_again(here: Path) -> None:
    run = kt.open_run("toy-1")
    table = run.predictions()
    assert len(table) == run.metrics["test_rows"]
    assert (table["label"] == table["prediction"]).mean() == pytest.approx(run.metrics["accuracy"])
    assert set(table["label"]) == {"negative", "positive"}
    assert table[["probability negative", "probability positive"]].sum(axis=1).to_numpy() == pytest.approx(1.0)
    best = table[["probability negative", "probability positive"]].idxmax(axis=1).str.removeprefix("probability ")
    assert (best == table["prediction"]).all()
    assert (table["text"].str.len() > 0).all() and table["row_id"].is_unique


def test_a_report_is_shown_inline_and_saved(here: Path, tmp_path: Path) -> None:
    report = kt.open_run("toy-1").report()
    assert "Run: <bdi>toy-1" in report.html
    shown = report._repr_html_()
    assert (
        shown.startswith('<iframe srcdoc="&lt;!DOCTYPE html') and shown.endswith("</iframe>") and shown.count("<") == 2
    )
    assert report.save(tmp_path / "deep" / "page.html").read_text(encoding="utf-8") == report.html
    page = Path(said("open", "toy-1", "--print").strip())
    assert page == here / "kubetune-runs" / "toy-1" / "report.html" and page.read_text(encoding="utf-8") == report.html


def test_why_names_the_field_and_the_command_says_the_same(here: Path) -> None:
    found = kt.open_run("toy-2").why("train")
    assert found.nearest == "toy-1" and found.differ == {"recipe.training.seed": ("0", "3")}
    assert "<td>recipe.training.seed</td><td>0</td><td>3</td>" in found._repr_html_()
    assert json.loads(said("why", "toy-2", "train", "--json"))["differ"] == {"recipe.training.seed": ["0", "3"]}
    assert said("why", "toy-2", "train").startswith(found.sentence)
    assert kt.open_run("toy-2").why("ingest").sentence.startswith("Nothing differs from toy-1")
    assert kt.open_run("toy-1").why("package").sentence.startswith("No other run has stage package")


def test_two_runs_are_compared_and_the_command_prints_the_same(here: Path) -> None:
    found = kt.compare("toy-1", kt.open_run("toy-2"))
    assert found.rows[0].name == "training.seed" and found.cells()[0][:3] == ["training.seed", "0", "3"]
    accuracy = next(row for row in found.rows if row.name == "accuracy")
    assert accuracy.difference == pytest.approx(found.second.metrics["accuracy"] - found.first.metrics["accuracy"])
    printed = said("compare", "toy-1", "toy-2").splitlines()
    assert [line.split()[0] for line in printed[1:]] == [row[0] for row in found.cells()]
    assert found._repr_html_().count("<tr>") == len(found.rows) + 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda: kt.open_run("toy-9"),
        lambda: kt.compare("toy-1", "toy-9"),
        lambda: kt.load_predictor("toy-9"),
    ],
    ids=["open", "compare", "predictor"],
)
def test_a_run_that_is_not_there_is_named(here: Path, ask: "object") -> None:
    with pytest.raises(kt.ConfigError, match=r"'toy-9' does not exist.*did you mean"):
        ask()


def test_what_is_not_there_yet_is_said(own: Path) -> None:
    with pytest.raises(kt.ConfigError, match="There is no store in"):
        kt.runs(own / "nowhere")
    with pytest.raises(kt.ConfigError, match="allowed are ingest"):
        kt.open_run("toy-1").why("trian")
    with pytest.raises(kt.ConfigError, match="not committed"):
        kt.open_run("toy-2").why("package")
    store = open_store(str(own / "store"))
    run_stage(plan(kt.load_recipe("toy.yaml"), "begun")[0], store, settings_of(own), progress=Silent())
    begun = kt.open_run("begun")
    assert begun.metrics == {} and begun.outcome is None
    for ask in (begun.report, begun.predictions):
        with pytest.raises(kt.ConfigError, match="stage evaluate has not committed"):
            ask()


def test_a_store_that_is_away_is_a_temporary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "S3_ENDPOINT": "http://127.0.0.1:9", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "STORE_ANSWER_S": "2",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"KUBETUNE_{name}", value)
    with pytest.raises(kt.TemporaryError, match="did not answer") as away:
        kt.runs("s3://bucket/prefix")
    assert isinstance(away.value, StoreUnavailableError)


def test_broken_rows_are_not_shown(own: Path) -> None:
    run = kt.open_run("toy-1")
    (page,) = (file for file in run.commits["evaluate"].outputs["report"] if file.path == "predictions.parquet")
    blob = own / "store" / "blobs" / "sha256" / page.sha256[:2] / page.sha256
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(kt.CorruptArtifactError):
        run.predictions()
