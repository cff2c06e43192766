"""N ranks on the CPU over gloo: real processes, the real supervisor."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import trained_toys as toys
from kubetune.errors import ConfigError, InterruptedRunError, KubetuneError, TemporaryError
from kubetune.training.launch import PythonProcess, launch
from kubetune.training.launch import _check_alive as check_alive

QUIET: dict[str, Any] = {"encoder_dropout": 0.0, "head": {"pooling": "cls", "hidden_size": None, "dropout": 0.0}}
SILENCE = 15.0
"""Seconds that are more than a busy machine takes between two signs of life, and less than twenty slow passes."""
SIX = {"steps": 6, "checkpoints": {"every_steps": 2}}


@pytest.mark.slow
def test_two_runs_are_bit_equal_also_after_a_stop(run_toy: Any) -> None:
    first, second = run_toy("a", ranks=2, **SIX), run_toy("b", ranks=2, **SIX)
    assert first.sha == second.sha
    with pytest.raises(InterruptedRunError) as caught:
        run_toy("c", ranks=2, stop_after=1, on_publish=lambda folder: None, **SIX)
    assert caught.value.exit_code == 75
    third = run_toy("c", ranks=2, **SIX)
    assert third.context.of("attempt")[0]["start_step"] > 0
    assert third.sha == first.sha
    assert (third.job.output / "training.json").read_bytes() == (first.job.output / "training.json").read_bytes()


@pytest.mark.slow
def test_a_killed_rank_stops_all_and_the_run_goes_on(run_toy: Any) -> None:
    undisturbed = run_toy("a", ranks=2, **SIX)
    victims: list[int] = []

    def kill_rank_1(folder: Path) -> None:
        if folder.name == "step-00000004":
            os.kill(victims[-1], signal.SIGKILL)

    real = toys.ForkedRank.__init__

    def remember(self: Any, rendezvous: Path, rank: int, environment: Any) -> None:
        real(self, rendezvous, rank, environment)
        victims.append(self.pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toys.ForkedRank, "__init__", remember)
        started = time.monotonic()
        with pytest.raises(TemporaryError, match="Rank 1 was ended by SIGKILL"):
            run_toy("b", ranks=2, on_publish=kill_rank_1, **SIX)
    assert time.monotonic() - started < 60
    assert all(gone(pid) for pid in victims)
    again = run_toy("b", ranks=2, **SIX)
    assert again.context.of("attempt")[0]["start_step"] >= 2
    assert again.sha == undisturbed.sha


@pytest.mark.slow
def test_a_hung_rank_is_found(run_toy: Any, tmp_path: Path, text_dataset: Path, toy_model: Path) -> None:
    pids: list[int] = []

    class Hangs(toys.ForkedRank):
        def __init__(self, rendezvous: Path, rank: int, environment: Any) -> None:
            super().__init__(rendezvous, rank, environment)
            pids.append(self.pid)

    def stop_rank_1(folder: Path) -> None:
        os.kill(pids[1], signal.SIGSTOP)

    context = toys.ToyContext(tmp_path / "scratch", tmp_path / "kept", on_publish=stop_rank_1)
    job = toys.make_job(tmp_path / "hung", text_dataset, toy_model, ranks=2, **SIX)
    with pytest.raises(TemporaryError, match="sent no heartbeat"):
        launch(job, context, heartbeat_timeout_seconds=8.0, start=Hangs)
    assert all(gone(pid) for pid in pids)


@pytest.mark.slow
@pytest.mark.parametrize("slow", [(0, 1), (0,)])
def test_a_long_validation_is_not_taken_for_hung(
    slow: tuple[int, ...], tmp_path: Path, text_dataset: Path, toy_model: Path
) -> None:
    """Twenty passes a rank, together longer than a rank may be silent; where one is slow, the other waits for it."""

    class Validates(toys.ForkedRank):
        target = staticmethod(toys.slowly_validating_rank)

        def __init__(self, rendezvous: Path, rank: int, environment: Any) -> None:
            (rendezvous / "pause").write_text("1.0")
            super().__init__(rendezvous, rank, environment | ({"SLOW": "1"} if rank in slow else {}))

    context = toys.ToyContext(tmp_path / "scratch", tmp_path / "kept")
    job = toys.make_job(tmp_path / "slow", text_dataset, toy_model, ranks=2, steps=2)
    outcome = launch(job, context, heartbeat_timeout_seconds=SILENCE, start=Validates)
    assert outcome.metrics["steps"] == 2
    (evaluation,) = [event for event in context.of("phase") if event["phase"] == "evaluate"]
    assert evaluation["wall_seconds"] > SILENCE


def test_ranks_are_hung_only_together(tmp_path: Path) -> None:
    def silent(*seconds: float) -> None:
        for rank, age in enumerate(seconds):
            (tmp_path / f"alive-{rank}").touch()
            os.utime(tmp_path / f"alive-{rank}", (time.time() - age,) * 2)
        check_alive(tmp_path, len(seconds), time.time() - 1000, 300.0)

    silent(0.0, 900.0)
    silent(900.0, 200.0)
    with pytest.raises(TemporaryError, match=r"Rank 1 sent no heartbeat for 3[0-9][0-9] s"):
        silent(310.0, 900.0)
    check_alive(tmp_path, 2, time.time(), 300.0)  # the stage itself was busy until now


CASES: dict[str, dict[str, Any]] = {
    "text": {},
    "pair": {"task": "pair-classification"},
    "answer": {"task": "question-answering", "labels": ()},
    "entity": {"task": "token-classification", "labels": toys.TYPES},
    "labels": {"task": "text-classification-multi-label"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_ranks_agree_with_one_process_on_the_first_gradient(
    run_toy: Any, name: str, request: pytest.FixtureRequest
) -> None:
    """(ranks, accumulation) (1,1) (1,4) (2,1) (2,2): ragged lengths, and a ragged tail as the only batch.

    Entities: each row has as many losses as words, so that a mean over rows, or of means, is another gradient. Answers:
    a row has several windows. Several labels: a row has a loss for each label.
    """
    case = {"dataset": request.getfixturevalue(f"{name}_dataset"), **CASES[name]}
    for batch, whole in ((16, "batch"), (1024, "tail")):  # 120 rows: 1024 leaves one ragged batch of 120
        if whole == "tail" and name not in ("text", "pair"):
            continue  # a tail is cut as for the others
        norms, losses = [], []
        for ranks, accumulation in ((1, 1), (1, 4), (2, 1), (2, 2)):
            micro = batch // ranks // accumulation
            if whole == "tail":
                micro = {(1, 1): 1024, (1, 4): 32, (2, 1): 512, (2, 2): 32}[ranks, accumulation]
            done = run_toy(
                f"{name}-{whole}-{ranks}-{accumulation}", ranks=ranks, batch=batch, micro_batch=micro, steps=1,
                **QUIET, **case,
            )  # fmt: skip
            norms.append(done.context.of("step")[0]["norm"])
            losses.append(done.losses[0])
        assert norms == pytest.approx([norms[0]] * len(norms), rel=1e-6)
        assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-6)


@pytest.mark.slow
def test_another_world_is_refused(run_toy: Any) -> None:
    with pytest.raises(InterruptedRunError):
        run_toy(stop_after=1, **SIX)
    with pytest.raises(ConfigError, match=r"world_size=1, this attempt has world_size=2: set resources\.train"):
        run_toy(ranks=2, **SIX)


@pytest.mark.slow
def test_an_indivisible_batch_is_refused_by_the_ranks(run_toy: Any) -> None:
    with pytest.raises(ConfigError, match="divide evenly"):
        run_toy(ranks=2, batch=15, **SIX)


def test_a_world_of_another_size_ends_before_step_1(
    tmp_path: Path, text_dataset: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubetune.training import loop

    monkeypatch.setattr(loop, "start_accelerator", lambda ranks, device, precision: real(ranks + 1, device, precision))
    from kubetune.training.ranks import start_accelerator as real

    context = toys.ToyContext(tmp_path / "scratch", tmp_path / "kept")
    with pytest.raises(ConfigError, match="2 ranks on cpu were asked for, 1 on cpu were started"):
        launch(toys.make_job(tmp_path, text_dataset, toy_model, **SIX), context)
    assert context.of("step") == []


@pytest.mark.slow
def test_a_rank_that_ends_without_a_report_is_named(tmp_path: Path, text_dataset: Path, toy_model: Path) -> None:
    """Through the real interpreter: a rendezvous without a job makes it end with a traceback."""

    def start(rendezvous: Path, rank: int, environment: Any) -> PythonProcess:
        (rendezvous / "job.json").write_text("{")
        return PythonProcess(rendezvous, rank, environment)

    context = toys.ToyContext(tmp_path / "scratch", tmp_path / "kept")
    with pytest.raises(KubetuneError, match=r"Rank [01] ended with 1: json\.decoder.JSONDecodeError") as caught:
        launch(toys.make_job(tmp_path, text_dataset, toy_model, ranks=2), context, start=start)
    assert caught.value.exit_code == 70


@pytest.mark.slow
def test_ranks_leave_when_the_stage_is_gone(tmp_path: Path, text_dataset: Path, toy_model: Path) -> None:
    """The stage is killed: its ranks see their standard input close and end."""
    rendezvous = tmp_path / "rendezvous"
    rendezvous.mkdir()
    job = toys.make_job(tmp_path, text_dataset, toy_model, ranks=2)
    (rendezvous / "job.json").write_text(job.to_json())
    process = PythonProcess(rendezvous, 0, {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"})
    threading.Timer(0.2, process._process.stdin.close).start()
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() == 75
    process._process.wait()


def gone(pid: int) -> bool:
    try:
        state = json.loads(json.dumps(Path(f"/proc/{pid}/stat").read_text().split()[2]))
    except FileNotFoundError:
        return True
    return bool(state == "Z")
