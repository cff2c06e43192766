"""Saving a run at a step boundary and taking it up again."""

import errno
import shutil

from kubetune.errors import ConfigError, CorruptArtifactError, KubetuneError, TemporaryError
from kubetune.tasks.weights import not_finite
from kubetune.training.determinism import check_resumable, generator_states, restore_generators
from kubetune.training.optimizer import load_optimizer_tensors, optimizer_tensors
from kubetune.training.ranks import total
from kubetune.training.run import TrainingRun, phase
from kubetune.training.state import (
    CheckpointContents,
    begin_checkpoint,
    complete_checkpoint,
    load_checkpoint,
    read_generators,
    write_generators,
)

FULL = {errno.ENOSPC, errno.EDQUOT}


def save(run: TrainingRun) -> None:
    """Write a checkpoint of the completed steps and wait until it is durable in the store.

    Raises:
        ConfigError: A weight is not finite.
        TemporaryError: The scratch disk is full.
    """
    if bad := not_finite(run.module):
        raise ConfigError(f"Weight {bad} is not finite after step {run.state.step}: lower training.learning_rate.")
    with phase(run.host, "checkpoint"):
        try:
            _write(run)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise TemporaryError(
                f"The disk that holds {run.job.spool} is full: the last checkpoint is safe; give "
                "resources.train.scratch more room and run again."
            ) from error


def _write(run: TrainingRun) -> None:
    accelerator, step = run.accelerator, run.state.step
    staging = run.job.spool / f".step-{step:08d}.partial"
    if run.is_main:
        begin_checkpoint(run.job.spool, step)
    total(accelerator, 0.0)
    write_generators(staging, accelerator.process_index, *generator_states())
    total(accelerator, 0.0)
    if run.is_main:
        optimizer = optimizer_tensors(run.optimizer, run.parameters)
        checkpoint = CheckpointContents(run.state, run.module.state_dict(), optimizer, run.best)
        folder = complete_checkpoint(staging, checkpoint, run.host.alive)
        run.host.publish(folder)
        shutil.rmtree(folder, ignore_errors=True)
        run.host.record("checkpoint", step=step)
    total(accelerator, 0.0)  # nobody goes on, or ends because it was asked to, before the checkpoint is durable


def resume(run: TrainingRun) -> None:
    """Take up the newest checkpoint that is whole, or start at step 0; say which and why.

    Raises:
        ConfigError: The checkpoint is of another world size or precision, or ranks see different ones.
    """
    for folder in run.job.restore:
        run.host.alive()
        try:
            checkpoint = load_checkpoint(folder, with_best=run.is_main)
        except CorruptArtifactError as error:
            run.host.note(f"{error}: trying the one before.")
            run.host.record("checkpoint-refused", folder=folder.name, reason=str(error))
            continue
        _compare_fingerprints(run, checkpoint)
        _take_up(run, checkpoint)
        restore_generators(*read_generators(folder, run.accelerator.process_index))
        break
    step = run.state.step
    if total(run.accelerator, float(step))[0] != step * run.job.ranks:
        raise KubetuneError(f"Ranks took up different checkpoints, this one step {step}: run again.")
    run.host.record("attempt", start_step=step, checkpoints=len(run.job.restore))
    if step:
        run.host.note(f"resumed after step {step} of {run.timeline.steps}")


def _compare_fingerprints(run: TrainingRun, checkpoint: CheckpointContents) -> None:
    """Refuse another world; say what else differs."""
    current = run.state.fingerprints[-1]
    for sentence in check_resumable(checkpoint.state.fingerprints[-1], current, checkpoint.state.step):
        run.host.note(f"{sentence}: the result will not be bit-equal to an unbroken run")
        run.host.record("fingerprint-changed", reason=sentence)


def _take_up(run: TrainingRun, checkpoint: CheckpointContents) -> None:
    current = run.state.fingerprints[-1]
    run.module.load_state_dict(checkpoint.weights, strict=True)
    load_optimizer_tensors(run.optimizer, run.parameters, checkpoint.optimizer)
    run.state = checkpoint.state
    if run.state.fingerprints[-1] != current:
        run.state.fingerprints.append(current)
    run.best = dict(checkpoint.best) if checkpoint.best is not None else None
