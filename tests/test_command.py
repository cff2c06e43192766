"""The command itself, in processes: exit codes, the last line on standard error, signals, the summary."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toys
from pipelines import TOY


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("place")
    data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(200))
    (folder / "toy.yaml").write_text(TOY.format(data=data, model=toy_model), encoding="utf-8")
    return folder


def kubetune(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubetune", *words],
        cwd=place, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_recipe_values_are_compared_with_all_their_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kubetune.cli.compare import command
    from kubetune.config.load import canonical
    from kubetune.storage.base import open_store
    from kubetune.storage.runs import create_run
    from pipelines import toy_recipe

    store = open_store(str(tmp_path / "store"))
    for run, rate, weight in (("slow", "2.0e-5", "null"), ("fast", "3.0e-5", "0.1")):
        changes = [f"training.learning_rate={rate}", f"training.clip_norm={weight}", f"description={run}"]
        create_run(store, run, canonical(toy_recipe(Path("/rows"), Path("/model"), changes)))
    command("slow", "fast", store=str(tmp_path / "store"))
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["training.learning_rate"] == ["2e-05", "3e-05"]
    assert lines["training.clip_norm"] == ["null", "0.1"]
    assert lines["description"] == ['"slow"', '"fast"']


@pytest.mark.slow
def test_a_run_from_the_shell_ends_with_metrics_and_a_report(place: Path) -> None:
    done = kubetune(place, "run", "toy.yaml", "--until", "package")
    assert done.returncode == 0, done.stderr
    assert "tf-idf + logistic regression" in done.stdout
    assert (place / "kubetune-runs" / "toy-1" / "decision" / "report.html").is_file()
    again = kubetune(place, "run", "toy.yaml", "--until", "package")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("adopted from toy-1") == 8
    listed = json.loads(kubetune(place, "runs", "--json").stdout)
    assert {line["run"]: line["state"] for line in listed} == {"toy-1": "complete", "toy-2": "complete"}
    compared = json.loads(kubetune(place, "compare", "toy-1", "toy-2", "--json").stdout)
    assert not [row for row in compared if row["kind"] == "recipe"]
    shown = json.loads(kubetune(place, "show", "toy-1", "--json").stdout)
    assert set(shown["stages"]) == {"ingest", "fetch", "prepare", "train", "evaluate", "behave", "compare", "package"}
    pulled = kubetune(place, "pull", "toy-1", "dataset", "--to", "out")
    assert pulled.returncode == 0, pulled.stderr
    assert (place / "out" / "dataset" / "dataset.json").is_file()
    deleted = kubetune(place, "delete", "toy-2")
    assert deleted.returncode == 0, deleted.stderr
    assert kubetune(place, "gc", "--dry-run").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["run", "toy.yaml", "training.bach=1"], 78, "did you mean `batch`?"),
        (["run", "nowhere.yaml"], 78, "cannot be read"),
        (["run", "tweet"], 78, "did you mean 'tweets'?"),
        (["run", "toy.yaml", "--run", "Not Allowed"], 78, "inner hyphens"),
        (["run", "toy.yaml", "data.source.paths.all=missing.csv"], 65, "missing.csv"),
        (["show", "nothing-1"], 78, "does not exist"),
        (["why", "nothing-1", "train"], 78, "does not exist"),
        (["pull", "nothing-1"], 78, "does not exist"),
        (["stage", "trian", "--run", "r", "--recipe", "toy.yaml"], 78, "allowed are ingest"),
        (["stage", "prepare", "--run", "r", "--recipe", "toy.yaml"], 78, "stage ingest has not committed"),
        (["stop", "nothing"], 78, "known are"),
        (["predict", "hello", "--endpoint", "nothing"], 78, "known are"),
        (["export", "nothing-1"], 78, "Nothing to export"),
        (["runs", "--store", "ftp://x"], 78, "allowed are a folder"),
        (["runs", "--store", "s3://bucket"], 78, "KUBETUNE_S3_ENDPOINT"),
        (["run", "toy.yaml", "--store", "toy.yaml"], 78, "toy.yaml"),
    ],
)
def test_bad_input_has_its_exit_code_and_one_sentence(place: Path, words: list[str], code: int, sentence: str) -> None:
    done = kubetune(place, *words)
    assert sentence in last_line(done), done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_pod_finds_the_reason_in_its_termination_log(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "termination"
    log.touch()
    done = kubetune(place, "show", "nothing-1", KUBETUNE_TERMINATION_LOG=str(log))
    assert done.returncode == 78
    assert log.read_text(encoding="utf-8") == last_line(done).replace("kubetune: ", "exit=78 ", 1)


@pytest.mark.slow
def test_a_terminated_run_leaves_a_checkpoint_and_the_next_one_resumes(place: Path) -> None:
    words = ["run", "toy.yaml", "training.seed=5", "training.epochs=400", "training.checkpoints.every_steps=3"]
    before = heads(place)
    command = [sys.executable, "-m", "kubetune", *words, "--until", "train"]
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while heads(place) == before:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert "left a checkpoint after step" in errors.strip().splitlines()[-1]
    run = output.split()[1]
    stopped = int(re.search(r"after step (\d+) of", errors)[1])
    resumed = subprocess.Popen(
        [sys.executable, "-m", "kubetune", "stage", "train", "--run", run], cwd=place, stderr=subprocess.PIPE, text=True
    )
    for line in resumed.stderr:
        if "resum" in line.lower():
            break
    else:
        raise AssertionError("the second attempt did not say that it resumed")
    resumed.kill()
    resumed.communicate()
    assert str(stopped) in line


def test_a_signal_between_stages_ends_with_75(place: Path) -> None:
    command = [sys.executable, "-m", "kubetune", "run", "toy.yaml", "training.seed=6", "--until", "ingest"]
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("run toy-")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in {0, 75}, errors  # 0: the signal came when all was done


def heads(place: Path) -> set[Path]:
    """The heads of all checkpoints in the store."""
    return set(place.glob("kubetune-store/checkpoints/*/head.json"))
