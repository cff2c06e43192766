"""`kubetune follow`, `logs` and `cancel`: what is shown, and which exit code says what the run came to."""

import io
import re
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from rich.console import Console

from airflow_server import Done, FakeAirflow
from kubetune.cli.display import Bars
from kubetune.client.watch import StageView, Step

Kubetune = Callable[..., Done]


def a_run(airflow: FakeAirflow, state: str = "running", **stages: str) -> None:
    airflow.begin("toy-1", state=state)
    for name, word in stages.items():
        airflow.add_task("toy-1", name, word, duration=1.5 if word in {"success", "failed"} else None)


def test_each_change_is_a_line_and_the_end_is_zero(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, resolve="success", ingest="deferred", fetch="queued")
    airflow.looks += [
        lambda: None,
        lambda: None,
        lambda: airflow.add_task("toy-1", "ingest", "queued"),  # its operator goes on after having waited
        lambda: airflow.add_task("toy-1", "ingest", "running"),
        lambda: airflow.add_task("toy-1", "ingest", "success", duration=2.5),
        lambda: airflow.end("toy-1", "success"),
    ]
    done = kubetune("follow", "toy-1")
    assert done.code == 0, done.err
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:4] == ["resolve done 1.5 s", "ingest running", "ingest done 2.5 s", lines[3]]
    assert lines[3].startswith("run toy-1 is complete")


def test_progress_is_read_from_what_the_stage_wrote(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, train="deferred")
    airflow.logs["toy-1", "train", 1] = [
        "[base]   training: 12/40  loss 0.41 · 512 tokens/s",
        "Trigger 3 is still waiting: 1/2",
    ]
    airflow.looks += [lambda: None, lambda: None, lambda: airflow.end("toy-1", "success")]
    done = kubetune("follow", "toy-1")
    assert "running  training 12/40  loss 0.41 · 512 tokens/s" in done.out


@pytest.mark.parametrize(
    ("stage", "reason", "code"),
    [
        ("ingest", "bad data: exit=65 DataError: rows.csv has no column 'text' [rule: missing-column]", 65),
        ("deploy", "the endpoint was not ready: exit=69 NotReadyError: no golden vector; the former serves", 69),
        ("evaluate", "refused by a gate: exit=77 RefusedError: accuracy 0.6 is below 0.9", 77),
        ("train", "ended with 78: exit=78 ConfigError: world size 1 of 2", 78),
        ("deploy", "bad configuration: The Kubernetes API refuses us", 78),
        ("evaluate", "refused by a gate: Stage evaluate of run toy-1: accuracy 0.6 is below 0.9", 77),
        ("train", "out of memory: raise resources.train.memory", 78),
        ("train", "out of scratch space: raise resources.train.scratch. Usage exceeds the limit", 78),
        ("train", "the cluster refuses the pod: maximum cpu usage per Container is 1", 78),
        ("ingest", "the image cannot be had, unable to start: ErrImagePull not found", 78),
        ("train", "something that nobody has named", 70),
        ("train", "ended with 75: interrupted", 75),
        ("deploy", "the endpoint was not ready, the former archive serves: fetch-archive ended with 65: lost", 69),
        ("resolve", "recipe has 1 error: `training.bach` is not a known key", 78),
    ],
)
def test_a_failed_run_ends_with_its_own_code(
    airflow: FakeAirflow, kubetune: Kubetune, stage: str, reason: str, code: int
) -> None:
    a_run(airflow, "failed", **{stage: "failed"}, package="upstream_failed")
    airflow.reasons["toy-1", stage] = reason
    done = kubetune("follow", "toy-1")
    assert done.code == code
    assert done.last == f"kubetune: Stage {stage} of run toy-1 failed: {reason}"


def test_a_reason_that_was_not_kept_is_found_in_the_log(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, "failed", prepare="failed")
    airflow.logs["toy-1", "prepare", 1] = ["[base] exit=65 DataError: two classes are needed", "exit=1 of Airflow's"]
    done = kubetune("follow", "toy-1")
    assert done.code == 65 and "two classes are needed" in done.last


def test_no_reason_at_all_is_our_bug(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, "failed", prepare="failed")
    done = kubetune("follow", "toy-1")
    assert done.code == 70 and "kubetune logs toy-1 prepare" in done.last


def test_nothing_to_do_is_99(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, "success", evaluate="skipped", package="skipped")
    airflow.logs["toy-1", "evaluate", 1] = ["[base] kubetune: the champion stays"]
    airflow.logs["toy-1", "package", 1] = []
    done = kubetune("follow", "toy-1")
    assert done.code == 99 and "the champion stays" in done.last


def test_who_waits_for_approval_is_told_where_to_give_it_and_a_no_is_99(
    airflow: FakeAirflow, kubetune: Kubetune
) -> None:
    a_run(airflow, package="success", approve_register="awaiting_input", register=None, deploy=None)

    def refuse() -> None:
        a_run(airflow, "success", package="success", approve_register="skipped", register="skipped", deploy="skipped")
        airflow.reasons["toy-1", "approve_register"] = "not approved: ada said no, what serves goes on serving"

    airflow.looks += [lambda: None, lambda: None, refuse]
    done = kubetune("follow", "toy-1")
    assert "waits for approval" in done.out and "Required Actions" in done.out
    assert "approve_register" not in done.out
    assert done.code == 99 and done.last.endswith("not approved: ada said no, what serves goes on serving")


def test_a_retry_is_said_with_its_reason(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, train="up_for_retry")
    airflow.reasons["toy-1", "train"] = "interrupted, the next try goes on: exit=75"
    airflow.looks += [lambda: None, lambda: None, lambda: (airflow.reasons.clear(), airflow.end("toy-1", "success"))]
    airflow.reasons["toy-1", "train", "retry_at"] = datetime(2026, 11, 30, 14, 5, 10).astimezone().isoformat()
    said = kubetune("follow", "toy-1").out
    assert "waits for another try" in said and "the next try is due at 14:05:10" in said


def test_why_a_pod_waits_is_said_until_it_starts(
    airflow: FakeAirflow, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubetune.client.watch.LOG_EVERY_S", 0.0)
    reason = "no node takes it: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu. Lower resources.train."
    a_run(airflow, train="deferred")
    airflow.logs["toy-1", "train", 1] = ["Waiting up to 21600s to get the POD scheduled...", f"The pod waits: {reason}"]
    logged = kubetune("logs", "toy-1", "train")
    assert logged.code == 0 and reason in logged.err
    airflow.looks += [
        lambda: None,
        lambda: None,
        lambda: airflow.logs["toy-1", "train", 1].append("The pod waits no longer."),
        lambda: airflow.end("toy-1", "success"),
    ]
    lines = [" ".join(line.split()) for line in kubetune("follow", "toy-1").out.splitlines()]
    assert lines[:2] == [f"train waits {reason}", "train running"]


def test_who_waits_for_a_slot_of_a_pool_is_told_of_which(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, train="scheduled")
    airflow.tasks["toy-1"]["train"]["pool"] = "gpus"
    airflow.looks += [lambda: None, lambda: None, lambda: airflow.end("toy-1", "success")]
    assert "pool gpus" in kubetune("follow", "toy-1").out


def test_the_api_server_may_be_away_meanwhile(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, resolve="success")
    airflow.looks += [
        lambda: None,
        lambda: setattr(airflow, "away", 4),
        airflow.tokens.clear,
        lambda: airflow.end("toy-1", "success"),
    ]
    done = kubetune("follow", "toy-1")
    assert done.code == 0, done.err
    assert done.err.count("Airflow does not answer (HTTP status 503)") == 1


def test_away_for_good_is_75(airflow: FakeAirflow, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.cli.cluster.PATIENCE_S", 0.2)
    monkeypatch.setenv("KUBETUNE_AIRFLOW_URL", "http://127.0.0.1:9")
    done = kubetune("follow", "toy-1")
    assert done.code == 75 and "did not answer inside 0.2 s (Connection refused)" in done.last


@pytest.mark.parametrize("words", [["follow"], ["logs", "toy-2", "train"], ["cancel"]])
def test_an_unknown_run_is_78_and_the_nearest_is_named(
    airflow: FakeAirflow, kubetune: Kubetune, words: list[str]
) -> None:
    a_run(airflow)
    done = kubetune(*(words if len(words) > 1 else [*words, "toy-2"]))
    assert done.code == 78 and "did you mean 'toy-1'?" in done.last


def test_a_wrong_password_is_78(airflow: FakeAirflow, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBETUNE_AIRFLOW_PASSWORD", "hunter2")
    done = kubetune("follow", "toy-1")
    assert done.code == 78 and "refuses user 'admin'" in done.last and "hunter2" not in done.err


def test_a_user_without_a_role_is_78(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    airflow.forbidden = True
    done = kubetune("cancel", "toy-1")
    assert done.code == 78 and "does not allow user 'admin'" in done.last


def test_no_cluster_is_named(kubetune: Kubetune) -> None:
    done = kubetune("follow", "toy-1")
    assert done.code == 78 and "run `kubetune login`" in done.last


def test_logs_are_what_the_stage_wrote(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, "failed", train="failed")
    airflow.logs["toy-1", "train", 1] = ["Building the pod", "[base] step 1", "[base] logs:   indented", "[init] other"]
    done = kubetune("logs", "toy-1", "train")
    assert (done.code, done.out) == (0, "step 1\n  indented\n")
    assert "Building the pod" in kubetune("logs", "toy-1", "train", "--airflow").out


def test_a_log_that_is_gone_is_no_stage_that_wrote_nothing(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, "success", train="success")
    airflow.logs["toy-1", "train", 1] = ["Could not read served logs: Invalid URL 'http://:8793/log/x': No host"]
    done = kubetune("logs", "toy-1", "train")
    assert done.code == 78 and "is gone" in done.last and "airflow.logs.enabled" in done.last
    airflow.logs["toy-1", "train", 1] = ["Building the pod", "Could not read served logs: part of it"]
    silent = kubetune("logs", "toy-1", "train")
    assert silent.code == 0 and "wrote nothing" in silent.err


def test_lines_that_come_after_the_end_are_printed_too(
    airflow: FakeAirflow, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(airflow, "success", train="success")
    airflow.logs["toy-1", "train", 1] = ["Building the pod"]
    late = "[base] logs: the last line"
    monkeypatch.setattr("kubetune.cli.logs.time.sleep", lambda _: airflow.logs["toy-1", "train", 1].append(late))
    for words in ([], ["--follow"]):
        done = kubetune("logs", "toy-1", "train", *words)
        assert "the last line" in done.out and done.code == 0
        airflow.logs["toy-1", "train", 1] = ["Building the pod"]


def test_logs_follow_across_attempts(airflow: FakeAirflow, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.cli.logs.POLL_S", 0.01)
    airflow.begin("toy-1")

    def again() -> None:
        airflow.add_task("toy-1", "train", "running", attempt=2)
        airflow.logs["toy-1", "train", 2] = ["[base] from step 10"]

    airflow.looks += [
        lambda: None,
        lambda: None,
        lambda: airflow.add_task("toy-1", "train", "running"),
        lambda: airflow.logs.update({("toy-1", "train", 1): ["[base] one", "[base] two"]}),
        lambda: None,
        again,
        lambda: None,
        lambda: airflow.end("toy-1", "success"),
    ]
    done = kubetune("logs", "toy-1", "train", "--follow")
    assert done.out.splitlines() == ["one", "two", "from step 10"]


def test_a_stage_that_has_not_started_is_75(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, ingest="deferred")
    airflow.add_task("toy-1", "train", None, attempt=0)
    done = kubetune("logs", "toy-1", "train")
    assert done.code == 75 and "has not started yet" in done.last


def test_an_unknown_stage_is_78(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow)
    done = kubetune("logs", "toy-1", "trian")
    assert done.code == 78 and "allowed are resolve, ingest" in done.last


def test_cancel_says_what_happened_and_follow_knows(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, resolve="success", train="deferred")
    done = kubetune("cancel", "toy-1")
    assert done.code == 0 and "train was under way: Airflow deletes the pods" in done.out
    assert airflow.runs["toy-1"]["state"] == "failed"
    followed = kubetune("follow", "toy-1")
    assert followed.code == 75 and "cancelled with `kubetune cancel` by admin" in followed.last
    again = kubetune("cancel", "toy-1").out
    assert "over already (cancelled)" in again and "nothing was changed" in again


def test_cancel_says_what_a_run_that_is_over_came_to(airflow: FakeAirflow, kubetune: Kubetune) -> None:
    a_run(airflow, "failed", evaluate="failed", package="upstream_failed")
    airflow.reasons["toy-1", "evaluate"] = "refused by a gate: accuracy 0.6 is below 0.9"
    refused = kubetune("cancel", "toy-1")
    assert refused.code == 0 and "over already (refused)" in refused.out and "below 0.9" in refused.out
    assert "failed)" not in refused.out
    airflow.reasons.clear()
    airflow.tasks.clear()
    a_run(airflow, "success", compare="skipped", package="skipped")
    assert "over already (nothing to do)" in kubetune("cancel", "toy-1").out
    a_run(airflow, "success", compare="success", package="success")
    assert "over already (complete)" in kubetune("cancel", "toy-1").out


def test_a_terminal_gets_a_bar_a_stage() -> None:
    screen = io.StringIO()
    bars = Bars(Console(file=screen, force_terminal=True, width=120))
    step = Step("training", 12, 40, "loss 0.41 [x]")
    bars.show([StageView("ingest", "success", 1, 2.5), StageView("train", "running", 2, step=step)])
    time.sleep(0.3)  # bars are drawn ten times a second
    bars.show([StageView("ingest", "success", 1, 2.5), StageView("train", "failed", 2, 9.0, "bad data")])
    bars.close()
    shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", screen.getvalue())
    assert "running, try 2  training 12/40  loss 0.41 [x]" in shown
    last = [line for line in shown.splitlines() if "train" in line][-1]
    assert "failed  9.0 s" in last
    assert "done  2.5 s" in shown
