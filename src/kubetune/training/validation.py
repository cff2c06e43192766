"""Measuring weights during training, on the validation rows, and keeping the best."""

from math import isfinite

import numpy as np

from kubetune.errors import ConfigError
from kubetune.metrics.base import Totals
from kubetune.tasks.base import Encoding
from kubetune.tasks.inference import Precision, predict_outputs
from kubetune.tasks.rows import windows_of
from kubetune.training.guards import judge_evaluation
from kubetune.training.ranks import gather_vectors, sum_outcomes
from kubetune.training.run import TrainingRun, heartbeat, phase

EVALUATION_BATCH = 64


def evaluate_if_due(run: TrainingRun) -> None:
    """Measure the current weights on the validation rows, where due and not yet done, and keep the best."""
    state = run.state
    if state.evaluated_at == state.step or not run.timeline.evaluation_due(state.step) or not len(run.validation):
        return
    with phase(run.host, "evaluate"), heartbeat(run):
        totals = validate(run, state.fingerprints[-1]["precision"])
    statistics = run.task.statistics(run.job.spec.labels)
    metrics = {name: float(value) for name, value in statistics.measure(totals).items()}
    if not all(map(isfinite, metrics.values())):
        raise ConfigError(f"Validation logits are not finite after step {state.step}: lower training.learning_rate.")
    state.evaluations.append(
        {
            "step": state.step,
            "epoch": state.step / run.timeline.steps_an_epoch,
            "train_loss": state.loss_sum / max(1, state.loss_terms),
            "validation": metrics,
            "collapsed": run.task.collapsed(totals, run.job.spec.labels),
        }
    )
    state.evaluated_at, state.loss_sum, state.loss_terms = state.step, 0.0, 0
    metric = best_metric(run)
    lower = statistics.metrics[metric].lower_is_better
    if judge_evaluation(state, metrics[metric], run.job.settings.early_stopping, lower=lower) and run.is_main:
        run.best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in run.module.state_dict().items()}
    if run.is_main:
        run.host.record("evaluation", **state.evaluations[-1])
        shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        run.host.note(f"step {state.step}: validation {shown}")


def validate(run: TrainingRun, precision: Precision) -> Totals:
    """Return what the current weights come to on all validation rows, the same on every rank."""
    rows, task = run.validation, run.task
    mine = np.arange(rows.examples)[run.accelerator.process_index :: run.job.ranks]
    index = windows_of(rows, mine)
    features = rows.pick(index)
    outputs = predict_outputs(run.module, features, task, run.job.pad_token_id, EVALUATION_BATCH, precision)
    if task.together:
        mine, index = np.arange(rows.examples), np.arange(len(rows))
        outputs = gather_vectors(run.accelerator, outputs, len(rows), run.job.ranks)
        features = rows.pick(index)
    encoding = Encoding(features, np.searchsorted(mine, rows.example[index]).tolist(), [])
    losses, labels = task.feature_losses(outputs, features), run.job.spec.labels
    part = task.validation(outputs, encoding, losses, labels, rows.texts_of(mine))
    return part.total() if task.together else sum_outcomes(run.accelerator, part, rows.examples)


def best_metric(run: TrainingRun) -> str:
    """Return the metric that picks the weights: the recipe's, or the task's own."""
    return run.job.settings.best_metric or run.task.statistics(run.job.spec.labels).main
