"""A run that was ended anywhere and taken up again gives the bytes of the undisturbed one."""

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import trained_toys as toys
from kubetune.errors import ConfigError, InterruptedRunError
from kubetune.training import loop
from kubetune.training.state import load_checkpoint

LONG = {"epochs": 4.0, "checkpoints": {"every_steps": 3}, "evaluate_every_steps": 7}
"""32 steps with dropout, evaluations between checkpoints, best weights and loss sums on the way."""


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Any:
    from kubetune.training.launch import launch

    folder = tmp_path_factory.mktemp("undisturbed")
    dataset = toys.write_dataset(folder / "dataset")
    job = toys.make_job(folder, dataset, toy_model, **LONG)
    launch(job, toys.ToyContext(folder / "scratch", folder / "kept"))
    return job.output


def same_artifact(first: Path, second: Path) -> bool:
    names = sorted(path.name for path in first.iterdir())
    return names == sorted(path.name for path in second.iterdir()) and all(
        (first / name).read_bytes() == (second / name).read_bytes() for name in names
    )


@pytest.mark.slow
def test_ended_at_random_steps(run_toy: Any, monkeypatch: pytest.MonkeyPatch, undisturbed: Path) -> None:
    seed = 20240
    draw, real = random.Random(seed), loop.train_step
    executed = kills = 0
    while True:
        budget = draw.randint(1, 9)

        def step(run: Any) -> bool:
            nonlocal budget, executed
            if budget == 0:
                raise Killed
            budget, executed = budget - 1, executed + 1
            return real(run)

        monkeypatch.setattr(loop, "train_step", step)
        try:
            done = run_toy(**LONG)
            break
        except Killed:
            kills += 1
            starts = run_toy.last.context.of("attempt")
            assert starts[0]["start_step"] > 0 or starts[0]["checkpoints"] == 0, seed
    assert kills >= 3
    assert executed - 32 <= kills * 3
    assert same_artifact(done.job.output, undisturbed)


@pytest.mark.slow
def test_asked_to_stop_loses_no_step(run_toy: Any, undisturbed: Path) -> None:
    for stop_after in (1, 7, 5):  # the second stops on a step with an evaluation due: 1 + 7 = 8, the third at 13
        with pytest.raises(InterruptedRunError, match="run the same command again") as caught:
            run_toy(**LONG, stop_after=stop_after)
        assert caught.value.exit_code == 75
        steps = [event["step"] for event in run_toy.last.context.of("step")]
        assert load_checkpoint(run_toy.last.context.restore()[0]).state.step == steps[-1]
        assert len(steps) == stop_after
    done = run_toy(**LONG)
    assert done.context.of("attempt")[0]["start_step"] == 13
    assert same_artifact(done.job.output, undisturbed)


def test_stop_where_an_evaluation_was_due(run_toy: Any, undisturbed: Path) -> None:
    with pytest.raises(InterruptedRunError):
        run_toy(**LONG, stop_after=7)
    assert load_checkpoint(run_toy.last.context.restore()[0]).state.evaluated_at == 0
    assert same_artifact(run_toy(**LONG).job.output, undisturbed)


@pytest.mark.parametrize("damage", ["flip", "truncate", "absent", "manifest", "half"])
def test_a_damaged_checkpoint_is_passed_over(run_toy: Any, damage: str, undisturbed: Path) -> None:
    with pytest.raises(InterruptedRunError):
        run_toy(**LONG, stop_after=8)
    newest, before = run_toy.last.context.restore()[:2]
    assert load_checkpoint(before).state.step == 6
    file = newest / "optimizer.safetensors"
    block = bytearray(file.read_bytes())
    if damage == "flip":
        block[len(block) // 2] ^= 1
        file.write_bytes(block)
    elif damage == "truncate":
        file.write_bytes(block[:-10])
    elif damage == "absent":
        file.unlink()
    elif damage == "manifest":
        (newest / "manifest.json").unlink()
    else:
        shutil.rmtree(newest)
        newest.mkdir()
    done = run_toy(**LONG)
    assert done.context.of("attempt")[0]["start_step"] == 6
    assert len(done.context.of("checkpoint-refused")) == 1
    assert same_artifact(done.job.output, undisturbed)


def test_nothing_but_damage_starts_at_step_0(run_toy: Any, undisturbed: Path) -> None:
    with pytest.raises(InterruptedRunError):
        run_toy(**LONG, stop_after=2)
    for folder in run_toy.last.context.restore():
        (folder / "state.json").write_text("{}")
    done = run_toy(**LONG)
    assert done.context.of("attempt")[0]["start_step"] == 0
    assert same_artifact(done.job.output, undisturbed)


@pytest.mark.parametrize(("name", "value"), [("world_size", 2), ("precision", "bf16")])
def test_another_world_is_refused(run_toy: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    with pytest.raises(InterruptedRunError):
        run_toy(**LONG, stop_after=2)
    real = loop.fingerprint
    monkeypatch.setattr(loop, "fingerprint", lambda job, precision: real(job, precision) | {name: value})
    with pytest.raises(ConfigError, match=f"was trained with {name}=.*, this attempt has {name}={value}"):
        run_toy(**LONG)


@pytest.mark.slow
def test_another_machine_is_recorded(run_toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InterruptedRunError):
        run_toy(**LONG, stop_after=2)
    real = loop.fingerprint
    monkeypatch.setattr(loop, "fingerprint", lambda job, precision: real(job, precision) | {"threads": 7})
    done = run_toy(**LONG)
    assert len(done.context.of("fingerprint-changed")) == 1
    assert [entry["threads"] for entry in done.outcome.facts["earlier_fingerprints"]] == [1]
    assert done.outcome.facts["fingerprint"]["threads"] == 7


def test_nothing_pickled_lies_in_a_checkpoint(run_toy: Any) -> None:
    with pytest.raises(InterruptedRunError):
        run_toy(**LONG, stop_after=10)
    folder = run_toy.last.context.restore()[0]
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "weights.safetensors",
        "optimizer.safetensors",
        "best.safetensors",
        "state.json",
        "generators-0.safetensors",
        "generators-0.json",
        "manifest.json",
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == files - {"manifest.json"}


@pytest.mark.slow
def test_sigkill_of_a_process(tmp_path: Path, toy_model: Path, text_dataset: Path, undisturbed: Path) -> None:
    """A process of its own, killed at a random moment after its first checkpoint, then taken up here."""
    folder = tmp_path / "victim"
    victim = toys.FORKS.Process(target=toys.train_slowly, args=(folder, text_dataset, toy_model, LONG))
    victim.start()
    deadline = time.monotonic() + 120
    while not list((folder / "kept").glob("step-*/manifest.json")):
        assert victim.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.random() * 0.2)
    victim.kill()
    victim.join()
    assert victim.exitcode == -9

    context = toys.ToyContext(folder / "scratch-again", folder / "kept")
    whole = tuple(path for path in context.restore() if (path / "manifest.json").exists())
    job = toys.make_job(folder, text_dataset, toy_model, restore=whole, **LONG)
    from kubetune.training.launch import launch

    launch(job, context)
    assert context.of("attempt")[0]["start_step"] >= 3
    assert same_artifact(job.output, undisturbed)
