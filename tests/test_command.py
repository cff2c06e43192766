"""The command itself, in processes: exit codes, the last line on standard error, signals, the summary."""

import itertools
import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import toys
from commands import kubetune, kubetune_here, last_line
from kubetune.serving import client
from pipelines import TOY


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("place")
    data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(200))
    (folder / "kubetune-store" / "runs").mkdir(parents=True)
    (folder / "toy.yaml").write_text(TOY.format(data=data, model=toy_model), encoding="utf-8")
    return folder


def test_recipe_values_are_compared_with_all_their_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kubetune.cli.runs import compare
    from kubetune.config.load import canonical
    from kubetune.storage.open import open_store
    from kubetune.storage.runs import create_run
    from pipelines import toy_recipe

    store = open_store(str(tmp_path / "store"))
    for run, rate, weight in (("slow", "2.0e-5", "null"), ("fast", "3.0e-5", "0.1")):
        changes = [f"training.learning_rate={rate}", f"training.clip_norm={weight}", f"description={run}"]
        create_run(store, run, canonical(toy_recipe(Path("/rows"), Path("/model"), changes)))
    compare("slow", "fast", store=str(tmp_path / "store"))
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["training.learning_rate"] == ["2e-05", "3e-05"]
    assert lines["training.clip_norm"] == ["null", "0.1"]
    assert lines["description"] == ['"slow"', '"fast"']


@pytest.mark.slow
def test_a_run_from_the_shell_ends_with_metrics_and_a_report(place: Path) -> None:
    done = kubetune(place, "run", "toy.yaml", "--until", "package")
    assert done.returncode == 0, done.stderr
    assert "tf-idf + logistic regression" in done.stdout
    page = (place / "kubetune-runs" / "toy-1" / "report.html").read_text(encoding="utf-8")
    head = page[page.index("<header>") : page.index("</header>")]
    for fact in ("Recipe: <bdi>toy", "Run: <bdi>toy-1", "toy-model", "rows.jsonl; 200 rows read", "Duplicates: <bdi>"):
        assert fact in head, head
    assert "MB of results" in done.stdout and "warning   The recipe sets no thresholds" in done.stdout
    run_next_lines(place, done.stdout, 3)
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


@pytest.mark.slow
def test_json_of_a_run_is_one_document_with_its_code(place: Path) -> None:
    bar = "evaluation.thresholds=[{metric: accuracy, at_least: 1.01}]"
    done = kubetune(place, "run", "toy.yaml", bar, "--until", "package", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["code"]) == (77, 77)
    assert "1.01 is required" in found["sentence"] and found["state"] == "refused at evaluate"
    assert found["metrics"]["accuracy"] > 0 and Path(found["report"]).is_file()
    assert [line["stage"] for line in found["stages"]] == ["ingest", "fetch", "prepare", "train", "evaluate"]
    again = kubetune(place, "run", "toy.yaml", bar, "--until", "package")
    run_next_lines(place, again.stdout, 2)


@pytest.mark.slow
def test_an_undecided_candidate_is_served_exported_and_promoted_as_it_is_advised(place: Path) -> None:
    words = ["run", "toy.yaml", "name=looks", "promotion.minimum_rows=100000"]
    first = kubetune(place, *words)
    assert first.returncode == 0, first.stderr
    done = kubetune(place, *words, "training.seed=9")
    assert done.returncode == 99, done.stderr
    commands = next_lines(done.stdout)
    assert [command.partition("kubetune ")[2].split()[0] for command in commands] == [
        "open",
        "show",
        "serve",
        "promote",
    ]
    exported = kubetune(place, "export", "looks-2", "--hf", "exported")
    assert exported.returncode == 0, exported.stderr
    assert (place / "exported" / "config.json").is_file()
    server = subprocess.Popen(
        shlex.split(commands[2]), cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert server.stdout.readline().startswith("ready: http://127.0.0.1:"), server.communicate()
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=120)
    states = {line["run"]: line["state"] for line in json.loads(kubetune(place, "runs", "--json").stdout)}
    assert states["looks-2"] == "undecided at compare", "a look decides nothing"
    try:
        (endpoint,) = json.loads(kubetune(place, "endpoints", "list", "--json").stdout)
        with asked_all_the_time(endpoint["url"]) as seen:
            run_next_lines(place, done.stdout.replace(commands[2], commands[1]), 4)
            for moved in (["rollback", "looks"], ["promote", "looks@2"]):
                said = kubetune(place, *moved, "--why", "the one before")
                assert said.returncode == 0, said.stderr
        assert {status for status, _ in seen} == {200}
        served = [digest for digest, _ in itertools.groupby(digest for _, digest in seen)]
        assert served == [served[0], served[1], served[0], served[1]] and len(seen) > 50
        states = {line["run"]: line["state"] for line in json.loads(kubetune(place, "runs", "--json").stdout)}
        assert states["looks-2"] == "complete"
        refused = kubetune(place, "delete", "looks-*", "--yes")
        assert refused.returncode == 78 and "is served by looks" in last_line(refused)
        for again in ("stop", "start", "stop"):
            changed = kubetune(place, again, "looks")
            assert changed.returncode == 0, changed.stderr
    finally:
        kubetune(place, "stop", "looks")


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
    done = kubetune_here(place, *words)
    assert sentence in last_line(done), done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "nothing-1", "--json"], 78),
        (["run", "toy.yaml", "data.source.paths.all=missing.csv", "--json"], 65),
        (["run", "toy.yaml", "training.bach=1", "--json"], 78),
        (["promote", "toy@1", "--why", "so", "--json"], 78),
        (["rollback", "toy", "--why", "so", "--json"], 78),
    ],
)
def test_an_error_is_json_where_json_was_asked_for(place: Path, words: list[str], code: int) -> None:
    done = kubetune_here(place, *words)
    found = json.loads(done.stdout)
    assert (done.returncode, found["code"]) == (code, code)
    assert last_line(done) == f"kubetune: {found['sentence']}"


def test_a_run_whose_data_cannot_be_found_has_failed(place: Path) -> None:
    done = kubetune(place, "run", "toy.yaml", "name=lost", "data.source.paths.all=missing.csv", "--run", "lost-1")
    assert done.returncode == 65, done.stderr
    states = {line["run"]: line["state"] for line in json.loads(kubetune(place, "runs", "--json").stdout)}
    assert states["lost-1"] == "failed at ingest"
    run_next_lines(place, done.stdout, 1)


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


def next_lines(output: str) -> list[str]:
    """The commands that a command printed for copying."""
    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("next "))
    return [line[10:] for line in lines[first:] if line[:10].strip() in ("", "next")]


def run_next_lines(place: Path, output: str, count: int) -> None:
    commands = next_lines(output)
    assert len(commands) == count, commands
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=place, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, (command, done.stderr)


@contextmanager
def asked_all_the_time(url: str) -> Iterator[list[tuple[int, str]]]:
    """Ask ten times a second, each time on a new connection; yields what came back: status, digest of the archive."""
    ended, seen = threading.Event(), []

    def ask() -> None:
        while not ended.wait(0.1):
            reply = client.call(url, "POST", "good")
            seen.append((reply.status, reply.headers.get("x-archive-digest", "")))

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield seen
        finally:
            ended.set()
        asking.result()


def heads(place: Path) -> set[Path]:
    """The heads of all checkpoints in the store."""
    return set(place.glob("kubetune-store/checkpoints/*/head.json"))
